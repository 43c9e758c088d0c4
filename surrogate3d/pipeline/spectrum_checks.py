"""What a field's spectra say of themselves: tracks, how much of the dose they explain, where they cannot, and LET."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Field, Grid, LetDefinition, SpectrumAxes, Volume, VolumeSet, quantity
from surrogate3d.physics.constants import K_GY, MM2_PER_UM2
from surrogate3d.physics.explained import geant4_step_mm, spectrum_fault, step_corrected_LET
from surrogate3d.physics.let import bin_LET, definition_of

Array = npt.NDArray[np.float64]
Single = npt.NDArray[np.float32]

LET_VOLUMES = {"LET_d_spectra": "LET_d", "LET_t_spectra": "LET_t"}
"""LET from the spectra, and what it is to be compared with."""

_SLAB_VOXELS = 65536


@dataclass(frozen=True)
class Steps:
    """How the simulation stepped: what pre-step binning has to be corrected for.

    Attributes:
        longest_mm: way through a voxel along the beam, or the step limit where that is shorter.
        physics_list: key of `physics.explained.STEP_FUNCTIONS`.
    """

    longest_mm: float
    physics_list: str

    def to_json(self) -> dict[str, float | str]:
        """Plain data."""
        return asdict(self)

    @staticmethod
    def through(grid: Grid, beam_axis: int, limit_mm: float | None, option4: bool) -> Steps:
        """Steps of a simulation on a grid."""
        voxel = grid.spacing_mm[beam_axis]
        return Steps(voxel if limit_mm is None else min(voxel, limit_mm), "option4" if option4 else "default")


class SpectrumChecks:
    """Makes the volumes of `names` from spectra and dose, slab by slab (`io.convert_store.Observer`).

    LET is that of `let_species` with the mean LET along the simulation's steps, which is what TOPAS scores.

    Attributes:
        names: of the volumes.
        let_definitions: of those that are LET.
        provenance: the steps that were assumed.
    """

    names: tuple[str, ...] = (
        "tracks",
        "explained",
        "explained_corrected",
        "spectrum_fault",
        "LET_d_spectra",
        "LET_t_spectra",
    )
    let_definitions: Mapping[str, LetDefinition]
    provenance: Mapping[str, Any]

    def __init__(
        self, axes: SpectrumAxes, steps: Steps, face_area_mm2: float, dose_scale: float, let_species: Sequence[str]
    ) -> None:
        self._axes, self._to_tracks = axes, face_area_mm2 / dose_scale
        self.provenance = {"steps": steps.to_json()}
        self.let_definitions = {
            name: replace(
                definition_of(axes, "dose" if of == "LET_d" else "track", species=tuple(let_species)),
                source="derived from fluence spectra, with the mean LET along the simulation's steps",
            )
            for name, of in LET_VOLUMES.items()
        }
        plain, stepped = bin_LET(axes), step_corrected_LET(axes, geant4_step_mm(axes, *asdict(steps).values()))
        counted = np.isin(axes.species, let_species)[:, None]
        ones = np.ones_like(plain)
        weights = np.stack(
            [ones, K_GY * MM2_PER_UM2 * plain, K_GY * MM2_PER_UM2 * stepped]
            + [counted * part for part in (ones, stepped, stepped**2)],
            axis=-1,
        )
        # Underflow and overflow count for nothing: their energies are not known.
        self._weights = np.pad(weights, ((0, 0), (1, 1), (0, 0))).astype(np.float32)
        self._sums = np.zeros((6, 0, 0, 0))

    def begin(self, shape: tuple[int, int, int]) -> None:
        """A new slab of this shape begins."""
        self._sums = np.zeros((self._weights.shape[-1], *shape[::-1]))

    def spectrum(self, species: str, columns: Single) -> None:
        """Fluence of one species in the slab: (k, j, i, underflow + bin + overflow), 1/mm^2."""
        weights = self._weights[self._axes.species.index(species)]
        flat, sums = columns.reshape(-1, columns.shape[-1]), self._sums.reshape(weights.shape[-1], -1)
        for start in range(0, len(flat), _SLAB_VOXELS):
            sums[:, start : start + _SLAB_VOXELS] += (flat[start : start + _SLAB_VOXELS] @ weights).T

    def volumes(self, dose: Array) -> dict[str, Array]:
        """(i, j, k) volumes of the slab by name, given its dose."""
        fluence, plain, stepped, counted, LET, LET2 = self._sums  # (k, j, i), in the order of the files
        in_order = np.ascontiguousarray(dose.T)
        tracks = fluence * self._to_tracks
        corrected = _ratio(stepped, in_order)
        made = {
            "tracks": tracks,
            "explained": _ratio(plain, in_order),
            "explained_corrected": corrected,
            "spectrum_fault": spectrum_fault(corrected, tracks).astype(float),
            "LET_d_spectra": _ratio(LET2, LET),
            "LET_t_spectra": _ratio(LET, counted),
        }
        return {name: values.T for name, values in made.items()}


def checks_for(
    axes: SpectrumAxes,
    grid: Grid,
    beam_axis: int,
    dose_scale: float,
    steps: Steps,
    scored: Mapping[str, LetDefinition],
) -> SpectrumChecks:
    """The checks of a field; LET is that of protons where TOPAS scored it, else of all ions."""
    species = ("H",) if scored and "H" in axes.species else axes.species
    return SpectrumChecks(axes, steps, grid.face_area_mm2(beam_axis), dose_scale, species)


def with_checks(field: Field, steps: Steps) -> Field:
    """A field in memory with the volumes of `SpectrumChecks` made anew from its spectra.

    Tracks are kept where several beams brought them: each has its own face and scale.
    """
    scored = {name: words for name, words in field.let_definitions.items() if name not in LET_VOLUMES}
    axes = field.spectra.axes
    checks = checks_for(axes, field.grid, field.beam_axis, field.dose_scale, steps, scored)
    nx, ny, nz = field.grid.shape
    made = {name: np.empty(field.grid.shape, np.float32) for name in checks.names}
    depth = max(1, _SLAB_VOXELS // (nx * ny))
    for k in range(0, nz, depth):
        here = slice(k, min(k + depth, nz))
        checks.begin((nx, ny, here.stop - k))
        for n, species in enumerate(axes.species):
            bins = np.pad(field.spectra.fluence[n, ..., here], ((1, 1), (0, 0), (0, 0), (0, 0)))
            checks.spectrum(species, np.ascontiguousarray(bins.transpose(3, 2, 1, 0), dtype=np.float32))
        for name, values in checks.volumes(np.asarray(field.dose[..., here], dtype=float)).items():
            made[name][..., here] = values
    if len(field.beams) > 1 and "tracks" in field.volumes:
        del made["tracks"]
    volumes = {name: Volume(field.grid, values, quantity(name)) for name, values in made.items()}
    return replace(
        field,
        volumes=VolumeSet(field.grid, {**field.volumes, **volumes}),
        let_definitions={**scored, **checks.let_definitions},
        provenance={**field.provenance, **checks.provenance},
    )


def checked(field: Field) -> Field:
    """The field with its checks: as stored, or made now for one that was stored or made without."""
    if all(name in field.volumes for name in SpectrumChecks.names):
        return field
    return with_checks(field, steps_of(field))


def steps_of(field: Field) -> Steps:
    """The steps that the field's simulation is taken to have made: as stored, else Geant4's default."""
    stored = field.provenance.get("steps")
    return Steps(**stored) if stored else Steps.through(field.grid, field.beam_axis, None, False)


def _ratio(numerator: Array, denominator: Array) -> Array:
    out = np.full(numerator.shape, np.nan)
    np.divide(numerator, denominator, out=out, where=denominator > 0)
    return out
