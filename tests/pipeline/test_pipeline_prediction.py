"""Maps of a field in memory and on disk."""

import json
from dataclasses import replace

import nibabel
import numpy as np
import pytest
from synthetic import LINE, make_field, make_surrogate, prescribed

from surrogate3d.errors import (
    BundleError,
    PrescriptionError,
    QuantityError,
    StoreError,
    UnknownNameError,
    UnsupportedError,
)
from surrogate3d.grid import DoseField, LetDefinition, Prescription, Volume, VolumeSet, quantity
from surrogate3d.inference.curves import predict_curves
from surrogate3d.inference.maps import ALWAYS, PRESCRIBED, Fractionation, derive_maps
from surrogate3d.io.field_store import field_id, read_field, write_field
from surrogate3d.model.bundle import save_bundle
from surrogate3d.physics.rbe import wedenberg
from surrogate3d.pipeline.cell_line_assignment import Assignment
from surrogate3d.pipeline.in_memory import metadata, predict
from surrogate3d.pipeline.map_output import MapOutput
from surrogate3d.pipeline.map_summary import refused
from surrogate3d.pipeline.prediction import Structures, predict_store, write_prediction
from surrogate3d.pipeline.predictors import MapRequest, published_predictor, surrogate_predictor

FIELD = make_field(seed=5)
SURROGATE = replace(make_surrogate(FIELD), bundle_id="b" * 64)
ASKED, CELLS = MapRequest(Fractionation(2.0)), Structures(Assignment((), LINE))


def predict_with(surrogate, store, output, asked=ASKED):
    """By a network in memory."""
    made = surrogate_predictor(read_field(store), field_id(store), surrogate, asked)
    return write_prediction(made, LINE, MapOutput(output))


def test_maps_are_those_of_the_curves():
    found = predict(FIELD, SURROGATE, LINE, Fractionation(2.0))
    curves = predict_curves(FIELD, SURROGATE, LINE)
    expected = derive_maps(curves, FIELD, LINE, Fractionation(2.0))
    assert tuple(found.volumes) == tuple(expected) == ALWAYS
    for name in expected:
        np.testing.assert_array_equal(found.volumes[name].values, expected[name].values)
    np.testing.assert_array_equal(found.curves.effect, curves.effect)
    assert found.seconds > 0


@pytest.mark.parametrize("fractions", [None, Fractionation(2.0)])
def test_what_is_left_out_has_its_reason(fractions):
    field = FIELD if fractions is None else prescribed(FIELD, 2.0)
    volumes = predict(field, SURROGATE, LINE, Fractionation(2.0)).volumes
    left_out = refused(volumes, field)
    assert set(left_out) == (set(PRESCRIBED) if fractions is None else set())
    assert all("prescri" in reason for reason in left_out.values())


def test_a_store_becomes_maps_with_their_story(tmp_path):
    store, output = tmp_path / "plan.field.zarr", tmp_path / "maps"
    name = write_field(prescribed(FIELD, 2.0), store)
    about = predict_with(SURROGATE, store, output)
    maps = predict(prescribed(FIELD, 2.0), SURROGATE, LINE, Fractionation(2.0))
    mask = maps.curves.mask
    assert about["field_id"] == name
    assert about["bundle_id"] == "b" * 64
    assert about["voxels_answered"] == int(mask.sum())
    assert about["voxels_out_of_domain"] == 0
    assert about["prescription"] == "2.0 Gy at the maximum"
    assert about["output"] == "maps"
    assert set(about["files"]) == {entry.name for entry in output.iterdir()}
    RBE = maps.volumes["RBE"].values
    assert about["ranges"]["RBE"] == pytest.approx(
        {"minimum": RBE[mask].min(), "median": np.median(RBE[mask]), "maximum": RBE[mask].max()}
    )
    image = nibabel.load(output / next(n for n in about["files"] if n.startswith("RBE.")))
    np.testing.assert_array_equal(np.asarray(image.dataobj), RBE)
    sidecar = json.loads((output / "maps.json").read_text())
    assert name in json.dumps(sidecar)
    json.dumps(about, allow_nan=False)  # plain data of standard JSON
    with pytest.raises(StoreError, match="exists"):
        predict_with(SURROGATE, store, output)


def test_nothing_is_written_when_the_answer_is_refused(tmp_path):
    store, output = tmp_path / "plan.field.zarr", tmp_path / "maps"
    write_field(FIELD, store)
    with pytest.raises(PrescriptionError):
        predict_with(SURROGATE, store, output, replace(ASKED, names=("D_RBE",)))
    assert not output.exists()


def test_what_stands_beside_every_map():
    made = surrogate_predictor(FIELD, "F", SURROGATE, MapRequest(Fractionation(1.8, 30)))
    about = made.about(LINE)
    assert about.items() >= metadata(SURROGATE, LINE).items()
    assert (about["fraction_dose_gy"], about["fractions"], about["prescription"]) == (1.8, 30, None)
    assert about["cell_line"]["alpha_x"] == LINE.alpha_x
    assert "explain" in about["unexplained_dose"]


