"""Dose and LET of a planning system on the command line, from DICOM files to DICOM files."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_objects import FRAME, rtdose, rtstruct

from surrogate3d.cli import main
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.io.field_store import read_dose_field
from surrogate3d.io.images import read_image, write_image

PLANS = Path(__file__).parents[2].parent / "shared" / "data" / "plans"
SAID = "weighting=dose; particles=protons; medium=water; restricted=no"
GRID = Grid((6, 5, 4), (1.5, 2.0, 3.0), (-10.0, 20.0, 30.0))  # of `rtdose`
STORED = np.random.default_rng(3).integers(1000, 2000, GRID.shape[::-1]).astype(np.uint16)
PREDICT = ["--model", "wedenberg", "--cell-line", "V79", "--fraction-dose", "2"]


def square(x0, x1, z):
    return np.array([[x0, 19, z], [x1, 19, z], [x1, 25, z], [x0, 25, z]], dtype=float)


@pytest.fixture(scope="module")
def clinic(tmp_path_factory):
    """A dose, a LET, structures on that grid, and a plan."""
    folder = tmp_path_factory.mktemp("clinic")
    rtdose(folder / "dose.dcm", STORED)
    rtdose(folder / "effective.dcm", STORED, DoseType="EFFECTIVE")
    LET = np.linspace(1, 9, GRID.n_voxels, dtype=np.float32).reshape(GRID.shape)
    write_image(Volume(GRID, LET, quantity("LET_d")), folder / "let.nii.gz")
    target = [square(-10.75, -6.25, z) for z in (33, 36)]
    rtstruct(folder / "structures.dcm", {"PTV": target, "Edge": [square(-10.75, -5.5, z) for z in (33, 36)]})
    return folder


def convert(clinic, *more, dose="dose.dcm"):
    return ["convert", clinic / dose, "--medium", "water", "--radiation", "H", *more]


@pytest.fixture(scope="module")
def store(clinic):
    path = clinic / "plan.field.zarr"
    with_let = ["--let", clinic / "let.nii.gz", "--let-definition", SAID]
    wish = ["--prescribe", "2 Gy", "--at", "max", "-o", path]
    assert main([str(word) for word in convert(clinic, *with_let, *wish)]) == 0
    return path


def test_convert_and_info_say_that_there_are_no_spectra(clinic, store, ask, capsys):
    found = ask("info", store)
    assert found["axes"] is None
    assert found["primary"] == "H"
    assert found["let_definitions"]["LET_d"]["particles"] == "protons"
    assert "2 Gy at max" in found["prescription"]["statement"]
    assert main(["info", str(store), "--check"]) == 0
    out = capsys.readouterr().out
    for said in ("no spectra: reduced input", "dose-averaged; protons; water; unrestricted", "2 Gy at max of the grid"):
        assert said in out
    capsys.readouterr()
    found = ask(*convert(clinic, "--dose-scale", "30", "-o", clinic / "thirty.field.zarr"))
    assert any("let-only for protons" in note for note in found["conversion"]["notes"])
    dose = read_dose_field(clinic / "thirty.field.zarr").dose
    np.testing.assert_allclose(dose, 0.03 * STORED.transpose(2, 1, 0), rtol=1e-6)


def test_a_published_model_predicts_and_a_bundle_refuses(store, tmp_path, ask, refuse, plan):
    found = ask("predict", store, *PREDICT, "-o", tmp_path / "maps")
    assert found["voxels_answered"] == GRID.n_voxels
    assert found["inputs"] == "dose and LET_d (reduced input, no spectra)"
    bundle = ["predict", store, "--model", plan.bundle, "--cell-line", "HSG", "--fraction-dose", "2"]
    assert "without spectra" in refuse(*bundle, "-o", tmp_path / "none")
    assert "without spectra" in refuse("sample", store, "--budget", "3", "-o", tmp_path / "s.json")


def test_from_structure_and_dose_to_rbe_weighted_dose_and_back(clinic, tmp_path, ask, capsys):
    """Each step of the clinic reads what the step before wrote; what comes back is what was predicted."""
    masks = ["dicom", "masks", clinic / "structures.dcm", "-o", tmp_path / "masks", "--like", clinic / "dose.dcm"]
    field, maps, back = (tmp_path / name for name in ("p.field.zarr", "maps", "back.mha"))
    wish = ["--prescribe", "2 Gy", "--at", "p50", "--mask", tmp_path / "masks" / "PTV.nii.gz", "-o", field]
    with_let = ["--let", clinic / "let.nii.gz", "--let-definition", SAID]
    write = ["dicom", "write", maps, "--quantity", "D_RBE", "--reference", clinic / "ref.dcm", "-o", tmp_path / "o.dcm"]
    rtdose(clinic / "ref.dcm", STORED, StudyInstanceUID="1.2.7", PatientID="P1")
    for step in (
        [*masks, "--structure", "PTV"],
        convert(clinic, *with_let, *wish),
        ["predict", field, *PREDICT, "--format", "mha", "-o", maps],
        write,
        ["dicom", "image", tmp_path / "o.dcm", "-o", back],
    ):
        assert main([str(word) for word in step]) == 0, capsys.readouterr().err
    inside = read_image(tmp_path / "masks" / "PTV.nii.gz", quantity("mask")).values == 1
    assert np.argwhere(inside).min(axis=0).tolist() == [0, 0, 1]
    assert np.argwhere(inside).max(axis=0).tolist() == [2, 2, 2]
    assert np.median(read_dose_field(field).dose[inside]) == pytest.approx(2, rel=1e-6)
    assert "2 Gy at p50 of the mask PTV.nii.gz of 18 voxels" in read_dose_field(field).prescription.statement
    predicted, returned = (read_image(path, quantity("D_RBE")) for path in (maps / "D_RBE.mha", back))
    file = pydicom.dcmread(tmp_path / "o.dcm")
    assert returned.grid == predicted.grid
    np.testing.assert_allclose(returned.values, predicted.values, atol=float(file.DoseGridScaling), rtol=1e-7)
    assert (file.DoseType, file.DoseUnits, file.BitsAllocated) == ("EFFECTIVE", "GY", 32)
    assert (file.FrameOfReferenceUID, file.StudyInstanceUID, file.PatientID) == (FRAME, "1.2.7", "P1")
    assert file.DoseComment == "D_RBE V79 model wedenberg 1x2Gy ax=0.184 bx=0.02"


def test_a_mask_has_one_label(clinic, tmp_path, refuse, capsys):
    made = ["dicom", "masks", clinic / "structures.dcm", "-o", tmp_path / "masks", "--like", clinic / "dose.dcm"]
    assert main([*map(str, made), "--structure", "Edge", "--partial"]) == 0
    capsys.readouterr()
    labels = np.zeros(GRID.shape, np.float32)
    labels[1, 1, 1:3] = 1, 2
    shifted = Grid(GRID.shape, GRID.spacing_mm, (-9.0, 20.0, 30.0))
    images = {"labels": (GRID, labels), "empty": (GRID, 0 * labels), "nan": (GRID, labels * np.nan)}
    images["elsewhere"] = shifted, labels
    for name, (grid, values) in images.items():
        write_image(Volume(grid, values, quantity("mask")), tmp_path / f"{name}.mha")

    def said(image):
        wish = ["--prescribe", "2 Gy", "--at", "p50", "--mask", image, "-o", tmp_path / "x.field.zarr"]
        return refuse(*convert(clinic, *wish))

    for name in ("masks/Edge.nii.gz", "labels.mha", "empty.mha", "nan.mha"):
        assert "expected a mask of 0 and one other value" in said(tmp_path / name)
    assert "grids differ in position by up to 1 mm" in said(tmp_path / "elsewhere.mha")
    assert not (tmp_path / "x.field.zarr").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--medium water or medium"),
        (["--medium", "water", "--constant-rbe", "1.1"], "needs DoseType EFFECTIVE"),
        (["--medium", "water", "--let-definition", SAID], "give --let and --let-definition, or neither"),
        (["--medium", "water", "--let-definition", "weighting=dose"], "a LET definition needs"),
        (["--medium", "water", "--plan", "p"], "leave --origin and --plan out"),
        (["--medium", "water", "--row-order", "x_fastest"], "leave these options out"),
        (["--medium", "water", "--dose-scale", "2", "--prescribe", "2 Gy"], "exclude each other"),
        (["--medium", "water", "--prescribe", "2 Gy", "--at", "p50"], "only max is taken on the whole grid"),
    ],
)
def test_convert_refuses_in_one_line(clinic, tmp_path, refuse, arguments, message):
    assert message in refuse("convert", clinic / "dose.dcm", *arguments, "-o", tmp_path / "x.field.zarr")
    assert not (tmp_path / "x.field.zarr").exists()


def test_what_is_no_dose_is_refused_by_name(clinic, tmp_path, refuse, plan):
    output = ["-o", tmp_path / "x.field.zarr"]
    assert "--constant-rbe" in refuse(*convert(clinic, *output, dose="effective.dcm"))
    assert "expected RT Dose" in refuse(*convert(clinic, *output, dose="structures.dcm"))
    assert "none.dcm is none: expected RT Dose files" in refuse(*convert(clinic, *output, dose="none.dcm"))
    assert "exists already" in refuse(*convert(clinic, "-o", plan.field))
    masks = ["dicom", "masks", clinic / "structures.dcm", "-o", tmp_path / "m", "--like", tmp_path / "none.field.zarr"]
    assert "no store at" in refuse(*masks)


def test_a_let_in_a_dose_file_is_no_dose_to_info_either(store, tmp_path, capsys):
    """What `convert` and `dicom image` refuse, `dicom info` does not call a dose."""
    for words, units in ((["--let"], "RELATIVE"), (["--let", "--let-as-gy"], "GY")):
        file = str(tmp_path / f"{units}.dcm")
        assert main(["dicom", "write", str(store), "--quantity", "LET_d", *words, "-o", file]) == 0
        assert main(["dicom", "info", file]) == 0
        shown = capsys.readouterr().out
        assert "read as nothing until you say what it is" in shown
        assert f"DoseType PHYSICAL, DoseUnits {units}" in shown


def test_real_plans_become_reduced_stores(tmp_path, ask, refuse):
    if not PLANS.is_dir():
        pytest.skip("the plans of other systems are not beside the repository")
    pyradplan, output = ["convert", PLANS / "pyradplan", "--medium", "water"], tmp_path / "p.field.zarr"
    assert "carbon, protons; say which one" in refuse(*pyradplan, "-o", output)
    assert "give --radiation with one of H, He, C" in refuse(*pyradplan, "--plan", "protons", "-o", output)
    found = ask("convert", PLANS / "mcsquare", "--medium", "medium", "--radiation", "H", "-o", output)
    assert found["prescription"] is None
    assert set(found["volumes"]) == {"dose_to_medium", "LET_d", "HU"}
    found = ask("predict", output, *PREDICT, "-o", tmp_path / "maps")
    assert set(found["refused"]) == {"RBE", "D_RBE", "BED", "EQD2", "survival", "effect"}
