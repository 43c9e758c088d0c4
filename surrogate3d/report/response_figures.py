"""One lesion in pictures: image, map of resistance and what was delivered, cut through the largest resistance.

A picture is markup of the page itself, with slices as small PNG of one pixel a voxel. So its text follows the page into
its dark form, and many lesions stay a small file.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import Normalize

from surrogate3d.report.content import BoolArray, FloatArray
from surrogate3d.report.markup import Html, element
from surrogate3d.report.response_content import LesionPage
from surrogate3d.report.response_slices import PLANES, Plane, close_up, outline, png_address, section
from surrogate3d.report.response_tables import number

SATURATED = 0.005
"""Share of the image's voxels that may be darker than black, and as many brighter than white."""

LINES = (
    ("lesion", "lesion"),
    ("region", "response-related region"),
    ("boost", "suggested boost, research only"),
    ("truth", "planted resistant region"),
)
"""Class of each outline in the page's style, and its name."""

_SHOWN = {"D_RBE": ("RBE-weighted dose", "viridis"), "dose": ("Dose", "viridis"), "LET_d": ("LET_d", "cividis")}
"""Title and colour map, in the order of the columns."""

_WIDTH, _LEFT, _TOP, _GAP, _BAR, _LEGEND = 1100.0, 70.0, 42.0, 12.0, 40.0, 26.0
_WIDEST = 300.0
_SCALE_MM = 10


@dataclass(frozen=True, eq=False)
class _Column:
    """One quantity: values (i, j, k) of the close-up and how they are coloured."""

    title: str
    unit: str
    values: FloatArray
    norm: Normalize
    cmap: str

    @property
    def ticks(self) -> Iterator[tuple[float, str, str]]:
        """Position in 0 to 1, words and anchor of the ends of the scale, and of zero where it is in the middle."""
        low, high = float(self.norm.vmin or 0), float(self.norm.vmax or 0)
        below, above = bool((self.values < low).any()), bool((self.values > high).any())
        yield 0.0, "\N{LESS-THAN OR EQUAL TO} " * below + number(low), "start"
        if low == -high:
            yield 0.5, "0", "middle"
        yield 1.0, "\N{GREATER-THAN OR EQUAL TO} " * above + number(high), "end"


def lesion_picture(page: LesionPage) -> Html:
    """Slices of a lesion, the planes one below the other and the quantities side by side, with outlines.

    Args:
        page: what is known of the lesion.

    Returns:
        An `svg` element with a description for those who do not see it; classes are those of `response.css`.
    """
    close = close_up(page)
    columns = _columns(close)
    panel = min(_WIDEST, (_WIDTH - _LEFT) / len(columns) - _GAP)
    pixels = panel / max(_extent_mm(close, plane.across) for plane in PLANES)
    parts, top = [_titles(columns, panel)], _TOP
    for plane in PLANES:
        height = pixels * _extent_mm(close, plane.up)
        parts.append(_row(close, plane, columns, (panel, height, top), pixels))
        top += height + _GAP
    parts += [_bars(columns, panel, top), _legend(page, pixels, top + _BAR)]
    width, height = _LEFT + len(columns) * (panel + _GAP), top + _BAR + _LEGEND
    return element(
        "svg",
        *parts,
        class_="slices",
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        width=f"{width:.0f}",
        height=f"{height:.0f}",
        role="img",
        aria_label=_description(page),
    )


def _columns(close: LesionPage) -> list[_Column]:
    largest = float(np.nanmax(np.abs(close.resistance))) or 1.0
    image, change = close.image, close.resistance
    found = [
        _Column("Image", image.quantity.unit, image.values, _limits(image.values, SATURATED), "gray"),
        _Column("Resistance", "log odds a voxel", change, Normalize(-largest, largest), "RdBu_r"),
    ]
    for name in sorted(close.delivered, key=lambda name: list(_SHOWN).index(name) if name in _SHOWN else len(_SHOWN)):
        volume = close.delivered[name]
        title, cmap = _SHOWN.get(name, (volume.quantity.symbol, "viridis"))
        unit = volume.quantity.unit.replace("/um", "/\N{MICRO SIGN}m")
        found.append(_Column(title, unit, volume.values, _limits(volume.values[close.mask], 0.0), cmap))
    return found


