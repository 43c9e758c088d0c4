"""`compare`: exit codes, JSON, tables, and what is refused."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from dicom_objects import rtdose, rtstruct

from surrogate3d.cli import main
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.io.images import write_image

GRID = Grid((5, 5, 16), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
DOSE = np.broadcast_to(np.where(np.arange(16) < 10, 2.0, 0.25), GRID.shape).astype(np.float32)
LIMITS = """
[[limit]]
name = "bias"
metric = "bias_percent"
quantity = "D_RBE"
group = "all"
at_most = 1.5
unit = "%"
min_n = 10
source = "made up"
"""


def image(path: Path, values: np.ndarray, name: str = "D_RBE", grid: Grid = GRID) -> Path:
    write_image(Volume(grid, values.astype(np.float32), quantity(name)), path)
    return path


@pytest.fixture
def maps(tmp_path: Path) -> Path:
    image(tmp_path / "reference.mha", DOSE)
    image(tmp_path / "one.nii.gz", 1.01 * DOSE)
    image(tmp_path / "two.nrrd", 1.02 * DOSE)
    image(tmp_path / "dose.mha", DOSE / 1.1, "dose_to_water")
    image(tmp_path / "Target.mha", DOSE > 1, "structure")
    (tmp_path / "limits.toml").write_text(LIMITS)
    return tmp_path


def arguments(maps: Path, *judged: str) -> list[str]:
    found = [each if "=" in each else str(maps / each) for each in judged]
    return ["compare", *found, "--reference", str(maps / "reference.mha"), "--quantity", "D_RBE"]


def test_several_maps_are_compared_and_all_is_in_the_JSON(maps: Path, ask) -> None:
    rest = ["--dose", maps / "dose.mha", "--structures", maps / "Target.mha", "--beam", "+z", "--base", "2"]
    data = ask(*arguments(maps, "one.nii.gz", f"more={maps / 'two.nrrd'}"), *rest, "-o", maps / "out.json")
    assert data["methods"] == ["one", "more"]
    assert data["judged"]["more"]["path"] == str(maps / "two.nrrd")
    assert data["reference"]["path"] == str(maps / "reference.mha")
    bias = {row["method"]: row["bias_percent"] for row in data["errors"] if row["kind"] == "all"}
    assert bias == pytest.approx({"one": 1, "more": 2}, abs=1e-3)
    assert {(row["kind"], row["group"]) for row in data["errors"]} >= {("structure", "Target"), ("region", "target")}
    assert [each["structure"] for each in data["histograms"]] == ["Target"] * 4
    assert data["quantity"]["unit"] == "Gy (RBE)"
    assert json.loads((maps / "out.json").read_text()) == data


def test_people_get_tables_and_a_verdict_in_words(maps: Path, capsys) -> None:
    rest = ["--structures", str(maps / "Target.mha"), "--beam", "+z", "--limits", str(maps / "limits.toml")]
    assert main([*arguments(maps, "one.nii.gz"), *rest]) == 0
    out = capsys.readouterr().out
    assert "one: Every acceptance limit that could be decided is met (1 of 1)." in out
    for words in ("D_RBE in Gy (RBE), against", "all: all", "3%/2mm", "Target", "R80", "note: compared is where"):
        assert words in out


def test_exit_codes_tell_problems_and_with_strict_limits(maps: Path, capsys) -> None:
    limits = ["--limits", str(maps / "limits.toml")]
    assert main([*arguments(maps, "two.nrrd"), *limits]) == 0
    assert main([*arguments(maps, "two.nrrd"), *limits, "--strict"]) == 4
    assert main([*arguments(maps, "one.nii.gz"), *limits, "--strict"]) == 0
    capsys.readouterr()
    holed = np.where(np.arange(16) == 3, np.nan, DOSE)
    image(maps / "holed.mha", holed)
    assert main([*arguments(maps, "holed.mha"), *limits, "-o", str(maps / "holed.json"), "--json"]) == 3
    out, err = capsys.readouterr()
    assert "warning: 'holed' has no value (NaN) in 25 of 400 voxels" in err
    assert [problem["kind"] for problem in json.loads(out)["problems"]] == ["nan_in_map"]
    assert json.loads((maps / "holed.json").read_text())["problems"]


def test_the_tables_are_CSV_with_units(maps: Path, capsys) -> None:
    rest = ["--structures", str(maps / "Target.mha"), "--beam", "+z", "--csv", str(maps / "tables")]
    assert main([*arguments(maps, "one.nii.gz"), *rest]) == 0
    names = ("errors", "gamma", "statistics", "histograms", "profiles", "distal_depths", "limits", "problems")
    assert {path.name for path in (maps / "tables").iterdir()} == {
        *(f"{name}.csv" for name in names),
        "comparison.json",
    }
    rows = {}
    for name in names:
        text = (maps / "tables" / f"{name}.csv").read_bytes()
        assert text.count(b"\n") == text.count(b"\r\n")  # RFC 4180
        rows[name] = list(csv.DictReader(text.decode().splitlines()))
    assert float(rows["errors"][0]["bias / %"]) == pytest.approx(1, abs=1e-3)
    assert float(rows["errors"][0]["bias / Gy (RBE)"]) == pytest.approx(0.01 * float(DOSE.mean()), rel=1e-4)
    assert {row["points"] for row in rows["gamma"] if row["group"] == "all"} == {"400"}
    mean = {row["method"]: float(row["mean"]) for row in rows["statistics"]}
    assert mean == pytest.approx({"reference": 2, "one": 2.02}, rel=1e-6)
    assert len(rows["profiles"]) == 2 * 2 * 16
    assert rows["problems"] == []
    assert main([*arguments(maps, "one.nii.gz"), "--csv", str(maps / "tables"), "--overwrite"]) == 0


def test_outputs_are_not_replaced_unasked(maps: Path, refuse) -> None:
    (maps / "out.json").write_text("{}")
    (maps / "folder").mkdir()
    assert "exists already" in refuse(*arguments(maps, "one.nii.gz"), "-o", maps / "out.json")
    assert "exists already" in refuse(*arguments(maps, "one.nii.gz"), "--csv", maps / "folder")
    told = refuse(*arguments(maps, "one.nii.gz"), "--csv", maps / "folder", "--overwrite")
    assert "holds no comparison, so it is not replaced" in told


def test_maps_that_do_not_go_together_are_refused(maps: Path, refuse) -> None:
    other = Grid(GRID.shape, GRID.spacing_mm, (1.0, 0.0, 0.0))
    image(maps / "moved.mha", DOSE, grid=other)
    assert "they differ in origin by 1 mm" in refuse(*arguments(maps, "moved.mha"))
    assert "they differ in origin by 1 mm" in refuse(*arguments(maps, "one.nii.gz", "moved.mha"))
    assert "a second time; give NAME=PATH" in refuse(*arguments(maps, "one.nii.gz", f"one={maps / 'two.nrrd'}"))
    assert "an index axis such as +z or -y, found 'z'" in refuse(*arguments(maps, "one.nii.gz"), "--beam", "z")
    assert "must be positive and finite, found 0" in refuse(*arguments(maps, "one.nii.gz"), "--base", "0")
    image(maps / "cGy.mha", 100 * DOSE)
    assert "looks to be in cGy" in refuse(*arguments(maps, "cGy.mha"))
    refuse("compare", maps / "one.nii.gz", "--quantity", "D_RBE", code=2)


def test_doses_and_structures_of_several_frames_of_reference_are_refused(tmp_path: Path, refuse, capsys) -> None:
    stored = np.full((3, 4, 5), 2000, "<u4")
    one = rtdose(tmp_path / "one.dcm", stored, DoseType="EFFECTIVE")
    other = rtdose(tmp_path / "other.dcm", stored, DoseType="EFFECTIVE", FrameOfReferenceUID="1.9")
    ring = [np.array([[-9.0, 21, z], [-7, 21, z], [-7, 25, z], [-9, 25, z]]) for z in (30.0, 33.0)]
    structures = rtstruct(tmp_path / "rs.dcm", {"Target": ring})
    asked = ["--quantity", "D_RBE", "--structures", str(structures)]
    told = refuse("compare", one, "--reference", other, *asked)
    assert "one and the reference are in different frames of reference" in told
    told = refuse("compare", other, "--reference", other, *asked)
    assert "structure 'Target' of" in told
    assert "another frame of reference than the maps" in told
    assert main(["compare", str(one), "--reference", str(one), *asked, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["histograms"][0]["structure"] == "Target"


def test_a_moved_reference_is_resampled_when_asked(maps: Path, capsys) -> None:
    image(maps / "moved.mha", DOSE, grid=Grid(GRID.shape, GRID.spacing_mm, (0.0, 0.0, 1.0)))
    assert main([*arguments(maps, "moved.mha"), "--resample", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert "resampled onto the judged grid (they differ in origin by 1 mm)" in data["reference"]["origin"]


def test_a_dose_of_a_simulation_is_not_compared_with_one_in_Gy(plan, tmp_path: Path, refuse, ask) -> None:
    given = ["--reference", plan.unscaled, "--quantity", "dose_to_water", "--dose", plan.field]
    told = refuse("compare", f"plan={plan.field}", *given)
    assert "the reference is a dose in arbitrary scale, and others are in Gy" in told
    data = ask("compare", f"plan={plan.unscaled}", *given)
    assert "all doses are in arbitrary scale, taken to be the same one" in data["notes"]
    assert data["profiles"]  # the beam is that of the field store


def test_the_beam_of_a_field_store_is_found_on_a_turned_grid(plan, tmp_path: Path, ask) -> None:
    from surrogate3d.io.field_store import read_field

    field = read_field(plan.field)
    dose, (x, y, z) = field.volumes["dose_to_water"], field.grid.spacing_mm
    last = field.grid.position_mm((0, 0, field.grid.shape[2] - 1))
    turned = Grid(
        field.grid.shape[::-1], (z, y, x), tuple(float(n) for n in last), ((0.0, 0, 1), (0, 1.0, 0), (-1.0, 0, 0))
    )
    path = image(tmp_path / "turned.mha", dose.values[:, :, ::-1].transpose(2, 1, 0), "dose_to_water", turned)
    here = ["--quantity", "dose_to_water", "--dose", plan.field]
    found = ask("compare", f"turned={path}", "--reference", plan.field, *here)
    straight = ask("compare", f"plan={plan.field}", "--reference", plan.field, *here)
    assert found["profiles"][0]["depth_mm"] == straight["profiles"][0]["depth_mm"]
    np.testing.assert_allclose(
        found["profiles"][0]["series"][0]["values"], straight["profiles"][0]["series"][0]["values"], rtol=1e-6
    )
