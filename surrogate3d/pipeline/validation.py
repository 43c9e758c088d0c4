"""Judge a surrogate, and the cheap methods beside it, against direct simulation on high-statistics spectra."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.task import VoxelResponse
from surrogate3d.errors import QuantityError, UnknownNameError, ValueRangeError
from surrogate3d.grid import Field
from surrogate3d.inference.answerable import faulty
from surrogate3d.inference.curves import CurveMap, predict_curves
from surrogate3d.inference.maps import Fractionation, derive_maps, require_on_ladder
from surrogate3d.model.bundle import Surrogate
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.linear_quadratic import RBE_at_dose
from surrogate3d.physics.mixing import MonoTable, zr_table
from surrogate3d.pipeline.design import SimulationSettings, simulate
from surrogate3d.pipeline.training import scored_files, trained_on
from surrogate3d.sampling import SelectedVoxel
from surrogate3d.validation import (
    BASELINE_NOTES,
    Baseline,
    ComparisonTable,
    baseline_effects,
    compare,
    derived_maps,
    noise_floor,
    regions,
)

Floats = npt.NDArray[np.float64]
Masks = dict[str, npt.NDArray[np.bool_]]
Progress = Callable[[int, int], None]

TRUTHS = ("gsm2_mc", "gsm2_fft", "zr_table")
QUANTITIES = ("RBE", "alpha", "effect")
SURROGATE = "surrogate"


@dataclass(frozen=True)
class ValidationSettings:
    """How to judge.

    Attributes:
        fraction_dose_gy: local dose in every voxel at which RBE and -ln S are compared, Gy.
        truth: `gsm2_mc` on random voxels, `gsm2_fft` or `zr_table` on all voxels.
        voxels: number of random voxels for `gsm2_mc`.
        seed: of the choice of voxels and of the simulation.
        target_se: relative standard error of survival of `gsm2_mc`.
    """

    fraction_dose_gy: float = 2.0
    truth: str = "gsm2_mc"
    voxels: int = 300
    seed: int = 1
    target_se: float = 0.003

    def __post_init__(self) -> None:
        if self.truth not in TRUTHS:
            raise UnknownNameError(f"unknown truth {self.truth!r}; known: {', '.join(TRUTHS)}")
        if self.voxels < 1 or not self.fraction_dose_gy > 0:
            raise ValueRangeError("voxels must be at least 1 and the fraction dose positive")


@dataclass(frozen=True, eq=False)
class Validation:
    """What was found.

    Attributes:
        table: errors by method, quantity and region.
        truth: maps by quantity, NaN where there is none.
        truth_se: (i, j, k) Monte Carlo standard error of the true RBE, NaN where there is none.
        predicted: maps by method, then quantity.
        baselines: alpha and beta of the cheap methods.
        population: voxels that could be judged; of `gsm2_mc` those that the judged ones were drawn from.
        curves: the surrogate's survival curves.
        regions: masks by name, not confined to the judged voxels.
        responses: of the simulated voxels; empty for `zr_table`.
        self_consistency: whether the truth came from the judged store's own spectra.
        plan_was_trained_on: whether the model saw this run in training (other voxels of it are judged then).
        seconds: wall time of the truth.
    """

    table: ComparisonTable
    truth: Mapping[str, Floats]
    truth_se: Floats
    predicted: Mapping[str, Mapping[str, Floats]]
    baselines: Mapping[str, Baseline]
    population: int
    curves: CurveMap
    regions: Masks
    responses: Sequence[VoxelResponse]
    self_consistency: bool
    plan_was_trained_on: bool
    seconds: float


def validate(
    low: Field,
    high: Field | None,
    high_id: str,
    surrogate: Surrogate,
    line: CellLine,
    table: MonoTable,
    settings: ValidationSettings,
    ledger: Path,
    progress: Progress | None = None,
) -> Validation:
    """Compare the surrogate and the cheap methods, all on `low`, with the truth of `high`.

    Args:
        low: the input, with few histories.
        high: another run of the same plan with many histories; None takes `low` itself (self-consistency only).
        high_id: field id of the one that gives the truth.
        surrogate: the model.
        line: cell line.
        table: its mono-energetic table, for the baselines.
        settings: how to judge.
        ledger: directory of simulated voxels.
        progress: called with voxels simulated and all voxels.

    Raises:
        GridMismatchError: the two runs are not on one grid.
        QuantityError: the two runs are not of one plan, or share histories.
        ValueRangeError: no voxel is left to judge.
    """
    reference = low if high is None else high
    low.require_same_plan(reference, "input and reference")
    if high is not None:
        _require_independent(low, high)
    require_on_ladder(settings.fraction_dose_gy, np.array(surrogate.card.doses))
    start = time.perf_counter()
    curves = predict_curves(low, surrogate, line, table=table)
    seconds = {SURROGATE: (time.perf_counter() - start) / low.grid.n_voxels}
    seen = _seen_voxels(surrogate, low, reference)
    _require_known_dose(reference)
    parts = regions(reference.dose, reference.beam_axis, reference.beam_sign, reference.grid.spacing_mm)
    evaluated = np.logical_or.reduce(list(parts.values())) & (reference.spectra.fluence.sum(axis=(0, 1)) > 0)
    evaluated &= ~faulty(reference)  # nothing follows from such a spectrum, nor is it simulated
    judged = _judged(curves.mask & evaluated, seen)
    voxels = _draw(judged, settings) if settings.truth == "gsm2_mc" else np.argwhere(judged)
    start = time.perf_counter()
    truth, truth_se, responses = _truth(reference, high_id, voxels, line, table, settings, ledger, progress)
    took = time.perf_counter() - start
    known = np.isfinite(truth["RBE"])
    masks = {name: mask & known for name, mask in parts.items() if (mask & known).any()}
    baselines = baseline_effects(low, line, table)
    predicted = {SURROGATE: surrogate_maps(curves, low, line, settings.fraction_dose_gy)}
    predicted |= _baseline_maps(baselines, settings.fraction_dose_gy, line)
    seconds |= {name: b.seconds_per_voxel for name, b in baselines.items()}
    seconds[f"truth ({settings.truth})"] = took / len(voxels)
    kinds = {SURROGATE: "surrogate", **{name: b.kind for name, b in baselines.items()}}
    floors = {} if high is None else _floors(reference, line, table, settings, masks, truth, truth_se)
    notes = (*BASELINE_NOTES, *_notes(high is None, seen is not None, reference))
    comparison = compare(predicted, truth, masks, kinds, floors, seconds, notes)
    return Validation(
        table=comparison,
        truth=truth,
        truth_se=truth_se["RBE"],
        predicted=predicted,
        baselines=baselines,
        population=int(judged.sum()),
        curves=curves,
        regions=parts,
        responses=responses,
        self_consistency=high is None,
        plan_was_trained_on=seen is not None,
        seconds=took,
    )


def surrogate_maps(curves: CurveMap, field: Field, line: CellLine, fraction_dose_gy: float) -> dict[str, Floats]:
    """RBE, alpha and -ln S at one dose everywhere."""
    maps = derive_maps(curves, field, line, Fractionation(fraction_dose_gy), ("RBE_ref", "alpha"))
    RBE = maps["RBE_ref"].values.astype(float)
    photon = RBE * fraction_dose_gy
    return {
        "RBE": RBE,
        "alpha": maps["alpha"].values.astype(float),
        "effect": line.alpha_x * photon + line.beta_x * photon**2,
    }


def _require_independent(low: Field, high: Field) -> None:
    """Refuse a reference that shares histories with the input, or has fewer of them."""
    if scored_files(low) & scored_files(high):
        raise QuantityError(
            "the reference contains the input's own histories (the same scored files), so its noise would count as "
            "truth; give a reference of other seeds, or none for self-consistency"
        )
    if high.histories < low.histories:
        raise QuantityError(
            f"the reference has {high.histories:,} histories, the input {low.histories:,}; exchange the two"
        )


def _require_known_dose(reference: Field) -> None:
    unknown = np.argwhere(~np.isfinite(reference.dose))
    if len(unknown):
        first = tuple(int(index) for index in unknown[0])
        raise ValueRangeError(
            f"the dose of the reference is not finite in {len(unknown)} voxels, first {first}, so that nothing can be "
            "judged by it; convert its run again"
        )


def _seen_voxels(surrogate: Surrogate, *fields: Field) -> npt.NDArray[np.bool_] | None:
    known = [seen for field in fields if (seen := trained_on(surrogate.card, field)) is not None]
    return np.asarray(np.logical_or.reduce(known)) if known else None


def _judged(mask: npt.NDArray[np.bool_], seen: npt.NDArray[np.bool_] | None) -> npt.NDArray[np.bool_]:
    judged = mask if seen is None else mask & ~seen
    if not judged.any():
        raise ValueRangeError(
            "every irradiated voxel was used in training, or may have been, since a plan of the training was cropped, "
            "resampled or combined then or now; there is nothing left to judge: give another plan"
        )
    return judged


def _draw(judged: npt.NDArray[np.bool_], settings: ValidationSettings) -> npt.NDArray[np.int64]:
    voxels = np.argwhere(judged)
    return voxels[np.random.default_rng(settings.seed).permutation(len(voxels))[: settings.voxels]]


def _truth(
    field: Field,
    name: str,
    voxels: npt.NDArray[np.int64],
    line: CellLine,
    table: MonoTable,
    settings: ValidationSettings,
    ledger: Path,
    progress: Progress | None,
) -> tuple[dict[str, Floats], dict[str, Floats], Sequence[VoxelResponse]]:
    """Maps of the truth, and of its Monte Carlo standard error where it has one; and what was simulated."""
    if settings.truth == "zr_table":
        maps = _mixed(field, field.spectra.fluence, line, table, settings.fraction_dose_gy)
        chosen = np.zeros(field.grid.shape, dtype=bool)
        chosen[tuple(voxels.T)] = True
        truth = {key: np.where(chosen, values, np.nan) for key, values in maps.items()}
        return truth, {key: np.where(chosen, 0.0, np.nan) for key in truth}, ()
    chosen_voxels = [SelectedVoxel(name, (int(i), int(j), int(k)), "random", None) for i, j, k in voxels]
    simulation = SimulationSettings(settings.truth, (line.name,), settings.seed, settings.target_se)
    responses = simulate(chosen_voxels, {name: field}, ledger, simulation, progress)
    return *truth_maps(responses, field.grid.shape, line, settings.fraction_dose_gy), responses


def truth_maps(
    responses: Sequence[VoxelResponse], shape: tuple[int, int, int], line: CellLine, fraction_dose_gy: float
) -> tuple[dict[str, Floats], dict[str, Floats]]:
    """RBE, alpha and -ln S of simulated voxels on the grid, and their Monte Carlo standard errors."""
    values = {key: np.full(shape, np.nan) for key in QUANTITIES}
    errors = {key: np.full(shape, np.nan) for key in QUANTITIES}
    for response in responses:
        effect = response.effect_at(fraction_dose_gy)
        nearest = int(np.argmin(np.abs(np.array(response.doses) - fraction_dose_gy)))
        effect_se = effect * response.effect_se[nearest] / response.effect[nearest]
        RBE = float(RBE_at_dose(fraction_dose_gy, effect, line.alpha_x, line.beta_x))
        photon = RBE * fraction_dose_gy
        slope = effect / (photon * (line.alpha_x + 2 * line.beta_x * photon))
        found = {"RBE": RBE, "alpha": response.alpha, "effect": effect}
        found_se = {"RBE": RBE * slope * effect_se / effect, "alpha": response.alpha_se, "effect": effect_se}
        for key in QUANTITIES:
            values[key][response.voxel] = found[key]
            errors[key][response.voxel] = found_se[key]
    return values, errors


def _mixed(
    field: Field, fluence: npt.NDArray[np.floating], line: CellLine, table: MonoTable, dose_gy: float
) -> dict[str, Floats]:
    alpha, beta = zr_table(field.spectra.axes, fluence, table)
    return derived_maps(alpha, beta, dose_gy, line)


def _baseline_maps(baselines: Mapping[str, Baseline], dose_gy: float, line: CellLine) -> dict[str, dict[str, Floats]]:
    return {name: derived_maps(b.alpha, b.beta, dose_gy, line) for name, b in baselines.items()}


def _floors(
    field: Field,
    line: CellLine,
    table: MonoTable,
    settings: ValidationSettings,
    masks: Masks,
    truth: Mapping[str, Floats],
    truth_se: Mapping[str, Floats],
) -> dict[str, dict[str, float]]:
    """The truth's own noise in %: of its spectra, from two halves, and of its Monte Carlo, in quadrature.

    Without halves the noise of the spectra is not known, and no floor is subtracted.
    """
    if not field.halves:
        return {}
    a, b = (_mixed(field, half.fluence, line, table, settings.fraction_dose_gy) for half in field.halves)
    floors = {}
    for key in QUANTITIES:
        spectra = noise_floor(a[key], b[key], masks)
        relative = 100 * truth_se[key] / truth[key]
        union = np.logical_or.reduce(list(masks.values()))
        own = {name: float(np.sqrt(np.mean(relative[mask] ** 2))) for name, mask in {"all": union, **masks}.items()}
        floors[key] = {name: float(np.hypot(spectra[name], own[name])) for name in spectra}
    return floors


def _notes(self_consistency: bool, trained: bool, reference: Field) -> list[str]:
    notes = []
    if self_consistency:
        notes.append(
            "No reference was given: the truth comes from the same noisy spectra; this is self-consistency only."
        )
    if trained:
        notes.append("The model was trained on this plan, on other voxels than those judged here.")
    if not reference.halves:
        notes.append("The reference is a single run, so the noise of its spectra is not known and not subtracted.")
    return notes


def headline(validation: Validation) -> dict[str, Any]:
    """The few numbers to read first, of RBE over all judged voxels, in %."""
    names = [SURROGATE, "zr_table", "zr_table, grouped pooling"]
    rows = {name: validation.table.row(name, "RBE").summary for name in names}
    return {
        name: {
            key: getattr(row, key)
            for key in ("n", "bias", "rms", "rms_net", "floor", "p95", "max", "R2", "NRMSE_range")
        }
        for name, row in rows.items()
    }
