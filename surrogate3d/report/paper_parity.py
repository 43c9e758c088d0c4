"""Agreement for papers: judged against reference voxel by voxel, and the errors of all methods by region."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator

from surrogate3d.errors import UnknownNameError
from surrogate3d.grid.quantity import Quantity
from surrogate3d.report.paper_style import (
    PAGE_MM,
    axis_label,
    colour_map,
    new_figure,
    panel_letter,
    quiet_axes,
    symbol_text,
)
from surrogate3d.report.style import DIRECT, INK, METHODS, MUTED, SURROGATE
from surrogate3d.validation.table import ComparisonTable

FloatArray = npt.NDArray[np.floating]

_BINS = 70
_MARKERS = "osD^vP"


def parity_figure(judged: FloatArray, reference: FloatArray, quantity: Quantity, names: tuple[str, str]) -> Figure:
    """Judged against reference as a density of voxels, and relative errors, 180 mm wide. Call within `paper_style`.

    Args:
        judged: (voxel,) values, finite.
        reference: (voxel,) values, finite and not 0.
        quantity: what they are.
        names: of judged and reference, as short words.
    """
    figure = new_figure(PAGE_MM, 76.0)
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.05))
    _density(figure, left, judged, reference, quantity, names)
    _errors(right, 100.0 * (judged / reference - 1.0), quantity)
    panel_letter(left, 0)
    panel_letter(right, 1)
    return figure


def _density(
    figure: Figure, axes: Axes, judged: FloatArray, reference: FloatArray, quantity: Quantity, names: tuple[str, str]
) -> None:
    both = np.concatenate((judged, reference))
    pad = 0.03 * max(float(np.ptp(both)), 1e-6 * float(np.abs(both).max()))
    low, high = float(both.min()) - pad, float(both.max()) + pad
    counts, x, y = np.histogram2d(reference, judged, bins=_BINS, range=((low, high), (low, high)))
    shown = np.ma.masked_equal(counts.T, 0)
    image = axes.pcolormesh(
        x, y, shown, norm=LogNorm(1, max(counts.max(), 2)), cmap=colour_map("viridis"), rasterized=True
    )
    axes.plot((low, high), (low, high), color=MUTED, linewidth=0.8, linestyle=(0, (4, 2)))
    axes.set_aspect("equal")
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))
    axes.yaxis.set_major_locator(MaxNLocator(5, steps=(1, 2, 5, 10)))
    axes.set_xlabel(f"{axis_label(quantity)}, {names[1]}")
    axes.set_ylabel(f"{axis_label(quantity)}, {names[0]}")
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, format=_plain())
    bar.ax.yaxis.set_minor_formatter("")
    bar.set_label("voxels", labelpad=1.0)
    bar.outline.set_linewidth(0.4)


def _errors(axes: Axes, percent: FloatArray, quantity: Quantity) -> None:
    """Distribution of the relative errors within the reach of 99.5 % of them."""
    reach = max(float(np.percentile(np.abs(percent), 99.5)), 0.05)
    counts, edges = np.histogram(percent, np.linspace(-reach, reach, 61))
    axes.stairs(100.0 * counts / percent.size, edges, fill=True, color=SURROGATE, alpha=0.85)
    bias, median = float(percent.mean()), float(np.median(percent))
    axes.axvline(0, color=INK, linewidth=0.8)
    axes.axvline(bias, color=DIRECT, linewidth=1.0, linestyle=(0, (4, 1.5)), label=f"mean {_signed(bias)} %")
    axes.plot([], [], " ", label=f"median {_signed(median)} %")
    axes.plot([], [], " ", label=f"RMS {np.sqrt(np.mean(percent**2)):.2f} %")
    axes.plot([], [], " ", label=f"n = {percent.size}")
    axes.set_xlim(-reach, reach)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=(1, 2, 5, 10)))
    axes.set_xlabel(f"relative error of {symbol_text(quantity)} / %")
    axes.set_ylabel("voxels per bin / %")
    axes.legend(loc="upper right", handlelength=1.8)
    quiet_axes(axes)


def error_figure(table: ComparisonTable, quantity: str) -> Figure:
    """RMS relative error by method and region on a logarithmic axis, 180 mm wide. Call within `paper_style`.

    Args:
        table: of a validation.
        quantity: such as "RBE".

    Raises:
        UnknownNameError: the table does not have it.
    """
    rows = [row for row in table.rows if row.quantity == quantity and row.summary.rms > 0]
    if not rows:
        known = ", ".join(dict.fromkeys(row.quantity for row in table.rows))
        raise UnknownNameError(f"the validation has no errors of {quantity!r}; it has {known}")
    methods, regions = (list(dict.fromkeys(getattr(row, key) for row in rows)) for key in ("method", "region"))
    figure = new_figure(PAGE_MM, 22.0 + 5.4 * len(methods))
    axes = figure.subplots()
    for region, marker, colour in zip(
        regions, cycle(_MARKERS), cycle((INK, SURROGATE, DIRECT, *METHODS)), strict=False
    ):
        chosen = [row for row in rows if row.region == region]
        axes.plot(
            [row.summary.rms for row in chosen],
            [methods.index(row.method) for row in chosen],
            marker,
            color=colour,
            markerfacecolor=colour if region == "all" else "none",
            markersize=5.5 if region == "all" else 4.2,
            markeredgewidth=0.9,
            label=region.replace("_", " "),
            zorder=3 if region == "all" else 2,
        )
    axes.set_yticks(range(len(methods)), methods)
    axes.set_ylim(len(methods) - 0.4, -0.6)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_minor_locator(LogLocator(subs=range(1, 10)))
    axes.xaxis.set_major_formatter(_plain())
    axes.xaxis.set_minor_formatter("")
    axes.grid(True, axis="y", linewidth=0.4, color="#dcdad3")
    axes.set_axisbelow(True)
    axes.set_xlabel(f"RMS relative error of {quantity} / %")
    figure.legend(loc="outside lower right", ncols=len(regions), columnspacing=1.2, handlelength=1.0)
    quiet_axes(axes)
    return figure


def finite_pairs(judged: FloatArray, reference: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(voxel,) values of both where both are known and the reference is not 0."""
    known = np.isfinite(judged) & np.isfinite(reference) & (reference != 0)
    return judged[known], reference[known]


def _plain() -> FuncFormatter:
    """Numbers of a logarithmic axis as 0.1, 1, 10."""
    return FuncFormatter(lambda value, _: f"{value:g}")


def _signed(value: float) -> str:
    """Two decimals and a sign, which a rounded zero has not."""
    return "0.00" if round(value, 2) == 0 else f"{value:+.2f}".replace("-", "\N{MINUS SIGN}")
