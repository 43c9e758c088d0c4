"""Three orthogonal slices of a map, or two maps and their difference, with isodose lines and millimetre axes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D

from surrogate3d.grid.geometry import Grid
from surrogate3d.report.content import FloatArray, ReportContent
from surrogate3d.report.style import INK, MUTED, NO_ANSWER, Dashes, Picture, house_style, picture

ISODOSES_PERCENT = (95, 80, 50, 20)
_DASHES: tuple[Dashes, ...] = ((0, ()), (0, (5, 1.6)), (0, (4, 1.5, 1, 1.5)), (0, (1, 1.4)))
_LINE, _HALO = "#101010", "#fafafa"
_AXIS_NAMES = "xyz"
_WIDTH_IN = 11.0


@dataclass(frozen=True)
class MapStyle:
    """How one map is coloured.

    Attributes:
        label: colour bar label, with unit.
        cmap: sequential and perceptually uniform, or diverging for errors.
        symmetric: whether zero sits in the middle of the scale.
        from_zero: whether the scale starts at zero.
        mark_points: whether directly simulated voxels are marked.
    """

    label: str
    cmap: str = "viridis"
    symmetric: bool = False
    from_zero: bool = False
    mark_points: bool = False


def slices(content: ReportContent, values: FloatArray, style: MapStyle, title: str) -> Picture:
    """Draw `values` (i, j, k) through the report's focus; NaN is grey."""
    planes = _planes(content.beam_axis)
    with house_style():
        figure, panels, corner = _layout(content.grid, planes)
        norm, extend = _scale(values[content.mask], style)
        for axes, plane in zip(panels, planes, strict=True):
            image = _draw_plane(axes, content, values, plane, norm, style.cmap)
            _draw_isodoses(axes, content, plane)
            if style.mark_points:
                _draw_points(axes, content, plane)
        for axes in panels[: 1 if corner else 0]:
            axes.set_xlabel("")
        everything = [*panels, corner] if corner else panels
        bar = figure.colorbar(
            image, ax=everything, extend=extend, label=style.label, fraction=0.05, pad=0.01, aspect=18
        )
        bar.outline.set_visible(False)
        _legend(figure, corner, content, style.mark_points)
        return picture(figure, _alt(content, values, style, title))


def beside(content: ReportContent, other: FloatArray, names: tuple[str, str]) -> Picture:
    """Draw the report's RBE, that of another model on the same scale, and other - own, along the beam.

    Args:
        content: of the report.
        other: (i, j, k) RBE of another model; NaN is grey.
        names: of the report's own model and of the other.
    """
    plane, scale = _planes(content.beam_axis)[0], MapStyle("RBE")
    gap = MapStyle("difference", "RdBu_r", symmetric=True)
    answered = np.where(content.mask, other, np.nan)
    shared = _scale(np.stack([content.RBE, answered])[:, content.mask], scale)
    difference = answered - content.RBE
    rows = (
        (names[0], content.RBE, scale, shared),
        (names[1], answered, scale, shared),
        (f"{names[1]} \N{MINUS SIGN} {names[0]}", difference, gap, _scale(difference[content.mask], gap)),
    )
    width, height = (_extent_mm(content.grid, axis) for axis in plane[:2])
    tall = float(np.clip(0.8 * _WIDTH_IN * height / width, 1.4, 4.0))
    with house_style():
        figure = Figure(figsize=(_WIDTH_IN, 3 * tall + 0.6), layout="constrained")
        panels = figure.subplots(3, 1, sharex=True)
        for axes, (name, values, style, (norm, extend)) in zip(panels, rows, strict=True):
            image = _draw_plane(axes, content, values, plane, norm, style.cmap)
            _draw_isodoses(axes, content, plane)
            axes.set_title(f"{name}, {axes.get_title(loc='left')}", color=MUTED, fontsize=8.5)
            bar = figure.colorbar(image, ax=axes, extend=extend, label=style.label, fraction=0.05, pad=0.01, aspect=18)
            bar.outline.set_visible(False)
            axes.label_outer()
        _legend(figure, None, content, mark_points=False)
        return picture(figure, _alt(content, difference, gap, rows[2][0]))


