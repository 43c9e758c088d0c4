import base64
import dataclasses
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from surrogate3d.errors import FormatError, GridMismatchError, QuantityError, StoreError
from surrogate3d.grid import Grid, Volume
from surrogate3d.report import ReportContent, render, write_report
from surrogate3d.report.tables import validation_tables
from surrogate3d.validation import UNIFORM_METHODS
from surrogate3d.validation.table import compare

VOID = {"meta", "img", "source", "br"}


class Page(HTMLParser):
    """Collects what the tests look at, and fails on elements that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.style = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "style":
            self.style += data
        else:
            self.text.append(data)

    def named(self, *tags: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.seen if tag in tags]

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def text(content: ReportContent) -> str:
    return render(content)


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


@pytest.fixture(scope="module")
def least(content: ReportContent) -> ReportContent:
    maps = {name: content.maps[name] for name in ("dose_to_water", "RBE")}
    return ReportContent(content.title, (), content.conditions, maps, content.mask, 2, -1)


def test_elements_nest_and_close(page: Page) -> None:
    assert page.open == []
    assert [tag for tag, _ in page.seen].count("h1") == 1


def test_nothing_is_loaded_from_anywhere(page: Page) -> None:
    assert not page.named("script", "link", "iframe", "object", "base")
    for attrs in page.named("img", "source", "a"):
        for key in ("src", "srcset", "href"):
            assert (attrs.get(key) or "data:").startswith(("data:", "#"))
    assert "url(" not in page.style
    assert "@import" not in page.style


def test_every_picture_says_what_it_shows_and_has_a_dark_form(page: Page) -> None:
    images = page.named("img")
    assert len(images) == len(page.named("source")) >= 8
    for attrs in images:
        assert len(attrs["alt"] or "") > 40


def test_every_picture_is_well_formed_svg_without_links(page: Page) -> None:
    for attrs in page.named("img", "source"):
        address = attrs.get("src") or attrs.get("srcset") or ""
        kind, _, payload = address.partition(";base64,")
        assert kind == "data:image/svg+xml"
        for node in ElementTree.fromstring(base64.b64decode(payload)).iter():
            for key, value in node.attrib.items():
                assert not key.endswith("href") or value.startswith(("#", "data:"))


def test_tables_have_a_caption_and_scoped_headers(page: Page) -> None:
    tables = page.named("table")
    assert len(tables) == len(page.named("caption")) > 3
    scopes = {attrs.get("scope") for attrs in page.named("th")}
    assert scopes == {"col", "row"}


def test_text_is_escaped(text: str) -> None:
    assert "<slab>" not in text
    assert "A &lt;slab&gt; &amp; its RBE" in text
    assert "</script>" not in text


def test_it_states_dose_cell_line_fraction_and_mask(page: Page) -> None:
    for told in ("dose to water (Gy)", "HSG", "1 fraction; the voxel's own dose", "It answers above 0.4 Gy."):
        assert told in page.words


def test_the_known_errors_are_printed(page: Page) -> None:
    # The prediction is the truth times 1.01, the baseline times 0.98: bias and rms are 1 % and 2 % exactly.
    rows = page.words
    assert "surrogate" in rows
    assert " ".join(["1.00"] * 7) in rows  # bias, rms, three signed quantiles, p95, max of the surrogate
    below = "\N{MINUS SIGN}2.00"
    assert " ".join([below, "2.00", *[below] * 3, "2.00", "2.00"]) in rows  # and of the baseline


def test_model_differences_stand_apart_from_errors(text: str) -> None:
    accuracy = text[text.index('id="accuracy"') : text.index('id="models"')]
    models = text[text.index('id="models"') : text.index('id="run"')]
    assert "McNamara" not in accuracy
    assert "McNamara" in models
    assert "+5.0" in models  # 1.06 / 1.01 - 1 = 4.95 %
    assert "not an error" in models


def test_without_reference_it_claims_no_accuracy(least: ReportContent) -> None:
    page = Page(render(least))
    words = page.words
    assert page.open == []
    assert "Self-consistency only" in words
    assert "Errors by method" not in words


def test_rotated_axes_are_said_to_be_rotated(least: ReportContent) -> None:
    turned = Grid(
        least.grid.shape, (2.0, 2.0, 2.0), (0.0, 0.0, 0.0), ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    )
    maps = {name: Volume(turned, volume.values, volume.quantity) for name, volume in least.maps.items()}
    assert "rotated in space" in render(dataclasses.replace(least, maps=maps))
    assert "rotated in space" not in render(least)


def test_no_answer_anywhere_still_is_a_page(content: ReportContent, least: ReportContent) -> None:
    silent = dataclasses.replace(least, mask=np.zeros(least.grid.shape, dtype=bool), points=content.points)
    assert "0 of 768 voxels" in Page(render(silent)).words


def test_equal_content_gives_equal_bytes(content: ReportContent, text: str) -> None:
    assert render(content) == text


def test_it_stays_small(text: str) -> None:
    assert len(text.encode()) < 15e6


def test_it_is_written_whole_and_replaces_only_when_allowed(least: ReportContent, tmp_path: Path) -> None:
    target = tmp_path / "report.html"
    assert write_report(least, target).path == target
    assert target.read_text(encoding="utf-8").endswith("</html>\n")
    assert [entry.name for entry in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(StoreError, match="exists"):
        write_report(least, target, overwrite=False)


def test_foreign_validation_tables_are_refused(content: ReportContent) -> None:
    with pytest.raises(FormatError, match="schema"):
        dataclasses.replace(content, validation={"schema": "other"})


def test_content_refuses_what_does_not_fit(content: ReportContent) -> None:
    with pytest.raises(QuantityError, match="RBE"):
        dataclasses.replace(content, maps={"dose_to_water": content.maps["dose_to_water"]})
    with pytest.raises(GridMismatchError, match="mask"):
        dataclasses.replace(content, mask=np.ones((2, 2, 2), dtype=bool))
    with pytest.raises(QuantityError, match="beam"):
        dataclasses.replace(content, beam_sign=0)


def test_a_sparse_reference_gives_no_slices_of_the_error(text: str, sparse: ReportContent) -> None:
    assert "Where the errors are" in text
    words = Page(render(sparse)).words
    assert "Where the errors are" not in words
    assert f"known in {sparse.known_reference.sum()} of {sparse.mask.sum()} voxels" in words


def test_regions_tell_how_many_voxels_they_have(content: ReportContent, page: Page) -> None:
    for name, region in content.regions.items():
        head = f"{name.replace('_', ' ')} (n = {region.sum()})"
        assert page.words.count(head) == 3, "errors, differences of models, models over the surrogate"


def _judged(n: int, ratio: float, floor: float) -> str:
    """The region table of one region of n voxels in which two poolings are `ratio` and half of its excess off."""
    truth = np.full(n, 2.0)
    predicted = {
        UNIFORM_METHODS[0]: {"RBE": truth * ratio},
        UNIFORM_METHODS[1]: {"RBE": truth * (1 + 0.5 * (ratio - 1))},
    }
    kinds = dict.fromkeys(predicted, "baseline")
    floors = {"RBE": {"all": floor, "distal_edge": floor}}
    judged = compare(predicted, {"RBE": truth}, {"distal_edge": np.ones(n, dtype=bool)}, kinds, floors)
    return Page("".join(validation_tables(judged.to_json()))).words


def test_a_region_of_few_voxels_has_no_numbers() -> None:
    first = UNIFORM_METHODS[0]
    assert f"distal edge (n = 4) {first} \N{EN DASH}" in _judged(4, 1.05, 3.0)
    assert f"distal edge (n = 5) {first} 5.00 (4.00)" in _judged(5, 1.05, 3.0)  # 5^2 - 3^2 = 4^2


def test_an_error_below_the_floor_is_said_to_be_below_it() -> None:
    words = _judged(6, 1.01, 3.0)
    assert "1.00 (< floor)" in words
    assert "(0.00)" not in words


def test_the_best_uniform_pooling_is_called_a_choice_with_hindsight() -> None:
    words = _judged(6, 1.05, 3.0)
    assert words.count("(best with hindsight)") == 1
    assert f"{UNIFORM_METHODS[1]} (best with hindsight) 6" in words
