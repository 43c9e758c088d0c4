"""Where the panels of a map stand on paper: all on one scale, with room for numbers, colour bar and legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from surrogate3d.report.paper_style import PAGE_MM

LEFT, BOTTOM, GAP, TOP, BAR, LETTERS = 14.0, 9.5, 14.0, 5.5, 20.5, 5.5
"""Room for the numbers at the left and below, between panels, above, for the colour bar, and for (a), (b), mm."""

ROW = 4.2
"""Height of a row of the legend, mm."""

_HIGHEST = 80.0  # panel, mm
_ENTRY, _LETTER = 12.0, 1.5  # mm of a legend's line with its gaps, and of a letter of its text
_LONG = 1.8  # width over height from which planes stand one above the other

Box = tuple[float, float, float, float]
"""Left, lower edge, width, height, mm."""


@dataclass(frozen=True)
class MapLayout:
    """A figure over two columns.

    Attributes:
        panels: two planes along the beam and one across it.
        height_mm: of the figure.
        stacked: whether the two planes along the beam share their axis across.
        legend_left_mm: left edge of the legend, which stands on the lower edge.
        legend_columns: of the legend.
    """

    panels: tuple[Box, Box, Box]
    height_mm: float
    stacked: bool
    legend_left_mm: float
    legend_columns: int


def map_layout(widths: Sequence[float], heights: Sequence[float], labels: Sequence[str]) -> MapLayout:
    """Lay three planes out; a long field has its two planes along the beam one above the other.

    Args:
        widths: of the three planes, mm in space.
        heights: of the three planes, mm in space.
        labels: of the legend.
    """
    stacked = widths[0] > _LONG * max(heights[:2])
    return _stacked(widths, heights, labels) if stacked else _in_a_row(widths, heights, labels)


def legend_columns(labels: Sequence[str], width_mm: float) -> int:
    """How many columns of a legend fit into a width; at least one."""
    longest = max((len(label) for label in labels), default=0)
    return max(1, min(len(labels), int(width_mm / (_ENTRY + _LETTER * longest))))


def legend_height(labels: Sequence[str], columns: int) -> float:
    """Height of a legend, mm."""
    return ROW * -(-len(labels) // columns)


def share(box: Box, width: float, height: float) -> Box:
    """A box as shares of a figure's width and height, mm."""
    left, low, wide, tall = box
    return left / width, low / height, wide / width, tall / height


def _in_a_row(widths: Sequence[float], heights: Sequence[float], labels: Sequence[str]) -> MapLayout:
    scale = min((PAGE_MM - LEFT - 2 * GAP - BAR) / sum(widths), _HIGHEST / max(heights))
    columns = legend_columns(labels, PAGE_MM - LEFT)
    low = BOTTOM + legend_height(labels, columns) + 1.0
    lefts = [LEFT, LEFT + scale * widths[0] + GAP, LEFT + scale * (widths[0] + widths[1]) + 2 * GAP]
    a, b, c = ((left, low, scale * wide, scale * tall) for left, wide, tall in zip(lefts, widths, heights, strict=True))
    return MapLayout((a, b, c), low + scale * max(heights) + TOP, False, LEFT - 4.0, columns)


def _stacked(widths: Sequence[float], heights: Sequence[float], labels: Sequence[str]) -> MapLayout:
    """The legend stands below the plane across the beam if two of its columns fit there, else below everything."""
    along, up = widths[0] + widths[2], heights[0] + heights[1]
    scale = min((PAGE_MM - LEFT - GAP - BAR) / along, 1.6 * _HIGHEST / up)
    w0, w2, h0, h1, h2 = (scale * x for x in (widths[0], widths[2], *heights))
    right = LEFT + w0 + 4.0
    columns = legend_columns(labels, PAGE_MM - right)
    beside = columns > 1 or len(labels) == 1
    columns = columns if beside else legend_columns(labels, PAGE_MM - LEFT)
    legend = legend_height(labels, columns) + 1.0
    lowest = BOTTOM if beside else BOTTOM + legend
    upper = lowest + h1 + LETTERS + 1.5 + h0
    top = max(upper, BOTTOM + legend + h2)
    panels = (
        (LEFT, top - h0, w0, h0),
        (LEFT, top - h0 - LETTERS - 1.5 - h1, w0, h1),
        (LEFT + w0 + GAP, top - h2, w2, h2),
    )
    return MapLayout(panels, top + TOP, True, right if beside else LEFT - 4.0, columns)