def axis_position_mm(grid: Grid, axis: int) -> FloatArray:
    """Positions of voxel centres along one of the grid's own axes, mm: LPS coordinates when it is not rotated."""
    cosines = np.asarray(grid.direction, dtype=float)[:, axis]
    return np.asarray(float(cosines @ np.asarray(grid.origin_mm)) + grid.axis_mm(axis))


Plane = tuple[int, int, int]
"""Index axes: drawn across, drawn up, and cut."""


def _planes(beam_axis: int) -> tuple[Plane, Plane, Plane]:
    """Two planes along the beam, which runs across the page, and one across it."""
    first, second = (a for a in range(3) if a != beam_axis)
    return ((beam_axis, first, second), (beam_axis, second, first), (first, second, beam_axis))


def _extent_mm(grid: Grid, axis: int) -> float:
    return grid.shape[axis] * grid.spacing_mm[axis]


def _layout(grid: Grid, planes: tuple[Plane, ...]) -> tuple[Figure, list[Axes], Axes | None]:
    """Long fields get their two longitudinal planes one above the other, which leaves a corner for the legend."""
    widths = [_extent_mm(grid, across) for across, _, _ in planes]
    heights = [_extent_mm(grid, up) for _, up, _ in planes]
    stacked = widths[0] > 1.8 * max(heights[:2])
    columns, rows = ([widths[0], widths[2]], heights[:2]) if stacked else (widths, [max(heights)])
    panel_in = sum(rows) * 0.84 * _WIDTH_IN / sum(columns)
    size = (_WIDTH_IN, float(np.clip(panel_in + 1.1, 2.6, 7.0)))
    figure = Figure(figsize=size, layout="constrained")
    mosaic = "first across; second corner" if stacked else "first second across"
    names: list[Any] = [row.split() for row in mosaic.split(";")]
    axes = figure.subplot_mosaic(names, width_ratios=columns, height_ratios=rows)
    corner = axes.get("corner")
    if corner is not None:
        corner.axis("off")
    return figure, [axes["first"], axes["second"], axes["across"]], corner


