"""Volumes as MetaImage and NRRD, in LPS; SimpleITK unpacks NRRD.

SimpleITK takes much for granted without a word: a NRRD of unknown space is LPS to it, a missing origin is 0, units of
length and the intensity slope of a MetaImage are passed over. The headers are therefore read here as well, from the
text: http://teem.sourceforge.net/nrrd/format.html and https://itk.org/Wiki/ITK/MetaIO/Documentation.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, GeometryError, UnsupportedError
from surrogate3d.grid import Grid, Quantity, Volume
from surrogate3d.io.image_grid import grid_of, one_line, scalar_values
from surrogate3d.io.image_payload import GZIP, RAW, Payload
from surrogate3d.io.map_file import ImageHead, write_planes
from surrogate3d.io.metaimage import MATRIX, OFFSET, meta_head, meta_header, numbers, read_meta

NRRD_SPACES = {
    "lps": "left-posterior-superior",
    "ras": "right-anterior-superior",
    "las": "left-anterior-superior",
}
"""Frames of the patient, by their short names; SimpleITK turns each into LPS."""

_HEADER_BYTES = 1 << 16
_NO_BRACKETS = str.maketrans("(),", "   ")
_SPATIAL_KINDS = {"domain", "space", "none", "???"}
_NRRD_PACKING = {"raw": RAW, "gzip": GZIP, "gz": GZIP}
_NRRD_BYTES = {
    **dict.fromkeys(("signed char", "int8", "int8_t", "uchar", "unsigned char", "uint8", "uint8_t"), 1),
    **dict.fromkeys(("short", "short int", "signed short", "signed short int", "int16", "int16_t"), 2),
    **dict.fromkeys(("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"), 2),
    **dict.fromkeys(("int", "signed int", "int32", "int32_t", "uint", "unsigned int", "uint32", "uint32_t"), 4),
    **dict.fromkeys(("longlong", "long long", "long long int", "signed long long", "signed long long int"), 8),
    **dict.fromkeys(("int64", "int64_t", "ulonglong", "unsigned long long", "unsigned long long int"), 8),
    **dict.fromkeys(("uint64", "uint64_t", "double"), 8),
    "float": 4,
}
_TOWARDS = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}


def write_itk(volume: Volume, path: Path) -> None:
    """Write `.mha` or `.nrrd` as float32, compressed, with quantity and unit in the header."""
    head = nrrd_head if path.suffix == ".nrrd" else meta_head
    write_planes(path, head(volume.grid, volume.quantity), np.asarray(volume.values, dtype="<f4"))


def nrrd_head(grid: Grid, quantity: Quantity) -> ImageHead:
    """What stands before the compressed float32 voxels of a NRRD, with quantity and unit as free fields."""
    steps = (np.asarray(grid.direction, dtype=float) * grid.spacing_mm).T
    lines = (
        "NRRD0004",
        "type: float",
        "dimension: 3",
        f"space: {NRRD_SPACES['lps']}",
        f"sizes: {' '.join(str(n) for n in grid.shape)}",
        f"space directions: {' '.join(_vector(step) for step in steps)}",
        "kinds: domain domain domain",
        "endian: little",
        "encoding: gzip",
        f"space origin: {_vector(grid.origin_mm)}",
        f"quantity:={' '.join(quantity.name.split())}",
        f"unit:={' '.join(quantity.unit.split())}",
    )
    return ImageHead("".join(f"{line}\n" for line in (*lines, "")).encode(), b"", GZIP)


def _vector(values: Iterable[float]) -> str:
    return f"({','.join(f'{value:.17g}' for value in values)})"


def read_itk(path: Path, quantity: Quantity) -> Volume:
    """Read a scalar 3-D `.mha`, `.mhd` or `.nrrd`. Errors as of `images.read_image`."""
    header = itk_header(path)
    if path.suffix == ".nrrd":
        values, affine = _read_nrrd(header, path)
    else:
        values, affine = read_meta(header, path)
    values = scalar_values(values, path)
    grid = grid_of(affine, values.shape, path)
    if path.suffix != ".nrrd":
        _require_meta(header, grid, path)
    return Volume(grid, values, quantity)


def _read_nrrd(header: Mapping[str, str], path: Path) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64]]:
    _require_nrrd(header, path)
    _nrrd_payload(header, path).require_whole()
    import SimpleITK  # not before it is needed: it takes long to load

    try:
        image: Any = SimpleITK.ReadImage(str(path))
    except RuntimeError as error:
        raise FormatError(f"{path} cannot be read: {one_line(error)}; export it again") from error
    affine = np.eye(4)
    affine[:3, :3] = np.reshape(image.GetDirection(), (3, 3)) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return SimpleITK.GetArrayFromImage(image).transpose(2, 1, 0), affine


def itk_header(path: Path) -> dict[str, str]:
    """Fields of a MetaImage or NRRD header as text, names in lower case.

    Raises:
        FormatError: a line is no field, or a field is there twice.
    """
    return _nrrd_header(path) if path.suffix == ".nrrd" else meta_header(path)


def _nrrd_header(path: Path) -> dict[str, str]:
    with path.open("rb") as stream:
        start = stream.read(_HEADER_BYTES)
    header: dict[str, str] = {}
    for number, line in enumerate(start.decode("latin-1").splitlines()):
        if not line:
            break  # an empty line ends the header
        name, found, value = line.partition(":")
        key = name.strip().lower()
        if line.startswith("#") or not number or value.startswith("="):
            continue  # a comment, the magic, or name:=value, which is free text of the user
        if not found or key in header:
            why = "there a second time" if found else "no field 'name: value'"
            raise FormatError(f"{path} cannot be read as NRRD: line {number + 1} is {why}; export it again")
        header[key] = value.strip()
    return header


def _nrrd_payload(header: Mapping[str, str], path: Path) -> Payload:
    encoding, kind = header.get("encoding", "").lower(), _NRRD_BYTES.get(header.get("type", "").lower())
    skipped = [name for name in ("data file", "datafile", "line skip", "lineskip", "byte skip") if name in header]
    if encoding not in _NRRD_PACKING or skipped:
        raise UnsupportedError(
            f"{path}: values must follow the header, raw or as gzip, found encoding {encoding or 'none'!r}"
            f"{' with ' + skipped[0] if skipped else ''}; export it again"
        )
    if kind is None:
        raise UnsupportedError(f"{path}: values of type {header.get('type')!r} are not read; convert the image")
    n_bytes = kind * math.prod(int(n) for n in numbers(header, ("sizes",), 3, path, whole=True))
    with path.open("rb") as stream:
        while stream.readline().strip(b"\r\n"):
            pass
        return Payload(path, "NRRD", stream.tell(), n_bytes, _NRRD_PACKING[encoding])


def itk_notes(path: Path) -> tuple[str, ...]:
    """What the header of a MetaImage leaves to the defaults of the format. A NRRD leaves nothing, or is refused."""
    if path.suffix == ".nrrd":
        return ()
    header = itk_header(path)
    notes = []
    if not any(name in header for name in MATRIX):
        notes.append(
            f"{path.name} has no TransformMatrix: by MetaImage's default its axes are taken to run along x, y and z "
            "of the patient (LPS)"
        )
    if not has_position(path):
        notes.append(f"{path.name} has no Offset: by MetaImage's default its first voxel is taken to lie at 0, 0, 0 mm")
    return tuple(notes)


def has_position(path: Path) -> bool:
    """Whether the header of a MetaImage says where the first voxel is."""
    header = itk_header(path)
    return any(name in header for name in OFFSET)


def data_file(path: Path) -> Path | None:
    """The file that holds the values of a MetaImage, where it is another one."""
    name = itk_header(path).get("elementdatafile", "LOCAL")
    return None if name.upper() == "LOCAL" else path.parent / Path(name).name


def _require_nrrd(header: Mapping[str, str], path: Path) -> None:
    if "dimension" not in header:
        raise FormatError(f"{path} cannot be read: no NRRD header with a dimension; export it again")
    kinds = [kind.lower() for kind in header.get("kinds", "").split()]
    if header["dimension"] != "3" or not set(kinds) <= _SPATIAL_KINDS:
        raise UnsupportedError(
            f"{path}: expected one number a voxel in three dimensions, found {header['dimension']} axes of kinds "
            f"{' '.join(kinds) or 'not said'}; extract one"
        )
    space = header.get("space", "").lower()
    if space not in {*NRRD_SPACES, *NRRD_SPACES.values()}:
        raise GeometryError(
            f"{path}: expected a space of the patient ({', '.join(NRRD_SPACES.values())}), found "
            f"{space or 'none'}, so its orientation is unknown; export it from a program that writes the space"
        )
    for name in ("space directions", "space origin"):
        if name not in header:
            raise GeometryError(f"{path}: there is no {name!r}, so its place is unknown; export it again")
    if not np.isfinite(_numbers(header["space directions"].translate(_NO_BRACKETS).replace("none", "nan"), path)).all():
        raise GeometryError(
            f"{path}: the space directions are not finite, {header['space directions']}; export it again"
        )
    units = {unit.lower() for unit in header.get("space units", "mm").replace('"', " ").split()}
    if units - {"mm", "millimeter", "millimeters"}:
        raise UnsupportedError(f"{path}: lengths are in {', '.join(sorted(units))}, expected mm; convert the image")


def _require_meta(header: Mapping[str, str], grid: Grid, path: Path) -> None:
    unit = header.get("distanceunits", "mm").lower()
    if unit not in ("mm", "?"):
        raise UnsupportedError(f"{path}: lengths are in {unit}, expected mm; convert the image")
    for names, what in ((MATRIX, "orientations"), (OFFSET, "positions")):
        given = {_numbers(header[name], path) for name in names if name in header}
        if len(given) > 1:
            raise GeometryError(f"{path}: the header gives several {what}, {sorted(given)}; export it again")
    slope, offset = (
        header.get(f"elementtointensityfunction{end}", no) for end, no in (("slope", "1"), ("offset", "0"))
    )
    if _numbers(f"{slope} {offset}", path) != (1, 0):
        raise UnsupportedError(
            f"{path}: values are to be scaled by {slope} and shifted by {offset} (ElementToIntensityFunction), which "
            "readers differ about; export the real values"
        )
    code = header.get("anatomicalorientation", "???").upper()
    if not _describes(code, np.asarray(grid.direction)):
        raise GeometryError(
            f"{path}: AnatomicalOrientation {code} contradicts TransformMatrix {grid.direction}; export it again"
        )


def _numbers(text: str, path: Path) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in text.split())
    except ValueError as error:
        raise FormatError(f"{path}: expected numbers in the header, found {text!r}; export it again") from error


def _describes(code: str, direction: np.ndarray[Any, Any]) -> bool:
    """Whether three letters fit the axes: as where each comes from (ITK's RAI) or as where it goes (LPS)."""
    if not (len(code) == 3 and set(code) <= set(_TOWARDS)):
        return True  # not said ("???")
    along = [sign * direction[row, axis] for axis, (row, sign) in enumerate(_TOWARDS[letter] for letter in code)]
    return all(cosine > 0 for cosine in along) or all(cosine < 0 for cosine in along)
