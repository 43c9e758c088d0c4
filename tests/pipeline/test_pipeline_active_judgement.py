"""Errors on held-out voxels: over the range of each plan, without the labels' noise."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from synthetic import LINE, lq_response

from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.errors import ValueRangeError
from surrogate3d.inference.curves import CurveMap
from surrogate3d.pipeline.active_judgement import judge
from surrogate3d.sampling import SelectedVoxel
from surrogate3d.sampling.stopping import FEWEST

DOSES = np.array(DOSE_LADDER)
SHAPE = (4, 5, 6)
VOXELS = [(i, j, k) for i in range(2) for j in range(5) for k in range(6)]


def plan(name, span=1.0, factor=1.0, worst=25, voxels=VOXELS):
    """Held-out voxels whose alpha rises from 0.3 by `span`, with predictions `factor` times as large an effect."""
    alphas = np.linspace(0.3, 0.3 + span, len(voxels))
    held = [SelectedVoxel(name, v, "worst" if n < worst else "random", None) for n, v in enumerate(voxels)]
    truth = {(name, v, "HSG"): lq_response(v, a, 0.05, name) for v, a in zip(voxels, alphas, strict=True)}
    mask = np.zeros(SHAPE, dtype=bool)
    mask[tuple(np.transpose(voxels))] = True
    effect = factor * (alphas[:, None] * DOSES + 0.05 * DOSES**2)
    return held, truth, {(name, "HSG"): CurveMap(mask, DOSES, effect, np.zeros(len(voxels)), ~mask)}


def judged(*plans, judgement=1, dose=2.0):
    held, truth, curves = [voxel for p in plans for voxel in p[0]], {}, {}
    for _, some, maps in plans:
        truth |= some
        curves |= maps
    found = judge(held, truth, curves, [LINE], dose, judgement)
    return {(each.role, each.quantity): each for each in found}


def test_an_exact_prediction_has_no_error_and_no_bound_above_it():
    found = judged(plan("a"))
    assert set(found) == {(role, quantity) for role in ("worst", "random") for quantity in ("effect", "RBE10")}
    for each in found.values():
        assert each.nrmse == pytest.approx(0.0, abs=1e-12)
        assert each.bound == pytest.approx(0.0, abs=1e-12)
    assert [found[role, "effect"].n for role in ("worst", "random")] == [25, 35]


def test_the_error_is_over_the_range_of_the_plan():
    """The effect at 2 Gy is 2 alpha + 0.2 and its range twice that of alpha; it is predicted 3 % too large."""
    alphas = np.linspace(0.3, 1.3, len(VOXELS))
    expected = 0.03 * np.sqrt(np.mean((2 * alphas[25:] + 0.2) ** 2)) / 2.0
    assert judged(plan("a", factor=1.03))["random", "effect"].nrmse == pytest.approx(expected, rel=1e-9)


def test_a_plan_of_wide_range_does_not_hide_another():
    """With one range for both the error of the narrow plan would be a tenth."""
    narrow = judged(plan("a", span=0.1, factor=1.03))["random", "effect"].nrmse
    both = judged(plan("a", span=0.1, factor=1.03), plan("b"))["random", "effect"].nrmse
    assert both == pytest.approx(narrow / np.sqrt(2), rel=1e-9)


def test_the_noise_of_the_labels_is_subtracted_and_no_more():
    held, truth, curves = plan("a", factor=1.03)
    noisy = {key: lq_response(r.voxel, r.alpha, r.beta, "a", relative_se=0.02) for key, r in truth.items()}
    clean, found = judged((held, truth, curves)), judged((held, noisy, curves))
    each, other = found["random", "effect"], clean["random", "effect"]
    assert each.nrmse == pytest.approx(other.nrmse, rel=1e-9)
    assert each.nrmse_net == pytest.approx(other.nrmse * np.sqrt(1 - (2 / 3) ** 2), rel=1e-6)
    drowned = {key: lq_response(r.voxel, r.alpha, r.beta, "a", relative_se=0.2) for key, r in truth.items()}
    assert judged((held, drowned, curves))["random", "effect"].nrmse_net == 0.0


def test_voxels_without_answer_or_label_are_counted_not_judged():
    held, truth, curves = plan("a", factor=1.03)
    curve = curves["a", "HSG"]
    mask = curve.mask.copy()
    mask[VOXELS[-1]] = False
    del truth["a", VOXELS[0], "HSG"]
    found = judged((held, truth, {("a", "HSG"): replace(curve, mask=mask, effect=curve.effect[:-1])}))
    assert (found["random", "effect"].n, found["random", "effect"].n_missing) == (34, 1)
    assert (found["worst", "RBE10"].n, found["worst", "RBE10"].n_missing) == (24, 1)
    assert found["random", "effect"].nrmse > 0


def test_with_few_voxels_there_is_no_bound_and_json_says_null():
    found = judged(plan("a", worst=FEWEST - 1))["worst", "effect"]
    assert math.isinf(found.bound)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["bound"] is None
    empty = judged(plan("a", worst=0))["worst", "effect"]
    assert (empty.n, empty.to_json()["nrmse"]) == (0, None)


def test_a_plan_without_a_range_is_refused():
    held, truth, curves = plan("a")
    with pytest.raises(ValueRangeError, match=r"field a have no range of effect \(1 labelled\); hold out more"):
        judged((held, dict(list(truth.items())[:1]), curves))
