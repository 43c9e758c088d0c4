"""The head: what it sees, what it cannot see, and how far it may go."""

import math
from dataclasses import replace

import pytest
import torch
from synthetic import N_DOSES

from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.model.groups import BANDS
from surrogate3d.model.head import CLOSED_FORM, LOG_STD_RANGE, MAX_LOG_CORRECTION, Denoised, EffectHead

DOSES = torch.tensor(DOSE_LADDER)
PHOTON = torch.tensor([[0.313, 0.18, 0.05], [0.248, 0.15, 0.3]])
WIDTH, VOXELS = 5, 7


def denoised(seed=1, lines=3, voxels=VOXELS, grad=False):
    generator = torch.Generator().manual_seed(seed)
    share = torch.rand(3 * len(BANDS), voxels, generator=generator)
    parts = (
        share / share.sum(dim=0),
        torch.randn(voxels, WIDTH, generator=generator),
        0.2 + torch.rand(lines, voxels, generator=generator),
        0.1 + 0.3 * torch.rand(lines, voxels, generator=generator),
    )
    return Denoised(*(part.requires_grad_(grad) for part in parts))


def head(seed=1, conditions=0, max_log=MAX_LOG_CORRECTION, random=True):
    torch.manual_seed(seed)
    made = EffectHead(WIDTH, 8, N_DOSES, conditions, max_log)
    if random:
        with torch.no_grad():
            made.correction[-1].weight.normal_(0, 1.0)
            made.spread[-1].weight.normal_(0, 0.3)
    return made


def apart(first, second):
    return float((first - second).detach().abs().max())


def test_at_the_start_nothing_is_corrected_and_the_deviation_is_one_per_cent():
    correction, log_std = head(random=False)(denoised(), PHOTON)
    assert correction.shape == (3, N_DOSES, VOXELS)
    assert not correction.any()
    torch.testing.assert_close(log_std, torch.full((3, VOXELS), -4.6))
    assert math.exp(-4.6) == pytest.approx(0.01, rel=0.01)


def test_the_effect_of_the_table_is_linear_quadratic():
    field = denoised()
    for line in range(3):
        for n, D in enumerate(DOSE_LADDER):
            expected = field.alpha[line] * D + field.sqrt_beta[line] ** 2 * D**2
            torch.testing.assert_close(field.effect(DOSES)[line, n], expected)


@pytest.mark.parametrize("max_log", [MAX_LOG_CORRECTION, 2.0])
@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_the_correction_is_bounded(max_log, sign):
    made = head(max_log=max_log)
    with torch.no_grad():
        made.correction[-1].bias.fill_(sign * 1e4)
    torch.testing.assert_close(made(denoised(), PHOTON)[0], torch.full((3, N_DOSES, VOXELS), sign * max_log))


def test_the_deviation_stays_in_its_range():
    for bias, expected in ((-1e4, LOG_STD_RANGE[0]), (1e4, LOG_STD_RANGE[1])):
        made = head()
        with torch.no_grad():
            made.spread[-1].bias.fill_(bias)
        assert torch.equal(made(denoised(), PHOTON)[1], torch.full((3, VOXELS), expected))


def test_the_correction_sees_the_field_and_the_line_and_not_the_state():
    """Of two voxels with equal fields and other states the corrections are equal, and the deviations are not."""
    field = denoised()
    other = replace(field, state=field.state.flip(0) + 3.0)
    (first, std), (second, other_std) = (head()(part, PHOTON) for part in (field, other))
    assert torch.equal(first, second)
    assert not torch.equal(std, other_std)


@pytest.mark.parametrize("part", ["share", "alpha", "sqrt_beta"])
def test_each_part_of_the_field_matters(part):
    field = denoised()
    changed = replace(field, **{part: getattr(field, part).flip(-1)})
    assert apart(head()(changed, PHOTON)[0], head()(field, PHOTON)[0]) > 1e-4


