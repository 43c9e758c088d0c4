"""Scores of a card as rows of the report."""

import math

from surrogate3d.pipeline.response_scores import approaches, interval, map_methods


def estimate(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


def method(AUC, accuracy):
    excess = {"excess": estimate(0.01, -0.02, 0.05)}
    return {
        "AUC": estimate(AUC, 0.6, 0.9),
        "accuracy": estimate(accuracy, 0.0, 1.0),
        "accuracy_wilson": [0.61, 0.83],
        "reliability": {"equal_width": excess},
    }


SCORES = {name: estimate(0.5, 0.4, 0.6) for name in ("pointing", "dice", "dice_anywhere", "auroc")}
JUDGED = {
    "methods": {"network": method(0.8, 0.73), "radiomics": method(0.7, 0.7)},
    "network_less": {"radiomics": {"AUC": estimate(0.1, 0.01, 0.2)}},
    "oracle_AUC": estimate(0.95, 0.9, 0.99),
    "maps": {name: {"scores": SCORES, "pointing_wilson": [0.3, 0.7]} for name in ("grad-cam", "hirescam")},
}


def test_the_network_comes_first_and_the_oracle_last():
    network, radiomics, oracle = approaches(JUDGED)
    assert (network.AUC.value, radiomics.AUC.value, oracle.AUC.value) == (0.8, 0.7, 0.95)
    assert (network.accuracy.value, network.accuracy.low, network.accuracy.high) == (0.73, 0.61, 0.83)  # Wilson's
    assert math.isnan(network.AUC_below_network.value)
    assert radiomics.AUC_below_network.low == 0.01
    assert math.isnan(oracle.accuracy.value)
    assert approaches({**JUDGED, "oracle_AUC": None})[-1].name.startswith("Radiomics")
    assert approaches(None) == ()


def test_the_map_of_the_pictures_comes_first():
    assert [each.name for each in map_methods(JUDGED, "hirescam")] == ["hirescam", "grad-cam"]
    assert [each.name for each in map_methods(JUDGED, "grad-cam")] == ["grad-cam", "hirescam"]
    first = map_methods(JUDGED, "hirescam")[0]
    assert (first.pointing.low, first.pointing.high) == (0.3, 0.7)  # Wilson's
    assert map_methods({**JUDGED, "maps": {}}, "hirescam") == map_methods(None, "hirescam") == ()


def test_null_is_not_known():
    assert math.isnan(interval(estimate(None)).value)
    assert math.isnan(interval(estimate(0.5)).low)
