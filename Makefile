# make demo: real OpenTOPAS runs to a report. make test: every check. make lint: the quick ones.
# Needs python3 >= 3.11 on the PATH, or PYTHON=/path/to/python. The environment in .venv is made once and reused.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint clean

demo: .venv/.installed
	$(BIN)/surrogate3d demo

test: lint .venv/.browser
	$(BIN)/python -m pytest --cov --cov-report=term-missing:skip-covered

lint: .venv/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov build dist

# The stamps are written last: an interrupted installation is taken up again by the next run.
.venv/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "surrogate3d needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	test -x $(BIN)/pip || $(PYTHON) -m venv .venv
	@echo 'Installing into .venv (minutes on the first run: torch is large)'
	$(PIP) --editable .
	@touch $@

.venv/.installed-dev: .venv/.installed
	$(PIP) --editable '.[test,lint,cluster,invitro,response,export,xarray,parity]'
	@touch $@

# Reports and the viewer are tested in a browser. Where none can be installed those tests are skipped, and say so.
.venv/.browser: .venv/.installed-dev
	@command -v chromium >/dev/null || command -v google-chrome >/dev/null || \
	  { test "$$(id -u)" = 0 && apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1 || \
	  echo 'No Chromium: tests in a browser will be skipped. On Debian: apt-get install chromium' >&2
	@touch $@
