import json
from dataclasses import replace

import numpy as np
import pytest
from response_examples import SMALL, made_cohort

from surrogate3d.errors import UnknownNameError, ValueRangeError
from surrogate3d.grid import Cohort
from surrogate3d.response import classifiers, held_out_maps
from surrogate3d.response.classifiers import SupportVectorEnsemble
from surrogate3d.response.evaluation import difference, judge
from surrogate3d.response.folds import repeated_folds
from surrogate3d.response.gradient_features import gradient_features
from surrogate3d.response.held_out_maps import CHECKED_LESIONS, UNTRAINED
from surrogate3d.response.judgement import compare
from surrogate3d.response.localisation import localisation_differences
from surrogate3d.response.map_scale import RULES, SIGMAS

COHORT = made_cohort(8)
MAPS = ("grad-cam", "hirescam", "grad-cam++")
QUICK = replace(SMALL, channels=("image", "dose"), epochs=2)
ASKED = {"folds": 2, "repeats": 2, "seed": 3, "methods": ("network", "gradient"), "maps": MAPS}


@pytest.fixture(scope="module", autouse=True)
def quick_methods():
    """Support vector machines without tuning, and a slow kind of map that is quick: only who is asked what matters."""
    patched = pytest.MonkeyPatch()
    few = SupportVectorEnsemble(members=2, options=classifiers.OPTIONS[:1], inner_folds=2, inner_repeats=1)
    patched.setattr(classifiers, "SupportVectorEnsemble", lambda: few)
    patched.setattr(held_out_maps, "SLOW", ("grad-cam++",))
    yield
    patched.undo()


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def compared(told):
    return compare(COHORT, QUICK, processes=1, progress=lambda *each: told.append(each), **ASKED)


def test_all_methods_answer_for_all_lesions_on_the_same_folds(compared):
    assert set(compared.logits) == set(compared.judged) == {"network", "gradient"}
    assert all(said.shape == (2, 16) and np.isfinite(said).all() for said in compared.logits.values())
    expected = repeated_folds(COHORT.patients, COHORT.responded(), 2, 2, seed=3)
    assert np.array_equal(compared.folds, expected)
    table = gradient_features(COHORT, ("image", "dose"))
    seed = int(np.random.SeedSequence([3, 2]).generate_state(2)[1])
    slow = classifiers.cross_validate(table, COHORT.responded(), expected[1:], COHORT.patients, seed)
    np.testing.assert_allclose(compared.logits["gradient"][1], slow[0])


def test_scores_are_those_of_the_evaluation(compared):
    network, gradient = compared.logits["network"], compared.logits["gradient"]
    known = (COHORT.responded(), COHORT.patients, 3)
    assert compared.judged["network"].AUC == judge(network, *known).AUC
    assert list(compared.differences) == ["gradient"]
    assert compared.differences["gradient"] == difference(network, gradient, *known)


def test_maps_are_scored_for_each_lesion_with_a_region_in_each_repeat(compared):
    for kind in ("grad-cam", "hirescam"):
        found = compared.found[kind]
        assert found.scores["dice"].shape == (2, 16)
        assert np.array_equal(found.patient, COHORT.patients)
        voxels = [int(each.mask.sum()) for each in COHORT]
        assert found.lesion_voxels.tolist() == voxels
        assert np.array_equal(np.isnan(found.scores["dice"]).all(axis=0), COHORT.responded() == 1)
        assert compared.localised[kind].lesions == 8
        assert len(compared.map_scales[kind]) == 4
        assert all(each.rule in RULES and each.sigma in SIGMAS for each in compared.map_scales[kind])
    assert compared.map_differences["grad-cam"] == localisation_differences(
        compared.found["hirescam"], compared.found["grad-cam"], 3
    )


