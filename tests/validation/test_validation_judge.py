"""The figures by which shipped models are judged: scripts/judge_*.py."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.grid import Volume, VolumeSet, quantity
from surrogate3d.physics.linear_quadratic import D10, RBE_at_dose, effect
from surrogate3d.physics.mixing import zr_table
from surrogate3d.validation import UNIFORM_METHODS, noise_floor
from tests.synthetic import AXES, LINE, TABLE, make_field

SCRIPTS = str(Path(__file__).parents[2] / "scripts")
sys.path.insert(0, SCRIPTS)  # they are no package, and import each other by name
try:
    import judge_figures
    import judge_inputs
    import judge_markdown
    import judge_methods
finally:
    sys.path.remove(SCRIPTS)

ALPHA, BETA = np.array([0.3, 0.6, np.nan]), np.array([0.06, 0.03, np.nan])
DOSE = np.array([0.1, 2.7, 1.0])


def a_plan(low_seed=1):
    low, high = make_field(seed=low_seed), make_field(seed=2, tracks=4000.0, halves=True, files=("b",))
    dose = np.asarray(high.dose)
    masks = {"target": dose >= 0.5 * dose.max(), "penumbra": (dose < 0.5 * dose.max()) & (dose >= 0.05 * dose.max())}
    return judge_inputs.Plan("made up", low, high, "id", masks, {"whole": np.ones(dose.shape, dtype=bool)})


@pytest.fixture(scope="module")
def plan():
    return a_plan()


@pytest.fixture(scope="module")
def truth(plan):
    return judge_inputs.table_truth(plan, LINE)


def test_quantities_of_alpha_and_beta_are_those_of_the_formulas():
    maps = judge_methods.maps_of_LQ(ALPHA, BETA, DOSE, LINE)
    np.testing.assert_allclose(maps["effect at 2 Gy"], 2 * ALPHA + 4 * BETA)
    np.testing.assert_allclose(maps["effect as prescribed"], DOSE * ALPHA + DOSE**2 * BETA)
    np.testing.assert_allclose(maps["RBE10"], D10(LINE.alpha_x, LINE.beta_x) / D10(ALPHA, BETA))
    at_own = RBE_at_dose(DOSE, effect(DOSE, ALPHA, BETA), LINE.alpha_x, LINE.beta_x)
    np.testing.assert_allclose(maps["D_RBE"], at_own * DOSE)


def test_curves_of_an_LQ_cell_give_what_alpha_and_beta_give():
    doses, mask = np.array(DOSE_LADDER), np.isfinite(ALPHA)
    effects = effect(doses, ALPHA[mask, None], BETA[mask, None])
    found = judge_methods.maps_of_curves(doses, effects, mask, DOSE, LINE)
    for name, expected in judge_methods.maps_of_LQ(ALPHA, BETA, DOSE, LINE).items():
        np.testing.assert_allclose(found[name], expected, rtol=1e-9, err_msg=name)


def test_the_target_is_prescribed_2_Gy_and_the_input_has_the_same_scale(plan):
    assert np.median(plan.dose_gy[plan.regions["target"]]) == pytest.approx(2.0)
    ratio = plan.own_dose_gy[plan.judged] / plan.dose_gy[plan.judged]
    assert np.median(ratio) == pytest.approx(1.0, abs=0.02)
    assert 0.005 < ratio.std() < 0.3  # its own noise is in it
    assert (plan.region_names[~plan.judged] == "outside").all()
    assert (plan.region_names[plan.regions["target"]] == "target").all()


def test_a_thinned_field_is_a_run_of_fewer_histories():
    field = make_field(seed=1)
    LET = Volume(field.grid, np.full(field.grid.shape, 3.0, np.float32), quantity("LET_d"))
    field = replace(field, volumes=VolumeSet(field.grid, {**field.volumes, "LET_d": LET}))
    fewer = judge_inputs.thinned(field, 0.25, 0)
    assert fewer.histories == round(0.25 * field.histories)
    assert fewer.spectra.fluence.sum() == pytest.approx(0.25 * field.spectra.fluence.sum(), rel=0.01)
    np.testing.assert_allclose(fewer.dose, 0.25 * field.dose, rtol=1e-6)
    much = field.dose > 0.3 * field.dose.max()
    noise = fewer.volumes["LET_d"].values[much] / 3.0
    assert abs(noise.mean() - 1) < 0.02
    assert 0 < noise.std() < 0.2
    again, other = (judge_inputs.thinned(field, 0.25, seed).spectra.fluence for seed in (0, 1))
    assert (again == fewer.spectra.fluence).all()
    assert (other != fewer.spectra.fluence).any()


def test_levels_above_the_run_are_left_out(plan):
    found = [(level, seed) for level, seed, _ in judge_inputs.inputs(plan, 2)]
    assert judge_inputs.median_tracks(plan.low, plan.judged) < 800
    assert found == [("real", 0), ("150", 0), ("150", 1), ("30", 0), ("30", 1)]


def test_a_quartic_finds_what_is_a_polynomial_of_LET(plan):
    alpha, _ = zr_table(AXES, plan.high.spectra.fluence, TABLE)
    known = np.nan_to_num(10 * alpha).astype(np.float32)
    volumes = {**plan.high.volumes, "LET_d": Volume(plan.high.grid, known, quantity("LET_d"))}
    field = replace(plan.high, volumes=VolumeSet(plan.high.grid, volumes))
    found = judge_methods.calibrated_quartic({"plan": (field, plan.judged)}, LINE)
    np.testing.assert_allclose(found(field)[0][plan.judged], alpha[plan.judged], rtol=1e-4)
    assert judge_methods.calibrated_quartic({}, LINE) is None
    assert judge_methods.calibrated_quartic({"plan": (plan.high, plan.judged)}, LINE) is None  # no LET_d


def test_the_truth_itself_has_no_error_and_passes_gamma(plan, truth):
    masks, about = plan.masks("whole"), {"plan": plan.name}
    rows = list(judge_figures.error_rows({"same": truth.maps}, truth, masks, about))
    assert {row["region"] for row in rows} == {"all", "target", "penumbra"}
    assert all(row["n"] == masks[row["region"]].sum() for row in rows)
    assert all(row["rms"] == 0 and row["R2"] == 1 and row["floor"] > 0 for row in rows)
    passed = next(judge_figures.gamma_rows(plan, {"same": truth.maps}, truth, masks, about))
    assert passed["pass"] == 100
    assert 0 < passed["n"] <= masks["all"].sum()


def test_a_wrong_map_shows_in_every_figure(plan, truth):
    masks, about = plan.masks("whole"), {"plan": plan.name}
    off = {name: 1.05 * values for name, values in truth.maps.items()}
    row = next(judge_figures.error_rows({"off": off}, truth, masks, about))
    assert (row["quantity"], row["bias"]) == ("RBE", pytest.approx(5.0))
    far = {"far": {"D_RBE": 1.5 * truth.maps["D_RBE"]}}
    assert next(judge_figures.gamma_rows(plan, far, truth, masks, about))["pass"] < 50
    residual = next(judge_figures.residual_rows({"off": off}, truth, masks["all"], about))
    assert (residual["bias"], residual["scatter"]) == (pytest.approx(5.0), pytest.approx(0.0, abs=1e-9))
    answers = dict.fromkeys((judge_methods.TABLE, judge_methods.GROUPED), off)
    answers[judge_methods.SURROGATE] = {"RBE": 1.025 * truth.maps["RBE"]}
    rng = np.random.default_rng(0)
    ratio = next(judge_figures.against_rows(answers, truth, masks["all"], 2, rng, about))
    assert [ratio[key] for key in ("ratio", "low", "high")] == pytest.approx([0.5] * 3)


def test_intervals_are_judged_with_the_noise_of_the_truth_taken_out(plan, truth):
    masks = plan.masks("whole")
    noisy = replace(truth, maps=truth.halves[0])  # its noise is sqrt(2) of the floor
    width = np.full(plan.high.grid.shape, 1e-9)
    rows = judge_figures.coverage_rows(truth.maps, width, noisy, masks, plan.region_names, {"level": "real"})
    found = {row["region"]: row for row in rows}
    assert found["all"]["level"] == "real"
    assert found["all"]["promised"] == 0.9
    assert found["all"]["n"] == masks["all"].sum()
    assert found["all"]["observed"] < 0.1
    wide = judge_figures.coverage_rows(truth.maps, width + 10, noisy, masks, plan.region_names, {})
    assert all(row["observed"] == 1 for row in wide)


def test_the_best_uniform_pooling_is_chosen_by_its_error():
    def row(method, region, rms):
        return {"method": method, "quantity": "RBE", "region": region, "rms": rms}

    rows = [row(judge_methods.TABLE, "all", 2.0), row(UNIFORM_METHODS[0], "all", 1.0)]
    rows += [row(UNIFORM_METHODS[1], "all", 1.5), row(UNIFORM_METHODS[0], "target", 9.0)]
    best = judge_figures.best_uniform(rows)
    assert [(r["method"], r["which"], r["rms"]) for r in best] == [
        (judge_methods.UNIFORM, UNIFORM_METHODS[0], 1.0), (judge_methods.UNIFORM, UNIFORM_METHODS[0], 9.0)
    ]  # fmt: skip


def test_a_training_voxel_tells_what_the_model_knows_of_a_part():
    part, seen = np.array([True, True, False]), np.array([False, False, True])
    assert judge_inputs.standing(part, None) == "unseen plan"
    assert judge_inputs.standing(part, seen) == "unseen part"
    assert judge_inputs.standing(~part, seen) == "trained on, other voxels"


def test_tables_give_the_mean_and_the_range():
    shared = {"figure": "gamma", "plan": "p", "part": "whole", "standing": "unseen plan", "line": "HSG"}
    shared |= {"truth": "zr_table", "level": "150", "dose": "of the truth", "n": 7, "method": judge_methods.SURROGATE}
    text = judge_markdown.tables([shared | {"pass": 99.0, "thinning": 0}, shared | {"pass": 100.0, "thinning": 1}], [])
    assert (
        "| p | whole | unseen plan | HSG | zr_table | 150 | of the truth | 7 | - | - | 99.50 (99.00 to 100.00) |"
        in text
    )


def test_a_run_split_by_thinning_has_the_noise_of_two_runs(plan):
    crossing = plan.dose_gy > 0  # and in front of where particles stop, so that bins are independent
    crossing[..., 6:] = False
    squares = []
    for seed in range(4):
        whole = make_field(seed=seed, tracks=4000.0, halves=True)
        for field in (whole, replace(whole, halves=(), halves_dose=())):
            a, b = judge_inputs.half_fluences(field)
            assert min(a.min(), b.min()) >= 0
            np.testing.assert_allclose((a + b) / 2, field.spectra.fluence, rtol=1e-5, atol=1e-6)
            maps = [judge_methods.maps_of_LQ(*zr_table(AXES, f, TABLE), plan.dose_gy, LINE)["RBE"] for f in (a, b)]
            squares.append(noise_floor(*maps, {"crossing": crossing})["all"] ** 2)
    assert np.sum(squares[1::2]) == pytest.approx(np.sum(squares[::2]), rel=0.2)
