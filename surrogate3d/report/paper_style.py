"""One style for the figures of papers: widths of journals, fonts in the file, symbols and units as they are printed.

A figure is 85 or 180 mm wide, for one column or two, and its text 7 to 7.5 pt at that size. Fonts are in the PDF as
TrueType subsets, and in the SVG as outlines, so that a figure looks the same everywhere. Equal content gives equal
bytes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

from surrogate3d.errors import UnknownNameError
from surrogate3d.grid.colours import palette
from surrogate3d.grid.quantity import Quantity
from surrogate3d.report.style import INK, MUTED

COLUMN_MM, PAGE_MM = 85.0, 180.0
"""Width of a figure over one column and over two."""

FORMATS = ("pdf", "svg", "png")

DOTS_PER_INCH = 600
"""Of PNG: enough for thin lines beside colour."""

MM_PER_INCH = 25.4

_RC: dict[Any, Any] = {
    "pdf.fonttype": 42,
    "pdf.use14corefonts": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "surrogate3d",
    "font.family": "DejaVu Sans",
    "mathtext.fontset": "dejavusans",
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "axes.titlesize": 7.5,
    "axes.linewidth": 0.6,
    "axes.labelpad": 2.5,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "xtick.major.pad": 2.0,
    "ytick.major.pad": 2.0,
    "legend.fontsize": 7.0,
    "legend.frameon": False,
    "legend.handlelength": 2.4,
    "legend.labelspacing": 0.35,
    "lines.linewidth": 1.2,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.unicode_minus": True,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": 150,
}

_SYMBOLS = {
    "dose_to_water": r"$D_\mathrm{w}$",
    "dose_to_medium": r"$D_\mathrm{m}$",
    "LET_d": r"$\mathrm{LET_d}$",
    "LET_t": r"$\mathrm{LET_t}$",
    "alpha": r"$\alpha$",
    "beta": r"$\beta$",
    "survival": r"$S$",
    "effect": r"$-\ln\,S$",
    "RBE": r"$\mathrm{RBE}$",
    "RBE_ref": r"$\mathrm{RBE}(D_\mathrm{ref})$",
    "RBE10": r"$\mathrm{RBE_{10}}$",
    "D_RBE": r"$D_\mathrm{RBE}$",
    "BED": r"$\mathrm{BED}$",
    "EQD2": r"$\mathrm{EQD2}$",
    "RBE_std": r"$\sigma(\mathrm{RBE})$",
    "RBE_half_width": r"$u_{90}(\mathrm{RBE})$",
    "RBE_se": r"$\mathrm{s.e.}(\mathrm{RBE})$",
}
"""As the field prints them; quantities in italics, words upright (ISO 80000-1). Others are printed as they are."""

_UNITS = {
    "keV/um": "(keV/\N{MICRO SIGN}m)",
    "1/Gy": r"Gy$^{-1}$",
    "1/Gy^2": r"Gy$^{-2}$",
    "1/Gy/Gbp": r"(Gy$^{-1}$ Gbp$^{-1}$)",
    "g/cm3": r"(g cm$^{-3}$)",
}


@dataclass(frozen=True, eq=False)
class PaperFigure:
    """A figure with its caption.

    Attributes:
        name: of its files, without ending.
        figure: as drawn, without a title.
        caption: what a reader must know, in sentences.
    """

    name: str
    figure: Figure
    caption: str

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height on paper."""
        width, height = self.figure.get_size_inches()
        return round(float(width) * MM_PER_INCH, 2), round(float(height) * MM_PER_INCH, 2)


@contextmanager
def paper_style() -> Iterator[None]:
    """Draw and write figures of papers within this context."""
    with matplotlib.rc_context(_RC):
        yield


def axis_label(quantity: Quantity) -> str:
    """Symbol over unit, such as D_RBE / Gy (RBE), as matplotlib's mathematical text; a pure number has no unit."""
    symbol = symbol_text(quantity)
    return symbol if quantity.unit == "1" else f"{symbol} / {_UNITS.get(quantity.unit, quantity.unit)}"


def symbol_text(quantity: Quantity) -> str:
    """The symbol alone, as matplotlib's mathematical text."""
    return _SYMBOLS.get(quantity.name, re.sub(r"_(\w+)", r"$_\\mathrm{\1}$", quantity.symbol))


def colour_map(name: str) -> ListedColormap:
    """A colour map of `grid.colours` for matplotlib."""
    return ListedColormap(palette(name) / 255.0, name)


def new_figure(width_mm: float, height_mm: float, constrained: bool = True) -> Figure:
    """A figure of exactly this size on paper."""
    size = (width_mm / MM_PER_INCH, height_mm / MM_PER_INCH)
    return Figure(figsize=size, layout="constrained" if constrained else None)


def quiet_axes(axes: Axes) -> None:
    """Only the left and lower spine."""
    axes.spines[["top", "right"]].set_visible(False)


def panel_letter(axes: Axes, number: int) -> None:
    """(a), (b) ... above the upper left corner, as captions refer to panels."""
    axes.set_title(f"({'abcdefgh'[number]})", loc="left", fontweight="bold", pad=3.0)


def file_bytes(figure: Figure, kind: str) -> bytes:
    """A figure as a file of one format. Call within `paper_style`; equal figures give equal bytes.

    Args:
        figure: whose size on paper stays as it is.
        kind: one of `FORMATS`.

    Raises:
        UnknownNameError: another format.
    """
    if kind not in FORMATS:
        raise UnknownNameError(f"unknown format of figures {kind!r}; known: {', '.join(FORMATS)}")
    no_date: dict[str, dict[str, Any]] = {
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
        "svg": {"Date": None, "Creator": None},
        "png": {"Software": None},
    }
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, dpi=DOTS_PER_INCH, metadata=no_date[kind])
    return buffer.getvalue()
