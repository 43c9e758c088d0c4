"""What is said of a validation: identities, numbers by hand, and nothing that is dropped."""

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student
from synthetic import AXES, LINE, SHAPE, TABLE, make_field, make_surrogate, prescribed

from surrogate3d.cli.console import plain
from surrogate3d.errors import PrescriptionError
from surrogate3d.grid import Volume, VolumeSet, quantity
from surrogate3d.grid.regions import regions
from surrogate3d.inference.maps import Fractionation, derive_maps
from surrogate3d.physics.mixing import zr_table
from surrogate3d.pipeline.appraisal import AS_WRITTEN, COMPARED, INPUT_DOSE, TARGET, Judged, appraise, unknown_dose
from surrogate3d.pipeline.validation import SURROGATE, ValidationSettings, validate
from surrogate3d.validation.acceptance import Limit
from surrogate3d.validation.problems import Problem

LOW = prescribed(make_field(seed=1, tracks=300, files=("low",)), 2.0)
HIGH = prescribed(make_field(seed=2, tracks=20000, halves=True, files=("high",)), 2.0)
SETTINGS = ValidationSettings(truth="zr_table")
BOX = np.zeros(SHAPE, np.float32)
BOX[3:6, 3:6, 4:8] = 1


def judge(folder, low=LOW, high=HIGH):
    return validate(low, high, "high", make_surrogate(LOW), LINE, TABLE, SETTINGS, folder / "ledger")


def judged(low=LOW, high=HIGH, **changes):
    given = {"line": LINE, "table": TABLE, "settings": SETTINGS, **changes}
    return Judged(low=low, high=high, high_id="high", **given)


def limit(metric, bound, quantity="RBE", key="at_most"):
    bounds = {"at_least": None, "at_most": None, key: bound}
    return Limit(metric, metric, quantity, "all", "", **bounds, unit="%", min_n=2, source="here", note="")


def row(rows, method, kind="all", group="all"):
    return next(each for each in rows if (each.method, each.kind, each.group) == (method, kind, group))


def sampled(validation, n, relative_se=np.nan):
    """The same with a truth in the first n judged voxels of a random order alone, as of direct simulation."""
    truth = validation.truth["RBE"]
    known = np.argwhere(np.isfinite(truth))
    chosen = tuple(known[np.random.default_rng(4).permutation(len(known))[:n]].T)
    kept = np.full(SHAPE, np.nan)
    kept[chosen] = truth[chosen]
    return replace(validation, truth={**validation.truth, "RBE": kept}, truth_se=relative_se * kept)


def weighted(field, dose):
    """D_RBE of one fraction by the mixing rule on a field's spectra, from the root of alpha_x D + beta_x D^2 = E."""
    alpha, beta = zr_table(AXES, field.spectra.fluence, TABLE)
    effect = alpha * dose + beta * dose**2
    return (-LINE.alpha_x + np.sqrt(LINE.alpha_x**2 + 4 * LINE.beta_x * effect)) / (2 * LINE.beta_x)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return judge(tmp_path_factory.mktemp("judged"))


@pytest.fixture(scope="module")
def itself(tmp_path_factory):
    """Against a run of the very same spectra and dose."""
    return judge(tmp_path_factory.mktemp("itself"), high=replace(LOW, provenance={}))


def test_the_method_of_the_truth_has_no_error_on_the_truths_own_spectra(itself):
    told = appraise(itself, judged(high=replace(LOW, provenance={}), structures={"box": BOX}), ())
    for each in (*told.errors, *told.comparisons["D_RBE"].errors):
        if each.method == "zr_table":
            assert each.rms_percent < 1e-4  # a map is float32
            assert each.n_missing == each.n_unknown == 0
    assert {each.kind for each in told.errors} == {"all", "dose", "region", "structure"}
    for each in told.comparisons["dose_to_water"].errors:
        assert (each.method, each.rms, each.n_zero) == (INPUT_DOSE, 0.0, 0)
    for result in told.comparisons["D_RBE"].gammas:
        if result.method == "zr_table":
            assert result.pass_rates["all"][0] == 100


