"""Maps, images and fields as RT Dose: which values, which words, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pydicom
import pytest
import typer
from synthetic import LET_DEFINITION, LINE, make_field, make_surrogate, prescribed
from typer.testing import CliRunner

from surrogate3d.cli import dicom_write_command
from surrogate3d.errors import FormatError, PrescriptionError, QuantityError, StoreError, UnknownNameError
from surrogate3d.grid import Volume, VolumeSet, quantity
from surrogate3d.inference.maps import Fractionation
from surrogate3d.io.dicom_write import RtDoseOptions
from surrogate3d.io.field_store import field_id, read_field, write_field
from surrogate3d.io.images import read_image, write_image
from surrogate3d.pipeline.dicom_export import comment, export_dose
from surrogate3d.pipeline.map_output import MapOutput
from surrogate3d.pipeline.prediction import write_prediction
from surrogate3d.pipeline.predictors import MapRequest, surrogate_predictor

FIELD = make_field(seed=5)
ZERO = RtDoseOptions(nan_as=0.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A field store with and without prescription, and maps of the first in three formats."""
    folder = tmp_path_factory.mktemp("export")
    store = folder / "plan.field.zarr"
    write_field(prescribed(FIELD, 6.0), store)
    write_field(FIELD, folder / "unscaled.field.zarr")
    surrogate = replace(make_surrogate(FIELD, networks=()), bundle_id="0123456789ab")
    made = surrogate_predictor(read_field(store), field_id(store), surrogate, MapRequest(Fractionation(2.0, 3)))
    for kind in ("nifti", "mha", "zarr"):
        write_prediction(made, LINE, MapOutput(folder / kind, (kind,)))
    return folder


def stored(path, shape=FIELD.grid.shape):
    file = pydicom.dcmread(path)
    pixels = np.frombuffer(file.PixelData, "<u4").reshape(shape[::-1]).transpose(2, 1, 0)
    return pixels * float(file.DoseGridScaling), file


@pytest.mark.parametrize("kind", ["nifti", "mha", "zarr"])
@pytest.mark.parametrize("name", ["D_RBE", "BED", "EQD2"])
def test_maps_become_effective_doses_that_say_what_they_stand_under(tmp_path, folder, kind, name):
    about = export_dose(folder / kind, tmp_path / "out", name, ZERO)
    values, file = stored(tmp_path / "out" / f"{name}.dcm")
    expected = np.nan_to_num(read_image(folder / "nifti" / f"{name}.nii.gz", quantity(name)).values)
    np.testing.assert_allclose(values, expected, atol=float(file.DoseGridScaling))
    assert file.DoseType == "EFFECTIVE"
    assert file.DoseComment == f"{name} outside=0 ({int((expected == 0).sum())} voxels) HSG model 01234567 3x2Gy"
    assert about["parameters"]["cell_line"]["alpha_x"] == LINE.alpha_x
    assert about["parameters"]["fractions"] == 3
    assert file.PlanOverviewSequence[0].NumberOfFractionsIncluded == 3
    assert about["output"] == tmp_path / "out" / f"{name}.dcm"


def test_the_comment_names_line_fractions_and_model():
    about = {
        "cell_line": {"name": "HSG", "alpha_x": 0.313, "beta_x": 0.0615},
        "fraction_dose_gy": 2.0,
        "fractions": 30,
        "bundle_id": "0123456789",
    }
    assert comment(about) == ("HSG", "model 01234567", "30x2Gy", "ax=0.313 bx=0.0615")
    assert comment({**about, "model": {"name": "wedenberg", "ion": "H"}})[1] == "model wedenberg"
    assert comment({}) == ()


def test_an_image_of_our_maps_keeps_its_name_and_its_parameters(tmp_path, folder):
    about = export_dose(folder / "mha" / "D_RBE.mha", tmp_path / "a.dcm", "D_RBE", ZERO)
    assert about["parameters"]["cell_line"]["name"] == "HSG"
    with pytest.raises(QuantityError, match=r"is the map of D_RBE, not of dose_to_water"):
        export_dose(folder / "mha" / "D_RBE.mha", tmp_path / "b.dcm", "dose_to_water", ZERO)


def test_any_other_image_is_what_the_user_says_it_is(tmp_path):
    dose = prescribed(FIELD, 6.0).volumes["dose_to_water"]
    write_image(dose, tmp_path / "dose.nii.gz")
    about = export_dose(tmp_path / "dose.nii.gz", tmp_path / "a.dcm", "dose_to_medium")
    values, file = stored(tmp_path / "a.dcm")
    np.testing.assert_allclose(values, dose.values, rtol=1e-6, atol=float(file.DoseGridScaling))
    assert (file.DoseType, file.DoseComment) == ("PHYSICAL", "dose to medium")
    assert about["parameters"] == {"image": "dose.nii.gz"}
    with pytest.raises(UnknownNameError, match="unknown quantity 'dose'"):
        export_dose(tmp_path / "dose.nii.gz", tmp_path / "b.dcm", "dose")


