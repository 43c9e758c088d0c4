"""Curves for papers: depth profiles, dose and LET volume histograms, survival, and learning curves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Literal

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogFormatterSciNotation, LogLocator, MaxNLocator

from surrogate3d.grid.colours import STRUCTURES
from surrogate3d.report.paper_style import COLUMN_MM, PAGE_MM, new_figure, panel_letter, quiet_axes
from surrogate3d.report.style import DIRECT, INK, METHODS, MUTED, SURROGATE, Dashes
from surrogate3d.validation.histograms import VolumeHistogram

FloatArray = npt.NDArray[np.floating]

_DASHES: tuple[Dashes | Literal["-"], ...] = ("-", (0, (4, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))
_COLOURS = {"judged": SURROGATE, "reference": INK, "dose": MUTED}


@dataclass(frozen=True, eq=False)
class Line:
    """A line of a profile.

    Attributes:
        name: in the legend.
        kind: "judged", "reference" or "dose", which decides how it is drawn.
        values: (depth,), NaN where unknown.
        half_width: (depth,) half of the interval about the values; None where there is none.
    """

    name: str
    kind: str
    values: FloatArray
    half_width: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Panel:
    """Lines of one quantity over depth.

    Attributes:
        label: of the vertical axis, with unit.
        lines: drawn in this order.
        from_zero: whether the axis begins at zero.
    """

    label: str
    lines: tuple[Line, ...]
    from_zero: bool


@dataclass(frozen=True, eq=False)
class SurvivalCurve:
    """Survival of cells against dose.

    Attributes:
        name: in the legend.
        doses: (dose,) ascending, from 0, Gy.
        survival: (dose,).
        low: (dose,) lower end of its interval; None where there is none.
        high: (dose,) upper end.
    """

    name: str
    doses: FloatArray
    survival: FloatArray
    low: FloatArray | None = None
    high: FloatArray | None = None


def profile_figure(depth_mm: FloatArray, panels: Sequence[Panel]) -> Figure:
    """Quantities over depth, one panel below the other, 85 mm wide. Call within `paper_style`."""
    figure = new_figure(COLUMN_MM, 12.0 + 38.0 * len(panels))
    for number, (axes, panel) in enumerate(
        zip(np.ravel(figure.subplots(len(panels), 1, sharex=True)), panels, strict=True)
    ):
        for line in panel.lines:
            _draw_line(axes, depth_mm, line)
        axes.set_ylabel(panel.label)
        if panel.from_zero:
            axes.set_ylim(bottom=0)
        _finish(axes, number, lettered=len(panels) > 1)
        if len(panel.lines) > 1:
            axes.legend(
                loc="lower right",
                bbox_to_anchor=(1.0, 0.98),
                ncols=len(panel.lines),
                columnspacing=1.0,
                borderaxespad=0.1,
            )
        axes.margins(x=0.01)
    axes.set_xlabel("depth along the beam / mm")
    figure.align_ylabels()
    return figure


def _draw_line(axes: Axes, depth_mm: FloatArray, line: Line) -> None:
    colour = _COLOURS[line.kind]
    dashes = {"judged": _DASHES[0], "reference": _DASHES[1], "dose": _DASHES[0]}[line.kind]
    if line.half_width is not None:
        low, high = line.values - line.half_width, line.values + line.half_width
        axes.fill_between(depth_mm, low, high, color=colour, alpha=0.22, linewidth=0)
    axes.plot(depth_mm, line.values, color=colour, linestyle=dashes, label=line.name)


def histogram_figure(panels: Mapping[str, Sequence[VolumeHistogram]]) -> Figure:
    """Cumulative volume histograms, a colour by structure and dashes by method. Call within `paper_style`.

    Args:
        panels: histograms by the label of their axis; up to three panels, 85 mm wide for one, else 180 mm.
    """
    structures = list(dict.fromkeys(each.structure for group in panels.values() for each in group))
    methods = list(dict.fromkeys(each.method for group in panels.values() for each in group))
    colour = dict(zip(structures, cycle(STRUCTURES), strict=False))
    dashes = dict(zip(methods, cycle(_DASHES), strict=False))
    width = COLUMN_MM if len(panels) == 1 else PAGE_MM
    figure = new_figure(width, 66.0 + 4.0 * (len(structures) > 3))
    for number, (axes, (label, group)) in enumerate(
        zip(np.ravel(figure.subplots(1, len(panels), sharey=True)), panels.items(), strict=True)
    ):
        for each in group:
            axes.plot(each.levels, each.volume_percent, color=colour[each.structure], linestyle=dashes[each.method])
        axes.set_xlabel(label)
        axes.set_xlim(left=0)
        axes.set_ylim(0, 102)
        _finish(axes, number, lettered=len(panels) > 1)
        if number == 0:
            axes.set_ylabel("volume / %")
    entries = [Line2D([], [], color=colour[name], linewidth=1.8, label=name) for name in structures]
    if len(methods) > 1:
        entries += [Line2D([], [], color=INK, linestyle=dashes[name], label=name) for name in methods]
    columns = 3 if width == COLUMN_MM else 7
    figure.legend(handles=entries, loc="outside lower center", ncols=min(columns, len(entries)), columnspacing=1.2)
    return figure


def survival_figure(curves: Sequence[SurvivalCurve], photons: SurvivalCurve) -> Figure:
    """Survival against dose with intervals, and that of photons, 85 mm wide. Call within `paper_style`."""
    figure = new_figure(COLUMN_MM, 72.0)
    axes = figure.subplots()
    colours = (SURROGATE, DIRECT, *METHODS)
    axes.plot(photons.doses, photons.survival, color=INK, linestyle=_DASHES[1], label=photons.name)
    for curve, colour, dashes in zip(curves, cycle(colours), cycle((_DASHES[0], *_DASHES[2:])), strict=False):
        if curve.low is not None and curve.high is not None:
            axes.fill_between(curve.doses, curve.low, curve.high, color=colour, alpha=0.22, linewidth=0)
        axes.plot(curve.doses, curve.survival, color=colour, linestyle=dashes, label=curve.name)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(LogFormatterSciNotation())
    axes.set_ylim(top=1.3)
    axes.set_xlim(left=0)
    axes.set_xlabel("dose / Gy")
    axes.set_ylabel("surviving fraction")
    axes.legend(loc="lower left")
    _finish(axes, 0, lettered=False)
    return figure


def learning_figure(
    curves: Mapping[str, Sequence[Mapping[str, float]]], losses: Sequence[str], labels: Mapping[str, str]
) -> Figure:
    """Learning curves of the members of a model, a panel for each number, 85 mm wide. Call within `paper_style`.

    Args:
        curves: rows with "step" and the numbers, by member.
        losses: which numbers, all of them positive.
        labels: of their axes.
    """
    figure = new_figure(COLUMN_MM, 14.0 + 42.0 * len(losses))
    for number, (axes, name) in enumerate(
        zip(np.ravel(figure.subplots(len(losses), 1, sharex=True)), losses, strict=True)
    ):
        for (member, rows), colour, dashes in zip(
            curves.items(), cycle((SURROGATE, DIRECT, *METHODS)), cycle(_DASHES), strict=False
        ):
            steps, values = ([row.get(key, float("nan")) for row in rows] for key in ("step", name))
            axes.plot(steps, values, color=colour, linestyle=dashes, label=member)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(LogLocator(subs=range(1, 10)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter("")
        axes.set_ylabel(labels.get(name, name.replace("_", " ")))
        if number == 0 and len(curves) > 1:
            axes.legend(loc="upper right")
        _finish(axes, number, lettered=len(losses) > 1)
    axes.set_xlabel("step of the optimiser")
    axes.set_xlim(left=0)
    figure.align_ylabels()
    return figure


def _finish(axes: Axes, number: int, lettered: bool = True) -> None:
    quiet_axes(axes)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 5, 10)))
    if lettered:
        panel_letter(axes, number)
