"""Survival curves of a whole field."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic import AXES, LINE, TABLE, make_field, make_surrogate, prescribed, random_network, reoriented

from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.errors import BundleError, UnknownNameError, ValueRangeError
from surrogate3d.grid import Beam, SpectrumAxes, Volume, VolumeSet, quantity
from surrogate3d.inference import curves
from surrogate3d.inference.curves import predict_curves
from surrogate3d.model.channels import channel_names
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.let import bin_dose
from surrogate3d.physics.mixing import mix, mono_table, zr_table
from surrogate3d.physics.pooling import pool_grouped

FIELD = make_field(seed=5)
D = np.array(DOSE_LADDER)
DIRECTIONS = [(p, s) for p in ((0, 1, 2), (0, 2, 1), (2, 0, 1)) for s in (-1, 1)]


@pytest.fixture(scope="module")
def surrogate():
    return make_surrogate(FIELD)


@pytest.fixture(scope="module")
def found(surrogate):
    return predict_curves(FIELD, surrogate, LINE)


def with_dose(field, dose):
    return replace(
        field, volumes=VolumeSet(field.grid, {"dose_to_water": Volume(field.grid, dose, quantity("dose_to_water"))})
    )


def voxel_alone(seed, n_lines=1):
    """A network that answers by the mixing rule of the voxel alone."""
    network = random_network(seed, n_lines, corrected=False)
    with torch.no_grad():
        network.weights.weight.zero_()
        network.weights.bias.fill_(-60.0)
        network.weights.bias[37] = 60.0  # the middle of 5 x 5 x 3
    return network


def test_a_network_of_the_voxel_alone_gives_the_mixing_rule_on_the_grid():
    found = predict_curves(FIELD, make_surrogate(FIELD, (voxel_alone(1),)), LINE)
    alpha, beta = zr_table(AXES, FIELD.spectra.fluence, TABLE)
    expected = alpha[found.mask, None] * D + beta[found.mask, None] * D**2
    np.testing.assert_allclose(found.effect, expected, rtol=2e-5)
    np.testing.assert_allclose(found.volume(found.effect[:, 3])[found.mask], expected[:, 3], rtol=2e-5)
    assert np.isnan(found.volume(found.effect[:, 3])[~found.mask]).all()


@pytest.mark.parametrize(("permutation", "sign"), DIRECTIONS)
def test_the_answer_does_not_depend_on_how_the_plan_lies_in_its_grid(surrogate, found, permutation, sign):
    """A network of random weights tells up from down and left from right, so any slip of the axes would show."""
    turned_field, turn = reoriented(FIELD, permutation, sign)
    turned = predict_curves(turned_field, surrogate, LINE)
    np.testing.assert_array_equal(turned.mask, turn(found.mask))
    for n in range(len(D)):
        np.testing.assert_allclose(
            turned.volume(turned.effect[:, n]), turn(found.volume(found.effect[:, n])), rtol=1e-5
        )
    np.testing.assert_allclose(turned.volume(turned.relative_std), turn(found.volume(found.relative_std)), rtol=1e-4)
    np.testing.assert_array_equal(turned.out_of_domain, turn(found.out_of_domain))


def test_the_network_does_tell_directions_apart(surrogate, found):
    """Else the test above would show nothing: a field that claims another direction is answered otherwise."""
    wrong = predict_curves(replace(FIELD, beam_sign=-1), surrogate, LINE)
    assert np.abs(wrong.effect / found.effect - 1).max() > 1e-3


def test_the_curve_does_not_depend_on_the_prescription(surrogate, found):
    scaled = predict_curves(prescribed(FIELD, 2.0), surrogate, LINE)
    np.testing.assert_allclose(scaled.effect, found.effect, rtol=1e-4)


def test_it_answers_where_there_is_dose_and_a_spectrum(surrogate):
    dose = FIELD.dose.copy()
    dose[4, 4, 5] = np.nan
    dose[4, 4, 6] = 0.049 * np.nanmax(dose)
    fluence = FIELD.spectra.fluence.copy()
    fluence[:, :, 4, 4, 7] = 0.0
    holed = replace(with_dose(FIELD, dose), spectra=replace(FIELD.spectra, fluence=fluence))
    mask = predict_curves(holed, surrogate, LINE).mask
    assert mask[4, 4, 4]
    assert not mask[4, 4, 5:8].any()
    expected = (dose >= 0.05 * np.nanmax(dose)) & (fluence.sum(axis=(0, 1)) > 0)
    np.testing.assert_array_equal(mask, expected)


def test_a_spectrum_that_cannot_explain_its_dose_gets_no_answer(surrogate, found):
    i, j, k = np.argwhere(found.mask)[3]
    fault = np.zeros(FIELD.grid.shape)
    fault[i, j, k] = 3
    volumes = {**FIELD.volumes, "spectrum_fault": Volume(FIELD.grid, fault, quantity("spectrum_fault"))}
    masked = predict_curves(replace(FIELD, volumes=VolumeSet(FIELD.grid, volumes)), surrogate, LINE)
    assert found.mask.sum() - masked.mask.sum() == 1
    assert not masked.mask[i, j, k]
    kept = masked.mask[found.mask]
    np.testing.assert_allclose(masked.effect, found.effect[kept], rtol=1e-6)


def test_portions_do_not_show(surrogate, found, monkeypatch):
    monkeypatch.setattr(curves, "_PORTION", 37)
    np.testing.assert_allclose(predict_curves(FIELD, surrogate, LINE).effect, found.effect, rtol=1e-5)


def test_the_ensemble_is_the_mean_and_its_spread_is_added_to_the_deviation(surrogate, found):
    each = [
        predict_curves(FIELD, replace(surrogate, networks=(n,), card=replace(surrogate.card, std_scale=(1.0,))), LINE)
        for n in surrogate.networks
    ]
    effects = np.stack([e.effect for e in each])
    np.testing.assert_allclose(found.effect, effects.mean(axis=0), rtol=1e-6)
    own = np.mean([e.relative_std**2 for e in each], axis=0)
    first, second = effects / effects.mean(axis=0)
    between = ((first - second) ** 2 / 2).mean(axis=1)  # the unbiased variance of two is half their squared difference
    np.testing.assert_allclose(found.relative_std**2, own + between, rtol=1e-5)


def test_the_calibration_scales_the_deviation(surrogate):
    one = replace(surrogate, networks=surrogate.networks[:1], card=replace(surrogate.card, std_scale=(1.0,)))
    three = replace(one, card=replace(one.card, std_scale=(3.0,)))
    first, second = (predict_curves(FIELD, s, LINE).relative_std for s in (one, three))
    np.testing.assert_allclose(second, 3 * first, rtol=1e-6)


def test_each_cell_line_gets_its_own_answer():
    lines = (LINE, cell_line("V79"))
    tables = (TABLE, mono_table("V79"))
    pairs = tuple((line.name, line.alpha_x, line.beta_x) for line in lines)
    both = make_surrogate(FIELD, (voxel_alone(1, n_lines=2),), tables=tables, cell_lines=pairs)
    for line, table in zip(lines, tables, strict=True):
        alpha, _ = zr_table(AXES, FIELD.spectra.fluence, table)
        found = predict_curves(FIELD, both, line)
        slope = found.effect[:, 0] / D[0] - (found.effect[:, 1] / D[1] - found.effect[:, 0] / D[0])
        np.testing.assert_allclose(slope, alpha[found.mask], rtol=1e-3)  # 0.25 and 0.5 Gy extrapolated to none


def test_outside_its_domain_the_answer_is_that_of_grouped_pooling(surrogate, found):
    """The twin pools every bin of the spectra, then mixes; the deviation covers what separates the two answers."""
    n = channel_names().index("log_dose_relative")
    high = tuple(-1.4 if m == n else 1e6 for m in range(len(channel_names())))
    confined = predict_curves(FIELD, replace(surrogate, card=replace(surrogate.card, channel_high=high)), LINE)
    outside = confined.out_of_domain[confined.mask]
    assert 20 < outside.sum() < len(outside) - 20
    alpha, beta = mix(pool_grouped(bin_dose(AXES, FIELD.spectra.fluence), AXES, 2), *TABLE.at(AXES))
    pooled = (alpha[..., None] * D + beta[..., None] * D**2)[confined.mask]
    np.testing.assert_allclose(confined.effect[outside], pooled[outside], rtol=1e-5)
    np.testing.assert_array_equal(confined.effect[~outside], found.effect[~outside])
    np.testing.assert_array_equal(confined.relative_std[~outside], found.relative_std[~outside])
    apart = np.abs(found.effect / pooled - 1).max(axis=1)
    np.testing.assert_allclose(
        confined.relative_std[outside], np.maximum(found.relative_std, apart)[outside], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(("permutation", "sign"), [((0, 2, 1), -1), ((2, 0, 1), 1)])
def test_so_it_is_whatever_the_direction(surrogate, permutation, sign):
    strange = replace(surrogate, card=replace(surrogate.card, primaries=("C",)))
    turned_field, turn = reoriented(FIELD, permutation, sign)
    straight, turned = (predict_curves(f, strange, LINE) for f in (FIELD, turned_field))
    np.testing.assert_array_equal(turned.out_of_domain, turned.mask)
    for n in (0, 5):
        expected = turn(straight.volume(straight.effect[:, n]))
        np.testing.assert_allclose(turned.volume(turned.effect[:, n]), expected, rtol=1e-5)


def test_where_beams_cross_the_table_answers_for_each_voxel_alone(surrogate, found):
    beams = (Beam(name="a", direction=(0.0, 0.0, 1.0)), Beam(name="b", direction=(1.0, 0.0, 0.0)))
    crossing = predict_curves(replace(FIELD, beams=beams), surrogate, LINE)
    alpha, beta = zr_table(AXES, FIELD.spectra.fluence, TABLE)
    expected = (alpha[..., None] * D + beta[..., None] * D**2)[found.mask]
    np.testing.assert_allclose(crossing.effect, expected, rtol=2e-5)
    np.testing.assert_array_equal(crossing.out_of_domain, crossing.mask)
    assert crossing.strangest == "beams from several directions"
    apart = np.abs(found.effect / expected - 1).max(axis=1)
    np.testing.assert_allclose(crossing.relative_std, np.maximum(found.relative_std, apart), rtol=1e-4, atol=1e-5)


def test_opposing_beams_share_an_axis_and_do_not_cross(surrogate, found):
    beams = (Beam(name="a", direction=(0.0, 0.0, 1.0)), Beam(name="b", direction=(0.0, 0.0, -1.0)))
    opposing = predict_curves(replace(FIELD, beams=beams), surrogate, LINE)
    np.testing.assert_array_equal(opposing.effect, found.effect)
    assert opposing.strangest == ""


def test_what_cannot_be_answered_is_refused(surrogate):
    with pytest.raises(UnknownNameError, match="V79"):
        predict_curves(FIELD, surrogate, cell_line("V79"))
    with pytest.raises(ValueRangeError, match="enough dose"):
        predict_curves(FIELD, surrogate, LINE, min_dose_fraction=1.5)
    narrow = make_field(axes=SpectrumAxes(("H", "He"), AXES.edges_mev_u * 1.01))
    with pytest.raises(BundleError, match="energy bins"):
        predict_curves(narrow, surrogate, LINE)
