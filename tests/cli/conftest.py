"""One small plan taken through every command once; the tests look at what is left."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from surrogate3d.cli import main

RUN = Path(__file__).parents[1] / "fixtures" / "topas"
SIMULATION = ["--cell-line", "HSG", "--target-se", "0.1", "--backend", "gsm2_mc"]
GROUPS = ("topas", "dicom", "cell-line", "invitro", "response")
CONFIG = "steps = 2\nmembers = 1\ncopies = 1\nthreads = 1\ntracks_levels = [60]\nwidth = 4\nhead_steps = 2\n"


@dataclass(frozen=True)
class Plan:
    """Where the small plan's files are."""

    folder: Path

    @property
    def field(self) -> Path:
        return self.folder / "plan.field.zarr"

    @property
    def unscaled(self) -> Path:
        return self.folder / "unscaled.field.zarr"

    @property
    def selection(self) -> Path:
        return self.folder / "selection.json"

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger"

    @property
    def config(self) -> Path:
        return self.folder / "train.toml"

    @property
    def bundle(self) -> Path:
        return self.folder / "model.bundle"

    def train(self, output: Path) -> list[str]:
        pair = ["--low", str(self.field), "--high", str(self.field), "--selection", str(self.selection)]
        rest = ["--ledger", str(self.ledger), "--config", str(self.config), "-o", str(output)]
        return ["train", *pair, *rest, *SIMULATION]


@pytest.fixture(scope="session")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    plan = Plan(tmp_path_factory.mktemp("cli"))
    plan.config.write_text(CONFIG)
    commands = [
        ["convert", str(RUN), "-o", str(plan.field), "--prescribe", "2 Gy"],
        ["convert", str(RUN), "-o", str(plan.unscaled)],
        ["sample", str(plan.field), "--budget", "6", "--worst", "1", "--random", "2", "-o", str(plan.selection)],
        ["simulate", str(plan.selection), str(plan.field), "--ledger", str(plan.ledger), *SIMULATION],
        plan.train(plan.bundle),
    ]
    for command in commands:
        assert main(command) == 0
    return plan


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """Run a command with --json: it must succeed, and stdout must be one JSON object and nothing else."""

    def run(*arguments: str | Path) -> dict[str, Any]:
        assert main([*map(str, arguments), "--json"]) == 0
        answer = json.loads(capsys.readouterr().out, parse_constant=lambda name: pytest.fail(f"{name} in JSON"))
        command = "-".join(map(str, arguments[:2] if arguments[0] in GROUPS else arguments[:1]))
        assert answer["schema"] == f"surrogate3d.cli.{command}/1"
        return dict(answer)

    return run


@pytest.fixture
def refuse(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail: one line on stderr, nothing on stdout."""

    def run(*arguments: str | Path, code: int = 1) -> str:
        assert main([str(a) for a in arguments]) == code
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("error: ")
        assert err.count("\n") == 1
        return err

    return run
