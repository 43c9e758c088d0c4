"""Segments with names and colours as the segmentation of 3D Slicer (`.seg.nrrd`): a NRRD of labels with free fields.

Segments that overlap lie in layers, along a first axis of kind `list`; within a layer each has a label of its own. The
fields are those of https://slicer.readthedocs.io/en/latest/developer_guide/modules/segmentations.html. That page calls
the stored representation `SourceRepresentation`, the program reads and writes `MasterRepresentation`: both are there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError, UnsupportedError
from surrogate3d.grid import Grid
from surrogate3d.io.atomic import atomic_file
from surrogate3d.io.image_payload import GZIP
from surrogate3d.io.itk_images import NRRD_SPACES
from surrogate3d.io.map_file import ImageHead, write_planes

SUFFIX = ".seg.nrrd"
_LABELS = np.iinfo(np.uint8).max
_LABELMAP = "Binary labelmap"

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Segment:
    """A part of the grid.

    Attributes:
        name: as it is shown.
        mask: (i, j, k) voxels that belong to it, at least one.
        colour: "#rrggbb".
    """

    name: str
    mask: Bools
    colour: str


@dataclass(frozen=True)
class Place:
    """Where a segment is in the file: the layer, and its label there."""

    layer: int
    label: int


def write_segmentation(
    segments: Sequence[Segment], grid: Grid, path: str | Path, overwrite: bool = False
) -> tuple[Place, ...]:
    """Write segments, which may overlap; the same segments give the same bytes.

    Args:
        segments: at least one.
        grid: of the masks.
        path: ends in `.seg.nrrd`.
        overwrite: replace the file.

    Returns:
        The place of each segment.

    Raises:
        UnsupportedError: another suffix, or a grid of one voxel, which means "no image" in this format.
        QuantityError: there is no segment, or one without voxels or with the name of another.
        GridMismatchError: a mask does not have the shape of the grid.
        StoreError: the file exists and is not to be replaced, or the disk is full.
    """
    path = Path(path)
    if not path.name.endswith(SUFFIX):
        raise UnsupportedError(f"{path}: segmentations are written to {SUFFIX}")
    _require_segments(segments, grid, path)
    places = _places(segments)
    labels = np.zeros((*grid.shape[:1], 1 + max(place.layer for place in places), *grid.shape[1:]), np.uint8)
    for segment, place in zip(segments, places, strict=True):
        labels[:, place.layer][segment.mask] = place.label
    head = _head(segments, places, grid, labels.shape[1])
    with atomic_file(path, overwrite, labels.size) as scratch:
        write_planes(scratch, head, labels.reshape(-1, *grid.shape[1:]))  # the layer runs fastest
    return places


def _require_segments(segments: Sequence[Segment], grid: Grid, path: Path) -> None:
    if grid.n_voxels == 1:
        raise UnsupportedError(f"{path}: a segmentation of one voxel means that there is no image; give a larger grid")
    if not segments:
        raise QuantityError(f"{path}: expected at least one segment, found none")
    names = [segment.name for segment in segments]
    for segment in segments:
        if segment.mask.shape != grid.shape:
            raise GridMismatchError(
                f"{path}: segment {segment.name!r} has shape {segment.mask.shape}, the grid {grid.shape}"
            )
        if not segment.mask.any():
            raise QuantityError(f"{path}: segment {segment.name!r} has no voxels; leave it out")
        if names.count(segment.name) > 1:
            raise QuantityError(f"{path}: two segments are called {segment.name!r}; give them different names")


def _places(segments: Sequence[Segment]) -> tuple[Place, ...]:
    """Each segment in the first layer where it overlaps no other."""
    layers: list[Bools] = []
    used: list[int] = []
    places = []
    for segment in segments:
        free = (n for n, taken in enumerate(layers) if used[n] < _LABELS and not (taken & segment.mask).any())
        layer = next(free, len(layers))
        if layer == len(layers):
            layers.append(np.zeros(segment.mask.shape, dtype=bool))
            used.append(0)
        layers[layer] |= segment.mask
        used[layer] += 1
        places.append(Place(layer, used[layer]))
    return tuple(places)


def _head(segments: Sequence[Segment], places: Sequence[Place], grid: Grid, n_layers: int) -> ImageHead:
    steps = (np.asarray(grid.direction, dtype=float) * grid.spacing_mm).T
    several = n_layers > 1  # one layer has no axis for it
    lines = [
        "NRRD0004",
        "type: uint8",
        f"dimension: {3 + several}",
        f"space: {NRRD_SPACES['lps']}",
        f"sizes: {' '.join(str(n) for n in ([n_layers] * several + list(grid.shape)))}",
        f"space directions: {' '.join(['none'] * several + [_vector(step) for step in steps])}",
        f"kinds: {' '.join(['list'] * several + ['domain'] * 3)}",
        "encoding: gzip",
        f"space origin: {_vector(grid.origin_mm)}",
        *(line for number in range(len(segments)) for line in _fields(number, segments[number], places[number])),
        f"Segmentation_ContainedRepresentationNames:={_LABELMAP}|",
        "Segmentation_ConversionParameters:=",
        f"Segmentation_MasterRepresentation:={_LABELMAP}",
        f"Segmentation_SourceRepresentation:={_LABELMAP}",
        "Segmentation_ReferenceImageExtentOffset:=0 0 0",
    ]
    return ImageHead("".join(f"{line}\n" for line in (*lines, "")).encode(), b"", GZIP)


def _fields(number: int, segment: Segment, place: Place) -> Iterator[str]:
    red, green, blue = (byte / 255 for byte in bytes.fromhex(segment.colour.removeprefix("#")))
    ends = (
        (int(found[0]), int(found[-1]))
        for axis in range(3)
        for found in [np.flatnonzero(segment.mask.any(axis=tuple({0, 1, 2} - {axis})))]
    )
    said = {
        "ID": f"Segment_{number + 1}",
        "Name": " ".join(segment.name.split()).replace("\\", "\\\\"),  # as NRRD escapes it
        "NameAutoGenerated": "0",
        "Color": f"{red:.6g} {green:.6g} {blue:.6g}",
        "ColorAutoGenerated": "0",
        "Extent": " ".join(f"{first} {last}" for first, last in ends),
        "Layer": str(place.layer),
        "LabelValue": str(place.label),
        "Tags": "",
    }
    return (f"Segment{number}_{key}:={value}" for key, value in said.items())


def _vector(values: Sequence[float] | npt.NDArray[np.float64]) -> str:
    return f"({','.join(f'{value:.17g}' for value in values)})"
