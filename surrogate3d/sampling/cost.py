"""What the direct simulation of a voxel costs, before it is run, and how many of a design a budget of hours buys."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, ValueRangeError

NS_PER_TRACK = 25.0
"""Processor time of `gsm2_mc/2` per track, ns: 21 to 39 over the spectra of docs/results.md, with no load."""


def cpu_hours(
    tracks_per_nucleus: npt.NDArray[np.floating],
    nuclei: float | npt.NDArray[np.floating],
    ns_per_track: float = NS_PER_TRACK,
) -> npt.NDArray[np.float64]:
    """Predicted processor time of each voxel, h: tracks of a nucleus, times nuclei, times time per track.

    Args:
        tracks_per_nucleus: (n,) tracks through the disc around a nucleus at the highest dose of the ladder: fluence per
            Gy x highest dose x area. One nucleus serves all lower doses.
        nuclei: nuclei that the standard error asks for, one number or (n,); 256 at least in `gsm2_mc`.
        ns_per_track: measured on the machine at hand, see `benchmarks/direct.py`.

    Raises:
        ValueRangeError: a number that is not positive and finite.
    """
    seconds = np.asarray(tracks_per_nucleus, dtype=float) * nuclei * ns_per_track * 1e-9
    if not (np.isfinite(seconds) & (seconds > 0)).all():
        raise ValueRangeError("tracks, nuclei and time per track must be positive and finite")
    return np.asarray(seconds / 3600.0)


def affordable(cost: npt.NDArray[np.floating], budget: float) -> int:
    """How many voxels of a design, in its order, a budget pays for.

    Args:
        cost: (n,) cost of the voxels in the order of choice, not negative.
        budget: in the same unit.

    Raises:
        GridMismatchError: not one cost a voxel.
        ValueRangeError: a cost that is negative or not finite, or a negative budget.
    """
    if cost.ndim != 1:
        raise GridMismatchError(f"costs must be (n,), found {cost.shape}")
    if not (np.isfinite(cost) & (cost >= 0)).all() or not budget >= 0:
        raise ValueRangeError("costs must be finite, and neither they nor the budget negative")
    return int(np.searchsorted(np.cumsum(cost), budget, side="right"))