def reduced(prescription):
    """The same dose with a LET_d that grows with depth, and no spectra."""
    LET = np.broadcast_to(np.linspace(1.0, 9.0, FIELD.grid.shape[2]), FIELD.grid.shape).copy()
    volumes = {"dose_to_water": 2 * FIELD.dose / FIELD.dose.max(), "LET_d": LET}
    return DoseField(
        grid=FIELD.grid,
        volumes=VolumeSet(FIELD.grid, {n: Volume(FIELD.grid, v, quantity(n)) for n, v in volumes.items()}),
        primary="H",
        let_definitions={"LET_d": LetDefinition("dose", "protons", "local medium", False, None, "made up")},
        prescription=prescription,
    )


@pytest.fixture
def reduced_store(tmp_path):
    write_field(reduced(Prescription(1.0, "absolute")), tmp_path / "reduced.field.zarr")
    return tmp_path / "reduced.field.zarr"


def test_a_published_model_answers_by_its_name(reduced_store, tmp_path):
    about = predict_store(reduced_store, "wedenberg", CELLS, ASKED, MapOutput(tmp_path / "maps", ("nrrd", "nifti")))
    field = reduced(None)
    D, LET = field.dose, field.volumes["LET_d"].values
    inside = 0.05 * D.max() <= D
    image = nibabel.load(tmp_path / "maps" / "D_RBE.nii.gz")
    expected = np.where(inside, D * wedenberg(D, LET, LINE.alpha_x, LINE.beta_x), np.nan)
    np.testing.assert_allclose(np.asarray(image.dataobj), expected, rtol=2e-6)
    assert about["voxels_answered"] == inside.sum()
    assert about["refused"] == {}
    assert about["ranges"]["D_RBE"]["maximum"] == pytest.approx(np.nanmax(expected), rel=1e-6)
    written = json.loads((tmp_path / "maps" / "maps.json").read_text())["metadata"]
    for story in (about, written):
        assert story["inputs"] == "dose and LET_d (reduced input, no spectra)"
        assert story["model"]["name"] == "wedenberg"
        assert "local medium" in story["warnings"][0]
    json.dumps(about, allow_nan=False)


def test_a_published_model_tells_what_it_leaves_out(tmp_path):
    write_field(reduced(None), tmp_path / "a.field.zarr")
    about = predict_store(tmp_path / "a.field.zarr", "constant", CELLS, ASKED, MapOutput(tmp_path / "maps"))
    assert set(about["refused"]) == set(PRESCRIBED)
    assert set(about["ranges"]) == {"RBE_ref", "mask", "outside"}


def test_a_store_with_spectra_may_be_answered_by_a_published_model(tmp_path):
    field = replace(prescribed(FIELD, 2.0), primary="H")
    write_field(field, tmp_path / "a.field.zarr")
    about = predict_store(tmp_path / "a.field.zarr", "constant", CELLS, ASKED, MapOutput(tmp_path / "maps"))
    assert about["inputs"] == "dose (reduced input, no spectra)"
    assert about["ranges"]["D_RBE"]["maximum"] == pytest.approx(2.2)


def test_a_network_needs_spectra(reduced_store, tmp_path):
    save_bundle(make_surrogate(FIELD), tmp_path / "model.bundle")
    with pytest.raises(QuantityError, match=r"without spectra .* published"):
        predict_store(reduced_store, str(tmp_path / "model.bundle"), CELLS, ASKED, MapOutput(tmp_path / "maps"))
    assert not (tmp_path / "maps").exists()


def test_a_path_goes_before_a_published_name(reduced_store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wedenberg").mkdir()
    write_field(FIELD, tmp_path / "spectra.field.zarr")
    with pytest.raises(BundleError, match="wedenberg"):
        predict_store(tmp_path / "spectra.field.zarr", "wedenberg", CELLS, ASKED, MapOutput(tmp_path / "maps"))
    with pytest.raises(UnknownNameError, match=r"shipped: .*; published, of LET_d: constant, mcnamara, wedenberg"):
        predict_store(reduced_store, "wedenburg", CELLS, ASKED, MapOutput(tmp_path / "maps"))


def test_no_predictor_without_spectra_takes_oxygen_and_keeps_silent():
    with pytest.raises(UnsupportedError, match="constant knows nothing of oxygen"):
        published_predictor(reduced(None), "F", "constant", replace(ASKED, oxygen="20"))


def test_maps_of_other_values_are_not_taken_for_these_though_all_that_is_said_of_them_is_the_same(tmp_path):
    field, where = reduced(Prescription(1.0, "absolute")), MapOutput(tmp_path / "maps", resume=True)
    first = write_prediction(published_predictor(field, "F", "wedenberg", ASKED), LINE, where)
    written = (tmp_path / "maps" / "maps.json").stat().st_mtime_ns
    again = write_prediction(published_predictor(field, "F", "wedenberg", ASKED), LINE, where)
    assert (tmp_path / "maps" / "maps.json").stat().st_mtime_ns == written
    assert again["ranges"] == first["ranges"]
    LET = field.volumes["LET_d"]
    changed = {**field.volumes, "LET_d": replace(LET, values=1.1 * LET.values)}
    other = replace(field, volumes=VolumeSet(field.grid, changed))
    with pytest.raises(StoreError, match="exists"):
        write_prediction(published_predictor(other, "F", "wedenberg", ASKED), LINE, where)
