"""Families of photon pairs that GSM2 can reproduce."""

import numpy as np
import pytest

from surrogate3d.errors import ValueRangeError
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.cell_line_family import (
    FamilyRange,
    admitted,
    bend,
    draw_cell_lines,
    line_of_pair,
)
from surrogate3d.physics.gsm2 import photon_effect


def test_equal_generators_give_equal_lines_and_longer_draws_begin_with_shorter_ones():
    one, two = (draw_cell_lines(12, np.random.default_rng(3)) for _ in range(2))
    assert one == two
    assert draw_cell_lines(5, np.random.default_rng(3)) == one[:5]
    assert draw_cell_lines(5, np.random.default_rng(4)) != one[:5]
    assert len({line.name for line in one}) == 12
    assert draw_cell_lines(0, np.random.default_rng(3)) == ()


def test_lines_lie_in_the_range_and_fill_it():
    lines = draw_cell_lines(64, np.random.default_rng(0))
    alpha_x, ratio = (np.array([getattr(line, name) for line in lines]) for name in ("alpha_x", "alpha_beta_x"))
    assert 0.0499 < alpha_x.min() < 0.06
    assert 0.5 < alpha_x.max() < 0.6001
    assert 1.49 < ratio.min() < 1.8
    assert 16 < ratio.max() < 20.01
    u = (np.log(alpha_x) - np.log(0.05)) / np.log(12)
    v = (np.log(ratio) - np.log(1.5)) / np.log(20 / 1.5)
    cells = {(int(min(3.99, 4 * a)), int(min(3.99, 4 * b))) for a, b in zip(u, v, strict=True)}
    assert len(cells) == 16  # 64 random points leave one of 16 cells empty in one draw of four


def test_photons_of_every_line_follow_its_pair():
    """Measured on GSM2's own photon curve, at 1 and 3 Gy."""
    for line in draw_cell_lines(20, np.random.default_rng(7)):
        for dose in (1.0, 3.0):
            expected = line.alpha_x * dose + line.beta_x * dose**2
            assert float(photon_effect(dose, line.gsm2)) == pytest.approx(expected, rel=0.0201)


def test_the_pair_of_a_shipped_line_gives_its_parameters():
    shipped = cell_line("V79")
    line = line_of_pair(0.184, 0.020)
    assert line.gsm2 == shipped.gsm2
    assert (line.name, line.mkm) == ("photon-pair-0.184-0.02", None)
    assert line_of_pair(0.184, 0.020, "mine").name == "mine"


@pytest.mark.parametrize(
    ("alpha_x", "ratio", "is_admitted"),
    [
        (0.313, 5.09, True),
        (0.6, 3.0, True),
        (0.6, 20.0, True),
        (0.05, 1.5, True),
        (0.25, 1.5, True),
        (0.26, 1.5, False),
        (0.36, 2.0, True),
        (0.38, 2.0, False),
        (0.042, 10.0, False),  # fewer than the directly lethal lesions, 1e-3 x 6.8 x 6.2 a Gy
        (0.0423, 10.0, True),
        (0.3, 0.04, False),  # beta_x = 7.5 1/Gy^2
    ],
)
def test_which_pairs_are_admitted(alpha_x, ratio, is_admitted):
    assert admitted(alpha_x, alpha_x / ratio) is is_admitted


def test_bending_grows_with_beta():
    assert bend(line_of_pair(0.3, 0.03)) < bend(line_of_pair(0.3, 0.06)) < bend(line_of_pair(0.3, 0.12))


def test_a_pair_that_gsm2_cannot_reproduce_is_refused():
    with pytest.raises(ValueRangeError, match=r"cannot reproduce alpha_x=0\.01"):
        line_of_pair(0.01, 0.01)


@pytest.mark.parametrize("limits", [(0.0, 0.1), (0.2, 0.1), (0.1, float("inf"))])
def test_a_range_without_an_inside_is_refused(limits):
    with pytest.raises(ValueRangeError, match="needs 0 < lowest < highest alpha_x"):
        FamilyRange(alpha_x=limits)


def test_a_range_without_admitted_pairs_is_refused():
    bent = FamilyRange(alpha_x=(0.5, 0.6), alpha_beta_x=(1.0, 1.5))
    with pytest.raises(ValueRangeError, match="only 0 of 2 photon pairs"):
        draw_cell_lines(2, np.random.default_rng(0), bent, most_tries=50)
    with pytest.raises(ValueRangeError, match="cannot be negative"):
        draw_cell_lines(-1, np.random.default_rng(0))
