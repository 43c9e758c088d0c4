"""Depth profiles, predicted against true values, and the distribution of errors."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from surrogate3d.report.content import BoolArray, DirectPoints, FloatArray, ReportContent
from surrogate3d.report.style import (
    DIRECT,
    INK,
    METHODS,
    MUTED,
    SURROGATE,
    Dashes,
    Picture,
    house_style,
    picture,
    plain_axes,
)

_DENSITY = ListedColormap(colormaps["viridis"](np.linspace(0.2, 0.95, 256)))
"""Without the ends that vanish on a light or on a dark page."""

BAND_SIGMAS = 2
NEAR_VOXELS = 1
_DEPTH_LABEL = "distance from the first voxel's centre along the beam / mm"
_DASHES: tuple[Dashes, ...] = ((0, (4, 1.5)), (0, (1.2, 1.2)), (0, (6, 1.5, 1.2, 1.5)))


def depth_profiles(content: ReportContent) -> Picture:
    """Dose, LET_d and RBE on the line along the beam axis through the focus."""
    depth = content.grid.axis_mm(content.beam_axis)
    with_LET = "LET_d" in content.maps
    with house_style():
        figure = Figure(figsize=(11.0, 7.2 if with_LET else 5.4), layout="constrained")
        ratios = (1.0, 0.8, 1.7) if with_LET else (1.0, 1.7)
        panels = figure.subplots(len(ratios), 1, sharex=True, height_ratios=ratios)
        _dose_panel(panels[0], content, depth)
        if with_LET:
            panels[1].plot(depth, along_beam(content, content.maps["LET_d"].values), color=INK, linewidth=1.4)
            panels[1].set_ylabel("dose-averaged LET\n/ (keV/\N{MICRO SIGN}m)")
        _rbe_panel(panels[-1], content, depth)
        panels[-1].set_xlabel(_DEPTH_LABEL)
        for axes in panels:
            plain_axes(axes)
            axes.margins(x=0.01)
        return picture(figure, _profile_alt(content, depth))


def along_beam(content: ReportContent, values: FloatArray) -> FloatArray:
    """(depth,) values on the line along the beam through the focus, upstream end first."""
    index: list[int | slice] = list(content.focus)
    index[content.beam_axis] = slice(None, None, content.beam_sign)
    return np.asarray(values[tuple(index)])


def _dose_panel(axes: Axes, content: ReportContent, depth: FloatArray) -> None:
    axes.plot(depth, along_beam(content, content.dose.values), color=INK, linewidth=1.4, label="dose")
    if "D_RBE" in content.maps:
        weighted = np.where(content.mask, content.maps["D_RBE"].values, np.nan)
        label = "RBE-weighted dose, predicted"
        axes.plot(depth, along_beam(content, weighted), color=SURROGATE, linewidth=1.6, label=label)
    axes.set_ylim(bottom=0)
    axes.set_ylabel("dose / Gy, Gy (RBE)")
    _legend_above(axes)


def _rbe_panel(axes: Axes, content: ReportContent, depth: FloatArray) -> None:
    predicted = along_beam(content, content.RBE)
    _thin_lines(axes, content, content.methods, depth)
    if content.reference is not None and not content.sparse_reference:
        line = along_beam(content, np.where(content.mask, content.reference, np.nan))
        axes.plot(depth, line, color=INK, linewidth=0.9, label="reference")
    if "RBE_std" in content.maps:
        half = BAND_SIGMAS * along_beam(content, content.maps["RBE_std"].values)
        label = f"\N{PLUS-MINUS SIGN} {BAND_SIGMAS} predicted s.d."
        axes.fill_between(depth, predicted - half, predicted + half, color=SURROGATE, alpha=0.2, lw=0, label=label)
    axes.plot(depth, predicted, color=SURROGATE, linewidth=1.9, label="surrogate")
    _direct_on_line(axes, content, depth)
    axes.set_ylabel("RBE")
    _legend_above(axes)


def _legend_above(axes: Axes) -> None:
    """Above the axes, where it covers no data."""
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4, borderaxespad=0.2, columnspacing=1.6)


def _thin_lines(axes: Axes, content: ReportContent, methods: Mapping[str, FloatArray], depth: FloatArray) -> None:
    for (name, values), color, dashes in zip(methods.items(), cycle(METHODS), cycle(_DASHES), strict=False):
        line = along_beam(content, np.where(content.mask, values, np.nan))
        axes.plot(depth, line, color=color, linewidth=1.0, linestyle=dashes, label=name)


def model_profiles(content: ReportContent) -> Picture:
    """RBE of published models beside the surrogate on the line along the beam through the focus."""
    depth = content.grid.axis_mm(content.beam_axis)
    with house_style():
        figure = Figure(figsize=(11.0, 3.8), layout="constrained")
        axes = figure.subplots()
        _thin_lines(axes, content, content.published_models, depth)
        axes.plot(depth, along_beam(content, content.RBE), color=SURROGATE, linewidth=1.9, label="surrogate")
        axes.set_xlabel(_DEPTH_LABEL)
        axes.set_ylabel("RBE")
        _legend_above(axes)
        axes.margins(x=0.01)
        plain_axes(axes)
        names = ", ".join(content.published_models)
        return picture(figure, f"RBE along the beam by published models ({names}) beside the surrogate.")


def near_line(content: ReportContent) -> BoolArray:
    """(point,) directly simulated voxels within `NEAR_VOXELS` of the profile's line on both lateral axes."""
    if content.points is None:
        return np.zeros(0, dtype=bool)
    offset = np.abs(content.points.index - np.asarray(content.focus))
    lateral = np.delete(offset, content.beam_axis, axis=1)
    known = content.mask[tuple(content.points.index.T)]
    return np.asarray((lateral <= NEAR_VOXELS).all(axis=1) & known)


