"""Train a surrogate on plans with sparse, directly simulated voxels."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

import surrogate3d
from surrogate3d.direct.task import VoxelResponse
from surrogate3d.errors import QuantityError, ValueRangeError
from surrogate3d.grid import DoseField, Field
from surrogate3d.model.bundle import MATTERING_FRACTION, ModelCard, Surrogate
from surrogate3d.model.channels import channel_names, channels
from surrogate3d.model.network import KernelNetwork
from surrogate3d.physics.cell_line import CellLine, cell_line
from surrogate3d.physics.let import bin_dose
from surrogate3d.physics.mixing import mono_table
from surrogate3d.training.dataset import Example
from surrogate3d.training.loop import TrainConfig, Trained, train_member
from surrogate3d.training.realisations import TrainingPlan, example

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class PlanPair:
    """One plan of the training set, simulated twice.

    Attributes:
        low_id: field id of `low`.
        low: few histories.
        high_id: field id of `high`.
        high: many histories.
        responses: simulated voxels of `high`.
    """

    low_id: str
    low: Field
    high_id: str
    high: Field
    responses: Sequence[VoxelResponse]

    def __post_init__(self) -> None:
        strangers = {r.field_id for r in self.responses} - {self.high_id}
        if strangers:
            raise QuantityError(
                f"responses of field {strangers.pop()[:12]} were given as labels of field {self.high_id[:12]}; "
                "give each plan its own"
            )


def train(
    pairs: Sequence[PlanPair],
    cell_lines: Sequence[str],
    config: TrainConfig,
    seed: int,
    progress: Progress | None = None,
) -> Surrogate:
    """Train an ensemble.

    Args:
        pairs: plans with labels.
        cell_lines: names; the first is the one from which the channels are made.
        config: how to train.
        seed: of everything random.
        progress: called with steps done and all steps of all members.
    """
    _require_alike([field for pair in pairs for field in (pair.low, pair.high)])
    lines, tables = [cell_line(name) for name in cell_lines], [mono_table(name) for name in cell_lines]
    doses = _ladder(pairs)
    rng = np.random.default_rng(seed)
    plans = [TrainingPlan(pair.low, pair.high, pair.responses) for pair in pairs]
    examples = [example(plan, tables, doses, config.tracks_levels, config.copies, rng) for plan in plans]
    photon = torch.tensor([[line.alpha_x for line in lines], [line.beta_x**0.5 for line in lines]])
    members: list[Trained] = []
    for n in range(config.members):
        report = _offset(progress, n * config.steps, config.members * config.steps)
        member_seed = int(rng.integers(2**31))
        members.append(train_member(examples, photon, torch.tensor(doses), config, member_seed, report))
    if not all(bool(torch.isfinite(p).all()) for m in members for p in m.network.parameters()):
        raise ValueRangeError("the training diverged (weights are not finite); lower learning_rate and train again")
    card = _card(pairs, lines, doses, members, examples, config, seed)
    return Surrogate(tuple(m.network for m in members), card, tuple(tables))


def _offset(progress: Progress | None, done: int, total: int) -> Progress | None:
    return None if progress is None else lambda step, _: progress(done + step, total)


def _ladder(pairs: Sequence[PlanPair]) -> tuple[float, ...]:
    ladders = {response.doses for pair in pairs for response in pair.responses}
    if len(ladders) != 1:
        raise QuantityError(f"expected responses at one ladder of doses, found {len(ladders)}; simulate them alike")
    return ladders.pop()


def _card(
    pairs: Sequence[PlanPair],
    lines: Sequence[CellLine],
    doses: tuple[float, ...],
    members: Sequence[Trained],
    examples: Sequence[Example],
    config: TrainConfig,
    seed: int,
) -> ModelCard:
    fields = [pair.low for pair in pairs]
    low, high = _channel_range(members[0].network, examples, lines[0].alpha_x)
    return ModelCard(
        network=asdict(members[0].network.config),
        channels=channel_names(),
        channel_low=low,
        channel_high=high,
        doses=doses,
        cell_lines=tuple((line.name, line.alpha_x, line.beta_x) for line in lines),
        edges_mev_u=_edges(fields),
        species_sets=tuple(dict.fromkeys(f.spectra.axes.species for f in fields)),
        primaries=tuple(dict.fromkeys(_primary(f) for f in fields)),
        let_definitions=_let_definitions(fields),
        dose_name=fields[0].dose_name,
        spacing_mm=tuple(dict.fromkeys(_spacing(f) for f in fields)),
        std_scale=tuple(m.std_scale for m in members),
        training=_history(pairs, members, config, seed),
    )


def _history(pairs: Sequence[PlanPair], members: Sequence[Trained], config: TrainConfig, seed: int) -> dict[str, Any]:
    plans = [
        {
            "low": pair.low_id,
            "high": pair.high_id,
            "changed": changed(pair.low) or changed(pair.high),
            "files": sorted(scored_files(pair.low) | scored_files(pair.high)),
            "voxels": sorted({response.voxel for response in pair.responses}),
        }
        for pair in pairs
    ]
    return {
        "plans": plans,
        "backend": sorted({r.backend for pair in pairs for r in pair.responses}),
        "seed": seed,
        "config": asdict(config),
        "n_calibration": [m.n_calibration for m in members],
        "final_loss": [m.losses[-1] for m in members],
        "versions": {
            "surrogate3d": surrogate3d.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }


def scored_files(field: Field) -> set[str]:
    """SHA-256 of the scored values of a field: they name a run however it was converted."""
    return {sha256 for run in field.provenance.get("runs", []) for sha256 in _scored(run)}


def scored_runs(field: DoseField) -> set[frozenset[str]]:
    """The runs that are in a field, each by the SHA-256 of all its scored values, or of a planning system's files.

    One file alone is no run: a species of which two runs have no track gives two equal files.
    """
    return _runs_of(field.provenance) - {frozenset()}


def _runs_of(origin: Mapping[str, Any]) -> set[frozenset[str]]:
    runs = {frozenset(_scored(run)) for run in origin.get("runs", [])}
    runs.add(frozenset(str(file["sha256"]) for file in origin.get("files", [])))
    return runs.union(*(_runs_of(part.get("provenance", {})) for part in origin.get("parts", [])))


def _scored(run: Mapping[str, Any]) -> set[str]:
    kinds = (".raw", ".mha", ".mhd") if "planning_system" in run else (".bin", ".csv")
    return {str(file["sha256"]) for file in run.get("files", []) if str(file["name"]).lower().endswith(kinds)}


def trained_on(card: ModelCard, field: Field) -> list[tuple[int, int, int]] | None:
    """Voxels of a field that the model was trained on; None when the model never saw this run.

    Runs are recognised by the hashes of their TOPAS files, so that a new conversion of a known run is no new plan.
    Of a known run that was cropped, resampled or combined, now or for the training, all voxels count as trained on.
    """
    own = scored_files(field)
    seen = [plan for plan in card.training.get("plans", []) if own & set(plan["files"])]
    if not seen:
        return None
    if changed(field) or any(plan.get("changed") for plan in seen):
        # Voxels have other indices, and any of them may hold what was trained on.
        return [(int(i), int(j), int(k)) for i, j, k in np.ndindex(field.grid.shape)]
    voxels = [(int(i), int(j), int(k)) for plan in seen for i, j, k in plan["voxels"]]
    return [voxel for voxel in voxels if all(n < size for n, size in zip(voxel, field.grid.shape, strict=True))]


def changed(field: Field) -> bool:
    """Whether a field was cropped, resampled or combined after its conversion."""
    return bool(field.provenance.get("changes") or field.provenance.get("parts"))


@torch.no_grad()
def _channel_range(
    network: KernelNetwork, examples: Sequence[Example], alpha_x: float
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Range of each normalised channel at the labelled voxels, over the groups that matter there."""
    low = torch.full_like(network.channel_mean, torch.inf)
    high = -low
    for plan in examples:
        i, j, k = torch.isfinite(plan.label[0, 0]).nonzero().unbind(1)
        for inputs in plan.inputs:
            dose = inputs[:, 0, i, j, k]
            matters = dose >= MATTERING_FRACTION * dose.sum(dim=0)  # (group, voxel)
            at = channels(inputs, torch.tensor(alpha_x))[:, :, i, j, k].transpose(0, 1)[:, matters]
            z = (at - network.channel_mean[:, None]) / network.channel_std[:, None]
            low, high = torch.minimum(low, z.amin(dim=1)), torch.maximum(high, z.amax(dim=1))
    return tuple(low.tolist()), tuple(high.tolist())


