"""Plans, their parts, the noisy inputs and the truths of `judge_reference.py`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt
from judge_methods import QUANTITIES, REFERENCE_GY, Maps, maps_of_curves, maps_of_LQ
from reference_runs import HELD_OUT_FROM, trainable

from surrogate3d.direct.task import VoxelResponse
from surrogate3d.grid import Field, VolumeSet
from surrogate3d.inference.answerable import faulty
from surrogate3d.io.field_store import field_id, read_field
from surrogate3d.model.bundle import ModelCard
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.let import LET_d, bin_dose
from surrogate3d.physics.mixing import mono_table, zr_table
from surrogate3d.pipeline.design import SimulationSettings, simulate
from surrogate3d.pipeline.training import trained_on
from surrogate3d.sampling import SelectedVoxel
from surrogate3d.training.noise import thin
from surrogate3d.validation import noise_floor, regions
from surrogate3d.validation.metrics import root_mean_square

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

PRESCRIBED_GY = 2.0
"""Median dose of the target in one fraction; every voxel has its own dose by it."""

LEVELS = (None, 800, 150, 30)
"""Median tracks of a voxel to which the low run is thinned; None is the run as it is."""

THINNED_LET = ("LET_d", "LET_t", "LET_d_spectra", "LET_t_spectra")
ANSWER_SEED = 1


@dataclass(frozen=True, eq=False)
class Plan:
    """Two runs of one plan, and the voxels that are judged.

    Attributes:
        name: of the plan.
        low: the input.
        high: what the truth follows from.
        high_id: its field id.
        regions: masks by name.
        parts: masks by name; each is judged apart.
    """

    name: str
    low: Field
    high: Field
    high_id: str
    regions: dict[str, Mask]
    parts: dict[str, Mask]

    @cached_property
    def judged(self) -> Mask:
        """Voxels above 5 % of the largest dose with a sound spectrum."""
        return np.asarray(np.logical_or.reduce(list(self.regions.values())))

    @cached_property
    def region_names(self) -> npt.NDArray[np.str_]:
        """(i, j, k) name of each voxel's region; "outside" where nothing is judged."""
        masks = list(self.regions.values())
        return np.select(masks, list(self.regions), "outside")

    @cached_property
    def primary(self) -> str:
        """Species of the beam: that of the largest dose."""
        axes = self.high.spectra.axes
        dose = bin_dose(axes, self.high.spectra.fluence).sum(axis=(1, 2, 3, 4))
        return axes.species[int(dose.argmax())]

    @cached_property
    def dose_gy(self) -> Floats:
        """(i, j, k) dose of one fraction, Gy, of the high run."""
        dose = np.asarray(self.high.dose, dtype=float)
        return dose * (PRESCRIBED_GY / float(np.median(dose[self.regions["target"]])))

    @cached_property
    def own_dose_gy(self) -> Floats:
        """The same of the low run, with the scale of the high one."""
        low, high = (np.asarray(f.dose, dtype=float) / f.histories for f in (self.low, self.high))
        return low * float(np.median(self.dose_gy[self.judged] / high[self.judged]))

    def masks(self, part: str) -> dict[str, Mask]:
        """All and each region of a part, if it has voxels."""
        inside = self.parts[part] & self.judged
        masks = {"all": inside, **{name: mask & inside for name, mask in self.regions.items()}}
        return {name: mask for name, mask in masks.items() if mask.any()}


def plan_of(name: str, low: Path, high: Path) -> Plan:
    """Read a plan; a training plan of which some depth is kept aside has two parts."""
    reference = read_field(high)
    sound = (reference.spectra.fluence.sum(axis=(0, 1)) > 0) & ~faulty(reference)
    found = regions(reference.dose, reference.beam_axis, reference.beam_sign, reference.grid.spacing_mm)
    own = trainable(name, reference)
    parts = {"whole": np.ones(reference.grid.shape, dtype=bool)}
    if name in HELD_OUT_FROM:
        parts = {"kept aside": ~own, "trained on": own}
    masks = {region: mask & sound for region, mask in found.items()}
    return Plan(name, read_field(low), reference, field_id(high), masks, parts)


