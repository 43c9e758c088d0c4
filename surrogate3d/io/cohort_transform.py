"""Stated rigid transforms, from the frame of an image to that of the delivered volumes.

A transform takes a point, LPS and mm, in the image's frame to the same point of the patient in the frame of dose, D_RBE
and LET_d. ITK's registration writes the transform that resampling wants: from points of the fixed image to points of
the moving one. It is the one wanted here where the planning image (or the dose) was moving and the image before
treatment fixed; in the other case `file#inverse` turns it round.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import SimpleITK

from surrogate3d.errors import FormatError, StoreError, UnsupportedError
from surrogate3d.grid.lesion import require_rigid
from surrogate3d.io.cohort_table import Source

FloatArray = npt.NDArray[np.float64]

ITK_HEADER = "#Insight Transform File"
ITK_PARAMETERS = {"AffineTransform": 12, "Euler3DTransform": 6, "VersorRigid3DTransform": 6}
"""Kinds that are read, and how many parameters each has."""

INVERSE = "inverse"
_MAX_BYTES = 1 << 16


def read_image_to_dose(source: Source) -> FloatArray:
    """Read a transform.

    Args:
        source: a text file of 16 numbers, row by row, or one that ITK writes (`ITK_PARAMETERS`); `#inverse` for the
            inverse of what the file says.

    Returns:
        4 x 4 matrix, takes (x, y, z, 1) in the image's frame to the frame of the delivered volumes, LPS mm.

    Raises:
        StoreError: there is no such file.
        FormatError: it is neither.
        UnsupportedError: an ITK transform of another kind, several in one file, or something else than `#inverse`.
        GeometryError: it does more than turn and shift.
    """
    if source.part not in ("", INVERSE):
        raise UnsupportedError(f"{source.path}: after '#' only {INVERSE!r} is known here, found {source.part!r}")
    text = _text(source.path)
    matrix = _itk(text, source.path) if text.startswith(ITK_HEADER) else _numbers(text, source.path)
    require_rigid(matrix, str(source.path))
    return np.asarray(np.linalg.inv(matrix) if source.part else matrix, dtype=np.float64)


def _text(path: Path) -> str:
    if not path.is_file():
        raise StoreError(f"no transform at {path}; check the path")
    with path.open("rb") as stream:
        content = stream.read(_MAX_BYTES + 1)
    try:
        if len(content) > _MAX_BYTES:
            raise ValueError(f"more than {_MAX_BYTES} bytes")
        return content.decode("utf-8-sig")
    except ValueError as error:
        raise FormatError(f"{path} is no text of a transform: {error}; export it as text") from error


def _numbers(text: str, path: Path) -> FloatArray:
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    words = [line.replace(",", " ").split() for line in lines]
    try:
        if [len(row) for row in words] != [4, 4, 4, 4]:
            raise ValueError(f"found lines of {[len(row) for row in words][:8]} numbers")
        return np.array(words, dtype=np.float64)
    except ValueError as error:
        raise FormatError(
            f"{path}: expected four lines of four numbers, or a text that begins with {ITK_HEADER!r}: {error}"
        ) from error


def _itk(text: str, path: Path) -> FloatArray:
    """Matrix of an ITK transform file; its text is read here, as ITK crashes on too few parameters."""
    fields = [line.partition(":") for line in text.splitlines() if line.strip() and not line.startswith("#")]
    found = {name.strip(): value.split() for name, _, value in fields}
    if len(fields) != len(found) or set(found) != {"Transform", "Parameters", "FixedParameters"}:
        raise FormatError(
            f"{path}: expected one Transform with its Parameters and FixedParameters, found "
            f"{', '.join(name.strip() for name, _, _ in fields)[:80] or 'none'}; write the rigid transform alone"
        )
    name = " ".join(found["Transform"])
    kind = next((kind for kind in ITK_PARAMETERS if name in (f"{kind}_double_3_3", f"{kind}_float_3_3")), None)
    if kind is None:
        raise UnsupportedError(f"{path}: {name!r} is not read; expected {', '.join(ITK_PARAMETERS)} in 3 dimensions")
    return _matrix(kind, _floats(found["Parameters"], path), _floats(found["FixedParameters"], path), path)


def _matrix(kind: str, parameters: list[float], fixed: list[float], path: Path) -> FloatArray:
    expected, euler = ITK_PARAMETERS[kind], kind == "Euler3DTransform"
    fixed = [*fixed, 0.0] if euler and len(fixed) == 3 else fixed  # before ITK 4.8 there was one order of axes only
    if len(parameters) != expected or len(fixed) != 3 + euler:
        raise FormatError(
            f"{path}: a {kind} has {expected} parameters and {3 + euler} fixed ones, found {len(parameters)} and "
            f"{len(fixed)}; export it again"
        )
    if kind == "VersorRigid3DTransform" and np.linalg.norm(parameters[:3]) > 1:
        raise FormatError(f"{path}: {parameters[:3]} is no versor, it is longer than 1; export it again")
    itk: Any = SimpleITK  # has no types here
    transform = getattr(itk, kind)(3) if kind == "AffineTransform" else getattr(itk, kind)()
    transform.SetFixedParameters(fixed)
    transform.SetParameters(parameters)
    matrix, centre = np.eye(4), np.asarray(transform.GetCenter())
    rotation = np.reshape(transform.GetMatrix(), (3, 3))
    matrix[:3, :3] = rotation
    matrix[:3, 3] = centre + transform.GetTranslation() - rotation @ centre  # ITK turns about the centre
    return matrix


def _floats(words: list[str], path: Path) -> list[float]:
    try:
        numbers = [float(word) for word in words]
    except ValueError as error:
        raise FormatError(f"{path}: parameters are numbers: {error}; export it again") from error
    if not np.isfinite(numbers).all():
        raise FormatError(f"{path}: parameters are finite, found {' '.join(words)[:80]}; export it again")
    return numbers