def _require_alike(fields: Sequence[Field]) -> None:
    """Refuse, before hours of training, fields that one model cannot serve."""
    if len({field.dose_name for field in fields}) > 1:
        raise QuantityError("the training fields differ in the kind of dose; use dose to water in all or in none")
    if any(field.several_directions for field in fields):
        raise QuantityError(
            "a training field has beams from several directions, and the network knows single beams; train on the "
            "fields that it was combined from"
        )
    _let_definitions(fields)
    _edges(fields)


def _let_definitions(fields: Sequence[Field]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for name, definition in (item for field in fields for item in field.let_definitions.items()):
        words = asdict(definition) | {"source": ""}  # where it was read does not change what it means
        if found.setdefault(name, words) != words:
            raise QuantityError(f"the training fields differ in the definition of {name}; score it alike in all")
    return found


def _edges(fields: Sequence[Field]) -> dict[str, list[float]]:
    edges: dict[str, list[float]] = {}
    for field in fields:
        for species, row in zip(field.spectra.axes.species, field.spectra.axes.edges_mev_u, strict=True):
            known = edges.setdefault(species, row.tolist())
            if len(known) != len(row) or not np.allclose(known, row, rtol=1e-4):
                raise QuantityError(f"the training fields differ in the energy bins of {species}")
    return edges


def _primary(field: Field) -> str:
    """Species that carries most of the field's fluence-weighted dose: the beam."""
    dose = bin_dose(field.spectra.axes, field.spectra.fluence).sum(axis=(1, 2, 3, 4))
    return field.spectra.axes.species[int(np.argmax(dose))]


def _spacing(field: Field) -> tuple[float, float, float]:
    """Voxel size across, across (ascending) and along the beam, mm."""
    across = sorted(s for axis, s in enumerate(field.grid.spacing_mm) if axis != field.beam_axis)
    return (across[0], across[1], field.grid.spacing_mm[field.beam_axis])
