"""Close the loop: choose voxels, simulate them, train, judge; until the error is small enough or the budget ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import surrogate3d
from surrogate3d.direct.ledger_records import VoxelFailure
from surrogate3d.direct.simulator import simulator
from surrogate3d.errors import ConfigError, StoreError
from surrogate3d.io.field_store import field_id, read_field
from surrogate3d.model.bundle import load_bundle, save_bundle
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.pipeline.active_rounds import ActiveLoop, ActiveSettings, Plans, Report, Steps
from surrogate3d.pipeline.active_state import State, opened
from surrogate3d.pipeline.design import SimulationSettings
from surrogate3d.pipeline.spectrum_checks import checked
from surrogate3d.training.settings import TrainConfig
from surrogate3d.training.state_tree import fingerprint


@dataclass(frozen=True)
class ActiveResult:
    """What became of the loop.

    Attributes:
        reason: why it ended: "target", "budget", "cpu_hours" or "candidates" (all were taken).
        rounds: as of `rounds.json`.
        bundle_id: of the last round's model.
        failed: voxels that could not be simulated.
        core_seconds: CPU time of all, s.
    """

    reason: str
    rounds: list[dict[str, Any]]
    bundle_id: str
    failed: list[VoxelFailure]
    core_seconds: float

    @property
    def met(self) -> bool:
        """Whether the target was met."""
        return self.reason == "target"


def run_active(
    low: Sequence[Path],
    high: Sequence[Path],
    state: Path,
    output: Path,
    simulation: SimulationSettings,
    config: TrainConfig,
    settings: ActiveSettings,
    *,
    overwrite: bool = False,
    report: Report | None = None,
    steps: Steps | None = None,
) -> ActiveResult:
    """Run the loop, or take it up where it was interrupted: the result is that of an undisturbed one.

    A round adds the voxels least similar to all chosen before, simulates them, trains on all labels with the same seed,
    and judges on the same held-out voxels. So the model of a round is, to the last bit, what `training.train` makes of
    these labels with the held-out voxels left out of all learning. Only `cpu_hours` makes the end depend on the
    machine.

    Args:
        low: runs with few histories, one per plan.
        high: their runs with many histories, in the same order.
        state: folder of the loop, made if missing.
        output: bundle of the last round's model.
        simulation: of the labels.
        config: of the training.
        settings: of the loop.
        overwrite: replace an older output.
        report: called with each finished round, also with those of an earlier run.
        steps: called with what is done at present, how much of it, and the whole.

    Raises:
        ConfigError: runs that are no pairs, a batch of fewer voxels than plans, an ensemble of one network.
        StoreError: `output` exists, `state` is another loop's or in use, a store cannot be read or written.
        ValueRangeError: there are not enough voxels to hold out.
        Surrogate3dError: as `train` and `campaign`.
    """
    if settings.acquisition == "ensemble" and config.members < 2:
        raise ConfigError(
            "the acquisition 'ensemble' needs at least 2 networks that can disagree; set members in --config"
        )
    with opened(state) as kept:
        _require_output(output, kept, overwrite)
        plans = _read(low, high, settings)
        kept.require_same(*_asked(plans, simulation, config, settings))
        loop = ActiveLoop(plans, kept, simulation, config, settings, steps or (lambda name, done, total: None))
        reason, failed = loop.run(report or (lambda done: None))
        last = load_bundle(kept.bundle(len(kept.rounds)))
        if not kept.owns(output) or load_bundle(output).bundle_id != last.bundle_id:
            save_bundle(last, output, overwrite or kept.owns(output))
        return ActiveResult(reason, kept.rounds, last.bundle_id, failed, kept.core_seconds)


def _require_output(output: Path, state: State, overwrite: bool) -> None:
    """An output of this very loop may be there: it was killed after it wrote it, or goes on with a larger budget."""
    if output.exists() and not overwrite and not state.owns(output):
        raise StoreError(f"{output} exists already and is not overwritten; choose another name or give --overwrite")


def _read(low: Sequence[Path], high: Sequence[Path], settings: ActiveSettings) -> Plans:
    names = [field_id(path) for path in high]
    if len(set(names)) < len(names) or len(low) != len(high) or not high:
        raise ConfigError(
            f"expected one run with few and one with many histories of each plan, found {len(low)} and {len(high)}, "
            f"{len(set(names))} of these different"
        )
    if min(settings.batch, settings.budget) < len(names):
        raise ConfigError(f"a batch and the budget need at least one voxel of each of the {len(names)} plans")
    few = {name: (field_id(path), read_field(path)) for name, path in zip(names, low, strict=True)}
    many = {name: read_field(path) for name, path in zip(names, high, strict=True)}
    return Plans(few, many, {name: checked(field) for name, field in many.items()})


def _asked(
    plans: Plans, simulation: SimulationSettings, config: TrainConfig, settings: ActiveSettings
) -> tuple[dict[str, Any], str]:
    """What was asked for, in words, and the fingerprint of all that decides the result of a round."""
    deciding = {k: v for k, v in asdict(settings).items() if k not in ("target_nrmse", "budget", "cpu_hours")}
    asked = {
        "version": surrogate3d.__version__,
        "plans": [{"low": low, "high": name} for name, (low, _) in plans.low.items()],
        "simulation": asdict(simulation),
        "config": asdict(config),
        "settings": deciding,
    }
    lines = [asdict(cell_line(name)) for name in simulation.cell_lines]
    return asked, fingerprint(asked, lines, simulator(simulation.backend).settings())
