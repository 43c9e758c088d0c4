"""Maps against a reference: numbers that follow from how the maps were made, problems, limits, and refusals."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest

from surrogate3d.errors import ConfigError, GridMismatchError, QuantityError, ValueRangeError
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.io.convert import convert
from surrogate3d.io.prescribe import PrescribeRequest
from surrogate3d.physics.rbe import RBE_from_limits
from surrogate3d.pipeline.any_map import ReferenceMap, read_any_map
from surrogate3d.pipeline.comparison_context import Context
from surrogate3d.pipeline.map_comparison import compare_maps, measured_values
from surrogate3d.validation.acceptance import Limit

GRID = Grid((6, 6, 20), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
DEPTH = np.arange(20)
PLATEAU = np.where(DEPTH < 12, 2.0, np.clip(2.0 - 0.5 * (DEPTH - 12), 0, None))  # falls by 0.5 a plane from plane 12 on
DOSE = np.broadcast_to(PLATEAU, GRID.shape).astype(np.float32)
RAMP = (1.0 + np.indices(GRID.shape)[0] / 10 * DOSE).astype(np.float32)


def reference(values=DOSE, name="D_RBE"):
    return ReferenceMap(Volume(GRID, values.astype(np.float32), quantity(name)), "made here", "0" * 64)


def limit(metric, bound, group="all", criterion="", key="at_most", min_n=1):
    bounds = {"at_least": None, "at_most": None, key: bound}
    unit = "mm" if metric == "range_mm" else "%"
    return Limit(metric, metric, "D_RBE", group, criterion, **bounds, unit=unit, min_n=min_n, source="here", note="")


def row(found, kind="all", group="all", method="m"):
    return next(each for each in found.errors if (each.method, each.kind, each.group) == (method, kind, group))


def kinds(found):
    return [problem.kind for problem in found.problems]


def test_a_map_two_percent_above_its_reference_is_that_everywhere():
    box = np.zeros(GRID.shape, np.float32)
    box[:, :, :10] = 1
    found = compare_maps({"m": DOSE * 1.02}, reference(), Context(beam=(2, 1), structures={"Target": box}, base=2.0))
    assert found.evaluated.sum() == 36 * 16  # the reference is 0.5 in plane 15 and 0 behind
    for each in found.errors:
        np.testing.assert_allclose([each.bias_percent, each.rms_percent, each.q05_percent], 2, atol=1e-4)
    mean = (13 * 2 + 1.5 + 1 + 0.5) / 16
    assert row(found).bias == pytest.approx(0.02 * mean, rel=1e-5)
    assert row(found, "structure", "Target").n == 36 * 10
    assert row(found, "dose", "50 <= D_RBE < 80 %").n == 36 * 2  # 1.5 and 1.0 of 2.0
    statistics = {each.method: each.statistics for each in found.histograms}
    assert statistics["reference"]["D98"] == 2.0
    assert statistics["m"]["D98"] == pytest.approx(2.04, rel=1e-6)
    assert statistics["m"]["V95"] == 100
    assert found.problems == ()
    assert {each.criterion: each.pass_rates["all"] for each in found.gammas}["2%/2mm"] == (100.0, 36 * 16)


def test_gamma_of_a_dose_five_percent_off_fails_where_nothing_near_is_closer():
    flat = np.full(GRID.shape, 2.0, np.float32)
    found = compare_maps({"low": 0.95 * flat, "same": flat}, reference(flat))
    rates = {(each.method, each.criterion): each.pass_rates["all"][0] for each in found.gammas}
    assert {rate for (method, _), rate in rates.items() if method == "low"} == {0.0}
    assert {rate for (method, _), rate in rates.items() if method == "same"} == {100.0}
    assert found.gammas[2].values.max() == pytest.approx(5 / 3, rel=1e-5)  # 5 % in parts of the 3 % of 3%/2mm


def test_a_fall_one_plane_deeper_moves_the_distal_depths_by_it():
    deeper = np.roll(DOSE, 1, axis=2)
    deeper[:, :, 0] = 2.0
    found = compare_maps({"m": deeper}, reference(), Context(beam=(2, 1)))
    apart = {(each.how, each.name): each.difference_mm for each in found.profiles.depths}
    assert apart["line", "R80"] == pytest.approx(2.0)
    assert apart["mean", "R50"] == pytest.approx(2.0)
    r80 = next(each.reference_mm for each in found.profiles.depths if each.name == "R80")
    assert r80 == pytest.approx(24 + 2 * 0.4 / 0.5)
    from_behind = compare_maps({"m": deeper[:, :, ::-1]}, reference(DOSE[:, :, ::-1]), Context(beam=(2, -1)))
    assert from_behind.profiles.depths == found.profiles.depths
    line, mean = found.profiles.series
    assert mean["series"][1]["values"] == pytest.approx(PLATEAU.tolist())
    assert [each["kind"] for each in line["series"]] == ["judged", "reference"]
    assert line["series"][1]["values"] == PLATEAU.tolist()
    assert line["depth_mm"] == (2.0 * DEPTH).tolist()


def test_statistics_of_different_voxels_on_the_two_sides_are_under_no_limit():
    hole = DOSE.copy()
    hole[0, :, :10] = np.nan
    box = np.zeros(GRID.shape, np.float32)
    box[:, :, :10] = 1
    found = compare_maps({"m": DOSE * 1.02}, reference(hole), Context(structures={"Target": box}))
    assert ("mean_dose_percent", "D_RBE", "Target", "") not in measured_values(found, "m")
    assert any("in 'Target' 'm' lacks a value in 0 voxels and the reference in 60" in note for note in found.notes)
    whole = compare_maps({"m": DOSE * 1.02}, reference(DOSE), Context(structures={"Target": box}))
    assert measured_values(whole, "m")["mean_dose_percent", "D_RBE", "Target", ""].n == 6 * 6 * 10


def test_a_dose_beside_shows_in_profiles_and_decides_where_is_compared():
    told = Context(dose=Volume(GRID, DOSE, quantity("dose_to_water")), beam=(2, 1))
    found = compare_maps({"m": RAMP}, reference(RAMP, "RBE"), told)
    assert row(found).n == 36 * 16
    assert [each["kind"] for each in found.profiles.series[1]["series"]] == ["judged", "reference", "dose"]
    assert found.profiles.depths == ()  # an RBE has no distal depth
    assert found.gammas == ()
    assert "the dose has at least 5 % of its largest value, 2 Gy" in found.notes[0]
    everywhere = compare_maps({"m": RAMP}, reference(RAMP, "RBE"))
    assert row(everywhere).n == GRID.n_voxels
    assert "no dose was given" in everywhere.notes[0]


def test_strata_of_LET_hold_a_quarter_each_and_both_inputs_have_histograms():
    LET = np.random.default_rng(5).permutation(GRID.n_voxels).reshape(GRID.shape).astype(np.float32)
    box = (DOSE > 1.9).astype(np.float32)
    told = Context(
        dose=Volume(GRID, np.ones_like(DOSE), quantity("dose_to_water")),
        LET=Volume(GRID, LET, quantity("LET_d")),
        structures={"Target": box},
    )
    found = compare_maps({"m": RAMP}, reference(RAMP, "RBE"), told)
    assert [each.n for each in found.errors if each.kind == "LET"] == [GRID.n_voxels // 4] * 4
    names = [(each.quantity, each.method) for each in found.histograms]
    assert names == [("RBE", "reference"), ("RBE", "m"), ("dose_to_water", "input"), ("LET_d", "input")]


def test_what_is_wrong_is_named_and_nothing_crashes():
    judged, truth = DOSE.copy(), DOSE.copy()
    judged[0, 0, 0], judged[0, 0, 1], truth[1, 0, 0] = np.nan, np.inf, np.nan
    sliver, behind = np.zeros(GRID.shape, np.float32), np.zeros(GRID.shape, np.float32)
    sliver[0, 0, 0], behind[:, :, 18:] = 0.2, 1
    told = Context(dose=Volume(GRID, np.ones_like(DOSE), quantity("dose_to_water")), beam=None)
    found = compare_maps({"m": judged}, reference(truth), replace(told, structures={"Sliver": sliver, "Air": behind}))
    assert set(kinds(found)) == {
        "nan_in_map",
        "infinite_in_map",
        "zero_reference",
        "empty_structure",
        "gamma_not_computed",
    }
    json.dumps(found.to_json(), allow_nan=False)
    assert any("(0, 0, 0)" in problem.sentence for problem in found.problems)


def test_a_reference_of_zero_dose_gives_absolute_errors_and_no_gamma():
    found = compare_maps({"m": DOSE}, reference(np.zeros_like(DOSE)))
    assert row(found).n == GRID.n_voxels
    assert row(found).bias == pytest.approx(float(DOSE.mean()))
    assert np.isnan(row(found).bias_percent)
    assert kinds(found) == ["zero_reference", "gamma_not_computed"]
    assert found.to_json()["errors"][0]["bias_percent"] is None


@pytest.mark.parametrize(("name", "told"), [("RBE", "no_voxels_in_stratum"), ("D_RBE", "nothing_compared")])
def test_a_reference_or_a_map_without_any_value_is_a_problem_and_no_crash(name, told):
    nothing = np.full(GRID.shape, np.nan, np.float32)
    found = compare_maps({"m": RAMP}, reference(nothing, name), Context(beam=(2, 1)))
    assert told in kinds(found)
    assert row(found).n == 0
    found = compare_maps({"m": nothing}, reference(RAMP, name), Context(beam=(2, 1)))
    assert {"nan_in_map", "nothing_compared"} <= set(kinds(found))
    json.dumps(found.to_json(), allow_nan=False)


def test_a_structure_outside_the_dose_is_noted_and_keeps_its_histogram():
    air = np.zeros(GRID.shape, np.float32)
    air[:, :, 17:] = 1
    found = compare_maps({"m": DOSE}, reference(), Context(structures={"Air": air}))
    assert [each.method for each in found.histograms] == ["reference", "m"]
    assert "structure 'Air' holds no compared voxel, so it has no errors" in found.notes
    assert kinds(found) == ["gamma_not_computed"]


def test_a_profile_that_ends_too_early_is_a_problem_of_R80_and_a_note_of_R50():
    short = DOSE.copy()
    short[:, :, 14:] = np.nan
    found = compare_maps({"m": short}, reference(), Context(beam=(2, 1), dose=None))
    assert any("the profile of 'm' (line) does not fall to 50 %, or has no value there" in note for note in found.notes)
    assert "range_not_found" not in kinds(found)
    short[:, :, 13:] = np.nan
    found = compare_maps({"m": short}, reference(), Context(beam=(2, 1)))
    assert [each.where for each in found.problems if each.kind == "range_not_found"] == ["R80 of 'm'"]


def test_errors_in_sigmas_are_those_of_normal_noise():
    rng = np.random.default_rng(11)
    noise = rng.normal(0, 0.05, GRID.shape)
    told = Context(sigma=np.full(GRID.shape, 0.05), dose=Volume(GRID, np.ones_like(DOSE), quantity("dose_to_water")))
    found = compare_maps({"m": RAMP + noise}, reference(RAMP, "RBE"), told)
    assert found.sigmas["m"].rms == pytest.approx(float(np.sqrt(np.mean((noise / 0.05) ** 2))), rel=1e-5)
    share = measured_values(found, "m")["sigma_share_2", "RBE", "all", ""]
    assert share.value == pytest.approx(100 * float(np.mean(np.abs(noise) <= 0.1)), abs=0.2)
    assert share.low < share.value < share.high


def test_limits_are_held_against_each_map():
    box = (DOSE > 1.9).astype(np.float32)
    limits = [
        limit("bias_percent", 2.5),
        limit("gamma_pass_rate", 95, criterion="2%/2mm", key="at_least"),
        limit("D98_percent", 2.5, group="Target"),
        limit("mean_dose_percent", 2.5, group="Target"),
        limit("range_mm", 1),
        limit("rms_percent", 5, min_n=10**6),
    ]
    told = Context(beam=(2, 1), structures={"Target": box})
    found = compare_maps({"two": 1.02 * DOSE, "four": 1.04 * DOSE}, reference(), told, limits=limits)
    outcomes = {name: [each.outcome for each in findings] for name, findings in found.findings.items()}
    assert outcomes["two"] == ["met", "met", "met", "met", "met", "too few"]
    assert outcomes["four"] == ["not met", "not met", "not met", "not met", "met", "too few"]
    assert found.unmet
    assert found.verdict["four"][0].startswith("4 of 5 acceptance limits that could be decided are not met")
    assert not compare_maps({"two": 1.02 * DOSE}, reference(), told, limits=limits).unmet
    assert compare_maps({"two": DOSE}, reference()).findings == {"two": ()}


def test_a_structure_called_as_another_group_is_told_apart_from_it():
    box = (DOSE > 1.9).astype(np.float32)
    told = Context(beam=(2, 1), structures={"all": box, "target": box})
    found = compare_maps({"m": DOSE}, reference(), told)
    values = measured_values(found, "m")
    assert values["gamma_pass_rate", "D_RBE", "all", "3%/2mm"].n == 36 * 16
    assert values["gamma_pass_rate", "D_RBE", "all (structure)", "3%/2mm"].n == int(box.sum())
    assert values["bias_percent", "D_RBE", "target (structure)", ""].n == int(box.sum())


@pytest.mark.parametrize(("name", "factor"), [("D_RBE", 100), ("D_RBE", 0.01), ("D_RBE", 1000), ("LET_d", 10)])
def test_maps_in_another_unit_are_refused_by_their_size(name, factor):
    with pytest.raises(QuantityError, match=r"looks to be in (cGy|mGy|MeV/cm), expected"):
        compare_maps({"m": factor * RAMP}, reference(RAMP, name))
    compare_maps({"m": 3 * RAMP}, reference(RAMP, name), criteria=())


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ConfigError, match="there is no map to judge"):
        compare_maps({}, reference())
    for name in ("reference", "input"):
        with pytest.raises(ConfigError, match=f"cannot be called '{name}'"):
            compare_maps({name: DOSE}, reference())
    with pytest.raises(GridMismatchError, match=r"'m' has shape \(6, 6, 19\)"):
        compare_maps({"m": DOSE[:, :, 1:]}, reference())
    with pytest.raises(GridMismatchError, match="'Target' has shape"):
        compare_maps({"m": DOSE}, reference(), Context(structures={"Target": DOSE[1:]}))
    with pytest.raises(GridMismatchError, match="'sigma' has shape"):
        compare_maps({"m": DOSE}, reference(), Context(sigma=DOSE[1:]))
    for wrong in (np.zeros_like(DOSE), DOSE - 1):
        with pytest.raises(ValueRangeError, match="must not be negative, and be positive somewhere"):
            compare_maps({"m": DOSE}, reference(), Context(dose=Volume(GRID, wrong, quantity("dose_to_water"))))


def test_an_RBE_by_the_formula_of_a_TOPAS_scorer_agrees_with_it(topas_data):
    run = topas_data("proton_rbe_v79")
    text = (run / "p_sobp.txt").read_text()
    ratio = float(re.search(r"^d:Sc/CellLineV79/AlphaBetaRatiox = (\S+) Gy", text, re.MULTILINE)[1])
    field, _ = convert([run], prescribe=PrescribeRequest(2.0, at="max"))
    dose, LET = field.volumes["dose_to_water"], field.volumes["LET_d"]
    L = np.nan_to_num(LET.values)
    by_hand = RBE_from_limits(dose.values, 0.99064 + 0.35605 * L / ratio, 1.1012 - 0.0038703 * ratio**0.5 * L, ratio)
    truth = read_any_map(run / "p_sobp_McNamara_RBE.csv", "RBE")
    found = compare_maps({"McNamara": by_hand}, truth, Context(dose=dose, LET=LET, beam=(2, 1)))
    assert row(found, method="McNamara").n == int((dose.values >= 0.05 * dose.values.max()).sum())
    assert max(each.rms_percent for each in found.errors) < 1e-3
    assert found.problems == ()
