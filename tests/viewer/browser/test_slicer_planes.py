"""What the planes show: colours, values, lines and marks, against the arrays that went into the page."""

import numpy as np
import pytest
from scenes import Page, colours, page_of
from slicer_page import at, bare, centres, click, do, pixels, settle, texts, values

SHAPE = (20, 16, 48)
NO_VALUE = {"light": [(207, 205, 198), (195, 193, 185)], "dark": [(74, 73, 68), (85, 84, 78)]}
VOXEL = (7, 9, 20)


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Page, object]:
    page = page_of(SHAPE)
    return page, page.write(tmp_path_factory.mktemp("slicer") / "plan.html")


@pytest.fixture
def page(open_page, made):
    return settle(open_page(made[1]))


def palette_at(values, name, low, high):
    """Colours by numpy: 256 equal steps of the window, its ends for what lies beyond."""
    place = np.clip(np.floor((np.nan_to_num(values) - low) / (high - low) * 256), 0, 255).astype(int)
    return colours(name)[place].astype(float)


def shown(page, axis, voxel=VOXEL):
    """Colours at the voxel centres of a plane, the rows and columns of `np.take`; False where marks may lie."""
    shot = pixels(page, axis)
    x, y = centres(page, axis)
    found = shot[np.floor(y).astype(int), np.floor(x).astype(int)].astype(float)
    others = [a for a in range(3) if a != axis]
    free = np.ones(found.shape[:2], dtype=bool)
    free[voxel[others[0]], :] = free[:, voxel[others[1]]] = False  # the cross-hair
    height = y.max()
    return found, free & ~((x < x.min() + 100) & (y > height - 40))  # the beam's mark with its name


def test_the_colours_of_every_plane_are_the_palette_at_the_values(page, made):
    bare(page)
    do(page, f"viewer.moveTo({list(VOXEL)})")
    for axis in range(3):
        wanted = np.take(made[0].values["D_RBE"], VOXEL[axis], axis=axis)
        found, free = shown(page, axis)
        free &= np.isfinite(wanted)
        assert free.sum() > 120
        # One code's rounding may take the palette's next colour.
        assert np.abs(found - palette_at(wanted, "viridis", 0.0, 3.0))[free].max() <= 4


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_value_is_grey_and_hatched_and_is_where_the_map_has_none(open_page, made, scheme):
    page = settle(open_page(made[1], color_scheme=scheme))
    bare(page)
    do(page, f"viewer.moveTo({list(VOXEL)})")
    for axis in range(3):
        missing = np.isnan(np.take(made[0].values["D_RBE"], VOXEL[axis], axis=axis))
        found, free = shown(page, axis)
        greys = np.asarray(NO_VALUE[scheme], dtype=float)
        # Between the two greys of the hatch, nothing else.
        is_grey = ((found >= greys.min(axis=0) - 2) & (found <= greys.max(axis=0) + 2)).all(axis=-1)
        assert np.array_equal(is_grey[free], missing[free])
        assert missing[free].any() or axis == 2


def test_an_overlay_is_mixed_by_its_opacity_and_stays_away_where_it_has_no_value(page, made):
    bare(page)
    do(page, f"viewer.moveTo({list(VOXEL)})")
    do(page, "viewer.set({ base: 'dose', overlay: 'error', opacity: 0.4 })")
    dose, error = (np.take(made[0].values[name], VOXEL[1], axis=1) for name in ("dose", "error"))
    below, above = palette_at(dose, "viridis", 0.0, 2.2), palette_at(error, "balance", -5.0, 5.0)
    wanted = np.where(np.isnan(error)[..., None], below, 0.6 * below + 0.4 * above)
    found, free = shown(page, 1)
    assert np.abs(found - wanted)[free].max() <= 6


def test_an_overlay_hides_what_is_below_its_window_unless_asked_otherwise(page, made):
    bare(page)
    do(page, f"viewer.moveTo({list(VOXEL)})")
    do(page, "viewer.set({ base: 'dose', overlay: 'LET_d', opacity: 1 })")
    do(page, "viewer.setWindow('LET_d', 2, 10)")
    dose, let = (np.take(made[0].values[name], VOXEL[1], axis=1) for name in ("dose", "LET_d"))
    below, above = palette_at(dose, "viridis", 0.0, 2.2), palette_at(let, "cividis", 2.0, 10.0)
    for hides in (True, False):
        page.get_by_label("Hide below the window").set_checked(hides)
        settle(page)
        is_above = let >= 2 if hides else np.isfinite(let)
        found, free = shown(page, 1)
        free &= ~(np.abs(np.nan_to_num(let) - 2) < 1e-3)
        assert np.abs(found - np.where(is_above[..., None], above, below))[free].max() <= 4


