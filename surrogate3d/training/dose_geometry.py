"""Other geometries for plans without spectra: oblique, stepped, mirrored, and with steeper edges.

Two plans of straight beams do not show a network what a slanted edge is, nor the steep one of a lower energy. Dose,
dose LET and dose alpha are linear in the radiation, so columns may be shifted along the beam, and planes be put
together, with labels as exact as before.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from surrogate3d.model.dose_channels import DoseLET
from surrogate3d.model.groups import Scalar, turn_back, turn_downstream
from surrogate3d.training.dataset import Geometry, shift_columns
from surrogate3d.training.dose_examples import LabelledPlan

Floats = npt.NDArray[np.float64]

MOST_COMPRESSED = 1.8
"""Of the depth of a made-up plan: the range of 135 MeV becomes that of 97 MeV (by 0.0022 E^1.77 cm).

Straggling is about in proportion to the range, so the edge becomes as steep."""

SUMS = ("dose", "dose_d", "dose_LET_d", "dose_t", "fluence_t")


def varied(plan: LabelledPlan, rng: np.random.Generator) -> LabelledPlan:
    """One run of a plan in a random geometry; half the time the run with fewest histories.

    Simulated voxels stay with the plan itself.
    """
    n = 0 if rng.random() < 0.5 else int(rng.integers(len(plan.realisations)))
    one = replace(plan, realisations=(plan.realisations[n],), direct=())
    factor = float(np.exp(rng.uniform(0.0, np.log(MOST_COMPRESSED))))
    return moved(compressed(one, factor), Geometry.draw(plan.dose.shape[:2], rng))


def moved(plan: LabelledPlan, geometry: Geometry) -> LabelledPlan:
    """A plan whose lateral columns are shifted along the beam, and which is mirrored; what is shifted in is empty."""

    def of(values: npt.NDArray[Scalar], fill: float = 0.0) -> npt.NDArray[Scalar]:
        return np.ascontiguousarray(geometry.apply(torch.from_numpy(np.ascontiguousarray(values)), fill).numpy())

    def run_of(run: DoseLET) -> DoseLET:
        a, b, c = run.spacing_mm
        return DoseLET((b, a, c) if geometry.exchange else (a, b, c), *(of(getattr(run, name)) for name in SUMS))

    return replace(
        plan,
        realisations=tuple(run_of(run) for run in plan.realisations),
        dose=of(plan.dose),
        alpha=of(plan.alpha, float("nan")),
        sqrt_beta=of(plan.sqrt_beta, float("nan")),
        cube=of(plan.cube),
        direct=(),
    )


def compressed(plan: LabelledPlan, factor: float) -> LabelledPlan:
    """A plan of which `factor` planes are put into one: as steep as one of a shorter range, in voxels of one size.

    Simulated voxels are left behind.

    Args:
        plan: the plan.
        factor: at least 1; a plane is shared between two by its parts.
    """
    depth = plan.dose.shape[-1]
    start = np.arange(int(depth / factor))[:, None] * factor
    share = np.clip(np.minimum(start + factor, np.arange(depth) + 1) - np.maximum(start, np.arange(depth)), 0.0, 1.0)

    def of(values: Floats) -> Floats:
        return np.asarray(values @ share.T)

    def mean(values: Floats) -> Floats:
        weight = np.where(np.isfinite(values), plan.dose, 0.0)
        total = of(weight)
        return np.divide(of(weight * np.nan_to_num(values)), total, out=np.full_like(total, np.nan), where=total > 0)

    dose = of(plan.dose)
    return replace(
        plan,
        realisations=tuple(
            DoseLET(run.spacing_mm, *(of(getattr(run, name)) for name in SUMS)) for run in plan.realisations
        ),
        dose=dose / dose.max(),
        alpha=mean(plan.alpha),
        sqrt_beta=mean(plan.sqrt_beta),
        cube=plan.cube[..., (start[:, 0] + factor / 2).astype(int)],
        direct=(),
    )


def tilted(values: npt.NDArray[Scalar], beam: tuple[int, int], slope: float, fill: float = 0.0) -> npt.NDArray[Scalar]:
    """Maps as a beam would leave them that enters a slanted surface.

    Every lateral column is shifted along the beam by a whole number of voxels.

    Args:
        values: (..., i, j, k).
        beam: index axis of the beam and its sign.
        slope: voxels along the beam for one across it, along the first of the two other axes.
        fill: value of what is shifted in.
    """
    turned = np.ascontiguousarray(turn_downstream(values, *beam))
    n, m = turned.shape[-3:-1]
    shift = np.rint(slope * (np.arange(n) - (n - 1) / 2)).astype(np.int64)[:, None].repeat(m, axis=1)
    found = shift_columns(torch.from_numpy(turned), torch.from_numpy(shift), fill).numpy()
    return np.ascontiguousarray(turn_back(found, *beam))
