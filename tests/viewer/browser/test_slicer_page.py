"""The page as a whole: readable by all, on narrow screens and on paper, and quick on a large volume."""

import io
import re
import statistics

import numpy as np
import pytest
from PIL import Image
from scenes import page_of
from slicer_page import MINIMUM_CONTRAST, VIEWER, canvas, contrasts, do, settle, values

SHAPE = (20, 16, 48)
MINIMUM_CONTRAST_OF_PARTS = 3.0  # WCAG 2.2 AA, 1.4.11

NAMELESS = """() => [...document.querySelectorAll(".s3d-viewer :is(button, input, select, canvas[tabindex], summary)")]
  .filter((e) => ![e.ariaLabel, e.closest("label")?.innerText, e.innerText].some((name) => name?.trim()))
  .map((e) => e.outerHTML)"""

OUTLINE = """() => {
  const style = getComputedStyle(document.activeElement);
  return [style.outlineStyle, parseFloat(style.outlineWidth), style.outlineColor];
}"""

SCALES = f"() => {VIEWER}.planes.map(p => [p.box.width / p.sizeMm('across'), p.box.height / p.sizeMm('down')])"

# Milliseconds from a move to its picture, each of a slice that was not shown before.
SLICES = """async (first) => {
  const viewer = document.querySelector("[data-s3d-root]").s3d;
  const times = [];
  for (const axis of [0, 1, 2])
    for (let index = first; index < 110; index += 6) {
      const start = performance.now();
      viewer.moveAlong(axis, index);
      await viewer.settled();
      times.push(performance.now() - start);
    }
  return times;
}"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return page_of(SHAPE).write(tmp_path_factory.mktemp("slicer") / "plan.html")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_the_contrast_of_wcag_aa(open_page, made, scheme):
    page = settle(open_page(made, color_scheme=scheme))
    do(page, "viewer.set({ overlay: 'error' })")
    do(page, "viewer.say('An example of what is said.')")
    page.locator(".s3d-help summary").click()
    values(page)
    found = contrasts(page, ".s3d-viewer *")
    assert len(found) > 60
    assert not [entry for entry in found if entry[1] < MINIMUM_CONTRAST]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_scales_on_the_canvas_have_the_contrast_of_wcag_aa_too(open_page, made, scheme):
    page = settle(open_page(made, color_scheme=scheme))
    inks = page.evaluate("() => S3D.colours.inks()")
    for name in ("ink", "muted"):
        assert page.evaluate("([a, b]) => S3D.charts.contrast(a, b)", [inks[name], inks["sheet"]]) >= MINIMUM_CONTRAST
    sheet = page.locator(".s3d-viewer").evaluate("e => getComputedStyle(e).backgroundColor")
    assert [int(n) for n in re.findall(r"\d+", sheet)] == [int(inks["sheet"][at : at + 2], 16) for at in (1, 3, 5)]


def test_every_control_has_a_name_and_is_reached_by_tab(open_page, made):
    page = settle(open_page(made))
    assert page.evaluate(NAMELESS) == []
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(
            page.evaluate("() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText")
        )
    wanted = {"Axial plane", "Axial slice", "Coronal plane", "Sagittal slice", "Layer", "Overlay", "Go", "Play slices"}
    assert wanted <= reached


def test_the_focus_is_seen(open_page, made):
    page = settle(open_page(made))
    page.keyboard.press("Tab")
    style = page.evaluate(OUTLINE)
    assert style[:2] == ["solid", 2]
    colour = "#" + "".join(f"{int(n):02x}" for n in re.findall(r"\d+", style[2])[:3])
    assert page.evaluate("c => S3D.charts.contrast(c, '#ffffff')", colour) >= MINIMUM_CONTRAST_OF_PARTS


def test_planes_say_what_they_are_and_values_are_announced_politely(open_page, made):
    page = settle(open_page(made))
    for title in ("Axial", "Coronal", "Sagittal"):
        plane = page.get_by_role("application", name=f"{title} plane")
        assert plane.get_attribute("aria-roledescription") == "slice"
        described = page.locator(f"#{plane.get_attribute('aria-describedby')}")
        assert "Arrow keys" in described.text_content()
    assert page.locator(".s3d-values-table [aria-live]").get_attribute("aria-live") == "polite"


@pytest.mark.parametrize("width", [360, 768, 1280, 1800])
def test_nothing_is_wider_than_the_screen_and_lengths_are_true(open_page, made, width):
    page = settle(open_page(made, viewport={"width": width, "height": 800}))
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    scales = np.asarray(page.evaluate(SCALES))  # (plane, side) px per mm
    assert (np.abs(scales[:, 0] / scales[:, 1] - 1) < 0.02).all()  # whole pixels
    assert width < 600 or scales.max() / scales.min() < 1.02  # planes beside each other have one scale
    assert page.evaluate(f"() => Math.min(...{VIEWER}.planes.map(p => p.box.width))") > 150


def test_the_planes_follow_the_window(open_page, made):
    page = settle(open_page(made))
    wide = canvas(page, 1).bounding_box()["width"]
    page.set_viewport_size({"width": 400, "height": 800})
    page.wait_for_function(f"w => {VIEWER}.planes[0].box.width < w", arg=0.8 * wide)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 400


def test_a_dark_page_prints_light_with_its_planes(open_page, made):
    page = settle(open_page(made, color_scheme="dark"))
    page.emulate_media(media="print", color_scheme="dark")
    settle(page)
    page.wait_for_timeout(100)
    shot = np.asarray(Image.open(io.BytesIO(canvas(page, 1).screenshot())).convert("RGB"), dtype=int)
    margin = shot[: shot.shape[0] // 2, :40]
    assert (margin == 255).all(axis=-1).mean() > 0.8  # white paper
    assert margin.min() < 80  # dark ink on it
    assert not page.get_by_role("button", name="Auto").is_visible()
    assert not page.locator(".s3d-goto").is_visible()
    assert page.locator(".s3d-print-only").first.inner_text() == "RBE-weighted dose, Gy (RBE)"
    do(page, "viewer.set({ overlay: 'LET_d', opacity: 0.3 })")
    assert page.locator(".s3d-print-only").nth(1).inner_text() == "Dose-averaged LET, keV/µm, 30 % opaque"


def test_the_pdf_holds_the_three_planes_as_pictures(open_page, made):
    page = settle(open_page(made))
    pdf = page.pdf(format="A4", print_background=True)
    sizes = {(int(w), int(h)) for w, h in re.findall(rb"/Subtype\s*/Image\s*/Width (\d+)\s*/Height (\d+)", pdf)}
    assert {(48, 16), (20, 16), (48, 20)} <= sizes  # one pixel a voxel; lines and letters are vectors


def test_a_volume_of_128_cubed_is_painted_in_3_s_and_a_slice_changes_in_100_ms(open_page, tmp_path):
    made = page_of((128, 128, 128), (2.0, 2.0, 2.0), names=("D_RBE", "dose", "LET_d"), curves=False)
    path = made.write(tmp_path / "large.html")
    page = settle(open_page(path))
    first = page.evaluate("() => performance.getEntriesByName('s3d:first-paint')[0].startTime")
    do(page, "viewer.set({ overlay: 'LET_d' })")
    # The machine may be shared with other work: of three rounds of new slices the best one counts.
    rounds = [page.evaluate(SLICES, start) for start in (10, 12, 14)]
    best = min(rounds, key=lambda times: np.percentile(times, 90))
    said = f"median {statistics.median(best):.0f}, largest {max(best):.0f} of {len(best)} slices"
    assert first <= 3000, f"page of {path.stat().st_size / 1e6:.1f} MB"
    assert np.percentile(best, 90) < 100, said
