"""Recomputed maps: against formulas written out here, and against predictions made anew."""

import numpy as np
import pytest
from synthetic import LINE, make_field, prescribed
from viewed_plans import SHAPE, viewed_plan

from surrogate3d.errors import UnknownNameError, ValueRangeError
from surrogate3d.inference.maps import Fractionation
from surrogate3d.model.bundle import load_bundle
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.pipeline.in_memory import predict
from surrogate3d.pipeline.scenes import SceneRequest, plan_scene


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return viewed_plan(tmp_path_factory.mktemp("recomputed"))


def by_hand(plan, fraction_dose, fractions):
    """Maps by the linear-quadratic model, from its definition alone."""
    a, b, D = plan.alpha.astype(float), plan.beta.astype(float), plan.dose(fraction_dose * fractions)
    d, ax, bx = D / fractions, LINE.alpha_x, LINE.beta_x
    E = a * d + b * d**2
    photon = (-ax + np.sqrt(ax**2 + 4 * bx * E)) / (2 * bx)
    at = a * fraction_dose + b * fraction_dose**2
    BED = fractions * photon * (1 + photon / (ax / bx))
    return {
        "dose_to_water": D,
        "RBE_ref": (-ax + np.sqrt(ax**2 + 4 * bx * at)) / (2 * bx) / fraction_dose,
        "RBE": photon / d,
        "D_RBE": fractions * photon,
        "BED": BED,
        "EQD2": BED / (1 + 2 / (ax / bx)),
        "effect": fractions * E,
        "survival": np.exp(-fractions * E),
    }


@pytest.mark.parametrize(("fraction_dose", "fractions"), [(2.0, 1), (1.5, 20), (3.0, 10)])
def test_maps_of_alpha_and_beta_give_the_formulas(plan, fraction_dose, fractions):
    scene, recomputer = plan_scene(SceneRequest(plan.store, (plan.maps,), plan.structures))
    made = recomputer(scene, "HSG", fraction_dose, fractions)
    expected = by_hand(plan, fraction_dose, fractions)
    assert made.changed == set(expected)
    for name, values in expected.items():
        found = np.asarray(made.scene.layer(name).values[:, :, :])
        known = np.isfinite(plan.alpha) if name != "dose_to_water" else np.isfinite(values)
        assert np.array_equal(np.isfinite(found), known)
        assert np.allclose(found[known], values[known], rtol=2e-6)
        assert np.array_equal(made.scene.layer(name).values[2:4, 3, 5:], found[2:4, 3, 5:], equal_nan=True)
    assert made.scene.isodose.base == pytest.approx(fraction_dose * fractions)
    histogram = next(one for one in made.scene.histograms if one["quantity"] == "D_RBE")
    known = np.isfinite(plan.alpha)  # a few voxels of the structure have no answer, which is said
    mean = np.average(expected["D_RBE"][known], weights=plan.inside[known])
    assert histogram["n_missing"] == int((plan.inside[~known] > 0).sum())
    assert any("PTV" in note for note in made.scene.notes)
    assert histogram["statistics"]["mean"] == pytest.approx(mean, rel=1e-5)
    assert histogram["base"] == pytest.approx(fraction_dose * fractions)
    assert recomputer.manifest()["fractions"] == fractions
    assert made.scene.voxels.manifest()["fractions"] == fractions


def test_a_fractionation_on_the_way_in_is_the_same(plan):
    asked = SceneRequest(plan.store, (plan.maps,), fraction_dose_gy=1.5, fractions=20)
    scene, _ = plan_scene(asked)
    found = np.asarray(scene.layer("D_RBE").values[:, :, :])
    expected = by_hand(plan, 1.5, 20)["D_RBE"]
    assert np.allclose(found, expected, rtol=2e-6, equal_nan=True)


@pytest.mark.parametrize("line", ["HSG", "V79"])
def test_curves_give_what_a_new_prediction_gives(plan, line):
    scene, recomputer = plan_scene(SceneRequest(plan.store, model=str(plan.model), lines=("HSG", "V79")))
    made = recomputer(scene, line, 1.5, 4).scene
    scaled = prescribed(make_field(shape=SHAPE, seed=5), 6.0)
    expected = predict(scaled, load_bundle(plan.model), cell_line(line), Fractionation(1.5, 4)).volumes
    for name, volume in expected.items():
        found = np.asarray(made.layer(name).values)
        np.testing.assert_allclose(found, volume.values, rtol=2e-4, err_msg=name)
    voxel = made.focus
    assert made.voxels.at(voxel)["effect"] != scene.voxels.at(voxel)["effect"] or line == "HSG"
    assert made.voxels.manifest()["photon"]["alpha_x"] == cell_line(line).alpha_x
    assert made.voxels.at(voxel)["spectrum"] == scene.voxels.at(voxel)["spectrum"]


def test_all_stored_doses_are_scaled_together(plan):
    scene, recomputer = plan_scene(SceneRequest(plan.store, (plan.maps,)))
    made = recomputer(recomputer(scene, "HSG", 2.0, 5).scene, "HSG", 2.0, 3).scene
    for name in ("dose_to_water", "dose_to_medium", "dose_std"):
        if name in {layer.name for layer in scene.layers}:
            assert np.allclose(made.layer(name).values[:, :, :], 3 * scene.layer(name).values[:, :, :], rtol=1e-6)


def test_settings_that_make_no_sense_are_refused_and_change_nothing(plan):
    scene, recomputer = plan_scene(SceneRequest(plan.store, model=str(plan.model), lines=("HSG",)))
    before = recomputer.manifest()
    with pytest.raises(UnknownNameError, match="'V79' was not predicted; there are HSG"):
        recomputer(scene, "V79", 2.0, 1)
    for dose, fractions in ((0.0, 1), (-1.0, 1), (2.0, 0)):
        with pytest.raises(ValueRangeError, match="fraction dose must be positive and fractions at least 1"):
            recomputer(scene, "HSG", dose, fractions)
    with pytest.raises(ValueRangeError, match="survival was simulated"):
        recomputer(scene, "HSG", 40.0, 1)
    assert recomputer.manifest() == before
