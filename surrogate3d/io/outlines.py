"""The outlines of a plane of voxels, along the edges of the voxels, so that nothing of the shape is lost.

Voxel centres are half a voxel away from every outline: whoever lays the outlines on the same grid, by centres or by
areas, finds the same voxels. Voxels that touch at a corner only are parts of their own. Holes are keyholes (DICOM PS3.3
C.8.8.6.3): a channel of no width joins each to its outer outline, so even-odd and winding rules fill the same area.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import shapely

Corners = npt.NDArray[np.int64]


def outlines(plane: npt.NDArray[np.bool_]) -> list[npt.NDArray[np.float64]]:
    """Closed outlines of a plane of voxels, outer ones counter-clockwise in (u, v); the first point is not repeated.

    Args:
        plane: (u, v) which voxels are inside.

    Returns:
        Of each connected part, (n, 2) points in voxel coordinates: voxel (p, q) reaches from p - 1/2 to p + 1/2. They
        do not overlap, and come in an order that depends on the voxels only.
    """
    u, v = np.nonzero(plane)
    if not u.size:
        return []
    # a union of cells that share whole edges only drops edges, so corners stay whole numbers
    together = shapely.coverage_union_all(shapely.box(u, v, u + 1, v + 1))
    parts = [_keyholed(polygon) for polygon in shapely.get_parts(together)]
    return [
        np.asarray(_straight(ring) - 0.5, dtype=np.float64) for ring in sorted(parts, key=lambda ring: ring[0].tolist())
    ]


def _keyholed(polygon: shapely.Polygon) -> Corners:
    """The outer ring with its holes, each joined where it touches, or else by a channel towards lower u.

    Rings of one area touch at most at corners, and never so that they close a circle; channels between those that are
    not joined yet keep it so, and the area of the joined ring is never in doubt.
    """
    polygon = shapely.geometry.polygon.orient(polygon)
    ring = _from_first(polygon.exterior)
    holes = sorted((_from_first(each) for each in polygon.interiors), key=lambda each: each[0].tolist())
    while holes:
        number, start, at = next(_touching(ring, holes), (0, 0, -1))
        hole = np.roll(holes.pop(number), -start, axis=0)
        if at < 0:  # nearest corner ahead of the first hole: all others begin further on, and none is in the way
            ahead = np.flatnonzero((ring[:, 1] == hole[0, 1]) & (ring[:, 0] < hole[0, 0]))
            at = int(ahead[ring[ahead, 0].argmax()])
        ring = np.concatenate([ring[: at + 1], hole, hole[:1], ring[at:]])
    return ring


def _touching(ring: Corners, holes: list[Corners]) -> Iterator[tuple[int, int, int]]:
    """Number of a hole with a corner on the ring, and which corner that is of the hole and of the ring."""
    places = {(int(u), int(v)): at for at, (u, v) in enumerate(ring)}
    for number, hole in enumerate(holes):
        for start, (u, v) in enumerate(hole):
            if (int(u), int(v)) in places:
                yield number, start, places[int(u), int(v)]


def _from_first(ring: shapely.LinearRing) -> Corners:
    """Corners of a ring from the one of least u (then v) on, without the repeated end."""
    corners = np.rint(shapely.get_coordinates(ring)[:-1]).astype(np.int64)
    return np.roll(corners, -int(np.lexsort(corners.T[::-1])[0]), axis=0)


def _straight(ring: Corners) -> Corners:
    """Without points in the middle of straight lines, and without doubled ones; turns back are kept."""
    ring = ring[(ring != np.roll(ring, 1, axis=0)).any(axis=1)]
    before, after = np.sign(ring - np.roll(ring, 1, axis=0)), np.sign(np.roll(ring, -1, axis=0) - ring)
    return np.asarray(ring[(before != after).any(axis=1)])