def test_a_clicked_voxel_prints_the_values_of_all_layers(page, made):
    rng = np.random.default_rng(5)
    for axis in range(3):
        voxel = list(at(page))
        for other in {0, 1, 2} - {axis}:
            voxel[other] = int(rng.integers(SHAPE[other]))
        click(page, axis, tuple(voxel))
        assert at(page) == tuple(voxel)
        found = values(page)
        for layer in made[0].manifest["layers"]:
            wanted = made[0].values[layer["name"]][tuple(voxel)]
            printed = found[f"layer/{layer['name']}"]
            if np.isnan(wanted):
                assert printed is None
            else:
                assert printed == pytest.approx(wanted, abs=1.01 * layer["step"] + 1e-6 * abs(wanted))


def test_printed_values_have_four_digits_their_unit_and_no_value_in_words(page, made):
    do(page, "viewer.moveTo([10, 8, 30])")
    printed = texts(page)
    dose, let = (made[0].values[name][10, 8, 30] for name in ("dose", "LET_d"))
    assert printed["layer/dose"] == f"{dose:#.4g}Gy"
    assert printed["layer/LET_d"] == f"{let:.3f}keV/µm"
    do(page, "viewer.moveTo([0, 0, 47])")
    assert texts(page)["layer/RBE"] == "no value"


def test_structures_and_simulations_of_the_voxel_stand_in_the_table(page, made):
    inside = tuple(int(n) for n in np.unravel_index(made[0].fractions["Target"].argmax(), SHAPE))
    do(page, f"viewer.moveTo({list(inside)})")
    assert values(page)["structure/Target"] == pytest.approx(1.0)
    assert "structure/Cord" not in values(page)
    point = next(point for point in made[0].manifest["points"] if point["held_out"])
    do(page, f"viewer.moveTo({point['voxel']})")
    assert values(page)["point/RBE"] == pytest.approx(point["values"]["RBE"])
    assert "±0.0040 (s.e.)" in texts(page)["point/RBE"]
    assert "held out" in page.locator('tr[data-key="point/RBE"]').inner_text()


def test_simulated_voxels_are_marked_in_their_slice_only_filled_where_held_out(page, made):
    bare(page)
    for point in made[0].manifest["points"][:4]:
        i, j, k = point["voxel"]
        do(page, f"viewer.moveTo([{i}, {(j + 5) % SHAPE[1]}, {(k + 9) % SHAPE[2]}])")
        without = pixels(page, 0)
        do(page, "viewer.set({ points: true })")
        x, y = (array[j, k] for array in centres(page, 0))
        disc = pixels(page, 0)[int(y), int(x)]
        assert (disc == 255).all() if point["held_out"] else np.abs(disc - without[int(y), int(x)]).max() <= 2
        assert (pixels(page, 0) != without)[int(y) - 6 : int(y) + 7, int(x) - 6 : int(x) + 7].any()
        do(page, f"viewer.moveAlong(0, {(i + 1) % SHAPE[0]})")
        beside = pixels(page, 0)
        do(page, "viewer.set({ points: false })")
        here = (slice(int(y) - 2, int(y) + 3), slice(int(x) - 2, int(x) + 3))
        if not any(p["voxel"] == [(i + 1) % SHAPE[0], j, k] for p in made[0].manifest["points"]):
            assert np.array_equal(beside[here], pixels(page, 0)[here])


def test_isodose_lines_and_contours_run_where_the_level_is_crossed(page, made):
    bare(page)
    do(page, "viewer.moveTo([9, 1, 44])")
    plain = pixels(page, 0)
    dose, target = (np.take(array, 9, axis=0) for array in (made[0].values["dose"], made[0].fractions["Target"]))
    x, y = centres(page, 0)
    for turn_on, array, levels in (
        ("{ isodose: true, structures: new Set() }", dose, [1.9, 1.6, 1.0, 0.4]),
        ("{ isodose: false, structures: new Set(['Target']) }", target, [0.5]),
    ):
        do(page, f"viewer.set({turn_on})")
        changed = (pixels(page, 0) != plain).any(axis=-1)
        reach = 0.5 * (x[0, 1] - x[0, 0]), 0.5 * (y[1, 0] - y[0, 0])
        for j, k in np.ndindex(*array.shape):
            near = array[max(j - 1, 0) : j + 2, max(k - 1, 0) : k + 2]
            crossed = any(near.min() < level <= near.max() for level in levels)
            box = changed[
                int(y[j, k] - reach[1]) : int(y[j, k] + reach[1]), int(x[j, k] - reach[0]) : int(x[j, k] + reach[0])
            ]
            assert crossed or not box.any(), (j, k)
        assert changed.sum() > 200
