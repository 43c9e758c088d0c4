"""The viewer inside a report, as text: its data, its program, and what is there without it."""

import dataclasses
import json
import re

import numpy as np
import pytest

from surrogate3d.grid import quantity
from surrogate3d.pipeline.scene_layers import layer_of
from surrogate3d.report import ReportContent, render
from surrogate3d.report.markup import element, section
from surrogate3d.report.viewing import contents, viewer_parts, viewer_program, viewer_style
from surrogate3d.viewer.scene import Scene


@pytest.fixture(scope="module")
def scene(content: ReportContent) -> Scene:
    layers = tuple(layer_of(volume.quantity, volume.values) for volume in content.maps.values())
    hostile = layer_of(quantity("HU"), np.zeros(content.grid.shape), title="</script><b>", window=(0.0, 1.0))
    return Scene(title=content.title, grid=content.grid, focus=content.focus, layers=(*layers, hostile))


@pytest.fixture(scope="module")
def least(content: ReportContent) -> ReportContent:
    """Few still pictures, as each takes a while."""
    maps = {name: content.maps[name] for name in ("dose_to_water", "RBE")}
    return ReportContent(content.title, content.verdict, content.conditions, maps, content.mask, 2, 1)


@pytest.fixture(scope="module")
def text(least: ReportContent, scene: Scene) -> str:
    return render(dataclasses.replace(least, scene=scene))


@pytest.fixture(scope="module")
def plain(least: ReportContent) -> str:
    return render(least)


def between(text: str, start: str, end: str) -> str:
    return text[text.index(start) + len(start) :].split(end)[0]


def test_without_a_scene_there_is_no_viewer(plain: str) -> None:
    assert list(viewer_parts(None)) == []
    assert (viewer_style(None), viewer_program(None)) == ("", "")
    assert "<script" not in plain
    assert "data-s3d-root" not in plain
    assert 'id="explore"' not in plain


def test_the_page_holds_one_viewer_with_its_data(text: str, scene: Scene) -> None:
    explore = between(text, '<section id="explore">', "</section>")
    assert explore.count("data-s3d-root") == 1
    manifest = json.loads(between(explore, 'id="s3d-scene">', "</script>"))
    assert manifest["schema"] == "surrogate3d.scene/1"
    assert [layer["name"] for layer in manifest["layers"]] == [layer.name for layer in scene.layers]
    assert manifest["grid"]["shape"] == list(scene.grid.shape)
    asked = {layer["data"]["id"] for layer in manifest["layers"]}
    assert asked <= set(re.findall(r'id="(s3d-data-\d+)"', explore))


def test_nothing_of_the_data_ends_its_script(text: str) -> None:
    explore = between(text, '<section id="explore">', "</section>")
    assert "</script><b>" not in explore
    assert json.loads(between(explore, 'id="s3d-scene">', "</script>"))["layers"][-1]["title"] == "</script><b>"
    assert text.count("<script") == text.count("</script>")


def test_the_program_comes_last_and_starts_by_itself(text: str) -> None:
    program = text[text.rindex("<script>") :]
    assert "S3D.start" in program
    assert program.index("S3D.start") < program.index("S3D.tables.enhance(document)")
    assert text.index("</main>") < text.rindex("<script>")
    assert ".s3d" in between(text, "<style>", "</style>")


def test_a_page_without_scripts_says_what_is_missing_and_the_program_takes_it_away(text: str) -> None:
    said = between(text, 'id="scripts-needed">', "</p>")
    assert "The viewer needs scripts" in said
    assert "pictures and tables below need none" in said
    assert text.count('id="scripts-needed"') == 1
    assert text[text.rindex("<script>") :].startswith('<script>document.getElementById("scripts-needed").remove();')


def test_nothing_is_asked_of_another_file_or_machine(text: str) -> None:
    policy = between(text, 'http-equiv="Content-Security-Policy" content="', '"')
    assert policy.startswith("default-src 'none'; ")
    assert "http:" not in policy
    assert "https:" not in policy
    assert not re.search(r"""(?:src|href)="(?!data:|#)""", text)
    for word in ("fetch(", "XMLHttpRequest", "import(", "WebSocket"):
        assert word not in text[text.rindex("<script>") :]


def test_still_pictures_are_folded_away_beside_a_viewer(text: str, plain: str) -> None:
    maps = between(text, '<section id="maps">', "</section>")
    assert '<details class="still"><summary>Still pictures of all maps' in maps
    assert "still" not in between(plain, '<section id="maps">', "</section>")


def test_contents_lead_to_every_section_that_is_there(text: str) -> None:
    nav = between(text, '<nav aria-label="Contents"', "</nav>")
    links = re.findall(r'href="#([^"]+)"', nav)
    assert links == re.findall(r'<section id="([^"]+)">', text)
    assert len(links) == len(set(links)) == 5


def test_contents_keep_the_markup_of_headings_and_ignore_what_is_within() -> None:
    sections = [section("a", "R & D", element("p", "text")), section("b", "Second", element("h2", "inner"))]
    links = contents(sections)
    assert '<a href="#a">R &amp; D</a>' in links
    assert '<a href="#b">Second</a>' in links
    assert "inner" not in links