def _scale(values: FloatArray, style: MapStyle) -> tuple[Normalize, str]:
    """Limits that half a percent of the values may exceed on each side, and the colour bar's pointed ends."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Normalize(0.0, 1.0), "neither"
    low, high = (float(x) for x in np.percentile(finite, (0.5, 99.5)))
    if style.symmetric:
        high = max(abs(low), abs(high))
        low = -high
    if style.from_zero:
        low = 0.0
    if high <= low:
        low, high = low - 0.5, high + 0.5
    below, above = bool(finite.min() < low), bool(finite.max() > high)
    return Normalize(low, high), {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]


def _cut(content: ReportContent, values: FloatArray, plane: Plane) -> FloatArray:
    """(up, across) values of a slice."""
    across, up, cut = plane
    section = np.take(values, content.focus[cut], axis=cut)
    return np.asarray(section.T if across < up else section)


def _draw_plane(
    axes: Axes, content: ReportContent, values: FloatArray, plane: Plane, norm: Normalize, cmap: str
) -> AxesImage:
    across, up, cut = plane
    grid = content.grid
    limits = [
        (p[0] - 0.5 * grid.spacing_mm[a], p[-1] + 0.5 * grid.spacing_mm[a])
        for a, p in ((a, axis_position_mm(grid, a)) for a in (across, up))
    ]
    image = axes.imshow(
        np.ma.masked_invalid(_cut(content, values, plane)),
        origin="lower",
        extent=(*limits[0], *limits[1]),
        norm=norm,
        cmap=cmap,
        interpolation="none",
        aspect="equal",
    )
    axes.set_facecolor(NO_ANSWER)
    if across == content.beam_axis and content.beam_sign < 0:
        axes.invert_xaxis()
    where = axis_position_mm(grid, cut)[content.focus[cut]]
    beam = " (beam \N{RIGHTWARDS ARROW})" if across == content.beam_axis else ""
    axes.set_title(f"{_AXIS_NAMES[cut]} = {where:.1f} mm".replace("-", "\N{MINUS SIGN}"), color=MUTED, fontsize=8.5)
    axes.set_xlabel(f"{_AXIS_NAMES[across]} / mm{beam}")
    axes.set_ylabel(f"{_AXIS_NAMES[up]} / mm")
    return image


def _draw_isodoses(axes: Axes, content: ReportContent, plane: Plane) -> None:
    dose = _cut(content, np.nan_to_num(content.dose.values), plane)
    if min(dose.shape) < 2:
        return
    across, up, _ = plane
    x, y = axis_position_mm(content.grid, across), axis_position_mm(content.grid, up)
    for percent, dashes in zip(ISODOSES_PERCENT, _DASHES, strict=True):
        level = percent / 100 * content.isodose_base_gy
        if dose.min() < level < dose.max():
            axes.contour(x, y, dose, [level], colors=_HALO, linewidths=1.9, alpha=0.55)
            axes.contour(x, y, dose, [level], colors=_LINE, linewidths=0.9, linestyles=[dashes])


def _draw_points(axes: Axes, content: ReportContent, plane: Plane) -> None:
    """Mark the directly simulated voxels that lie in this slice."""
    if content.points is None:
        return
    across, up, cut = plane
    here = content.points.index[:, cut] == content.focus[cut]
    for held_out, marker in ((False, "o"), (True, "D")):
        chosen = content.points.index[here & (content.points.held_out == held_out)]
        x = axis_position_mm(content.grid, across)[chosen[:, across]]
        y = axis_position_mm(content.grid, up)[chosen[:, up]]
        axes.plot(x, y, marker, markersize=3.6, markerfacecolor=_HALO, markeredgecolor=_LINE, markeredgewidth=0.8)


def _legend(figure: Figure, corner: Axes | None, content: ReportContent, mark_points: bool) -> None:
    lines = [Line2D([], [], color=INK, linewidth=1.0, linestyle=dashes) for dashes in _DASHES]
    names = [f"{p} % isodose" for p in ISODOSES_PERCENT]
    lines.append(Line2D([], [], linestyle="none", marker="s", markersize=7, color=NO_ANSWER))
    names.append("no value")
    if mark_points and content.points is not None:
        for held_out, marker, name in ((False, "o", "direct simulation"), (True, "D", "direct, held out")):
            if (content.points.held_out == held_out).any():
                hollow = Line2D([], [], linestyle="none", marker=marker, markersize=4.5, color=INK)
                hollow.set_markerfacecolor("none")
                lines.append(hollow)
                names.append(name)
    if corner is not None:
        corner.legend(lines, names, loc="upper left", handlelength=2.6, borderaxespad=0.0)
    else:
        figure.legend(lines, names, loc="outside lower left", ncols=len(lines), handlelength=2.6, columnspacing=1.6)


def _alt(content: ReportContent, values: FloatArray, style: MapStyle, title: str) -> str:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return f"{title}: no voxel has a value."
    low, middle, high = np.percentile(finite, (0.0, 50.0, 100.0))
    position = ", ".join(
        f"{_AXIS_NAMES[a]} = {axis_position_mm(content.grid, a)[content.focus[a]]:.1f} mm" for a in range(3)
    )
    return (
        f"{title}: slices through {position}, with isodose lines. {style.label}: "
        f"least {low:.3g}, median {middle:.3g}, largest {high:.3g} over {finite.size} voxels."
    )
