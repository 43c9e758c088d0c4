"""Volumes as NIfTI, MetaImage, NRRD and zarr maps, and back.

A `Grid` is in the LPS frame (ITK, DICOM) and its arrays are (i, j, k). What each format makes of that is in `nifti` and
`itk_images`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import StoreError, UnsupportedError
from surrogate3d.grid import Grid, Quantity, Volume, VolumeSet, quantity
from surrogate3d.io.atomic import atomic_file
from surrogate3d.io.itk_images import itk_notes, read_itk, write_itk
from surrogate3d.io.map_files import RTDOSE, SUFFIX, ZARR_NAME
from surrogate3d.io.map_writer import MAPS_NAME, MapWriter
from surrogate3d.io.map_writer import MAPS_SCHEMA as MAPS_SCHEMA
from surrogate3d.io.nifti import nifti_notes, read_nifti, write_nifti
from surrogate3d.io.zarr_group import get_volume, get_volumes, open_group

_NIFTI, _ITK_WRITTEN, _ITK_READ = (".nii", ".nii.gz"), (".mha", ".nrrd"), (".mha", ".mhd", ".nrrd")


def write_image(volume: Volume, path: str | Path, overwrite: bool = False) -> None:
    """Write a volume as float32; NaN stays NaN.

    Args:
        volume: what to write.
        path: ends in `.nii.gz` or `.nii` (NIfTI, mm, RAS affine in qform and sform), `.mha` (MetaImage, LPS) or
            `.nrrd` (space left-posterior-superior).
        overwrite: replace the file.

    Raises:
        UnsupportedError: another suffix.
        StoreError: the file exists and is not to be replaced, or the disk is full.
    """
    path = Path(path)
    writer = _writer(path)
    with atomic_file(path, overwrite, expected_bytes=4 * volume.grid.n_voxels) as scratch:
        writer(volume, scratch)


def read_image(path: str | Path, quantity: Quantity) -> Volume:
    """Read a scalar 3-D image.

    Args:
        path: `.nii`, `.nii.gz`, `.mha`, `.mhd` or `.nrrd`.
        quantity: what the values mean; image formats do not say it reliably.

    Returns:
        The volume, float32 (float64 where the file's numbers need it), on its grid in the LPS frame.

    Raises:
        StoreError: there is no such file.
        FormatError: the file is damaged.
        UnsupportedError: another suffix, or not a scalar 3-D image in mm.
        GeometryError: the file gives no orientation, a sheared one, or two that contradict each other.
    """
    path = Path(path)
    if not path.is_file():
        raise StoreError(f"no image at {path}; check the path")
    if path.name.endswith(_NIFTI):
        return read_nifti(path, quantity)
    if path.name.endswith(_ITK_READ):
        return read_itk(path, quantity)
    raise UnsupportedError(f"{path}: images are read from .nii, .nii.gz, .mha, .mhd or .nrrd")


def image_notes(path: str | Path) -> tuple[str, ...]:
    """What the header of a readable image leaves to the conventions of its format, in sentences; see `read_image`."""
    path = Path(path)
    return nifti_notes(path) if path.name.endswith(_NIFTI) else itk_notes(path)


def write_maps(
    volumes: VolumeSet,
    out_dir: str | Path,
    formats: Sequence[str] = ("nifti", "mha", "zarr"),
    metadata: Mapping[str, Any] | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write several maps into a new directory, whole or not at all.

    Args:
        volumes: the maps, by name.
        out_dir: the directory; what it holds is in `MapWriter`.
        formats: any of "nifti", "nii", "mha", "nrrd", "zarr".
        metadata: plain data about where the maps come from.
        overwrite: replace a directory of maps.

    Returns:
        All files (and the group) written, `maps.json` last.

    Raises:
        UnsupportedError: unknown format.
        StoreError: `out_dir` exists and is not to be, or must not be, replaced; or the disk is full.
    """
    quantities = {name: volume.quantity for name, volume in volumes.items()}
    with MapWriter(out_dir, volumes.grid, quantities, formats, metadata, overwrite=overwrite) as writer:
        writer.put(0, {name: volume.values for name, volume in volumes.items()})
        return writer.finish()


def read_maps(out_dir: str | Path) -> VolumeSet:
    """Read the maps of a directory that `write_maps` wrote with the format "zarr".

    Raises:
        StoreError: there is no `maps.zarr`, or it is not ours.
    """
    group, about = open_group(Path(out_dir) / ZARR_NAME)
    return get_volumes(group, Grid.from_json(about["grid"]), list(about["maps"]))


def read_map(out_dir: str | Path, name: str, kind: str) -> npt.NDArray[np.floating]:
    """(i, j, k) values of one map of a directory that `MapWriter` wrote, as they are in one of its formats.

    Args:
        out_dir: the directory.
        name: of the map.
        kind: of `map_files.FORMATS`.

    Raises:
        StoreError: there is no such file or group.
        Surrogate3dError: as of `read_image`.
    """
    if kind == RTDOSE:
        from surrogate3d.io.map_rtdose import read_dose  # not before it is needed: it loads pydicom

        about = json.loads((Path(out_dir) / MAPS_NAME).read_text(encoding="utf-8"))
        return read_dose(Path(out_dir), name, Grid.from_json(about["grid"]), about["maps"][name]["n_nan"])
    if kind == "zarr":
        group, about = open_group(Path(out_dir) / ZARR_NAME)
        return get_volume(group, Grid.from_json(about["grid"]), name).values
    return read_image(Path(out_dir) / (name + SUFFIX[kind]), quantity(name)).values


def _writer(path: Path) -> Callable[[Volume, Path], None]:
    if path.name.endswith(_NIFTI):
        return write_nifti
    if path.name.endswith(_ITK_WRITTEN):
        return write_itk
    raise UnsupportedError(f"{path}: images are written to .nii.gz, .nii, .mha or .nrrd")
