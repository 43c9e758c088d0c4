"""Specific energy of single tracks in a domain, tabulated for the Monte Carlo kernel.

The table is uniform in b^2 and holds the mean of z(b) over the area of each ring, so that looking up the ring that a
track falls into conserves energy exactly, needs no square root, and resolves the rim of the domain to 1 nm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ValueRangeError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.constants import K_GY
from surrogate3d.physics.gsm2 import lesion_yield
from surrogate3d.physics.let import bin_LET
from surrogate3d.physics.track import penumbra_radius_um, specific_energy

Floats = npt.NDArray[np.float64]

N_RINGS = 2048
LEAST_RINGS = 32
"""In the area of the domain: with fewer, its rim is a blur, and single tracks lose what makes them effective."""

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(2)


@dataclass(frozen=True, eq=False)
class TrackTable:
    """Single-track specific energies in one domain.

    Attributes:
        r_d: domain radius, um.
        b_near: tracks further than r_d + b_near from the axis are not followed, um.
        z: (bin, ring) float32 mean specific energy over each ring of b^2, Gy; bins of all species one after the other.
        far: (species, bin) Int z 2 pi b db beyond r_d + b_near, Gy um^2: K LET minus what the rings hold.
        yields: (species, bin) DSB sites per Gy per Gbp, by which specific energy becomes lesions.
    """

    r_d: float
    b_near: float
    z: npt.NDArray[np.float32]
    far: Floats
    yields: Floats

    @property
    def ring_area(self) -> float:
        """Area of every ring, um^2."""
        return float(np.pi) * (self.r_d + self.b_near) ** 2 / N_RINGS


def track_table(axes: SpectrumAxes, r_d: float, b_near: float) -> TrackTable:
    """The table of one pair of axes and domain radius; built once in each process.

    Args:
        axes: species and energy bins; a bin is represented by the ion at its representative energy.
        r_d: domain radius, um.
        b_near: reach beyond the domain, um.

    Raises:
        ValueRangeError: the reach is negative, or so far that the rings would be too coarse inside the domain.
    """
    inside = N_RINGS * (r_d / (r_d + b_near)) ** 2 if b_near >= 0 else 0
    if not inside >= LEAST_RINGS:
        most = r_d * ((N_RINGS / LEAST_RINGS) ** 0.5 - 1)
        raise ValueRangeError(
            f"tracks can be followed up to {most:.3g} um beyond a domain of {r_d:g} um, found b_near = {b_near:g}"
        )
    return _cached(axes.species, axes.edges_mev_u.tobytes(), r_d, b_near)


@lru_cache(maxsize=8)
def _cached(species: tuple[str, ...], edges: bytes, r_d: float, b_near: float) -> TrackTable:
    axes = SpectrumAxes(species, np.frombuffer(edges).reshape(len(species), -1))
    Z, energy, LET = axes.Z, axes.energy_mev_u, bin_LET(axes)
    yields = lesion_yield(Z[:, None], LET)
    table = TrackTable(r_d, b_near, np.zeros((energy.size, N_RINGS), np.float32), np.zeros(energy.shape), yields)
    b = _ring_nodes(r_d + b_near)
    reaching = penumbra_radius_um(energy) > b_near
    for s, n in np.ndindex(energy.shape):
        rings = specific_energy(b, r_d, int(Z[s]), float(energy[s, n]), float(LET[s, n])) @ (0.5 * _WEIGHTS)
        near, whole = table.ring_area * float(rings.sum()), K_GY * float(LET[s, n])
        if reaching[s, n]:
            table.far[s, n] = max(whole - near, 0.0)
        else:  # nothing lies beyond: what two nodes per ring miss at the rim goes back to the rings
            rings *= whole / near
        table.z[s * axes.n_bins + n] = rings
    return table


def _ring_nodes(reach: float) -> Floats:
    """(ring, node) impact parameters, um, at Gauss-Legendre nodes of b^2."""
    middle = (np.arange(N_RINGS) + 0.5)[:, None] + 0.5 * _NODES
    return np.asarray(reach * np.sqrt(middle / N_RINGS))
