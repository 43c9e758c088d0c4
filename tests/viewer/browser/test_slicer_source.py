"""What JavaScript reads from a page, and the lines that it draws through it, against numpy and contourpy."""

import numpy as np
import pytest
from contourpy import LineType, contour_generator
from scenes import DOSE_PER_FLUENCE, DOSES, FLUENCE, IDENTITY, Page, block_text, layer, manifest_of, page_of, plan
from slicer_page import VIEWER, do, settle, texts, values

from surrogate3d.viewer.encode import encode_volume

SHAPE, SPACING = (12, 9, 20), (2.0, 3.0, 2.5)

READ = (
    "([name, axis, index]) => SOURCE.then(s => s.plane(name, axis, index)).then(p => [p.rows, p.cols, [...p.values]])"
)


def read(page, name, axis, index):
    """A plane as the source hands it out; NaN is no value."""
    source = f"Promise.resolve({VIEWER}.source)"
    rows, cols, found = page.evaluate(READ.replace("SOURCE", source), [name, axis, index])
    return np.asarray([np.nan if value is None else value for value in found], dtype=float).reshape(rows, cols)


@pytest.fixture
def open_scene(open_page, tmp_path):
    def open_one(made, **keywords):
        return settle(open_page(made.write(tmp_path / "scene.html"), **keywords))

    return open_one


