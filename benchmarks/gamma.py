"""Speed of the gamma index beside PyMedPhys, and how far the two differ, in one run.

    python benchmarks/gamma.py --runs HIGH LOW --repeats 5

HIGH and LOW are TOPAS runs of one plan, of many and of few histories, each a folder that `surrogate3d convert` reads;
without them only the made-up grid is timed. Both take turns, on the same doses, with the same settings; times are of
the second call on, so that compiling counts for neither. PyMedPhys (0.41) is an optional extra.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.validation.gamma import GAMMA_CRITERIA, gamma, pass_rate

Floats = npt.NDArray[np.float64]
Pair = tuple[Any, Floats, Any, Floats]
"""Axes and dose of the reference, then of the evaluation."""

CUTOFF = 10.0


def made_up(n: int) -> Pair:
    """A smooth bump on n^3 voxels of 2 mm, against itself with 2 % of noise and an offset of 0.2 %."""
    axes = tuple(2.0 * np.arange(n) for _ in range(3))
    x, y, z = np.meshgrid(*axes, indexing="ij")
    dose = np.exp(-((x - n) ** 2 + (y - n) ** 2 + (z - n) ** 2) / (0.6 * n) ** 2)
    noise = np.random.default_rng(0).standard_normal(dose.shape)
    return axes, dose, axes, dose * (1 + 0.02 * noise) + 0.002


def of_runs(high: Path, low: Path) -> Pair:
    """Doses of two runs, scaled to the same sum."""
    from surrogate3d.io.convert import convert

    (reference, _), (evaluation, _) = convert([high]), convert([low])
    axes = tuple(step * np.arange(n) for step, n in zip(reference.grid.spacing_mm, reference.grid.shape, strict=True))
    doses = [np.asarray(field.dose, dtype=np.float64) for field in (reference, evaluation)]
    return axes, doses[0], axes, doses[1] * (doses[0].sum() / doses[1].sum())


def timed(repeats: int, calls: dict[str, Callable[[], Floats]]) -> tuple[dict[str, list[float]], dict[str, Floats]]:
    """Seconds of each call, taking turns, after one that does not count; and what they gave."""
    values = {name: call() for name, call in calls.items()}
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            seconds[name].append(time.perf_counter() - start)
    return seconds, values


def row(title: str, pair: Pair, criterion: tuple[int, int], repeats: int, theirs: Callable[..., Any]) -> str:
    """One line of the table."""
    calls: dict[str, Callable[[], Floats]] = {
        "surrogate3d": lambda: gamma(*pair, *criterion, lower_percent_dose_cutoff=CUTOFF),
        "PyMedPhys": lambda: np.asarray(theirs(*pair, *criterion, lower_percent_dose_cutoff=CUTOFF, quiet=True)),
    }
    seconds, values = timed(repeats, calls)
    known = ~np.isnan(values["PyMedPhys"])
    off = np.abs(values["surrogate3d"] - values["PyMedPhys"])[known].max()
    rate, n = pass_rate(values["surrogate3d"])
    one, other = (np.array(seconds[name]) for name in calls)
    return (
        f"| {title} | {criterion[0]} %/{criterion[1]} mm | {n:,} | {rate:.1f} | {span(one)} | {span(other)} | "
        f"{np.median(other) / np.median(one):.0f} | {off:.0e} |"
    )


def span(seconds: Floats) -> str:
    """Median and range, s."""
    return f"{np.median(seconds):.3f} ({seconds.min():.3f} to {seconds.max():.3f})"


def main() -> None:
    """Time and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, nargs=2, metavar=("HIGH", "LOW"))
    parser.add_argument("--size", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of PyMedPhys' own imports
        import pymedphys

        pairs = {f"made up, {arguments.size}^3": made_up(arguments.size)}
        if arguments.runs:
            pairs[f"{arguments.runs[0].name} / {arguments.runs[1].name}"] = of_runs(*arguments.runs)
        print(
            "| doses | criterion | points | pass rate, % | surrogate3d, s | PyMedPhys, s | ratio | largest difference |"
        )
        print("|---|---|---|---|---|---|---|---|")
        for title, pair in pairs.items():
            for criterion in GAMMA_CRITERIA:
                print(row(title, pair, criterion, arguments.repeats, pymedphys.gamma), flush=True)


if __name__ == "__main__":
    main()
