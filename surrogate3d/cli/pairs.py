"""The pairs of runs that `train` is given, with the simulated voxels of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from surrogate3d.errors import UnknownNameError

if TYPE_CHECKING:
    from surrogate3d.pipeline.design import SimulationSettings
    from surrogate3d.pipeline.plan_pairs import PlanPair
    from surrogate3d.sampling import Selection


def require_pairs(low: Sequence[Path], high: Sequence[Path]) -> None:
    """Refuse runs that do not come in pairs.

    Raises:
        typer.BadParameter: as many --low as --high are needed.
    """
    if len(low) != len(high):
        raise typer.BadParameter(
            f"--low and --high go in pairs, in order; found {len(low)} low- and {len(high)} high-statistics fields"
        )


def plan_pair(
    low: Path,
    high: Path,
    selection: Selection,
    ledger: Path,
    settings: SimulationSettings,
    oxygen: str | None = None,
    nucleus_spread: float = 0.0,
) -> PlanPair:
    """One plan of the training set with its responses from the ledger, as they were simulated.

    Raises:
        UnknownNameError: the selection has no chosen voxel of `high`.
        StoreError: a field cannot be read, or the ledger lacks responses.
    """
    from surrogate3d.io.field_store import field_id, read_field
    from surrogate3d.pipeline.back_ends import conditions_for, configured
    from surrogate3d.pipeline.design import simulated
    from surrogate3d.pipeline.plan_pairs import PlanPair

    name, field = field_id(high), read_field(high)
    voxels = [voxel for voxel in selection.of_role("chosen") if voxel.field_id == name]
    if not voxels:
        known = ", ".join(sorted({voxel.field_id[:12] for voxel in selection.voxels}))
        raise UnknownNameError(
            f"the selection has no chosen voxel of {high} (field {name[:12]}); it was made from {known}; "
            f"give those fields as --high, or sample this one"
        )
    around = None if oxygen is None else conditions_for({name: field}, oxygen, False)[0]
    backend = configured(settings.backend, settings.seed, nucleus_spread) if nucleus_spread else None
    responses = simulated(voxels, {name: field}, ledger, settings, backend=backend, conditions=around)
    return PlanPair(field_id(low), read_field(low), name, field, responses)
