"""Planes of layers that may be on disk, each read once while it is looked at."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

import numpy as np
import numpy.typing as npt

from surrogate3d.viewer.scene import Sliceable, planes_of

Plane = npt.NDArray[np.float32]
Key = tuple[object, ...]

_BUNDLE_BYTES = 32_000_000
_BUNDLE_PLANES = 16


class PlaneCache:
    """The planes that were last used, up to a number of bytes.

    A plane across the chunks of an array costs as much as all planes in those chunks, so its neighbours are kept, too.
    """

    def __init__(self, budget_bytes: int = 512_000_000) -> None:
        self._left = budget_bytes
        self._planes: OrderedDict[Key, Plane] = OrderedDict()
        self._lock = Lock()

    def plane(self, key: Key, values: Sliceable, axis: int, index: int) -> Plane:
        """(row, column) plane across an axis.

        Args:
            key: what the values are; another one after they have changed.
            values: (i, j, k).
            axis: 0, 1 or 2.
            index: of the plane.
        """
        with self._lock:
            found = self._planes.get((*key, axis, index))
            if found is not None:
                self._planes.move_to_end((*key, axis, index))
                return found
        part = _bundle(values, axis, index)
        planes = planes_of(values, axis, part)
        with self._lock:
            for number, plane in zip(range(part.start, part.stop), planes, strict=True):
                self._keep((*key, axis, number), plane.copy() if len(planes) > 1 else plane)
        return np.asarray(planes[index - part.start])

    def _keep(self, key: Key, plane: Plane) -> None:
        if key in self._planes:
            return
        self._planes[key] = plane
        self._left -= plane.nbytes
        while self._left < 0 and len(self._planes) > 1:
            _, oldest = self._planes.popitem(last=False)
            self._left += oldest.nbytes


def _bundle(values: Sliceable, axis: int, index: int) -> slice:
    """The plane with its neighbours in the same chunks; the plane alone of an array in memory."""
    depth = getattr(values, "chunks", (1, 1, 1))[axis] if not isinstance(values, np.ndarray) else 1
    plane_bytes = 4 * int(np.prod(values.shape)) // values.shape[axis]
    size = max(1, min(depth, _BUNDLE_PLANES, _BUNDLE_BYTES // max(1, plane_bytes)))
    start = index // size * size
    return slice(start, min(start + size, values.shape[axis]))
