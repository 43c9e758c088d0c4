import numpy as np
import pytest

from surrogate3d.direct.nucleus import raster

R_D, R_N, B_NEAR = 0.9, 4.5, 1.0


@pytest.fixture(scope="module")
def area():
    return raster(R_D, R_N, B_NEAR)


def test_a_track_within_reach_of_a_domain_lies_in_a_cell_that_knows_it(area):
    rng = np.random.default_rng(5)
    angle, b = 2 * np.pi * rng.random(4000), area.reach * np.sqrt(rng.random(4000))
    domain = rng.integers(len(area.axes_um), size=b.size)
    place = area.axes_um[domain] + np.stack([b * np.cos(angle), b * np.sin(angle)], axis=1)
    inside = (place[:, None, :] >= area.corners) & (place[:, None, :] < area.corners + area.width)
    for d, cells in zip(domain, inside.all(axis=2), strict=True):
        (cell,) = np.flatnonzero(cells)
        assert d in area.members[area.starts[cell] : area.starts[cell + 1]]


def test_every_sampled_cell_has_members_and_all_members_are_sampled(area):
    assert (np.diff(area.starts) > 0).all()
    assert (area.starts[0], area.starts[-1]) == (0, len(area.members))
    assert area.starts.size == len(area.corners) + 1


def test_the_sampled_area_is_little_more_than_what_lies_within_reach(area):
    grid = np.linspace(-area.source_radius, area.source_radius, 1001)
    x, y = np.meshgrid(grid, grid, indexing="ij")
    felt = np.zeros(x.shape, bool)
    for px, py in area.axes_um:
        felt |= (x - px) ** 2 + (y - py) ** 2 < area.reach**2
    assert 1.0 < area.area / (felt.mean() * (2 * area.source_radius) ** 2) < 1.05
