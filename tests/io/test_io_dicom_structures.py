"""Structures on grids, against areas from geometry, shapely's intersections and points drawn in polygons."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
import shapely
from dicom_objects import FRAME, rtdose, rtstruct
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from surrogate3d.errors import (
    FormatError,
    GeometryError,
    UnknownNameError,
    UnsupportedError,
    ValueRangeError,
)
from surrogate3d.grid import Grid
from surrogate3d.io.dicom_dose import read_dose_header
from surrogate3d.io.dicom_masks import mask_of, volume_of
from surrogate3d.io.dicom_structures import Contour, Structure, read_rtstruct, structure_named
from surrogate3d.io.polygon_coverage import coverage

CLINIC = Path(__file__).parents[2].parent / "shared" / "data" / "dicom"
GRID = Grid((30, 24, 12), (2.0, 2.5, 3.0), (-29.0, -29.0, -16.0))
Ring = npt.NDArray[np.float64]


def circle(radius: float, z: float, centre: tuple[float, float] = (0.0, 0.0), n: int = 400) -> Ring:
    angle = 2 * np.pi * np.arange(n) / n
    return np.stack([centre[0] + radius * np.cos(angle), centre[1] + radius * np.sin(angle), 0 * angle + z], axis=1)


def rectangle(x0: float, x1: float, y0: float, y1: float, z: float) -> Ring:
    return np.array([[x0, y0, z], [x1, y0, z], [x1, y1, z], [x0, y1, z]])


def structure(rings: list[Ring], kind: str = "CLOSED_PLANAR", slab_mm: float | None = None) -> Structure:
    return Structure("S", 1, "ORGAN", FRAME, slab_mm, tuple(Contour(ring, kind) for ring in rings))


def volume_mm3(rings: list[Ring], grid: Grid = GRID) -> float:
    return float(mask_of(structure(rings), grid).volume.values.sum(dtype=float)) * grid.voxel_volume_mm3


def test_a_cylinder_has_its_volume() -> None:
    """Regular polygon of n corners: area n/2 r^2 sin(2 pi / n); seven planes 3 mm apart are 21 mm."""
    rings = [circle(15, z) for z in range(-9, 10, 3)]
    area = 400 / 2 * 15**2 * np.sin(2 * np.pi / 400)
    assert volume_mm3(rings) == pytest.approx(area * 21, rel=1e-6)
    assert volume_of(structure(rings)) == pytest.approx(area * 21, rel=1e-9)


def test_a_sphere_has_its_volume() -> None:
    """Planes in the middles of 1-mm slabs: the midpoint rule of pi (r^2 - z^2) is exact to a third of a per cent."""
    rings = [circle(np.sqrt(12**2 - z**2), z) for z in np.arange(-11.5, 12, 1)]
    assert volume_mm3(rings) == pytest.approx(4 / 3 * np.pi * 12**3, rel=4e-3)


def test_a_square_shifted_by_half_a_voxel_has_exact_fractions() -> None:
    grid = Grid((5, 5, 3), (2.0, 2.0, 3.0), (0.0, 0.0, 0.0))
    mask = mask_of(structure([rectangle(2, 6, 1.5, 5, z) for z in (3, 6)], slab_mm=3), grid)
    # Voxels along x span 1-3, 3-5, 5-7: half, whole, half. Along y 1-3, 3-5, 5-7: three quarters, whole, none.
    expected = np.outer([0, 0.5, 1, 0.5, 0], [0, 0.75, 1, 0, 0])
    assert np.array_equal(mask.volume.values[:, :, 1], expected.astype(np.float32))
    assert not mask.volume.values[:, :, 0].any()
    assert np.array_equal(mask.binary[:, 2, 2], [False, True, True, True, False])
    assert mask.notes == ()


def test_planes_on_another_spacing_share_the_voxels_along_the_normal() -> None:
    """Planes at 0 and 2 mm are one slab from -1 to 3 mm; voxels of 3 mm span -1.5 to 1.5 and 1.5 to 4.5."""
    grid = Grid((3, 3, 3), (10.0, 10.0, 3.0), (-10.0, -10.0, -3.0))
    column = mask_of(structure([rectangle(-5, 5, -5, 5, z) for z in (0, 2)]), grid).volume.values[1, 1]
    assert column == pytest.approx([0, 2.5 / 3, 1.5 / 3])


def test_holes_and_islands_alternate() -> None:
    rings = [r for z in (-3, 0, 3) for r in (circle(18, z), circle(10, z), circle(4, z))]
    polygon = 400 / 2 * np.sin(2 * np.pi / 400)
    assert volume_mm3(rings) == pytest.approx(polygon * (18**2 - 10**2 + 4**2) * 9, rel=1e-6)
    values = mask_of(structure(rings), GRID).volume.values
    assert values[tuple(np.round(GRID.index((7, 0, 0))).astype(int))] == 0


def test_two_contours_of_a_plane_are_both_inside() -> None:
    rings = [r for z in (-3, 0, 3) for r in (rectangle(-20, -10, -5, 5, z), rectangle(3, 9, -5, 5, z))]
    assert volume_mm3(rings) == pytest.approx((100 + 60) * 9)


def test_a_keyhole_is_a_hole() -> None:
    outer, inner = rectangle(-10, 10, -10, 10, 0)[:, :2], rectangle(-4, 4, -4, 4, 0)[::-1, :2]
    keyhole = np.concatenate([outer, outer[:1], inner[-1:], inner[:-1], inner[-1:], outer[:1]])
    rings = [np.column_stack([keyhole, np.full(len(keyhole), float(z))]) for z in (0, 3)]
    mask = mask_of(structure(rings), GRID)
    assert mask.volume_mm3 == pytest.approx((400 - 64) * 6)
    assert any("touch or cross themselves" in note for note in mask.notes)


def test_a_small_loop_is_repaired_and_a_figure_of_eight_is_refused() -> None:
    loop = np.array([[0, 0], [20, 0], [20, 20], [9, 20], [10.5, 20.4], [10.5, 19.9], [0, 20]], dtype=float)
    rings = [np.column_stack([loop, np.full(len(loop), float(z))]) for z in (0, 3)]
    assert any("by even-odd" in note for note in mask_of(structure(rings), GRID).notes)
    eight = np.array([[0, 0, 0], [20, 20, 0], [20, 0, 0], [0, 20, 0]], dtype=float)
    with pytest.raises(ValueRangeError, match="crosses itself"):
        mask_of(structure([eight, eight + np.array([0, 0, 3])]), GRID)


def test_contours_written_twice_count_once_and_crossing_ones_are_noted() -> None:
    rings = [rectangle(-10, 10, -10, 10, z) for z in (0, 3)]
    doubled = mask_of(structure([*rings, np.roll(rings[0], 2, axis=0)[::-1]]), GRID)
    assert doubled.volume_mm3 == pytest.approx(400 * 6)
    assert "1 contour(s) written twice, taken once" in doubled.notes
    crossing = mask_of(structure([*rings, rectangle(0, 20, -10, 10, 0)]), GRID)
    assert crossing.volume_mm3 == pytest.approx(400 * 6)  # 200 to the left and 200 to the right of the overlap
    assert any("cross another" in note for note in crossing.notes)


def test_gaps_are_not_filled() -> None:
    mask = mask_of(structure([rectangle(-10, 10, -10, 10, z) for z in (-9, -6, 3, 6)]), GRID)
    assert mask.volume_mm3 == pytest.approx(400 * 12)
    assert any("not filled" in note for note in mask.notes)
    assert not mask.volume.values[:, :, 5].any()  # z = -1


def test_a_single_plane_needs_a_thickness() -> None:
    with pytest.raises(UnsupportedError, match="how thick"):
        mask_of(structure([circle(10, 0)]), GRID)
    for found in (
        mask_of(structure([circle(10, 0)]), GRID, slab_mm=2),
        mask_of(structure([circle(10, 0)], slab_mm=2), GRID),
    ):
        assert found.volume_mm3 == pytest.approx(np.pi * 100 * 2, rel=1e-3)


def test_what_encloses_nothing_is_left_out_and_said() -> None:
    rings = [circle(10, z) for z in (0, 3)]
    mixed = structure(rings)
    extra = (
        Contour(rings[0], "OPEN_NONPLANAR"),
        Contour(rings[0][:1], "POINT"),
        Contour(rings[0][:2], "CLOSED_PLANAR"),
    )
    mask = mask_of(Structure("S", 1, "", "", None, mixed.contours + extra), GRID)
    assert len(mask.notes) == 3
    with pytest.raises(UnsupportedError, match="no closed contours"):
        mask_of(structure(rings, "OPEN_PLANAR"), GRID)
    line = np.array([[0, 0, 0], [5, 0, 0], [10, 0, 0]], dtype=float)
    with pytest.raises((UnsupportedError, ValueRangeError)):
        mask_of(structure([line]), GRID, slab_mm=1)


def test_permuted_and_flipped_grids_give_the_same_voxels() -> None:
    rings = [circle(13, z, (3, -4), 37) for z in np.arange(-9, 9.1, 2)]
    plain = mask_of(structure(rings), GRID).volume.values
    order, signs = (2, 0, 1), (-1, 1, -1)
    corner = np.array([n - 1 if s < 0 else 0 for n, s in zip(np.take(GRID.shape, order), signs, strict=True)])
    direction = np.zeros((3, 3))
    for column, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        direction[axis, column] = sign
    first = np.zeros(3)
    first[list(order)] = corner
    turned = Grid(
        tuple(np.take(GRID.shape, order).tolist()),
        tuple(np.take(GRID.spacing_mm, order).tolist()),
        tuple(GRID.position_mm(first).tolist()),
        tuple(tuple(row) for row in direction.tolist()),
    )
    expected = np.flip(plain.transpose(order), [a for a, sign in enumerate(signs) if sign < 0])
    np.testing.assert_allclose(mask_of(structure(rings), turned).volume.values, expected, atol=1e-6)


def test_sagittal_contours_are_laid_on_an_axial_grid() -> None:
    rings = [rectangle(-10, 10, -9, 9, x)[:, [2, 0, 1]] for x in np.arange(-6, 7, 3)]
    assert volume_mm3(rings) == pytest.approx(20 * 18 * 15)


def test_planes_oblique_to_the_grid_or_to_each_other_are_refused() -> None:
    rings = [circle(15, z) for z in (0, 3)]
    tilt = np.deg2rad(5)
    turn = np.array([[np.cos(tilt), 0, np.sin(tilt)], [0, 1, 0], [-np.sin(tilt), 0, np.cos(tilt)]])
    with pytest.raises(UnsupportedError, match="oblique to the grid"):
        mask_of(structure([ring @ turn.T for ring in rings]), GRID)
    with pytest.raises(UnsupportedError, match="several orientations"):
        mask_of(structure([rings[0], rings[1][:, [2, 0, 1]]]), GRID)
    # Turned with the contours, the grid fits again.
    turned = Grid(
        GRID.shape, GRID.spacing_mm, tuple((turn @ GRID.origin_mm).tolist()), tuple(map(tuple, turn.tolist()))
    )
    together = mask_of(structure([ring @ turn.T for ring in rings]), turned).volume.values
    np.testing.assert_allclose(together, mask_of(structure(rings), GRID).volume.values, atol=1e-6)


def test_what_lies_outside_the_grid_is_said() -> None:
    mask = mask_of(structure([rectangle(-40, 0, -10, 10, z) for z in (0, 3)]), GRID)
    assert any("25 % of the structure lies outside" in note for note in mask.notes)  # the grid begins at -30
    with pytest.raises(GeometryError, match="outside the grid"):
        mask_of(structure([rectangle(100, 120, -10, 10, z) for z in (0, 3)]), GRID)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.lists(st.tuples(st.floats(0.1, 9), st.floats(-3, 3)), min_size=3, max_size=9),
    st.floats(-2, 8), st.floats(-2, 8), st.booleans(),
)  # fmt: skip
def test_coverage_is_the_intersection_with_every_pixel(radii: Any, u: float, v: float, whole: bool) -> None:
    """Slow twin: shapely's intersection with each pixel, for stars with a hole, also on pixel borders."""
    angles = np.linspace(0, 2 * np.pi, len(radii) + 1)[:-1]
    outer = np.array([[u + r * np.cos(a), v + r * np.sin(a)] for a, (r, _) in zip(angles, radii, strict=True)])
    star = shapely.make_valid(shapely.Polygon(np.round(outer * 2) / 2 if whole else outer))
    area = star.difference(shapely.box(u - 0.3, v - 0.4, u + 0.5, v + 0.6))
    if area.area == 0:
        return
    found = np.zeros((9, 7))
    (u0, v0), part = coverage(area, (9, 7))
    found[u0 : u0 + part.shape[0], v0 : v0 + part.shape[1]] = part
    pixels = [[shapely.box(p - 0.5, q - 0.5, p + 0.5, q + 0.5) for q in range(7)] for p in range(9)]
    np.testing.assert_allclose(found, shapely.area(shapely.intersection(area, np.array(pixels))), atol=1e-9)


