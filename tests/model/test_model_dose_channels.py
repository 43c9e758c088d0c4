"""Channels of dose and LET: they add as radiation adds, and keep their meaning on other grids."""

from dataclasses import replace

import numpy as np
import pytest
from dose_plans import field_with_LET, reduced
from scipy.ndimage import gaussian_filter

from surrogate3d.errors import GridMismatchError, QuantityError
from surrogate3d.grid import Beam, Grid, Volume, VolumeSet, quantity
from surrogate3d.model.dose_channels import CHANNEL_SETS, ChannelSet, DoseLET, beam_axis, channels

FIELD = field_with_LET(seed=5)
SPACING = (2.0, 2.5, 3.0)


def maps(seed, shape=(7, 8, 9)):
    rng = np.random.default_rng(seed)
    return tuple(rng.uniform(low, high, shape) for low, high in ((0.5, 2.0), (1.0, 9.0), (0.5, 4.0)))


@pytest.mark.parametrize("channel_set", CHANNEL_SETS)
def test_every_channel_has_a_name_and_a_finite_value(channel_set):
    found = channels(DoseLET.of(*maps(1), SPACING), channel_set)
    assert found.shape == (len(channel_set.channels), 7, 8, 9)
    assert len(set(channel_set.channels)) == len(channel_set.channels)
    assert np.isfinite(found).all()


def test_the_first_channel_is_the_logarithm_of_the_voxels_own_LET_d():
    dose, LET, track = maps(2)
    found = channels(DoseLET.of(dose, LET, track, SPACING), ChannelSet(True, True))
    np.testing.assert_allclose(np.exp(found[0]), LET, rtol=1e-5)
    np.testing.assert_allclose(np.exp(found[1]), track, rtol=1e-5)


def test_LET_d_is_pooled_by_dose_and_LET_t_by_fluence():
    """Written out: sum w D L / sum w D, and sum w D / sum w D / L."""
    dose, LET, track = maps(3)
    channel_set = ChannelSet(True, True)
    found = channels(DoseLET.of(dose, LET, track, SPACING), channel_set)
    at = (3, 4, 5)
    offset = [(np.arange(n) - c) * size for n, c, size in zip(dose.shape, at, SPACING, strict=True)]
    w = [np.exp(-0.5 * (o / s) ** 2) * (np.abs(o) <= size * int(3 * s / size + 0.5))
         for o, s, size in zip(offset, (5.0, 5.0, 2.5), SPACING, strict=True)]  # fmt: skip
    weight = w[0][:, None, None] * w[1][None, :, None] * w[2][None, None]
    name = "@5,2.5mm"
    pooled = np.exp(found[channel_set.channels.index(f"log_LET_d{name}")][at])
    assert pooled == pytest.approx((weight * dose * LET).sum() / (weight * dose).sum(), rel=1e-4)
    pooled = np.exp(found[channel_set.channels.index(f"log_LET_t{name}")][at])
    assert pooled == pytest.approx((weight * dose).sum() / (weight * dose / track).sum(), rel=1e-4)


def test_two_beams_add_as_their_accumulators_do():
    """LET_d of the sum is the dose-weighted mean; LET_t the fluence-weighted one."""
    (D1, L1, T1), (D2, L2, T2) = maps(4), maps(5)
    both = DoseLET.of(D1 + D2, (D1 * L1 + D2 * L2) / (D1 + D2), (D1 + D2) / (D1 / T1 + D2 / T2), SPACING)
    parts = DoseLET.of(D1, L1, T1, SPACING), DoseLET.of(D2, L2, T2, SPACING)
    for name in ("dose", "dose_d", "dose_LET_d", "dose_t", "fluence_t"):
        np.testing.assert_allclose(getattr(both, name), sum(getattr(part, name) for part in parts))


def test_without_an_axis_turning_the_plan_turns_the_channels():
    dose, LET, _ = maps(6)
    channel_set = ChannelSet(False, False)
    straight = channels(DoseLET.of(dose, LET, None, SPACING), channel_set)
    turned = channels(
        DoseLET.of(dose.transpose(2, 0, 1)[::-1], LET.transpose(2, 0, 1)[::-1], None, (3.0, 2.0, 2.5)), channel_set
    )
    np.testing.assert_allclose(turned, straight.transpose(0, 3, 1, 2)[:, ::-1], atol=1e-4)


