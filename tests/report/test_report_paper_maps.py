"""Maps for papers: scale in mm, planes, contours where they belong, and grey where there is no value."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from surrogate3d.errors import GridMismatchError
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.report.paper_maps import PlanView, comparison_figure, map_figure, relative_difference, value_scale
from surrogate3d.report.paper_style import paper_style
from surrogate3d.report.style import NO_ANSWER

GRID = Grid((6, 8, 40), (2.0, 3.0, 2.5), (-5.0, -10.5, 10.0))
DEPTH = np.broadcast_to(np.arange(40.0), GRID.shape)


def view(**changes):
    ball = np.zeros(GRID.shape)
    ball[2:4, 3:6, 10:20] = 1.0
    facts = {"grid": GRID, "dose": 40.0 - DEPTH, "isodose_base": 40.0, "focus": (3, 4, 15), "beam_axis": 2}
    return PlanView(**{**facts, "structures": {"PTV": ball}, **changes})


def drawn(volume=None, **changes):
    with paper_style():
        figure = map_figure(view(**changes), volume or Volume(GRID, DEPTH.copy(), quantity("RBE")))
        figure.canvas.draw()
    return figure


def panels(figure):
    return [axes for axes in figure.axes if axes.get_images()]


def mm_per_mm(axes):
    """Millimetres on paper for one in the plan, across and up."""
    box = axes.get_position()
    size = axes.figure.get_size_inches() * 25.4
    across, up = np.ptp(axes.get_xlim()), np.ptp(axes.get_ylim())
    return box.width * size[0] / across, box.height * size[1] / up


@pytest.mark.parametrize("axis", [0, 1, 2, None])
def test_all_planes_have_one_scale(axis):
    scales = np.array([mm_per_mm(axes) for axes in panels(drawn(beam_axis=axis))])
    assert scales.shape == (3, 2)
    np.testing.assert_allclose(scales, scales[0, 0], rtol=1e-6)


def test_the_beam_runs_to_the_right_whichever_way_it_goes():
    forwards, backwards = panels(drawn())[0], panels(drawn(beam_sign=-1))[0]
    assert forwards.get_xlim()[0] < forwards.get_xlim()[1]
    assert backwards.get_xlim()[0] > backwards.get_xlim()[1]
    assert forwards.get_title(loc="right") == "beam →"
    assert "beam" not in panels(drawn(beam_axis=None))[0].get_title(loc="right")


def test_axes_are_positions_in_millimetres():
    axes = panels(drawn())[0]
    assert axes.get_xlabel() + axes.get_ylabel() == "x / mm"  # the lower panel has the label across
    np.testing.assert_allclose(axes.get_images()[0].get_extent(), [8.75, 108.75, -6.0, 6.0])


def contours(axes):
    """(n, 2) points of each line, white outlines left out."""
    return [c.get_paths()[0].vertices for c in axes.collections[1::2]]


def test_isodoses_run_where_the_dose_says():
    found = contours(panels(drawn(structures={}))[0])
    depths = [10.0 + 2.5 * (1 - share) * 40 for share in (0.95, 0.8, 0.5, 0.2)]
    for line, depth in zip(found, depths, strict=True):
        np.testing.assert_allclose(line[:, 0], depth, atol=1e-6)


def test_structures_run_where_half_of_a_voxel_is_inside():
    line = contours(panels(drawn())[0])[-1]
    assert line[:, 0].min() == pytest.approx(10.0 + 2.5 * 9.5)
    assert line[:, 0].max() == pytest.approx(10.0 + 2.5 * 19.5)
    assert line[:, 1].max() == pytest.approx(-5.0 + 2.0 * 3.5)


def test_only_structures_that_are_cut_are_in_the_legend():
    corner = np.zeros(GRID.shape)
    corner[0, 0, 0] = 1.0
    figure = drawn(structures={"PTV": view().structures["PTV"], "elsewhere": corner})
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "PTV" in texts
    assert "elsewhere" not in texts


@pytest.mark.parametrize("shape", [(6, 8, 40), (20, 16, 10)], ids=["long", "wide"])
def test_everything_is_within_the_figure_however_many_structures(shape):
    grid = Grid(shape, (5.0, 5.0, 5.0), (-120.0, -110.0, -105.0))
    dose = np.ones(shape)
    balls = {f"Structure {n}": np.pad(np.ones((2, 2, 2)), [(2, side - 4) for side in shape]) for n in range(14)}
    with paper_style():
        seen = PlanView(grid, dose, 2.0, (3, 3, 3), 2, 1, balls)
        figure = map_figure(seen, Volume(grid, dose, quantity("D_RBE")))
        renderer = FigureCanvasAgg(figure).get_renderer()
        whole, legend = figure.bbox, figure.legends[0].get_window_extent(renderer)
        parts = [axes.get_tightbbox(renderer) for axes in figure.axes]
    for part in [legend, *parts]:
        assert whole.x0 <= part.x0
        assert part.x1 <= whole.x1
        assert whole.y0 <= part.y0
        assert part.y1 <= whole.y1
    assert not any(legend.overlaps(part) for part in parts)


def test_what_has_no_value_is_grey():
    values = DEPTH.copy()
    values[:, :, 30:] = np.nan
    axes = panels(drawn(Volume(GRID, values, quantity("RBE"))))[0]
    assert axes.get_images()[0].get_array().mask[:, 30:].all()
    from matplotlib.colors import to_hex

    assert to_hex(axes.get_facecolor()) == NO_ANSWER


def test_what_is_shown_is_confined_to_dose_and_structures():
    dose = np.zeros(GRID.shape)
    dose[2:4, 3:5, 12:18] = 40.0
    box = view(dose=dose, structures={}).box
    assert box == (slice(1, 5), slice(2, 6), slice(11, 19))
    assert view(dose=np.zeros(GRID.shape), structures={}).box == (slice(0, 6), slice(0, 8), slice(0, 40))


def test_half_a_percent_of_the_values_may_be_beyond_each_end():
    norm, extend = value_scale(np.arange(1001.0))
    assert (norm.vmin, norm.vmax, extend) == (5.0, 995.0, "both")
    norm, extend = value_scale(np.arange(1001.0), symmetric=True)
    assert (norm.vmin, norm.vmax, extend) == (-995.0, 995.0, "max")
    assert value_scale(np.full(3, np.nan))[1] == "neither"
    norm, extend = value_scale(np.full(3, 2.0))
    assert (norm.vmin, norm.vmax, extend) == (1.5, 2.5, "neither")


def test_a_comparison_has_one_scale_for_both_and_zero_in_the_middle_of_the_difference():
    one, other = (Volume(GRID, factor * (1 + DEPTH), quantity("D_RBE")) for factor in (1.02, 1.0))
    gap = relative_difference(one.values, other.values)
    np.testing.assert_allclose(gap, 2.0)
    with paper_style():
        figure = comparison_figure(view(), one, other, ("judged", "reference"), gap, "difference / %")
    limits = [axes.get_images()[0].get_clim() for axes in panels(figure)]
    assert limits[0] == limits[1]
    assert limits[2][0] == -limits[2][1]


def test_a_relative_difference_needs_a_reference_that_is_not_zero():
    gap = relative_difference(np.array([1.0, 1.0, np.nan, 3.0]), np.array([2.0, 0.0, 1.0, np.nan]))
    np.testing.assert_array_equal(gap, [-50.0, np.nan, np.nan, np.nan])


def test_volumes_from_elsewhere_are_refused():
    elsewhere = Grid(GRID.shape, GRID.spacing_mm, (0.0, 0.0, 0.0))
    stray = Volume(elsewhere, DEPTH.copy(), quantity("RBE"))
    with pytest.raises(GridMismatchError, match="RBE: grids differ in position"):
        map_figure(view(), stray)
    own = Volume(GRID, DEPTH.copy(), quantity("RBE"))
    with pytest.raises(GridMismatchError, match="RBE: grids differ in position"):
        comparison_figure(view(), own, stray, ("a", "b"), DEPTH, "")
    with pytest.raises(GridMismatchError, match=r"PTV: values have shape \(1, 1, 1\)"):
        view(structures={"PTV": np.zeros((1, 1, 1))})
