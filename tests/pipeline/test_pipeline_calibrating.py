"""A model's word of its own error holds on plans that it never saw."""

from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from synthetic import AXES, LINE, N_DOSES, TABLE, lq_response, make_field, make_surrogate, prescribed

from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.inference.calibration import Calibration
from surrogate3d.inference.curves import predict_curves
from surrogate3d.inference.deviation import whole_answer
from surrogate3d.inference.domain import require_fit
from surrogate3d.inference.steady_regions import steady_regions
from surrogate3d.model.network import KernelNetwork, NetworkConfig
from surrogate3d.physics.linear_quadratic import effect
from surrogate3d.physics.mixing import zr_table
from surrogate3d.pipeline.calibrating import DOSE_GY, FEWEST, FEWEST_LABELS, calibrated, residual_std, thinned_field
from surrogate3d.pipeline.plan_pairs import PlanPair

SHAPE, TRACKS = (10, 9, 14), 60
EXACT = make_field(tracks=20000, shape=SHAPE)
LOW, HIGH = make_field(1, TRACKS, SHAPE), make_field(2, 20000, SHAPE)
TWO_GY = DOSE_LADDER.index(DOSE_GY)


@pytest.fixture(scope="module")
def surrogate():
    """The table on the voxel alone, and a constant deviation, too small by far: for the calibration to put right."""
    torch.manual_seed(1)
    network = KernelNetwork(NetworkConfig(4, 1, (3, 3, 1), (0, 0, 0), 1, 4, N_DOSES)).eval()
    with torch.no_grad():
        network.weights.weight.zero_()
        network.prior.fill_(-60.0)
        network.prior[:, 4 :: network.n_weights] = 60.0  # the middle of 3 x 3 x 1: noise is each voxel's own
        network.head.spread[-1].bias.fill_(-7.0)  # 0.1 %
    made = make_surrogate(HIGH, (network,))
    return replace(made, domain={**made.domain, "scales": np.array([10.0, 1.0])})  # all in the domain


def responses(scatter, n=300, se=0.0, seed=4, correction=0.0):
    """Simulated voxels that scatter about the table on the clean spectra, beside their own Monte Carlo noise."""
    alpha, beta = zr_table(AXES, HIGH.spectra.fluence, TABLE)
    rng = np.random.default_rng(seed)
    voxels = np.argwhere(HIGH.dose > 0.1 * HIGH.dose.max())
    found = []
    for v in voxels[rng.permutation(len(voxels))[:n]]:
        factor = np.exp(correction + np.hypot(scatter, se) * rng.standard_normal())
        at = tuple(map(int, v))
        found.append(lq_response(at, factor * alpha[at], factor * beta[at], relative_se=se))
    return found


def pair(simulated):
    return PlanPair("low", LOW, "high", HIGH, simulated)


def held_of(fraction, seed=3):
    return (np.random.default_rng(seed).random(SHAPE) < fraction) & (HIGH.dose > 0.05 * HIGH.dose.max())


EVERY = np.ones(SHAPE, dtype=bool)


def calibrate(surrogate, simulated, fraction=0.5, levels=()):
    return calibrated(surrogate, LINE, [pair(simulated)], [held_of(fraction)], levels, np.random.default_rng(1))


def coverage(model, scatter, seeds=(11, 12, 13, 14)):
    """Share of the true effects at 2 Gy within the intervals, on other runs of few histories."""
    plain, known = replace(model, card=replace(model.card, calibration={})), model.card.calibration
    rng, hits = np.random.default_rng(8), []
    true = effect(DOSE_GY, *zr_table(AXES, EXACT.spectra.fluence, TABLE))
    for seed in seeds:
        run = make_field(seed, TRACKS, SHAPE)
        found = predict_curves(run, plain, LINE)
        simulated = true[found.mask] * np.exp(scatter * rng.standard_normal(found.mask.sum()))
        names, tracks = steady_regions(run)[found.mask], run.tracks[found.mask]
        std, half_width = whole_answer(known, found.relative_std, tracks, names)
        half_width = 1.645 * std if half_width is None else half_width
        hits.append(np.abs(simulated / found.effect[:, TWO_GY] - 1) <= half_width)
    return float(np.concatenate(hits).mean())


def calibrated_on_several(surrogate, simulated):
    pairs = [replace(pair(simulated), low=make_field(seed, TRACKS, SHAPE)) for seed in (1, 21, 22)]
    held = [held_of(0.5, seed) for seed in range(3)]
    return calibrated(surrogate, LINE, pairs, held, (), np.random.default_rng(1))


@pytest.mark.parametrize("scatter", [0.0, 0.05])
def test_intervals_cover_on_plans_that_were_kept_aside(surrogate, scatter):
    """Nine of ten, with and without what direct simulation adds; a Gaussian before the calibration is far from it."""
    model = calibrated_on_several(surrogate, responses(scatter, n=100))
    assert coverage(model, scatter) == pytest.approx(0.9, abs=0.04)
    assert coverage(surrogate, scatter) < 0.7
    assert Calibration.from_json(model.card.calibration).level == 0.9
    assert sum(n for name, n in model.card.calibration["voxels"].items() if name != "all") > FEWEST
    assert "voxels" not in surrogate.card.calibration  # the model itself is not changed


