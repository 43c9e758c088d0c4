"""The `dicom` commands on small objects and on the clinical files."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_objects import ct_slice, rtdose, rtstruct

from surrogate3d.cli import main
from surrogate3d.grid import quantity
from surrogate3d.io.field_store import write_field
from surrogate3d.io.images import read_image
from surrogate3d.pipeline.dicom_field import DoseAsked, dose_field_from_rtdose

CLINIC = Path(__file__).parents[2].parent / "shared" / "data" / "dicom"
FIXTURE = Path(__file__).parents[1] / "fixtures" / "topas" / "fixture_DoseDicom.dcm"
STORED = np.arange(4 * 10 * 12, dtype=np.uint16).reshape(4, 10, 12)
Refuse = Callable[..., str]


def square(x0: float, x1: float, z: float) -> Any:
    return np.array([[x0, 22, z], [x1, 22, z], [x1, 32, z], [x0, 32, z]], dtype=float)


@pytest.fixture
def dose(tmp_path: Path) -> Path:
    """Voxels of 1.5 x 2 x 3 mm, the first at (-10, 20, 30) mm."""
    return rtdose(tmp_path / "dose.dcm", STORED)


@pytest.fixture
def structures(tmp_path: Path) -> Path:
    rings = [square(-8, 1, z) for z in (33, 36)]
    return rtstruct(tmp_path / "structures.dcm", {"PTV 1": rings, "ptv_1": rings, "Empty": [], "Spot": rings[:1]})


def test_info_says_what_files_are(dose: Path, structures: Path, tmp_path: Path, ask: Any) -> None:
    slice_ = ct_slice(tmp_path / "ct.dcm", STORED[0], (0, 0, 0))
    files = ask("dicom", "info", dose, structures, slice_, FIXTURE)["files"]
    assert [file["modality"] for file in files] == ["RTDOSE", "RTSTRUCT", "CT", "RTDOSE"]
    assert files[0]["read_as"] == "physical dose"
    assert files[0]["maximum"] == pytest.approx(0.479)
    assert files[1]["structures"][0]["volume_cm3"] == pytest.approx(9 * 10 * 6 / 1000)
    assert files[1]["structures"][2]["volume_cm3"] is None
    assert "series" in files[2]["read_as"]
    assert files[3]["dose_type"] is None


def test_info_reads_the_clinical_plan(ask: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """Numbers of the plan as other viewers show them: two opposed fields of 44 layers, one fraction."""
    if not CLINIC.is_dir():
        pytest.skip("the clinical files are not beside the repository")
    paths = [CLINIC / f"{name}.dcm" for name in ("rtplan", "rtdose", "rtstruct")]
    plan = ask("dicom", "info", *paths)["files"][0]
    assert plan["fraction_groups"] == [{"fractions": 1, "beam_doses_gy": {"1": 0.943323, "2": 0.9349596}}]
    assert [(beam["name"], beam["gantry_angle_deg"]) for beam in plan["beams"]] == [("b1", 90.0), ("b2", 270.0)]
    assert plan["dose_references"][0]["doses_gy"]["DeliveryMaximumDose"] == 2
    assert main(["dicom", "info", *map(str, paths)]) == 0
    shown = capsys.readouterr().out
    assert "DoseType EFFECTIVE" in shown
    assert "Cube101010" in shown
    assert "gantry 270.0 deg" in shown


def test_masks_lie_on_the_grid_that_is_asked_for(dose: Path, structures: Path, tmp_path: Path, ask: Any) -> None:
    found = ask("dicom", "masks", structures, "-o", tmp_path / "m", "--like", dose, "--partial")
    assert [mask["name"] for mask in found["masks"]] == ["PTV 1", "ptv_1"]
    assert [Path(mask["file"]).name for mask in found["masks"]] == ["PTV_1-1.nii.gz", "ptv_1-2.nii.gz"]
    assert {skipped["name"] for skipped in found["skipped"]} == {"Empty", "Spot"}
    fractions = read_image(found["masks"][0]["file"], quantity("structure"))
    assert fractions.grid.origin_mm == pytest.approx((-10, 20, 30))
    assert fractions.values.sum() * 9 == pytest.approx(9 * 10 * 6)
    assert 0 < fractions.values[1, 1, 1] < 1
    again = ask("dicom", "masks", structures, "-o", tmp_path / "b", "--like", found["masks"][0]["file"], "--mha",
                "--structure", "Spot", "--slab", "3")  # fmt: skip
    binary = read_image(again["masks"][0]["file"], quantity("structure"))
    assert set(np.unique(binary.values)) == {0, 1}
    assert json.loads((tmp_path / "b" / "masks.json").read_text())["masks"] == again["masks"]


def test_masks_refuse_what_does_not_fit(dose: Path, structures: Path, tmp_path: Path, refuse: Refuse) -> None:
    masks = ["dicom", "masks", structures, "-o", tmp_path / "m", "--like", dose]
    assert "encloses nothing" in refuse(*masks, "--structure", "Empty")
    assert "no structure(s) named 'Heart'" in refuse(*masks, "--structure", "Heart")
    assert not (tmp_path / "m").exists()
    other = rtdose(tmp_path / "other.dcm", STORED, FrameOfReferenceUID="1.9")
    wrong = ["dicom", "masks", structures, "-o", tmp_path / "m", "--like", other]
    assert "frames of reference" in refuse(*wrong, "--structure", "PTV 1")
    assert "no structure encloses" in refuse(*wrong)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.txt").write_text("done")
    kept = ["dicom", "masks", structures, "-o", precious, "--like", dose]
    assert "exists already" in refuse(*kept)
    assert "not a folder of our masks" in refuse(*kept, "--overwrite")
    assert (precious / "thesis.txt").exists()


def test_masks_lie_on_the_grid_of_a_field_store_or_a_ct(dose: Path, structures: Path, tmp_path: Path, ask: Any) -> None:
    write_field(dose_field_from_rtdose(dose, asked=DoseAsked(medium="water")), tmp_path / "f.field.zarr")
    folder = tmp_path / "ct"
    folder.mkdir()
    for k in range(4):
        ct_slice(folder / f"{k}.dcm", STORED[k], (-10, 20, 30 + 3 * k))
    grids = [
        ask("dicom", "masks", structures, "-o", tmp_path / f"m{n}", "--like", like, "--structure", "PTV 1")
        for n, like in enumerate((dose, tmp_path / "f.field.zarr", folder))
    ]
    assert [grid["grid"] == grids[0]["grid"] for grid in grids] == [True, True, True]
    assert [grid["masks"][0]["binary_cm3"] == grids[0]["masks"][0]["binary_cm3"] for grid in grids] == [True] * 3


def test_masks_are_replaced_on_request(dose: Path, structures: Path, tmp_path: Path, ask: Any) -> None:
    masks = ["dicom", "masks", structures, "-o", tmp_path / "m", "--like", dose]
    ask(*masks)
    found = ask(*masks, "--structure", "PTV 1", "--overwrite")
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["PTV_1.nii.gz", "masks.json"]
    assert found["masks"][0]["number"] == 1


def test_a_dose_becomes_an_image_once_its_medium_is_said(dose: Path, tmp_path: Path, ask: Any, refuse: Refuse) -> None:
    out = tmp_path / "dose.nii.gz"
    assert "to water or to medium" in refuse("dicom", "image", dose, "-o", out)
    found = ask("dicom", "image", dose, "-o", out, "--medium", "water")
    assert (found["quantity"], found["unit"]) == ("dose_to_water", "Gy")
    image = read_image(out, quantity("dose_to_water"))
    assert image.values[11, 9, 3] == pytest.approx(0.479)
    assert image.grid.position_mm((11, 9, 3)) == pytest.approx((6.5, 38, 39))
    assert "goes with a CT" in refuse("dicom", "image", dose, "-o", tmp_path / "x.mha", "--density-table", out)
    assert "exists already" in refuse("dicom", "image", dose, "-o", out, "--medium", "water")


def test_a_ct_folder_becomes_an_image_of_hu_or_density(tmp_path: Path, ask: Any, refuse: Refuse) -> None:
    folder = tmp_path / "ct"
    folder.mkdir()
    for k in range(4):
        ct_slice(folder / f"{k}.dcm", STORED[k], (0, 0, 3 * k))
    assert ask("dicom", "image", folder, "-o", tmp_path / "hu.mha")["maximum"] == 479 - 1024
    table = tmp_path / "table.csv"
    table.write_text("HU,density_g_cm3\n-1024,0.0\n0,1.024\n")
    density = ask("dicom", "image", folder, "-o", tmp_path / "rho.mha", "--density-table", table)
    assert density["maximum"] == pytest.approx(0.479)
    assert density["unit"] == "g/cm3"
    assert "no DICOM file" in refuse("dicom", "image", tmp_path / "none.dcm", "-o", tmp_path / "n.mha")