def _direct_on_line(axes: Axes, content: ReportContent, depth: FloatArray) -> None:
    if content.points is None:
        return
    points, near = content.points, near_line(content)
    along = depth[:: content.beam_sign]
    for held_out, marker, name in ((False, "o", "direct simulation"), (True, "D", "direct, held out")):
        chosen = near & (points.held_out == held_out)
        if chosen.any():
            x = along[points.index[chosen, content.beam_axis]]
            label = f"{name} \N{PLUS-MINUS SIGN} s.e."
            _error_bars(axes, x, points.RBE[chosen], points.standard_error[chosen], marker, label)


def _error_bars(axes: Axes, x: FloatArray, y: FloatArray, y_error: FloatArray, marker: str, label: str) -> None:
    hollow = "none" if marker == "o" else DIRECT
    axes.errorbar(
        x, y, y_error, fmt=marker, color=DIRECT, markerfacecolor=hollow, markersize=4, linewidth=1, label=label
    )


def _profile_alt(content: ReportContent, depth: FloatArray) -> str:
    predicted = along_beam(content, content.RBE)
    finite = np.isfinite(predicted)
    if not finite.any():
        return "Depth profiles along the beam: the surrogate answers nowhere on this line."
    first, last = depth[finite][0], depth[finite][-1]
    low, high = np.nanmin(predicted), np.nanmax(predicted)
    return (
        f"Depth profiles along the beam through the focus: dose, LET and RBE. The surrogate answers from {first:.0f} "
        f"to {last:.0f} mm, with RBE between {low:.3g} and {high:.3g}; "
        f"{int(near_line(content).sum())} directly simulated voxels lie near the line."
    )


def agreement(content: ReportContent) -> Picture:
    """Predicted RBE against the reference (density of voxels) and against direct simulation (points)."""
    with house_style():
        figure = Figure(figsize=(11.0, 4.9), layout="constrained")
        free = list(figure.subplots(1, 2))
        if content.reference is not None and _with_density(content):
            _density_panel(figure, free.pop(0), content, content.reference)
        if content.points is not None:
            _points_panel(free.pop(0), content, content.points)
        for axes in free:
            axes.axis("off")
        return picture(figure, _agreement_alt(content))


def _with_density(content: ReportContent) -> bool:
    """A sparse reference is left to the points, unless there are none and it is all that can be shown."""
    return content.reference is not None and (content.points is None or not content.sparse_reference)


def _density_panel(figure: Figure, axes: Axes, content: ReportContent, reference: FloatArray) -> None:
    known = content.known_reference & np.isfinite(content.RBE)
    x, y = reference[known], content.RBE[known]
    low, high = _common_limits(x, y)
    counts, _, _ = np.histogram2d(x, y, bins=90, range=((low, high), (low, high)))
    image = axes.imshow(
        np.ma.masked_equal(counts.T, 0),
        origin="lower",
        extent=(low, high, low, high),
        norm=LogNorm(1, max(counts.max(), 2)),
        cmap=_DENSITY,
        interpolation="none",
    )
    figure.colorbar(image, ax=axes, label="voxels", shrink=0.8).outline.set_visible(False)
    _identity(axes, low, high)
    axes.set_xlabel("RBE, reference")
    which = "voxels with a reference" if content.sparse_reference else "every voxel of the mask"
    axes.set_title(f"{which} (n = {x.size:,})")


