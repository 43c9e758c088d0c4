"""Cylinders and spheres on boxes: integrals and shares that geometry gives."""

import math

import numpy as np
import pytest

from surrogate3d.errors import GeometryError, GridMismatchError, UnsupportedError
from surrogate3d.grid import Grid
from surrogate3d.io.topas_curved import CurvedBins, curved_bins, enclosing_grid, onto_box
from surrogate3d.io.topas_geometry import CurvedShape, Placement
from surrogate3d.io.topas_header import parse_header

TURN = (0.0, 2 * math.pi)
CENTRED = Placement(np.zeros(3), np.eye(3))
TURNED = Placement(np.array([11.0, -7.0, 30.0]), np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
CYLINDER = CurvedBins("cylinder", (5, 8, 3), (10.0, 40.0), TURN, (-40.0, 80.0))
SPHERE = CurvedBins("sphere", (4, 6, 5), (5.0, 30.0), TURN, (0.0, math.pi))


def header(axes, kind="surface: none"):
    lines = ["# TOPAS Version: 4.2.p1", "# Parameter File: run.txt", "# Results for scorer: Dose"]
    lines += ["# Scored in component: Phantom", *(f"# {axis}" for axis in axes), "# DoseToWater ( Gy ) : Sum   "]
    return parse_header(lines, "Dose.csv")


TUBE = header(["R in 3 bins of 1 cm", "Phi in 1 bin  of 360 deg", "Z in 4 bins of 0.5 cm"])
SECTORS = header(["R in 3 bins of 1 cm", "Phi in 4 bins of 90 deg", "Z in 4 bins of 0.5 cm"])
BALL = header(["R in 3 bins of 1 cm", "Phi in 1 bin  of 360 deg", "Theta in 2 bins of 90 deg"])


@pytest.mark.parametrize("bins", [CYLINDER, SPHERE])
@pytest.mark.parametrize("placed", [CENTRED, TURNED])
def test_the_dose_integral_is_kept_to_a_thousandth(bins, placed):
    dose = np.random.default_rng(1).random(bins.shape)
    r = np.linspace(*bins.r_mm, bins.shape[0] + 1)
    if bins.kind == "cylinder":
        volume = np.pi * (r[1:] ** 2 - r[:-1] ** 2)[:, None, None] / 8 * np.full((1, 8, 3), 80 / 3)
    else:
        cos = np.cos(np.linspace(0, np.pi, 6))
        volume = (r[1:] ** 3 - r[:-1] ** 3)[:, None, None] / 3 * np.full((1, 6, 1), np.pi / 3) * (cos[:-1] - cos[1:])
    np.testing.assert_allclose(bins.volumes_mm3, volume, rtol=1e-12)
    grid = enclosing_grid(bins, placed, 3.0)
    values, coverage = onto_box(dose, bins, grid, placed)
    assert values.sum() * grid.voxel_volume_mm3 == pytest.approx((dose * volume).sum(), rel=1e-3)
    assert coverage.sum() * grid.voxel_volume_mm3 == pytest.approx(volume.sum(), rel=1e-3)
    assert coverage.min() == 0
    assert coverage.max() == 1


def test_a_uniform_dose_is_its_share_of_every_voxel():
    grid = enclosing_grid(CYLINDER, CENTRED, 4.0)
    values, coverage = onto_box(np.full(CYLINDER.shape, 2.5), CYLINDER, grid, CENTRED)
    np.testing.assert_allclose(values, 2.5 * coverage, rtol=1e-12)


def test_the_share_of_a_voxel_is_the_area_of_the_disc_in_it():
    """The square from (0, 0) to (1, 1) holds pi/4 of the unit disc."""
    disc = CurvedBins("cylinder", (1, 1, 1), (0.0, 1.0), TURN, (-0.5, 1.0))
    grid = Grid((2, 2, 1), (1.0, 1.0, 1.0), (-0.5, -0.5, 0.0))
    _, coverage = onto_box(np.ones((1, 1, 1)), disc, grid, CENTRED, samples=80)
    np.testing.assert_allclose(coverage, np.pi / 4, atol=1e-3)


def test_phi_turns_from_x_to_y_and_z_rises():
    dose = np.arange(1.0, 9.0).reshape(1, 4, 2)
    bins = CurvedBins("cylinder", (1, 4, 2), (0.0, 10.0), TURN, (-10.0, 20.0))
    grid = Grid((2, 2, 2), (10.0, 10.0, 10.0), (-5.0, -5.0, -5.0))
    values, coverage = onto_box(dose, bins, grid, CENTRED, samples=40)
    found = values / coverage
    for (i, j), quadrant in {(1, 1): 0, (0, 1): 1, (0, 0): 2, (1, 0): 3}.items():
        np.testing.assert_allclose(found[i, j], dose[0, quadrant], rtol=1e-12)


def test_a_start_of_phi_turns_the_sectors():
    dose = np.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 4, 1)
    bins = CurvedBins("cylinder", (1, 4, 1), (0.0, 10.0), (math.pi / 2, 2 * math.pi), (-10.0, 20.0))
    values, coverage = onto_box(dose, bins, Grid((2, 2, 1), (10.0, 10.0, 20.0), (-5.0, -5.0, 0.0)), CENTRED, 40)
    np.testing.assert_allclose((values / coverage)[:, :, 0], [[2.0, 1.0], [3.0, 4.0]], rtol=1e-12)


