"""How much of every pixel a polygon covers, exactly.

By Green's theorem the area of a pixel that lies right of a piece of the outline follows from where the piece runs:
outlines are cut at the pixel borders, each piece adds to its pixel what is right of it and to all pixels beyond its
height, and a running sum along the row does the rest. Up and down cancel where the outside is.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import shapely
from shapely.geometry.base import BaseGeometry
from shapely.geometry.polygon import orient

FloatArray = npt.NDArray[np.float64]


def coverage(area: BaseGeometry, shape: tuple[int, ...]) -> tuple[tuple[int, int], FloatArray]:
    """Fractions of the pixels of a raster that a valid polygon, or several that do not overlap, covers.

    Args:
        area: in pixel coordinates: pixel (p, q) is the square of side 1 around the point (p, q).
        shape: pixels along the two axes; what lies beyond is cut off.

    Returns:
        First pixel of a block, and the (u, v) fractions of the block, 0 to 1; all outside the block is 0.
    """
    clipped = _clipped(area, shape)
    if clipped.is_empty:
        return (0, 0), np.zeros((0, 0))
    low_u, low_v, high_u, high_v = clipped.bounds
    u0, v0 = int(np.floor(low_u + 0.5)), int(np.floor(low_v + 0.5))
    size = int(np.ceil(high_u + 0.5)) - u0, int(np.ceil(high_v + 0.5)) - v0
    starts, ends = _edges(clipped, (u0 - 0.5, v0 - 0.5))
    u, v, rise = _pieces(starts, ends)
    # Pieces on the far border belong to no pixel inside it; one more column takes them.
    column = np.clip(np.floor(u).astype(int), 0, size[0])
    row = np.clip(np.floor(v).astype(int), 0, size[1] - 1)
    within = u - column
    total = np.zeros((size[0] + 2, size[1]))
    np.add.at(total, (column, row), -rise * (1 - within))
    np.add.at(total, (column + 1, row), -rise * within)
    return (u0, v0), np.cumsum(total, axis=0)[: size[0]]


def _clipped(area: BaseGeometry, shape: tuple[int, ...]) -> BaseGeometry:
    low_u, low_v, high_u, high_v = area.bounds
    window = (-0.5, -0.5, shape[0] - 0.5, shape[1] - 0.5)
    if low_u < window[0] or low_v < window[1] or high_u > window[2] or high_v > window[3]:
        area = area.intersection(shapely.box(*window))
    polygons = [part for part in shapely.get_parts(shapely.get_parts(area)) if part.geom_type == "Polygon"]
    return shapely.MultiPolygon(polygons)


def _edges(area: BaseGeometry, corner: tuple[float, float]) -> tuple[FloatArray, FloatArray]:
    """(edge, 2) starts and ends of all edges, outer rings counter-clockwise and holes clockwise, seen from a corner."""
    rings = shapely.get_rings([orient(polygon) for polygon in shapely.get_parts(area)])
    points, ring = shapely.get_coordinates(rings, return_index=True)
    points = points - corner
    inside = ring[1:] == ring[:-1]
    return points[:-1][inside], points[1:][inside]


def _pieces(starts: FloatArray, ends: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Middle (u, v) and rise along v of the pieces into which pixel borders cut the edges."""
    number = np.arange(len(starts))
    edges, cuts = [number], [np.zeros(len(starts))]
    for axis in (0, 1):
        edge, cut = _crossings(starts[:, axis], ends[:, axis])
        edges.append(edge)
        cuts.append(cut)
    edge, begin = np.concatenate(edges), np.concatenate(cuts)
    order = np.lexsort((begin, edge))
    edge, begin = edge[order], begin[order]
    end = np.append(begin[1:], 1.0)
    end[np.append(edge[1:] != edge[:-1], True)] = 1.0
    along = ends - starts
    middle = starts[edge] + along[edge] * (0.5 * (begin + end))[:, None]
    return middle[:, 0], middle[:, 1], along[edge, 1] * (end - begin)


def _crossings(start: FloatArray, end: FloatArray) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Which edges cross whole numbers along one axis, and where, as a part of the edge between 0 and 1."""
    first, last = np.floor(np.minimum(start, end)) + 1, np.ceil(np.maximum(start, end)) - 1
    count = np.maximum(last - first + 1, 0).astype(np.int64)
    edge = np.repeat(np.arange(len(start)), count)
    nth = np.arange(edge.size) - np.repeat(np.cumsum(count) - count, count)
    return edge, (first[edge] + nth - start[edge]) / (end - start)[edge]
