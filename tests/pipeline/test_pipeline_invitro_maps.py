"""Maps of a field by a model of in-vitro survival: features, endpoints, intervals, domain and shares of the scales."""

import json
from dataclasses import replace

import numpy as np
import pytest
from invitro_examples import made_data
from synthetic import AXES, make_field, prescribed

from surrogate3d.errors import (
    BundleError,
    ConfigError,
    PrescriptionError,
    UnknownNameError,
    UnsupportedError,
    ValueRangeError,
)
from surrogate3d.grid import Beam, SpectrumAxes
from surrogate3d.inference.maps import ALWAYS, Fractionation
from surrogate3d.invitro.bundle import save_invitro
from surrogate3d.invitro.features import FEATURES, GROUPS, RADIATION, biology_features
from surrogate3d.invitro.fitting import InVitroConfig
from surrogate3d.invitro.model import Intervals
from surrogate3d.invitro.radiation import mono_features, radiation_features
from surrogate3d.invitro.training import train_invitro
from surrogate3d.io.field_store import write_field
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.explained import geant4_step_mm
from surrogate3d.physics.let import LET_of, bin_dose
from surrogate3d.physics.linear_quadratic import RBE10, effect
from surrogate3d.physics.pooling import pool_grouped
from surrogate3d.pipeline import invitro_spectra
from surrogate3d.pipeline.cell_line_assignment import parse_assignment
from surrogate3d.pipeline.invitro_domain import IrradiationDomain, fit_domain
from surrogate3d.pipeline.invitro_maps import (
    BEAM,
    IMPORTANCE,
    SPECTRUM,
    line_doubt,
    predict_in_vitro,
    scale_importance,
    voxel_answers,
)
from surrogate3d.pipeline.invitro_prediction import in_vitro_metadata, predict_in_vitro_store
from surrogate3d.pipeline.map_output import MapOutput
from surrogate3d.pipeline.prediction import Structures
from surrogate3d.pipeline.predictors import MapRequest

V79 = cell_line("V79")
TWO_GY = Fractionation(2.0)
CONFIG = InVitroConfig(steps=2, folds=2, repeats=1)


def everywhere(threshold=1e9):
    """A domain about the features' origin."""
    n = len(RADIATION)
    return IrradiationDomain(np.zeros(n), np.ones(n), np.zeros((1, n)), threshold)


@pytest.fixture(scope="module")
def model():
    """Trained on made-up protons; everything is in its domain, and its intervals are known."""
    trained = train_invitro(replace(made_data(), species=np.array(["H"] * 60)), CONFIG, 0)
    trained = replace(trained, training={**trained.training, "domain": everywhere().to_json()})
    unbounded = np.full(len(FEATURES), np.inf)
    intervals = Intervals((0.5, 0.9), (1.0, 2.0), (1.5, 2.5), 12, 60)
    return replace(trained, low=-unbounded, high=unbounded, intervals=intervals)


@pytest.fixture(scope="module")
def field():
    return make_field(seed=1, tracks=60.0)


@pytest.fixture(scope="module")
def answers(field, model):
    return voxel_answers(field, model, V79)


@pytest.fixture(scope="module")
def maps(field, model):
    return predict_in_vitro(field, model, V79, TWO_GY).volumes


def whole(field, mask):
    """Features of the masked voxels, the whole field pooled at once."""
    axes = field.spectra.axes
    shares = pool_grouped(bin_dose(axes, field.spectra.fluence.astype(float)), axes, 2)
    LET = bin_dose(axes, np.ones(axes.energy_mev_u.shape))
    steps = geant4_step_mm(axes, field.grid.spacing_mm[2])
    return radiation_features(axes, (shares / LET[..., None, None, None])[:, :, mask], step_mm=steps).T


@pytest.mark.parametrize("planes", [1, 5, 100])
def test_slabs_give_what_the_whole_pooled_field_gives(field, monkeypatch, planes):
    monkeypatch.setattr(invitro_spectra, "_LEAST_PLANES", planes)
    monkeypatch.setattr(invitro_spectra, "_SLAB_VOXELS", 1)
    mask = field.dose > 0.2 * field.dose.max()
    found = invitro_spectra.voxel_features(field, mask)
    np.testing.assert_allclose(found, whole(field, mask), rtol=1e-9)
    assert "pooling" in invitro_spectra.averaging(field)


