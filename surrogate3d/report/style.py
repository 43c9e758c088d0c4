"""How figures look, and how one drawing becomes a light and a dark picture."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK = "#1e1d1b"
MUTED = "#5f5d58"
LINES = "#dcdad3"
NO_ANSWER = "#cfcdc6"
SURROGATE = "#1259a3"
DIRECT = "#bf4a06"
Dashes = tuple[float, tuple[float, ...]]
"""Offset and on-off lengths, as matplotlib takes them; no lengths is a solid line."""

METHODS = ("#00776a", "#7c4aa5", "#8c6900", "#ab2f5d", "#3f7d20", "#49607a")

_DARK = {
    INK: "#eeece6",
    MUTED: "#aaa89f",
    LINES: "#3b3a36",
    NO_ANSWER: "#4a4944",
    SURROGATE: "#74b6f5",
    DIRECT: "#f39a55",
    "#00776a": "#52c7b4",
    "#7c4aa5": "#c3a0e8",
    "#8c6900": "#dcbc45",
    "#ab2f5d": "#f08bb0",
    "#3f7d20": "#93cd72",
    "#49607a": "#a5b9cf",
}

_FONTS = "system-ui,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"

_RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "surrogate3d",
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.linewidth": 0.7,
    "axes.titlesize": 9.0,
    "axes.titlelocation": "left",
    "axes.unicode_minus": True,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8.0,
    "ytick.labelsize": 8.0,
    "grid.color": LINES,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "figure.facecolor": "none",
}


@dataclass(frozen=True)
class Picture:
    """A drawing with its description.

    Attributes:
        light: SVG for a light page and for print.
        dark: the same SVG for a dark page.
        alt: what it shows, for those who do not see it.
    """

    light: str
    dark: str
    alt: str

    @property
    def sources(self) -> tuple[str, str]:
        """`light` and `dark` as data addresses."""
        return _data_address(self.light), _data_address(self.dark)


@contextmanager
def house_style() -> Iterator[None]:
    """Draw within this context: fonts, inks and a fixed salt, so that equal content gives equal bytes."""
    with matplotlib.rc_context(_RC):
        yield


def picture(figure: Figure, alt: str) -> Picture:
    """Render a figure once and recolour the copy for dark pages. Call within `house_style`."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    light = buffer.getvalue().decode().replace("'DejaVu Sans'", _FONTS)
    dark = re.sub(r"#[0-9a-f]{6}", lambda m: _DARK.get(m.group(), m.group()), light)
    return Picture(light, dark, alt)


def plain_axes(axes: Axes) -> None:
    """Only the left and lower spine, and a quiet grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True)
    axes.set_axisbelow(True)


def _data_address(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
