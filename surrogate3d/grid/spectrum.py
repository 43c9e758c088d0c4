"""Energy spectra of the particles in every voxel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError, UnknownNameError, ValueRangeError

SPECIES_Z: dict[str, int] = {
    "H": 1, "He": 2, "Li": 3, "Be": 4, "B": 5, "C": 6, "N": 7, "O": 8, "F": 9, "Ne": 10,
}  # fmt: skip
"""Atomic number by species. Isotopes are filed under the element (deuterons and tritons under H)."""

SPECIES_A: dict[str, int] = {
    "H": 1, "He": 4, "Li": 7, "Be": 9, "B": 11, "C": 12, "N": 14, "O": 16, "F": 19, "Ne": 20,
}  # fmt: skip
"""Mass number by which total kinetic energy is divided to give energy per nucleon."""


@dataclass(frozen=True, eq=False)
class SpectrumAxes:
    """Species by energy per nucleon.

    Attributes:
        species: element symbols in ascending atomic number, each once.
        edges_mev_u: (species, bin + 1) ascending bin edges, MeV/u. Every species has the same number of bins,
            not necessarily the same edges.

    Raises:
        UnknownNameError: a species is not an element from H to Ne.
        QuantityError: edges are not ascending, or their shape does not fit.
    """

    species: tuple[str, ...]
    edges_mev_u: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        unknown = [s for s in self.species if s not in SPECIES_Z]
        if unknown:
            raise UnknownNameError(f"unknown species {unknown}; known: {', '.join(SPECIES_Z)}")
        numbers = [SPECIES_Z[s] for s in self.species]
        if numbers != sorted(set(numbers)):
            raise QuantityError(f"species must ascend in atomic number, each once; found {self.species}")
        edges = np.asarray(self.edges_mev_u, dtype=float)
        if edges.ndim != 2 or edges.shape[0] != len(self.species) or edges.shape[1] < 2:
            raise QuantityError(f"edges_mev_u must be (species, bin + 1), found shape {edges.shape}")
        if not (np.diff(edges, axis=1) > 0).all() or not (edges >= 0).all() or not np.isfinite(edges).all():
            raise QuantityError("spectrum bin edges must be finite, non-negative and strictly ascending")
        object.__setattr__(self, "edges_mev_u", edges)

    @property
    def n_bins(self) -> int:
        """Number of energy bins of each species."""
        return int(self.edges_mev_u.shape[1]) - 1

    @property
    def Z(self) -> npt.NDArray[np.int64]:
        """(species,) atomic numbers."""
        return np.array([SPECIES_Z[s] for s in self.species])

    @property
    def energy_mev_u(self) -> npt.NDArray[np.float64]:
        """(species, bin) representative energies: geometric mean of the edges, arithmetic where the lower edge is 0."""
        low, high = self.edges_mev_u[:, :-1], self.edges_mev_u[:, 1:]
        return np.where(low > 0, np.sqrt(low * high), 0.5 * (low + high))

    def matches(self, other: SpectrumAxes, rtol: float = 1e-4) -> bool:
        """Whether two axes have the same species and, within `rtol`, the same edges."""
        same_shape = self.species == other.species and self.edges_mev_u.shape == other.edges_mev_u.shape
        return same_shape and bool(np.allclose(self.edges_mev_u, other.edges_mev_u, rtol=rtol, atol=1e-9))

    def to_json(self) -> dict[str, Any]:
        """Plain data for manifests and attributes."""
        return {"species": list(self.species), "edges_mev_u": self.edges_mev_u.tolist()}

    @staticmethod
    def from_json(data: dict[str, Any]) -> SpectrumAxes:
        """The inverse of `to_json`."""
        return SpectrumAxes(tuple(data["species"]), np.asarray(data["edges_mev_u"], dtype=float))

    @staticmethod
    def logarithmic(
        species: tuple[str, ...], n_bins: int = 64, low_mev_u: float = 0.1, high_mev_u: float = 500.0
    ) -> SpectrumAxes:
        """The same logarithmic edges for every species; the default is the grid that the engine recommends."""
        edges = np.geomspace(low_mev_u, high_mev_u, n_bins + 1)
        return SpectrumAxes(species, np.tile(edges, (len(species), 1)))


@dataclass(frozen=True, eq=False)
class Spectra:
    """Fluence spectra on a grid.

    Attributes:
        axes: species and energy bins.
        fluence: (species, bin, i, j, k) fluence per bin, 1/mm^2, never NaN or negative.
        underflow: (species, i, j, k) fluence below the first edge, 1/mm^2.
        overflow: (species, i, j, k) fluence at and above the last edge, 1/mm^2.

    Raises:
        GridMismatchError: the shapes do not fit each other.
        ValueRangeError: a fluence is NaN or negative.
    """

    axes: SpectrumAxes
    fluence: npt.NDArray[np.floating]
    underflow: npt.NDArray[np.floating]
    overflow: npt.NDArray[np.floating]

    def __post_init__(self) -> None:
        lead = (len(self.axes.species), self.axes.n_bins)
        if self.fluence.ndim != 5 or self.fluence.shape[:2] != lead:
            raise GridMismatchError(f"fluence must be {lead} + (i, j, k), found shape {self.fluence.shape}")
        outside = (lead[0], *self.fluence.shape[2:])
        if self.underflow.shape != outside or self.overflow.shape != outside:
            raise GridMismatchError(
                f"underflow and overflow must be {outside}, found {self.underflow.shape} and {self.overflow.shape}"
            )
        for name in ("fluence", "underflow", "overflow"):
            values = getattr(self, name)
            bad = ~np.isfinite(values) | (values < 0)
            if bad.any():
                where = tuple(int(n) for n in np.argwhere(bad)[0])
                raise ValueRangeError(
                    f"{name} must be finite and not negative; found {values[where]} for species "
                    f"{self.axes.species[where[0]]} at voxel {where[-3:]}, {int(bad.sum())} such values in all"
                )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the grid."""
        i, j, k = self.fluence.shape[2:]
        return (i, j, k)