def _limits(values: FloatArray, share: float) -> Normalize:
    """Ends that a share of the values may exceed on each side; 0 for the extremes."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Normalize(0.0, 1.0)
    low, high = (float(x) for x in np.quantile(finite, (share, 1 - share)))
    return Normalize(low, high) if high > low else Normalize(low - 0.5, high + 0.5)


def _extent_mm(close: LesionPage, axis: int) -> float:
    return close.image.grid.shape[axis] * close.image.grid.spacing_mm[axis]


def _titles(columns: list[_Column], panel: float) -> Html:
    words = []
    for place, column in enumerate(columns):
        x = _LEFT + place * (panel + _GAP) + panel / 2
        words.append(_text(x, 16, column.title, "title"))
        words.append(_text(x, 32, "" if column.unit == "1" else column.unit, "unit"))
    return element("g", *words)


def _row(
    close: LesionPage, plane: Plane, columns: list[_Column], room: tuple[float, float, float], pixels: float
) -> Html:
    """One plane of all quantities; `room` is the width and height of a panel and where it begins on the page."""
    panel, height, top = room
    width = pixels * _extent_mm(close, plane.across)
    grid, parts = close.image.grid, [_text(_LEFT / 2 - 8, top + height / 2, plane.name, "unit")]
    drawn = _outlines(close, plane)
    for place, column in enumerate(columns):
        left = _LEFT + place * (panel + _GAP) + (panel - width) / 2
        across, down = pixels * grid.spacing_mm[plane.across], pixels * grid.spacing_mm[plane.up]
        address = png_address(section(column.values, plane, close.focus), column.norm, column.cmap)
        parts.append(_raster(address, left, top, width, height))
        move = f"translate({left:.2f} {top:.2f}) scale({across:.4f} {down:.4f})"
        parts.append(element("g", *drawn, transform=move))
    left = _LEFT + (panel - width) / 2
    before, after, above, below = plane.sides
    parts += [
        _text(left + 9, top + height / 2 + 4, before, "side"),
        _text(left + width - 9, top + height / 2 + 4, after, "side"),
        _text(left + width / 2, top + 14, above, "side"),
        _text(left + width / 2, top + height - 5, below, "side"),
    ]
    return element("g", *parts)


def _outlined(page: LesionPage) -> tuple[BoolArray | None, ...]:
    """Voxels of each of `LINES`."""
    return page.mask, page.region, page.boost_region, page.truth


def _outlines(close: LesionPage, plane: Plane) -> list[Html]:
    drawn = list[Html]()
    for (name, _), voxels in zip(LINES, _outlined(close), strict=True):
        here = None if voxels is None else section(voxels, plane, close.focus)
        if here is not None and here.any():
            drawn += _line(outline(here), name)
    return drawn


def _bars(columns: list[_Column], panel: float, top: float) -> Html:
    ramp, parts = np.linspace(0.0, 1.0, 64)[None], list[Html]()
    for place, column in enumerate(columns):
        left = _LEFT + place * (panel + _GAP)
        address = png_address(ramp, Normalize(0.0, 1.0), column.cmap)
        parts.append(_raster(address, left, top, panel, 9.0))
        for position, words, anchor in column.ticks:
            parts.append(_text(left + panel * position, top + 24, words, "unit", anchor))
    return element("g", *parts)


def _legend(page: LesionPage, pixels: float, top: float) -> Html:
    """What the outlines are, and a length."""
    parts, x, y = list[Html](), _LEFT, top + 10
    for (name, words), voxels in zip(LINES, _outlined(page), strict=True):
        if voxels is None or not voxels.any():
            continue
        parts += _line(f"M{x:.0f} {y - 4:.0f}h28", name)
        parts.append(_text(x + 36, y, words, "unit", "start"))
        x += 64 + 6.5 * len(words)
    parts.append(element("path", d=f"M{x:.1f} {y - 8:.1f}v8m0 -4h{_SCALE_MM * pixels:.1f}m0 -4v8", class_="length"))
    parts.append(_text(x + _SCALE_MM * pixels + 8, y, f"{_SCALE_MM} mm", "unit", "start"))
    return element("g", *parts)


def _line(path: str, name: str) -> list[Html]:
    """A halo, so that it is seen on all colours, and the line."""
    return [element("path", d=path, class_=kind) for kind in (f"halo {name}", name)]


def _raster(address: str, left: float, top: float, width: float, height: float) -> Html:
    box = {"x": f"{left:.2f}", "y": f"{top:.2f}", "width": f"{width:.2f}", "height": f"{height:.2f}"}
    return element("image", href=address, preserveAspectRatio="none", **box)


def _text(x: float, y: float, words: str, kind: str, anchor: str = "middle") -> Html:
    return element("text", words, x=f"{x:.1f}", y=f"{y:.1f}", class_=kind, text_anchor=anchor)


def _description(page: LesionPage) -> str:
    """The picture in words."""
    where = ", ".join(f"{x:.1f}" for x in page.image.grid.position_mm(page.focus))
    shares = f"The region is {100 * page.region.sum() / page.mask.sum():.0f} % of the lesion"
    if page.boost_region is not None:
        shares += f", the suggested boost {100 * page.boost_region.sum() / page.mask.sum():.0f} %"
    if page.truth is not None:
        shares += f", the planted region {100 * page.truth.sum() / page.mask.sum():.0f} %"
    return f"Slices of {page.name} through ({where}) mm, its largest resistance. {' '.join(_ranges(page))} {shares}."


def _ranges(page: LesionPage) -> Iterator[str]:
    told = {"resistance": page.resistance, **{name: volume.values for name, volume in page.delivered.items()}}
    for name, values in told.items():
        here = values[page.mask & np.isfinite(values)]
        if here.size:
            yield f"In the lesion {name} is {here.min():.3g} to {here.max():.3g}."
