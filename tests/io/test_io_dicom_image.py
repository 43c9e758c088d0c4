"""MR series as images, against what was stored and ITK's own reader of DICOM series."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK
from dicom_objects import IDENTITY, ct_slice
from mr_series import mr_series

from surrogate3d.errors import FormatError, GeometryError, StoreError, UnsupportedError
from surrogate3d.io.dicom_ct import read_ct_series
from surrogate3d.io.dicom_image import read_image_series

SHAPE = (5, 4, 6)
FLIPPED = (-1.0, 0.0, 0.0, 0.0, 1.0, 0.0)  # rows towards the patient's right; slices then count downwards


@pytest.mark.parametrize("cosines", [IDENTITY, FLIPPED])
def test_an_mr_series_without_rescaling_lies_where_itk_puts_it(tmp_path: Path, cosines: Any) -> None:
    mr_series(tmp_path, SHAPE, ImageOrientationPatient=list(cosines))
    found = read_image_series(tmp_path)
    reader: Any = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(tmp_path)))
    other = reader.Execute()
    for index in np.ndindex(6, 4, 5):
        position = found.volume.grid.position_mm(index)
        assert found.volume.values[index] == other[other.TransformPhysicalPointToIndex(position.tolist())]
    assert found.volume.quantity.name == "image_signal"
    assert found.frame_of_reference_uid == "1.2.3.4"


def test_slopes_and_padding_are_applied_where_a_slice_has_them(tmp_path: Path) -> None:
    stored = mr_series(tmp_path, SHAPE, RescaleSlope="0.5", RescaleIntercept="3")
    values = read_image_series(tmp_path).volume.values
    np.testing.assert_allclose(values, stored.transpose(2, 1, 0) * 0.5 + 3)
    padded = tmp_path / "padded"
    stored = mr_series(padded, SHAPE, PixelPaddingValue=int(stored[0, 0, 0]))
    assert np.isnan(read_image_series(padded).volume.values[0, 0, 0])


def test_a_ct_series_is_an_image_too_and_an_mr_series_is_no_ct(tmp_path: Path) -> None:
    stored = mr_series(tmp_path / "mr", SHAPE).astype(np.int16)
    with pytest.raises(FormatError, match="holds no CT slices"):
        read_ct_series(tmp_path / "mr")
    (tmp_path / "ct").mkdir()
    for k in range(5):
        ct_slice(tmp_path / f"ct/{k}.dcm", stored[k], (0, 0, 3 * k))
    assert read_image_series(tmp_path / "ct").volume.values[0, 0, 0] == stored[0, 0, 0] - 1024
    ct_slice(tmp_path / "ct/0.dcm", stored[0], (0, 0, 0), RescaleSlope=None)
    with pytest.raises(FormatError, match="RescaleSlope"):
        read_image_series(tmp_path / "ct")


def test_several_series_are_refused_until_one_is_named(tmp_path: Path) -> None:
    stored = mr_series(tmp_path, SHAPE)
    ct_slice(tmp_path / "ct.dcm", stored[0].astype(np.int16), (0, 0, 0))
    with pytest.raises(UnsupportedError, match="holds 2 CT or MR series"):
        read_image_series(tmp_path)
    found = read_image_series(tmp_path, "1.2.77")
    assert found.volume.grid.shape == (6, 4, 5)
    with pytest.raises(FormatError, match=r"no CT or MR slices of series 1\.2\.9"):
        read_image_series(tmp_path, "1.2.9")


def test_missing_slices_damaged_files_and_missing_folders_are_refused(tmp_path: Path) -> None:
    mr_series(tmp_path / "mr", SHAPE)
    (tmp_path / "mr/note.txt").write_text("of a phantom")
    assert read_image_series(tmp_path / "mr").notes == ("1 file(s) of the folder are no CT or MR slices",)
    (tmp_path / "mr/02.dcm").unlink()
    with pytest.raises(GeometryError, match="missing or doubled"):
        read_image_series(tmp_path / "mr")
    (tmp_path / "mr/02.dcm").write_bytes(b"")
    with pytest.raises(FormatError, match=r"02\.dcm is empty or damaged .*perhaps a CT or MR slice"):
        read_image_series(tmp_path / "mr")
    with pytest.raises(StoreError, match="folder of a CT or MR series"):
        read_image_series(tmp_path / "none")
