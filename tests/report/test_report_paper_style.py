"""Files of figures: size on paper, fonts, equal bytes; and labels as the field prints them."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from surrogate3d.errors import UnknownNameError
from surrogate3d.grid import QUANTITIES, Quantity, quantity
from surrogate3d.report.paper_style import (
    COLUMN_MM,
    DOTS_PER_INCH,
    FORMATS,
    PAGE_MM,
    PaperFigure,
    axis_label,
    colour_map,
    file_bytes,
    new_figure,
    paper_style,
)


def drawn(width=COLUMN_MM, height=40.0):
    figure = new_figure(width, height)
    axes = figure.subplots()
    axes.plot([0, 1], [1, 3], label=axis_label(quantity("D_RBE")))
    axes.set_xlabel(axis_label(quantity("LET_d")))
    axes.legend()
    return figure


@pytest.fixture(scope="module")
def files():
    with paper_style():
        return {kind: file_bytes(drawn(), kind) for kind in FORMATS}


@pytest.mark.parametrize("kind", FORMATS)
def test_equal_figures_give_equal_bytes(files, kind):
    with paper_style():
        assert file_bytes(drawn(), kind) == files[kind]


def test_a_file_has_the_size_of_a_column(files):
    points = COLUMN_MM / 25.4 * 72
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", files["pdf"])
    assert float(box[1]) == pytest.approx(points, abs=0.01)
    assert float(box[2]) == pytest.approx(40 / 25.4 * 72, abs=0.01)
    assert float(re.search(rb'width="([\d.]+)pt"', files["svg"])[1]) == pytest.approx(points, abs=0.01)
    image = Image.open(io.BytesIO(files["png"]))
    assert abs(image.width - COLUMN_MM / 25.4 * DOTS_PER_INCH) <= 1
    assert image.info["dpi"][0] == pytest.approx(DOTS_PER_INCH, abs=0.1)


def test_fonts_are_in_the_files(files):
    assert files["pdf"].count(b"/FontFile2") >= 1  # TrueType
    assert b"/Type3" not in files["pdf"]
    assert b"<text" not in files["svg"]  # outlines


def test_files_say_neither_when_nor_by_what_they_were_made(files):
    assert b"CreationDate" not in files["pdf"]
    assert b"<dc:date>" not in files["svg"]
    assert "Software" not in Image.open(io.BytesIO(files["png"])).info


def test_an_unknown_format_is_refused():
    with paper_style(), pytest.raises(UnknownNameError, match="'eps'; known: pdf, svg, png"):
        file_bytes(drawn(), "eps")


def test_labels_have_the_symbols_and_units_of_the_field():
    labels = {name: axis_label(quantity(name)) for name in ("D_RBE", "LET_d", "alpha", "beta", "RBE", "dose_to_water")}
    assert labels == {
        "D_RBE": r"$D_\mathrm{RBE}$ / Gy (RBE)",
        "LET_d": r"$\mathrm{LET_d}$ / (keV/µm)",
        "alpha": r"$\alpha$ / Gy$^{-1}$",
        "beta": r"$\beta$ / Gy$^{-2}$",
        "RBE": r"$\mathrm{RBE}$",
        "dose_to_water": r"$D_\mathrm{w}$ / Gy",
    }


def test_every_quantity_has_a_label_that_can_be_drawn():
    with paper_style():
        figure = new_figure(PAGE_MM, 200.0, constrained=False)
        meanings = [*QUANTITIES.values(), Quantity("x", "x_1 (a_b)", "1", "of a user")]
        for row, meaning in enumerate(meanings):
            figure.text(0, row / len(meanings), axis_label(meaning))
        file_bytes(figure, "svg")


def test_a_figure_tells_its_size_on_paper():
    assert PaperFigure("a", drawn(PAGE_MM, 61.5), "").size_mm == (PAGE_MM, 61.5)


def test_colour_maps_are_those_of_the_viewer():
    from surrogate3d.grid.colours import palette

    shown = colour_map("balance")(np.arange(256), bytes=True)[:, :3]
    assert np.array_equal(shown, palette("balance"))