def test_errors_of_the_table_are_those_by_hand(found):
    told = appraise(found, judged(), ())
    known = np.isfinite(found.truth["RBE"])
    photon = [weighted(field, 2.0) for field in (LOW, HIGH)]
    error = 100 * (photon[0] / photon[1] - 1)[known]
    own = row(told.errors, "zr_table")
    assert own.n == known.sum()
    assert own.bias_percent == pytest.approx(error.mean(), rel=1e-9)
    assert own.p95_percent == pytest.approx(np.percentile(np.abs(error), 95), rel=1e-9)
    of_dose = [each for each in told.errors if (each.method, each.kind) == ("zr_table", "dose")]
    assert sum(each.n for each in of_dose) == known.sum()  # every voxel is in one stratum
    half = known & (HIGH.dose >= 0.5 * HIGH.dose.max()) & (HIGH.dose < 0.8 * HIGH.dose.max())
    assert row(told.errors, "zr_table", "dose", "50 <= D < 80 %").n == half.sum()


def test_weighted_doses_of_all_methods_are_taken_at_the_dose_of_the_reference(found):
    told = appraise(found, judged(structures={"box": BOX}), ()).comparisons["D_RBE"]
    dose, inside = HIGH.dose.astype(float), (BOX > 0) & told.evaluated
    error = 100 * (weighted(LOW, dose) / weighted(HIGH, dose) - 1)
    own = row(told.errors, "zr_table", "structure", "box")
    assert own.n == inside.sum() == BOX.sum()
    assert own.bias_percent == pytest.approx(error[inside].mean(), abs=2e-5)
    assert own.rms_percent == pytest.approx(np.sqrt((error[inside] ** 2).mean()), rel=1e-4)
    assert told.methods == (SURROGATE, *COMPARED, AS_WRITTEN)
    own, how = (judged().low, Fractionation(2.0))
    written = derive_maps(found.curves, own, LINE, how, ("D_RBE",))["D_RBE"].values[told.evaluated]
    true = told.reference.volume.values[told.evaluated]
    told_rms = row(told.errors, AS_WRITTEN, "all", "all").rms_percent
    assert told_rms == pytest.approx(100 * np.sqrt(np.nanmean((written / true - 1) ** 2)), rel=1e-5)
    assert f"{HIGH.histories:,} histories" in told.reference.origin
    mean = next(
        each.statistics["mean"] for each in told.histograms if (each.method, each.quantity) == ("reference", "D_RBE")
    )
    assert mean == pytest.approx(weighted(HIGH, dose)[inside].mean(), rel=1e-6)


def test_histograms_name_the_dose_of_the_input_and_of_the_reference_once_each(found):
    edge = (LOW.dose < 0.3 * LOW.dose.max()).astype(np.float32)  # also where the surrogate does not answer
    told = appraise(found, judged(structures={"edge": edge}), ())
    names = [(each.quantity, each.method) for each in told.histograms]
    assert len(set(names)) == len(names)
    mean = {each.method: each.statistics["mean"] for each in told.histograms if each.quantity == "dose_to_water"}
    for method, field in (("reference", HIGH), (INPUT_DOSE, LOW)):
        assert mean[method] == pytest.approx(field.dose[edge > 0].astype(float).mean(), rel=1e-6)
    assert set(mean) == {"reference", INPUT_DOSE}
    outside = int(((edge > 0) & ~found.curves.mask).sum())
    assert outside
    assert {each.n_missing for each in told.histograms if each.quantity == "D_RBE"} == {outside}


