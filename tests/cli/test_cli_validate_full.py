"""`validate` and `compare` with wrong input: named in the JSON, on stderr, in the report and in the exit code."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_objects import rtdose, rtstruct

from surrogate3d.cli import main
from surrogate3d.grid import Grid, Volume, VolumeSet, quantity
from surrogate3d.io.field_store import read_field, write_field
from surrogate3d.io.images import write_image

Refuse = Callable[..., str]
TREATMENT = ("--cell-line", "HSG", "--fraction-dose", "2")
TABLE = ("--truth", "zr_table")
LIMIT = """
[[limit]]
name = "nothing meets it"
metric = "rms_percent"
quantity = "any"
group = "all"
at_most = 1e-9
unit = "%"
min_n = 1
source = "made up"
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, dict[str, Any], str]]:
    """Run a command with --json: its exit code, its answer and what it says on stderr."""

    def call(*arguments: str | Path) -> tuple[int, dict[str, Any], str]:
        code = main([*map(str, arguments), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out, parse_constant=lambda name: pytest.fail(f"{name} in JSON")), err

    return call


@pytest.fixture(scope="module")
def field(plan: Any) -> Any:
    return read_field(plan.field)


@pytest.fixture(scope="module")
def twin(plan: Any, field: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A reference of the same numbers, as if from other files."""
    return store(tmp_path_factory.mktemp("twin") / "twin.field.zarr", field)


@pytest.fixture
def structures(field: Any, tmp_path: Path) -> Path:
    """One structure inside the grid, one that is partly outside, one elsewhere, one of a point alone."""
    return rtstruct(
        tmp_path / "structures.dcm",
        {
            "Target": _box(field, 0, 6),
            "Partly": _box(field, -12, 6),
            "Far": _box(field, 500, 6),
            "Point": [np.array([[0.0, 0.0, field.grid.origin_mm[2]]])],
        },
    )


def _box(field: Any, x: float, half: float) -> list[Any]:
    """Contours of a box of six planes from the entrance."""
    ring = [(x - half, -half), (x + half, -half), (x + half, half), (x - half, half)]
    planes = field.grid.origin_mm[2] + field.grid.spacing_mm[2] * np.arange(6)
    return [np.array([(*point, z) for point in ring]) for z in planes]


def store(path: Path, field: Any, dose: Any = None, **changes: Any) -> Path:
    volumes = dict(field.volumes)
    if dose is not None:
        volumes[field.dose_name] = Volume(field.grid, dose.astype(np.float32), quantity(field.dose_name))
    given = {"volumes": VolumeSet(field.grid, volumes), "provenance": {}, **changes}
    write_field(replace(field, **given), path)
    return path


def image(path: Path, field: Any, values: Any, name: str = "D_RBE", grid: Grid | None = None) -> Path:
    write_image(Volume(grid or field.grid, np.asarray(values, np.float32), quantity(name)), path)
    return path


def moved(field: Any) -> Grid:
    x, y, z = field.grid.origin_mm
    return Grid(field.grid.shape, field.grid.spacing_mm, (x + 1, y, z))


def judge(plan: Any, *more: str | Path) -> tuple[str | Path, ...]:
    return ("validate", plan.field, "--model", plan.bundle, *TREATMENT, *more)


def kinds(answer: dict[str, Any]) -> set[str]:
    return {problem["kind"] for problem in answer["problems"]}


def everywhere(code: int, answer: dict[str, Any], err: str, html: str) -> None:
    """Every problem of the answer is in the other places, too."""
    assert code == 3
    assert answer["problems"]
    shown = html.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    for problem in answer["problems"]:
        assert f"warning: {problem['sentence']}" in err
        assert problem["sentence"] in shown
    assert f"{len(answer['problems'])} problem" in html


def test_a_map_that_has_no_problem_exits_with_0(plan: Any, field: Any, tmp_path: Path, run, capsys) -> None:
    reference = image(tmp_path / "other.mha", field, np.full(field.grid.shape, 1.1), "RBE_ref")
    given = judge(plan, "--reference", reference, "--quantity", "RBE_ref")
    code, answer, err = run(*given)
    assert (code, answer["problems"], "warning: " in err) == (0, [], False)
    assert answer["comparison"]["methods"] == ["surrogate", "zr_table", "zr_table, grouped pooling"]
    assert answer["comparison"]["reference"]["path"] == str(reference)
    assert answer["reference"] == answer["comparison"]["reference"]["sha256"]
    assert answer["comparison"]["n_evaluated"] == answer["voxels_answered"]
    assert "table" not in answer
    assert main(list(map(str, given))) == 0
    out = capsys.readouterr().out
    assert f"RBE(D_ref), against {reference}" in out
    assert "surrogate: judged - reference, relative" in out


def test_a_map_with_holes_and_wrong_structures_is_judged_and_all_is_named(
    plan: Any, field: Any, structures: Path, tmp_path: Path, run
) -> None:
    holed = 1.1 * field.dose
    holed[2, 2, 1:4] = np.nan
    reference, report = image(tmp_path / "holed.mha", field, holed), tmp_path / "report.html"
    given = judge(plan, "--reference", reference, "--quantity", "D_RBE", "--structures", structures)
    code, answer, err = run(*given, "--report", report, "-o", tmp_path / "answer.json")
    everywhere(code, answer, err, report.read_text(encoding="utf-8"))
    assert kinds(answer) >= {"nan_in_map", "structure_outside_grid", "structure_partly_outside", "empty_structure"}
    by_where = {problem["where"]: problem["sentence"] for problem in answer["problems"]}
    assert "in 3 of" in by_where["map reference, 3 voxels"]
    assert "first (2, 2, 1)" in by_where["map reference, 3 voxels"]
    assert "lies outside the grid" in by_where["structure 'Far'"]
    assert "encloses nothing" in by_where["structure 'Point'"]
    assert {each["structure"] for each in answer["comparison"]["histograms"]} == {"Target", "Partly"}
    assert json.loads((tmp_path / "answer.json").read_text()) == answer


def test_a_map_of_zero_dose_is_judged_and_named(plan: Any, field: Any, tmp_path: Path, run) -> None:
    reference, report = image(tmp_path / "zero.mha", field, 0 * field.dose), tmp_path / "report.html"
    given = judge(plan, "--reference", reference, "--quantity", "D_RBE")
    code, answer, err = run(*given, "--report", report)
    html = report.read_text(encoding="utf-8")
    everywhere(code, answer, err, html)
    assert kinds(answer) >= {"zero_reference", "gamma_not_computed"}
    everything = next(row for row in answer["comparison"]["errors"] if row["kind"] == "all")
    assert everything["n_zero"] == everything["n"] == answer["voxels_answered"]
    assert everything["rms_percent"] is None
    assert "No voxel has a relative difference" in html


def test_a_simulation_with_a_hole_in_the_input_and_wrong_structures_is_judged_and_all_is_named(
    plan: Any, field: Any, twin: Path, structures: Path, tmp_path: Path, run
) -> None:
    dose, report = field.dose.copy(), tmp_path / "report.html"
    dose[2, 2, 3] = np.nan
    low = store(tmp_path / "low.field.zarr", field, dose)
    given = ("validate", low, "--model", plan.bundle, *TREATMENT, *TABLE, "--reference", plan.field)
    code, answer, err = run(*given, "--structures", structures, "--report", report, "-o", tmp_path / "answer.json")
    everywhere(code, answer, err, report.read_text(encoding="utf-8"))
    assert {(problem["kind"], problem["where"]) for problem in answer["problems"]} >= {
        ("nan_in_map", "dose of the input, 1 voxel"),
        ("structure_outside_grid", "structure 'Far'"),
        ("structure_partly_outside", "structure 'Partly'"),
        ("empty_structure", "structure 'Point'"),
    }
    assert {each["structure"] for each in answer["histograms"]} == {"Target", "Partly"}
    judged = {row["group"] for row in answer["errors"] if row["kind"] == "structure"}
    assert "Target" in judged
    assert ("structure 'Partly' holds none of the judged voxels" in err) is ("Partly" not in judged)
    assert json.loads((tmp_path / "answer.json").read_text()) == answer


def test_an_empty_mask_is_named_and_no_other_takes_its_place(plan: Any, field: Any, twin: Path, tmp_path: Path, run):
    mask = image(tmp_path / "nothing.mha", field, 0 * field.dose, "structure")
    code, answer, err = run(*judge(plan, *TABLE, "--reference", twin, "--structures", mask))
    assert (code, answer["histograms"]) == (3, [])
    assert "empty_structure" in kinds(answer)
    assert "structure 'nothing' is nothing but 0" in err


@pytest.mark.parametrize("spoil", ["moved", "zero", "NaN"])
def test_a_simulation_that_cannot_be_a_reference_is_refused(
    plan: Any, field: Any, tmp_path: Path, refuse: Refuse, spoil: str
) -> None:
    path, grid = tmp_path / "high.field.zarr", moved(field)
    dose = {"zero": 0 * field.dose, "NaN": np.where(np.indices(field.grid.shape)[0] == 2, np.nan, field.dose)}
    if spoil == "moved":
        volumes = {name: Volume(grid, each.values, each.quantity) for name, each in field.volumes.items()}
        write_field(replace(field, grid=grid, volumes=VolumeSet(grid, volumes), provenance={}), path)
    else:
        store(path, field, dose[spoil], histories=2 * field.histories)
    outputs = ("--report", tmp_path / "r.html", "-o", tmp_path / "r.json")
    said = refuse(*judge(plan, *TABLE, "--reference", path, *outputs))
    words = {"moved": "grids differ in position by up to 1 mm", "zero": "some of it", "NaN": "dose"}
    assert words[spoil] in said
    assert [each.name for each in tmp_path.iterdir()] == ["high.field.zarr"]


def test_a_map_on_another_grid_is_refused_or_resampled_and_so_are_masks(
    plan: Any, field: Any, twin: Path, tmp_path: Path, refuse: Refuse, run
) -> None:
    there = image(tmp_path / "there.mha", field, np.full(field.grid.shape, 1.1), "RBE_ref", moved(field))
    given = judge(plan, "--reference", there, "--quantity", "RBE_ref")
    outputs = ("--report", tmp_path / "r.html", "-o", tmp_path / "r.json")
    assert "they differ in origin by 1 mm" in refuse(*given, *outputs)
    mask = image(tmp_path / "mask.mha", field, field.dose > 1, "structure", moved(field))
    assert "grids differ in position by up to 1 mm" in refuse(
        *judge(plan, *TABLE, "--reference", twin, "--structures", mask, *outputs)
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mask.mha", "there.mha"]
    code, answer, _ = run(*given, "--resample")
    assert code in (0, 3)
    assert "resampled onto the judged grid" in answer["comparison"]["reference"]["origin"]


def test_a_quantity_that_cannot_be_judged_is_refused(plan: Any, field: Any, tmp_path: Path, refuse: Refuse) -> None:
    map_ = image(tmp_path / "map.mha", field, field.dose)
    report = ("--report", tmp_path / "r.html")
    assert "none was given" in refuse(*judge(plan, "--quantity", "D_RBE", *report))
    given = judge(plan, "--reference", map_, *report)
    assert "is a file and no field store; say what map it holds: --quantity" in refuse(*given)
    assert "LET_d does not follow from survival curves" in refuse(*given, "--quantity", "LET_d")
    assert "unknown quantity 'banana'" in refuse(*given, "--quantity", "banana")
    physical = effective(tmp_path, field, DoseType="PHYSICAL")
    said = refuse(*judge(plan, "--reference", physical, "--quantity", "D_RBE", *report))
    assert "DoseType PHYSICAL is a physical dose, not D_RBE" in said
    unscaled = ("validate", plan.unscaled, "--model", plan.bundle, *TREATMENT, "--reference", map_, *report)
    assert "arbitrary scale" in refuse(*unscaled, "--quantity", "D_RBE")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dose.dcm", "map.mha"]


def effective(folder: Path, field: Any, **elements: Any) -> Path:
    """The dose of a field as an RT Dose on its grid."""
    stored = np.round(1000 * field.dose.transpose(2, 1, 0)).astype("<u4")
    x, y, z = field.grid.spacing_mm
    placed = {
        "ImagePositionPatient": list(field.grid.origin_mm),
        "PixelSpacing": [y, x],
        "GridFrameOffsetVector": [z * n for n in range(len(stored))],
        "DoseType": "EFFECTIVE",
    }
    return rtdose(folder / "dose.dcm", stored, **placed | elements)


def test_structures_of_another_frame_of_reference_than_the_map_are_refused(
    plan: Any, field: Any, structures: Path, tmp_path: Path, refuse: Refuse, run
) -> None:
    given = ("--quantity", "D_RBE", "--structures", structures)
    told = refuse(*judge(plan, "--reference", effective(tmp_path, field, FrameOfReferenceUID="1.9"), *given))
    assert "another frame of reference than the maps" in told
    code, answer, _ = run(*judge(plan, "--reference", effective(tmp_path, field), *given))
    assert (code, {each["structure"] for each in answer["comparison"]["histograms"]}) == (3, {"Target", "Partly"})


def test_fractions_are_held_against_every_prescription(plan: Any, field: Any, tmp_path: Path, refuse: Refuse) -> None:
    map_, report = image(tmp_path / "map.mha", field, field.dose), ("--report", tmp_path / "r.html")
    by_map = judge(plan, "--reference", map_, "--quantity", "D_RBE", *report)
    assert "3 x 2 Gy is 6 Gy" in refuse(*by_map, "--fractions", "3")
    assert field.prescription is not None
    other = replace(field.prescription, dose_gy=3.0)
    high = store(tmp_path / "high.field.zarr", field, prescription=other)
    assert "prescribed 3 Gy, but 1 x 2 Gy is 2 Gy" in refuse(*judge(plan, *TABLE, "--reference", high, *report))
    unscaled = ("validate", plan.unscaled, "--model", plan.bundle, *TREATMENT, *TABLE, *report)
    assert "fractions at least 1, found 2.0 Gy and 0" in refuse(*unscaled, "--fractions", "0")
    assert not (tmp_path / "r.html").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[limit]]\nname =", "not valid TOML"),
        (LIMIT.replace('source = "made up"', ""), "missing key 'source'"),
        (LIMIT.replace("at_most", "at_least = 1\nat_most"), "limit 1 (nothing meets it)"),
        (LIMIT + "colour = 3\n", "colour"),
        (None, "no file of limits at"),
    ],
)
def test_broken_limits_are_refused_before_anything_is_written(
    plan: Any, field: Any, tmp_path: Path, refuse: Refuse, text: str | None, said: str
) -> None:
    path, map_ = tmp_path / "limits.toml", image(tmp_path / "map.mha", field, field.dose)
    if text is not None:
        path.write_text(text)
    here = sorted(tmp_path.iterdir())
    rest = ("--limits", path, "-o", tmp_path / "r.json")
    to_map = ("--reference", map_, "--quantity", "D_RBE")
    ledger = ("--ledger", tmp_path / "ledger")
    for told in (
        refuse(*judge(plan, *rest, *ledger)),
        refuse(*judge(plan, *to_map, *rest)),
        refuse("compare", map_, *to_map, *rest),
    ):
        assert said in told
        assert str(path) in told
    assert sorted(tmp_path.iterdir()) == here


def test_an_image_that_cannot_be_read_is_refused_before_voxels_are_simulated(
    plan: Any, tmp_path: Path, refuse: Refuse
) -> None:
    rest = ("--ct", tmp_path / "none.nii.gz", "--report", tmp_path / "r.html", "--ledger", tmp_path / "ledger")
    assert "none.nii.gz" in refuse(*judge(plan, *rest))
    assert list(tmp_path.iterdir()) == []


def test_strict_makes_a_limit_that_is_not_met_an_exit_code(plan: Any, field: Any, tmp_path: Path, run) -> None:
    (tmp_path / "limits.toml").write_text(LIMIT)
    (tmp_path / "kind.toml").write_text(LIMIT.replace("1e-9", "1e9"))
    limits, kind = ("--limits", tmp_path / "limits.toml"), ("--limits", tmp_path / "kind.toml")
    ones = image(tmp_path / "ones.mha", field, np.full(field.grid.shape, 1.05), "RBE_ref")
    holed = image(tmp_path / "holed.mha", field, np.where(field.dose == field.dose.max(), np.nan, 1.1), "RBE_ref")
    by_map = judge(plan, "--reference", ones, "--quantity", "RBE_ref")
    for given in (judge(plan, *TABLE), by_map):
        assert run(*given, *limits)[0] == 0
        assert run(*given, *limits, "--strict", "-o", tmp_path / "out.json", "--overwrite")[0] == 4
        assert (tmp_path / "out.json").is_file()  # written all the same
        assert run(*given, *kind, "--strict")[0] == 0
    code, answer, _ = run(*judge(plan, "--reference", holed, "--quantity", "RBE_ref"), *limits)
    assert (code, kinds(answer)) == (3, {"nan_in_map"})
    assert run(*judge(plan, "--reference", holed, "--quantity", "RBE_ref"), *limits, "--strict")[0] == 4
    assert "not met" in answer["comparison"]["verdict"]["surrogate"][0]


def test_compare_names_holes_zeros_and_structures_in_every_output(
    field: Any, structures: Path, tmp_path: Path, run
) -> None:
    judged, reference = 1.1 * field.dose, field.dose.copy()
    judged[2, 2, 1:3] = np.nan
    reference[2, 3, 4] = 0
    one, other = image(tmp_path / "one.mha", field, judged), image(tmp_path / "other.mha", field, reference)
    dose = image(tmp_path / "dose.mha", field, field.dose, "dose_to_water")
    given = ("compare", one, "--reference", other, "--quantity", "D_RBE", "--dose", dose, "--structures", structures)
    code, answer, err = run(*given, "-o", tmp_path / "answer.json", "--csv", tmp_path / "tables")
    assert code == 3
    assert kinds(answer) >= {
        "nan_in_map",
        "zero_reference",
        "structure_outside_grid",
        "structure_partly_outside",
        "empty_structure",
    }
    with (tmp_path / "tables" / "problems.csv").open(encoding="utf-8", newline="") as file:
        listed = {row["sentence"] for row in csv.DictReader(file)}
    assert listed == {problem["sentence"] for problem in answer["problems"]}
    assert all(f"warning: {sentence}" in err for sentence in listed)
    assert json.loads((tmp_path / "answer.json").read_text()) == answer
    zero = image(tmp_path / "zero.mha", field, 0 * field.dose)
    code, answer, err = run("compare", one, "--reference", zero, "--quantity", "D_RBE", "--dose", dose)
    assert code == 3
    assert kinds(answer) >= {"zero_reference", "gamma_not_computed"}
