"""Maps of a field in memory and on disk."""

import json
from dataclasses import replace

import nibabel
import numpy as np
import pytest
from synthetic import LINE, make_field, make_surrogate, prescribed

from surrogate3d.errors import PrescriptionError, StoreError
from surrogate3d.inference.curves import predict_curves
from surrogate3d.inference.maps import ALWAYS, PRESCRIBED, Fractionation, derive_maps
from surrogate3d.io.field_store import write_field
from surrogate3d.pipeline.prediction import metadata, predict, predict_store, refused

FIELD = make_field(seed=5)
SURROGATE = replace(make_surrogate(FIELD), bundle_id="b" * 64)


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
    about = predict_store(store, SURROGATE, LINE, Fractionation(2.0), output)
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
        predict_store(store, SURROGATE, LINE, Fractionation(2.0), output)


def test_nothing_is_written_when_the_answer_is_refused(tmp_path):
    store, output = tmp_path / "plan.field.zarr", tmp_path / "maps"
    write_field(FIELD, store)
    with pytest.raises(PrescriptionError):
        predict_store(store, SURROGATE, LINE, Fractionation(2.0), output, names=("D_RBE",))
    assert not output.exists()


def test_what_stands_beside_every_map():
    about = metadata(FIELD, "F", SURROGATE, LINE, Fractionation(1.8, 30))
    assert (about["fraction_dose_gy"], about["fractions"], about["prescription"]) == (1.8, 30, None)
    assert about["cell_line"]["alpha_x"] == LINE.alpha_x
    assert "explain" in about["unexplained_dose"]
