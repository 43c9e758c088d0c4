"""Agreement for papers: every voxel is counted, and the statistics are those of the errors."""

import numpy as np
import pytest

from surrogate3d.errors import UnknownNameError
from surrogate3d.grid import quantity
from surrogate3d.report.paper_parity import error_figure, finite_pairs, parity_figure
from surrogate3d.report.paper_style import paper_style
from surrogate3d.validation.table import compare


@pytest.fixture(autouse=True)
def style():
    with paper_style():
        yield


def test_every_voxel_is_in_the_density():
    rng = np.random.default_rng(3)
    reference = rng.uniform(1.0, 2.0, 500)
    figure = parity_figure(reference * 1.03, reference, quantity("RBE"), ("judged", "reference"))
    counts = figure.axes[0].collections[0].get_array()
    assert counts.sum() == 500
    assert figure.axes[0].get_xlim() == figure.axes[0].get_ylim()
    assert figure.axes[0].get_xlabel() == r"$\mathrm{RBE}$, reference"


def test_errors_are_judged_over_reference_minus_one():
    reference = np.array([1.0, 2.0, 4.0, 5.0])
    judged = reference * (1 + np.array([0.01, 0.03, -0.02, 0.02]))
    figure = parity_figure(judged, reference, quantity("RBE"), ("judged", "reference"))
    texts = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert texts == ["mean +1.00 %", "median +1.50 %", "RMS 2.12 %", "n = 4"]  # sqrt(18 / 4)


def test_a_rounded_zero_has_no_sign():
    one = np.array([1.0, 2.0])
    figure = parity_figure(one * np.array([1.00001, 0.99999]), one, quantity("RBE"), ("a", "b"))
    assert figure.axes[1].get_legend().get_texts()[0].get_text() == "mean 0.00 %"


def test_equal_values_everywhere_can_be_drawn():
    parity_figure(np.ones(3), np.ones(3), quantity("RBE"), ("a", "b"))


def test_pairs_need_both_values_and_a_reference_that_is_not_zero():
    one, other = finite_pairs(np.array([1.0, np.nan, 3.0, 4.0]), np.array([2.0, 2.0, 0.0, np.nan]))
    assert (one.tolist(), other.tolist()) == ([1.0], [2.0])


def table():
    truth = np.full((4, 1, 1), 2.0)
    maps = {"surrogate": {"RBE": truth * 1.01}, "zr_table": {"RBE": truth * 0.96}}
    first = np.zeros((4, 1, 1), dtype=bool)
    first[:2] = True
    regions, kinds = {"target": first, "penumbra": ~first}, {"surrogate": "surrogate", "zr_table": "baseline"}
    return compare(maps, {"RBE": truth}, regions, kinds)


def test_errors_by_method_are_those_of_the_table():
    axes = error_figure(table(), "RBE").axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["surrogate", "zr_table"]
    drawn = {line.get_label(): line.get_xydata() for line in axes.get_lines()}
    assert set(drawn) == {"all", "target", "penumbra"}
    np.testing.assert_allclose(drawn["all"], [[1.0, 0], [4.0, 1]])


def test_a_quantity_that_was_not_judged_is_refused():
    with pytest.raises(UnknownNameError, match="no errors of 'alpha'; it has RBE"):
        error_figure(table(), "alpha")