def test_a_volumes_error_from_drawn_voxels_has_the_interval_of_a_simple_random_sample(found):
    n, size = 80, found.population
    told = appraise(sampled(found, n), judged(), ())
    own = told.volume_errors["zr_table"]
    truth = sampled(found, n).truth["RBE"]
    known = np.isfinite(truth)
    error = 100 * (found.predicted["zr_table"]["RBE"][known] / truth[known] - 1)
    half = student.ppf(0.975, n - 1) * error.std(ddof=1) * np.sqrt((1 - n / size) / n)  # Cochran 1977, 2.15
    assert own.n == n
    assert abs(own.N - size) < 1e-6
    assert own.mean == pytest.approx(error.mean(), rel=1e-9)
    assert (own.mean_low, own.mean_high) == pytest.approx((error.mean() - half, error.mean() + half), rel=1e-6)
    assert own.rms == pytest.approx(np.sqrt((error**2).mean()), rel=1e-9)


def test_a_volumes_error_of_all_voxels_is_their_mean(found):
    assert found.population == np.isfinite(found.truth["RBE"]).sum()
    told = appraise(found, judged(), ())
    assert told.volume_errors == {}  # nothing to be estimated
    nearly = appraise(replace(found, population=found.population + 1), judged(), ())
    for method in (SURROGATE, *COMPARED):
        own, whole = nearly.volume_errors[method], row(told.errors, method)
        assert own.mean == pytest.approx(whole.bias_percent, rel=1e-9)
        assert own.rms == pytest.approx(whole.rms_percent, rel=1e-9)
        assert own.mean_high - own.mean_low < 0.02 * whole.rms_percent


def test_sigmas_are_errors_over_the_noise_of_the_truth(found):
    """The noise of each voxel: its own of the simulation, where no halves tell that of the spectra."""
    bare = sampled(replace(found, table=no_floors(found.table)), 90, relative_se=0.01)
    told = appraise(bare, judged(), ())
    known = np.isfinite(bare.truth["RBE"])
    scores = np.abs(bare.predicted["zr_table"]["RBE"][known] / bare.truth["RBE"][known] - 1) / 0.01
    own = told.sigmas["zr_table"]
    assert own.n == 90
    assert own.rms == pytest.approx(np.sqrt((scores**2).mean()), rel=1e-9)
    assert own.share_within[1][0] == pytest.approx((scores <= 1).mean())


def no_floors(table):
    rows = [replace(each, summary=replace(each.summary, floor=float("nan"))) for each in table.rows]
    return replace(table, rows=tuple(rows))


def test_the_noise_of_spectra_comes_from_the_halves_by_region(found):
    told = appraise(found, judged(), ())
    own = told.sigmas["zr_table"]
    known, scores = np.isfinite(found.truth["RBE"]), []
    error = found.predicted["zr_table"]["RBE"] / found.truth["RBE"] - 1
    for name, mask in found.regions.items():
        if (mask & known).any():
            scores.append(error[mask & known] / (found.table.row(SURROGATE, "RBE", name).summary.floor / 100))
    assert own.rms == pytest.approx(np.sqrt((np.concatenate(scores) ** 2).mean()), rel=1e-9)


def test_without_noise_of_the_truth_nothing_is_said_in_sigmas(tmp_path):
    exact = judge(tmp_path, high=replace(HIGH, halves=(), halves_dose=()))
    assert appraise(exact, judged(), ()).sigmas == {}


@pytest.mark.parametrize(("half_width", "share"), [(1e6, 1.0), (1e-9, 0.0)])
def test_intervals_cover_all_when_they_are_endless_and_nothing_when_they_are_none(found, half_width, share):
    curves = replace(found.curves, half_width=np.full(len(found.curves.effect), half_width))
    told = appraise(replace(found, curves=curves, table=no_floors(found.table)), judged(), ())
    assert {each.covered for each in told.coverage} == {share}
    assert told.coverage[0].voxels == np.isfinite(found.truth["RBE"]).sum()
    assert {each.region for each in told.coverage} >= {"all", "target", "penumbra"}
    asked = [limit("coverage", 85, key="at_least")]
    outcome = appraise(replace(found, curves=curves, table=no_floors(found.table)), judged(), asked)
    assert outcome.findings[0].outcome == ("met" if share else "not met")
    assert outcome.unmet is (share == 0)


