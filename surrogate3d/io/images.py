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

from surrogate3d.errors import StoreError, UnsupportedError
from surrogate3d.grid import Grid, Quantity, Volume, VolumeSet
from surrogate3d.io.atomic import atomic_directory, atomic_file
from surrogate3d.io.field_store import summarise
from surrogate3d.io.itk_images import itk_notes, read_itk, write_itk
from surrogate3d.io.manifest import has_schema
from surrogate3d.io.nifti import nifti_notes, read_nifti, write_nifti
from surrogate3d.io.zarr_group import created_group, get_volumes, open_group, put_volumes

MAPS_SCHEMA = "surrogate3d.maps/1"

_SUFFIX = {"nifti": ".nii.gz", "mha": ".mha", "nrrd": ".nrrd"}
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
        out_dir: the directory, which holds one file a map for "nifti", "mha" and "nrrd", one group `maps.zarr` for
            "zarr", and `maps.json` with units, definitions, ranges and `metadata`.
        formats: any of "nifti", "mha", "nrrd", "zarr".
        metadata: plain data about where the maps come from.
        overwrite: replace a directory of maps.

    Returns:
        All files (and the group) written, `maps.json` last.

    Raises:
        UnsupportedError: unknown format.
        StoreError: `out_dir` exists and is not to be, or must not be, replaced; or the disk is full.
    """
    out_dir = Path(out_dir)
    unknown = set(formats) - {*_SUFFIX, "zarr"}
    if unknown:
        raise UnsupportedError(f"unknown image formats {sorted(unknown)}; expected any of nifti, mha, nrrd, zarr")
    if overwrite and out_dir.exists() and not has_schema(out_dir / "maps.json", MAPS_SCHEMA):
        raise StoreError(
            f"{out_dir} exists and is not a directory of our maps, so it is not replaced; choose another name"
        )
    images = {name + _SUFFIX[kind]: name for kind in formats if kind != "zarr" for name in volumes}
    files = [*images, *(["maps.zarr"] if "zarr" in formats else [])]
    about = _about(volumes, metadata or {})
    with atomic_directory(out_dir, overwrite, 4 * volumes.grid.n_voxels * len(volumes) * len(formats)) as scratch:
        for file, name in images.items():
            _writer(scratch / file)(volumes[name], scratch / file)
        if "zarr" in formats:
            with created_group(scratch / "maps.zarr", about) as group:
                put_volumes(group, volumes, np.float32)
        (scratch / "maps.json").write_text(json.dumps({**about, "files": files}, indent=1, allow_nan=False) + "\n")
    return [out_dir / file for file in (*files, "maps.json")]


def read_maps(out_dir: str | Path) -> VolumeSet:
    """Read the maps of a directory that `write_maps` wrote with the format "zarr".

    Raises:
        StoreError: there is no `maps.zarr`, or it is not ours.
    """
    group, about = open_group(Path(out_dir) / "maps.zarr")
    return get_volumes(group, Grid.from_json(about["grid"]), list(about["maps"]))


def _about(volumes: VolumeSet, metadata: Mapping[str, Any]) -> dict[str, Any]:
    maps = {name: summarise(volume) for name, volume in volumes.items()}
    return {"schema": MAPS_SCHEMA, "grid": volumes.grid.to_json(), "maps": maps, "metadata": dict(metadata)}


def _writer(path: Path) -> Callable[[Volume, Path], None]:
    if path.name.endswith(_NIFTI):
        return write_nifti
    if path.name.endswith(_ITK_WRITTEN):
        return write_itk
    raise UnsupportedError(f"{path}: images are written to .nii.gz, .nii, .mha or .nrrd")
