"""What the viewer knows of a single voxel: its predicted survival curve, and its spectrum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError

Voxel = tuple[int, int, int]


class Readable(Protocol):
    """An array of which parts can be read, in memory or on disk."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of values along each axis."""

    def __getitem__(self, part: Any, /) -> Any:
        """A box of values."""


class VoxelSource(Protocol):
    """Where the answers of voxels come from."""

    def manifest(self) -> dict[str, Any]:
        """What holds for all voxels: doses, photon, bins."""

    def at(self, voxel: Voxel) -> dict[str, Any] | None:
        """A voxel's `at`, `effect`, `half_width` and `spectrum`; None where there is no answer."""


@dataclass(frozen=True, eq=False)
class Bins:
    """Bins of spectra, with what a particle in each does.

    Attributes:
        species: element symbols.
        edges_mev_u: by species, (bin + 1,) rising energies per nucleon, MeV/u.
        dose_per_fluence: by species, (bin,) on any scale that is common to all.
        alpha: by species, (bin,) of mono-energetic particles, 1/Gy.
        beta: by species, (bin,) 1/Gy^2.
    """

    species: tuple[str, ...]
    edges_mev_u: npt.ArrayLike
    dose_per_fluence: npt.ArrayLike
    alpha: npt.ArrayLike
    beta: npt.ArrayLike

    def manifest(self) -> dict[str, Any]:
        """As JavaScript gets it."""
        names = ("edges_mev_u", "dose_per_fluence", "alpha", "beta")
        return {"species": list(self.species), **{name: np.asarray(getattr(self, name)).tolist() for name in names}}


@dataclass(frozen=True, eq=False)
class VoxelData:
    """Survival curves of the voxels of a mask, in memory, and their spectra.

    Attributes:
        doses: (dose,) Gy.
        mask: (i, j, k) bool; voxels that are answered.
        effect: (voxel, dose) -ln S, in the order of `np.argwhere(mask)`.
        half_width: (voxel,) relative half width of the interval of 90 % about the effect.
        photon: alpha_x (1/Gy) and beta_x (1/Gy^2) of the reference.
        fluence: (species, bin, voxel), or (species, bin, i, j, k) which may be on disk; None where there is none.
        bins: of the fluence.
        fractions: into which the dose of the scene's layers is divided.

    Raises:
        GridMismatchError: shapes do not fit.
    """

    doses: npt.NDArray[np.floating]
    mask: npt.NDArray[np.bool_]
    effect: npt.NDArray[np.floating]
    half_width: npt.NDArray[np.floating]
    photon: tuple[float, float]
    fluence: Readable | None = None
    bins: Bins | None = None
    fractions: int = 1

    def __post_init__(self) -> None:
        n = int(self.mask.sum())
        if self.effect.shape != (n, len(self.doses)) or self.half_width.shape != (n,):
            raise GridMismatchError(
                f"expected effects of {n} voxels at {len(self.doses)} doses with a half width each, found "
                f"{self.effect.shape} and {self.half_width.shape}"
            )
        if self.fluence is not None and self.fluence.shape[2:] not in ((n,), self.mask.shape):
            raise GridMismatchError(f"expected the fluence of {n} voxels or of the grid, found {self.fluence.shape}")

    def manifest(self) -> dict[str, Any]:
        """What holds for all voxels."""
        photon = {"alpha_x": self.photon[0], "beta_x": self.photon[1]}
        bins = None if self.bins is None or self.fluence is None else self.bins.manifest()
        return {
            "doses": np.asarray(self.doses).tolist(),
            "photon": photon,
            "bins": bins,
            "fractions": self.fractions,
        }

    def at(self, voxel: Voxel) -> dict[str, Any] | None:
        """A voxel's answer; None outside the mask."""
        if not self.mask[voxel]:
            return None
        # The place among the mask's voxels: those of earlier planes, of earlier rows, and those before it in its row.
        i, j, k = voxel
        n = int(self.mask[:i].sum()) + int(self.mask[i, :j].sum()) + int(self.mask[i, j, :k].sum())
        spectrum = None if self.fluence is None else self._spectrum(voxel, n)
        return {
            "at": list(voxel),
            "effect": self.effect[n].tolist(),
            "half_width": float(self.half_width[n]),
            "spectrum": None if spectrum is None else spectrum.tolist(),
        }

    def _spectrum(self, voxel: Voxel, n: int) -> npt.NDArray[np.float64]:
        assert self.fluence is not None
        place = voxel if len(self.fluence.shape) == 5 else (n,)
        return np.asarray(self.fluence[(slice(None), slice(None), *place)], dtype=float)

    def fluence_of(self, voxels: npt.NDArray[np.integer]) -> npt.NDArray[np.float32] | None:
        """(voxel, species, bin) fluence of some of the mask's voxels, by their places in its order."""
        if self.fluence is None:
            return None
        if len(self.fluence.shape) == 3:
            return np.asarray(np.moveaxis(np.asarray(self.fluence[:, :, :])[:, :, voxels], 2, 0), dtype=np.float32)
        at = np.argwhere(self.mask)[voxels]
        found = np.empty((len(at), *self.fluence.shape[:2]), dtype=np.float32)
        for i in np.unique(at[:, 0]):  # plane by plane: the whole may be larger than memory
            own = at[:, 0] == i
            plane = np.asarray(self.fluence[:, :, int(i)])
            found[own] = np.moveaxis(plane[:, :, at[own, 1], at[own, 2]], 2, 0)
        return found
