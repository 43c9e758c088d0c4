"""Talking to people and programs: results on stdout, progress and warnings on stderr."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from rich.console import Console, RenderableType

Progress = Callable[[int, int], None]
Steps = Callable[[str, int, int], None]

_PATIENCE_S, _EVERY_S = 1.0, 10.0
"""Where stderr is no terminal, progress is a plain line after the first second and then every ten, later seldomer."""


_RATE_S = 5.0
"""Before, a rate is mostly that of starting."""

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


class Counter:
    """Progress of one step: called with what is done and the whole; `cost` adds what a campaign costs.

    Args:
        report: shows done, total, words about the cost, and how many of what is done cost nothing.
    """

    def __init__(self, report: Callable[[int, int, str, int], None]) -> None:
        self._report, self._spent, self._free = report, 0.0, 0

    def __call__(self, done: int, total: int) -> None:
        """Show it."""
        made, words = done - self._free, ""
        if self._spent and made > 0:
            expected = self._spent * (total - self._free) / made
            words = f"{_core_hours(self._spent)} of about {_core_hours(expected)} core-hours spent"
        self._report(done, total, words, self._free)

    def cost(self, core_seconds: float, free: int) -> None:
        """CPU time so far, s; and how many of what is done cost nothing."""
        self._spent, self._free = core_seconds, free


@contextmanager
def steps() -> Iterator[Steps]:
    """Show several counted steps; the yielded function takes a step's name, what is done, and the whole."""
    with _shown() as report:
        yield lambda name, done, total: report(name, done, total, "", 0)


@contextmanager
def counting(name: str) -> Iterator[Counter]:
    """Show one counted step and the time that is left; the yielded object takes what is done and the whole."""
    with _shown() as report:
        yield Counter(partial(report, name))


@contextmanager
def _shown() -> Iterator[Callable[[str, int, int, str, int], None]]:
    console = Console(stderr=True)
    if not console.is_terminal:
        yield PlainSteps()
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
    rest = (TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.fields[cost]}"))
    with Progress(*columns, *rest, console=console) as bars:
        tasks: dict[str, Any] = {}

        def report(name: str, done: int, total: int, cost: str, free: int) -> None:
            if name not in tasks:
                tasks[name] = bars.add_task(name, total=total, completed=free, cost="")
            bars.update(tasks[name], completed=done, total=total, cost=cost)

        yield report


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


class PlainSteps:
    """Progress as plain lines, seldom, and none for what is quick.

    Args:
        clock: seconds; only differences count.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._start = clock, clock()
        self._next = self._start + _PATIENCE_S
        self._name = ""

    def __call__(self, name: str, done: int, total: int, cost: str = "", free: int = 0) -> None:
        """Say how far a step is; `free` of what is done took no time."""
        now = self._clock()
        if name != self._name:
            self._name, self._start = name, now if self._name else self._start
        if now < self._next:
            return
        said = [f"{name}: {done} of {total}"]
        if free < done < total and now - self._start >= _RATE_S:
            rate = (done - free) / (now - self._start)
            said += [f"{3600 * rate:,.0f} an hour", f"{duration((total - done) / rate)} left"]
        line(", ".join([*said, cost] if cost else said))
        self._next = now + max(_EVERY_S, (now - self._start) / 60)


def duration(seconds: float) -> str:
    """A time in words: the two largest units."""
    minutes, hours = round(seconds / 60), round(seconds / 3600)
    if seconds < 100:
        return f"{seconds:.0f} s"
    if minutes < 100:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


def _core_hours(seconds: float) -> str:
    return f"{seconds / 3600:.2g}" if seconds < 36000 else f"{seconds / 3600:,.0f}"