@pytest.mark.parametrize("bits", [8, 16])
def test_planes_of_every_axis_are_the_arrays_within_the_rounding_that_the_manifest_says(open_scene, bits):
    made = page_of(SHAPE, SPACING, bits=bits)
    page = open_scene(made)
    for entry in made.manifest["layers"]:
        for axis in range(3):
            for index in (0, SHAPE[axis] // 2, SHAPE[axis] - 1):
                wanted = np.take(made.values[entry["name"]], index, axis=axis)
                found = read(page, entry["name"], axis, index)
                assert np.array_equal(np.isnan(found), np.isnan(wanted))
                assert np.nanmax(np.abs(found - wanted), initial=0) <= entry["step"] * 1.001 + 1e-6


def test_rounding_that_reaches_the_printed_digits_stands_beside_the_value(open_scene):
    made = page_of(SHAPE, SPACING, bits=8, names=("dose",))
    page = open_scene(made)
    do(page, "viewer.moveTo([6, 4, 8])")
    step = made.manifest["layers"][0]["step"]
    assert texts(page)["layer/dose"].endswith(f"±{step:.2g}")
    assert "rounding" in page.locator(".s3d-values").inner_text()


def test_of_every_second_voxel_the_nearest_is_shown_and_it_is_said(open_scene):
    made = page_of(SHAPE, SPACING, stride=2, names=("dose", "RBE"))
    page = open_scene(made)
    dose = made.values["dose"]
    kept = [np.minimum(np.floor(np.arange(n) / 2 + 0.5).astype(int) * 2, (n - 1) // 2 * 2) for n in SHAPE]
    for axis in range(3):
        wanted = np.take(dose[np.ix_(*kept)], 5, axis=axis)
        assert np.abs(read(page, "dose", axis, 5) - wanted).max() < 1e-4
    assert "One voxel in 2 along each axis" in page.locator(".s3d-values").inner_text()


def test_what_the_package_embeds_is_read_back(open_scene):
    made = Page(manifest_of(SHAPE, SPACING))
    maps = plan(SHAPE, SPACING)
    maps["dose"][:, :3] = 0.0
    for name in ("dose", "RBE", "answered"):
        found = encode_volume(maps[name].astype(np.float32), 16)
        made.blocks[f"s3d-data-{name}"] = found.text
        data = {"id": f"s3d-data-{name}", **found.entry}
        made.manifest["layers"].append(layer(name, maps[name], data=data, step=found.rounding))
    page = open_scene(made)
    for name in ("dose", "RBE", "answered"):
        for axis in range(3):
            wanted = np.take(maps[name], 4, axis=axis)
            assert np.allclose(read(page, name, axis, 4), wanted, atol=1e-4, equal_nan=True)


def test_a_voxel_answers_with_its_effect_half_width_and_spectrum_or_with_null(open_scene):
    made = page_of(SHAPE, SPACING)
    page = open_scene(made)
    ask = f"at => {VIEWER}.source.voxel(...at)"
    for place in (0, len(made.index) // 2, len(made.index) - 1):
        at = [int(n) for n in np.unravel_index(made.index[place], SHAPE)]
        found = page.evaluate(ask, at)
        assert found["at"] == at
        assert len(found["effect"]) == len(DOSES)
        assert np.allclose(found["effect"], made.effect[place], rtol=1e-4)
        assert found["half_width"] == 0.03
        share = np.asarray(found["spectrum"]) * DOSE_PER_FLUENCE
        wanted = FLUENCE * DOSE_PER_FLUENCE / (FLUENCE * DOSE_PER_FLUENCE).max()
        assert np.abs(np.sqrt(share) - np.sqrt(wanted)).max() <= 0.5 / 255 + 1e-9
    absent = next(n for n in range(np.prod(SHAPE)) if n not in set(made.index))
    assert page.evaluate(ask, [int(n) for n in np.unravel_index(absent, SHAPE)]) is None


def test_voxels_of_a_stride_answer_for_their_neighbours(open_scene):
    made = page_of(SHAPE, SPACING)
    at = np.stack(np.unravel_index(made.index, SHAPE), axis=1)
    kept = (at % 3 == 0).all(axis=1)
    data = made.manifest["voxels"]["data"]
    data["stride"] = 3
    made.blocks[data["index"]["id"]] = block_text(made.index[kept], 32)
    page = open_scene(made)
    wanted = at[kept][0]
    near = [min(int(n) + 1, size - 1) for n, size in zip(wanted, SHAPE, strict=True)]
    assert page.evaluate(f"at => {VIEWER}.source.voxel(...at)", near)["at"] == wanted.tolist()


def test_blocks_are_decoded_when_they_are_first_needed(open_scene):
    made = page_of(SHAPE, SPACING, names=("dose", "RBE"))
    page = open_scene(made)
    decoded = set(page.evaluate(f"() => [...{VIEWER}.source.blocks.keys()]"))
    voxels = {entry["id"] for entry in made.manifest["voxels"]["data"].values() if isinstance(entry, dict)}
    assert decoded <= set(made.blocks)
    assert values(page)["layer/RBE"] is not None
    assert voxels - decoded or page.evaluate(f"() => {VIEWER}.source.blocks.size") >= 2


def test_contours_are_those_of_contourpy(open_scene):
    page = open_scene(page_of(SHAPE, SPACING, names=("dose",)))
    rng = np.random.default_rng(3)
    field = rng.standard_normal((23, 31)).cumsum(axis=0).cumsum(axis=1).astype(np.float32)
    field[4:7, 9:12] = np.nan
    generator = contour_generator(z=np.ma.masked_invalid(field), line_type=LineType.Separate, corner_mask=False)
    draw = (
        "([values, rows, cols, level]) => S3D.contours.lines({ values: values.map(v => v ?? NaN), rows, cols }, level)"
    )
    flat = [None if np.isnan(value) else float(value) for value in field.ravel()]
    for level in (-3.0, 0.0, 5.0, 20.0):
        found = page.evaluate(draw, [flat, *field.shape, level])
        wanted = generator.lines(level)
        assert points(np.concatenate([np.asarray(line) for line in found])) == points(
            np.concatenate([line[:, ::-1] for line in wanted])
        )
        assert length(found) == pytest.approx(length(wanted), rel=1e-4)


def points(places):
    return {tuple(place) for place in np.round(places, 3) + 0.0}


def length(lines):
    return sum(np.hypot(*np.diff(np.asarray(line), axis=0).T).sum() for line in lines)


def test_a_page_without_its_block_says_so(open_page, complaints, tmp_path):
    made = page_of(SHAPE, SPACING, names=("dose",))
    made.blocks["s3d-data-elsewhere"] = made.blocks.pop(made.manifest["layers"][0]["data"]["id"])
    page = open_page(made.write(tmp_path / "scene.html"))
    page.get_by_role("alert").filter(has_text="this page holds no block s3d-data-0").wait_for()
    complaints.clear()


def test_a_scene_of_another_schema_is_refused_in_the_page(open_page, complaints, tmp_path):
    made = Page(manifest_of(SHAPE, SPACING, schema="surrogate3d.scene/9"))
    page = open_page(made.write(tmp_path / "scene.html"))
    page.get_by_role("alert").filter(has_text="surrogate3d.scene/1 was expected, found surrogate3d.scene/9").wait_for()
    assert any("surrogate3d.scene/9" in complaint for complaint in complaints)
    complaints.clear()


@pytest.mark.parametrize(
    ("direction", "titles", "letters"),
    [
        (IDENTITY, ["Coronal", "Sagittal", "Axial"], ["R", "L"]),
        ([[-1.0, 0, 0], [0, -1, 0], [0, 0, 1]], ["Coronal", "Sagittal", "Axial"], ["L", "R"]),
        ([[0, 0, 1.0], [1, 0, 0], [0, 1, 0]], ["Coronal", "Sagittal", "Axial"], ["A", "P"]),
        (
            [[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]],
            ["Oblique, across j", "Oblique, across i", "Oblique, across k"],
            ["R", "L"],
        ),
    ],
)
def test_planes_and_sides_follow_the_direction_cosines(open_scene, direction, titles, letters):
    made = page_of(SHAPE, (3.0, 3.0, 2.0), names=("dose",))
    made.manifest["grid"]["direction"] = direction
    page = open_scene(made)
    assert page.eval_on_selector_all(".s3d-plane-head strong", "all => all.map(e => e.textContent)") == titles
    assert page.evaluate(f"() => S3D.geometry.anatomy({VIEWER}.scene.grid)[0].ends") == letters
    mm = page.evaluate(f"() => S3D.geometry.positionMm({VIEWER}.scene.grid, [3, 4, 5])")
    grid = made.manifest["grid"]
    wanted = np.asarray(grid["origin_mm"]) + np.asarray(direction) @ (np.asarray(grid["spacing_mm"]) * [3, 4, 5])
    assert np.allclose(mm, wanted)
    assert page.evaluate(f"mm => S3D.geometry.nearestVoxel({VIEWER}.scene.grid, mm)", mm) == [3, 4, 5]
    # A patient's right is on the left of the screen, whichever way the index runs: x is smallest there.
    coronal = page.evaluate(f"() => {VIEWER}.planes[0].view")
    column = np.asarray(direction)[0, coronal["across"]]
    assert (column < 0) == coronal["flipAcross"]


def test_a_click_hits_the_same_voxel_where_axes_are_turned(open_scene):
    made = page_of(SHAPE, (3.0, 3.0, 2.0), names=("dose",))
    made.manifest["grid"]["direction"] = [[-1.0, 0, 0], [0, 0, 1], [0, -1.0, 0]]
    page = open_scene(made)
    for n in range(3):
        plane = page.evaluate(f"n => (({{ view, box }}) => ({{ view, box }}))({VIEWER}.planes[n])", n)
        voxel = [2, 3, 4]
        page.evaluate(f"() => {VIEWER}.moveTo([7, 6, 9])")
        place = page.evaluate(f"n => {VIEWER}.planes[n].point([2, 3, 4])", n)
        page.locator(".s3d-plane canvas").nth(n).click(position={"x": place[0], "y": place[1]})
        voxel[plane["view"]["axis"]] = [7, 6, 9][plane["view"]["axis"]]
        assert page.evaluate(f"() => {VIEWER}.state.voxel") == voxel


def test_a_grid_of_one_slice_is_shown(open_scene):
    made = page_of((1, 9, 20), SPACING, names=("dose",), curves=False)
    page = open_scene(made)
    assert np.abs(read(page, "dose", 0, 0) - made.values["dose"][0]).max() < 1e-4
    do(page, "viewer.moveTo([5, 3, 11])")
    assert values(page)["layer/dose"] == pytest.approx(made.values["dose"][0, 3, 11], abs=1e-4)