def test_features_of_crossing_beams_are_those_of_each_voxel_alone(field):
    beams = Beam(name="a", direction=(0.0, 0.0, 1.0)), Beam(name="b", direction=(1.0, 0.0, 0.0))
    crossing = replace(field, beams=beams, beams_dose=(field.dose / 2, field.dose / 2))
    mask = field.dose > 0.2 * field.dose.max()
    found = invitro_spectra.voxel_features(crossing, mask)
    names = [feature.name for feature in RADIATION]
    alone = LET_of(AXES, field.spectra.fluence[:, :, mask].astype(float), "dose")
    steps = geant4_step_mm(AXES, field.grid.spacing_mm[2])
    expected = radiation_features(AXES, field.spectra.fluence[:, :, mask].astype(float), step_mm=steps).T
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert np.corrcoef(found[:, names.index("LET_d")], alone)[0, 1] > 0.99
    assert "cross" in invitro_spectra.averaging(crossing)


def test_alpha_beta_and_RBE_are_those_of_the_model_on_these_features(maps, answers, model, field):
    features = whole(field, answers.mask)
    biology = np.broadcast_to(biology_features(V79), (len(features), len(FEATURES) - features.shape[1]))
    said = model.predict(np.concatenate([features, biology], axis=1), [V79.alpha_x, V79.beta_x])
    at = answers.mask
    np.testing.assert_allclose(maps["alpha"].values[at], said.alpha, rtol=1e-5)
    np.testing.assert_allclose(maps["beta"].values[at], said.beta, rtol=1e-4, atol=1e-7)
    expected = RBE10(said.alpha, said.beta, V79.alpha_x, V79.beta_x)
    np.testing.assert_allclose(maps["RBE10"].values[at], expected, rtol=1e-5)
    photon = 2.0 * maps["RBE_ref"].values[at].astype(float)
    np.testing.assert_allclose(effect(photon, V79.alpha_x, V79.beta_x), effect(2.0, said.alpha, said.beta), rtol=1e-5)
    assert np.isnan(maps["RBE10"].values[~at]).all()


def test_the_maps_are_those_of_the_mechanistic_prediction_and_the_shares_of_the_scales(maps):
    assert set(maps) == {*ALWAYS, *IMPORTANCE}
    assert maps["importance_LET"].quantity.name == "importance_LET"


@pytest.mark.parametrize("factors", [((1.0, 1e-6), (1.5, 2.5)), ((1.0, 9.0), (1.5, 1e-6))])
def test_the_half_width_is_that_of_the_wider_of_two_calibrated_intervals(field, model, factors):
    own = replace(model, intervals=Intervals((0.5, 0.9), *factors, 12, 60))
    said = voxel_answers(field, own, V79)
    maps = predict_in_vitro(field, own, V79, TWO_GY, ("RBE_ref", "RBE_half_width", "RBE_std")).volumes
    RBE, half, std = (maps[name].values[said.mask].astype(float) for name in ("RBE_ref", "RBE_half_width", "RBE_std"))
    if factors[0][1] > 1:  # RBE10, whose logarithm is taken over
        least, most = said.prediction.interval(0.9)
        np.testing.assert_allclose(half, RBE * np.log(most / least) / 2, rtol=1e-5)
        return
    low, high = said.prediction.log_survival_interval(2.0, 0.9)
    a, b = V79.alpha_x, V79.beta_x
    step = 0.5e-4 * (high - low)  # to first order, as the maps' errors are
    shifted = (np.sqrt(a**2 + 4 * b * (step - said.prediction.log_survival(2.0))) - a) / (2 * b) / 2.0
    np.testing.assert_allclose(half, (shifted - RBE) / 1e-4, rtol=0.02)
    np.testing.assert_allclose(half / std, 2.5, rtol=1e-5)