def seen_voxels(plan: Plan, card: ModelCard) -> Mask | None:
    """Voxels of the plan that a model was trained on; None if it never saw the plan."""
    found = [seen for field in (plan.low, plan.high) if (seen := trained_on(card, field)) is not None]
    return np.asarray(np.logical_or.reduce(found)) if found else None


def standing(part: Mask, seen: Mask | None) -> str:
    """What a model knows of a part of a plan."""
    if seen is None:
        return "unseen plan"
    return "trained on, other voxels" if (part & seen).any() else "unseen part"


def median_tracks(field: Field, judged: Mask) -> float:
    """Median tracks of the judged voxels."""
    return float(np.median(field.tracks[judged]))


def inputs(plan: Plan, seeds: int) -> Iterator[tuple[str, int, Field]]:
    """The low run and its thinned versions: level, thinning seed, field; without levels above the run's own."""
    for level in LEVELS:
        if level is None:
            yield "real", 0, plan.low
            continue
        keep = level / median_tracks(plan.low, plan.judged)
        if keep < 1:
            for seed in range(seeds):
                yield str(level), seed, thinned(plan.low, keep, seed)


def thinned(field: Field, keep: float, seed: int) -> Field:
    """The same plan with fewer histories: spectra thinned (`training.noise`), scored LET noisier as that of H is.

    Scored LET cannot be thinned; it is multiplied by what thinning does to the LET_d of the H spectrum, which is rather
    too much noise than too little. The dose keeps its own noise: nothing but the mask depends on it.
    """
    spectra, scale = field.spectra, np.float32(field.dose_scale)
    rng = np.random.default_rng((5, seed))
    fewer = thin(spectra.fluence / scale, spectra.axes, field.grid, field.beam_axis, keep, rng) * np.float32(keep)
    noise = _LET_noise(field, fewer)
    volumes = {}
    for name, volume in field.volumes.items():
        factor = (
            noise if name in THINNED_LET else keep if name in ("dose_to_water", "dose_to_medium", "tracks") else 1.0
        )
        volumes[name] = replace(volume, values=(volume.values * factor).astype(np.float32))
    return replace(
        field, volumes=VolumeSet(field.grid, volumes), spectra=replace(spectra, fluence=fewer),
        halves=(), halves_dose=(), prescription=None, histories=round(keep * field.histories),
    )  # fmt: skip


def _LET_noise(field: Field, fewer: npt.NDArray[np.floating]) -> Floats:
    """LET_d of the thinned H spectra over that before; 1 where either has no H."""
    axes = field.spectra.axes
    if "H" not in axes.species:
        return np.ones(field.grid.shape)
    h = axes.species.index("H")
    protons = replace(axes, species=("H",), edges_mev_u=axes.edges_mev_u[h : h + 1])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = LET_d(protons, fewer[h : h + 1]) / LET_d(protons, field.spectra.fluence[h : h + 1])
    return np.where(np.isfinite(ratio) & (ratio > 0), ratio, 1.0)


@dataclass(frozen=True, eq=False)
class Truth:
    """What is true of the judged voxels.

    Attributes:
        name: `zr_table` or `gsm2_mc`.
        maps: by quantity, NaN where it is not known.
        halves: the same of two halves of the high run, for the floor.
        relative_se: Monte Carlo standard error over the value by quantity, (i, j, k); 0 without Monte Carlo.
        about: facts of how it was made.
    """

    name: str
    maps: Maps
    halves: tuple[Maps, ...]
    relative_se: Maps
    about: dict[str, float]

    def floors(self, masks: dict[str, Mask], quantity: str) -> dict[str, float]:
        """Floor in % by region: spectra and Monte Carlo in quadrature."""
        known = {name: mask & np.isfinite(self.maps[quantity]) for name, mask in masks.items()}
        spectra = noise_floor(self.halves[0][quantity], self.halves[1][quantity], known)
        own = {name: 100 * root_mean_square(self.relative_se[quantity][mask]) for name, mask in known.items()}
        return {name: float(np.hypot(spectra[name], own[name])) for name in masks}


