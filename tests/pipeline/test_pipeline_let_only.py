"""The reduced path end to end: training, maps, metadata, and the plans of planning systems."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dose_plans import field_with_LET, make_model, reduced
from synthetic import LINE, TABLE, prescribed

from surrogate3d.errors import BundleError, PrescriptionError, QuantityError, UnknownNameError, UnsupportedError
from surrogate3d.inference.maps import ALWAYS, PRESCRIBED, Fractionation
from surrogate3d.inference.regression import OTHER_LET, LetOnlyGiven, predict_curves_without_spectra
from surrogate3d.io.plans import read_plan
from surrogate3d.model.dose_channels import CHANNEL_SETS
from surrogate3d.model.reduced_bundle import load_reduced_bundle, save_reduced_bundle
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.mixing import mono_table
from surrogate3d.pipeline import let_only_training
from surrogate3d.pipeline.let_only import (
    let_only_metadata,
    let_only_warnings,
    predict_let_only,
    why_let_only,
)
from surrogate3d.pipeline.let_only_errors import (
    OBLIQUE,
    RBE_of,
    errors_without_spectra,
    quartic_in_LET,
    true_effect,
    without_spectra,
)
from surrogate3d.pipeline.let_only_training import LetOnlyPlan, train_let_only
from surrogate3d.pipeline.map_output import MapOutput
from surrogate3d.pipeline.models import resolve
from surrogate3d.pipeline.plan_pairs import TrainingLine
from surrogate3d.pipeline.prediction import write_prediction
from surrogate3d.pipeline.predictors import MapRequest, let_only_predictor
from surrogate3d.training.regression import LetOnlyConfig

FIELD = field_with_LET(seed=5)
PLAN = reduced(FIELD)
MODEL = make_model(FIELD)
PLANS = Path(__file__).parents[2].parent / "shared" / "data" / "plans"
LINES = [TrainingLine(LINE, TABLE), TrainingLine(cell_line("V79"), mono_table("V79"))]
QUICK = LetOnlyConfig(steps=40, labels_per_step=128, width=8, copies=1, crossings=1)


def training_plan(name, seed, tracks=400.0):
    low = field_with_LET(seed, tracks=tracks)
    return LetOnlyPlan(name, low, field_with_LET(tracks=tracks), (name,))


@pytest.fixture(scope="module")
def trained():
    told = []
    plans = [training_plan("a", 1), training_plan("b", 2, 300.0)]
    model = train_let_only(plans, LINES, QUICK, 0, told.append, unseen="V79")
    assert len(told) == len(CHANNEL_SETS)
    return model


def test_maps_are_those_of_the_curves():
    found = predict_let_only(PLAN, MODEL, LINE, Fractionation(2.0))
    assert tuple(found.volumes) == ALWAYS
    curves = predict_curves_without_spectra(PLAN, MODEL, LINE)
    np.testing.assert_array_equal(found.curves.effect, curves.effect)
    assert found.seconds > 0


def test_a_field_becomes_maps_with_their_story(tmp_path):
    field = reduced(prescribed_field())
    made = let_only_predictor(field, "name-of-the-field", MODEL, MapRequest(Fractionation(2.0)))
    about = write_prediction(made, LINE, MapOutput(tmp_path / "maps"))
    assert about["field_id"] == "name-of-the-field"
    assert about["bundle_id"] == "b" * 64
    assert about["inputs"] == "dose, LET_d and LET_t (reduced input, no spectra)"
    assert about["network"] == "LET_d+LET_t"
    assert about["warnings"] == []
    assert set(about["ranges"]) == {*ALWAYS, *PRESCRIBED}
    sidecar = json.loads((tmp_path / "maps" / "maps.json").read_text())
    assert "name-of-the-field" in json.dumps(sidecar)
    json.dumps(about, allow_nan=False)


def prescribed_field():
    """Largest dose 2 Gy."""
    field = prescribed(FIELD, 2.0)
    volumes = {**FIELD.volumes, **field.volumes}
    return replace(field, volumes=type(FIELD.volumes)(FIELD.grid, volumes))


def test_maps_at_the_voxels_own_dose_need_a_prescription():
    with pytest.raises(PrescriptionError):
        predict_let_only(PLAN, MODEL, LINE, Fractionation(2.0), names=("D_RBE",))


def test_what_must_be_known_is_said():
    far = replace(LINE, name="far", alpha_x=0.9)
    assert "far" in let_only_warnings(PLAN, MODEL, far)[0]
    unknown = replace(PLAN, let_definitions={}, beams=(), primary=None)
    given = LetOnlyGiven(primary="H", accept_LET=True)
    said = let_only_warnings(unknown, MODEL, LINE)
    assert any("no definition; accepted by the user" in each for each in said)
    assert any("no one known axis" in each for each in said)
    about = let_only_metadata(unknown, MODEL, LINE, given)
    assert (about["primary"], about["primary_given"], about["let_definition"]) == ("H", True, None)
    medium = make_model(FIELD, dose_name="dose_to_medium")
    assert any("dose_to_medium" in each for each in let_only_warnings(PLAN, medium, LINE))


def test_the_choice_has_a_reason_and_fields_with_spectra_none():
    assert "network LET_d+LET_t" in why_let_only(PLAN, MODEL)
    only = reduced(FIELD, names=("dose_to_water", "LET_d"), beams=())
    assert "network LET_d_without_axis" in why_let_only(only, MODEL)
    with pytest.raises(UnsupportedError, match="has spectra"):
        why_let_only(FIELD, MODEL)


def test_a_trained_model_comes_with_what_it_needs(trained, tmp_path):
    card = trained.card
    assert [variant.channel_set for variant in card.variants] == list(CHANNEL_SETS)
    assert card.primaries == ("H",)
    assert set(card.let_definitions) == {"LET_d", "LET_t"}
    assert card.cell_lines[0] == (LINE.name, LINE.alpha_x, LINE.beta_x)
    judged = {(row["plan"], row["cell_line"], row["line_seen"], row["slope"]) for row in card.variants[0].left_out}
    assert judged == {
        (p, *line, s) for p in "ab" for line in ((LINE.name, True), ("V79", False)) for s in (0.0, OBLIQUE)
    }
    assert all(set(row["quartic"]) == set(row["regions"]) for row in card.variants[0].left_out)
    save_reduced_bundle(trained, tmp_path / "model")
    found = load_reduced_bundle(tmp_path / "model")
    assert found.card == card
    mine, theirs = (predict_curves_without_spectra(PLAN, model, LINE) for model in (found, trained))
    np.testing.assert_array_equal(mine.effect, theirs.effect)


def test_training_again_gives_the_same_model(trained, monkeypatch):
    """The first of its networks, which takes a quarter of the time."""
    monkeypatch.setattr(let_only_training, "CHANNEL_SETS", CHANNEL_SETS[:1])
    again = train_let_only([training_plan("a", 1), training_plan("b", 2, 300.0)], LINES, QUICK, 0, unseen="V79")
    assert again.card.variants == trained.card.variants[:1]
    for name, value in trained.networks[0].state_dict().items():
        assert torch.equal(again.networks[0].state_dict()[name], value)


def test_the_error_is_that_of_the_answer_against_the_table(trained):
    """A model that answers for the run with all histories, judged on itself, and by hand."""
    high = field_with_LET()
    truth = true_effect(high, TABLE)
    found = errors_without_spectra(high, high, truth, trained, LINE, CHANNEL_SETS[0])
    assert found["regions"]["all"]["n"] == int((high.dose >= 0.05 * high.dose.max()).sum())
    assert found["regions"]["all"]["rms"] < 3.0
    parts = [region["n"] for name, region in found["regions"].items() if name != "all"]
    assert sum(parts) == found["regions"]["all"]["n"]
    assert "quartic" not in found


def test_the_quartic_is_the_polynomial_of_the_voxels_own_LET():
    """Judged on a plan whose RBE is a polynomial of LET_d, whether its beam is oblique or not."""
    LET = np.asarray(FIELD.volumes["LET_d"].values, dtype=float)
    RBE = 1.0 + 0.03 * LET + 1e-5 * LET**4
    effects = LINE.alpha_x * 2 * RBE + LINE.beta_x * (2 * RBE) ** 2
    np.testing.assert_allclose(RBE_of(effects, LINE), RBE)
    coefficients = quartic_in_LET([(FIELD, effects)], LINE)
    for slope in (0.0, OBLIQUE):
        found = errors_without_spectra(FIELD, FIELD, effects, MODEL, LINE, CHANNEL_SETS[0], slope, coefficients)
        assert found["quartic"]["all"]["rms"] < 1e-3
        assert found["regions"]["all"]["rms"] > 0.1


def test_an_oblique_plan_has_its_columns_shifted():
    straight, oblique = (without_spectra(FIELD, CHANNEL_SETS[0], slope) for slope in (0.0, OBLIQUE))
    middle = (FIELD.grid.shape[0] - 1) / 2
    for name in straight.volumes:
        for i in (0, 3, FIELD.grid.shape[0] - 1):
            before, after = (plan.volumes[name].values[i] for plan in (straight, oblique))
            shift = round(OBLIQUE * (i - middle))
            if shift > 0:
                np.testing.assert_array_equal(after[:, shift:], before[:, :-shift])
                assert not after[:, :shift].any()
            elif shift < 0:
                np.testing.assert_array_equal(after[:, :shift], before[:, -shift:])
                assert not after[:, shift:].any()
            else:
                np.testing.assert_array_equal(after, before)


def test_a_line_to_leave_out_must_be_there():
    with pytest.raises(UnknownNameError, match="nobody is to be left out"):
        train_let_only([training_plan("a", 1)], LINES, QUICK, 0, unseen="nobody")


def test_taking_the_spectra_away_leaves_dose_and_LET():
    plan = without_spectra(FIELD, CHANNEL_SETS[0])
    assert set(plan.volumes) == {"dose_to_water", "LET_d", "LET_t"}
    assert plan.beams[0].direction == (0.0, 0.0, 1.0)
    bare = without_spectra(FIELD, CHANNEL_SETS[3])
    assert set(bare.volumes) == {"dose_to_water", "LET_d"}
    assert bare.beams[0].direction is None


def other(plan, **changes):
    return replace(plan, low=replace(plan.low, **changes), high=replace(plan.high, **changes))


def test_plans_that_one_model_cannot_serve_are_refused():
    plan = training_plan("a", 1)
    with pytest.raises(QuantityError, match="for protons"):
        train_let_only([other(plan, primary="C")], LINES, QUICK, 0)
    definitions = {**FIELD.let_definitions, "LET_d": replace(FIELD.let_definitions["LET_d"], medium="bone")}
    with pytest.raises(QuantityError, match="definition of LET_d"):
        train_let_only([plan, other(plan, let_definitions=definitions)], LINES, QUICK, 0)
    volumes = type(FIELD.volumes)(FIELD.grid, {"dose_to_water": FIELD.volumes["dose_to_water"]})
    with pytest.raises(QuantityError, match="no LET_d"):
        train_let_only([other(plan, volumes=volumes)], LINES, QUICK, 0)


def shipped():
    return load_reduced_bundle(resolve("let-only"))


def test_the_shipped_model_is_small_and_for_protons():
    folder = resolve("let-only")
    assert sum(entry.stat().st_size for entry in folder.iterdir()) < 200_000
    assert shipped().card.primaries == ("H",)
    assert len(shipped().networks) == len(CHANNEL_SETS)


SYSTEMS = {
    "pyradplan": {"name": "protons", "primary": "H", "dose_medium": "water"},
    "mcsquare": {"primary": "H", "dose_medium": "medium"},
}


@pytest.mark.parametrize("folder", SYSTEMS)
def test_plans_of_planning_systems_are_answered_once_their_LET_is_accepted(folder):
    if not (PLANS / folder).is_dir():
        pytest.skip(f"the plans of {folder} are not beside the repository")
    field, model = read_plan(PLANS / folder, **SYSTEMS[folder]), shipped()
    with pytest.raises(BundleError, match="LET_d of the field has"):
        predict_let_only(field, model, LINE, Fractionation(2.0), names=ALWAYS)
    found = predict_let_only(field, model, LINE, Fractionation(2.0), ALWAYS, LetOnlyGiven(accept_LET=True))
    RBE = found.volumes["RBE_ref"].values[found.curves.mask]
    assert np.isfinite(RBE).all()
    assert 1.0 < np.median(RBE) < 1.3
    assert found.curves.strangest == OTHER_LET
    assert found.curves.out_of_domain[found.curves.mask].all()


def test_a_carbon_plan_is_refused():
    if not (PLANS / "pyradplan").is_dir():
        pytest.skip("the plans of pyRadPlan are not beside the repository")
    carbon = read_plan(PLANS / "pyradplan", name="carbon", primary="C", dose_medium="water")
    with pytest.raises(UnsupportedError, match="this one is of C"):
        predict_let_only(carbon, shipped(), LINE, Fractionation(2.0), ALWAYS, LetOnlyGiven(accept_LET=True))


def test_the_definitions_of_the_shipped_model_are_those_of_the_training_runs(topas_data):
    from surrogate3d.pipeline.conversion import convert

    run = topas_data("proton_slab_low")
    store = run.parent / "let_only.field.zarr"
    convert([run], store, overwrite=True)
    from surrogate3d.io.field_store import read_dose_field

    field = read_dose_field(store)
    for name, definition in shipped().card.let_definitions.items():
        assert asdict(field.let_definitions[name]) | {"source": ""} == definition
    found = predict_let_only(field, shipped(), LINE, Fractionation(2.0))
    assert found.curves.out_of_domain[found.curves.mask].mean() < 0.01
