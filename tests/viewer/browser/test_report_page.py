"""A whole report in a real browser: its viewer, its tables, its print, and the way of a reader without a mouse."""

import csv
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from slicer_page import MINIMUM_CONTRAST, at, contrasts, do, settle, texts, values
from synthetic import LINE, TABLE, make_field, make_surrogate, prescribed

from surrogate3d.grid import Volume, VolumeSet, quantity
from surrogate3d.pipeline.reporting import write_validation_report
from surrogate3d.pipeline.validation import ValidationSettings, validate

LARGEST_BYTES = 15_000_000
A4_WIDTH_PX = 718  # 210 mm less the margins that browsers leave, 10 mm on each side


def plan(seed, tracks, name):
    """A field of 2 Gy at most, with a LET map."""
    field = prescribed(make_field(seed=seed, tracks=tracks, halves=True, files=(name,)), 2.0)
    LET = Volume(field.grid, np.linspace(1, 5, field.grid.n_voxels).reshape(field.grid.shape), quantity("LET_d"))
    return replace(field, volumes=VolumeSet(field.grid, {**field.volumes, "LET_d": LET}))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The file of a report, and the validation in it."""
    folder = tmp_path_factory.mktemp("report")
    low, high, settings = plan(1, 300, "low"), plan(2, 20000, "high"), ValidationSettings(truth="zr_table")
    surrogate = make_surrogate(low)
    found = validate(low, high, "high", surrogate, LINE, TABLE, settings, folder / "ledger")
    target = np.zeros(low.grid.shape, dtype=np.float32)
    target[3:6, 3:6, 2:7] = 1.0
    path = folder / "report.html"
    write_validation_report(
        path, low, high, found, surrogate, LINE, settings, provenance={"seed": 1}, structures={"Target <1>": target}
    )
    return path, found, low


def test_the_viewer_shows_the_maps_of_the_validation(open_page, made):
    path, found, low = made
    assert path.stat().st_size < LARGEST_BYTES
    page = settle(open_page(path))
    for step in ("viewer.moveAlong(2, 4)", "viewer.moveAlong(0, 4)", "viewer.moveAlong(1, 4)"):
        do(page, step)
    voxel = at(page)
    assert voxel == (4, 4, 4)
    shown = values(page)
    predicted, true = found.predicted["surrogate"]["RBE"][voxel], found.truth["RBE"][voxel]
    assert shown["layer/RBE"] == pytest.approx(predicted, rel=1e-4)
    assert shown["layer/reference"] == pytest.approx(true, rel=1e-4)
    assert shown["layer/error, surrogate"] == pytest.approx(100 * (predicted / true - 1), abs=1e-3)
    assert shown["layer/dose_to_water"] == pytest.approx(float(low.dose[voxel]), rel=1e-4)
    assert shown["structure/Target <1>"] == 1.0
    assert "Gy (RBE)" in texts(page)["layer/D_RBE"]


def test_a_picked_voxel_tells_its_survival_curve(open_page, made):
    path, found, _ = made
    page = settle(open_page(path))
    do(page, "viewer.moveTo([4, 4, 4])")
    do(page, "viewer.pick()")
    page.wait_for_function("() => document.body.innerText.includes('Voxel 4, 4, 4')")
    page.wait_for_function("() => document.body.innerText.includes('Zaider-Rossi mixing rule')")
    place = int((np.argwhere(found.curves.mask) == (4, 4, 4)).all(axis=1).argmax())
    answer = page.evaluate("() => document.querySelector('[data-s3d-root]').s3d.source.voxel(4, 4, 4)")
    np.testing.assert_allclose(answer["effect"], found.curves.effect[place], rtol=2e-4)


def test_every_table_is_saved_as_CSV_with_what_it_shows(open_page, made):
    page = settle(open_page(made[0]))
    table = page.locator("#accuracy table").first
    with page.expect_download() as saved:
        page.locator("#accuracy").get_by_role("button", name=re.compile("CSV")).first.click()
    with Path(saved.value.path()).open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file) if row]
    shown = table.evaluate("t => [...t.rows].map(row => [...row.cells].map(cell => cell.innerText.trim()))")
    assert rows[0] == shown[0]
    assert len(rows) == len(shown)
    same = str.maketrans({"\N{MINUS SIGN}": "-", "\N{EN DASH}": ""})
    assert [cell.translate(same) for cell in shown[1]] == [cell.translate(same) for cell in rows[1]]


def test_headings_pictures_tables_and_links_lead_a_reader_without_eyes_or_mouse(open_page, made):
    page = settle(open_page(made[0]))
    levels = page.evaluate("() => [...document.querySelectorAll('h1,h2,h3,h4')].map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.evaluate("() => [...document.images].every(i => i.alt.length > 20)")
    tables = "() => [...document.querySelectorAll('main > section table')].filter(t => !t.closest('.s3d'))"
    assert page.evaluate(f"() => ({tables})().every(t => t.caption)")
    targets = page.evaluate("() => [...document.querySelectorAll('nav a')].map(a => a.getAttribute('href'))")
    assert len(targets) > 5
    assert all(page.locator(target).count() == 1 for target in targets)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_its_text_has_the_contrast_of_wcag_aa(open_page, made, scheme):
    page = settle(open_page(made[0], color_scheme=scheme))
    page.evaluate("() => document.querySelectorAll('details').forEach(d => { d.open = true; })")
    found = contrasts(page, "main *")
    assert len(found) > 500
    assert not [entry for entry in found if entry[1] < MINIMUM_CONTRAST]


def test_it_prints_whole_with_the_still_pictures(open_page, made, tmp_path):
    page = settle(open_page(made[0]))
    stills = page.locator("details.still img")
    assert stills.count() > 5
    assert not stills.first.is_visible()
    page.emulate_media(media="print")
    page.set_viewport_size({"width": A4_WIDTH_PX, "height": 1000})
    assert stills.first.is_visible()
    wide = "() => [...document.querySelectorAll('table')].filter(t => t.getBoundingClientRect().right > innerWidth)"
    assert page.evaluate(f"() => ({wide})().map(t => t.caption?.innerText)") == []
    page.pdf(path=tmp_path / "report.pdf")
    pages = len(re.findall(rb"/Type\s*/Page\b", (tmp_path / "report.pdf").read_bytes()))
    assert 5 < pages < 40


def test_without_scripts_the_pictures_and_tables_are_there(open_page, made):
    page = open_page(made[0], java_script_enabled=False)
    assert page.get_by_text("The viewer needs scripts").is_visible()
    page.locator("details.still > summary").click()
    assert page.locator("details.still img").first.is_visible()
    assert page.locator("#accuracy table").first.is_visible()
