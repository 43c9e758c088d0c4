"""CT series, against what was written and ITK's own reader of DICOM series."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from dicom_objects import IDENTITY, ct_slice, rtdose

from surrogate3d.errors import FormatError, GeometryError, StoreError, UnsupportedError, ValueRangeError
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.io.dicom_ct import density_from_HU, read_ct_series, read_density_table

STORED = np.random.default_rng(7).integers(0, 3000, (5, 4, 6)).astype(np.int16)
TILT = np.deg2rad(20)
OBLIQUE = (np.cos(TILT), np.sin(TILT), 0.0, -np.sin(TILT), np.cos(TILT), 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def series(folder: Path, cosines: Any = IDENTITY, order: Any = (3, 0, 4, 1, 2), **elements: Any) -> Path:
    """Five slices 3 mm apart, with file names that do not follow their places."""
    folder.mkdir(exist_ok=True)
    normal = np.cross(cosines[:3], cosines[3:])
    for name, k in enumerate(order):
        position = np.array([-10.0, 20.0, 30.0]) + 3 * k * normal
        turned = [f"{x:.13f}"[:16] for x in cosines]
        ct_slice(folder / f"{name}.dcm", STORED[k], position, ImageOrientationPatient=turned, **elements)
    return folder


@pytest.mark.parametrize("cosines", [IDENTITY, OBLIQUE, CORONAL, (-1, 0, 0, 0, -1, 0), (1, 0, 0, 0, -1, 0)])
def test_a_series_lies_where_itk_puts_it(tmp_path: Path, cosines: Any) -> None:
    folder = series(tmp_path / "ct", cosines)
    ct = read_ct_series(folder)
    reader: Any = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    other = reader.Execute()
    assert ct.volume.grid.shape == other.GetSize() == (6, 4, 5)
    for index in np.ndindex(6, 4, 5):
        position = ct.volume.grid.position_mm(index)
        assert other.TransformPhysicalPointToIndex(position.tolist()) == index
        assert ct.volume.values[index] == other[index]
    assert ct.volume.grid.position_mm((5, 3, 4)) == pytest.approx(
        other.TransformIndexToPhysicalPoint((5, 3, 4)), abs=1e-6
    )


def test_values_are_rescaled_and_padding_has_none(tmp_path: Path) -> None:
    stored = STORED.copy()
    stored[2, 1, 3] = -2000
    for k in range(5):
        ct_slice(tmp_path / f"{k}.dcm", stored[k], (0, 0, 3 * k), RescaleSlope="2", PixelPaddingValue=-2000)
    ct = read_ct_series(tmp_path)
    assert np.isnan(ct.volume.values[3, 1, 2])
    assert ct.volume.values[0, 0, 0] == 2 * stored[0, 0, 0] - 1024
    assert "1 voxels are padding and have no value" in ct.notes
    assert (ct.n_slices, ct.series_uid, ct.volume.quantity.unit) == (5, "1.2.5", "HU")


def test_unused_bits_do_not_enter_the_values(tmp_path: Path) -> None:
    """12 bits stored of 16: what stands above them, such as old overlays, is no part of the value (PS3.5 8.1.1)."""
    clean = (STORED % 2048).astype(np.uint16)
    for k in range(5):
        dirty = clean[k] | np.uint16(0xA000)
        ct_slice(tmp_path / f"{k}.dcm", dirty, (0, 0, 3 * k), BitsStored=12, HighBit=11)
    values = read_ct_series(tmp_path).volume.values
    np.testing.assert_array_equal(values, clean.transpose(2, 1, 0).astype(np.float32) - 1024)


def test_other_files_of_the_folder_are_counted(tmp_path: Path) -> None:
    folder = series(tmp_path / "ct")
    rtdose(folder / "dose.dcm", np.zeros((2, 2, 2), np.uint16))
    (folder / "readme.txt").write_text("a phantom")
    assert read_ct_series(folder).notes == ("2 file(s) of the folder are no CT slices",)


def test_several_series_are_refused_until_one_is_named(tmp_path: Path) -> None:
    folder = series(tmp_path / "ct")
    ct_slice(folder / "scout.dcm", STORED[0], (0, 0, 0), SeriesInstanceUID="1.2.6")
    with pytest.raises(UnsupportedError, match="2 CT series"):
        read_ct_series(folder)
    assert read_ct_series(folder, "1.2.5").n_slices == 5
    with pytest.raises(FormatError, match=r"no CT slices of series 1\.2\.7"):
        read_ct_series(folder, "1.2.7")


@pytest.mark.parametrize("order", [(0, 1, 3, 4), (0, 1, 1, 2, 3)])
def test_missing_and_doubled_slices_are_refused(tmp_path: Path, order: tuple[int, ...]) -> None:
    with pytest.raises(GeometryError, match="missing or doubled"):
        read_ct_series(series(tmp_path / "ct", order=order))


def test_a_tilted_gantry_is_refused(tmp_path: Path) -> None:
    for k in range(5):
        ct_slice(tmp_path / f"{k}.dcm", STORED[k], (0, 0.8 * k, 3 * k))
    with pytest.raises(GeometryError, match="tilted gantry"):
        read_ct_series(tmp_path)


@pytest.mark.parametrize(
    ("elements", "error", "words"),
    [
        ({"FrameOfReferenceUID": "1.9"}, GeometryError, "FrameOfReferenceUID"),
        ({"PixelSpacing": [2.0, 1.6]}, GeometryError, "PixelSpacing"),
        ({"ImageOrientationPatient": list(OBLIQUE)}, GeometryError, "ImageOrientationPatient"),
        ({"RescaleType": "OD"}, UnsupportedError, "RescaleType"),
        ({"RescaleSlope": None}, FormatError, "RescaleSlope"),
        ({"PixelData": b"\0\0"}, FormatError, "expected 48 bytes"),
    ],
)
def test_one_slice_that_differs_is_refused(
    tmp_path: Path, elements: dict[str, Any], error: type[Exception], words: str
) -> None:
    for k in range(5):
        ct_slice(tmp_path / f"{k}.dcm", STORED[k], (0, 0, 3 * k), **(elements if k == 3 else {}))
    with pytest.raises(error, match=words):
        read_ct_series(tmp_path)


def test_slices_of_several_frames_and_single_ones_without_extent_are_refused(tmp_path: Path) -> None:
    two = {"NumberOfFrames": 2, "PixelData": STORED[:2].tobytes()}
    path = ct_slice(tmp_path / "0.dcm", STORED[0], (0, 0, 0), **two)
    with pytest.raises(UnsupportedError, match="several frames"):
        read_ct_series(tmp_path)
    ct_slice(path, STORED[0], (0, 0, 0), SliceThickness=None)
    with pytest.raises(GeometryError, match="SliceThickness"):
        read_ct_series(tmp_path)
    ct_slice(path, STORED[0], (0, 0, 0))
    assert read_ct_series(tmp_path).volume.grid.spacing_mm == (1.5, 2.0, 3.0)


def test_folders_without_slices_and_damaged_slices_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no folder"):
        read_ct_series(tmp_path / "nothing")
    with pytest.raises(FormatError, match="holds no CT slices"):
        read_ct_series(tmp_path)
    folder = series(tmp_path / "ct")
    content = (folder / "2.dcm").read_bytes()
    (folder / "2.dcm").write_bytes(content[:200])
    with pytest.raises(FormatError, match=r"2\.dcm is damaged"):
        read_ct_series(folder)


def hounsfield(*values: float) -> Volume:
    grid = Grid((len(values), 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    return Volume(grid, np.array(values, dtype=np.float32).reshape(-1, 1, 1), quantity("HU"))


def test_density_is_interpolated_between_the_points_of_the_table(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("HU,density_g_cm3\n-1000,0.001\n0,1.0\n\n1000,1.6\n")
    (tmp_path / "t.json").write_text(json.dumps([[-1000, 0.001], [0, 1.0], [1000, 1.6]]))
    tables = [read_density_table(tmp_path / name) for name in ("t.csv", "t.json")]
    assert tables[0] == tables[1] == [(-1000.0, 0.001), (0.0, 1.0), (1000.0, 1.6)]
    density = density_from_HU(hounsfield(-1000, 0, 500, 1000, np.nan), tables[0])
    assert density.values[:4, 0, 0] == pytest.approx([0.001, 1.0, 1.3, 1.6])
    assert np.isnan(density.values[4, 0, 0])
    assert density.quantity.unit == "g/cm3"


@pytest.mark.parametrize("outside", [-1024.0, 3071.0])
def test_numbers_outside_the_table_are_refused(outside: float) -> None:
    with pytest.raises(ValueRangeError, match="extend the table"):
        density_from_HU(hounsfield(0, outside), [(-1000, 0.001), (3000, 2.8)])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.csv", "HU,rho\n0,1\n1,2\n"),
        ("t.csv", "HU,density_g_cm3\n0,1\n0,2\n"),
        ("t.csv", "HU,density_g_cm3\n0,1\n1,-2\n"),
        ("t.csv", "HU,density_g_cm3\n0,1\n"),
        ("t.csv", "HU,density_g_cm3\n0,water\n1,2\n"),
        ("t.csv", "HU,density_g_cm3\n0,1,5\n1,2\n"),
        ("t.csv", ""),
        ("t.json", "{"),
        ("t.json", '{"0": 1}'),
        ("t.json", "[[0, 1], [1, NaN]]"),
    ],
)
def test_what_is_no_density_table_is_refused(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(FormatError, match=r"t\.(csv|json)"):
        read_density_table(tmp_path / name)
    with pytest.raises(StoreError, match="no density table"):
        read_density_table(tmp_path / "none.csv")
