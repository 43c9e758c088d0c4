"""Volume histograms in a real browser: what is read and printed against numpy, and every control by keyboard."""

import csv
import io

import charts_page
import numpy as np
import pytest

rng = np.random.default_rng(5)
PTV = rng.normal(2.0, 0.05, 500)
CORD = rng.gamma(4.0, 0.2, 200)
JUDGED = {"PTV": PTV * 1.02, "Cord": CORD * 0.97}
REFERENCE = {"PTV": PTV, "Cord": CORD}
LEVELS = 64


@pytest.fixture
def page(open_page, tmp_path):
    curves = [
        charts_page.histogram(name, method, values[name])
        for name in ("PTV", "Cord")
        for method, values in (("surrogate", JUDGED), ("reference", REFERENCE))
    ]
    curves.append(charts_page.histogram("PTV", "surrogate", 3 * PTV, "LET_d"))
    structures = [{"name": "PTV", "colour": "#ffff00"}]
    return open_page(charts_page.write_page(tmp_path, charts_page.scene(histograms=curves, structures=structures)))


def slider(page):
    return page.get_by_role("slider", name="Volume histogram")


def reading(page, row, column):
    """Text of the reading table: a structure by a method."""
    cell = page.locator(".s3d-readings tbody tr", has_text=row).locator("td").nth(column)
    return cell.evaluate("c => c.firstChild.textContent")


def downloaded(page, button):
    with page.expect_download() as waiting:
        button.click()
    with open(waiting.value.path(), newline="", encoding="utf-8") as file:
        return waiting.value.suggested_filename, list(csv.reader(file))


def test_volume_at_a_level_is_that_of_the_voxels(page):
    page.evaluate("mounted.histograms.plot.readAt(1.9)")
    level = float(slider(page).get_attribute("aria-valuenow"))
    for name in ("PTV", "Cord"):
        for column, values in enumerate((JUDGED, REFERENCE)):
            expected = 100 * (values[name] >= level).mean()
            found = float(reading(page, name, column).split()[0])
            assert found == pytest.approx(expected, abs=between_levels(values[name], level) + 0.051)


def between_levels(values, level):
    """Share of the volume in % between the two points of the curve about a level: it is interpolated there."""
    edges = np.linspace(0, values.max(), LEVELS)
    right = np.searchsorted(edges, level)
    return 100 * ((values >= edges[right - 1]) & (values < edges[min(right, LEVELS - 1)])).mean()


def test_levels_of_the_curve_are_read_exactly_and_level_of_a_volume_is_the_inverse(page):
    curve = charts_page.histogram("PTV", "reference", PTV)
    for n in (0, 40, 63):
        expected = 100 * (curve["levels"][n] <= PTV).mean()
        call = f"S3D.histograms.volumeAt(source.scene.histograms[1], {curve['levels'][n]!r})"
        assert page.evaluate(call) == pytest.approx(expected, abs=1e-9)
    assert page.evaluate(f"S3D.histograms.volumeAt(source.scene.histograms[1], {float(PTV.max()) + 1e-6!r})") == 0
    at = "S3D.histograms.levelAt(source.scene.histograms[1], S3D.histograms.volumeAt(source.scene.histograms[1], {}))"
    for level in (1.95, 2.0, 2.04):
        assert page.evaluate(at.format(level)) == pytest.approx(level, abs=1e-9)
    assert page.evaluate("S3D.histograms.levelAt({levels: [0, 1], volume_percent: [90, 0]}, 95)") is None


def test_keys_move_the_reading_line_by_round_steps(page):
    slider(page).focus()
    page.keyboard.press("Home")
    assert float(slider(page).get_attribute("aria-valuenow")) == 0
    page.keyboard.press("ArrowRight")
    step = float(slider(page).get_attribute("aria-valuenow"))
    assert 0 < step <= 0.02
    page.keyboard.press("PageUp")
    assert float(slider(page).get_attribute("aria-valuenow")) == pytest.approx(11 * step)
    page.keyboard.press("ArrowDown")
    assert float(slider(page).get_attribute("aria-valuenow")) == pytest.approx(10 * step)
    page.keyboard.press("End")
    assert slider(page).get_attribute("aria-valuenow") == slider(page).get_attribute("aria-valuemax")
    assert "PTV, surrogate: 0.0 %" in slider(page).get_attribute("aria-valuetext")


def test_the_pointer_reads_the_level_below_it(page):
    box = slider(page).bounding_box()
    page.mouse.move(box["x"] + 58 + 0.5 * (box["width"] - 72), box["y"] + 100)  # 58 and 14 are the margins
    largest = float(slider(page).get_attribute("aria-valuemax"))
    assert float(slider(page).get_attribute("aria-valuenow")) == pytest.approx(largest / 2, abs=0.02)