def test_coverage_is_the_share_of_relative_errors_within_the_relative_half_width(found):
    """Of the photon curve: d ln D / d ln E = (alpha_x D + beta_x D^2) / (alpha_x D + 2 beta_x D^2)."""
    known = np.isfinite(found.truth["RBE"])
    RBE = found.predicted[SURROGATE]["RBE"][known]
    photon = 2.0 * RBE
    linear, quadratic = LINE.alpha_x * photon, LINE.beta_x * photon**2
    slope = (linear + quadratic) / (linear + 2 * quadratic)
    error = np.abs(RBE / found.truth["RBE"][known] - 1)
    middle = float(np.median(error / slope)) * (1 + 1e-4)  # about half of the voxels are within
    curves = replace(found.curves, half_width=np.full(len(found.curves.effect), middle))
    (whole, *_) = appraise(replace(found, curves=curves, table=no_floors(found.table)), judged(), ()).coverage
    assert whole.observed == whole.covered == pytest.approx((error <= slope * middle).mean())
    assert 0.45 < whole.observed < 0.55


def test_limits_are_on_the_surrogate_and_with_drawn_voxels_on_the_volume(found):
    bias = row(appraise(found, judged(), ()).errors, SURROGATE).bias_percent
    told = appraise(found, judged(), [limit("bias_percent", abs(bias) / 2)])
    assert (told.findings[0].outcome, told.findings[0].measured.value) == ("not met", bias)
    assert "1 of 1 acceptance limits" in told.verdict[0]
    part = appraise(sampled(found, 30), judged(), [limit("bias_percent", 50.0), limit("rms_percent", 1e-6)])
    own = part.volume_errors[SURROGATE]
    assert [each.measured.low for each in part.findings] == [own.mean_low, own.rms_low]
    assert [each.outcome for each in part.findings] == ["met", "not met"]


def test_a_structure_called_all_does_not_stand_for_all_voxels(found):
    asked = [limit("rms_percent", 1.0), limit("rms_percent", 1.0, "D_RBE")]
    plain_n = [each.measured.n for each in appraise(found, judged(), asked).findings]
    told = appraise(found, judged(structures={"all": BOX, "target": BOX}), asked)
    assert [each.measured.n for each in told.findings] == plain_n
    assert row(told.errors, SURROGATE, "structure", "all (structure)").n == BOX.sum()


def test_problems_of_structures_and_of_the_input_are_kept(found):
    dose = LOW.dose.copy()
    dose[4, 4, 3:5] = np.nan
    volumes = VolumeSet(LOW.grid, {"dose_to_water": Volume(LOW.grid, dose, quantity("dose_to_water"))})
    before = Problem("structure_outside_grid", "structure 'Far'", "it lies elsewhere")
    empty = {"nothing": np.zeros(SHAPE, np.float32)}
    told = appraise(found, judged(low=replace(LOW, volumes=volumes), structures=empty, problems=(before,)), ())
    kinds = [(problem.kind, problem.where) for problem in told.problems]
    assert kinds[:2] == [
        ("structure_outside_grid", "structure 'Far'"),
        ("nan_in_map", "dose of the input, 2 voxels"),
    ]
    assert ("empty_structure", "structure 'nothing'") in kinds
    assert len(set(told.problems)) == len(told.problems)
    assert "first (4, 4, 3)" in told.problems[1].sentence
    assert unknown_dose(LOW) == ()


def test_a_structure_without_a_judged_voxel_is_named(found):
    part, corner = sampled(found, 20), np.zeros(SHAPE, np.float32)
    i, j, k = np.argwhere(found.curves.mask & np.isnan(part.truth["RBE"]))[0]
    corner[i, j, k] = 1
    told = appraise(part, judged(structures={"corner": corner, "box": np.ones(SHAPE, np.float32)}), ())
    assert [note.split(" holds")[0] for note in told.notes[1:]] == ["structure 'corner'"]  # chance, and no problem
    assert "nothing_compared" not in {problem.kind for problem in told.problems}
    assert row(told.errors, SURROGATE, "structure", "box").n == 20
    one = appraise(sampled(found, 2), judged(), ())  # the target of the field was not asked for by anybody
    assert "nothing_compared" not in {problem.kind for problem in one.problems}


