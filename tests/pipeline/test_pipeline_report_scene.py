"""The scene of a report: layers, points, profiles and charts are what the content says, whatever is missing in it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from synthetic import AXES, LINE, SHAPE, TABLE, lq_response, make_field, prescribed, reoriented

from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.grid import Beam, Quantity, Volume, quantity
from surrogate3d.inference.curves import CurveMap
from surrogate3d.physics.mixing import zr_table
from surrogate3d.pipeline.report_scene import RBE_profiles, report_scene
from surrogate3d.pipeline.reporting import report_conditions, report_maps
from surrogate3d.report import DirectPoints, ReportContent
from surrogate3d.viewer.embed import embed

FIELD = prescribed(make_field(tracks=400), 2.0)
VOXELS = np.array([[4, 4, 3], [4, 5, 6]])


def curves_of(field):
    """Survival curves of the mixing rule, where there is at least a tenth of the dose."""
    mask = field.dose >= 0.1 * field.dose.max()
    alpha, beta = zr_table(AXES, field.spectra.fluence, TABLE)
    D = np.array(DOSE_LADDER)
    effect = alpha[mask][:, None] * D + beta[mask][:, None] * D**2
    outside = mask & (np.indices(mask.shape)[0] == 4)
    return CurveMap(mask, D, effect, np.full(len(effect), 0.02), outside, half_width=np.full(len(effect), 0.05))


def content_of(field, **changes):
    curves = curves_of(field)
    given = {
        "title": "A report",
        "verdict": ("It is so.",),
        "conditions": report_conditions(field, Model, LINE, 2.0, 1),
        "maps": report_maps(field, curves, LINE, 2.0, 1),
        "mask": curves.mask,
        "beam_axis": field.beam_axis,
        "beam_sign": field.beam_sign,
        "prescription_gy": field.prescription.dose_gy if field.prescription else None,
    }
    return ReportContent(**given | changes)


class Model:
    """What a report says of its model."""

    bundle_id = "0123456789abcdef"


def scene_of(content, field=FIELD, **beside):
    return report_scene(content, field, curves_of(field), LINE, TABLE, **beside)


def layers(scene):
    return {layer.name: layer for layer in scene.layers}


@pytest.fixture(scope="module")
def known():
    """A reference 2 % below the surrogate, and a method 1 % above it."""
    RBE = content_of(FIELD).RBE
    return content_of(FIELD, reference=np.nan_to_num(RBE, nan=1.0) / 1.02, methods={"table": 1.01 * RBE})


def test_without_reference_the_layers_are_the_maps_and_where_they_are_unsure():
    scene = scene_of(content_of(FIELD))
    assert [layer.name for layer in scene.layers] == [*content_of(FIELD).maps, "out_of_domain"]
    assert (scene.title, scene.beam, scene.points, scene.structures) == ("A report", (2, 1), (), ())
    np.testing.assert_array_equal(layers(scene)["out_of_domain"].values, curves_of(FIELD).out_of_domain)
    assert (scene.isodose.layer, scene.isodose.base, scene.isodose.unit) == ("dose_to_water", 2.0, "Gy")


def test_errors_are_relative_to_the_reference_in_one_window_about_zero(known):
    found, mask = layers(scene_of(known)), known.mask
    np.testing.assert_allclose(found["error, surrogate"].values[mask], 2, atol=1e-4)
    np.testing.assert_allclose(found["error, table"].values[mask], 100 * (1.01 * 1.02 - 1), atol=1e-4)
    assert np.isnan(found["error, table"].values[~mask]).all()
    for name in ("error, surrogate", "error, table"):
        low, high = found[name].window
        assert -low == high == pytest.approx(3.02, abs=1e-3)  # the larger error of the two
        assert (found[name].group, found[name].colours, found[name].symmetric) == ("error", "balance", True)
    assert found["reference"].group == "reference"
    assert np.isnan(found["reference"].values[~mask]).all()
    np.testing.assert_allclose(found["reference"].values[mask], known.RBE[mask] / 1.02, rtol=1e-6)


def test_a_reference_of_holes_zeros_and_infinities_makes_a_scene_that_can_be_embedded(known):
    spoilt = np.array(known.reference)
    spoilt[4, 4, 8], spoilt[4, 4, 9], spoilt[4, 4, 10] = np.nan, 0.0, np.inf
    scene = scene_of(replace(known, reference=spoilt))
    error = layers(scene)["error, surrogate"]
    assert np.isnan(error.values[4, 4, 8:11]).all()
    assert np.isfinite(error.values).sum() == known.mask.sum() - 3
    assert np.isnan(layers(scene)["reference"].values[4, 4, [8, 10]]).all()
    assert layers(scene)["reference"].values[4, 4, 9] == 0
    json.dumps(embed(scene).manifest, allow_nan=False)


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_where_no_voxel_has_an_error_the_window_is_one(known, value):
    scene = scene_of(replace(known, reference=np.full(SHAPE, value)))
    assert layers(scene)["error, surrogate"].window == (-1.0, 1.0)
    json.dumps(embed(scene).manifest, allow_nan=False)


def test_errors_of_nothing_have_a_window_too(known):
    exact = replace(known, reference=np.nan_to_num(known.RBE, nan=1.0), methods={})
    low, high = layers(scene_of(exact))["error, surrogate"].window
    assert low == -high < 0


def test_simulated_voxels_bring_their_curves_if_those_are_on_the_same_doses():
    points = DirectPoints(VOXELS, np.array([1.1, 1.2]), np.array([0.01, 0.02]), np.array([True, False]))
    responses = [
        lq_response((4, 4, 3), 0.3, 0.05, relative_se=0.1),
        lq_response((4, 5, 6), 0.3, 0.05, doses=DOSE_LADDER[:4]),  # another ladder
    ]
    first, second = scene_of(content_of(FIELD, points=points), responses=responses).points
    D = np.array(DOSE_LADDER)
    assert (first.voxel, first.values, first.held_out) == ((4, 4, 3), {"RBE": 1.1, "RBE_se": 0.01}, True)
    np.testing.assert_allclose(first.effect, 0.3 * D + 0.05 * D**2)
    np.testing.assert_allclose(first.effect_se, 0.1 * (0.3 * D + 0.05 * D**2))
    assert (second.voxel, second.effect, second.effect_se, second.held_out) == ((4, 5, 6), None, None, False)


def profile(content, name):
    return next(each for each in RBE_profiles(content) if each["quantity"] == name)


def test_profiles_run_along_the_beam_through_the_focus(known):
    i, j, _ = known.focus
    shown = profile(known, "RBE_ref")
    assert shown["depth_mm"] == pytest.approx([2.5 * n for n in range(SHAPE[2])])
    series = {each["name"]: each for each in shown["series"]}
    assert {name: each["kind"] for name, each in series.items()} == {
        "surrogate": "judged",
        "reference": "reference",
        "table": "baseline",
    }
    RBE = known.RBE[i, j]
    np.testing.assert_allclose(series["surrogate"]["values"], RBE, rtol=1e-6)
    np.testing.assert_allclose(series["table"]["values"], 1.01 * RBE, rtol=1e-6)
    np.testing.assert_allclose(series["surrogate"]["half_width"], known.maps["RBE_half_width"].values[i, j])
    (dose,) = profile(known, "dose_to_water")["series"]
    np.testing.assert_allclose(dose["values"], FIELD.dose[i, j])
    assert (dose["kind"], dose["half_width"]) == ("dose", None)


def test_a_beam_the_other_way_has_the_same_profiles(known):
    turned, turn = reoriented(FIELD, (2, 0, 1), -1)
    other = content_of(turned, reference=turn(known.reference))
    for name in ("RBE_ref", "dose_to_water"):
        straight, reversed_ = profile(known, name), profile(other, name)
        assert reversed_["depth_mm"] == pytest.approx(straight["depth_mm"])
        np.testing.assert_allclose(reversed_["series"][0]["values"], straight["series"][0]["values"], rtol=1e-5)


def test_a_sparse_reference_has_no_line(known):
    sparse = np.full(SHAPE, np.nan)
    sparse[tuple(VOXELS.T)] = 1.1
    names = [each["name"] for each in profile(replace(known, reference=sparse), "RBE_ref")["series"]]
    assert names == ["surrogate", "table"]


def test_without_prescription_isodoses_are_parts_of_the_largest_dose():
    loose = make_field(tracks=400)
    scene = scene_of(content_of(loose), loose)
    assert (scene.isodose.base, scene.isodose.unit) == (pytest.approx(1.0), "of maximum")


def test_structures_ct_and_further_layers_are_shown(known):
    box = np.zeros(SHAPE, np.float32)
    box[2:5, 2:5, 2:5] = 0.5
    ct = Volume(FIELD.grid, np.full(SHAPE, 40.0, np.float32), quantity("HU"))
    other = np.array(FIELD.dose)
    other[0, 0, 0] = np.inf
    meaning = Quantity("error", "difference", "%", "said here")
    more = (
        (Volume(FIELD.grid, other, quantity("D_RBE")), "Another engine", "reference"),
        (Volume(FIELD.grid, np.full(SHAPE, -3.0), meaning), "Difference", "error"),
    )
    scene = scene_of(known, structures={"A": box, "B": box / 2}, ct=ct, more=more)
    assert [(each.name, float(each.fraction.max())) for each in scene.structures] == [("A", 0.5), ("B", 0.25)]
    assert scene.structures[0].colour != scene.structures[1].colour
    found = layers(scene)
    assert (found["HU"].group, found["HU"].window) == ("image", (-160.0, 240.0))
    assert (found["Another engine"].group, found["Another engine"].unit) == ("reference", "Gy (RBE)")
    assert np.isnan(found["Another engine"].values[0, 0, 0])
    assert found["Difference"].window == (-3.0, 3.0)
    json.dumps(embed(scene).manifest, allow_nan=False)


def test_crossed_beams_have_no_axis():
    beams = (Beam(name="a", direction=(0.0, 0.0, 1.0)), Beam(name="b", direction=(1.0, 0.0, 0.0)))
    assert scene_of(content_of(FIELD), replace(FIELD, beams=beams)).beam is None


def test_voxels_carry_curves_and_spectra():
    scene, curves = scene_of(content_of(FIELD)), curves_of(FIELD)
    at = int(np.flatnonzero((np.argwhere(curves.mask) == (4, 4, 9)).all(axis=1))[0])
    found = scene.voxels.at((4, 4, 9))
    np.testing.assert_allclose(found["effect"], curves.effect[at])
    assert found["half_width"] == pytest.approx(0.05)
    np.testing.assert_allclose(found["spectrum"], FIELD.spectra.fluence[:, :, 4, 4, 9], rtol=1e-6)
    nowhere = tuple(int(n) for n in np.argwhere(~curves.mask)[0])
    assert scene.voxels.at(nowhere) is None
