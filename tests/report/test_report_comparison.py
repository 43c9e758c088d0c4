"""Whole maps against a reference as tables: a map whose differences are known beforehand."""

import dataclasses
import re

import numpy as np
import pytest

from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.pipeline.any_map import ReferenceMap
from surrogate3d.pipeline.comparison_context import Context
from surrogate3d.pipeline.map_comparison import MapComparison, compare_maps
from surrogate3d.report import Judgement, ReportContent, render
from surrogate3d.report.comparison import comparison_tables, error_tables, histogram_tables
from surrogate3d.report.markup import join

MINUS, DASH = "\N{MINUS SIGN}", "\N{EN DASH}"
GRID = Grid((6, 6, 20), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
PLATEAU = np.where(np.arange(20) < 12, 2.0, np.clip(2.0 - 0.5 * (np.arange(20) - 12), 0, None))
DOSE = np.broadcast_to(PLATEAU, GRID.shape).astype(np.float32)  # 2 Gy up to plane 12, then less by 0.5 a plane
BOX = np.zeros(GRID.shape, np.float32)
BOX[:, :, :10] = 1


def compared(judged: dict[str, np.ndarray], name: str = "D_RBE", values: np.ndarray = DOSE) -> MapComparison:
    reference = ReferenceMap(Volume(GRID, values, quantity(name)), "made <here>", "0" * 64)
    return compare_maps(judged, reference, Context(beam=(2, 1), structures={"Target": BOX}, base=2.0))


@pytest.fixture(scope="module")
def found() -> MapComparison:
    """One map 2 % above the reference, one the same a plane (2 mm) less deep."""
    shallow = np.roll(DOSE, -1, axis=2)
    shallow[:, :, -1] = 0.0
    return compared({"high": 1.02 * DOSE, "shallow": shallow})


def cells(html: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", html)
    return [[re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]


def tables(html: str) -> dict[str, list[list[str]]]:
    """Rows of each table by its caption."""
    found = re.findall(r"<table><caption>(.*?)</caption>(.*?)</table>", html, re.DOTALL)
    return {caption: cells(body) for caption, body in found}


def test_errors_have_three_columns_for_each_method_and_a_row_for_each_group(found: MapComparison) -> None:
    rows = cells(join(error_tables([row.to_json() for row in found.errors], "D_RBE")))
    assert rows[0][:5] == ["voxels", "n", "high: bias / %", "high: rms / %", "high: p95 / %"]
    assert rows[0][5:] == ["shallow: bias / %", "shallow: rms / %", "shallow: p95 / %"]
    by_name = {row[0]: row[1:] for row in rows[1:]}
    assert by_name["all compared voxels"][:4] == ["576", "2", "2", "2"]  # 36 x 16 voxels
    assert by_name["by structure: Target"] == ["360", "2", "2", "2", "0", "0", "0"]
    assert by_name["by dose: 50 &lt;= D_RBE &lt; 80 %"][4].startswith(MINUS)
    assert "by region: distal edge" in by_name
    assert list(error_tables([], "D_RBE")) == []


def test_what_is_not_defined_is_a_dash() -> None:
    nothing = compared({"m": DOSE}, values=np.zeros(GRID.shape, np.float32))
    rows = cells(join(error_tables([row.to_json() for row in nothing.errors], "D_RBE")))
    assert rows[1] == ["all compared voxels", "720", DASH, DASH, DASH]


def test_gamma_gives_the_rate_and_the_points_by_criterion(found: MapComparison) -> None:
    html = join(comparison_tables({"D_RBE": found.to_json()}))
    rows = tables(html)["D_RBE: points that pass gamma / %, global, above 10 % of the largest value"]
    assert rows[0] == ["method", "in", "1 % / 1 mm", "2 % / 2 mm", "3 % / 2 mm"]
    by_name = {(row[0], row[1]): row[2:] for row in rows[1:]}
    assert by_name["high", "Target"] == ["0.0 (n = 360)", "100.0 (n = 360)", "100.0 (n = 360)"]
    assert by_name["shallow", "Target"] == ["100.0 (n = 360)"] * 3


def test_distal_depths_have_a_signed_difference(found: MapComparison) -> None:
    rows = tables(join(comparison_tables({"D_RBE": found.to_json()})))["D_RBE: distal depths along the beam"]
    line = {(row[0], row[1]): row[2:] for row in rows[1:]}
    r80 = 24 + 2 * 0.4 / 0.5  # 1.6 Gy lies 0.4 Gy below the edge of the plateau in plane 12
    assert line["shallow, line", "R80"] == [f"{r80 - 2:.2f}", f"{r80:.2f}", f"{MINUS}2.00"]
    assert line["high, line", "R80"] == [f"{r80:.2f}", f"{r80:.2f}", "+0.00"]


def test_a_depth_that_is_not_reached_is_a_dash() -> None:
    flat = np.full(GRID.shape, 2.0, np.float32)
    rows = tables(join(comparison_tables({"D_RBE": compared({"m": flat}, values=flat).to_json()})))
    depths = rows["D_RBE: distal depths along the beam"]
    assert {tuple(row[2:]) for row in depths[1:]} == {(DASH, DASH, DASH)}


def test_the_reference_and_what_was_taken_for_granted_are_said_in_words(found: MapComparison) -> None:
    html = join(comparison_tables({"D_RBE": found.to_json()}))
    assert "<h3>D_RBE: whole maps</h3>" in html
    assert "Reference: made &lt;here&gt;. Compared is where the reference has at least 5 %" in html


def test_a_quantity_that_is_no_dose_has_errors_alone() -> None:
    html = join(comparison_tables({"RBE": compared({"m": 1.01 * DOSE + 1}, "RBE", DOSE + 1).to_json()}))
    assert not [caption for caption in tables(html) if "gamma" in caption]
    assert "RBE: relative error by dose, LET, region and structure" in tables(html)


def test_statistics_of_structures_are_a_table_for_each_quantity(found: MapComparison) -> None:
    histograms = [each.to_json() for each in found.histograms]
    RBE = compared({"m": DOSE + 1}, "RBE", DOSE + 1).histograms
    shown = tables(join(histogram_tables([*histograms, *(each.to_json() for each in RBE)])))
    assert list(shown) == [
        "D_RBE in structures / Gy (RBE); V95: % of the volume with 95 % of 2 Gy (RBE)",
        "RBE in structures / 1; V95: % of the volume with 95 % of 2",
    ]
    rows = shown["D_RBE in structures / Gy (RBE); V95: % of the volume with 95 % of 2 Gy (RBE)"]
    assert rows[0][3:] == ["mean", "D2%", "D50%", "D98%", "V95%"]
    cm3 = "2.88"  # 360 voxels of 8 mm3
    assert rows[1] == ["Target", "reference", cm3, "2", "2", "2", "2", "100"]
    assert rows[2] == ["Target", "high", cm3, "2.04", "2.04", "2.04", "2.04", "100"]
    assert list(histogram_tables([])) == []


def test_the_report_shows_whole_maps_in_a_section_of_their_own(content: ReportContent, found: MapComparison) -> None:
    told = Judgement(
        errors=found.errors,
        comparisons={"D_RBE": found.to_json()},
        histograms=tuple(each.to_json() for each in found.histograms),
    )
    maps = {name: content.maps[name] for name in ("dose_to_water", "RBE")}  # few pictures, as each takes a while
    least = ReportContent(content.title, (), content.conditions, maps, content.mask, 2, 1, judgement=told)
    text = render(least)
    whole = text[text.index('<section id="whole">') :]
    for words in ("Whole maps and structures", "points that pass gamma", "distal depths", "in structures"):
        assert words in whole
    assert "Self-consistency only" not in text  # another map is the reference
    assert "Self-consistency only" in render(dataclasses.replace(least, judgement=Judgement()))
