"""Answers of single voxels for a scene: from predicted survival curves, or from maps of alpha and beta."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import DoseField, Field, SpectrumAxes
from surrogate3d.physics.constants import K_GY, MM2_PER_UM2
from surrogate3d.physics.let import bin_LET
from surrogate3d.physics.linear_quadratic import effect
from surrogate3d.physics.mixing import MonoTable, mono_table, mono_tables
from surrogate3d.viewer.scene import Sliceable
from surrogate3d.viewer.voxels import Bins, Readable, Voxel, VoxelData

if TYPE_CHECKING:
    from surrogate3d.inference.curves import CurveMap  # which loads the networks

LQ_DOSES = (0.25, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
"""Of curves that are drawn from alpha and beta, Gy: up to the doses that alpha and beta are fitted to."""


def bins_of(axes: SpectrumAxes, table: MonoTable) -> Bins:
    """Bins of spectra with dose per fluence (Gy mm^2) and the alpha and beta of mono-energetic particles."""
    alpha, beta = table.at(axes)
    return Bins(axes.species, axes.edges_mev_u, K_GY * MM2_PER_UM2 * bin_LET(axes), alpha, beta)


def curve_voxels(
    curves: CurveMap, field: DoseField, photon: tuple[float, float], table: MonoTable | None, fractions: int = 1
) -> VoxelData:
    """Voxels of predicted curves, with their spectra, which stay where they are; without a table there are none."""
    fluence, bins = None, None
    if isinstance(field, Field) and table is not None:
        fluence, bins = field.spectra.fluence, bins_of(field.spectra.axes, table)
    return VoxelData(curves.doses, curves.mask, curves.effect, curves.interval, photon, fluence, bins, fractions)


@dataclass(frozen=True, eq=False)
class LqVoxels:
    """Voxels of maps of alpha and beta, which may be on disk; their curves are linear-quadratic.

    Attributes:
        alpha: (i, j, k) 1/Gy.
        beta: (i, j, k) 1/Gy^2.
        photon: alpha_x and beta_x of the reference.
        fluence: (species, bin, i, j, k); None where there are no spectra, or no table for them.
        bins: of the fluence.
        fractions: into which the dose of the scene's layers is divided.
    """

    alpha: Sliceable
    beta: Sliceable
    photon: tuple[float, float]
    fluence: Readable | None = None
    bins: Bins | None = None
    fractions: int = 1

    def manifest(self) -> dict[str, Any]:
        """What holds for all voxels."""
        photon = {"alpha_x": self.photon[0], "beta_x": self.photon[1]}
        bins = None if self.bins is None else self.bins.manifest()
        return {"doses": list(LQ_DOSES), "photon": photon, "bins": bins, "fractions": self.fractions}

    def at(self, voxel: Voxel) -> dict[str, Any] | None:
        """A voxel's answer; None where the maps have none."""
        alpha, beta = (_at(values, voxel) for values in (self.alpha, self.beta))
        if not (np.isfinite(alpha) and np.isfinite(beta)):
            return None
        spectrum = None
        if self.fluence is not None:
            spectrum = np.asarray(self.fluence[(slice(None), slice(None), *voxel)], dtype=float).tolist()
        curve = effect(np.array(LQ_DOSES), alpha, beta).tolist()
        return {"at": list(voxel), "effect": curve, "half_width": None, "spectrum": spectrum}


def _at(values: Sliceable, voxel: Voxel) -> float:
    i, j, k = voxel
    found: npt.NDArray[np.floating[Any]] = np.asarray(values[i : i + 1, j : j + 1, k : k + 1])
    return float(found[0, 0, 0])


def lq_voxels(
    field: DoseField, alpha: Sliceable, beta: Sliceable, line: str, photon: tuple[float, float], fractions: int = 1
) -> LqVoxels:
    """Voxels of maps for a cell line; with spectra where the field has them, and a table of the line is shipped."""
    fluence, bins = None, None
    if isinstance(field, Field) and line in mono_tables():
        table = mono_table(line)
        if set(field.spectra.axes.species) <= set(table.species):
            fluence, bins = field.spectra.fluence, bins_of(field.spectra.axes, table)
    return LqVoxels(alpha, beta, photon, fluence, bins, fractions)