def test_a_field_gives_its_physical_dose(tmp_path, folder):
    about = export_dose(folder / "plan.field.zarr", tmp_path / "a.dcm", "dose_to_water")
    values, file = stored(tmp_path / "a.dcm")
    dose = prescribed(FIELD, 6.0).dose
    np.testing.assert_allclose(values, dose, rtol=1e-6, atol=float(file.DoseGridScaling))
    assert file.DoseComment == f"dose to water 6 Gy prescribed field {about['parameters']['field_id'][:8]}"
    assert about["parameters"]["prescription"]["dose_gy"] == 6.0


def test_the_let_of_a_field_comes_with_its_definition(tmp_path):
    LET = Volume(FIELD.grid, np.full(FIELD.grid.shape, 2.5), quantity("LET_d"))
    volumes = VolumeSet(FIELD.grid, {**FIELD.volumes, "LET_d": LET})
    field = replace(FIELD, volumes=volumes, let_definitions={"LET_d": LET_DEFINITION})
    write_field(field, tmp_path / "let.field.zarr")
    about = export_dose(tmp_path / "let.field.zarr", tmp_path / "a.dcm", "LET_d", RtDoseOptions(let=True))
    np.testing.assert_allclose(stored(tmp_path / "a.dcm")[0], 2.5, rtol=1e-9)
    assert about["dose_units"] == "RELATIVE"
    assert about["parameters"]["let_definition"]["particles"] == LET_DEFINITION.particles


def test_a_dose_in_arbitrary_scale_is_refused(tmp_path, folder):
    with pytest.raises(PrescriptionError, match=r"arbitrary scale, not in Gy.*--prescribe"):
        export_dose(folder / "unscaled.field.zarr", tmp_path / "a.dcm", "dose_to_water")


def test_quantities_that_are_not_there_are_refused_with_those_that_are(tmp_path, folder):
    with pytest.raises(UnknownNameError, match=r"has no map 'dose_to_water'; it has alpha"):
        export_dose(folder / "nifti", tmp_path / "a.dcm", "dose_to_water")
    with pytest.raises(UnknownNameError, match=r"has no 'D_RBE'; it has"):
        export_dose(folder / "plan.field.zarr", tmp_path / "a.dcm", "D_RBE")
    with pytest.raises(StoreError):
        export_dose(tmp_path / "nowhere.nii.gz", tmp_path / "a.dcm", "D_RBE")
    with pytest.raises(StoreError):
        export_dose(tmp_path, tmp_path / "a.dcm", "D_RBE")


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"schema": "other/1"}, FormatError, "does not describe our maps"),
        ({"files": []}, StoreError, "lists no file of D_RBE"),
        ({"maps": {"D_RBE": {"unit": "cGy"}}}, QuantityError, r"D_RBE is in cGy, expected Gy \(RBE\)"),
    ],
)
def test_maps_that_do_not_say_what_they_are_are_refused(tmp_path, change, error, words):
    about = {"schema": "surrogate3d.maps/1", "maps": {"D_RBE": {"unit": "Gy (RBE)"}}, "files": ["D_RBE.mha"]}
    (tmp_path / "maps.json").write_text(json.dumps({**about, "metadata": {}, **change}))
    with pytest.raises(error, match=words):
        export_dose(tmp_path, tmp_path / "a.dcm", "D_RBE")


def test_a_damaged_maps_json_is_refused(tmp_path):
    (tmp_path / "maps.json").write_text("{")
    with pytest.raises(FormatError, match="is not JSON"):
        export_dose(tmp_path, tmp_path / "a.dcm", "D_RBE")


def run(*words):
    app = typer.Typer()
    app.callback()(lambda: None)  # keeps `write` a command of its own
    dicom_write_command.register(app)
    return CliRunner().invoke(app, ["write", *map(str, words)])


def test_the_command_writes_warns_and_answers_in_json(tmp_path, folder):
    words = (folder / "nifti", "-o", tmp_path, "--quantity", "D_RBE", "--seed", "s", "--json")
    refused = run(*words)
    assert "--outside zero" in str(refused.exception)
    done = run(*words, "--outside", "zero")
    assert done.exit_code == 0
    answer = json.loads(done.stdout)
    assert answer["schema"] == "surrogate3d.cli.dicom-write/1"
    assert answer["dose_type"] == "EFFECTIVE"
    assert (tmp_path / "D_RBE.dcm").is_file()
    assert "warning: no reference" in done.stderr
    table = run(*words[:-1], "--outside", "zero", "--overwrite")
    assert "EFFECTIVE in GY" in table.stdout
    assert run(*words, "--outside", "guess").exit_code == 2
