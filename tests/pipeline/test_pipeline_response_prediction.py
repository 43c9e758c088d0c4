"""Predictions of response as files: exact sums, places through stated transforms only, and who is left out."""

import csv
import json
import math
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import torch
from response_examples import SMALL, made_cohort
from response_lesions import apart

from surrogate3d.errors import ConfigError, QuantityError, UnsupportedError, ValueRangeError
from surrogate3d.grid import Cohort, Grid, Volume, quantity
from surrogate3d.io.cohort import read_cohort
from surrogate3d.io.cohort_write import write_cohort
from surrogate3d.io.nifti import read_nifti
from surrogate3d.pipeline import response_packages
from surrogate3d.pipeline.response_cohorts import lesion_sha256
from surrogate3d.pipeline.response_lesion import Asked, answer
from surrogate3d.pipeline.response_prediction import ResponseRequest, photon_curve, predict_cohort
from surrogate3d.pipeline.response_training import DEFAULT_SCALE
from surrogate3d.response.bundle import save_response
from surrogate3d.response.calibration import Platt
from surrogate3d.response.lesion_part import PhotonCurve
from surrogate3d.response.map_scale import MapScale
from surrogate3d.response.model import ResponseModel
from surrogate3d.response.network import ResponseNetwork
from surrogate3d.response.patches import patches

ASKED = Asked("hirescam", DEFAULT_SCALE, None)
RESISTANCE = quantity("resistance")


def untrained() -> ResponseModel:
    """Two networks that have seen what lesions look like, with a classifier by chance."""
    torch.manual_seed(0)
    cubes = patches(made_cohort(2), SMALL.channels, size=SMALL.size)
    networks = tuple(ResponseNetwork(SMALL, 2) for _ in range(2))
    for each in networks:
        each.see(torch.from_numpy(cubes.values), torch.from_numpy(cubes.inside))
        torch.nn.init.normal_(each.classifier.weight)
    return ResponseModel(tuple(each.eval() for each in networks), Platt(1.5, 0.2), SMALL)


@pytest.fixture(scope="module")
def model():
    return untrained()


