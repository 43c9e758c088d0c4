"""Volumes as NIfTI, through nibabel.

A `Grid` is in the LPS frame (ITK, DICOM), NIfTI in RAS: rows 0 and 1 of the affine change sign. NaN is written as NaN,
but programs on ITK read it as 0 from NIfTI (until InsightSoftwareConsortium/ITK#6683), not from MetaImage or NRRD. That
is why our own reader takes nibabel.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, GeometryError, Surrogate3dError, UnsupportedError, ValueRangeError
from surrogate3d.grid import Grid, Quantity, Volume
from surrogate3d.io.image_grid import grid_of, one_line, scalar_values
from surrogate3d.io.image_payload import GZIP, RAW, Payload
from surrogate3d.io.map_file import ImageHead, write_planes

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
MAX_DISAGREEMENT_VOXELS = 0.1
"""How far qform and sform may put a corner apart: float32 quaternions cost far less, another frame far more."""

_SCANNER = 1  # NIFTI_XFORM_SCANNER_ANAT


def write_nifti(volume: Volume, path: Path, dtype: npt.DTypeLike = np.float32) -> None:
    """Write a volume with one affine in qform and sform; gzip when the name ends in `.gz`, always the same bytes.

    Args:
        volume: finite or NaN values.
        path: `.nii` or `.nii.gz`.
        dtype: of the voxels in the file; a whole-number type holds the values exactly or refuses them.

    Raises:
        ValueRangeError: a value that a whole-number type does not hold.
    """
    values = _stored(volume.values, np.dtype(dtype), path)
    write_planes(path, nifti_head(volume.grid, volume.quantity, path.suffix == ".gz", values.dtype), values)


def nifti_head(
    grid: Grid,
    quantity: Quantity,
    compressed: bool,
    dtype: npt.DTypeLike = np.float32,
    scale: tuple[float, float] = (1.0, 0.0),
) -> ImageHead:
    """What stands before the voxels of a single NIfTI-1 file.

    Args:
        grid: of the image.
        quantity: its name, symbol and unit are noted as far as they are ASCII and fit.
        compressed: for `.nii.gz`.
        dtype: of the voxels, little endian.
        scale: slope and intercept by which stored numbers become values.
    """
    image = nifti_image(np.broadcast_to(np.zeros((), dtype), grid.shape), grid)
    header = image.header
    header["intent_name"] = quantity.name.encode("ascii", "replace")[:15]
    header["descrip"] = f"{quantity.symbol} [{quantity.unit}]".encode("ascii", "replace")[:79]
    header["scl_slope"], header["scl_inter"] = scale
    header["magic"], header["vox_offset"] = header.single_magic, header.single_vox_offset
    content = header.binaryblock + bytes(header.single_vox_offset - header.sizeof_hdr)
    return ImageHead(b"", content, GZIP) if compressed else ImageHead(content, b"", RAW)


def nifti_image(values: npt.NDArray[Any], grid: Grid) -> Any:
    """A `nibabel.Nifti1Image` of voxels on a grid, in their own type, with one affine in qform and sform."""
    import nibabel  # not before it is needed, here and below: it takes long to load

    affine = LPS_TO_RAS @ grid.affine
    image: Any = nibabel.Nifti1Image(values, affine)  # type: ignore[no-untyped-call]  # nibabel has no types here
    image.set_qform(affine, code=_SCANNER)
    image.set_sform(affine, code=_SCANNER)
    image.header.set_xyzt_units(xyz="mm")
    return image


def read_nifti(path: Path, quantity: Quantity) -> Volume:
    """Read a scalar 3-D NIfTI; `scl_slope` and `scl_inter` are applied. Errors as of `images.read_image`."""
    import nibabel

    try:
        image: Any = nibabel.load(path)
        _require_whole(image, path)
        values = np.asarray(image.dataobj)
        unit = image.header.get_xyzt_units()[0]
        if unit not in ("mm", "unknown"):
            raise UnsupportedError(f"{path}: lengths are in {unit}, expected mm; convert the image")
        values = scalar_values(values[..., 0] if values.shape[3:] == (1,) else values, path)
        _require_one_place(image, values.shape, path)
    except Surrogate3dError:
        raise
    except Exception as error:  # damaged headers fail in any way
        raise FormatError(f"{path} cannot be read as NIfTI: {one_line(error)}; export it again") from error
    return Volume(grid_of(LPS_TO_RAS @ image.affine, values.shape, path), values, quantity)


def nifti_notes(path: Path) -> tuple[str, ...]:
    """What the header leaves to convention."""
    import nibabel

    header: Any = nibabel.load(path).header
    if header.get_xyzt_units()[0] == "unknown":
        return (f"{path.name} does not say its unit of length; mm, as is usual in NIfTI, are taken",)
    return ()


def _stored(values: npt.NDArray[Any], dtype: np.dtype[Any], path: Path) -> npt.NDArray[Any]:
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        held = (values == np.rint(values)) & (values >= limits.min) & (values <= limits.max)
        if not held.all():
            i, j, k = np.argwhere(~held)[0]
            raise ValueRangeError(
                f"{path}: voxel ({i}, {j}, {k}) is {values[i, j, k]:g}, expected whole numbers from {limits.min} to "
                f"{limits.max}, as {dtype} holds; write float32"
            )
    return np.asarray(values, dtype=dtype)


def _require_whole(image: Any, path: Path) -> None:
    proxy = image.dataobj
    n_bytes = int(proxy.offset) + math.prod(proxy.shape) * proxy.dtype.itemsize
    Payload(path, "NIfTI", 0, n_bytes, GZIP if path.suffix == ".gz" else RAW).require_whole()


def _require_one_place(image: Any, shape: tuple[int, ...], path: Path) -> None:
    """Refuse an image without orientation, or with two that differ: programs differ in which they believe."""
    header = image.header
    sform, qform = int(header["sform_code"]), int(header["qform_code"])
    if not (sform or qform):
        raise GeometryError(f"{path}: neither sform nor qform is set, so its orientation is unknown; set one")
    if not (sform and qform) or not np.isfinite(image.affine).all():
        return
    corners = np.array([[i, j, k, 1] for i in (0, shape[0]) for j in (0, shape[1]) for k in (0, shape[2])])
    apart = float(np.abs(corners @ (header.get_sform() - header.get_qform()).T).max())
    smallest = float(np.linalg.norm(image.affine[:3, :3], axis=0).min())
    if smallest > 0 and not apart <= MAX_DISAGREEMENT_VOXELS * smallest:
        raise GeometryError(
            f"{path}: sform (code {sform}) and qform (code {qform}) put a corner {apart:.4g} mm apart, so its place is "
            "unknown; write the image with both equal, or with only the right one set"
        )
