"""One fit of the benchmark, and the file that keeps all of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

STRATEGIES = ("random", "stratified", "adaptive", "both", "k_centre", "lcmd", "ensemble", "lcmd_cubes")
"""The engine's, and LCMD among one candidate per coarse cube."""


@dataclass(frozen=True)
class Point:
    """One fit, judged on the held-out voxels.

    Attributes:
        regime: a plan, or several joined by "+".
        strategy: of `STRATEGIES`.
        regression: "kernel" or "network".
        seed: of held-out voxels, lots, and fit.
        budget: labels allowed.
        labels: labels used; fewer than the budget where the candidates end.
        R2: by output, worst plan.
        NRMSE: root mean square error over the range of the truth, by output, worst plan.
    """

    regime: str
    strategy: str
    regression: str
    seed: int
    budget: int
    labels: int
    R2: tuple[float, ...]
    NRMSE: tuple[float, ...]

    @property
    def key(self) -> tuple[str, str, str, int, int]:
        """What it was asked for."""
        return self.regime, self.strategy, self.regression, self.seed, self.budget


def read(file: Path) -> list[Point]:
    """Points of earlier runs; a last line that was cut off by a kill does not count."""
    lines = file.read_text(encoding="utf-8").split("\n")[:-1] if file.exists() else []
    found = [json.loads(line) for line in lines if line.endswith("}")]
    return [Point(**{**point, "R2": tuple(point["R2"]), "NRMSE": tuple(point["NRMSE"])}) for point in found]


def append(file: Path, points: Sequence[Point]) -> None:
    """Add points to the file, which is made if it is not there."""
    cut = file.exists() and not file.read_bytes().endswith(b"\n") and file.stat().st_size > 0
    with file.open("a", encoding="utf-8") as stream:
        stream.write("\n" * cut + "".join(json.dumps(asdict(point)) + "\n" for point in points))
