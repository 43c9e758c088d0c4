"""Gradient features of fields whose gradients are known exactly."""

import numpy as np
import pytest

from surrogate3d.errors import GeometryError
from surrogate3d.grid import Cohort, Grid, Lesion, Volume, quantity, turned_to
from surrogate3d.response.gradient_features import MAPS, OCTANTS, REGIONS, gradient_features, gradient_maps, regions

TURN = np.linalg.qr(np.random.default_rng(4).standard_normal((3, 3)))[0]
OBLIQUE = Grid((14, 15, 16), (1.0, 1.5, 0.8), (-40.0, 3.0, 12.0), tuple(tuple(row) for row in TURN))
CUBE = Grid((25, 25, 25), (1.0, 1.0, 1.0), (-12.0, -12.0, -12.0))


def positions(grid):
    return grid.position_mm(np.moveaxis(np.indices(grid.shape), 0, -1))


def ball(grid, radius_mm=5.0):
    centre = grid.position_mm((np.array(grid.shape) - 1) // 2)
    return np.linalg.norm(positions(grid) - centre, axis=-1) <= radius_mm


def cohort(grid, values, mask):
    return Cohort([Lesion("P1", "L1", Volume(grid, values, quantity("image_signal")), mask)])


def features(grid, values, mask):
    table = gradient_features(cohort(grid, values, mask))
    return dict(zip(table.names, table.values[0], strict=True))


def test_there_are_ninety_features_of_a_channel():
    names = gradient_features(cohort(CUBE, 1.0 + positions(CUBE)[..., 0] ** 2, ball(CUBE))).names
    assert len(names) == len(set(names)) == 90 == len(MAPS) * len(REGIONS) * 3
    assert set(OCTANTS) == {"LPS", "LPI", "LAS", "LAI", "RPS", "RPI", "RAS", "RAI"}


@pytest.mark.parametrize("grid", [CUBE, OBLIQUE])
def test_a_straight_slope_is_measured_per_mm_in_the_frame_of_the_patient(grid):
    slope = np.array([0.3, -0.2, 0.5])
    where, mask = positions(grid), ball(grid)
    maps = gradient_maps(where @ slope, mask, grid)
    np.testing.assert_allclose(maps["gradient magnitude"], np.linalg.norm(slope), rtol=1e-9)
    outward = where - where[mask].mean(axis=0)
    length = np.linalg.norm(outward, axis=-1)
    off_centre = length > 0.1
    expected = (outward @ slope / np.where(off_centre, length, 1.0))[off_centre]
    np.testing.assert_allclose(maps["radial gradient"][off_centre], expected, atol=1e-9)
    angle = np.arccos(expected / np.linalg.norm(slope))
    np.testing.assert_allclose(maps["radial deviation"][off_centre], angle, atol=1e-6)


@pytest.mark.parametrize(("sign", "angle"), [(1.0, 0.0), (-1.0, np.pi)])
def test_a_bowl_rises_outwards_and_a_hill_falls(sign, angle):
    mask, radius = ball(CUBE), np.linalg.norm(positions(CUBE), axis=-1)
    maps = gradient_maps(sign * radius**2, mask, CUBE)  # central differences of a parabola are exact
    inner = mask & (radius > 0)
    np.testing.assert_allclose(maps["radial gradient"][inner], sign * 2 * radius[inner], rtol=1e-9)
    np.testing.assert_allclose(maps["radial deviation"][inner], angle, atol=1e-6)
    assert np.isnan(maps["radial gradient"][12, 12, 12])
    assert np.isnan(maps["radial deviation"][12, 12, 12])


def test_mean_deviation_and_their_ratio_are_those_of_a_region():
    mask, where = ball(CUBE), positions(CUBE)
    radius = np.linalg.norm(where, axis=-1)
    image = 100.0 + radius**2
    found = features(CUBE, image, mask)
    octant = mask & (where >= 0).all(axis=-1) & (radius > 0)
    expected = 2 * radius[octant] / np.median(image[_shell(mask)])
    assert found["image radial gradient octant LPS mean"] == pytest.approx(expected.mean(), rel=1e-9)
    assert found["image radial gradient octant LPS SD"] == pytest.approx(expected.std(), rel=1e-9)
    assert found["image radial gradient octant LPS CV"] == pytest.approx(expected.std() / expected.mean(), rel=1e-9)


def _shell(mask):
    """Voxels 2 to 6 mm from the nearest voxel of a mask, one pair after another; 1 mm voxels."""
    inside = np.argwhere(mask)
    nearest = np.full(mask.shape, np.inf)
    for index in np.ndindex(mask.shape):
        nearest[index] = ((inside - index) ** 2).sum(axis=1).min()
    return (nearest >= 4) & (nearest <= 36)


def test_regions_cover_the_lesion_once_by_depth_and_once_by_side():
    mask = ball(OBLIQUE) | np.roll(ball(OBLIQUE, 3.0), 3, axis=0)
    parts = regions(mask, OBLIQUE)
    assert tuple(parts) == REGIONS
    np.testing.assert_array_equal(parts["core"] | parts["margin"], mask)
    assert not (parts["core"] & parts["margin"]).any()
    np.testing.assert_array_equal(sum(parts[f"octant {name}"].astype(int) for name in OCTANTS), mask.astype(int))


def test_the_core_of_a_ball_has_half_its_radius():
    parts = regions(ball(CUBE, 10.0), CUBE)
    radius = np.linalg.norm(positions(CUBE), axis=-1)
    assert 4.0 <= radius[parts["core"]].max() <= 5.5
    assert radius[parts["margin"]].min() >= 4.5


def test_a_lesion_at_the_edge_of_the_image_ends_there():
    mask = np.zeros(CUBE.shape, dtype=bool)
    mask[:5, 5:20, 5:20] = True
    assert not regions(mask, CUBE)["core"][0].any()
    assert regions(mask, CUBE)["core"][2, 12, 12]


def test_octants_are_sides_of_the_patient_however_the_image_is_stored():
    rng = np.random.default_rng(2)
    image, mask = 2.0 + rng.random(CUBE.shape), ball(CUBE, 6.0)
    mask[12:, 12:, :12] &= rng.random((13, 13, 12)) < 0.7
    flipped = Grid(
        (25, 25, 25), (1.0, 1.0, 1.0), (12.0, -12.0, 12.0), ((0.0, 0.0, -1.0), (1.0, 0.0, 0.0), (0.0, -1.0, 0.0))
    )
    signal = quantity("image_signal")
    stored = turned_to(Volume(CUBE, image, signal), flipped)
    turned = turned_to(Volume(CUBE, mask.astype(float), signal), flipped).values > 0.5
    assert stored.grid.direction == flipped.direction
    one, other = features(CUBE, image, mask), features(stored.grid, stored.values, turned)
    np.testing.assert_allclose(list(one.values()), list(other.values()), rtol=1e-9)


def test_an_octant_without_voxels_is_not_known_and_not_zero():
    mask = np.zeros(CUBE.shape, dtype=bool)
    mask[10:15, 12, 12] = True
    found = features(CUBE, 1.0 + positions(CUBE)[..., 0] ** 2, mask)
    assert np.isnan([found[f"image gradient magnitude octant RAI {name}"] for name in ("mean", "SD", "CV")]).all()
    assert np.isfinite(found["image gradient magnitude octant LPS mean"])


def test_one_voxel_has_a_mean_but_no_spread():
    mask = np.zeros(CUBE.shape, dtype=bool)
    mask[12, 12, 12] = True
    found = features(CUBE, 1.0 + 0.1 * np.abs(positions(CUBE)[..., 0] - 3), mask)
    assert found["image gradient magnitude core mean"] > 0
    assert np.isnan([found["image gradient magnitude core SD"], found["image radial gradient core mean"]]).all()


def test_what_was_delivered_has_gradients_too():
    mask, where = ball(CUBE), positions(CUBE)
    dose = Volume(CUBE, 20.0 - 0.5 * where[..., 2], quantity("dose_to_water"))
    lesion = Lesion("P1", "L1", Volume(CUBE, 1.0 + 0 * where[..., 0], quantity("image_signal")), mask, {"dose": dose})
    table = gradient_features(Cohort([lesion]), ("image", "dose"))
    found = dict(zip(table.names, table.values[0], strict=True))
    assert len(table.names) == 180
    assert found["dose gradient magnitude margin mean"] == pytest.approx(0.5)
    assert found["dose radial gradient octant LPS mean"] < 0 < found["dose radial gradient octant LPI mean"]
    assert np.isnan(found["image radial deviation core mean"])  # a flat image has no direction


def test_an_image_of_one_slice_is_refused():
    grid = Grid((25, 25, 1), (1.0, 1.0, 3.0), (0.0, 0.0, 0.0))
    mask = np.zeros(grid.shape, dtype=bool)
    mask[10:14, 10:14] = True
    with pytest.raises(GeometryError, match="patient P1, lesion L1: a gradient needs 2 voxels along each axis"):
        gradient_features(cohort(grid, np.ones(grid.shape), mask))