def test_half_a_turn_covers_half():
    bins = CurvedBins("cylinder", (1, 1, 1), (0.0, 10.0), (0.0, math.pi), (-10.0, 20.0))
    _, coverage = onto_box(np.ones((1, 1, 1)), bins, Grid((2, 2, 1), (10.0,) * 3, (-5.0, -5.0, 0.0)), CENTRED, 40)
    assert (coverage[:, 0] == 0).all()
    np.testing.assert_allclose(coverage[:, 1], np.pi / 4, atol=2e-3)


def test_theta_begins_at_plus_z():
    bins = CurvedBins("sphere", (1, 1, 2), (0.0, 10.0), TURN, (0.0, math.pi))
    dose = np.array([1.0, 2.0]).reshape(1, 1, 2)
    values, coverage = onto_box(dose, bins, Grid((1, 1, 2), (20.0, 20.0, 10.0), (0.0, 0.0, -5.0)), CENTRED, 40)
    np.testing.assert_allclose((values / coverage).ravel(), [2.0, 1.0], rtol=1e-12)
    np.testing.assert_allclose(coverage.ravel(), 2 / 3 * np.pi / 4, rtol=5e-3)  # half a ball in its half box


def test_a_turned_component_puts_its_axis_along_space():
    """Column 2 of the axes is x: the component's Z lies along x in space."""
    bins = CurvedBins("cylinder", (1, 1, 2), (0.0, 10.0), TURN, (-10.0, 20.0))
    dose = np.array([1.0, 2.0]).reshape(1, 1, 2)
    box = Grid((2, 1, 1), (10.0, 20.0, 20.0), (6.0, -7.0, 30.0))
    values, coverage = onto_box(dose, bins, box, TURNED, 40)
    np.testing.assert_allclose((values / coverage).ravel(), [1.0, 2.0], rtol=1e-12)


def test_a_grid_elsewhere_is_not_covered():
    values, coverage = onto_box(
        np.ones(SPHERE.shape), SPHERE, Grid((2, 2, 2), (1.0,) * 3, (100.0, 0.0, 0.0)), CENTRED, 2
    )
    assert not values.any()
    assert not coverage.any()


def test_the_enclosing_grid_ends_with_the_component():
    grid = enclosing_grid(CYLINDER, TURNED, 7.0)
    assert grid.shape == (12, 12, 12)
    corners = grid.position_mm([(-0.5, -0.5, -0.5), (11.5, 11.5, 11.5)])
    np.testing.assert_allclose((corners - TURNED.centre_mm) @ TURNED.axes, [(-40, -40, -40), (40, 40, 40)], atol=1e-9)


def test_a_whole_tube_needs_its_inner_radius_only():
    found = curved_bins(TUBE, r_min_mm=5.0)
    assert (found.kind, found.shape) == ("cylinder", (3, 1, 4))
    assert found.r_mm == (5.0, 35.0)
    assert found.third == (-10.0, 20.0)
    assert found.phi_rad == pytest.approx(TURN)
    assert curved_bins(BALL, r_min_mm=0.0).third == pytest.approx((0.0, math.pi))


