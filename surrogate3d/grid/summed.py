"""What adds, and what is a mean: fields carried to one grid and summed there.

Dose and fluence add. A LET is a mean with the dose (LET_d) or the fluence (LET_t) as weight, so its numerator adds:
sum(w D LET) / sum(w D), over the dose whose LET is known. Standard errors add in quadrature. Effects on cells, such as
RBE or alpha, do neither: they are computed from the sum, and refused here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError
from surrogate3d.grid.field import DoseField, Field
from surrogate3d.grid.geometry import Grid
from surrogate3d.grid.overlap import Overlap
from surrogate3d.grid.spectrum import SPECIES_Z, Spectra, SpectrumAxes
from surrogate3d.grid.volume import Volume

Floats = npt.NDArray[np.float64]
Outside = Literal["refuse", "nan", "zero"]

DOSES = ("dose_to_water", "dose_to_medium")
PATIENT = ("structure", "density", "HU", "image_signal")
"""Quantities of the patient, not of the radiation: they are the same in every field and never add."""

RESPONSES = (
    "alpha", "beta", "survival", "effect", "RBE", "RBE_ref", "RBE10", "RBE_std", "RBE_half_width", "RBE_se",
    "D_RBE", "BED", "EQD2",
    "mask", "out_of_domain", "outside", "cell_line",
    "M1", "F1", "F2", "F3", "DSB_site_yield", "DSB_yield", "complex_DSB_yield",
    "importance_nanometre", "importance_micrometre", "importance_LET", "resistance",
)  # fmt: skip
"""What follows from a radiation field, and is neither added nor carried to another grid."""

FROM_SPECTRA = ("explained", "explained_corrected", "spectrum_fault", "LET_d_spectra", "LET_t_spectra")
"""What is made from dose and spectra: never carried, but made anew from the result."""

_WEIGHTED = {"LET_d": "dose", "LET_t": "fluence"}


@dataclass(frozen=True, eq=False)
class Part:
    """One field on its way into a sum.

    Attributes:
        field: with dose, and spectra or not.
        overlap: from its grid to that of the sum.
        weight: factor on its dose and fluence.
        outside: what is known of target voxels that its grid does not cover: "zero" is no dose, "nan" is nothing (dose
            and LET are NaN there, and fluence, which cannot be NaN, is 0).
    """

    field: DoseField
    overlap: Overlap
    weight: float = 1.0
    outside: Outside = "zero"

    def carry(self, values: npt.NDArray[np.floating], unknown: float = np.nan) -> Floats:
        """Values (i, j, k) of the field on the grid of the sum, not weighted; `unknown` where nothing is known."""
        return self._known(self.overlap.mean(values), self.overlap.coverage, unknown)

    def carry_variance(self, values: npt.NDArray[np.floating]) -> Floats:
        """The same for variances of independent voxels."""
        return self._known(self.overlap.mean_variance(values), self.overlap.coverage**2, np.nan)

    def _known(self, values: Floats, inside: Floats, unknown: float) -> Floats:
        if self.outside == "zero":
            return values
        covered = self.overlap.covered
        return np.where(covered, values / np.where(covered, inside, 1.0), unknown)


def require_physical(field: DoseField, what: str) -> None:
    """Refuse a field with volumes that must not be added or averaged.

    Raises:
        QuantityError: there is a response of cells, or a quantity of which nothing is known.
    """
    for name, volume in field.volumes.items():
        found = volume.quantity.name
        if found in RESPONSES:
            raise QuantityError(
                f"{what} holds {name}: RBE, alpha, beta and what is made of them do not add and have no mean over "
                "voxels; leave it out, and compute it from the result"
            )
        if found not in (*DOSES, *PATIENT, *FROM_SPECTRA, *_WEIGHTED, "dose_std", "tracks"):
            raise QuantityError(f"{what} holds {name}, of which is not known how it adds; leave it out")


def summed_volumes(parts: Sequence[Part]) -> tuple[dict[str, Volume], tuple[str, ...]]:
    """Sum the volumes of fields of which `require_physical` has passed.

    Not among them are `tracks`, which is for `summed_tracks`, and what is made from spectra (`FROM_SPECTRA`).

    Returns:
        Volumes by name on the grid of the sum, and what was left out with the reason.
    """
    grid, volumes, notes = parts[0].overlap.target, {}, []
    for name in dict.fromkeys(name for part in parts for name in part.field.volumes):
        having = [part for part in parts if name in part.field.volumes]
        example = having[0].field.volumes[name]
        kind = example.quantity.name
        if kind in ("tracks", *FROM_SPECTRA):
            continue
        if reason := _left_out(kind, having, len(parts)):
            notes.append(f"{name} is left out: {reason}")
            continue
        values = _sum_of(name, kind, having).astype(example.values.dtype, copy=False)
        volumes[name] = Volume(grid, values, example.quantity)
    return volumes, tuple(notes)


def _left_out(kind: str, having: Sequence[Part], n_parts: int) -> str:
    if kind == "LET_t" and not all(isinstance(part.field, Field) for part in having):
        return "its weight is the fluence, which is known only with spectra"
    if kind not in PATIENT and len(having) < n_parts:
        return f"only {len(having)} of {n_parts} fields have it"
    return ""


def _sum_of(name: str, kind: str, parts: Sequence[Part]) -> Floats:
    if kind in PATIENT:
        return parts[0].carry(parts[0].field.volumes[name].values)
    if kind in _WEIGHTED:
        return _weighted_mean(name, _WEIGHTED[kind], parts)
    each = [part.field.volumes[name].values for part in parts]
    if kind == "dose_std":
        variances = [p.weight**2 * p.carry_variance(v.astype(float) ** 2) for p, v in zip(parts, each, strict=True)]
        return np.asarray(np.sqrt(np.sum(variances, axis=0)), dtype=float)
    return np.asarray(np.sum([p.weight * p.carry(v) for p, v in zip(parts, each, strict=True)], axis=0), dtype=float)


def _weighted_mean(name: str, by: str, parts: Sequence[Part]) -> Floats:
    """Mean with dose or fluence as weight, over the voxels where it is known; NaN where it is known nowhere."""
    shape = parts[0].overlap.target.shape
    numerator, denominator = np.zeros(shape), np.zeros(shape)
    for part in parts:
        values = part.field.volumes[name].values.astype(float)
        weight = part.field.dose.astype(float) if by == "dose" else _fluence(part.field, name)
        known = np.isfinite(values) & np.isfinite(weight)
        weight = np.where(known, part.weight * weight, 0.0)
        numerator += part.carry(weight * np.where(known, values, 0.0))
        denominator += part.carry(weight)
    positive = denominator > 0  # and not NaN
    mean = np.full(shape, np.nan)
    np.divide(numerator, denominator, out=mean, where=positive)
    return mean


def _fluence(field: DoseField, name: str) -> Floats:
    """(i, j, k) fluence of the particles whose mean a LET_t is: of H where it is one of protons, else of all."""
    spectra = cast(Field, field).spectra
    definition = field.let_definitions.get(name)
    chosen = slice(None)
    if "H" in spectra.axes.species and definition is not None and definition.particles.startswith("proton"):
        row = spectra.axes.species.index("H")
        chosen = slice(row, row + 1)
    whole = spectra.fluence[chosen].sum(axis=(0, 1), dtype=float)
    return np.asarray(whole + spectra.underflow[chosen].sum(axis=0) + spectra.overflow[chosen].sum(axis=0), dtype=float)


def summed_tracks(parts: Sequence[Part]) -> Floats:
    """(i, j, k) tracks: those of each field as density over its voxels' faces, with the faces of the target's."""
    each = (part.carry(cast(Field, part.field).tracks, 0.0) * _face_ratio(part) for part in parts)
    return np.asarray(sum(each), dtype=float)


def _face_ratio(part: Part) -> float:
    """Face across the beam of a target voxel over that of a source voxel; of several beams the mean, dose as weight."""
    target, source = part.overlap.target, part.overlap.source
    directions, doses = zip(*travel_of_beams(cast(Field, part.field)), strict=True)
    ratios = [
        target.face_area_mm2(nearest_axis(target, each)[0]) / source.face_area_mm2(nearest_axis(source, each)[0])
        for each in directions
    ]
    return float(np.average(ratios, weights=doses if any(doses) else None))


def travel_of_beams(field: Field) -> list[tuple[Floats, float]]:
    """Direction of travel in space, and share of the dose, of each beam whose dose is kept, else of the one beam."""
    along_axis = np.asarray(field.grid.direction, dtype=float)[:, field.beam_axis] * field.beam_sign
    if not field.beams_dose:
        known = field.beams[0].direction if field.beams else None
        return [(np.asarray(known or along_axis, dtype=float), 1.0)]
    directions = [np.asarray(beam.direction or along_axis, dtype=float) for beam in field.beams]
    return list(zip(directions, (float(np.nansum(dose)) for dose in field.beams_dose), strict=True))


def main_axis(field: Field, grid: Grid) -> tuple[int, int]:
    """Index axis of `grid` nearest to the beam with most dose of a field, and its sense."""
    return nearest_axis(grid, max(travel_of_beams(field), key=lambda beam: beam[1])[0])


def nearest_axis(grid: Grid, direction: npt.ArrayLike) -> tuple[int, int]:
    """Index axis of a grid that is nearest to a direction in space, and +1 or -1 for its sense."""
    along = np.asarray(grid.direction, dtype=float).T @ np.asarray(direction, dtype=float)
    axis = int(np.abs(along).argmax())
    return axis, 1 if along[axis] > 0 else -1


def joint_axes(axes: Sequence[SpectrumAxes]) -> SpectrumAxes:
    """Species of any of the axes; those of several must have the same edges.

    Raises:
        GridMismatchError: other numbers of bins, or other edges of a shared species.
    """
    edges: dict[str, npt.NDArray[np.float64]] = {}
    for each in axes:
        if each.n_bins != axes[0].n_bins:
            raise GridMismatchError(f"fields have {axes[0].n_bins} and {each.n_bins} energy bins; score the same ones")
        for species, row in zip(each.species, each.edges_mev_u, strict=True):
            alone = SpectrumAxes((species,), row[None])
            if not SpectrumAxes((species,), edges.setdefault(species, row)[None]).matches(alone):
                raise GridMismatchError(
                    f"fields have energy bins of {species} from {edges[species][0]:g} to {edges[species][-1]:g} and "
                    f"from {row[0]:g} to {row[-1]:g} MeV/u with other edges; score the same ones"
                )
    names = tuple(sorted(edges, key=SPECIES_Z.__getitem__))
    return SpectrumAxes(names, np.stack([edges[name] for name in names]))


def summed_spectra(parts: Sequence[Part], spectra: Sequence[Spectra]) -> Spectra:
    """Sum spectra, one of each part, bin by bin; a species that one does not have counts as none there."""
    each = list(zip(parts, spectra, strict=True))
    axes = joint_axes([s.axes for s in spectra])
    shape, dtype = parts[0].overlap.target.shape, np.result_type(*(s.fluence for s in spectra))
    fluence = np.zeros((len(axes.species), axes.n_bins, *shape), dtype)
    outside = [np.zeros((len(axes.species), *shape), dtype) for _ in range(2)]
    for row, species in enumerate(axes.species):
        having = [(p, s, s.axes.species.index(species)) for p, s in each if species in s.axes.species]
        for b in range(axes.n_bins):
            fluence[row, b] = _sum([(p, s.fluence[n, b]) for p, s, n in having])
        outside[0][row] = _sum([(p, s.underflow[n]) for p, s, n in having])
        outside[1][row] = _sum([(p, s.overflow[n]) for p, s, n in having])
    return Spectra(axes, fluence, outside[0], outside[1])


def summed_dose(parts: Sequence[Part], doses: Sequence[npt.NDArray[np.floating]]) -> npt.NDArray[np.floating]:
    """Sum doses (i, j, k), one of each part."""
    values = np.sum([part.weight * part.carry(dose) for part, dose in zip(parts, doses, strict=True)], axis=0)
    return np.asarray(values, dtype=np.result_type(*doses))


def _sum(each: Sequence[tuple[Part, npt.NDArray[np.floating]]]) -> Floats | float:
    return sum((part.weight * part.carry(values, 0.0) for part, values in each if values.any()), start=0.0)
