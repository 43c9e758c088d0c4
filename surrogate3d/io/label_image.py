"""Label images as NIfTI: a whole number in each voxel that says which region it belongs to."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, UnsupportedError
from surrogate3d.grid import Grid
from surrogate3d.io.atomic import atomic_file
from surrogate3d.io.nifti import nifti_image

_LABEL = 1002  # NIFTI_INTENT_LABEL


def write_labels(
    labels: npt.NDArray[np.uint8], grid: Grid, path: str | Path, description: str, overwrite: bool = False
) -> None:
    """Write labels as unsigned bytes, with one affine in qform and sform; the same labels give the same bytes.

    Args:
        labels: (i, j, k) 0 for none.
        grid: where they are.
        path: ends in `.nii.gz`.
        description: up to 79 characters of the header, in ASCII.
        overwrite: replace the file.

    Raises:
        UnsupportedError: another suffix, or labels that are no unsigned bytes.
        GridMismatchError: the labels do not have the shape of the grid.
        StoreError: the file exists and is not to be replaced, or the disk is full.
    """
    path = Path(path)
    if not path.name.endswith(".nii.gz") or labels.dtype != np.uint8:
        raise UnsupportedError(f"{path}: labels are unsigned bytes in a file .nii.gz, found {labels.dtype}")
    if labels.shape != grid.shape:
        raise GridMismatchError(f"{path}: labels have shape {labels.shape}, the grid {grid.shape}")
    image = nifti_image(labels, grid)
    image.header.set_intent(_LABEL, name="labels")
    image.header["descrip"] = description.encode("ascii", "replace")[:79]
    content = gzip.compress(image.to_bytes(), compresslevel=6, mtime=0)
    with atomic_file(path, overwrite, len(content)) as scratch:
        scratch.write_bytes(content)
