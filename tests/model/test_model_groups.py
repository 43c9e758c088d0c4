"""The network's input, whatever the beam's direction."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from synthetic import AXES, TABLE, make_field, prescribed, reoriented

from surrogate3d.errors import ValueRangeError
from surrogate3d.grid import Beam, Volume, VolumeSet, quantity
from surrogate3d.grid.combine import combine
from surrogate3d.model.groups import (
    BAND_EDGES_MEV_U,
    BANDS,
    field_inputs,
    group_inputs,
    input_names,
    species_sums,
    turn_back,
    turn_downstream,
)
from surrogate3d.physics.let import bin_dose
from surrogate3d.physics.mixing import fluence_accumulators, mono_table, zr_table

BEAMS = tuple(itertools.product((0, 1, 2), (-1, 1)))
SAME_LATERAL_ORDER = ((0, 1, 2), (0, 2, 1), (2, 0, 1))


@pytest.mark.parametrize("beam", BEAMS)
def test_turning_there_and_back_is_no_change(beam):
    values = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    turned = turn_downstream(values, *beam)
    assert turned.shape[-1] == values.shape[1 + beam[0]]
    np.testing.assert_array_equal(turn_back(turned, *beam), values)
    np.testing.assert_array_equal(turn_back(turned[0], *beam), values[0])


@pytest.mark.parametrize("beam", BEAMS)
def test_depth_counts_along_the_last_axis_from_where_the_beam_enters(beam):
    axis, sign = beam
    index = np.indices((3, 4, 5))[axis]
    depth = index if sign > 0 else index.max() - index
    turned = turn_downstream(depth, *beam)
    np.testing.assert_array_equal(turned, np.broadcast_to(np.arange(turned.shape[-1]), turned.shape))


@pytest.mark.parametrize("permutation", SAME_LATERAL_ORDER)
@pytest.mark.parametrize("sign", [-1, 1])
def test_inputs_do_not_depend_on_how_the_plan_lies_in_its_grid(permutation, sign):
    field = make_field(seed=3)
    turned, _ = reoriented(field, permutation, sign)
    np.testing.assert_array_equal(field_inputs(turned, (TABLE,)), field_inputs(field, (TABLE,)))


def test_inputs_do_not_depend_on_the_prescription():
    field = make_field(seed=3)
    scaled = field_inputs(prescribed(field, 2.0), (TABLE,))
    np.testing.assert_allclose(scaled, field_inputs(field, (TABLE,)), rtol=1e-5)


def test_inputs_are_dose_tracks_and_what_the_mixing_rule_needs():
    field = make_field(seed=3)
    tables = (TABLE, mono_table("V79"))
    inputs = field_inputs(field, tables).astype(float)
    assert input_names(["HSG", "V79"]) == (
        *("dose", "tracks"),
        *("dose_alpha:HSG", "dose_alpha:V79", "dose_sqrt_beta:HSG", "dose_sqrt_beta:V79"),
    )
    assert inputs.shape == (2, len(BANDS), 6, *field.grid.shape)
    dose = bin_dose(AXES, field.spectra.fluence).sum(axis=1)
    np.testing.assert_allclose(inputs[:, :, 0].sum(axis=1), dose / dose.sum(axis=0).max(), rtol=1e-5)
    np.testing.assert_allclose(inputs[:, :, 1].sum(axis=(0, 1)), field.tracks, rtol=1e-5)
    whole = inputs.sum(axis=(0, 1))
    for n, table in enumerate(tables):
        alpha, beta = zr_table(AXES, field.spectra.fluence, table)
        np.testing.assert_allclose(whole[2 + n] / whole[0], alpha, rtol=1e-5)
        np.testing.assert_allclose((whole[4 + n] / whole[0]) ** 2, beta, rtol=1e-5)


def test_bands_equal_their_slow_twin_bin_by_bin():
    """Every bin is added to the band in which its energy lies."""
    field = make_field(seed=3)
    assert BAND_EDGES_MEV_U == (3.0, 10.0, 30.0)
    dose, (alpha, beta) = bin_dose(AXES, field.spectra.fluence), TABLE.at(AXES)
    largest = dose.sum(axis=(0, 1)).max()
    expected = np.zeros((2, len(BANDS), 4, *field.grid.shape))
    for s in range(2):
        for b in range(AXES.n_bins):
            energy, d = AXES.energy_mev_u[s, b], dose[s, b] / largest
            band = sum(energy >= edge for edge in (3.0, 10.0, 30.0))
            tracks = field.spectra.fluence[s, b] * field.grid.face_area_mm2(2)
            expected[s, band] += np.stack([d, tracks, d * alpha[s, b], d * np.sqrt(beta[s, b])])
    np.testing.assert_allclose(field_inputs(field, (TABLE,)), expected, rtol=1e-5, atol=1e-12)
    assert all(expected[:, n].any() for n in range(len(BANDS)))


def test_bands_sum_to_the_accumulators_of_the_species():
    field = make_field(seed=3)
    inputs = field_inputs(field, (mono_table("V79"), TABLE))
    expected = fluence_accumulators(AXES, field.spectra.fluence, TABLE)
    expected /= expected[:, 0].sum(axis=0).max()
    np.testing.assert_allclose(species_sums(inputs, 1), expected, rtol=1e-5, atol=1e-12)
    assert not np.allclose(species_sums(inputs)[:, 1:], expected[:, 1:], rtol=1e-2)


def test_a_field_without_fluence_is_refused():
    field = make_field()
    with pytest.raises(ValueRangeError, match="no fluence in any voxel"):
        group_inputs(AXES, 0 * field.spectra.fluence, field.grid, 2, 1, (TABLE,))


def test_the_largest_total_dose_is_one():
    assert field_inputs(make_field(seed=1), (TABLE,))[:, :, 0].sum(axis=(0, 1)).max() == pytest.approx(1.0, rel=1e-6)


def test_tracks_of_several_beams_are_those_that_were_simulated():
    """A weight makes more dose of a track, and no more tracks; the rest of the input is that of the summed spectra."""
    one, two = make_field(seed=1, files=("1",)), make_field(seed=2, files=("2",))
    whole = combine([one, two], [1.0, 7.0], names=("a", "b"))
    inputs = field_inputs(whole, (TABLE,)).astype(float)
    np.testing.assert_allclose(inputs[:, :, 1].sum(axis=(0, 1)), one.tracks + two.tracks, rtol=1e-5)
    naive = group_inputs(AXES, whole.spectra.fluence, whole.grid, 2, 1, (TABLE,)).astype(float)
    np.testing.assert_allclose(naive[:, :, 1].sum(axis=(0, 1)), one.tracks + 7 * two.tracks, rtol=1e-5)
    kept = [0, *range(2, inputs.shape[2])]
    np.testing.assert_array_equal(inputs[:, :, kept], naive[:, :, kept])
    hit = naive[:, :, 1].sum(axis=(0, 1)) > 0
    shares = [part[:, :, 1][..., hit] / part[:, :, 1].sum(axis=(0, 1))[hit] for part in (inputs, naive)]
    np.testing.assert_allclose(*shares, rtol=1e-5)
    assert (inputs[:, :, 1][..., ~hit] == 0).all()


@pytest.mark.parametrize("beam", [(0, 1), (1, -1), (2, -1)])
def test_tracks_of_several_beams_turn_with_the_field(beam):
    axis, sign = beam
    permutation = tuple(np.roll((0, 1, 2), axis + 1))
    fields = [reoriented(make_field(seed=n, files=(str(n),)), permutation, sign)[0] for n in (1, 2)]
    assert (fields[0].beam_axis, fields[0].beam_sign) == beam
    whole = combine(fields, [1.0, 3.0], names=("a", "b"))
    expected = turn_downstream(fields[0].tracks + fields[1].tracks, *beam)
    np.testing.assert_allclose(field_inputs(whole, (TABLE,))[:, :, 1].sum(axis=(0, 1)), expected, rtol=1e-5)


def test_tracks_of_a_single_beam_are_counted_from_its_fluence():
    """Also where the store has a volume of tracks: it is the same number, made at conversion."""
    field = make_field(seed=3)
    other = Volume(field.grid, 2 * field.tracks, quantity("tracks"))
    named = replace(field, beams=(Beam(name="a"),), volumes=VolumeSet(field.grid, {**field.volumes, "tracks": other}))
    np.testing.assert_array_equal(field_inputs(named, (TABLE,)), field_inputs(field, (TABLE,)))