def _points_panel(axes: Axes, content: ReportContent, points: DirectPoints) -> None:
    predicted = content.RBE[tuple(points.index.T)]
    known = np.isfinite(predicted)
    low, high = _common_limits(points.RBE[known], predicted[known])
    for held_out, marker, name in ((False, "o", "used in training"), (True, "D", "held out")):
        chosen = known & (points.held_out == held_out)
        if chosen.any():
            axes.errorbar(
                points.RBE[chosen],
                predicted[chosen],
                xerr=points.standard_error[chosen],
                fmt=marker,
                color=DIRECT,
                markerfacecolor=DIRECT if held_out else "none",
                markersize=4,
                linewidth=0.8,
                label=f"{name} (n = {int(chosen.sum())})",
            )
    _identity(axes, low, high)
    axes.set_aspect("equal")
    axes.set_xlabel("RBE, direct simulation \N{PLUS-MINUS SIGN} s.e.")
    axes.set_title("directly simulated voxels")
    if known.any():
        axes.legend(loc="upper left")


def _common_limits(x: FloatArray, y: FloatArray) -> tuple[float, float]:
    both = np.concatenate((x, y))
    if not both.size:
        return 0.9, 1.1
    pad = 0.04 * max(float(np.ptp(both)), 0.01)
    return float(both.min()) - pad, float(both.max()) + pad


def _identity(axes: Axes, low: float, high: float) -> None:
    plain_axes(axes)
    axes.plot((low, high), (low, high), color=MUTED, linewidth=0.9, linestyle=(0, (4, 2)), zorder=1)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.yaxis.set_major_locator(MaxNLocator(6))
    axes.set_ylabel("RBE, surrogate")


def _agreement_alt(content: ReportContent) -> str:
    parts = ["Predicted RBE against"]
    if _with_density(content):
        error = content.errors_percent()["surrogate"]
        parts.append(f"the reference in {int(np.isfinite(error).sum())} voxels")
    if _with_density(content) and content.points is not None:
        parts.append("and")
    if content.points is not None:
        parts.append(f"direct simulation in {len(content.points.RBE)} voxels")
    return " ".join(parts) + "; the dashed line is equality."


def error_histogram(errors_percent: Mapping[str, FloatArray]) -> Picture:
    """Distribution of the relative RBE error of each method, one step line each.

    Args:
        errors_percent: (i, j, k) by method, NaN where unknown, %; the first is the surrogate.
    """
    finite = {name: values[np.isfinite(values)] for name, values in errors_percent.items()}
    largest = [np.percentile(np.abs(values), 99) for values in finite.values() if values.size]
    reach = float(np.clip(max(largest, default=1.0), 0.5, 30.0))
    bins = np.linspace(-reach, reach, 81)
    with house_style():
        figure = Figure(figsize=(11.0, 3.8), layout="constrained")
        axes = figure.subplots()
        for (name, values), color, dashes in zip(
            finite.items(), (SURROGATE, *METHODS), ((0, ()), *_DASHES, *_DASHES), strict=False
        ):
            _error_steps(axes, name, values, bins, color, dashes)
        axes.axvline(0, color=MUTED, linewidth=0.8)
        axes.set_xlim(-reach, reach)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("relative error of RBE against the reference / %")
        axes.set_ylabel("share of voxels per bin / %")
        _legend_above(axes)
        plain_axes(axes)
        spread = "; ".join(f"{name} {_rms(values):.2f} %" for name, values in finite.items())
        return picture(figure, f"Distribution of the relative RBE error by method. Root mean square: {spread}.")


def _error_steps(axes: Axes, name: str, values: FloatArray, bins: FloatArray, color: str, dashes: Dashes) -> None:
    counts, _ = np.histogram(values, bins)
    width = 1.8 if color == SURROGATE else 1.0
    share = 100.0 * counts / max(values.size, 1)
    axes.stairs(share, bins, color=color, linewidth=width, linestyle=dashes, label=f"{name}: rms {_rms(values):.2f} %")


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(values)))) if values.size else float("nan")
