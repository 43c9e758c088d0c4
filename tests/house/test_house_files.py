"""What holds for every file of the repository."""

import ast
import os
import re
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "surrogate3d"
LARGEST_BYTES = 5_000_000

# Written in pieces, so that this file does not hold what it looks for.
BANNED = re.compile(
    "|".join(
        (
            r"(?<![\w.])/" + r"(?:work|home|root|Users)/\w",
            r"(?<![\w.])/tm" + r"p/\w",
            r"pythonhos" + r"ted",
            r"py" + r"pi\.org",
            r"download\.py" + r"torch",
            r"TO" + r"DO|FIX" + r"ME",
            r"allow_" + r"pickle\s*=\s*True",
        )
    )
)


def project_files() -> list[Path]:
    """Every file that belongs to the project: what .gitignore does not name."""
    ignored = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text().split()] + [".git"]
    found: list[Path] = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if not any(fnmatch(name, pattern) for pattern in ignored)]
        found += [Path(folder) / name for name in files if not any(fnmatch(name, pattern) for pattern in ignored)]
    return sorted(found)


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def text_of(path: Path) -> str | None:
    content = path.read_bytes()
    return None if b"\0" in content else content.decode("utf-8", errors="ignore")


def test_no_file_is_large() -> None:
    large = {str(f.relative_to(ROOT)): f.stat().st_size for f in project_files() if f.stat().st_size > LARGEST_BYTES}
    assert not large


def test_no_machine_paths_package_hosts_or_loose_ends() -> None:
    hits = [
        f"{path.relative_to(ROOT)}:{number}: {found.group()}"
        for path in project_files()
        for number, line in enumerate((text_of(path) or "").splitlines(), start=1)
        if (found := BANNED.search(line))
    ]
    assert not hits


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_every_module_and_every_public_thing_is_described(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    public = [
        node for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
    ]
    missing = [getattr(node, "name", "module") for node in (tree, *public) if not ast.get_docstring(node)]
    assert not missing


def test_no_module_outgrows_one_idea() -> None:
    files = (*modules(), *sorted((PACKAGE / "viewer" / "web").iterdir()))
    long = {str(f.relative_to(ROOT)): n for f in files if (n := len(f.read_text().splitlines())) > 400}
    assert not long


def test_readme_names_the_two_commands_and_the_makefile_has_them() -> None:
    readme, makefile = ((ROOT / name).read_text() for name in ("README.md", "Makefile"))
    for target in ("demo", "test"):
        assert f"make {target}" in readme
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_links_between_documents_lead_somewhere() -> None:
    documents = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")]
    broken = [
        f"{document.relative_to(ROOT)}: {target}"
        for document in documents
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
        if not (document.parent / target).exists()
    ]
    assert not broken


def test_what_runs_before_landing_is_what_users_run() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111


def test_every_dependency_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [
        *project["dependencies"],
        *(name for extra in project["optional-dependencies"].values() for name in extra),
    ]
    pins = (ROOT / "constraints.txt").read_text().lower()
    for requirement in wanted:
        name = re.match(r"[\w-]+", requirement)
        assert name is not None
        assert re.search(rf"^{re.escape(name.group().lower())}==", pins, re.MULTILINE), requirement


def test_import_contracts_are_part_of_lint() -> None:
    makefile = (ROOT / "Makefile").read_text()
    lint = makefile[makefile.index("\nlint:") :].split("\n\n")[0]
    for check in ("ruff check", "ruff format --check", "mypy", "lint-imports"):
        assert check in lint


def test_the_list_of_rooms_is_exhaustive() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    floors = next(contract for contract in contracts if contract["type"] == "layers")
    assert floors["exhaustive"] is True
    named = {room.strip(" ()") for layer in floors["layers"] for room in layer.split("|")}
    rooms = {p.stem for p in PACKAGE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()} - {"__init__"}
    assert rooms <= named