def test_the_line_matters_even_for_the_same_ratios():
    """Of two lines with the same alpha / alpha_x and sqrt(beta / beta_x), by their photon parameters alone."""
    field = denoised(lines=1)
    twice = replace(field, alpha=2 * field.alpha, sqrt_beta=2 * field.sqrt_beta)
    first, second = head()(field, PHOTON[:, :1])[0], head()(twice, 2 * PHOTON[:, :1])[0]
    assert apart(first, second) > 1e-4


def test_lines_are_answered_one_by_one():
    field = denoised()
    correction, log_std = head()(field, PHOTON)
    for n in range(3):
        alone = replace(field, alpha=field.alpha[n : n + 1], sqrt_beta=field.sqrt_beta[n : n + 1])
        one, one_std = head()(alone, PHOTON[:, n : n + 1])
        torch.testing.assert_close(one[0], correction[n])
        torch.testing.assert_close(one_std[0], log_std[n])


def test_voxels_are_answered_one_by_one():
    field = denoised()
    some = replace(
        field, share=field.share[:, 2:4], state=field.state[2:4], alpha=field.alpha[:, 2:4],
        sqrt_beta=field.sqrt_beta[:, 2:4],
    )  # fmt: skip
    for part, whole in zip(head()(some, PHOTON), head()(field, PHOTON), strict=True):
        torch.testing.assert_close(part, whole[..., 2:4])


def test_the_head_does_not_teach_the_kernels():
    field = denoised(grad=True)
    correction, log_std = head()(field, PHOTON)
    (correction.sum() + log_std.sum()).backward()
    for name in ("share", "state", "alpha", "sqrt_beta"):
        assert getattr(field, name).grad is None, name


def test_conditions_enter_each_in_its_place():
    field, made = denoised(), head(conditions=2)
    conditions = torch.stack([torch.linspace(-1, 1, VOXELS), torch.zeros(VOXELS)])
    correction, log_std = made(field, PHOTON, conditions)
    swapped, swapped_std = made(field, PHOTON, conditions.flip(0))
    assert apart(correction, swapped) > 1e-4
    assert apart(log_std, swapped_std) > 1e-4
    middle = VOXELS // 2  # there both are zero
    torch.testing.assert_close(correction[..., middle], swapped[..., middle])


def test_features_are_finite_in_empty_fields():
    nothing = Denoised(torch.zeros(3 * len(BANDS), 2), torch.zeros(2, WIDTH), torch.zeros(3, 2), torch.zeros(3, 2))
    for values in (nothing.features(PHOTON), *head()(nothing, PHOTON)):
        assert bool(torch.isfinite(values).all())


def test_features_by_hand():
    share = torch.zeros(3 * len(BANDS), 1)
    share[2], share[5] = 0.64, 0.36
    field = Denoised(share, torch.zeros(1, WIDTH), torch.tensor([[0.6]]), torch.tensor([[0.25]]))
    found = field.features(torch.tensor([[0.3], [0.2]]))[0, 0]
    assert found[[2, 5]].tolist() == pytest.approx([0.8, 0.6], abs=1e-5)
    assert float(found[: 3 * len(BANDS)].sum()) == pytest.approx(1.4, abs=0.02)
    assert found[-4:].tolist() == pytest.approx([math.log(2), 0.25, 0.0, 0.0], abs=1e-6)


def test_a_closed_form_multiplies_what_the_table_says():
    field = denoised()
    names = ("pO2", *CLOSED_FORM)
    rows = [torch.linspace(*ends, VOXELS) for ends in ((0.0, 0.0), (-0.5, 0.5), (0.2, -0.3))]
    conditions = torch.stack(rows)
    under = field.under(names, conditions)
    torch.testing.assert_close(under.alpha, field.alpha * torch.exp(conditions[1]))
    torch.testing.assert_close(under.sqrt_beta, field.sqrt_beta * torch.exp(conditions[2]))
    assert under.share is field.share
    assert field.under(("pO2",), conditions[:1]) is field
    assert field.under(names, None) is field
