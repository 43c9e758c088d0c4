import base64
import dataclasses
import math
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, StoreError, ValueRangeError
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.report import response_document
from surrogate3d.report.response_content import Approach, Interval, LesionPage, MapMethod, ResponseReport
from surrogate3d.report.response_document import RESEARCH_ONLY, render_response, write_response_report
from surrogate3d.report.response_figures import lesion_picture
from surrogate3d.report.response_tables import number, probability

GRID = Grid((14, 13, 12), (1.0, 1.0, 2.0), (-20.0, 3.0, 8.0))
NUMBERS = {
    "inside": {"volume_cm3": 0.1, "D_RBE": {"mean": 24.0, "D98": 22.5, "D2": 25.0}, "LET_d": None},
    "outside": {"volume_cm3": 0.3, "D_RBE": {"mean": 26.0, "D98": 25.25, "D2": 27.0}, "LET_d": None},
    "difference": {"D_RBE": {"mean": -2.0, "D98": -2.75, "D2": -2.0}, "LET_d": None},
    "whole": {"volume_cm3": 0.4, "D_RBE": {"mean": 25.5, "D98": 23.0, "D2": 27.0}, "log10_survival": -12.5},
    "notes": ["D_RBE is not known in 3 % of the lesion"],
}


class Words(HTMLParser):
    """Text, elements and their attributes; fails on elements that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.seen, self.text = list[str](), list[tuple[str, dict[str, str | None]]](), list[str]()
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)

    def __str__(self) -> str:
        return " ".join(" ".join(self.text).split())


def lesion(name: str, **changes) -> LesionPage:
    """A ball of 4 mm with a region of its left half."""
    where = GRID.position_mm(np.moveaxis(np.indices(GRID.shape), 0, -1))
    offset = where - GRID.position_mm((6, 6, 5))
    mask = (offset**2).sum(axis=-1) <= 16
    dose = Volume(GRID, np.where(mask, 25.0, 20.0) + 0.1 * offset[..., 0], quantity("D_RBE"))
    page = LesionPage(
        name=name,
        responded=0.0,
        probability=0.25,
        spread=0.5,
        image=Volume(GRID, where[..., 1].copy(), quantity("image_signal")),
        mask=mask,
        resistance=0.01 * offset[..., 0],
        region=mask & (offset[..., 0] > 0),
        truth=mask & (offset[..., 0] > 1),
        delivered={"D_RBE": dose},
        delivered_numbers=NUMBERS,
        boost="0.12 cm3 in 1 part",
        boost_region=mask & (offset[..., 0] > 2),
    )
    return dataclasses.replace(page, **changes)


@pytest.fixture(scope="module")
def content() -> ResponseReport:
    return ResponseReport(
        title="A <cohort>",
        facts=(("Threshold", "1.5 of the root mean square"),),
        methods=(
            Approach("network", Interval(0.85, 0.75, 0.93), Interval(0.8, 0.7, 0.9), Interval(0.01, -0.02, 0.05)),
            Approach("radiomics", Interval(0.75, 0.6, 0.9), AUC_below_network=Interval(0.1, 0.02, 0.18)),
            Approach("gradients", Interval(0.8, 0.7, 0.9), AUC_below_network=Interval(0.05, -0.03, 0.12)),
        ),
        localisation=(MapMethod("HiResCAM", Interval(0.5, 0.4, 0.6), Interval(0.625, 0.5, 0.75)),),
        lesions=(
            lesion("patient 1, lesion 1"),
            lesion("patient 1, lesion 2", responded=1.0, truth=None, delivered={}, delivered_numbers={}),
            lesion("patient 2, lesion 1", responded=math.nan, region=np.zeros(GRID.shape, dtype=bool)),
        ),
        notes=("patient 3, lesion 1 is left out",),
        provenance={"seed": 100},
    )


@pytest.fixture(scope="module")
def text(content: ResponseReport) -> str:
    return render_response(content)


def test_every_page_says_first_that_it_is_for_research_only(text: str) -> None:
    assert str(Words(text)).startswith(f"A <cohort> {RESEARCH_ONLY}")  # after the title of the window
    assert "A &lt;cohort&gt;" in text
    assert str(Words(render_response(ResponseReport("Nothing yet")))).count("Research only") == 1


def test_the_summary_counts_what_is_shown(text: str) -> None:
    words = str(Words(text))
    assert "3 lesions: 1 responded, 1 did not, of 1 the outcome is not known. 2 of them have a response-" in words
    assert "network: AUC 0.850 (0.750 to 0.930) on held-out lesions." in words
    assert "above that of radiomics; not to be told apart from that of gradients." in words
    assert "lies in the planted region in 50 % of held-out lesions, with a Dice of 0.62" in words
    assert "In 2 of 2 lesions with D_RBE known on both sides the region got less than the rest" in words
    assert "the median difference is \N{MINUS SIGN}2.00 Gy (RBE)" in words


def test_without_a_judgement_nothing_is_claimed(content: ResponseReport) -> None:
    words = str(Words(render_response(dataclasses.replace(content, methods=(), localisation=()))))
    assert "AUC" not in words
    assert "was not judged" in words


def test_tables_have_numbers_with_intervals_and_dashes_for_what_is_not_known(text: str) -> None:
    words = str(Words(text))
    assert "network 0.850 0.750 to 0.930 \N{EN DASH} 0.800 0.700 to 0.900 0.010 \N{MINUS SIGN}0.020 to 0.050" in words
    assert "radiomics 0.750 0.600 to 0.900 0.100 0.020 to 0.180 \N{EN DASH} \N{EN DASH}" in words
    assert "HiResCAM 0.500 0.400 to 0.600 0.625 0.500 to 0.750 \N{EN DASH} \N{EN DASH}" in words


def test_what_was_delivered_stands_inside_against_outside(text: str) -> None:
    words = str(Words(text))
    assert "D_RBE, D98 / Gy (RBE) 22.5 25.2 \N{MINUS SIGN}2.75 23.0" in words
    assert "surviving fraction \N{EN DASH} \N{EN DASH} \N{EN DASH} \N{MINUS SIGN}12.5" in words
    assert "LET_d / (keV/\N{MICRO SIGN}m) \N{EN DASH}" not in words  # known nowhere: no row
    assert "D_RBE is not known in 3 % of the lesion" in words


def test_every_lesion_is_in_the_table_and_leads_to_its_pictures(text: str) -> None:
    page = Words(text)
    ids = {attrs.get("id") for _, attrs in page.seen}
    links = [attrs["href"] for tag, attrs in page.seen if tag == "a"]
    assert links == ["#lesion-1", "#lesion-2", "#lesion-3"]
    assert {str(link)[1:] for link in links} <= ids
    assert "patient 3, lesion 1 is left out" in str(page)
    assert "Boost, research only: 0.12 cm3 in 1 part" in str(page)


def test_lesions_beyond_the_most_pictures_stay_in_the_table(content: ResponseReport, monkeypatch) -> None:
    monkeypatch.setattr(response_document, "MOST_PICTURES", 1)
    page = Words(render_response(content))
    assert "Pictures of the first 1 lesions follow; the other 2 are in the table above." in str(page)
    assert [tag for tag, _ in page.seen].count("svg") == 1
    assert str(page).count("patient 2, lesion 1") == 1


def test_pictures_are_described_and_load_nothing(text: str) -> None:
    page = Words(text)
    pictures = [attrs for tag, attrs in page.seen if tag == "svg"]
    assert len(pictures) == 3
    assert all(attrs["role"] == "img" and "Slices of patient" in str(attrs["aria-label"]) for attrs in pictures)
    assert not [tag for tag, _ in page.seen if tag in ("script", "link", "iframe", "object")]
    addresses = [str(attrs["href"]) for tag, attrs in page.seen if tag == "image"]
    assert addresses
    for address in addresses:
        assert base64.b64decode(address.removeprefix("data:image/png;base64,")).startswith(b"\x89PNG")


def test_a_picture_shows_three_planes_of_every_quantity_with_all_outlines() -> None:
    picture = ElementTree.fromstring(lesion_picture(lesion("P1 L1")))
    kinds = [node.get("class") for node in picture.iter("path")]
    # 3 planes x 3 quantities, and the legend; the outlines of what there is only
    assert {kinds.count(name) for name in ("lesion", "region", "boost", "truth")} == {3 * 3 + 1}
    assert len(list(picture.iter("image"))) == 3 * 3 + 3
    words = [node.text for node in picture.iter("text")]
    assert {"Image", "Resistance", "RBE-weighted dose", "Gy (RBE)", "axial", "coronal", "sagittal"} <= set(words)
    bare = lesion("P1 L1", truth=None, delivered={}, region=np.zeros(GRID.shape, dtype=bool), boost_region=None)
    kinds = [node.get("class") for node in ElementTree.fromstring(lesion_picture(bare)).iter("path")]
    assert kinds.count("lesion") == 3 * 2 + 1
    assert "region" not in kinds
    assert "boost" not in kinds
    assert "truth" not in kinds


def test_the_description_tells_place_and_numbers() -> None:
    # The largest resistance is at the left end of the ball, 4 mm from its centre: x = -20 + 6 + 4.
    label = ElementTree.fromstring(lesion_picture(lesion("P1 L1"))).get("aria-label") or ""
    assert "through (-10.0, 9.0, 18.0) mm" in label
    assert "resistance is -0.04 to 0.04" in label
    assert "D_RBE is 24.6 to 25.4" in label


def test_scales_are_symmetric_for_resistance_and_span_the_lesion_for_dose() -> None:
    words = [node.text for node in ElementTree.fromstring(lesion_picture(lesion("P1 L1"))).iter("text")]
    first = words.index("\N{MINUS SIGN}0.0700")  # 7 mm of the window at 0.01 a mm
    assert words[first : first + 3] == ["\N{MINUS SIGN}0.0700", "0", "0.0700"]
    assert words[first + 3 : first + 5] == ["\N{LESS-THAN OR EQUAL TO} 24.6", "25.4"]


def test_unknown_dose_is_a_grey_picture() -> None:
    nowhere = Volume(GRID, np.full(GRID.shape, np.nan), quantity("D_RBE"))
    assert lesion_picture(lesion("P1 L1", delivered={"D_RBE": nowhere})).count("<image") == 12


def test_tilted_and_unplanted_lesions_are_said_to_be_so() -> None:
    c, s = math.cos(0.3), math.sin(0.3)
    tilted = dataclasses.replace(GRID, direction=((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0)))
    image = Volume(tilted, np.ones(GRID.shape), quantity("image_signal"))
    odd = lesion("P1 L1", image=image, delivered={}, truth=np.zeros(GRID.shape, dtype=bool))
    words = str(Words(render_response(ResponseReport("t", lesions=(odd,)))))
    assert "tilted against the patient's" in words
    assert "Nothing resistant was planted in this lesion." in words


def test_a_probability_stands_with_those_one_deviation_away() -> None:
    # log odds of 0.25 are -ln 3; +-0.5 makes 1 / (1 + 3 e^0.5) = 0.168 and 1 / (1 + 3 e^-0.5) = 0.355
    assert probability(lesion("P1 L1")) == "0.25 (0.17 to 0.35)"
    assert probability(lesion("P1 L1", spread=math.nan)) == "0.25"
    assert probability(lesion("P1 L1", probability=1.0)) == "1.00 (1.00 to 1.00)"
    assert probability(lesion("P1 L1", probability=0.0)) == "0.00 (0.00 to 0.00)"


def test_numbers_keep_their_digits() -> None:
    assert [number(each) for each in (0.0, 34.0, -0.5, 123.4, None, math.inf)] == [
        "0", "34.0", "\N{MINUS SIGN}0.500", "123", "\N{EN DASH}", "\N{EN DASH}",
    ]  # fmt: skip


def test_equal_content_gives_equal_bytes(content: ResponseReport, text: str) -> None:
    assert render_response(content) == text


def test_a_lesion_takes_little_room(text: str) -> None:
    assert len(text) < 3 * 15e6 / 69


def test_it_is_written_whole_and_replaces_only_when_allowed(content: ResponseReport, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    assert write_response_report(content, target) == target
    assert target.read_text(encoding="utf-8").endswith("</html>\n")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(StoreError, match="exists"):
        write_response_report(content, target, overwrite=False)


def test_what_does_not_fit_is_refused_by_name(content: ResponseReport) -> None:
    with pytest.raises(GridMismatchError, match="P1 L1: truth has shape"):
        lesion("P1 L1", truth=np.zeros((2, 2, 2), dtype=bool))
    shifted = Volume(
        dataclasses.replace(GRID, origin_mm=(0.0, 0.0, 0.0)), np.ones(GRID.shape), quantity("dose_to_water")
    )
    with pytest.raises(GridMismatchError, match="P1 L1, dose"):
        lesion("P1 L1", delivered={"dose": shifted})
    with pytest.raises(ValueRangeError, match="P1 L1: a probability"):
        lesion("P1 L1", probability=math.nan)
    with pytest.raises(ValueRangeError, match="P1 L1: the map has no value"):
        lesion("P1 L1", resistance=np.full(GRID.shape, np.nan))
    with pytest.raises(ValueRangeError, match="P1 L1: the region leaves the lesion"):
        lesion("P1 L1", region=np.ones(GRID.shape, dtype=bool))
    with pytest.raises(ValueRangeError, match="P1 L1: the boost leaves the lesion"):
        lesion("P1 L1", boost_region=np.ones(GRID.shape, dtype=bool))
    with pytest.raises(ValueRangeError, match="lesion 1 is in the report twice"):
        dataclasses.replace(content, lesions=content.lesions[:1] * 2)


def test_the_report_needs_no_torch() -> None:
    code = "import sys, surrogate3d.report.response_document; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
