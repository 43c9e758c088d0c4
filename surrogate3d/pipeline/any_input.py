"""`convert` for whatever a user has: TOPAS run folders, or the dose and LET of a planning system."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from surrogate3d.errors import QuantityError
from surrogate3d.grid import Grid
from surrogate3d.io.convert import grid_of
from surrogate3d.io.given import Given
from surrogate3d.io.prescribe import PrescribeRequest
from surrogate3d.pipeline.conversion import convert
from surrogate3d.pipeline.reduced import PlanFacts, convert_reduced, is_reduced, read_reduced


def convert_any(
    paths: Sequence[Path],
    output: Path,
    facts: PlanFacts,
    given: Given,
    *,
    dose_scale: float | None = None,
    prescribe: PrescribeRequest | None = None,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Convert what `paths` turn out to be; arguments, results and errors as of `convert` and `convert_reduced`."""
    if is_reduced(paths):
        return convert_reduced(
            paths, output, facts, dose_scale=dose_scale, prescribe=prescribe, given=given, overwrite=overwrite
        )
    if facts != PlanFacts():
        raise QuantityError(
            "--radiation, --medium, --plan, --let, --let-definition and --constant-rbe belong to the dose of a "
            f"planning system, and {', '.join(map(str, paths))} is none: expected RT Dose files, or one folder of "
            "pyRadPlan or MCsquare; a TOPAS run says these things itself"
        )
    return convert(
        paths,
        output,
        dose_scale=dose_scale,
        prescribe=prescribe,
        given=given,
        overwrite=overwrite,
        progress=progress,
    )


def grid_of_any(paths: Sequence[Path], facts: PlanFacts, given: Given) -> Grid:
    """Grid of the plan."""
    return read_reduced(paths, facts, given).grid if is_reduced(paths) else grid_of(paths[0], given)
