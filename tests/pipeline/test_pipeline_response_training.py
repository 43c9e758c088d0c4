"""Training of a model of response from a cohort folder: who is learnt from, what the card says, what is refused."""

import json
import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from response_examples import SMALL, made_cohort

from surrogate3d.errors import ConfigError, QuantityError, UnsupportedError, ValueRangeError
from surrogate3d.grid import Cohort
from surrogate3d.io.cohort_write import write_cohort
from surrogate3d.pipeline import response_packages
from surrogate3d.pipeline.response_training import (
    CHOSEN,
    DEFAULT_SCALE,
    STATED,
    ResponseTraining,
    map_scale_of,
    read_config,
    train_cohort,
)
from surrogate3d.response import classifiers, judgement
from surrogate3d.response.bundle import load_response
from surrogate3d.response.gradient_features import gradient_features

QUICK = ResponseTraining(config=replace(SMALL, epochs=1), repeats=1, folds=2, processes=1, compare=False, judge=False)


def folder_of(lesions, path):
    write_cohort(Cohort(lesions), path / "cohort")
    return path / "cohort"


def test_equal_trainings_give_equal_models_whose_cards_name_no_patient(tmp_path):
    cohort = folder_of(made_cohort(3).lesions, tmp_path)
    one, other = (train_cohort(cohort, tmp_path / name, QUICK) for name in ("one", "other"))
    assert one["bundle_id"] == other["bundle_id"]
    card = (tmp_path / "one" / "card.json").read_text()
    assert not any(each.patient in json.dumps(json.loads(card)["training"]) for each in made_cohort(3))
    assert one["map_scales_are"] == CHOSEN
    scale, found = map_scale_of(load_response(tmp_path / "one"), "hirescam")
    assert found == CHOSEN
    assert scale.threshold == one["map_scales"]["hirescam"]["threshold"]


def test_lesions_without_a_response_are_left_out_by_name(tmp_path):
    lesions = list(made_cohort(4).lesions)
    lesions[5] = replace(lesions[5], volume_change=math.nan)
    found = train_cohort(folder_of(lesions, tmp_path), tmp_path / "model", QUICK)
    assert found["left_out"] == ["patient P2, lesion L1"]
    assert (found["lesions"], found["responded"]) == (7, 4)
    assert found["cohort"]["left_out"] == 1


def test_without_planted_regions_the_threshold_is_a_stated_rule(tmp_path):
    lesions = [replace(each, truth=None) for each in made_cohort(3)]
    found = train_cohort(folder_of(lesions, tmp_path), tmp_path / "model", QUICK)
    assert found["map_scales_are"] == STATED
    assert set(found["map_scales"]) == {"grad-cam", "grad-cam++", "hirescam"}
    scale, _ = map_scale_of(load_response(tmp_path / "model"), "hirescam")
    assert (scale.rule, scale.threshold, scale.sigma) == ("root mean square", 0.33, 1.0)
    assert math.isnan(scale.dice)
    assert map_scale_of(replace(load_response(tmp_path / "model"), training={}), "hirescam") == (DEFAULT_SCALE, STATED)


def test_features_are_judged_on_the_same_folds(tmp_path, monkeypatch):
    few = partial(
        classifiers.SupportVectorEnsemble, members=2, options=classifiers.OPTIONS[:1], inner_folds=2, inner_repeats=1
    )
    monkeypatch.setattr(classifiers, "SupportVectorEnsemble", few)
    monkeypatch.setattr(judgement, "FEATURES", dict.fromkeys(("radiomics", "gradient"), gradient_features))
    how = replace(QUICK, compare=True, judge=True)
    stages = set()
    found = train_cohort(
        folder_of(made_cohort(5).lesions, tmp_path), tmp_path / "model", how, lambda name, done, whole: stages.add(name)
    )
    judged = found["judgement"]
    assert set(judged["methods"]) == {"network", "radiomics", "gradient"}
    assert set(judged["network_less"]) == {"radiomics", "gradient"}
    for name, less in judged["network_less"].items():
        gap = judged["methods"]["network"]["AUC"]["value"] - judged["methods"][name]["AUC"]["value"]
        assert less["AUC"]["value"] == pytest.approx(gap, abs=1e-12)
    assert judged["oracle_AUC"] is None  # there is no D_RBE
    assert found["seconds_by_stage"].keys() == {"network", "radiomics", "gradient", "maps"}
    assert {"reading", "network", "final networks", "scale of the maps"} <= stages


def test_shrinkage_may_be_given(tmp_path):
    (tmp_path / "a.toml").write_text("shrinkage = 0.3\nepochs = 2\n")
    assert read_config(tmp_path / "a.toml").shrinkage == 0.3
    assert read_config(tmp_path / "a.toml", 0.6) == replace(read_config(None), shrinkage=0.6, epochs=2)
    with pytest.raises(ConfigError, match="shrinkage"):
        read_config(None, 1.5)
    known, _ = judgement.with_response(made_cohort(2), 0.6)
    assert known.responded(0.6).sum() == 0  # those that shrank by half no longer respond


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"volume_change": math.nan}, ValueRangeError, "none of 6 lesions has a known response"),
        ({"volume_change": -0.5}, ValueRangeError, "none did not respond"),
        ({"delivered": {}}, QuantityError, "no dose of patient P0, lesion L0; .* and 3 more"),
    ],
)
@pytest.mark.parametrize("judge", [True, False])
def test_cohorts_that_cannot_be_learnt_from_are_refused_and_leave_nothing(tmp_path, change, kind, words, judge):
    cohort = folder_of([replace(each, **change) for each in made_cohort(3)], tmp_path)
    with pytest.raises(kind, match=words):
        train_cohort(cohort, tmp_path / "model", replace(QUICK, judge=judge))
    assert [each.name for each in tmp_path.iterdir()] == ["cohort"]


def test_too_few_patients_for_the_folds_are_refused(tmp_path):
    cohort = folder_of(made_cohort(3).lesions, tmp_path)
    with pytest.raises(ValueRangeError, match="3 patients cannot be dealt into 5 folds"):
        train_cohort(cohort, tmp_path / "model", replace(QUICK, judge=True, folds=5))


@pytest.mark.parametrize(("missing", "named"), [("monai", "monai"), ("sklearn", "scikit-learn"), ("captum", "captum")])
def test_a_missing_package_is_named_with_its_extra_before_anything_is_read(tmp_path, monkeypatch, missing, named):
    monkeypatch.setattr(response_packages, "find_spec", lambda name: None if name == missing else name)
    words = rf"response train needs {named}, .*surrogate3d\[response\]"
    with pytest.raises(UnsupportedError, match=words):
        train_cohort(tmp_path / "none", tmp_path / "model", replace(QUICK, judge=True, compare=True))


def test_what_is_not_compared_needs_no_packages(tmp_path, monkeypatch):
    monkeypatch.setattr(response_packages, "find_spec", lambda name: None if name in ("mirp", "sklearn") else name)
    found = train_cohort(folder_of(made_cohort(3).lesions, tmp_path), tmp_path / "model", QUICK)
    assert found["judgement"] is None
    assert np.isfinite(found["seconds"])