@pytest.fixture(scope="module")
def bundle(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "bundle"
    save_response(model, path)
    return path


def folder_of(lesions, path):
    write_cohort(Cohort(lesions), path / "cohort")
    return path / "cohort"


def number(cell):
    """Of a table; empty where nothing is known."""
    return float(cell) if cell else None


def with_D_RBE(lesion, factor=1.2):
    dose = lesion.delivered["dose"]
    D_RBE = Volume(dose.grid, factor * dose.values, quantity("D_RBE"))
    return replace(lesion, delivered={**lesion.delivered, "D_RBE": D_RBE})


def test_the_map_on_the_image_has_the_sum_of_the_models_map(model):
    lesion = made_cohort(1).lesions[1]
    found = answer(model, lesion, ASKED)
    cube = patches(Cohort([lesion]), SMALL.channels, size=SMALL.size)
    assert np.nansum(found.resistance.values) == pytest.approx(model.maps(cube)[0].sum(), rel=1e-4)
    assert np.ptp(found.resistance.values[lesion.mask]) > 0
    known = ~np.isnan(found.resistance.values)
    assert known.sum() == SMALL.size**3  # as both have voxels of 1 mm, on one lattice
    assert known[lesion.mask].all()
    said = model.predict(cube)
    assert (found.probability, found.logit, found.spread) == (said.probability[0], said.logit[0], said.spread[0])


def test_the_region_is_what_stands_out_in_its_own_lesion(model):
    lesion = made_cohort(1).lesions[1]
    values = answer(model, lesion, ASKED).resistance.values[lesion.mask].astype(float)
    ordered = np.sort(values) / np.sqrt((values**2).mean())
    middle = len(ordered) // 2
    scale = MapScale("root mean square", 0.0, float(ordered[middle - 1 : middle + 1].mean()), math.nan)
    found = answer(model, lesion, replace(ASKED, scale=scale))
    expected = np.zeros_like(lesion.mask)
    expected[lesion.mask] = values >= np.sort(values)[middle]
    assert np.array_equal(found.region, expected)
    assert not (found.boost.region & ~lesion.mask).any()


def test_the_region_and_the_rest_are_the_lesion(model):
    lesion = with_D_RBE(made_cohort(1).lesions[1])
    middle = float(np.median(answer(model, lesion, ASKED).resistance.values[lesion.mask]))
    half = MapScale("absolute", 0.0, middle, math.nan)
    found = answer(model, lesion, Asked("hirescam", half, PhotonCurve(0.1, 0.02, 1)))
    got = found.delivered
    assert got.inside.volume_cm3 + got.outside.volume_cm3 == pytest.approx(got.whole.volume_cm3, rel=1e-12)
    for name in ("dose", "D_RBE"):
        parts = [(each.volume_cm3, getattr(each, name).mean) for each in (got.inside, got.outside)]
        mean = sum(volume * value for volume, value in parts) / got.whole.volume_cm3
        assert mean == pytest.approx(getattr(got.whole, name).mean, rel=1e-9)
    assert got.whole.D_RBE.mean == pytest.approx(1.2 * got.whole.dose.mean, rel=1e-6)
    assert 0 < got.whole.survival < 1


def test_the_map_on_the_dose_is_the_mean_over_its_voxels(model):
    lesion = made_cohort(1).lesions[0]  # image voxels of 1 mm at -7, 3, 20; dose voxels of 2 mm at -11, -1, 16
    grid = replace(lesion.delivered["dose"].grid, origin_mm=(-10.5, -0.5, 16.5))  # on the edges of image voxels
    lesion = replace(lesion, delivered={"dose": replace(lesion.delivered["dose"], grid=grid)})
    found = answer(model, lesion, ASKED)
    i, j, k = 6, 6, 6
    corner = lesion.image.grid.index(grid.position_mm((i, j, k))) - 0.5
    a, b, c = np.rint(corner).astype(int)
    block = found.resistance.values[a : a + 2, b : b + 2, c : c + 2]
    assert found.on_dose.values[i, j, k] == pytest.approx(block.mean(), rel=1e-5)
    assert found.on_dose.grid == grid


def test_a_dose_in_another_frame_gives_the_same_through_the_stated_transform(model):
    lesion = made_cohort(1).lesions[1]
    dose = lesion.delivered["dose"]
    shift = np.eye(4)
    shift[:3, 3] = (100.0, -50.0, 7.0)
    x, y, z = np.add(dose.grid.origin_mm, shift[:3, 3])
    elsewhere = replace(dose, grid=replace(dose.grid, origin_mm=(float(x), float(y), float(z))))
    there = answer(model, replace(lesion, delivered={"dose": elsewhere}, image_to_dose=shift), ASKED)
    here = answer(model, lesion, ASKED)
    assert there.probability == pytest.approx(here.probability, rel=1e-5)
    assert np.array_equal(there.region, here.region)
    np.testing.assert_allclose(there.on_dose.values, here.on_dose.values, rtol=1e-4, atol=1e-7)
    assert there.on_dose.grid == elsewhere.grid


def test_a_dose_that_the_network_does_not_see_may_lie_elsewhere():
    config = replace(SMALL, channels=("image",))
    torch.manual_seed(0)
    blind = ResponseModel((ResponseNetwork(config, 1).eval(), ResponseNetwork(config, 1).eval()), Platt(), config)
    lesion = made_cohort(1).lesions[0]
    far = Grid((4, 4, 4), (2.0, 2.0, 2.0), (500.0, 0.0, 0.0))
    found = answer(
        blind, replace(lesion, delivered={"dose": Volume(far, np.ones(far.shape), quantity("dose_to_water"))}), ASKED
    )
    assert found.on_dose is None
    assert found.delivered is None
    assert any("no map on the grid of dose" in note for note in found.notes)
    without = answer(blind, replace(lesion, delivered={}), ASKED)
    assert without.delivered is None
    assert "neither dose nor D_RBE is known, so there is nothing to compare" in without.notes
    assert without.to_json()["delivered"] is None


def test_files_hold_what_is_said_and_are_marked(bundle, tmp_path):
    cohort = folder_of([with_D_RBE(each) for each in apart(2)], tmp_path)
    asked = ResponseRequest(photons=photon_curve(0.1, 0.02, 1))
    found = predict_cohort(bundle, cohort, tmp_path / "out", asked)
    for row, lesion in zip(found["lesions"], read_cohort(cohort), strict=True):
        folder = tmp_path / "out" / row["folder"]
        region = read_nifti(folder / "region.nii.gz", RESISTANCE).values > 0
        assert region.sum() * lesion.image.grid.voxel_volume_mm3 / 1000 == pytest.approx(row["region_cm3"], rel=1e-6)
        assert not (region & ~lesion.mask).any()
        assert read_nifti(folder / "resistance_on_dose.nii.gz", RESISTANCE).values.shape == (14, 14, 14)
        for name in row["files"].values():
            assert b"RESEARCH ONLY" in nibabel.load(folder / name).header["descrip"].item()
        assert row["sha256"] == lesion_sha256(lesion)
    assert found["photons"] == {"alpha_x": 0.1, "beta_x": 0.02, "fractions": 1}
    with (tmp_path / "out" / "response.csv").open(newline="") as stream:
        table = list(csv.DictReader(stream))
    for line, row in zip(table, found["lesions"], strict=True):
        got = row["delivered"]
        assert float(line["probability"]) == row["probability"]
        assert number(line["D_RBE_mean_region"]) == got["inside"]["D_RBE"]["mean"]
        assert number(line["survival_rest"]) == got["outside"]["survival"]
        assert number(line["D_RBE_mean_lesion"]) == pytest.approx(1.2 * got["whole"]["dose"]["mean"], rel=1e-6)
    assert {path.name for path in (tmp_path / "out" / "boost").iterdir()} == {
        f"{row['number']:04d}-{row['patient']}" for row in found["lesions"]
    }


def test_a_threshold_that_keeps_all_is_doubted_and_regions_that_share_voxels_are_not_written(model, tmp_path):
    card = {"rule": "absolute", "sigma": 0.0, "threshold": -1e9, "dice": 0.5}
    training = {"map_scales": {"hirescam": card}, "map_scales_are": "of a test"}
    save_response(replace(model, training=training), tmp_path / "bundle")
    cohort = folder_of(made_cohort(1).lesions, tmp_path)  # both in the middle of one image
    found = predict_cohort(tmp_path / "bundle", cohort, tmp_path / "out", ResponseRequest())
    assert all(row["region_cm3"] == pytest.approx(row["volume_cm3"], rel=1e-12) for row in found["lesions"])
    assert any("regions reach to voxels that speak for a response" in note for note in found["notes"])
    assert any("no boost regions of patient P0 were written" in note for note in found["notes"])
    assert [row["boost"]["folder"] for row in found["lesions"]] == [None, None]


def test_lesions_without_an_outcome_are_predicted_all_the_same(bundle, tmp_path):
    lesions = [replace(each, volume_change=math.nan, truth=None) for each in made_cohort(1)]
    found = predict_cohort(bundle, folder_of(lesions, tmp_path), tmp_path / "out", ResponseRequest())
    assert [row["responded"] for row in found["lesions"]] == [None, None]
    assert len([note for note in found["notes"] if "L0" in note or "L1" in note]) >= 1  # the reader has said so


def test_a_lesion_that_the_model_cannot_see_is_left_out_and_the_rest_goes_on(bundle, tmp_path):
    first, second = made_cohort(1).lesions
    large = np.zeros_like(first.mask)
    large[2:16, 2:16, 2:16] = True  # 14 mm, in a cube of 12
    cohort = folder_of([replace(first, mask=large, truth=None), second], tmp_path)
    found = predict_cohort(bundle, cohort, tmp_path / "out", ResponseRequest())
    assert [row["lesion"] for row in found["lesions"]] == ["L1"]
    assert found["lesions"][0]["number"] == 2
    (left,) = found["left_out"]
    assert (left["patient"], left["lesion"]) == ("P0", "L0")
    assert "does not fit into a cube of 12 voxels" in left["reason"]
    only = folder_of([replace(first, mask=large, truth=None)], tmp_path / "only")
    with pytest.raises(ValueRangeError, match="none of 1 lesions can be predicted; the first: patient P0, lesion L0"):
        predict_cohort(bundle, only, tmp_path / "none", ResponseRequest())
    assert not (tmp_path / "none").exists()


def test_channels_that_are_missing_are_named_with_their_lesions(bundle, tmp_path):
    first, second = made_cohort(1).lesions
    cohort = folder_of([first, replace(second, delivered={})], tmp_path)
    with pytest.raises(QuantityError, match="sees image, dose, but there is no dose of patient P0, lesion L1;"):
        predict_cohort(bundle, cohort, tmp_path / "out", ResponseRequest())
    assert [each.name for each in tmp_path.iterdir()] == ["cohort"]


def test_photons_are_all_or_nothing():
    assert photon_curve(None, None, None) is None
    assert photon_curve(0.1, 0.02, 3) == PhotonCurve(0.1, 0.02, 3)
    for some in ((0.1, None, None), (0.1, 0.02, None), (None, None, 3)):
        with pytest.raises(ConfigError, match="give all three, or none"):
            photon_curve(*some)


def test_captum_is_asked_for_only_by_integrated_gradients(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(response_packages, "find_spec", lambda name: None if name == "captum" else name)
    cohort = folder_of(made_cohort(1).lesions, tmp_path)
    with pytest.raises(UnsupportedError, match=r"captum, .*surrogate3d\[response\]"):
        predict_cohort(bundle, cohort, tmp_path / "out", ResponseRequest(method="integrated-gradients"))
    assert len(predict_cohort(bundle, cohort, tmp_path / "out", ResponseRequest())["lesions"]) == 2


def test_an_older_prediction_is_replaced_when_asked(bundle, tmp_path):
    cohort = folder_of(made_cohort(1).lesions, tmp_path)
    predict_cohort(bundle, cohort, tmp_path / "out", ResponseRequest())
    predict_cohort(bundle, cohort, tmp_path / "out", ResponseRequest(method="grad-cam", overwrite=True))
    assert json.loads((tmp_path / "out" / "response.json").read_text())["map"]["method"] == "grad-cam"