def test_calibrating_changes_the_card_and_no_weight(surrogate):
    model = calibrate(surrogate, responses(0.0))
    assert model.networks is surrogate.networks
    assert asdict(replace(model.card, calibration={})) == asdict(surrogate.card)


@pytest.mark.parametrize(("scatter", "se"), [(0.03, 0.0), (0.03, 0.02), (0.0, 0.02)])
def test_what_direct_simulation_scatters_about_the_table_is_measured_without_its_noise(surrogate, scatter, se):
    """Of 300 voxels; the standard error of a standard deviation is 4 %, more with noise that is taken out."""
    found = residual_std(surrogate, LINE, [pair(responses(scatter, se=se))], [EVERY])[0]
    assert found == pytest.approx(scatter, rel=0.15, abs=0.008)


def test_a_bias_that_the_head_leaves_counts_as_scatter_and_other_lines_do_not(surrogate):
    biased = responses(0.0, correction=0.04)
    others = [replace(r, cell_line="V79") for r in responses(0.5)]
    assert residual_std(surrogate, LINE, [pair([*biased, *others])], [EVERY])[0] == pytest.approx(0.04, rel=0.02)
    assert residual_std(surrogate, LINE, [pair(others)], [EVERY]) == (0.0, 0)


def test_only_labels_that_were_kept_out_tell_what_the_head_leaves(surrogate):
    """Those of the training could be fitted to any accuracy: their scatter is left out."""
    held = held_of(0.5)
    learnt = [r for r in responses(0.0, n=400) if not held[r.voxel]]
    out = [r for r in responses(0.05, n=400) if held[r.voxel]]
    found, voxels = residual_std(surrogate, LINE, [pair([*learnt, *out])], [held])
    assert voxels == len(out) > 100
    assert found == pytest.approx(0.05, rel=0.2)


def test_with_few_labels_kept_out_the_table_without_its_correction_bounds_what_the_head_leaves(surrogate):
    with torch.no_grad():
        network = KernelNetwork(surrogate.networks[0].config).eval()
        network.load_state_dict(surrogate.networks[0].state_dict())
        network.head.correction[-1].bias.fill_(float(np.arctanh(0.04 / 0.15)))
    corrected, simulated = replace(surrogate, networks=(network,)), responses(0.0, correction=0.04)
    held = np.zeros(SHAPE, dtype=bool)
    for response in simulated[: FEWEST_LABELS - 1]:
        held[response.voxel] = True
    found, voxels = residual_std(corrected, LINE, [pair(simulated)], [held])
    assert voxels == FEWEST_LABELS - 1
    assert found == pytest.approx(0.04, rel=0.02)


def test_what_the_head_corrects_is_no_residual(surrogate):
    with torch.no_grad():
        network = KernelNetwork(surrogate.networks[0].config).eval()
        network.load_state_dict(surrogate.networks[0].state_dict())
        network.head.correction[-1].bias.fill_(float(np.arctanh(0.04 / 0.15)))
    corrected = replace(surrogate, networks=(network,))
    assert residual_std(corrected, LINE, [pair(responses(0.0, correction=0.04))], [EVERY])[0] < 0.002


def test_too_few_voxels_leave_the_deviation_as_it_is(surrogate):
    model = calibrate(surrogate, responses(0.03), fraction=0.02)
    assert list(model.card.calibration) == ["residual_std", "residual_voxels"]
    assert predict_curves(LOW, model, LINE).half_width is None
    plain = predict_curves(LOW, surrogate, LINE)
    wider = predict_curves(LOW, model, LINE)
    np.testing.assert_allclose(
        wider.relative_std**2 - plain.relative_std**2, model.card.calibration["residual_std"] ** 2, rtol=1e-6
    )


def test_thinned_runs_are_judged_beside_the_real_one(surrogate):
    cards = [calibrate(surrogate, responses(0.0), levels=levels).card for levels in ((), (100.0,), (1e4,))]
    voxels = [card.calibration["voxels"]["all"] for card in cards]
    assert 1.8 * voxels[0] < voxels[1] < 2.5 * voxels[0]  # the same voxels again, as far as they were hit
    assert voxels[2] == voxels[0]  # a large part of the truth itself


def test_a_thinned_field_is_the_same_plan_with_fewer_tracks(surrogate):
    for field in (HIGH, prescribed(HIGH, 2.0)):
        fewer = thinned_field(field, 0.01, np.random.default_rng(1))
        assert fewer.tracks.sum() == pytest.approx(0.01 * HIGH.tracks.sum(), rel=0.02)
        np.testing.assert_array_equal(fewer.dose, field.dose)
        assert fewer.prescription is None
        require_fit(fewer, surrogate.card, LINE)


def test_the_seed_decides(surrogate):
    first, again = (calibrate(surrogate, responses(0.03), levels=(100.0,)).card.calibration for _ in range(2))
    assert first == again
