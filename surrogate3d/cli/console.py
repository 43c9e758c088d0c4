"""Talking to people and programs: results on stdout, progress and warnings on stderr."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console, RenderableType

Progress = Callable[[int, int], None]
Steps = Callable[[str, int, int], None]

_PATIENCE_S, _EVERY_S = 1.0, 10.0
"""Where stderr is no terminal, progress is a plain line after the first second and then every ten."""


_WIDTH = 120  # of tables in files and pipes


def show(*what: RenderableType) -> None:
    """Print a result on stdout."""
    width = None if sys.stdout.isatty() else _WIDTH
    console = Console(highlight=False, width=width)
    for each in what:
        console.print(each, soft_wrap=isinstance(each, str), markup=False)


def line(text: str) -> None:
    """Write exactly one line on stderr."""
    sys.stderr.write(" ".join(text.split()) + "\n")
    sys.stderr.flush()


def warn(text: str) -> None:
    """Say loudly, on stderr, what a reader of the result must know."""
    line(f"warning: {text}")


def answer(command: str, data: Mapping[str, Any], as_json: bool, display: Callable[[dict[str, Any]], None]) -> None:
    """Give a command's result: one JSON object, or as `display` shows it."""
    result = document(command, data)
    if as_json:
        sys.stdout.write(json.dumps(result, allow_nan=False) + "\n")
    else:
        display(result)


def document(command: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON object of a command's result; docs/cli-json.md lists the keys."""
    result = {str(key): plain(value) for key, value in data.items() if key != "schema"}
    return {"schema": f"surrogate3d.cli.{command}/1", **result}


def plain(value: Any) -> Any:
    """Plain data of standard JSON: arrays become lists, and numbers that are not finite become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):  # arrays and numbers of numpy
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


@contextmanager
def steps() -> Iterator[Steps]:
    """Show several counted steps; the yielded function takes a step's name, what is done, and the whole."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _PlainSteps()
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), console=console) as bars:
        tasks: dict[str, Any] = {}

        def report(name: str, done: int, total: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total)
            bars.update(tasks[name], completed=done, total=total)

        yield report


@contextmanager
def counting(name: str) -> Iterator[Progress]:
    """Show one counted step; the yielded function takes what is done and the whole."""
    with steps() as report:
        yield lambda done, total: report(name, done, total)


@contextmanager
def working(name: str) -> Iterator[None]:
    """Show that something is under way that cannot be counted."""
    console, start = Console(stderr=True), time.monotonic()
    if console.is_terminal:
        with console.status(name):
            yield
    else:
        yield
        if time.monotonic() - start > _PATIENCE_S:
            line(f"{name}: {time.monotonic() - start:.1f} s")


class _PlainSteps:
    """Progress as plain lines, seldom, and none for what is quick."""

    def __init__(self) -> None:
        self._next = time.monotonic() + _PATIENCE_S
        self._name = ""

    def __call__(self, name: str, done: int, total: int) -> None:
        now = time.monotonic()
        if now >= self._next:
            line(f"{name}: {done} of {total}")
            self._next = now + _EVERY_S
