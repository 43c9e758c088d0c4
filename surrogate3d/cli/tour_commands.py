"""`demo` and `doctor`: see the engine run, and what it runs on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from surrogate3d.cli import show_doctor
from surrogate3d.cli.console import answer, show, steps, working
from surrogate3d.cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog="Example: surrogate3d demo -o demo-output")(demo)
    app.command(epilog="Example: surrogate3d doctor --json")(doctor)


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where it writes.")] = Path(
        "demo-output"
    ),
    as_json: Json = False,
) -> None:
    """Run everything on the real OpenTOPAS proton runs that come with it (Gy, mm): train on one plan, judge another."""
    with steps() as progress:
        from surrogate3d.pipeline.demo import run_demo

        found = run_demo(output, progress)
    answer("demo", {**found, "summary_schema": found["schema"]}, as_json, _tell)


def doctor(as_json: Json = False) -> None:
    """Say what is installed and what the machine has: versions, threads, GPU, disk and memory (GB), models."""
    from surrogate3d.cli.machine import facts

    with working("looking"):
        found = facts()
    answer("doctor", found, as_json, show_doctor.doctor)


def _tell(data: Mapping[str, Any]) -> None:
    for method, row in data["headline"].items():
        net = "" if row.get("rms_net") is None else f" ({row['rms_net']:.2f} % with the truth's own noise subtracted)"
        show(f"{method}: RBE error {row['rms']:.2f} % rms{net}")
    show(f"report: {data['report']}", f"{data['seconds']['total']:.0f} s in all")