def test_without_calibration_the_interval_is_a_Gaussian_and_says_so(field, model):
    plain = replace(model, intervals=Intervals((0.5,), (1.0,), (1.5,), 3, 60))
    maps = predict_in_vitro(field, plain, V79, TWO_GY, ("RBE_std", "RBE_half_width")).volumes
    ratio = maps["RBE_half_width"].values / maps["RBE_std"].values
    assert np.nanmax(np.abs(ratio - 1.6449)) < 1e-3
    assert "not calibrated" in in_vitro_metadata(field, plain, V79)["interval"]
    assert "left out" in in_vitro_metadata(field, model, V79)["interval"]


def test_shares_of_the_scales_sum_to_one_and_leave_biology_apart(maps, answers):
    total = sum(maps[name].values[answers.mask].astype(float) for name in IMPORTANCE)
    np.testing.assert_allclose(total, 1.0, rtol=1e-5)
    by_hand = np.zeros((2, len(GROUPS)))
    by_hand[0, [GROUPS.index(g) for g in ("nano", "micro_1um", "micro_10um", "LET", "biology")]] = (
        0.1,
        0.1,
        0.1,
        0.2,
        0.5,
    )
    by_hand[1, GROUPS.index("biology")] = 1.0
    np.testing.assert_allclose(scale_importance(by_hand), [[0.2, 0.4, 0.4], [np.nan] * 3])


def test_only_the_maps_that_are_asked_for_are_made(field, model):
    assert set(predict_in_vitro(field, model, V79, TWO_GY, ("importance_LET", "RBE10")).volumes) == {
        "importance_LET",
        "RBE10",
    }
    assert set(predict_in_vitro(field, model, V79, TWO_GY, ("importance_nanometre",)).volumes) == {
        "importance_nanometre"
    }
    with pytest.raises(UnknownNameError, match="importance_biology"):
        predict_in_vitro(field, model, V79, TWO_GY, ("importance_biology",))
    with pytest.raises(PrescriptionError, match="arbitrary"):
        predict_in_vitro(field, model, V79, TWO_GY, ("D_RBE",))


def test_survival_of_a_prescribed_field_is_at_the_voxels_own_dose(field, model, answers):
    maps = predict_in_vitro(prescribed(field, 2.0), model, V79, TWO_GY, ("survival",)).volumes
    dose = prescribed(field, 2.0).dose[answers.mask].astype(float)
    expected = np.exp(answers.prediction.log_survival(dose))
    np.testing.assert_allclose(maps["survival"].values[answers.mask], expected, rtol=1e-4)


def test_a_feature_beyond_the_training_puts_a_voxel_out_of_the_domain(field, model, answers):
    LET = whole(field, answers.mask)[:, [f.name for f in RADIATION].index("LET_d")]
    high = model.high.copy()
    high[[f.name for f in FEATURES].index("LET_d")] = np.median(LET)
    found = voxel_answers(field, replace(model, high=high), V79)
    np.testing.assert_array_equal(found.outside, np.median(LET) < LET)
    assert found.strangest == "LET_d"
    maps = predict_in_vitro(field, replace(model, high=high), V79, TWO_GY, ("out_of_domain",)).volumes
    assert maps["out_of_domain"].values.sum() == found.outside.sum()


def test_a_spectrum_far_from_all_experiments_is_out_of_the_domain(field, model, answers):
    far = everywhere(threshold=1e-3).to_json()
    found = voxel_answers(field, replace(model, training={**model.training, "domain": far}), V79)
    assert found.outside.all()
    assert found.strangest == SPECTRUM


