"""Depth profiles in a real browser: read-outs against the data, and the link to the cross-hair in both directions."""

import csv

import charts_page
import pytest

DEPTH = [1.25 + 2.5 * n for n in range(6)]
JUDGED = [1.05, 1.08, 1.11, 1.2, None, None]
HALF = [0.02, 0.02, 0.03, 0.05, None, None]
REFERENCE = [1.04, 1.09, 1.1, 1.25, 1.4, None]
DOSE = [0.8, 0.9, 1.2, 1.6, 0.4, 0.0]
RBE = {
    "title": "RBE on the line through the largest dose",
    "quantity": "RBE",
    "symbol": "RBE",
    "unit": "1",
    "depth_mm": DEPTH,
    "series": [
        {"name": "surrogate", "kind": "judged", "values": JUDGED, "half_width": HALF},
        {"name": "direct", "kind": "reference", "values": REFERENCE, "half_width": None},
        {"name": "constant", "kind": "baseline", "values": [1.1] * 6, "half_width": None},
        {"name": "dose", "kind": "dose", "values": DOSE, "half_width": None},
    ],
}
D_RBE = {
    "title": "RBE-weighted dose",
    "quantity": "D_RBE",
    "symbol": "D_RBE",
    "unit": "Gy (RBE)",
    "depth_mm": DEPTH,
    "series": [
        {"name": "surrogate", "kind": "judged", "values": [0.9, 1.0, 1.3, 1.9, 0.5, 0.0], "half_width": None},
        {"name": "dose", "kind": "dose", "values": DOSE, "half_width": None},
    ],
}
MOVED = "globalThis.moved = []; document.querySelector('.s3d').s3d = {moveTo: (voxel) => moved.push(voxel)}"


@pytest.fixture
def open_profiles(open_page, tmp_path):
    def opened(**parts):
        page = open_page(charts_page.write_page(tmp_path, charts_page.scene(**{"profiles": [RBE, D_RBE]} | parts)))
        page.evaluate(MOVED)
        return page

    return opened


def slider(page):
    return page.get_by_role("slider", name="Depth profile")


def readings(page):
    return [item.text_content() for item in page.locator(".s3d-readings li").all()]


def cross_hair_at(page, voxel):
    page.evaluate(
        "voxel => document.querySelector('.s3d').dispatchEvent(new CustomEvent('s3d:voxel', {detail: {voxel}}))", voxel
    )


def test_the_profile_is_read_where_the_cross_hair_is(open_profiles):
    page = open_profiles()
    assert float(slider(page).get_attribute("aria-valuenow")) == DEPTH[2]  # of the scene's focus
    cross_hair_at(page, [1, 1, 3])
    assert float(slider(page).get_attribute("aria-valuenow")) == DEPTH[3]
    said = readings(page)
    assert "1.200 ± 0.050" in said[0]
    assert "\u22124.0 % to reference" in said[0]
    assert said[1] == "direct1.250"
    assert "\u221212 % to reference" in said[2]
    assert said[3] == "dose100.0 %"
    assert page.evaluate("moved") == []  # what the viewer did is not sent back to it


def test_where_the_beam_runs_against_the_index_the_depths_do(open_profiles):
    page = open_profiles(beam={"axis": 2, "sign": -1})
    cross_hair_at(page, [0, 0, 5])
    assert float(slider(page).get_attribute("aria-valuenow")) == DEPTH[0]
    slider(page).press("ArrowRight")
    assert page.evaluate("moved") == [[0, 0, 4]]


def test_keys_and_presses_move_the_cross_hair_and_hovering_does_not(open_profiles):
    page = open_profiles()
    slider(page).press("End")
    assert page.evaluate("moved") == [[1, 1, 5]]
    assert readings(page)[0].startswith("surrogate\u2013")
    box = slider(page).bounding_box()
    page.mouse.move(box["x"] + 60, box["y"] + 80)
    assert float(slider(page).get_attribute("aria-valuenow")) == DEPTH[0]
    assert page.evaluate("moved").pop() == [1, 1, 5]
    page.mouse.down()
    assert page.evaluate("moved").pop() == [1, 1, 0]


def test_without_one_beam_axis_profile_and_cross_hair_are_not_linked(open_profiles):
    page = open_profiles(beam=None)
    before = slider(page).get_attribute("aria-valuenow")
    cross_hair_at(page, [1, 1, 5])
    assert slider(page).get_attribute("aria-valuenow") == before
    slider(page).press("Home")
    assert page.evaluate("moved") == []


def test_a_missing_value_is_a_gap_and_the_band_ends_with_the_values(open_profiles):
    page = open_profiles()
    judged = page.locator(".s3d-plot path.s3d-strong").get_attribute("d")
    assert judged.count("M") == 1
    assert judged.count("L") == 3
    assert page.locator(".s3d-plot path.s3d-band").count() == 1
    assert "NaN" not in page.locator(".s3d-plot").inner_html()


def test_dose_has_its_own_scale_beside_another_quantity_and_the_same_beside_a_dose(open_profiles):
    page = open_profiles()
    assert page.locator(".s3d-plot path.s3d-wash").count() == 1
    assert page.get_by_role("button", name="dose, % of its largest").count() == 1
    page.get_by_role("combobox", name="Profile").select_option("RBE-weighted dose")
    assert page.locator(".s3d-plot path.s3d-wash").count() == 0
    cross_hair_at(page, [1, 1, 3])
    assert readings(page) == ["surrogate1.900 Gy (RBE)", "dose1.600 Gy (RBE)"]


def test_curves_are_switched_off(open_profiles):
    page = open_profiles()
    page.get_by_role("button", name="constant").press("Space")
    assert len(readings(page)) == 3
    assert page.locator(".s3d-plot path.s3d-line").count() == 2


def test_new_profiles_replace_those_of_their_title(open_profiles):
    page = open_profiles()
    page.get_by_role("combobox", name="Profile").select_option("RBE-weighted dose")
    page.evaluate("""() => {
        const [rbe, dose] = source.scene.profiles;
        const changed = {...dose, series: [{...dose.series[0], values: [2, 2, 2.5, 2, 2, 2]}]};
        const detail = {profiles: [rbe, changed]};
        document.querySelector(".s3d").dispatchEvent(new CustomEvent("s3d:scene", {detail}));
    }""")
    assert readings(page) == ["surrogate2.500 Gy (RBE)"]


def test_the_profile_as_csv_is_the_profile(open_profiles):
    page = open_profiles()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Download CSV: Depth profiles").click()
    with open(waiting.value.path(), newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["depth / mm", "surrogate", "half width of surrogate", "direct", "constant", "dose"]
    assert [float(row[0]) for row in rows] == DEPTH
    assert rows[3] == ["8.75", "1.2", "0.05", "1.25", "1.1", "1.6"]
    assert rows[5] == ["13.75", "", "", "", "1.1", "0"]
