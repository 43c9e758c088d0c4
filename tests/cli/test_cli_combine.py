"""`combine`, `resample` and `crop` on the command line."""

import numpy as np
import pytest

from surrogate3d.cli import main
from surrogate3d.io.field_store import read_field, write_field
from surrogate3d.pipeline.fields import crop_store

SAID = ["--weights", "1,2", "--times", "0:60,120:30"]


@pytest.fixture(scope="module")
def pair(plan, tmp_path_factory):
    """The small plan, and a field of other histories on its grid."""
    folder = tmp_path_factory.mktemp("pair")
    field = read_field(plan.unscaled)
    field.provenance["runs"] = []
    write_field(field, folder / "other.field.zarr")
    return [str(plan.unscaled), str(folder / "other.field.zarr")]


def test_combine_says_what_it_kept(pair, tmp_path, ask):
    found = ask("combine", *pair, *SAID, "-o", tmp_path / "sum.field.zarr")
    one = found["parts"][0]["dose_integral_gy_mm3"]
    assert found["dose_integral_gy_mm3"] == pytest.approx(3 * one, rel=1e-12)
    beams = read_field(tmp_path / "sum.field.zarr").beams
    assert [(beam.name, beam.weight, beam.start_s, beam.duration_s) for beam in beams] == [
        ("unscaled", 1.0, 0.0, 60.0),
        ("other", 2.0, 120.0, 30.0),
    ]


def test_combine_in_words(pair, tmp_path, capsys):
    output = str(tmp_path / "sum.field.zarr")
    assert main(["combine", *pair, *SAID, "--names", "left,right", "-o", output]) == 0
    out = capsys.readouterr().out
    for said in ("left x 1: dose integral", "right x 2", "0 % of its dose lost", output):
        assert said in out


def test_resample_and_crop_say_what_they_kept(pair, tmp_path, ask, capsys):
    fine = ask("resample", pair[0], "--spacing", "2,2,2", "-o", tmp_path / "fine.field.zarr")
    assert fine["grid"]["shape"] == [12, 10, 24]
    assert fine["dose_integral_gy_mm3"] == pytest.approx(fine["from"]["dose_integral_gy_mm3"], rel=1e-12)
    back = ask("resample", tmp_path / "fine.field.zarr", "--like", pair[0], "-o", tmp_path / "back.field.zarr")
    assert back["grid"] == fine["from"]["grid"]
    dose = [read_field(path).dose for path in (pair[0], tmp_path / "back.field.zarr")]
    np.testing.assert_allclose(dose[1], dose[0], rtol=1e-12)
    box = ask("crop", pair[0], "--box", "1:3,0:5,2:9", "-o", tmp_path / "box.field.zarr")
    assert box["grid"]["shape"] == [2, 5, 7]
    above = ["crop", pair[0], "--above", "0.5", "--margin-mm", "4", "-o", str(tmp_path / "above.field.zarr")]
    assert main(above) == 0
    assert "dose integral" in capsys.readouterr().out
    expected = crop_store(read_path := tmp_path / "fine.field.zarr", tmp_path / "x.field.zarr", above=0.5)
    assert ask("crop", read_path, "--above", "0.5", "-o", tmp_path / "y.field.zarr")["box"] == expected["box"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--weights", "1,much"], 2, "expected a number, found 'much'"),
        (["--weights", "1,1", "--times", "0:60,120"], 2, "expected start:duration in s such as 120:60, found '120'"),
        (["--weights", "1"], 1, "as many positive weights"),
        ([], 1, "give their weights"),
    ],
)
def test_combine_refuses(pair, tmp_path, refuse, arguments, code, message):
    assert message in refuse("combine", *pair, *arguments, "-o", tmp_path / "sum.field.zarr", code=code)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["resample", "--spacing", "2,2"], 2, "expected three lengths in mm such as 2,2,2, found '2,2'"),
        (["resample"], 1, "say either the voxel spacing or"),
        (["crop"], 1, "say either the box or"),
        (["crop", "--box", "0:9,0:9,0:99"], 1, "leaves the grid (6, 5, 12)"),
        (["crop", "--above", "2"], 1, "at most 1, found 2"),
    ],
)
def test_resample_and_crop_refuse(pair, tmp_path, refuse, arguments, code, message):
    command, *options = arguments
    assert message in refuse(command, pair[0], *options, "-o", tmp_path / "x.field.zarr", code=code)


def test_the_same_field_twice_is_refused(pair, tmp_path, refuse):
    said = refuse("combine", pair[0], pair[0], "--weights", "1,1", "--names", "a,b", "-o", tmp_path / "x.field.zarr")
    assert "hold the same histories" in said
