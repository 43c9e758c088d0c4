"""How well the distance of a voxel's spectrum tells what a model was not trained on.

    python benchmarks/domain.py STORES [--final]

STORES holds `<plan>_low.field.zarr` and `<plan>_high.field.zarr` as `scripts/reference_runs.py` makes them. Each split
names the voxels trained on, voxels of another run or plan that are like them, and voxels that are not. What is like is
told by the runs with many histories (mean energy of the primary, by dose); scored are the real run with few histories
and the other thinned to 150 and 30 tracks a voxel. Printed per split and statistics: area under the ROC curve of the
score, share of the voxels inside and outside that are flagged, and the size of the stored table. The real run of a plan
that is trained on is the one that the noise was learned from; the thinned ones are drawn anew. `--final` adds what
nothing was chosen on: the deepest third of `carbon_slab`, and `proton_shallow`.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from surrogate3d.grid import Field
from surrogate3d.inference.spectrum_distance import SpectrumFeatures, field_features, spectrum_features
from surrogate3d.inference.spectrum_domain import SpectrumDomain
from surrogate3d.io.field_store import read_field
from surrogate3d.physics.let import bin_dose
from surrogate3d.training.noise import thin

Mask = npt.NDArray[np.bool_]
Voxels = Sequence[tuple[str, Mask]]

LEVELS = (150.0, 30.0)
"""Median tracks per voxel of the thinned runs."""

TWO_THIRDS = 42
"""First plane of the deepest third of `carbon_slab`, on which nothing may be chosen."""


@dataclass(frozen=True, eq=False)
class Plan:
    """One plan at all statistics.

    Attributes:
        high: many histories.
        mask: (i, j, k) voxels above 5 % of the largest dose.
        energy: (i, j, k) mean energy of the primary by dose (logarithmic), MeV/u; NaN where there is none.
        depth: (i, j, k) index along the beam, downstream.
        runs: two independent sets (for learning and for judging) of features by statistics, all voxels of `mask`.
    """

    high: Field
    mask: Mask
    energy: npt.NDArray[np.float64]
    depth: npt.NDArray[np.int64]
    learned: SpectrumFeatures
    runs: Mapping[str, tuple[SpectrumFeatures, SpectrumFeatures]]

    def at(self, features: SpectrumFeatures, mask: Mask) -> SpectrumFeatures:
        """Some of the voxels."""
        chosen = mask[self.mask]
        return SpectrumFeatures(features.species, features.points[chosen], features.noise[chosen])


@dataclass(frozen=True)
class Split:
    """What is trained on, and which voxels are inside and outside."""

    name: str
    train: Voxels
    inside: Voxels
    outside: Voxels


def plan(stores: Path, name: str, rng: np.random.Generator) -> Plan:
    """Read a plan and thin it."""
    low, high = (read_field(stores / f"{name}_{run}.field.zarr") for run in ("low", "high"))
    seen = [field.spectra.fluence.any(axis=(0, 1)) for field in (low, high)]
    mask = (high.dose > 0.05 * np.nanmax(high.dose)) & seen[0] & seen[1]
    depth = np.moveaxis(np.broadcast_to(np.arange(high.grid.shape[high.beam_axis]), _last(high)), -1, high.beam_axis)
    depth = depth if high.beam_sign > 0 else depth.max() - depth
    real = field_features(low, mask)
    runs = {"real": (real, real)}
    for level in LEVELS:
        keep = level / float(np.median(high.tracks[mask]))
        first, second = (_thinned(high, mask, keep, rng) for _ in range(2))
        runs[f"{level:g} tracks"] = (first, second)
    return Plan(high, mask, _mean_energy(high), depth, field_features(high, mask), runs)


def _last(field: Field) -> tuple[int, ...]:
    shape = field.grid.shape
    return (*(n for axis, n in enumerate(shape) if axis != field.beam_axis), shape[field.beam_axis])


def _thinned(field: Field, mask: Mask, keep: float, rng: np.random.Generator) -> SpectrumFeatures:
    counted = field.spectra.fluence / np.float32(field.dose_scale)
    fluence = thin(counted, field.spectra.axes, field.grid, field.beam_axis, keep, rng) * np.float32(keep)
    fluence[:, :, mask & ~fluence.any(axis=(0, 1))] = 1e-12  # a voxel without a single track stays in the count
    tracks = fluence.sum(axis=(0, 1)) * field.grid.face_area_mm2(field.beam_axis)
    return spectrum_features(field.spectra.axes, fluence, tracks, field.beam_axis, mask)


def _mean_energy(field: Field) -> npt.NDArray[np.float64]:
    dose = bin_dose(field.spectra.axes, field.spectra.fluence)
    primary = int(dose.sum(axis=(1, 2, 3, 4)).argmax())
    weight = dose[primary].sum(axis=0, dtype=float)
    mean = np.einsum("b,bijk->ijk", np.log(field.spectra.axes.energy_mev_u[primary]), dose[primary])
    return np.asarray(np.exp(np.divide(mean, weight, out=np.full(weight.shape, np.nan), where=weight > 0)))


def splits(plans: Mapping[str, Plan]) -> list[Split]:
    """The splits on which the domain was developed."""
    slab, deep, carbon = (plans[name] for name in ("proton_slab", "proton_deep", "carbon_slab"))
    near = ("carbon_slab", carbon.mask & (carbon.depth < TWO_THIRDS))
    protons = [("proton_slab", slab.mask), ("proton_deep", deep.mask)]
    highest = float(np.nanmax(slab.energy[slab.mask]))
    shared = deep.energy <= highest
    found = [
        Split("carbon beam, trained on protons", protons, protons, [near]),
        Split("proton beam, trained on carbon", [near], [near], protons),
        Split(
            f"proton_deep above {highest:.0f} MeV, trained on proton_slab",
            [("proton_slab", slab.mask)],
            [("proton_deep", deep.mask & shared)],
            [("proton_deep", deep.mask & ~shared)],
        ),
        Split("proton_slab, trained on proton_deep (nothing is outside)", protons[1:], protons[:1], []),
    ]
    found += [
        Split(
            f"proton_deep below {least:.0f} MeV, trained on proton_slab above",
            [("proton_slab", slab.mask & (slab.energy >= least))],
            [("proton_deep", deep.mask & shared & (deep.energy >= least))],
            [("proton_deep", deep.mask & (deep.energy < least))],
        )
        for least in (20.0, 40.0, 70.0)
    ]
    for plane in (24, 34):
        upstream = [("carbon_slab", carbon.mask & (carbon.depth < plane))]
        beyond = [("carbon_slab", carbon.mask & (carbon.depth >= plane + 2) & (carbon.depth < TWO_THIRDS))]
        found.append(
            Split(f"carbon_slab beyond plane {plane + 1}, trained on what is before", upstream, upstream, beyond)
        )
    return found


def final_splits(plans: Mapping[str, Plan]) -> list[Split]:
    """What nothing was chosen on."""
    slab, deep, carbon, shallow = (
        plans["proton_slab"],
        plans["proton_deep"],
        plans["carbon_slab"],
        plans["proton_shallow"],
    )
    near = ("carbon_slab", carbon.mask & (carbon.depth < TWO_THIRDS))
    tail = ("carbon_slab", carbon.mask & (carbon.depth >= TWO_THIRDS))
    trained = [("proton_slab", slab.mask), ("proton_deep", deep.mask), near]
    return [
        Split("carbon_slab, deepest third, trained on all else", trained, [near], [tail]),
        Split(
            "proton_shallow, trained on all else (nothing is outside)", trained, [("proton_shallow", shallow.mask)], []
        ),
        Split(
            "carbon beam, trained on protons; proton_shallow inside",
            trained[:2],
            [("proton_shallow", shallow.mask)],
            [near],
        ),
    ]


def fit(plans: Mapping[str, Plan], voxels: Voxels) -> SpectrumDomain:
    """Learn from the runs with many histories, and the noise from those with few."""
    training = [plans[name].at(plans[name].learned, mask) for name, mask in voxels]
    noisy = [plans[name].at(runs[0], mask) for name, mask in voxels for runs in plans[name].runs.values()]
    return SpectrumDomain.fit(training, noisy)


def scores(domain: SpectrumDomain, plans: Mapping[str, Plan], voxels: Voxels, run: str) -> npt.NDArray[np.float64]:
    """Scores of the voxels at some statistics."""
    parts = [domain.score_of(plans[name].at(plans[name].runs[run][1], mask)) for name, mask in voxels]
    return np.concatenate([*parts, np.zeros(0)])


def auroc(inside: npt.NDArray[np.float64], outside: npt.NDArray[np.float64]) -> float:
    """Probability that a voxel outside has the larger score."""
    if not len(inside) or not len(outside):
        return float("nan")
    ranks = rankdata(np.concatenate([inside, outside]))[len(inside) :]
    return float((ranks.mean() - (len(outside) + 1) / 2) / len(inside))


def report(plans: Mapping[str, Plan], split: Split) -> None:
    """Print one split."""
    domain = fit(plans, split.train)
    size = sum(array.nbytes for array in domain.to_arrays().values())
    print(f"\n{split.name}: {len(domain.prototypes)} prototypes, {size / 1e3:.0f} kB, b = {domain.noise_scale:.2f}")
    for run in plans["proton_slab"].runs:
        inside, outside = (scores(domain, plans, voxels, run) for voxels in (split.inside, split.outside))
        flagged = [f"{np.mean(part > domain.threshold):.3f}" if len(part) else "-" for part in (inside, outside)]
        print(
            f"  {run:>11}  AUROC {auroc(inside, outside):.3f}  flagged inside {flagged[0]} of {len(inside)}, "
            f"outside {flagged[1]} of {len(outside)}"
        )


def main() -> None:
    """Print all splits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stores", type=Path)
    parser.add_argument("--final", action="store_true")
    given = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores")
    rng = np.random.default_rng(0)
    names = ["proton_slab", "proton_deep", "carbon_slab"] + ["proton_shallow"] * given.final
    plans = {name: plan(given.stores, name, rng) for name in names}
    for split in splits(plans) + (final_splits(plans) if given.final else []):
        report(plans, split)


if __name__ == "__main__":
    main()