def test_reading_by_volume_gives_the_level_of_the_hottest_part(page):
    page.get_by_role("button", name="by volume").click()
    assert slider(page).get_attribute("aria-orientation") == "vertical"
    assert float(slider(page).get_attribute("aria-valuenow")) == 50
    spacing = PTV.max() / (LEVELS - 1)
    assert float(reading(page, "PTV", 1).split()[0]) == pytest.approx(np.median(PTV), abs=spacing)


def test_structures_and_methods_are_switched_by_keyboard(page):
    cord = page.get_by_role("button", name="Cord")
    cord.focus()
    page.keyboard.press("Space")
    assert cord.get_attribute("aria-pressed") == "false"
    assert page.locator(".s3d-readings tbody tr").count() == 1
    assert page.locator(".s3d-plot path.s3d-line").count() == 2
    page.get_by_role("button", name="reference", exact=True).press("Enter")
    assert page.locator(".s3d-plot path.s3d-line").count() == 1


def test_quantities_are_switched_with_their_unit_and_labels(page):
    page.get_by_role("button", name="LETd").click()
    assert "keV/µm" in page.locator(".s3d-card .s3d-title").nth(1).text_content()
    assert page.evaluate("document.activeElement.dataset.value") == "LET_d"
    assert "L98%" in page.locator(".s3d-table thead").last.text_content()


def test_a_method_is_a_dash_and_a_structure_a_colour_that_can_be_read(page):
    lines = page.locator(".s3d-plot path.s3d-line")
    dashes = [lines.nth(n).get_attribute("stroke-dasharray") for n in range(4)]
    assert dashes[0] == dashes[2] != dashes[1] == dashes[3]
    strokes = [lines.nth(n).evaluate("p => getComputedStyle(p).stroke") for n in range(4)]
    assert strokes[0] == strokes[1] != strokes[2] == strokes[3]
    r, g, b = (int(part) for part in strokes[0][4:-1].split(","))
    assert r == g > b == 0  # the yellow of the structure set, darker
    assert page.evaluate(f"S3D.charts.contrast('#{r:02x}{g:02x}{b:02x}', '#ffffff')") >= 4.5


def test_statistics_and_their_differences_are_those_of_the_voxels(page):
    row = page.locator(".s3d-table tbody tr", has_text="surrogate").filter(has=page.locator("small")).first
    values = [float(row.locator("td").nth(n).get_attribute("data-value")) for n in range(1, 6)]
    of = lambda v: [np.sort(v)[::-1][int(np.ceil(p * 5)) - 1] for p in (2, 50, 98)] + [v.mean()]  # noqa: E731
    v95 = [100 * (each >= 1.9).mean() for each in (JUDGED["PTV"], PTV)]
    np.testing.assert_allclose(values, [*of(JUDGED["PTV"]), v95[0]], rtol=1e-12)
    printed = [row.locator("small").nth(n).text_content().replace("\u2212", "-") for n in range(5)]
    for text, mine, theirs in zip(printed[:4], of(JUDGED["PTV"]), of(PTV), strict=True):
        assert text == f"{mine - theirs:+.3f}"
    assert printed[4] == f"{v95[0] - v95[1]:+.2f} pp"
    page.get_by_role("button", name="%", exact=True).click()
    assert row.locator("small").first.text_content() == "+2.00 %"


def test_differences_can_be_to_another_method(page):
    page.get_by_role("combobox", name="Differences to").select_option("surrogate")
    assert "differences to surrogate" in page.locator("caption").first.text_content()
    first = page.locator(".s3d-table tbody tr", has_text="reference").filter(has=page.locator("small")).first
    assert first.locator("small").first.text_content().startswith("\u2212")


def test_statistics_as_csv_have_units_in_their_header_and_all_digits(page):
    button = page.get_by_role("button", name="Download CSV: Statistics of D_RBE, with differences to reference")
    name, rows = downloaded(page, button)
    assert name == "Statistics_of_D_RBE_with_differences_to_reference.csv"
    header, first, *_ = rows
    assert header[:3] == ["structure", "method", "D2% / Gy (RBE)"]
    assert len(rows) == 5
    assert all(len(row) == len(header) for row in rows)
    told = dict(zip(header, first, strict=True))
    assert float(told["mean / Gy (RBE)"]) == JUDGED["PTV"].mean()
    assert float(told["difference of mean / percent"]) == pytest.approx(2, abs=1e-9)
    assert told["differences to"] == "reference"
    assert rows[2][header.index("differences to")] == ""
    assert int(told["voxels"]) == 500


