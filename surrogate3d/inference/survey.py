"""What a field says as a whole, which no tile of it can know: read once, before anything is predicted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Field, SpectrumAxes
from surrogate3d.physics.constants import K_GY, MM2_PER_UM2
from surrogate3d.physics.let import bin_LET
from surrogate3d.physics.linear_sums import linear_sums

_PLANES = 32  # read at a time: the depth of a chunk

Single = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Survey:
    """Sums over the spectra of a field.

    Attributes:
        tracks: (i, j, k) particles scored in each voxel (`Field.tracks`).
        dose: (i, j, k) dose that the spectra explain, Gy in the field's scale.
        species_dose: (species,) the same, summed over the voxels.
        per_track: fluence that a track adds to its voxel, 1/mm^2: one number, or (i, j, k) where several beams meet.
    """

    tracks: Single
    dose: Single
    species_dose: npt.NDArray[np.float64]
    per_track: float | Single

    @property
    def filled(self) -> npt.NDArray[np.bool_]:
        """(i, j, k) where there is a spectrum."""
        return np.asarray(self.dose > 0)

    @property
    def primary(self) -> int:
        """Index of the species with the largest dose: the beam."""
        return int(self.species_dose.argmax())


def survey(field: Field) -> Survey:
    """Sum the spectra of a field, some planes at a time."""
    axes, shape, weights = field.spectra.axes, field.grid.shape, survey_weights(field.spectra.axes)
    fluence, dose = np.empty(shape, np.float32), np.empty(shape, np.float32)
    species_dose = np.zeros(len(axes.species))
    everywhere = slice(0, shape[0]), slice(0, shape[1])
    for k in range(0, shape[2], _PLANES):
        planes = slice(k, min(k + _PLANES, shape[2]))
        sums = linear_sums(field.spectra.fluence, weights, (*everywhere, planes))
        fluence[..., planes], dose[..., planes] = sums.sum(axis=0)
        species_dose += sums[:, 1].sum(axis=(1, 2, 3), dtype=float)
    return survey_of(field, fluence, dose, species_dose)


def survey_weights(axes: SpectrumAxes) -> npt.NDArray[np.float64]:
    """(species, 2, bin) weights of the linear sums that a survey is made of: fluence, and dose in Gy."""
    per_fluence = K_GY * MM2_PER_UM2 * bin_LET(axes)
    return np.stack([np.ones_like(per_fluence), per_fluence], axis=1)


def survey_of(field: Field, fluence: Single, dose: Single, species_dose: npt.NDArray[np.float64]) -> Survey:
    """A survey from sums.

    Args:
        field: for its beams and scale.
        fluence: (i, j, k) of all species and bins, 1/mm^2; it is the survey's from now on.
        dose: (i, j, k) the same, Gy.
        species_dose: (species,) summed over the voxels, Gy.
    """
    if len(field.beams) > 1 and "tracks" in field.volumes:
        tracks = np.asarray(field.volumes["tracks"].values, dtype=np.float32)
        return Survey(tracks, dose, species_dose, np.divide(fluence, tracks, out=fluence, where=tracks > 0))
    per_track = field.dose_scale / field.grid.face_area_mm2(field.beam_axis)
    return Survey(np.divide(fluence, np.float32(per_track), out=fluence), dose, species_dose, per_track)