def test_fractions_agree_with_points_drawn_in_polygons() -> None:
    """Slow twin without shapely: sub-points of each voxel by matplotlib's point-in-polygon, combined by even-odd."""
    grid = Grid((22, 18, 3), (2.0, 2.5, 3.0), (-21.0, -21.0, -3.0))
    rings = [r for z in (-3, 0, 3) for r in (circle(15, z, (1, -2), 23), circle(6, z, (4, 1), 11))]
    values = mask_of(structure(rings), grid).volume.values[:, :, 1]
    sub = (np.arange(20) + 0.5) / 20 - 0.5
    i, j, a, b = np.meshgrid(np.arange(22), np.arange(18), sub, sub, indexing="ij")
    points = np.stack([-21 + 2 * (i + a), -21 + 2.5 * (j + b)], axis=-1).reshape(-1, 2)
    odd = Outline(rings[0][:, :2]).contains_points(points) ^ Outline(rings[1][:, :2]).contains_points(points)
    drawn = odd.reshape(22, 18, 400).mean(axis=-1)
    assert np.abs(values - drawn).max() < 0.03
    assert values.sum() == pytest.approx(drawn.sum(), rel=1e-3)


def test_the_clinical_structures_have_the_volume_of_their_polygons() -> None:
    """Shoelace areas from the raw file times 5 mm, which is how far its planes are apart."""
    if not (CLINIC / "rtstruct.dcm").is_file():
        pytest.skip("the clinical files are not beside the repository")
    grid = read_dose_header(CLINIC / "rtdose.dcm").grid
    raw = pydicom.dcmread(CLINIC / "rtstruct.dcm")
    structures = read_rtstruct(CLINIC / "rtstruct.dcm")
    assert [s.interpreted_type for s in structures] == ["PTV", "PTV", "EXTERNAL", "ORGAN", "MARKER"]
    for found, outlines in zip(structures[:4], raw.ROIContourSequence, strict=False):
        expected = 0.0
        for contour in outlines.ContourSequence:
            x, y, _ = np.array(contour.ContourData, dtype=float).reshape(-1, 3).T
            expected += 5 * abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2
        mask = mask_of(found, grid)
        assert mask.volume_mm3 == pytest.approx(expected, rel=1e-9)
        assert mask.volume.values.sum(dtype=float) * 8 == pytest.approx(expected, rel=1e-6)
        centre = grid.position_mm(np.argwhere(mask.volume.values > 0)).mean(axis=0)
        points = np.concatenate([np.reshape(c.ContourData, (-1, 3)) for c in outlines.ContourSequence]).astype(float)
        assert centre == pytest.approx((points.max(axis=0) + points.min(axis=0)) / 2, abs=2)


