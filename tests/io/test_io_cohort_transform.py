"""Stated transforms against SimpleITK, which writes the files and maps the points."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK

from surrogate3d.errors import FormatError, GeometryError, StoreError, UnsupportedError
from surrogate3d.io.cohort_table import Source
from surrogate3d.io.cohort_transform import read_image_to_dose

POINTS = np.random.default_rng(3).normal(0, 80, (20, 3))


def euler() -> Any:
    return SimpleITK.Euler3DTransform((10.0, -20.0, 30.0), 0.1, -0.2, 0.3, (4.0, 5.0, -6.0))


def versor() -> Any:
    turn: Any = SimpleITK.VersorRigid3DTransform()
    turn.SetRotation((0.6, 0.0, 0.8), 0.4)
    turn.SetCenter((1.0, 2.0, 3.0))
    turn.SetTranslation((-7.0, 8.0, 9.0))
    return turn


def affine() -> Any:
    turn: Any = SimpleITK.AffineTransform(3)
    turn.SetMatrix(euler().GetMatrix())
    turn.SetCenter((5.0, 5.0, 5.0))
    turn.SetTranslation((1.0, 2.0, 3.0))
    return turn


def mapped(matrix: np.ndarray) -> np.ndarray:
    return np.asarray(POINTS @ matrix[:3, :3].T + matrix[:3, 3])


@pytest.mark.parametrize("make", [euler, versor, affine])
@pytest.mark.parametrize("suffix", ["tfm", "txt"])
def test_points_go_where_simpleitk_takes_them(tmp_path: Path, make: Any, suffix: str) -> None:
    path, turn = tmp_path / f"turn.{suffix}", make()
    SimpleITK.WriteTransform(turn, str(path))
    expected = np.array([turn.TransformPoint(point.tolist()) for point in POINTS])
    np.testing.assert_allclose(mapped(read_image_to_dose(Source(path, ""))), expected, atol=1e-9)
    back = np.array([turn.GetInverse().TransformPoint(point.tolist()) for point in POINTS])
    np.testing.assert_allclose(mapped(read_image_to_dose(Source(path, "inverse"))), back, atol=1e-9)


def test_the_other_order_of_eulers_axes_and_files_without_it_are_read(tmp_path: Path) -> None:
    turn: Any = euler()
    turn.SetComputeZYX(True)
    SimpleITK.WriteTransform(turn, str(tmp_path / "zyx.tfm"))
    expected = np.array([turn.TransformPoint(point.tolist()) for point in POINTS])
    np.testing.assert_allclose(mapped(read_image_to_dose(Source(tmp_path / "zyx.tfm", ""))), expected, atol=1e-9)
    old = written(tmp_path, ("FixedParameters: 10 -20 30 0", "FixedParameters: 10 -20 30"))
    expected = np.array([euler().TransformPoint(point.tolist()) for point in POINTS])
    np.testing.assert_allclose(mapped(read_image_to_dose(Source(old, ""))), expected, atol=1e-9)


def test_sixteen_numbers_are_a_matrix(tmp_path: Path) -> None:
    matrix = np.eye(4)
    matrix[:3, :3] = np.reshape(euler().GetMatrix(), (3, 3))
    matrix[:3, 3] = (1.5, 2.5, -3.5)
    (tmp_path / "m.txt").write_text(
        "# image to dose\n" + "\n".join(", ".join(map(repr, row)) for row in matrix.tolist())
    )
    np.testing.assert_array_equal(read_image_to_dose(Source(tmp_path / "m.txt", "")), matrix)


def written(folder: Path, *changes: tuple[str, str]) -> Path:
    """An Euler transform whose text was changed."""
    path = folder / "turn.tfm"
    SimpleITK.WriteTransform(euler(), str(path))
    text = path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        # ITK's own reader takes 5 parameters for 6 and reads beyond them.
        (("Parameters: 0.1 ", "Parameters: "), FormatError, "has 6 parameters and 4 fixed ones, found 5"),
        (("Parameters: 0.1 ", "Parameters: nan "), FormatError, "parameters are finite"),
        (("Parameters: 0.1 ", "Parameters: one "), FormatError, "parameters are numbers"),
        (("FixedParameters: 10 ", "FixedParameters: 10 9 "), FormatError, "found 6 and 5"),
        (
            ("Euler3DTransform", "ScaleVersor3DTransform"),
            UnsupportedError,
            "'ScaleVersor3DTransform_double_3_3' is not",
        ),
        (("Euler3DTransform_double_3_3", "Euler2DTransform_double_2_2"), UnsupportedError, "in 3 dimensions"),
        (("FixedParameters: 10 -20 30 0\n", ""), FormatError, "one Transform with its Parameters"),
        (
            ("#Transform 0", "#Transform 0\nTransform: CompositeTransform_double_3_3"),
            FormatError,
            "rigid transform alone",
        ),
        (("#Insight Transform File V1.0", ""), FormatError, "four lines of four numbers"),
    ],
)
def test_damaged_and_foreign_itk_files_are_refused(
    tmp_path: Path, change: tuple[str, str], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        read_image_to_dose(Source(written(tmp_path, change), ""))


def test_a_versor_longer_than_one_is_refused(tmp_path: Path) -> None:
    SimpleITK.WriteTransform(versor(), str(tmp_path / "v.tfm"))
    text = (tmp_path / "v.tfm").read_text()
    line = next(line for line in text.splitlines() if line.startswith("Parameters"))
    (tmp_path / "v.tfm").write_text(text.replace(line, "Parameters: 0.9 0.8 0.7 0 0 0"))
    with pytest.raises(FormatError, match="longer than 1"):
        read_image_to_dose(Source(tmp_path / "v.tfm", ""))


@pytest.mark.parametrize(
    ("diagonal", "words"),
    [
        ((1.0, 1.0, 1.001), "from the identity"),
        ((1.0, 1.0, -1.0), "det R is -1"),
        ((0.0, 0.0, 0.0), "from the identity"),
    ],
)
def test_scaling_and_mirroring_are_refused(tmp_path: Path, diagonal: tuple[float, ...], words: str) -> None:
    np.savetxt(tmp_path / "m.txt", np.diag([*diagonal, 1.0]))
    with pytest.raises(GeometryError, match=words):
        read_image_to_dose(Source(tmp_path / "m.txt", ""))


def test_rotations_rounded_to_five_digits_are_taken(tmp_path: Path) -> None:
    matrix = np.eye(4)
    matrix[:3, :3] = np.round(np.reshape(euler().GetMatrix(), (3, 3)), 5)
    np.savetxt(tmp_path / "m.txt", matrix, fmt="%.5f")
    np.testing.assert_allclose(read_image_to_dose(Source(tmp_path / "m.txt", "")), matrix, atol=1e-12)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"1 0 0 0\n0 1 0 0\n0 0 1 0\n", "four lines of four numbers"),
        (b"1 0 0 0\n0 1 0 0\n0 0 x 0\n0 0 0 1\n", "four lines of four numbers"),
        (b"\xff\xfe\x00", "no text of a transform"),
        (b"0 " * 40000, "no text of a transform"),
    ],
)
def test_files_that_are_no_transform_are_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "m.txt").write_bytes(content)
    with pytest.raises(FormatError, match=words):
        read_image_to_dose(Source(tmp_path / "m.txt", ""))


def test_missing_files_and_unknown_parts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no transform at"):
        read_image_to_dose(Source(tmp_path / "m.txt", ""))
    with pytest.raises(UnsupportedError, match="only 'inverse' is known"):
        read_image_to_dose(Source(tmp_path / "m.txt", "backwards"))
    np.savetxt(tmp_path / "m.txt", np.diag([1.0, 1.0, 1.0, 2.0]))
    with pytest.raises(GeometryError, match="last row 0 0 0 1"):
        read_image_to_dose(Source(tmp_path / "m.txt", ""))
