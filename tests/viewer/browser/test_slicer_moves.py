"""Moving about, layers and windows, by mouse and by keys, and the events that others hear."""

import numpy as np
import pytest
from scenes import page_of
from slicer_page import VIEWER, at, canvas, click, do, settle, values

SHAPE = (20, 16, 48)

RECORD = """() => {
  globalThis.heard = [];
  for (const name of ["s3d:voxel", "s3d:pick", "s3d:layer"])
    document.querySelector("[data-s3d-root]").addEventListener(name, (event) => heard.push([name, event.detail]));
}"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    page = page_of(SHAPE, names=("dose", "RBE", "LET_d", "error"))
    return page, page.write(tmp_path_factory.mktemp("slicer") / "plan.html")


@pytest.fixture
def page(open_page, made):
    return settle(open_page(made[1]))


def test_it_starts_at_the_focus_with_the_first_layer(page, made):
    assert at(page) == tuple(made[0].manifest["focus"])
    assert page.get_by_label("Layer", exact=True).input_value() == "dose"


def test_arrow_keys_move_as_the_screen_lies_page_keys_turn_slices(page):
    canvas(page, 0).focus()  # sagittal: z to the right, y down
    for key, change in (("ArrowRight", (0, 0, 1)), ("ArrowDown", (0, 1, 0)), ("PageUp", (1, 0, 0))):
        before = at(page)
        page.keyboard.press(key)
        assert tuple(np.subtract(at(page), before)) == change
    before = at(page)
    for key in ("ArrowLeft", "ArrowUp", "PageDown", "Shift+ArrowRight"):
        page.keyboard.press(key)
    assert tuple(np.subtract(at(page), before)) == (-1, -1, 9)
    page.keyboard.press("Home")
    page.keyboard.press("PageDown")
    assert at(page)[0] == 0
    page.keyboard.press("End")
    assert at(page)[0] == SHAPE[0] - 1


def test_the_wheel_scrolls_the_page_until_a_plane_is_clicked_then_slices(page):
    axis, before = 2, at(page)
    box = canvas(page, axis).bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, 100)
    assert at(page) == before
    click(page, axis, at(page))
    for _ in range(3):
        page.mouse.wheel(0, 100)
    page.wait_for_function(f"k => {VIEWER}.state.voxel[2] === k", arg=before[2] + 3)
    page.mouse.wheel(0, -100)
    page.wait_for_function(f"k => {VIEWER}.state.voxel[2] === k", arg=before[2] + 2)


def test_sliders_turn_slices_and_say_where_they_are(page):
    slider = page.get_by_label("Axial slice")
    slider.fill("11")
    assert at(page)[2] == 11
    assert slider.get_attribute("aria-valuetext") == "z = 27.5 mm, slice 11 of 0 to 47"
    assert "z = 27.5 mm, k = 11" in page.locator('.s3d-plane[data-axis="2"]').inner_text()


def test_a_drag_moves_the_cross_hair_and_a_click_picks(page):
    page.evaluate(RECORD)
    box = canvas(page, 1).bounding_box()
    page.mouse.move(box["x"] + 200, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 120, steps=4)
    page.mouse.up()
    heard = page.evaluate("heard")
    assert {name for name, _ in heard} == {"s3d:voxel"}
    assert heard[-1][1]["voxel"] == list(at(page))
    click(page, 1, (4, at(page)[1], 7))
    assert page.evaluate("heard.at(-1)") == ["s3d:pick", {"voxel": list(at(page))}]
    page.keyboard.press("Enter")
    assert page.evaluate("heard.filter(([name]) => name === 's3d:pick').length") == 2


def test_a_drag_beyond_the_image_stays_at_its_edge(page):
    box = canvas(page, 2).bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] - 300, box["y"] + 2000, steps=3)
    page.mouse.up()
    assert at(page)[:2] == (0, SHAPE[1] - 1)


def test_the_layer_menu_has_groups_and_tells_others(page):
    page.evaluate(RECORD)
    menu = page.get_by_label("Layer", exact=True)
    groups = menu.evaluate("m => [...m.querySelectorAll('optgroup')].map(g => [g.label, g.children.length])")
    assert groups == [["Predicted", 1], ["Input", 2], ["Error", 1]]
    menu.select_option("LET_d")
    settle(page)
    assert page.evaluate("heard") == [["s3d:layer", {"layer": "LET_d"}]]
    assert "Dose-averaged LET of each voxel." in page.locator(".s3d-tools").inner_text()
    assert (
        page.locator(".s3d-colour-bar").first.get_attribute("aria-label")
        == "Colours of Dose-averaged LET: 0 to 10.00 keV/µm"
    )


def test_window_numbers_reset_and_auto(page, made):
    low, high = (page.get_by_label(f"{end} value of the colours").first for end in ("Lowest", "Highest"))
    high.fill("1.5")
    high.press("Enter")
    assert do(page, "viewer.state.windows.get('dose')") == [0, 1.5]
    page.get_by_role("button", name="Auto").first.click()
    settle(page)
    page.wait_for_function(f"() => {VIEWER}.state.windows.get('dose')[1] !== 1.5")
    i, j, k = at(page)
    dose = made[0].values["dose"]
    planes = np.sort(np.concatenate([dose[i].ravel(), dose[:, j].ravel(), dose[:, :, k].ravel()]))
    wanted = [planes[int(share * planes.size)] for share in (0.01, 0.99)]
    assert do(page, "viewer.state.windows.get('dose')") == pytest.approx(wanted, abs=1e-3)
    page.get_by_role("button", name="Reset").first.click()
    assert do(page, "viewer.state.windows.get('dose')") == [0, 2.2]
    assert float(low.input_value()) == 0


def test_a_window_that_does_not_rise_is_refused_and_the_old_one_stays(page):
    high = page.get_by_label("Highest value of the colours").first
    high.fill("-1")
    high.press("Enter")
    assert "0 to -1 is none" in page.get_by_role("alert").inner_text()
    assert high.get_attribute("aria-invalid") == "true"
    assert do(page, "viewer.state.windows.get('dose')") == [0, 2.2]


def test_the_window_of_an_error_stays_symmetric(page):
    page.get_by_label("Layer", exact=True).select_option("error")
    settle(page)
    high = page.get_by_label("Highest value of the colours").first
    high.fill("3")
    high.press("Enter")
    assert do(page, "viewer.state.windows.get('error')") == [-3, 3]


def test_a_drag_on_the_colour_bar_moves_an_end_or_both(page):
    bar = page.locator(".s3d-colour-bar").first
    box = bar.bounding_box()

    def drag(start, by):
        page.mouse.move(box["x"] + start * box["width"], box["y"] + 5)
        page.mouse.down()
        page.mouse.move(box["x"] + start * box["width"] + by, box["y"] + 5, steps=3)
        page.mouse.up()
        return do(page, "viewer.state.windows.get('dose')")

    length = box["width"] - 16
    assert drag(0.9, -0.1 * length) == pytest.approx([0, 1.98], abs=0.02)
    assert drag(0.5, 0.1 * length) == pytest.approx([0.198, 2.178], abs=0.02)
    assert drag(0.1, 0.1 * length) == pytest.approx([0.396, 2.178], abs=0.02)


def test_go_to_a_voxel_by_index_or_by_position(page):
    page.evaluate(RECORD)
    target = page.get_by_label("Go to voxel i, j, k, or to x, y, z mm")
    target.fill("3, 4, 5")
    target.press("Enter")
    assert at(page) == (3, 4, 5)
    assert page.evaluate("heard.at(-1)[0]") == "s3d:pick"
    target.fill("15.1; 28.8; 60 mm")  # voxel (10, 8, 24) lies at 15, 29, 60
    target.press("Enter")
    assert at(page) == (10, 8, 24)
    assert page.get_by_role("alert").count() == 0


@pytest.mark.parametrize("text", ["3, 4", "3, 4, 48", "1.5, 2, 3", "a, b, c", "", "900, 0, 0 mm"])
def test_what_is_no_voxel_is_refused_with_the_grid(page, text):
    before = at(page)
    page.get_by_label("Go to voxel i, j, k, or to x, y, z mm").fill(text)
    page.get_by_role("button", name="Go", exact=True).click()
    assert "i, j, k go 0 to 19, 0 to 15, 0 to 47" in page.get_by_role("alert").inner_text()
    assert at(page) == before


def test_playing_turns_slices_until_it_is_stopped(page):
    before = at(page)
    page.get_by_role("button", name="Play slices").click()
    page.wait_for_function(f"k => {VIEWER}.state.voxel[2] >= k", arg=before[2] + 3)
    page.get_by_role("button", name="Stop").click()
    stopped = at(page)
    page.wait_for_timeout(300)
    assert at(page) == stopped
    assert stopped[:2] == before[:2]


def test_where_motion_is_not_wanted_a_press_is_one_slice(open_page, made):
    page = settle(open_page(made[1], reduced_motion="reduce"))
    before = at(page)
    for _ in range(2):
        page.get_by_role("button", name="Next slice").click()
    page.wait_for_timeout(200)
    assert at(page) == (before[0], before[1], before[2] + 2)


def test_newer_layers_replace_those_of_the_same_name(page):
    before = values(page)
    do(
        page,
        """(viewer.source.plane = async (name, axis) => {
             const [rows, cols] = viewer.scene.grid.shape.filter((_, a) => a !== axis);
             return { values: new Float32Array(rows * cols).fill(name === "dose" ? 7 : 1), rows, cols };
           },
           viewer.root.dispatchEvent(new CustomEvent("s3d:scene", { detail: {
             layers: [{ ...viewer.layer("dose"), version: 1, title: "Dose, anew" }] } })))""",
    )
    page.wait_for_function("() => document.querySelector('tr[data-key=\"layer/dose\"] td').dataset.value === '7'")
    assert "Dose, anew" in page.locator('tr[data-key="layer/dose"]').inner_text()
    assert values(page)["layer/RBE"] == before["layer/RBE"]  # its version is the same: what was read holds
    assert page.get_by_label("Layer", exact=True).evaluate("m => m.selectedOptions[0].text") == "Dose, anew, Gy"