def test_a_structure_set_reads_back_as_written(tmp_path: Path) -> None:
    rings = [circle(10, z, n=9) for z in (0, 3)]
    found = read_rtstruct(rtstruct(tmp_path / "s.dcm", {"PTV": rings, "ptv ": rings[:1], "Lung": []}))
    assert [(s.name, s.number, s.interpreted_type) for s in found[:1]] == [("PTV", 1, "ORGAN")]
    assert found[0].contours[1].points_mm == pytest.approx(rings[1], abs=1e-8)
    assert found[0].frame_of_reference_uid == FRAME
    assert structure_named(found, "lung ").number == 3
    assert structure_named(found, "PTV").number == 1
    for name in ("Ptv", "Heart"):
        with pytest.raises(UnknownNameError, match="there are: PTV"):
            structure_named(found, name)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [(b"3.25\\4.25", b"3.25\\4..5", "not a list"), (b"3.25\\4.25", b"3.25\\ nan", "coordinates"),
     (b"3.25\\4.25", b"3.25\\9e99", "coordinates"), (b"3.25\\4.25", b"3.25\\4\\25", "found 10 numbers")],
)  # fmt: skip
def test_contours_that_are_no_points_are_refused(tmp_path: Path, old: bytes, new: bytes, words: str) -> None:
    path = rtstruct(tmp_path / "s.dcm", {"A": [np.array([[0, 0, 0], [5, 0, 0], [3.25, 4.25, 0]])]})
    path.write_bytes(path.read_bytes().replace(old, new))
    with pytest.raises(FormatError, match=words):
        read_rtstruct(path)


def test_contours_of_no_structure_and_other_objects_are_refused(tmp_path: Path) -> None:
    path = rtstruct(tmp_path / "s.dcm", {"A": [circle(10, 0)]})
    dataset = pydicom.dcmread(path)
    dataset.ROIContourSequence[0].ReferencedROINumber = 9
    dataset.save_as(path)
    with pytest.raises(FormatError, match="do not fit"):
        read_rtstruct(path)
    with pytest.raises(UnsupportedError, match="RT Dose Storage"):
        read_rtstruct(rtdose(path, np.zeros((2, 2, 2), np.uint16)))
