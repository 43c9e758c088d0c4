"""MetaImage: `.mha` and `.mhd` read from header and bytes, `.mha` written.

SimpleITK passes over header lines that it does not understand, with what follows them, takes defaults for the fields
that it so misses, and can crash. Here every line must be a field, and defaults stand only for fields that are absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, GeometryError, UnsupportedError
from surrogate3d.grid import Grid, Quantity
from surrogate3d.io.image_payload import RAW, ZLIB, Payload
from surrogate3d.io.map_file import SIZE_DIGITS, ImageHead

MATRIX, OFFSET = ("transformmatrix", "orientation", "rotation"), ("offset", "position", "origin")
"""Names of the fields that say how the axes run, and where the first voxel is."""

_HEADER_BYTES = 1 << 16
_BYTE_ORDER = ("binarydatabyteordermsb", "elementbyteordermsb")
_TYPES = {
    "met_char": "i1",
    "met_uchar": "u1",
    "met_short": "i2",
    "met_ushort": "u2",
    "met_int": "i4",
    "met_uint": "u4",
    "met_long_long": "i8",
    "met_ulong_long": "u8",
    "met_float": "f4",
    "met_double": "f8",
}


def meta_head(grid: Grid, quantity: Quantity) -> ImageHead:
    """What stands before the compressed float32 voxels of a `.mha`, with quantity and unit among the fields."""
    cosines = np.asarray(grid.direction, dtype=float)
    fields = {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "True",
        "CompressedDataSize": " " * SIZE_DIGITS,
        "TransformMatrix": _words(cosines.T.ravel()),  # one axis after the other
        "Offset": _words(grid.origin_mm),
        "CenterOfRotation": "0 0 0",
        "AnatomicalOrientation": _origins(cosines),
        "ElementSpacing": _words(grid.spacing_mm),
        "quantity": " ".join(quantity.name.split()),
        "unit": " ".join(quantity.unit.split()),
        "DimSize": _words(grid.shape),
        "ElementType": "MET_FLOAT",
        "ElementDataFile": "LOCAL",
    }
    plain = "".join(f"{name} = {value}\n" for name, value in fields.items()).encode()
    size_at = plain.index(b"CompressedDataSize = ") + len(b"CompressedDataSize = ")
    return ImageHead(plain, b"", ZLIB, size_at)


def meta_header(path: Path) -> dict[str, str]:
    """Fields as text, names in lower case.

    Raises:
        FormatError: a line is no field, a field is there twice, or the last one, ElementDataFile, is not there.
    """
    header: dict[str, str] = {}
    with path.open("rb") as stream:
        lines = stream.read(_HEADER_BYTES).decode("latin-1").split("\n")
    for number, line in enumerate(lines, start=1):
        name, found, value = line.partition("=")
        key = name.strip().lower()
        if not found or not key or not key.isprintable() or not key.isascii() or key in header:
            why = "a second time" if key in header else "no field 'Name = value'"
            raise FormatError(f"{path} cannot be read as MetaImage: line {number} is {why}; export it again")
        header[key] = value.strip()
        if key == "elementdatafile":
            return header
    raise FormatError(f"{path} cannot be read as MetaImage: there is no ElementDataFile; export it again")


def read_meta(header: Mapping[str, str], path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    """(i, j, k) values and the 4 x 4 voxel-to-LPS affine of a scalar 3-D image.

    Args:
        header: as `meta_header` gives it.
        path: of the header.

    Raises:
        FormatError: fields that are missing or no numbers, or another number of bytes than they tell of.
        GeometryError: no ElementSpacing.
        UnsupportedError: not one number a voxel in three dimensions, values as text or in several files.
    """
    n_dims, channels = header.get("ndims", ""), header.get("elementnumberofchannels", "1")
    if n_dims != "3" or channels != "1":
        raise UnsupportedError(
            f"{path}: expected one number a voxel in three dimensions, found {channels} in {n_dims or 'none'}; "
            "extract one"
        )
    if "elementspacing" not in header:
        raise GeometryError(f"{path}: there is no ElementSpacing, so its size is unknown; export it again")
    shape = tuple(int(n) for n in numbers(header, ("dimsize",), 3, path, whole=True))
    kind = _TYPES.get(header.get("elementtype", "").lower())
    if kind is None:
        raise UnsupportedError(f"{path}: values of type {header.get('elementtype')} are not read; convert the image")
    order = ">" if any(_truth(header, name, path) for name in _BYTE_ORDER) else "<"
    dtype = np.dtype(order + kind)
    content = b"".join(_payload(header, path, int(np.prod(shape, dtype=object)) * dtype.itemsize).blocks())
    affine = np.eye(4)
    matrix = numbers(header, MATRIX, 9, path, default=np.eye(3).ravel()).reshape(3, 3)
    affine[:3, :3] = matrix.T * numbers(header, ("elementspacing",), 3, path)  # one axis after the other
    affine[:3, 3] = numbers(header, OFFSET, 3, path, default=np.zeros(3))
    return np.frombuffer(content, dtype).reshape(shape, order="F"), affine


def numbers(
    header: Mapping[str, str],
    names: tuple[str, ...],
    count: int,
    path: Path,
    *,
    default: npt.NDArray[np.float64] | None = None,
    whole: bool = False,
) -> npt.NDArray[np.float64]:
    """Numbers of the first of some fields that is there.

    Raises:
        FormatError: none is there and there is no default, or they are not `count` finite numbers.
    """
    text = next((header[name] for name in names if name in header), None)
    if text is None and default is not None:
        return default
    try:
        if text and not (text.isascii() and "_" not in text):
            raise ValueError("no digits of ours")
        found = np.array([float(word) for word in (text or "").split()])
    except ValueError as error:
        raise FormatError(f"{path}: expected numbers in {names[0]}, found {text!r}; export it again") from error
    if found.size != count or not np.isfinite(found).all() or (whole and ((found < 1) | (found % 1 != 0)).any()):
        raise FormatError(f"{path}: expected {count} numbers in {names[0]}, found {text!r}; export it again")
    return found


def _words(values: Iterable[float]) -> str:
    return " ".join(f"{value:.17g}" for value in values)


def _origins(cosines: npt.NDArray[np.float64]) -> str:
    """Where each index axis comes from, in the letters of ITK."""
    order = max(permutations(range(3)), key=lambda rows: sum(abs(cosines[rows[a], a]) for a in range(3)))
    return "".join("RAI"[row] if cosines[row, axis] > 0 else "LPS"[row] for axis, row in enumerate(order))


def _payload(header: Mapping[str, str], path: Path, n_bytes: int) -> Payload:
    name = header["elementdatafile"]
    is_local = name.upper() == "LOCAL"
    if not _truth(header, "binarydata", path, "True") or name.upper().startswith("LIST") or "%" in name:
        raise UnsupportedError(f"{path}: values as text or in several files are not read; export it as one binary file")
    data = path if is_local else path.parent / Path(name).name
    if not name or not data.is_file():
        raise FormatError(f"{path}: its values should be in {name!r}, which is not there; copy it beside the header")
    skipped = int(numbers(header, ("headersize",), 1, path, default=np.zeros(1))[0])
    if skipped < -1 or (is_local and skipped):
        raise UnsupportedError(f"{path}: a HeaderSize of {skipped} is not read; export it again")
    start = _local_start(path) if is_local else skipped if skipped >= 0 else data.stat().st_size - n_bytes
    packing = ZLIB if _truth(header, "compresseddata", path) else RAW
    return Payload(data, "MetaImage", max(start, 0), n_bytes, packing)


def _truth(header: Mapping[str, str], name: str, path: Path, default: str = "False") -> bool:
    value = header.get(name, default).lower()
    if value not in ("true", "false", "1", "0"):
        raise FormatError(f"{path}: expected True or False in {name}, found {value!r}; export it again")
    return value in ("true", "1")


def _local_start(path: Path) -> int:
    """Where values in the same file begin: behind the line that says so."""
    with path.open("rb") as stream:
        while not stream.readline().lower().lstrip().startswith(b"elementdatafile"):
            pass
        return stream.tell()
