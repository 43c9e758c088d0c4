"""Maps as scaled 16-bit whole numbers in NIfTI: half the size, at a largest error that is stated.

Slope and intercept follow from the range of the whole map, which is known only at its end. Values are therefore kept
as float32 in a file beside the others until then, and scaled in a second pass: memory stays flat, and a killed writer
loses nothing. NIfTI has no number that stands for NaN, and most maps have voxels without an answer: they are refused,
or stored as 0 where that is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ValueRangeError
from surrogate3d.grid import Grid, Quantity
from surrogate3d.io.fast_gzip import pack
from surrogate3d.io.image_payload import RAW
from surrogate3d.io.map_file import ImageFile, ImageHead, piece_planes, plane_bytes
from surrogate3d.io.map_range import MapRange
from surrogate3d.io.nifti import nifti_head

KEPT = ImageHead(b"", b"", RAW)
"""Of the file in which float32 values wait for their scale."""

KEPT_SUFFIX = ".float32"
_LARGEST = 32767
_NAN_CODE = -32768
"""For a moment only, below all codes: a selection of NaN takes longer than all else."""

_BLOCK = 1 << 16


@dataclass(frozen=True)
class Scale:
    """Values are `slope * stored + intercept`; both are float32 numbers, as NIfTI keeps them."""

    slope: float
    intercept: float

    @staticmethod
    def of(name: str, found: MapRange, nan_as: float | None) -> Scale:
        """The finest steps that hold a range; whole numbers that fit stay as they are.

        Args:
            name: of the map, for messages.
            found: its range.
            nan_as: 0.0 stores NaN as exactly 0; None refuses it.

        Raises:
            ValueRangeError: infinite values, NaN that is to be refused, or another `nan_as`.
        """
        if nan_as not in (None, 0.0):
            raise ValueRangeError(f"{name}: voxels without an answer can be stored as 0 or refused, not as {nan_as}")
        if found.n_infinite:
            raise ValueRangeError(
                f"{name}: {found.n_infinite} voxels are infinite, which int16 does not hold; write float32"
            )
        if found.n_nan and nan_as is None:
            raise ValueRangeError(
                f"{name}: {found.n_nan} voxels are NaN, which int16 in NIfTI has no number for; write float32, or "
                "store them as 0"
            )
        low, high = found.minimum or 0.0, found.maximum or 0.0
        if found.whole and max(abs(low), abs(high)) <= _LARGEST:
            return Scale(1.0, 0.0)
        # Without an intercept 0 is a step, and NaN is stored as exactly 0.
        intercept = 0.0 if found.n_nan else float(np.float32(low / 2 + high / 2))
        reach = max(high - intercept, intercept - low) / _LARGEST
        # Rounded up, so that the ends of the range are still numbers of 16 bits; never 0, which means no scale at all.
        slope = max(np.nextafter(np.float32(reach), np.float32(np.inf)), np.finfo(np.float32).tiny)
        return Scale(float(slope) if reach else 1.0, intercept)

    def stored(self, values: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int16], float]:
        """Whole numbers, NaN as 0, and the largest error of those that are not NaN.

        Args:
            values: (voxel,); no code is out of range if they are within the range of `of`.
        """
        codes, largest = np.empty(values.shape, "<i2"), 0.0
        for first in range(0, values.size, _BLOCK):  # what is between stays in the cache
            exact = values[first : first + _BLOCK].astype(np.float64)
            steps = (exact - self.intercept) / self.slope
            np.rint(steps, out=steps)
            error = steps * self.slope
            error += self.intercept
            error -= exact
            np.abs(error, out=error)
            largest = max(largest, float(np.fmax.reduce(error, initial=0.0)))
            part = codes[first : first + _BLOCK]
            part[:] = np.fmax(steps, _NAN_CODE)  # it takes the number beside NaN
            part *= part != _NAN_CODE
        return codes, largest


def write_scaled(
    folder: Path, name: str, files: Mapping[str, bool], grid: Grid, quantity: Quantity, scale: Scale
) -> dict[str, Any]:
    """Write the kept values of a map as int16.

    Args:
        folder: of the maps, with the file of kept values.
        name: of the map.
        files: names of the NIfTI files, and whether they are compressed.
        grid: of the map.
        quantity: of its values.
        scale: of the stored numbers.

    Returns:
        For `maps.json`: slope, intercept and the largest error of a voxel that is not NaN.
    """
    images = {}
    for file, compressed in files.items():
        head = nifti_head(grid, quantity, compressed, np.int16, (scale.slope, scale.intercept))
        images[file] = ImageFile(folder / file, head)
    largest, (nx, ny, nz) = 0.0, grid.shape
    depth = piece_planes(grid.shape)
    try:
        for image in images.values():
            image.go_on(())
        with (folder / (name + KEPT_SUFFIX)).open("rb") as kept:
            for first in range(0, nz, depth):
                n = min(depth, nz - first)
                values = np.fromfile(kept, "<f4", n * nx * ny)
                codes, error = scale.stored(values)
                largest = max(largest, error)
                pieces = pack(plane_bytes(codes), [image.packing for image in images.values()])
                for image in images.values():
                    image.append(pieces[image.packing])
        for image in images.values():
            image.finish()
    finally:
        for image in images.values():
            image.close()
    return {"slope": scale.slope, "intercept": scale.intercept, "largest_error": largest}
