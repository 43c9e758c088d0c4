import base64
import io
import re

import numpy as np
import pytest
from matplotlib.colors import Normalize
from matplotlib.image import imread

from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.report.response_content import LesionPage
from surrogate3d.report.response_slices import MARGIN_MM, PLANES, close_up, outline, png_address, section

AXIAL, CORONAL, SAGITTAL = PLANES


def page(grid: Grid, voxels: np.ndarray) -> LesionPage:
    """A lesion of given (n, 3) voxels whose image, and map, are left coordinate plus ten times the superior one."""
    position = grid.position_mm(np.moveaxis(np.indices(grid.shape), 0, -1))
    values = position[..., 0] + 10 * position[..., 2]
    mask = np.zeros(grid.shape, dtype=bool)
    mask[tuple(voxels.T)] = True
    return LesionPage("P1 L1", 1.0, 0.5, 0.1, Volume(grid, values, quantity("image_signal")), mask, values, mask, mask)


def shoelace(path: str) -> float:
    """Area within closed loops of path data, by the shoelace formula; holes run the other way round."""
    area = 0.0
    for loop in filter(None, path.split("Z")):
        points = np.array([[float(n) for n in pair.split()] for pair in re.split("[ML]", loop) if pair])
        x, y = points.T
        area += 0.5 * float((x * np.roll(y, -1) - np.roll(x, -1) * y).sum())
    return area


def test_an_outline_of_one_voxel_is_its_square() -> None:
    region = np.zeros((3, 4), dtype=bool)
    region[1, 2] = True
    assert outline(region) == "M2 1L3 1L3 2L2 2Z"


def test_an_outline_has_corners_only_and_a_hole_is_a_loop_of_its_own() -> None:
    region = np.ones((5, 6), dtype=bool)
    assert outline(region) == "M0 0L6 0L6 5L0 5Z"
    region[2, 2:4] = False
    assert outline(region).count("Z") == 2
    assert outline(np.zeros((3, 3), dtype=bool)) == ""


@pytest.mark.parametrize("seed", range(5))
def test_the_area_within_an_outline_is_the_number_of_its_voxels(seed: int) -> None:
    region = np.random.default_rng(seed).random((9, 13)) < 0.5
    assert shoelace(outline(region)) == region.sum()


def test_slices_look_as_radiologists_look() -> None:
    i, j, k = np.indices((3, 4, 5))
    focus = (1, 2, 3)
    assert section(i, AXIAL, focus)[0].tolist() == [0, 1, 2]  # the patient's right on the left
    assert section(j, AXIAL, focus)[:, 0].tolist() == [0, 1, 2, 3]  # anterior on top
    assert (section(k, AXIAL, focus) == 3).all()
    assert section(k, CORONAL, focus)[:, 0].tolist() == [4, 3, 2, 1, 0]  # superior on top
    assert section(j, SAGITTAL, focus)[0].tolist() == [0, 1, 2, 3]  # anterior on the left
    assert (section(i, SAGITTAL, focus) == 1).all()


def test_a_close_up_holds_the_lesion_and_its_margin_where_the_image_goes_on() -> None:
    grid = Grid((30, 20, 12), (1.0, 2.0, 4.0), (-3.0, 5.0, 7.0))
    close = close_up(page(grid, np.array([[10, 9, 0], [12, 9, 1]])))
    assert close.image.grid.shape == (3 + 2 * 6, 1 + 2 * 3, 2 + 2)  # 6 mm are 6, 3 and 2 voxels; none below voxel 0
    assert MARGIN_MM == 6
    np.testing.assert_allclose(close.image.grid.origin_mm, grid.position_mm((4, 6, 0)))
    assert close.mask.sum() == close.region.sum() == 2
    assert close.truth is not None
    assert close.truth.sum() == 2


@pytest.mark.parametrize(
    "direction",
    [
        ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
        ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)),  # as NIfTI often counts
        ((0.0, 0.0, 1.0), (1.0, 0.0, 0.0), (0.0, -1.0, 0.0)),  # a coronal series
    ],
)
def test_a_close_up_lies_along_the_axes_of_the_patient_however_the_image_was_stored(direction) -> None:
    grid = Grid((30, 28, 26), (1.0, 1.0, 1.0), (4.0, -2.0, 11.0), direction)
    original = page(grid, np.array([[14, 13, 12], [15, 13, 12]]))
    close = close_up(original)
    assert close.image.grid.direction == ((1, 0, 0), (0, 1, 0), (0, 0, 1))
    where = close.image.grid.position_mm(np.moveaxis(np.indices(close.image.grid.shape), 0, -1))
    np.testing.assert_allclose(close.resistance, where[..., 0] + 10 * where[..., 2], rtol=1e-5)
    np.testing.assert_allclose(close.image.grid.position_mm(close.focus), grid.position_mm(original.focus))


def test_a_png_has_one_pixel_a_voxel_and_grey_where_nothing_is_known() -> None:
    address = png_address(np.array([[0.0, 1.0, np.nan]]), Normalize(0.0, 1.0), "gray")
    pixels = imread(io.BytesIO(base64.b64decode(address.removeprefix("data:image/png;base64,"))))
    np.testing.assert_allclose(255 * pixels[0, :, :3], [[0, 0, 0], [255, 255, 255], [0xCF, 0xCD, 0xC6]], atol=1e-3)
