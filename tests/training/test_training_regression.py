"""Training of the network without spectra."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.errors import ConfigError, ValueRangeError
from surrogate3d.model.regression import answer
from surrogate3d.physics.linear_quadratic import effect
from surrogate3d.training.dose_examples import Rows
from surrogate3d.training.regression import LetOnlyConfig, fit_let_only

LINES = np.array([[0.313, 0.0615], [0.184, 0.020], [0.25, 0.05], [0.4, 0.1], [0.12, 0.04], [0.3, 0.03]])
QUICK = LetOnlyConfig(steps=300, labels_per_step=256, width=16)


def law(channels, photon):
    """Alpha and sqrt(beta) of a made-up biology: the second channel matters beside LET."""
    LET = np.exp(channels[:, 0].astype(float))
    gain = 1 + 0.02 * LET * photon[:, 1] / photon[:, 0]
    return photon[:, 0] * gain * np.exp(0.05 * np.tanh(channels[:, 1])), np.sqrt(photon[:, 1]) * (1 + 0.002 * LET)


def make_rows(n=3000, seed=0, noise=0.0):
    rng = np.random.default_rng(seed)
    channels = rng.standard_normal((n, 4)).astype(np.float32)
    channels[:, 0] = rng.uniform(0, 2, n)
    photon = LINES[rng.integers(len(LINES), size=n)]
    alpha, root = law(channels, photon)
    value = effect(np.array(DOSE_LADDER), alpha[:, None], root[:, None] ** 2)
    value *= np.exp(noise * rng.standard_normal((n, 1)))
    block = rng.integers(60, size=n)
    return Rows(channels, block, np.arange(n), photon, value.astype(np.float32), np.zeros_like(value, dtype=np.float32))


def error(fitted, rows):
    found = answer(fitted.network, fitted.prior, rows.channels, rows.photon)
    alpha, root = law(rows.channels, rows.photon)
    return np.concatenate([found.alpha / alpha - 1, found.sqrt_beta / root - 1])


def test_it_learns_what_LET_alone_cannot_say():
    fitted = fit_let_only(make_rows(), DOSE_LADDER, QUICK, 0)
    fresh = make_rows(seed=9)
    prior = fitted.prior(np.exp(fresh.channels[:, 0].astype(float)), fresh.photon)[0]
    alone = fresh.photon[:, 0] * np.exp(prior) / law(fresh.channels, fresh.photon)[0] - 1
    assert np.sqrt(np.mean(alone**2)) > 0.02
    assert np.sqrt(np.mean(error(fitted, fresh) ** 2)) < 0.01


def test_equal_seeds_give_equal_weights_and_others_do_not():
    first, second, other = (fit_let_only(make_rows(), DOSE_LADDER, replace(QUICK, steps=40), s) for s in (1, 1, 2))
    states = [fitted.network.state_dict() for fitted in (first, second, other)]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["body.0.weight"], states[2]["body.0.weight"])


def test_the_predicted_deviation_is_that_of_the_labels():
    """Labels that scatter by 3 % cannot be predicted better, and the network says so."""
    fitted = fit_let_only(make_rows(noise=0.03), DOSE_LADDER, replace(QUICK, steps=900, patience=99), 0)
    assert fitted.held_rms == pytest.approx(0.03, rel=0.15)
    assert fitted.held_ratio == pytest.approx(1.0, abs=0.25)  # it starts at 3


def test_known_errors_of_the_labels_are_not_predicted():
    rows = make_rows(noise=0.03)
    fitted = fit_let_only(replace(rows, effect_se=0.03 * rows.effect), DOSE_LADDER, QUICK, 0)
    found = answer(fitted.network, fitted.prior, rows.channels, rows.photon)
    assert np.exp(np.median(found.log_std)) < 0.015


def test_training_stops_when_held_voxels_gain_nothing():
    rows = make_rows()
    noise = np.exp(0.2 * np.random.default_rng(1).standard_normal(rows.effect.shape)).astype(np.float32)
    fitted = fit_let_only(
        replace(rows, effect=rows.effect * noise), DOSE_LADDER, replace(QUICK, steps=5000, patience=1), 0
    )
    assert fitted.steps < 5000


def test_progress_is_told_after_every_step():
    told = []
    fit_let_only(make_rows(500), DOSE_LADDER, replace(QUICK, steps=7), 0, lambda *said: told.append(said))
    assert told == [(n, 7) for n in range(1, 8)]


def test_the_range_of_the_channels_is_that_of_all_but_few_of_the_voxels_trained_on():
    rows = make_rows()
    rows.channels[0, 2] = 1e3  # one voxel that nothing can be learnt from
    fitted = fit_let_only(rows, DOSE_LADDER, replace(QUICK, steps=1), 0)
    z = (rows.channels - rows.channels.mean(axis=0)) / rows.channels.std(axis=0)
    assert (np.array(fitted.channel_low) >= z.min(axis=0) - 1e-3).all()
    assert (np.array(fitted.channel_high) <= z.max(axis=0) + 1e-3).all()
    np.testing.assert_allclose(fitted.channel_high, np.quantile(z, 0.9995, axis=0), atol=0.5)


def test_too_few_voxels_are_refused():
    rows = make_rows(50)
    with pytest.raises(ValueRangeError, match="too few to hold some back"):
        fit_let_only(replace(rows, block=np.zeros(50, dtype=int)), DOSE_LADDER, QUICK, 0)


@pytest.mark.parametrize(
    "wrong",
    [{"steps": 0}, {"crossings": -1}, {"copies": -1}, {"held_fraction": 0.0}, {"learning_rate": 0.0}, {"width": 0}],
)
def test_settings_without_meaning_are_refused(wrong):
    with pytest.raises(ConfigError):
        LetOnlyConfig(**wrong)
