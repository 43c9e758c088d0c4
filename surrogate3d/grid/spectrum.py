"""Energy spectra of the particles in every voxel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

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


Box = tuple[slice, slice, slice]
"""Slices of i, j and k."""


class FluencePart(NamedTuple):
    """Fluence of one species in a part of a box.

    Attributes:
        species: number of the species.
        place: slices of i, j and k, counted from the corner of the box.
        values: (bin, i, j, k) float32, 1/mm^2.
    """

    species: int
    place: Box
    values: npt.NDArray[np.float32]


class StoredFluence(Protocol):
    """(species, bin, i, j, k) fluence on disk, of which the parts that are asked for are read, and checked."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Species, bins and grid."""

    @property
    def ndim(self) -> int:
        """5."""

    @property
    def dtype(self) -> np.dtype[np.float32]:
        """Of what is read."""

    def __getitem__(self, part: Any) -> npt.NDArray[np.float32]:
        """Read what integers and slices without steps select."""

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Read all."""

    def visit(self, use: Callable[[FluencePart], None], box: Box | None = None, threads: int | None = None) -> None:
        """Give what a box holds to `use`, part by part in any order, from several threads at once.

        Where nothing is given, the fluence is zero. The values of a part hold until `use` returns.
        """


def box_within(box: Box | None, shape: tuple[int, ...]) -> Box:
    """The box with its ends as numbers; None is the whole grid.

    Raises:
        GridMismatchError: it has steps, other axes than the grid, or leaves it.
    """
    i, j, k = box or (slice(None), slice(None), slice(None))
    ends = [(s.start or 0, n if s.stop is None else s.stop) for s, n in zip((i, j, k), shape, strict=True)]
    whole = all(s.step in (None, 1) for s in (i, j, k))
    if not whole or not all(0 <= low <= high <= n for (low, high), n in zip(ends, shape, strict=True)):
        raise GridMismatchError(f"a box must be three slices without steps inside the grid {shape}, found {box}")
    x, y, z = (slice(low, high) for low, high in ends)
    return x, y, z


@dataclass(frozen=True, eq=False)
class Spectra:
    """Fluence spectra on a grid.

    Attributes:
        axes: species and energy bins.
        fluence: (species, bin, i, j, k) fluence per bin, 1/mm^2, never NaN or negative. May be a `StoredFluence`, as
            may the two others: it has a shape and is sliced like an array, but reads each time, and does not reckon.
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
            if isinstance(values, np.ndarray) and values.size:  # what is on disk is looked at when it is read
                self._require_fluence(name, values)

    def _require_fluence(self, name: str, values: npt.NDArray[np.floating]) -> None:
        with np.errstate(invalid="ignore"):
            low, high = values.min(), values.max()  # NaN if there is one
        if low >= 0 and high < np.inf:
            return
        bad = ~np.isfinite(values) | (values < 0)
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
