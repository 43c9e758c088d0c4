"""Volumes as NIfTI, MetaImage and zarr maps, and back.

A `Grid` is in the LPS frame (ITK, DICOM) and its arrays are (i, j, k). NIfTI is RAS: rows 0 and 1 of the affine change
sign. SimpleITK's arrays are (k, j, i), and its direction is our matrix, row by row.

NaN is written as NaN, but programs on ITK read it as 0 from NIfTI (until InsightSoftwareConsortium/ITK#6683), not from
MetaImage. That is why our own reader takes nibabel for NIfTI.
"""

from __future__ import annotations

import errno
import gzip
import json
import os
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import numpy.typing as npt
import SimpleITK

from surrogate3d.errors import FormatError, GeometryError, StoreError, UnsupportedError
from surrogate3d.grid import Grid, Quantity, Volume, VolumeSet
from surrogate3d.io.atomic import atomic_directory, atomic_file
from surrogate3d.io.field_store import summarise
from surrogate3d.io.manifest import has_schema
from surrogate3d.io.zarr_group import created_group, get_volumes, open_group, put_volumes

MAPS_SCHEMA = "surrogate3d.maps/1"
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_SCANNER = 1  # NIFTI_XFORM_SCANNER_ANAT
_SUFFIX = {"nifti": ".nii.gz", "mha": ".mha"}


def write_image(volume: Volume, path: str | Path, overwrite: bool = False) -> None:
    """Write a volume as float32; NaN stays NaN.

    Args:
        volume: what to write.
        path: ends in `.nii.gz` or `.nii` (NIfTI, mm, RAS affine in qform and sform) or `.mha` (MetaImage, LPS).
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
        GeometryError: the file gives no orientation, or a sheared one.
    """
    path = Path(path)
    if not path.is_file():
        raise StoreError(f"no image at {path}; check the path")
    if path.name.endswith((".nii", ".nii.gz")):
        return _read_nifti(path, quantity)
    if path.suffix in (".mha", ".mhd", ".nrrd"):
        return _read_itk(path, quantity)
    raise UnsupportedError(f"{path}: images are read from .nii, .nii.gz, .mha, .mhd or .nrrd")


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
        out_dir: the directory, which holds one file a map for "nifti" and "mha", one group `maps.zarr` for "zarr", and
            `maps.json` with units, definitions, ranges and `metadata`.
        formats: any of "nifti", "mha", "zarr".
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
        raise UnsupportedError(f"unknown image formats {sorted(unknown)}; expected any of nifti, mha, zarr")
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
    if path.name.endswith((".nii", ".nii.gz")):
        return _write_nifti
    if path.suffix == ".mha":
        return _write_mha
    raise UnsupportedError(f"{path}: images are written to .nii.gz, .nii or .mha")


def _write_nifti(volume: Volume, path: Path) -> None:
    affine = LPS_TO_RAS @ volume.grid.affine
    values = np.asarray(volume.values, dtype=np.float32)
    image: Any = nibabel.Nifti1Image(values, affine)  # type: ignore[no-untyped-call]  # nibabel has no types here
    image.set_qform(affine, code=_SCANNER)
    image.set_sform(affine, code=_SCANNER)
    image.header.set_xyzt_units(xyz="mm")
    image.header["intent_name"] = volume.quantity.name.encode("ascii", "replace")[:15]
    image.header["descrip"] = f"{volume.quantity.symbol} [{volume.quantity.unit}]".encode("ascii", "replace")[:79]
    content = image.to_bytes()
    path.write_bytes(gzip.compress(content, compresslevel=1, mtime=0) if path.suffix == ".gz" else content)


def _read_nifti(path: Path, quantity: Quantity) -> Volume:
    try:
        image: Any = nibabel.load(path)
        values = np.asarray(image.dataobj)
    except (nibabel.filebasedimages.ImageFileError, OSError, EOFError, ValueError, zlib.error) as error:
        raise FormatError(f"{path} cannot be read as NIfTI: {_one_line(error)}; export it again") from error
    unit = image.header.get_xyzt_units()[0]
    if unit not in ("mm", "unknown"):
        raise UnsupportedError(f"{path}: lengths are in {unit}, expected mm; convert the image")
    if not (int(image.header["sform_code"]) or int(image.header["qform_code"])):
        raise GeometryError(f"{path}: neither sform nor qform is set, so its orientation is unknown; set one")
    values = _scalar_values(values[..., 0] if values.shape[3:] == (1,) else values, path)
    return Volume(_grid(LPS_TO_RAS @ image.affine, values.shape, path), values, quantity)


def _write_mha(volume: Volume, path: Path) -> None:
    image: Any = SimpleITK.GetImageFromArray(np.asarray(volume.values, dtype=np.float32).transpose(2, 1, 0))
    image.SetSpacing(volume.grid.spacing_mm)
    image.SetOrigin(volume.grid.origin_mm)
    image.SetDirection([cosine for row in volume.grid.direction for cosine in row])
    image.SetMetaData("quantity", volume.quantity.name)
    image.SetMetaData("unit", volume.quantity.unit)
    try:
        SimpleITK.WriteImage(image, str(path), True)
    except RuntimeError as error:
        # ITK tells the system's reason only in words.
        code = next((n for n in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) if os.strerror(n) in str(error)), errno.EIO)
        raise OSError(code, f"SimpleITK cannot write: {_one_line(error)}", str(path)) from error


def _read_itk(path: Path, quantity: Quantity) -> Volume:
    try:
        image: Any = SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        raise FormatError(f"{path} cannot be read: {_one_line(error)}; export it again") from error
    if image.GetNumberOfComponentsPerPixel() != 1 or image.GetDimension() != 3:
        raise UnsupportedError(
            f"{path}: expected one number a voxel in three dimensions, found {image.GetNumberOfComponentsPerPixel()} "
            f"in {image.GetDimension()}; extract one"
        )
    values = _scalar_values(SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0), path)
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return Volume(_grid(affine, values.shape, path), values, quantity)


def _scalar_values(values: npt.NDArray[Any], path: Path) -> npt.NDArray[np.floating]:
    if values.ndim != 3 or values.dtype.kind not in "biuf":
        raise UnsupportedError(
            f"{path}: expected one number a voxel in three dimensions, found shape {values.shape} of {values.dtype}; "
            "extract one"
        )
    return np.ascontiguousarray(values, dtype=np.result_type(values.dtype.newbyteorder("="), np.float32))


def _grid(affine: npt.NDArray[np.float64], shape: tuple[int, ...], path: Path) -> Grid:
    """Grid of a voxel-to-LPS affine. Cosines that were rounded (float32, six digits) become the nearest rotation."""
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    if not (np.isfinite(affine).all() and spacing.min() > 0):
        raise GeometryError(f"{path}: the affine is singular or not finite, {affine.tolist()}; export the image again")
    cosines = affine[:3, :3] / spacing
    if np.abs(cosines.T @ cosines - np.eye(3)).max() > 1e-3:
        raise GeometryError(f"{path}: the axes are sheared, not a rectilinear grid; resample the image")
    left, _, right = np.linalg.svd(cosines)
    i, j, k = shape
    rows = tuple((float(a), float(b), float(c)) for a, b, c in left @ right)
    dx, dy, dz = (float(n) for n in spacing)
    x, y, z = (float(n) for n in affine[:3, 3])
    return Grid((i, j, k), (dx, dy, dz), (x, y, z), rows)


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