def test_slow_maps_are_scored_in_the_first_repeat_and_compared_there(compared):
    found = compared.found["grad-cam++"]
    assert found.scores["dice"].shape == (1, 16)
    assert len(compared.map_scales["grad-cam++"]) == 2
    rows = COHORT.responded() == 0
    gain = compared.found["hirescam"].scores["auroc"][0, rows] - found.scores["auroc"][0, rows]
    assert compared.map_differences["grad-cam++"]["auroc"].value == pytest.approx(gain.mean())


def test_pixel_wise_maps_of_the_first_repeat_are_checked(compared):
    assert list(compared.checks) == ["hirescam"]
    checks = compared.checks["hirescam"]
    assert checks["completeness"] < 1e-5
    assert checks["removal"]["deletion"]["n"] == 2 * CHECKED_LESIONS
    for layer in checks["randomisation"].values():  # a random network has a map, too
        assert layer["spearman"]["n"] == 2 * CHECKED_LESIONS * UNTRAINED


def test_every_stage_is_told_and_timed(compared, told):
    assert {stage for stage, *_ in told} == {"network", "gradient features", "gradient"}
    assert [each for each in told if each[0] == "network"] == [("network", n, 4) for n in (1, 2, 3, 4)]
    assert set(compared.seconds) == {"network", "gradient", "maps"}
    assert min(compared.seconds.values()) > 0


def test_a_comparison_becomes_standard_json(compared):
    whole = json.loads(json.dumps(compared.to_json(), allow_nan=False))
    assert (whole["lesions"], whole["patients"], whole["repeats"], whole["folds"]) == (16, 8, 2, 2)
    assert whole["methods"]["network"]["AUC"]["value"] == compared.judged["network"].AUC.value
    assert whole["network_less"]["gradient"]["AUC"]["value"] == compared.differences["gradient"].AUC.value
    assert whole["maps"]["hirescam"]["scores"]["dice"]["value"] == compared.localised["hirescam"].scores["dice"].value
    assert whole["oracle_AUC"] is None


def test_the_number_of_processes_does_not_matter(compared):
    asked = ASKED | {"methods": ("network",), "maps": ("grad-cam", "hirescam")}
    beside = compare(COHORT, QUICK, processes=2, **asked)
    assert np.array_equal(beside.logits["network"], compared.logits["network"])
    for kind in ("grad-cam", "hirescam"):
        np.testing.assert_array_equal(beside.found[kind].scores["auroc"], compared.found[kind].scores["auroc"])
        assert beside.map_scales[kind] == compared.map_scales[kind]
    assert beside.differences == {}


def test_lesions_without_a_known_response_are_left_out_and_named():
    lesions = list(COHORT.lesions)
    lesions[3] = replace(lesions[3], volume_change=np.nan)
    found = compare(Cohort(lesions), QUICK, processes=1, **(ASKED | {"repeats": 1, "methods": ("gradient",)}))
    assert len(found.response) == found.judged["gradient"].lesions == 15
    assert found.notes == ("left out, as their response is not known: patient P1, lesion L1",)
    with pytest.raises(ValueRangeError, match="none of 2 lesions has a known response"):
        compare(Cohort([replace(each, volume_change=np.nan) for each in lesions[:2]]), QUICK)


def test_without_planted_regions_maps_are_checked_and_not_scored():
    real = Cohort([replace(each, truth=None) for each in COHORT])
    asked = ASKED | {"repeats": 1, "methods": ("network",), "maps": ("hirescam",)}
    found = compare(real, QUICK, processes=1, **asked)
    assert found.found == found.localised == found.map_differences == found.map_scales == {}
    assert found.checks["hirescam"]["completeness"] < 1e-5
    assert found.oracle_AUC is None


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"methods": ("forest",)}, "each method once, of network, radiomics, gradient; found forest"),
        ({"methods": ()}, "found none"),
        ({"maps": ("hirescam", "hirescam")}, "each map once, of grad-cam, .* found hirescam, hirescam"),
    ],
)
def test_unknown_methods_and_maps_are_refused(asked, message):
    with pytest.raises(UnknownNameError, match=message):
        compare(COHORT, QUICK, **asked)