def test_without_absolute_doses_only_their_shapes_are_compared(tmp_path):
    low, high = make_field(seed=1, tracks=300, files=("low",)), make_field(seed=2, tracks=9000, files=("high",))
    validation = judge(tmp_path, low, high)
    told = appraise(validation, judged(low, high, structures={"box": BOX}), ())
    assert list(told.comparisons) == ["dose_to_water"]
    comparison = told.comparisons["dose_to_water"]
    assert comparison.reference.volume.quantity.unit == "of maximum"
    assert comparison.reference.volume.values.max() == pytest.approx(1)
    assert "5 % of its largest value, 1 of maximum" in comparison.notes[0]
    d, r = (field.dose.astype(float) / field.dose.astype(float).sum() for field in (low, high))
    inside = (BOX > 0) & comparison.evaluated
    own = row(comparison.errors, INPUT_DOSE, "structure", "box")
    assert own.bias_percent == pytest.approx(100 * (d / r - 1)[inside].mean(), abs=2e-4)
    assert own.bias == pytest.approx(((d - r)[inside] / r.max()).mean(), abs=1e-6)
    scaled = Volume(low.grid, 7 * low.dose, quantity("dose_to_water"))
    other = replace(low, volumes=VolumeSet(low.grid, {"dose_to_water": scaled}))
    again = appraise(validation, judged(other, high, structures={"box": BOX}), ()).comparisons["dose_to_water"]
    assert row(again.errors, INPUT_DOSE).rms_percent == pytest.approx(
        row(comparison.errors, INPUT_DOSE).rms_percent, rel=1e-4
    )


def test_a_reference_of_another_prescription_is_refused(found):
    with pytest.raises(PrescriptionError, match="prescribed 3 Gy, but 1 x 2 Gy is 2 Gy"):
        appraise(found, judged(high=prescribed(make_field(seed=2, tracks=9000), 3.0)), ())
    with pytest.raises(PrescriptionError, match="2 x 2 Gy is 4 Gy"):
        appraise(found, judged(fractions=2), ())


def test_without_a_reference_the_target_of_the_field_has_histograms(tmp_path):
    alone = judge(tmp_path, high=None)
    told = appraise(alone, judged(high=None), ())
    assert told.comparisons == {}
    target = regions(LOW.dose, 2, 1, LOW.grid.spacing_mm)["target"]
    by_name = {(each.quantity, each.method): each for each in told.histograms}
    assert {each.structure for each in told.histograms} == {TARGET}
    assert set(by_name) == {("dose_to_water", "input"), ("D_RBE", SURROGATE)}
    dose = by_name["dose_to_water", "input"]
    assert dose.n_voxels == target.sum()
    assert dose.statistics["mean"] == pytest.approx(LOW.dose[target].astype(float).mean(), rel=1e-6)
    assert dose.statistics["V95"] == pytest.approx(100 * (LOW.dose[target] >= np.float32(1.9)).mean())
    loose = replace(LOW, prescription=None)
    (relative,) = appraise(alone, judged(loose, None), ()).histograms
    assert (relative.unit, relative.statistics["max"]) == ("of maximum", 1.0)


def test_it_is_plain_data_with_all_definitions(found):
    told = appraise(found, judged(structures={"box": BOX}), [limit("p95_percent", 5.0)]).to_json()
    text = json.dumps(plain(told), allow_nan=False)
    assert json.loads(text)["findings"][0]["limit"]["source"] == "here"
    assert set(told["errors"][0]) - {"method", "kind", "group"} <= set(told["error_keys"])
    assert {each["schema"] for each in told["comparisons"].values()} == {"surrogate3d.comparison/1"}
