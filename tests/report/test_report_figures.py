import dataclasses

import matplotlib
import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError
from surrogate3d.report import DirectPoints, ReportContent
from surrogate3d.report.figures import agreement, along_beam, depth_profiles, error_histogram, near_line
from surrogate3d.report.slices import MapStyle, _scale, axis_position_mm, slices
from surrogate3d.report.style import INK


def test_drawing_leaves_the_global_settings_alone(content: ReportContent) -> None:
    before = dict(matplotlib.rcParams)
    depth_profiles(content)
    assert dict(matplotlib.rcParams) == before


def test_the_dark_picture_differs_in_colours_only(content: ReportContent) -> None:
    drawn = depth_profiles(content)
    assert INK in drawn.light
    assert INK not in drawn.dark
    assert len(drawn.light) == len(drawn.dark)


def test_positions_are_those_of_the_grid(content: ReportContent) -> None:
    for axis in range(3):
        first, second = np.zeros(3), np.eye(3)[axis]
        expected = content.grid.position_mm(np.stack((first, second)))[:, axis]
        np.testing.assert_allclose(axis_position_mm(content.grid, axis)[:2], expected)


def test_the_focus_is_the_centroid_of_the_hot_region(content: ReportContent) -> None:
    # The dose is symmetric about (2.5, 3.5) and constant over k = 0..13; ties round to even.
    assert content.focus == (2, 4, 6)


def test_profiles_start_upstream(content: ReportContent) -> None:
    ramp = np.broadcast_to(np.arange(16.0), content.grid.shape)
    np.testing.assert_array_equal(along_beam(content, ramp), np.arange(16))
    turned = dataclasses.replace(content, beam_sign=-1)
    np.testing.assert_array_equal(along_beam(turned, ramp), np.arange(16)[::-1])


def test_only_points_near_the_line_are_on_the_profile(content: ReportContent) -> None:
    i, j, _ = content.focus
    index = np.array([(i, j, 0), (i + 1, j - 1, 5), (i + 2, j, 5), (i, j, 15)])
    ones = np.ones(4)
    inside = dataclasses.replace(content, points=DirectPoints(index, ones, ones, ones > 0))
    assert near_line(inside).tolist() == [True, bool(content.mask[i + 1, j - 1, 5]), False, False]


def test_point_arrays_must_agree() -> None:
    with pytest.raises(GridMismatchError, match="direct points"):
        DirectPoints(np.zeros((3, 3), dtype=int), np.ones(3), np.ones(2), np.ones(3, dtype=bool))


def test_alternative_text_tells_the_numbers(content: ReportContent) -> None:
    values = np.full(content.grid.shape, np.nan)
    values[0, 0, :3] = (1.0, 2.0, 4.0)
    drawn = slices(content, values, MapStyle("x / y"), "A map")
    assert "least 1, median 2, largest 4 over 3 voxels" in drawn.alt


def test_histogram_names_the_root_mean_square(content: ReportContent) -> None:
    drawn = error_histogram(content.errors_percent())
    assert "surrogate 1.00 %; zr_table 2.00 %" in drawn.alt


@pytest.mark.parametrize("beam_axis", [0, 1, 2])
def test_any_beam_axis_can_be_drawn(content: ReportContent, beam_axis: int) -> None:
    turned = dataclasses.replace(content, beam_axis=beam_axis)
    drawn = slices(turned, turned.RBE, MapStyle("RBE"), "RBE")
    assert f"{'xyz'[beam_axis]} / mm (beam" in drawn.light


def test_a_single_layer_can_be_drawn(content: ReportContent) -> None:
    drawn = slices(content, np.full(content.grid.shape, 1.1), MapStyle("RBE"), "RBE")
    assert "least 1.1, median 1.1, largest 1.1" in drawn.alt


def test_a_dense_reference_is_a_line_and_a_density(content: ReportContent) -> None:
    assert not content.sparse_reference
    assert ">reference<" in depth_profiles(content).light
    assert "every voxel of the mask" in agreement(content).light


def test_a_sparse_reference_is_neither_a_line_nor_a_density(sparse: ReportContent) -> None:
    assert sparse.sparse_reference
    assert ">reference<" not in depth_profiles(sparse).light
    drawn = agreement(sparse)
    assert "every voxel of the mask" not in drawn.light
    assert "directly simulated voxels" in drawn.light
    assert "the reference" not in drawn.alt


def test_a_sparse_reference_without_points_is_still_shown(sparse: ReportContent) -> None:
    drawn = agreement(dataclasses.replace(sparse, points=None))
    assert f"voxels with a reference (n = {sparse.known_reference.sum()})" in drawn.light


def test_the_error_scale_points_to_every_side_that_is_exceeded() -> None:
    ramp, style = np.linspace(-1.0, 1.0, 1001), MapStyle("error / %", "RdBu_r", symmetric=True)
    for values, ends in ((ramp, "both"), (ramp + 0.5, "max"), (ramp - 0.5, "min")):
        assert _scale(values, style)[1] == ends, ends
