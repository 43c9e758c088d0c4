"""Curves for papers show the numbers they were given."""

import numpy as np
import pytest

from surrogate3d.grid import quantity
from surrogate3d.report.paper_curves import (
    Line,
    Panel,
    SurvivalCurve,
    histogram_figure,
    learning_figure,
    profile_figure,
    survival_figure,
)
from surrogate3d.report.paper_style import axis_label, file_bytes, paper_style
from surrogate3d.validation.histograms import volume_histogram

DEPTH = np.arange(0.0, 100.0, 2.5)


@pytest.fixture(autouse=True)
def style():
    with paper_style():
        yield


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_a_profile_shows_its_lines_and_intervals():
    judged = Line("judged", "judged", np.cos(DEPTH), np.full(len(DEPTH), 0.25))
    panels = [
        Panel("dose / Gy", (Line("dose", "dose", DEPTH),), from_zero=True),
        Panel("RBE", (judged, Line("reference", "reference", np.sin(DEPTH))), from_zero=False),
    ]
    figure = profile_figure(DEPTH, panels)
    upper, lower = figure.axes
    assert upper.get_ylim()[0] == 0
    assert upper.get_ylabel() == "dose / Gy"
    np.testing.assert_array_equal(lines(lower)["judged"].get_xydata(), np.stack([DEPTH, np.cos(DEPTH)], axis=1))
    band = lower.collections[0].get_paths()[0].vertices
    assert band[:, 1].max() == pytest.approx(np.cos(DEPTH).max() + 0.25)
    assert lines(lower)["reference"].get_linestyle() == "--"
    assert figure.get_size_inches()[0] * 25.4 == pytest.approx(85.0)


def test_gaps_of_a_profile_stay_gaps():
    values = np.where(DEPTH > 50, np.nan, 1.0)
    figure = profile_figure(DEPTH, [Panel("RBE", (Line("judged", "judged", values),), from_zero=False)])
    assert np.isnan(figure.axes[0].get_lines()[0].get_ydata()[DEPTH > 50]).all()
    assert file_bytes(figure, "svg")


def histogram(structure, method, scale=1.0):
    values = scale * np.linspace(0.0, 2.0, 8).reshape(2, 2, 2)
    meaning = quantity("D_RBE")
    return volume_histogram(values, np.ones((2, 2, 2)), 0.1, structure, meaning, method, 2.0)[0]


def test_histograms_have_a_colour_by_structure_and_dashes_by_method():
    group = [histogram(s, m) for s in ("PTV", "Brainstem") for m in ("judged", "reference")]
    figure = histogram_figure({axis_label(quantity("D_RBE")): group})
    drawn = figure.axes[0].get_lines()
    colours, dashes = [line.get_color() for line in drawn], [line.get_linestyle() for line in drawn]
    assert colours[0] == colours[1] != colours[2] == colours[3]
    assert dashes[0] == dashes[2] != dashes[1] == dashes[3]
    np.testing.assert_array_equal(drawn[0].get_xdata(), group[0].levels)
    np.testing.assert_array_equal(drawn[0].get_ydata(), group[0].volume_percent)
    assert legend(figure) == ["PTV", "Brainstem", "judged", "reference"]
    assert figure.axes[0].get_xlabel() == r"$D_\mathrm{RBE}$ / Gy (RBE)"


def test_one_method_needs_no_legend_of_methods():
    figure = histogram_figure({"dose / Gy": [histogram("PTV", "judged")], "other": [histogram("PTV", "judged", 2.0)]})
    assert legend(figure) == ["PTV"]
    assert figure.get_size_inches()[0] * 25.4 == pytest.approx(180.0)


def test_survival_is_on_a_logarithmic_axis_with_its_interval():
    doses = np.linspace(0.0, 6.0, 20)
    middle = np.exp(-0.4 * doses)
    curve = SurvivalCurve("middle", doses, middle, middle**1.1, middle**0.9)
    figure = survival_figure([curve], SurvivalCurve("photons", doses, np.exp(-0.3 * doses)))
    axes = figure.axes[0]
    assert axes.get_yscale() == "log"
    np.testing.assert_array_equal(lines(axes)["middle"].get_ydata(), middle)
    assert axes.collections[0].get_paths()[0].vertices[:, 1].min() == pytest.approx(np.exp(-0.4 * 6 * 1.1))
    assert lines(axes)["photons"].get_linestyle() == "--"


def test_learning_curves_have_a_line_for_each_member():
    rows = [{"step": 50.0 * n, "relative_loss": 1 / n, "stop_loss": 2 / n} for n in range(1, 5)]
    members = {"member 0": rows, "member 1": rows[:2]}
    figure = learning_figure(members, ["relative_loss", "stop_loss"], {"stop_loss": "kept out"})
    upper, lower = figure.axes
    np.testing.assert_allclose(
        lines(upper)["member 0"].get_xydata(), [[50, 1], [100, 1 / 2], [150, 1 / 3], [200, 1 / 4]]
    )
    assert len(lines(upper)["member 1"].get_xdata()) == 2
    assert (upper.get_ylabel(), lower.get_ylabel()) == ("relative loss", "kept out")
    assert upper.get_yscale() == "log"