def test_curves_as_csv_are_the_curves(page):
    _, (header, *rows) = downloaded(page, page.get_by_role("button", name="Download CSV: Volume histograms"))
    assert header == ["structure", "method", "D_RBE / Gy (RBE)", "volume / %", "volume / cm3"]
    curve = charts_page.histogram("PTV", "reference", PTV)
    mine = [row for row in rows if row[:2] == ["PTV", "reference"]]
    np.testing.assert_array_equal([float(row[2]) for row in mine], curve["levels"])
    np.testing.assert_array_equal([float(row[3]) for row in mine], curve["volume_percent"])
    assert float(mine[0][4]) == pytest.approx(5.0)


def test_voxels_without_a_value_are_told(open_page, tmp_path):
    curve = charts_page.histogram("PTV", "surrogate", PTV) | {"n_missing": 7}
    page = open_page(charts_page.write_page(tmp_path, charts_page.scene(histograms=[curve])))
    assert page.get_by_text("PTV, surrogate: 7 voxels have no value.").is_visible()
    assert page.locator(".s3d-readings small").count() == 0  # shares are of the others: no volume in cm3 follows


def test_of_many_structures_the_first_are_shown_and_one_press_shows_all(open_page, tmp_path):
    curves = [charts_page.histogram(f"S{n}", method, PTV + n) for n in range(9) for method in ("a", "b")]
    page = open_page(charts_page.write_page(tmp_path, charts_page.scene(histograms=curves)))
    assert page.locator(".s3d-plot path.s3d-line").count() == 8
    page.get_by_role("button", name="all").click()
    assert page.locator(".s3d-plot path.s3d-line").count() == 18
    assert page.get_by_role("button", name="S8").get_attribute("aria-pressed") == "true"


def test_new_histograms_replace_the_old_and_what_was_off_stays_off(page):
    page.get_by_role("button", name="Cord").click()
    page.evaluate("""() => document.querySelector(".s3d").dispatchEvent(new CustomEvent("s3d:scene", {detail: {
        histograms: source.scene.histograms.map((h) => ({...h, statistics: {...h.statistics, mean: 7}}))}}))""")
    assert page.get_by_role("button", name="Cord").get_attribute("aria-pressed") == "false"
    assert page.locator(".s3d-table [data-value='7']").count() == 2


def test_csv_follows_rfc_4180_and_runs_no_formula(page):
    rows = [["a", 'say "x", y', "two\nlines", "=1+1", "-0.5", "+cmd", "@x"], [1.5, None, True, float("inf"), 0, "", -2]]
    text = page.evaluate("rows => S3D.csv.encode(rows)", rows)
    assert text.endswith("\r\n")
    read = list(csv.reader(io.StringIO(text, newline="")))
    assert read[0] == ["a", 'say "x", y', "two\nlines", "'=1+1", "-0.5", "'+cmd", "'@x"]
    assert read[1] == ["1.5", "", "true", "Infinity", "0", "", "-2"]
    assert page.evaluate("S3D.csv.encode([[0.1 + 0.2, NaN]])") == "0.30000000000000004,\r\n"


def test_every_captioned_table_of_a_page_gets_one_button(open_page, tmp_path):
    table = """<table><caption>Errors of <b>RBE</b></caption>
      <thead><tr><th rowspan=2>method</th><th colspan=2>relative error</th></tr>
      <tr><th>bias / %</th><th>RMS / %</th></tr></thead>
      <tbody><tr><th>net, "v2"</th><td>\u22120.31</td><td data-value="1.23456789">1.23 <small>n = 9</small></td></tr>
      <tr><th rowspan=2>table</th><td>0.5</td><td>2</td></tr><tr><td colspan=2>none</td></tr></tbody></table>
      <table><tr><td>bare</td></tr></table>"""
    page = open_page(charts_page.write_page(tmp_path, charts_page.scene(), body=table))
    assert page.evaluate("[S3D.tables.enhance(document), S3D.tables.enhance(document)]") == [1, 0]
    name, rows = downloaded(page, page.get_by_role("button", name="Download CSV: Errors of RBE"))
    assert name == "Errors_of_RBE.csv"
    assert rows == [
        ["method", "relative error bias / %", "relative error RMS / %"],
        ['net, "v2"', "-0.31", "1.23456789"],
        ["table", "0.5", "2"],
        ["table", "none", "none"],
    ]


def test_a_scene_without_data_has_no_charts(open_page, tmp_path):
    page = open_page(charts_page.write_page(tmp_path, charts_page.scene()))
    assert page.locator(".s3d-card").count() == 0
    assert page.evaluate("[mounted.histograms, mounted.profiles]") == [None, None]


def test_numbers_keep_their_significant_digits(page):
    said = page.evaluate("[2, 0.00123456, 12345.6, 999.96, -0.5, 1e-9, NaN, 0].map((v) => S3D.charts.number(v, 4))")
    assert said == ["2.000", "0.001235", "12346", "1000", "\u22120.5000", "1.000e\u22129", "\u2013", "0"]