def table_truth(plan: Plan, line: CellLine) -> Truth:
    """`zr_table` on the high run, wherever there is a spectrum."""
    table, axes = mono_table(line.name), plan.high.spectra.axes
    whole = maps_of_LQ(*zr_table(axes, plan.high.spectra.fluence, table), plan.dose_gy, line)
    exact = {quantity: np.zeros(plan.high.grid.shape) for quantity in QUANTITIES}
    return Truth("zr_table", whole, _half_maps(plan, line), exact, {})


def simulated_truth(plan: Plan, line: CellLine, voxels: int, target_se: float, ledger: Path) -> Truth:
    """`gsm2_mc` on random voxels of every part, all of a part that has fewer."""
    chosen = np.concatenate([_draw(plan, part, voxels) for part in plan.parts])
    start = perf_counter()
    responses = simulate(
        [SelectedVoxel(plan.high_id, (int(i), int(j), int(k)), "random", None) for i, j, k in chosen],
        {plan.high_id: plan.high}, ledger, SimulationSettings("gsm2_mc", (line.name,), ANSWER_SEED, target_se),
    )  # fmt: skip
    seconds = perf_counter() - start
    maps, relative_se = _simulated_maps(plan, line, responses)
    se = 100 * relative_se["RBE"][np.isfinite(relative_se["RBE"])]
    about = {
        "n": len(responses), "seconds": seconds, "runs_of_the_floor": max(len(plan.high.halves), 1),
        "se_RBE_median": float(np.median(se)), "se_RBE_max": float(se.max()), "se_RBE_rms": root_mean_square(se),
        "n_above_0.15": int((se > 0.15).sum()),
    }  # fmt: skip
    return Truth("gsm2_mc", maps, _half_maps(plan, line), relative_se, about)


def _draw(plan: Plan, part: str, voxels: int) -> npt.NDArray[np.int64]:
    candidates = np.argwhere(plan.parts[part] & plan.judged)
    return candidates[np.random.default_rng(ANSWER_SEED).permutation(len(candidates))[:voxels]]


def _simulated_maps(plan: Plan, line: CellLine, responses: Sequence[VoxelResponse]) -> tuple[Maps, Maps]:
    """Maps of the judged quantities, and their standard error over the value."""
    shape, doses = plan.high.grid.shape, np.array(responses[0].doses)
    effect, mask = np.full((*shape, len(doses)), np.nan), np.zeros(shape, dtype=bool)
    relative_se = {quantity: np.full(shape, np.nan) for quantity in QUANTITIES}
    for response in responses:
        at = response.voxel
        effect[at], mask[at] = response.effect, True
        of_effect = np.array(response.effect_se) / np.array(response.effect)
        relative_se["RBE"][at] = response.RBE_ref_se / response.RBE_ref
        relative_se["RBE10"][at] = response.RBE10_se / response.RBE10
        relative_se["effect at 2 Gy"][at] = of_effect[np.abs(doses - REFERENCE_GY).argmin()]
        relative_se["effect as prescribed"][at] = of_effect[np.abs(doses - plan.dose_gy[at]).argmin()]
    return maps_of_curves(doses, effect[mask], mask, plan.dose_gy, line), relative_se


def _half_maps(plan: Plan, line: CellLine) -> tuple[Maps, ...]:
    table, axes = mono_table(line.name), plan.high.spectra.axes
    return tuple(
        maps_of_LQ(*zr_table(axes, fluence, table), plan.dose_gy, line) for fluence in half_fluences(plan.high)
    )


def half_fluences(field: Field) -> tuple[npt.NDArray[np.floating], ...]:
    """Fluence of two independent halves of the histories: those of two runs, else a run split by thinning.

    What thinning keeps and what it takes away are as independent as two runs are. The floor of RBE(2 Gy) is 0.163 % by
    the two runs of `proton_slab` and 0.165 % by a split, 0.135 and 0.141 for `proton_shallow`, 0.401 and 0.384 for
    `carbon_slab`.
    """
    if field.halves:
        return tuple(half.fluence for half in field.halves)
    fluence, scale = field.spectra.fluence, np.float32(field.dose_scale)
    rng = np.random.default_rng(9)
    kept = thin(fluence / scale, field.spectra.axes, field.grid, field.beam_axis, 0.5, rng) * scale
    return kept, 2 * fluence - kept