def shape_of(r_min=10.0, r_max=40.0, phi=0.5, kind="cylinder", span=2 * math.pi, half=10.0, theta=math.pi):
    return CurvedShape(kind, r_min, r_max, half, phi, span, 0.0, theta, CENTRED)


def test_the_parameter_file_says_what_the_header_does_not():
    found = curved_bins(SECTORS, shape_of())
    assert found.r_mm == (10.0, 40.0)
    assert found.phi_rad == pytest.approx((0.5, 2 * math.pi))
    ball = curved_bins(BALL, shape_of(kind="sphere"))
    assert (ball.r_mm, ball.third) == ((10.0, 40.0), pytest.approx((0.0, math.pi)))


def test_what_is_not_known_is_asked_for():
    with pytest.raises(GeometryError, match="RMin of the cylinder Phantom is not in the header; give the inner radius"):
        curved_bins(TUBE)
    with pytest.raises(GeometryError, match="SPhi of the cylinder"):
        curved_bins(SECTORS, r_min_mm=0.0)
    part = header(["R in 3 bins of 1 cm", "Phi in 1 bin  of 360 deg", "Theta in 2 bins of 45 deg"])
    with pytest.raises(GeometryError, match="STheta of the sphere"):
        curved_bins(part, r_min_mm=0.0)
    assert curved_bins(part, r_min_mm=0.0, theta_start_deg=30.0).third == pytest.approx((math.pi / 6, math.pi / 2))


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (shape_of(r_max=41.0), "R spans 30 by the header, 31 by the parameter file"),
        (shape_of(span=math.pi), "Phi spans 360 by the header, 180"),
        (shape_of(half=11.0), "Z spans 20 by the header, 22"),
        (shape_of(kind="sphere"), "a cylinder by the header, a sphere"),
    ],
)
def test_another_component_is_refused(shape, reason):
    with pytest.raises(GeometryError, match=reason):
        curved_bins(TUBE, shape)


def test_what_is_given_against_the_parameter_file_is_refused():
    with pytest.raises(GeometryError, match="RMin is given as 3, the parameter file has 10"):
        curved_bins(TUBE, shape_of(), r_min_mm=3.0)


def test_a_box_is_no_cylinder():
    box = header(["X in 3 bins of 1 cm", "Y in 1 bin  of 2 cm", "Z in 4 bins of 0.5 cm"])
    with pytest.raises(UnsupportedError, match="found a box"):
        curved_bins(box, r_min_mm=0.0)


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        ({"r_mm": (4.0, 4.0)}, "RMin < RMax"),
        ({"r_mm": (-1.0, 4.0)}, "RMin < RMax"),
        ({"phi_rad": (0.0, 7.0)}, "Phi to span up to 360"),
        ({"third": (1.0, 3.0)}, "Theta within 0 to 180"),
    ],
)
def test_limits_that_cannot_be_are_refused(limits, reason):
    settings = {"kind": "sphere", "shape": (1, 1, 1), "r_mm": (0.0, 1.0), "phi_rad": TURN, "third": (0.0, 1.0)}
    with pytest.raises(GeometryError, match=reason):
        CurvedBins(**(settings | limits))


def test_values_of_another_shape_no_spacing_and_no_samples_are_refused():
    grid = enclosing_grid(SPHERE, CENTRED, 20.0)
    with pytest.raises(GridMismatchError, match="values have shape"):
        onto_box(np.ones((1, 2, 3)), SPHERE, grid, CENTRED)
    with pytest.raises(GeometryError, match="at least one sample"):
        onto_box(np.ones(SPHERE.shape), SPHERE, grid, CENTRED, 0)
    with pytest.raises(GeometryError, match="voxel spacing above 0"):
        enclosing_grid(SPHERE, CENTRED, 0.0)
    inches = header(["R in 3 bins of 1 cm", "Phi in 1 bin  of 6.28319 rad", "Z in 4 bins of 0.5 cm"])
    with pytest.raises(GeometryError, match="Phi in deg"):
        curved_bins(inches, r_min_mm=0.0)