def test_protons_learnt_from_are_in_the_domain_and_xenon_is_not():
    beams = [("H", energy) for energy in np.geomspace(2.0, 150.0, 40)] + [
        ("C", e) for e in np.geomspace(10.0, 300.0, 40)
    ]
    biology = biology_features(V79)
    domain = fit_domain(np.array([[*mono_features(*beam), *biology] for beam in beams]))
    protons = np.array([[*mono_features("H", energy), *biology] for energy in (4.3, 37.0, 101.0)])
    xenon = np.array([[*mono_features("Xe", 5.0, 9000.0), *biology]])
    between = (protons[:1] + np.array([[*mono_features("C", 12.0), *biology]])) / 2  # like neither of the two
    assert not domain.outside(protons).any()
    assert domain.outside(xenon).all()
    assert domain.outside(between).all()
    again = IrradiationDomain.from_json(json.loads(json.dumps(domain.to_json())))
    np.testing.assert_array_equal(again.distance(protons), domain.distance(protons))


def test_a_beam_of_an_ion_that_was_not_learnt_is_out_of_the_domain(field, model, answers):
    assert not answers.outside.any()
    assert answers.strangest == ""
    carbon = replace(model, training={**model.training, "species": ["C"]})
    found = voxel_answers(field, carbon, V79)
    assert found.outside.all()
    assert found.strangest == BEAM


def test_what_is_unlike_or_unknown_of_a_cell_line_is_said(model):
    assert line_doubt(model, V79) == ""
    at = [f.name for f in FEATURES].index("alpha_x")
    high = np.where(np.arange(len(FEATURES)) == at, 0.01, np.inf)
    assert "alpha_x of V79 is" in line_doubt(replace(model, high=high), V79)
    assert "not known of mine: is_tumour" in line_doubt(model, replace(V79, name="mine"))


def test_a_field_without_dose_is_refused(field, model):
    empty = replace(field, spectra=replace(field.spectra, fluence=np.zeros_like(field.spectra.fluence)))
    with pytest.raises(ValueRangeError, match="nothing to predict"):
        predict_in_vitro(empty, model, V79, TWO_GY)


def cells(text="V79"):
    return Structures(parse_assignment(text))


def test_a_store_of_maps_says_by_what_they_were_made(field, model, tmp_path):
    write_field(field, tmp_path / "f.field.zarr")
    bounded = np.full(len(FEATURES), 1e9)
    name = save_invitro(replace(model, low=-bounded, high=bounded), tmp_path / "mine.bundle")
    asked, output = MapRequest(TWO_GY), MapOutput(tmp_path / "maps")
    found = predict_in_vitro_store(
        tmp_path / "f.field.zarr", str(tmp_path / "mine.bundle"), None, cells(), asked, output
    )
    about = json.loads((tmp_path / "maps" / "maps.json").read_text())["metadata"]
    assert found["bundle_id"] == about["bundle_id"] == name
    assert about["survival_model"]["experiments"] == 60
    assert "pooling" in about["averaging"]
    assert found["ranges"]["importance_LET"]["maximum"] <= 1.0
    assert "importance_nanometre.nii.gz" in found["files"]
    assert found["voxels_out_of_domain"] == 0


def test_what_such_a_model_cannot_do_is_refused(tmp_path):
    asked, output = MapRequest(TWO_GY), MapOutput(tmp_path / "maps")
    with pytest.raises(ConfigError, match="two predictions"):
        predict_in_vitro_store(tmp_path, "invitro", "proton", cells(), asked, output)
    with pytest.raises(ConfigError, match="one cell line at a time"):
        predict_in_vitro_store(tmp_path, "invitro", None, cells("Tumour=HSG,*=V79"), asked, output)
    with pytest.raises(UnsupportedError, match="oxygen"):
        predict_in_vitro_store(tmp_path, "invitro", None, cells(), replace(asked, oxygen="3"), output)
    with pytest.raises(UnknownNameError, match="none is shipped"):
        predict_in_vitro_store(tmp_path, str(tmp_path / "none"), None, cells(), asked, output)
    with pytest.raises(BundleError, match="not an in-vitro model"):
        predict_in_vitro_store(tmp_path, str(tmp_path), None, cells(), asked, output)


def test_a_field_of_ions_without_damage_tables_is_answered(model):
    neon = SpectrumAxes(("H", "Ne"), np.tile(np.geomspace(1.0, 250.0, 13), (2, 1)))
    found = voxel_answers(make_field(axes=neon), model, V79)
    assert np.isfinite(found.prediction.alpha).all()
