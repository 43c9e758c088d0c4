"""Survival curves of a whole field."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic import AXES, LINE, TABLE, make_field, make_surrogate, prescribed, random_network, reoriented

from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.errors import BundleError, QuantityError, UnknownNameError, ValueRangeError
from surrogate3d.grid import Beam, SpectrumAxes, Volume, VolumeSet, quantity
from surrogate3d.grid.regions import region_names, regions
from surrogate3d.inference.calibration import Calibration
from surrogate3d.inference.curves import predict_curves
from surrogate3d.inference.domain import SEVERAL_BEAMS, UNKNOWN_BEAM
from surrogate3d.inference.spectrum_distance import field_features
from surrogate3d.inference.spectrum_domain import SpectrumDomain
from surrogate3d.model.head import CLOSED_FORM
from surrogate3d.model.network import KernelNetwork, NetworkConfig
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.let import bin_dose
from surrogate3d.physics.mixing import mix, mono_table, zr_table
from surrogate3d.physics.pooling import pool_grouped

FIELD = make_field(seed=5)
D = np.array(DOSE_LADDER)
CROSSING = (Beam(name="a", direction=(0.0, 0.0, 1.0)), Beam(name="b", direction=(1.0, 0.0, 0.0)))
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


def voxel_alone(seed, corrected=False):
    """A network that answers by the mixing rule of the voxel alone."""
    network = random_network(seed, corrected=corrected)
    with torch.no_grad():
        for part in (network.weights, network.key):
            part.weight.zero_()
        for values in network.share_factors.parameters():
            values.zero_()
        network.prior.fill_(-60.0)
        network.prior[:, network.config.n_near // 2 :: network.n_weights] = 60.0
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


def test_the_ensemble_is_the_mean_and_its_spread_is_added_to_the_deviation(surrogate, found):
    each = [predict_curves(FIELD, replace(surrogate, networks=(n,)), LINE) for n in surrogate.networks]
    effects = np.stack([e.effect for e in each])
    np.testing.assert_allclose(found.effect, effects.mean(axis=0), rtol=1e-6)
    own = np.mean([e.relative_std**2 for e in each], axis=0)
    first, second = effects / effects.mean(axis=0)
    between = ((first - second) ** 2 / 2).mean(axis=1)  # the unbiased variance of two is half their squared difference
    np.testing.assert_allclose(found.relative_std**2, own + between, rtol=1e-5)
    np.testing.assert_allclose(found.log_correction, np.mean([e.log_correction for e in each], axis=0), rtol=1e-6)


def test_what_direct_simulation_scatters_is_added_to_the_deviation(surrogate, found):
    wider = replace(surrogate, card=replace(surrogate.card, calibration={"residual_std": 0.3}))
    std = predict_curves(FIELD, wider, LINE).relative_std
    np.testing.assert_allclose(std**2, found.relative_std**2 + 0.09, rtol=1e-9)


def test_without_a_calibration_there_is_no_interval(surrogate, found):
    assert found.half_width is None
    few = replace(surrogate, card=replace(surrogate.card, calibration={"residual_std": 0.1}))
    assert predict_curves(FIELD, few, LINE).half_width is None


def test_the_calibration_sets_the_interval_by_region(surrogate, found):
    factors = {"all": (1.0, 2.5), "target": (1.0, 7.0)}
    made = Calibration((0.5, 0.9), factors, dict.fromkeys(factors, 50), dict.fromkeys(factors, 0.0))
    narrow = replace(surrogate, card=replace(surrogate.card, calibration={**made.to_json(), "residual_std": 0.0}))
    calibrated = predict_curves(FIELD, narrow, LINE)
    target = region_names(regions(FIELD.dose, 2, 1, FIELD.grid.spacing_mm))[found.mask] == "target"
    assert target.any()
    assert not target.all()
    np.testing.assert_allclose(calibrated.half_width, np.where(target, 7.0, 2.5) * found.relative_std, rtol=1e-9)
    np.testing.assert_array_equal(calibrated.relative_std, found.relative_std)
    crossing = predict_curves(replace(FIELD, beams=CROSSING), narrow, LINE)  # which have no regions
    np.testing.assert_allclose(crossing.half_width, 2.5 * crossing.relative_std, rtol=1e-9)


def test_each_cell_line_gets_its_own_answer():
    lines = (LINE, cell_line("V79"))
    tables = (TABLE, mono_table("V79"))
    pairs = tuple((line.name, line.alpha_x, line.beta_x) for line in lines)
    both = make_surrogate(FIELD, (voxel_alone(1),), tables=tables, cell_lines=pairs)
    for line, table in zip(lines, tables, strict=True):
        alpha, beta = zr_table(AXES, FIELD.spectra.fluence, table)
        found = predict_curves(FIELD, both, line)
        expected = (alpha[..., None] * D + beta[..., None] * D**2)[found.mask]
        np.testing.assert_allclose(found.effect, expected, rtol=2e-5)


def test_a_line_that_the_model_never_saw_is_answered_with_its_table():
    line, table = cell_line("V79"), mono_table("V79")
    for networks in ((voxel_alone(1),), (random_network(1),)):
        one = make_surrogate(FIELD, networks)
        found = predict_curves(FIELD, one, line, table=table)
        photon = ((line.name, line.alpha_x, line.beta_x), (LINE.name, LINE.alpha_x, LINE.beta_x))
        known = make_surrogate(FIELD, networks, tables=(table, TABLE), cell_lines=photon[::-1])
        known = replace(known, tables=(TABLE, table))
        np.testing.assert_allclose(found.effect, predict_curves(FIELD, known, line).effect, rtol=1e-6)
    alpha, beta = zr_table(AXES, FIELD.spectra.fluence, table)
    alone = predict_curves(FIELD, make_surrogate(FIELD, (voxel_alone(1),)), line, table=table)
    np.testing.assert_allclose(alone.effect[:, 3], (alpha * D[3] + beta * D[3] ** 2)[alone.mask], rtol=2e-5)


def test_the_correction_is_what_stands_between_the_table_and_the_answer(surrogate):
    one = make_surrogate(FIELD, (voxel_alone(1, corrected=True),))
    found = predict_curves(FIELD, one, LINE)
    alpha, beta = zr_table(AXES, FIELD.spectra.fluence, TABLE)
    expected = (alpha[..., None] * D + beta[..., None] * D**2)[found.mask]
    assert np.abs(found.log_correction).max() > 0.01
    np.testing.assert_allclose(found.effect, expected * np.exp(found.log_correction), rtol=2e-5)


def confined(surrogate, field, part):
    """The same model, trained on the spectra of a part of a field alone."""
    seen = field_features(field, part & field.spectra.fluence.any(axis=(0, 1)))
    return replace(surrogate, domain=SpectrumDomain.fit([seen], []).to_arrays())


def pooled_effect(mask):
    """The twin pools every bin of the spectra, then mixes."""
    alpha, beta = mix(pool_grouped(bin_dose(AXES, FIELD.spectra.fluence), AXES, 2), *TABLE.at(AXES))
    return (alpha[..., None] * D + beta[..., None] * D**2)[mask]


def test_outside_its_domain_the_deviation_covers_what_separates_it_from_grouped_pooling(surrogate, found):
    entrance = np.zeros(FIELD.grid.shape, bool)
    entrance[..., :5] = True
    answer = predict_curves(FIELD, confined(surrogate, FIELD, entrance), LINE)
    outside = answer.out_of_domain[answer.mask]
    assert 20 < outside.sum() < len(outside) - 20
    np.testing.assert_array_equal(answer.domain_score > 1, outside)
    assert answer.strangest.startswith("the spectrum of ")
    for name in ("effect", "log_correction"):
        np.testing.assert_array_equal(getattr(answer, name), getattr(found, name))
    np.testing.assert_array_equal(answer.relative_std[~outside], found.relative_std[~outside])
    apart = np.abs(found.effect / pooled_effect(answer.mask) - 1).max(axis=1)
    np.testing.assert_allclose(
        answer.relative_std[outside], np.maximum(found.relative_std, apart)[outside], rtol=1e-4, atol=1e-5
    )


def test_a_beam_of_another_ion_is_answered_by_grouped_pooling(surrogate):
    """So it is never worse than that, and flagged."""
    answer = predict_curves(FIELD, replace(surrogate, card=replace(surrogate.card, primaries=("C",))), LINE)
    np.testing.assert_array_equal(answer.out_of_domain, answer.mask)
    np.testing.assert_allclose(answer.effect, pooled_effect(answer.mask), rtol=1e-5)
    assert not answer.log_correction.any()


@pytest.mark.parametrize(("permutation", "sign"), [((0, 2, 1), -1), ((2, 0, 1), 1)])
def test_so_it_is_whatever_the_direction(surrogate, permutation, sign):
    strange = replace(surrogate, card=replace(surrogate.card, primaries=("C",)))
    turned_field, turn = reoriented(FIELD, permutation, sign)
    straight, turned = (predict_curves(f, strange, LINE) for f in (FIELD, turned_field))
    np.testing.assert_array_equal(turned.out_of_domain, turned.mask)
    assert turned.strangest == straight.strangest == UNKNOWN_BEAM
    for n in (0, 5):
        expected = turn(straight.volume(straight.effect[:, n]))
        np.testing.assert_allclose(turned.volume(turned.effect[:, n]), expected, rtol=1e-5)


def test_where_beams_cross_the_table_answers_for_each_voxel_alone(surrogate, found):
    crossing = predict_curves(replace(FIELD, beams=CROSSING), surrogate, LINE)
    alpha, beta = zr_table(AXES, FIELD.spectra.fluence, TABLE)
    expected = (alpha[..., None] * D + beta[..., None] * D**2)[found.mask]
    np.testing.assert_allclose(crossing.effect, expected, rtol=2e-5)
    np.testing.assert_array_equal(crossing.out_of_domain, crossing.mask)
    assert crossing.strangest == SEVERAL_BEAMS
    apart = np.abs(found.effect / expected - 1).max(axis=1)
    np.testing.assert_allclose(crossing.relative_std, np.maximum(found.relative_std, apart), rtol=1e-4, atol=1e-5)


def test_opposing_beams_share_an_axis_and_do_not_cross(surrogate, found):
    beams = (Beam(name="a", direction=(0.0, 0.0, 1.0)), Beam(name="b", direction=(0.0, 0.0, -1.0)))
    opposing = predict_curves(replace(FIELD, beams=beams), surrogate, LINE)
    np.testing.assert_array_equal(opposing.effect, found.effect)
    assert opposing.strangest == ""


def conditioned(names):
    torch.manual_seed(3)
    config = NetworkConfig(4, 1, (3, 3, 1), (0, 0, 0), 2, 8, conditions=names, max_log_correction=2.0)
    network = KernelNetwork(config).eval()
    with torch.no_grad():
        network.head.correction[-1].weight.normal_(0, 1.0)
    return make_surrogate(FIELD, (network,))


def around(*names):
    rng = np.random.default_rng(7)
    return {name: rng.uniform(-1, 1, FIELD.grid.shape) for name in names}


def test_conditions_change_the_answer_where_they_are():
    model, given = conditioned(("timing", "oxygen")), around("oxygen", "timing")
    first = predict_curves(FIELD, model, LINE, conditions=given)
    again = predict_curves(FIELD, model, LINE, conditions=dict(reversed(given.items())))  # by name, not by order
    np.testing.assert_array_equal(first.effect, again.effect)
    at = tuple(np.argwhere(first.mask)[17])
    other = {**given, "oxygen": given["oxygen"].copy()}
    other["oxygen"][at] += 1.0
    changed = (predict_curves(FIELD, model, LINE, conditions=other).effect != first.effect).any(axis=1)
    assert np.flatnonzero(changed).tolist() == [17]


@pytest.mark.parametrize(("permutation", "sign"), [((0, 2, 1), -1), ((2, 0, 1), 1)])
def test_conditions_turn_with_the_field(permutation, sign):
    model, given = conditioned(("timing", "oxygen")), around("oxygen", "timing")
    turned_field, turn = reoriented(FIELD, permutation, sign)
    straight = predict_curves(FIELD, model, LINE, conditions=given)
    turned = predict_curves(turned_field, model, LINE, conditions={name: turn(x) for name, x in given.items()})
    expected = turn(straight.volume(straight.effect[:, 4]))
    np.testing.assert_allclose(turned.volume(turned.effect[:, 4]), expected, rtol=1e-4)


def test_a_closed_form_is_part_of_the_answer():
    network = KernelNetwork(NetworkConfig(4, 1, (3, 3, 1), (0, 0, 0), 2, 8, conditions=CLOSED_FORM)).eval()
    with torch.no_grad():
        network.prior.fill_(-60.0)
        network.prior[:, 4 :: network.n_weights] = 60.0  # the middle of 3 x 3 x 1
    given = around(*CLOSED_FORM)
    found = predict_curves(FIELD, make_surrogate(FIELD, (network,)), LINE, conditions=given)
    alpha, beta = zr_table(AXES, FIELD.spectra.fluence, TABLE)
    alpha, beta = alpha * np.exp(given[CLOSED_FORM[0]]), beta * np.exp(2 * given[CLOSED_FORM[1]])
    np.testing.assert_allclose(found.effect[:, 3], (alpha * D[3] + beta * D[3] ** 2)[found.mask], rtol=5e-5)


@pytest.mark.parametrize(
    ("trained", "given"), [((), ("oxygen",)), (("oxygen",), ()), (("oxygen",), ("timing",)), (("a", "b"), ("a",))]
)
def test_conditions_must_be_those_of_the_training(trained, given):
    with pytest.raises(BundleError, match=r"the model was trained with the conditions .* give the same"):
        predict_curves(FIELD, conditioned(trained), LINE, conditions=around(*given))


def test_the_table_of_another_line_is_refused(surrogate):
    with pytest.raises(QuantityError, match="expected the table of the cell line HSG, found that of V79"):
        predict_curves(FIELD, surrogate, LINE, table=mono_table("V79"))


def test_what_cannot_be_answered_is_refused(surrogate):
    with pytest.raises(UnknownNameError, match="no table of the cell line 'V79'"):
        predict_curves(FIELD, surrogate, cell_line("V79"))
    with pytest.raises(BundleError, match="another photon reference"):
        predict_curves(FIELD, surrogate, replace(LINE, beta_x=2 * LINE.beta_x))
    with pytest.raises(ValueRangeError, match="enough dose"):
        predict_curves(FIELD, surrogate, LINE, min_dose_fraction=1.5)
    narrow = make_field(axes=SpectrumAxes(("H", "He"), AXES.edges_mev_u * 1.01))
    with pytest.raises(BundleError, match="energy bins"):
        predict_curves(narrow, surrogate, LINE)