def test_a_slope_along_the_beam_has_its_sign_and_its_unit():
    depth = np.arange(12) * 3.0
    dose = np.broadcast_to(np.exp(0.02 * depth), (9, 9, 12))
    LET = np.broadcast_to(np.exp(0.01 * depth), (9, 9, 12))
    found = named(dose, LET)
    assert found["LET_d_slope"][4, 4, 6] == pytest.approx(0.01, rel=1e-3)
    assert found["dose_slope"][4, 4, 6] == pytest.approx(0.02, rel=0.01)  # the floor under the logarithm of the dose
    assert found["LET_d_slope_across"][4, 4, 6] == pytest.approx(0.0, abs=1e-6)


def named(dose, LET):
    channel_set = ChannelSet(False, True)
    found = channels(DoseLET.of(dose, LET, None, SPACING), channel_set)
    return dict(zip(channel_set.channels, found, strict=True))


def test_a_slope_across_the_beam_has_its_length_whichever_way_it_points():
    i, j = (np.arange(30) * size for size in SPACING[:2])
    for a, b in ((0.01, 0.0), (-0.006, 0.008)):
        LET = np.exp(a * i[:, None, None] + b * j[:, None] + np.zeros(14))
        found = named(np.ones(LET.shape), LET)
        assert found["LET_d_slope_across"][15, 15, 7] == pytest.approx(0.01, rel=1e-3)
        assert found["LET_d_slope"][15, 15, 7] == pytest.approx(0.0, abs=1e-6)


def test_roughness_is_the_local_deviation_of_the_logarithm():
    rng = np.random.default_rng(7)
    shape, noise = (30, 30, 30), 0.1
    LET = 3.0 * np.exp(noise * rng.standard_normal(shape))
    channel_set = ChannelSet(False, True)
    spacing = (0.5, 0.5, 0.5)  # small voxels: the lateral mean over 2.5 mm is free of noise
    found = channels(DoseLET.of(np.ones(shape), LET, None, spacing), channel_set)
    rough = np.exp(found[channel_set.channels.index("LET_d_roughness")][10:20, 10:20, 10:20])
    assert rough.mean() == pytest.approx(noise, rel=0.05)


def test_voxels_without_LET_do_not_enter_the_means():
    dose, LET, _ = maps(8)
    holes = LET.copy()
    holes[2:4, 3, 4] = np.nan
    holes[5, 5, 5] = 0.0
    plan = DoseLET.of(dose, holes, None, SPACING)
    assert not plan.answerable[2, 3, 4]
    assert not plan.answerable[5, 5, 5]
    sigmas = [2.5 / SPACING[0], 2.5 / SPACING[1], 0]
    known = np.isfinite(holes) & (holes > 0)
    above, below = (
        gaussian_filter(np.where(known, v, 0), sigmas, mode="constant", truncate=3.0) for v in (dose * LET, dose)
    )
    channel_set = ChannelSet(False, True)
    found = channels(plan, channel_set)[channel_set.channels.index("log_LET_d@2.5,0mm")]
    np.testing.assert_allclose(found, np.log(above / below), rtol=1e-5)


def test_maps_of_other_shapes_are_refused():
    dose, LET, _ = maps(9)
    with pytest.raises(GridMismatchError, match="shape"):
        DoseLET.of(dose, LET[1:], None, SPACING)
    with pytest.raises(GridMismatchError, match="shape"):
        DoseLET.of(dose, LET, LET[1:], SPACING)


def test_a_field_without_LET_d_is_refused():
    with pytest.raises(QuantityError, match="no LET_d"):
        DoseLET.of_field(reduced(FIELD, names=("dose_to_water",)), (2, 1))


def test_the_axis_is_that_of_the_spectra_or_of_the_one_known_direction():
    assert beam_axis(FIELD) == (2, 1)
    assert beam_axis(reduced(FIELD)) == (2, 1)
    assert beam_axis(reduced(FIELD, direction=(-0.96, 0.28, 0.0))) == (0, -1)
    oblique = reduced(FIELD, direction=(0.0, 1.0, 0.0))
    grid = Grid(FIELD.grid.shape, FIELD.grid.spacing_mm, (0, 0, 0), ((0.0, 0, 1), (1, 0, 0), (0, 1, 0)))
    turned = {name: Volume(grid, volume.values, quantity(name)) for name, volume in oblique.volumes.items()}
    assert beam_axis(replace(oblique, grid=grid, volumes=VolumeSet(grid, turned))) == (0, 1)


@pytest.mark.parametrize(
    "directions", [(None,), ((0, 0, 1), (1, 0, 0)), ((0, 0, 1), (0, 0, -1)), ((0, 0, 1), None), ()]
)
def test_there_is_no_axis_when_beams_differ_or_are_not_known(directions):
    beams = tuple(Beam(name=str(n), direction=direction) for n, direction in enumerate(directions))
    assert beam_axis(reduced(FIELD, beams=beams)) is None
