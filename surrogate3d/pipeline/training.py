"""Train a surrogate on plans with sparse, directly simulated voxels."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

import surrogate3d
from surrogate3d.errors import QuantityError, ValueRangeError
from surrogate3d.grid import DoseField, Field
from surrogate3d.inference.answerable import MIN_DOSE_FRACTION
from surrogate3d.inference.spectrum_distance import SpectrumFeatures, field_features, spectrum_features
from surrogate3d.inference.spectrum_domain import SpectrumDomain
from surrogate3d.model.bundle import ModelCard, Surrogate
from surrogate3d.model.channels import channel_names
from surrogate3d.model.mask_text import mask_from_text, mask_to_text
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.let import largest_species
from surrogate3d.physics.mixing import MonoTable, mono_table
from surrogate3d.pipeline.calibrating import calibrated
from surrogate3d.pipeline.plan_pairs import PlanPair, TrainingLine
from surrogate3d.training.dataset import Example
from surrogate3d.training.held_blocks import held_blocks
from surrogate3d.training.loop import Trained, train_member
from surrogate3d.training.noise import thin
from surrogate3d.training.realisations import TrainingPlan, example
from surrogate3d.training.settings import TrainConfig

Progress = Callable[[int, int], None]
Floats = npt.NDArray[np.float64]


def train(
    pairs: Sequence[PlanPair],
    cell_lines: Sequence[str],
    config: TrainConfig,
    seed: int,
    progress: Progress | None = None,
    *,
    others: Sequence[TrainingLine] = (),
    conditions: Mapping[str, Mapping[str, Floats]] | None = None,
    state: Path | None = None,
) -> Surrogate:
    """Train an ensemble.

    Args:
        pairs: plans with labels.
        cell_lines: names; the first is the one from which the channels are made.
        config: how to train.
        seed: of everything random.
        progress: called with steps done and all steps of all members.
        others: further lines, simulated in the same voxels, from which the head learns what a cell line is.
        conditions: by high id and name, (i, j, k) features of the conditions of the cells, if the labels were simulated
            under any; the same names in all plans.
        state: folder of checkpoints and learning curves; a training that was killed goes on from there. None keeps
            nothing.

    Raises:
        QuantityError: the plans do not go together, or a condition is missing in one.
        ValueRangeError: the training diverged.
    """
    _require_alike([field for pair in pairs for field in (pair.low, pair.high)])
    known = [TrainingLine(cell_line(name), mono_table(name)) for name in cell_lines]
    lines = [*known, *others]
    doses, names = _ladder(pairs), _condition_names(pairs, conditions)
    rng = np.random.default_rng(seed)
    held = [_held(pair, config.calibration_fraction, rng) for pair in pairs]
    examples = [
        _example(pair, kept, [each.table for each in lines], doses, config, conditions, rng)
        for pair, kept in zip(pairs, held, strict=True)
    ]
    photon = torch.tensor([[each.line.alpha_x for each in lines], [each.line.beta_x**0.5 for each in lines]])
    members: list[Trained] = []
    for n in range(config.members):
        report = _offset(progress, n * config.steps, config.members * config.steps)
        member_seed = int(rng.integers(2**31))
        at = None if state is None else state / f"member_{n}"
        members.append(train_member(examples, photon, torch.tensor(doses), config, member_seed, report, at, names))
    if not all(bool(torch.isfinite(p).all()) for m in members for p in m.network.parameters()):
        raise ValueRangeError("the training diverged (weights are not finite); lower learning_rate and train again")
    card = _card(pairs, held, lines, len(known), doses, members, config, seed)
    domain = domain_of(pairs, config.tracks_levels, rng).to_arrays()
    made = Surrogate(tuple(m.network for m in members), card, tuple(each.table for each in known), domain)
    return made if conditions else calibrated(made, known[0].line, pairs, held, config.tracks_levels, rng)


def _held(pair: PlanPair, fraction: float, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """(i, j, k) voxels that are kept out of the training."""
    return held_blocks(pair.learnt, fraction, rng)


def _example(
    pair: PlanPair,
    held: npt.NDArray[np.bool_],
    tables: Sequence[MonoTable],
    doses: tuple[float, ...],
    config: TrainConfig,
    conditions: Mapping[str, Mapping[str, Floats]] | None,
    rng: np.random.Generator,
) -> Example:
    around = np.stack(list(conditions[pair.high_id].values())) if conditions else None
    plan = TrainingPlan(pair.low, pair.high, pair.responses, pair.within, held, around)
    return example(plan, tables, doses, config.tracks_levels, config.copies, rng)


def _condition_names(
    pairs: Sequence[PlanPair], conditions: Mapping[str, Mapping[str, Floats]] | None
) -> tuple[str, ...]:
    if not conditions:
        return ()
    found = {tuple(conditions.get(pair.high_id, {})) for pair in pairs}
    if len(found) > 1 or () in found:
        raise QuantityError(f"every training plan needs the same conditions, found {sorted(found)}")
    return found.pop()


def domain_of(pairs: Sequence[PlanPair], tracks_levels: Sequence[float], rng: np.random.Generator) -> SpectrumDomain:
    """The spectra that a model is trained on: of the runs of many histories, with the noise of those of few."""
    training, noisy = list[SpectrumFeatures](), list[SpectrumFeatures]()
    for pair in pairs:
        mask = pair.learnt & (pair.high.dose > MIN_DOSE_FRACTION * np.nanmax(pair.high.dose))
        training.append(field_features(pair.high, mask & pair.high.spectra.fluence.any(axis=(0, 1))))
        noisy.append(field_features(pair.low, mask & pair.low.spectra.fluence.any(axis=(0, 1))))
        typical = float(np.median(pair.high.tracks[mask]))
        for level in (min(tracks_levels, default=0.0), 150.0):
            if 0 < level < typical / 3:
                noisy.append(_thinned_features(pair.high, mask, level / typical, rng))
    return SpectrumDomain.fit(training, noisy)


def _thinned_features(
    field: Field, mask: npt.NDArray[np.bool_], keep: float, rng: np.random.Generator
) -> SpectrumFeatures:
    fluence = field.spectra.fluence / np.float32(field.dose_scale)
    fewer = thin(fluence, field.spectra.axes, field.grid, field.beam_axis, keep, rng) * np.float32(keep)
    tracks = fewer.sum(axis=(0, 1)) * field.grid.face_area_mm2(field.beam_axis)
    return spectrum_features(field.spectra.axes, fewer, tracks, field.beam_axis, mask & fewer.any(axis=(0, 1)))


def _offset(progress: Progress | None, done: int, total: int) -> Progress | None:
    return None if progress is None else lambda step, _: progress(done + step, total)


def _ladder(pairs: Sequence[PlanPair]) -> tuple[float, ...]:
    ladders = {response.doses for pair in pairs for response in pair.responses}
    if len(ladders) != 1:
        raise QuantityError(f"expected responses at one ladder of doses, found {len(ladders)}; simulate them alike")
    return ladders.pop()


def _card(
    pairs: Sequence[PlanPair],
    held: Sequence[npt.NDArray[np.bool_]],
    lines: Sequence[TrainingLine],
    n_known: int,
    doses: tuple[float, ...],
    members: Sequence[Trained],
    config: TrainConfig,
    seed: int,
) -> ModelCard:
    fields = [pair.low for pair in pairs]
    return ModelCard(
        network=asdict(members[0].network.config),
        channels=channel_names(),
        doses=doses,
        cell_lines=tuple((each.line.name, each.line.alpha_x, each.line.beta_x) for each in lines[:n_known]),
        edges_mev_u=_edges(fields),
        species_sets=tuple(dict.fromkeys(f.spectra.axes.species for f in fields)),
        primaries=tuple(dict.fromkeys(largest_species(f.spectra.axes, f.spectra.fluence) for f in fields)),
        let_definitions=_let_definitions(fields),
        dose_name=fields[0].dose_name,
        spacing_mm=tuple(dict.fromkeys(_spacing(f) for f in fields)),
        members=len(members),
        training=_history(pairs, held, lines, members, config, seed),
    )


def _history(
    pairs: Sequence[PlanPair],
    held: Sequence[npt.NDArray[np.bool_]],
    lines: Sequence[TrainingLine],
    members: Sequence[Trained],
    config: TrainConfig,
    seed: int,
) -> dict[str, Any]:
    plans = [
        {
            "low": pair.low_id,
            "high": pair.high_id,
            "changed": changed(pair.low) or changed(pair.high),
            "files": sorted(scored_files(pair.low) | scored_files(pair.high)),
            "voxels": sorted({response.voxel for response in pair.responses}),
            "learnt": mask_to_text(pair.learnt & ~kept),
        }
        for pair, kept in zip(pairs, held, strict=True)
    ]
    return {
        "plans": plans,
        "backend": sorted({r.backend for pair in pairs for r in pair.responses}),
        "lines": [[each.line.name, each.line.alpha_x, each.line.beta_x] for each in lines],
        "seed": seed,
        "config": asdict(config),
        "final_loss": [m.losses[-1] for m in members],
        "steps": [m.step for m in members],
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


def trained_on(card: ModelCard, field: Field) -> npt.NDArray[np.bool_] | None:
    """Voxels of a field that the model was trained on, (i, j, k); None when the model never saw this run.

    Runs are recognised by the hashes of their TOPAS files, so that a new conversion of a known run is no new plan.
    Of a known run that was cropped, resampled or combined, now or for the training, all voxels count as trained on.
    """
    own = scored_files(field)
    seen = [plan for plan in card.training.get("plans", []) if own & set(plan["files"])]
    if not seen:
        return None
    learnt = [mask_from_text(plan["learnt"]) for plan in seen]
    if changed(field) or any(plan.get("changed") for plan in seen) or any(m.shape != field.grid.shape for m in learnt):
        return np.ones(field.grid.shape, dtype=bool)  # voxels have other indices, and any of them may be known
    return np.asarray(np.logical_or.reduce(learnt))


def changed(field: Field) -> bool:
    """Whether a field was cropped, resampled or combined after its conversion."""
    return bool(field.provenance.get("changes") or field.provenance.get("parts"))


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


def _spacing(field: Field) -> tuple[float, float, float]:
    """Voxel size across, across (ascending) and along the beam, mm."""
    across = sorted(s for axis, s in enumerate(field.grid.spacing_mm) if axis != field.beam_axis)
    return (across[0], across[1], field.grid.spacing_mm[field.beam_axis])
