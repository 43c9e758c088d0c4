"""Which scale mattered in vitro: shares over LET for each ion, and the methods of asking side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from surrogate3d.errors import GridMismatchError
from surrogate3d.invitro.importance import ByLET, MethodImportance
from surrogate3d.invitro.scales import GROUPS, SCALE_OF_GROUP, SCALES
from surrogate3d.io.atomic import atomic_file
from surrogate3d.report.content import FloatArray
from surrogate3d.report.style import INK, MUTED, Picture, house_style, picture, plain_axes

# Okabe and Ito's colours, told apart by all forms of colour vision
COLOURS = dict(zip(SCALES, ("#0072b2", "#e69f00", "#cc79a7", "#999999"), strict=True))
HATCHES = dict(zip(SCALES, ("", "//", "..", ""), strict=True))

_SITES = {"nano": "2 and 10 nm", "biology": "biology", "LET": "LET"}
_NAMES = {group: _SITES.get(group, group.removeprefix("micro_").replace("um", " \N{MICRO SIGN}m")) for group in GROUPS}
_SIZE = {scale: sum(SCALE_OF_GROUP[group] == scale for group in GROUPS) for scale in SCALES}
_LEGEND = {scale: scale if n == 1 else f"{scale} ({n} sites)" for scale, n in _SIZE.items()}
_LET_LABEL = "dose-averaged LET / (keV/\N{MICRO SIGN}m)"


@dataclass(frozen=True, eq=False)
class Drawing:
    """A figure in the house's style with its description.

    Attributes:
        figure: drawn within `house_style`.
        alt: what it shows, for those who do not see it.
    """

    figure: Figure
    alt: str

    def picture(self) -> Picture:
        """As SVG for light and dark pages."""
        with house_style():
            return picture(self.figure, self.alt)


def write_png(drawing: Drawing, path: str | Path, dpi: int = 130) -> None:
    """Write a drawing on white; an existing file is replaced.

    Raises:
        StoreError: the file cannot be written.
    """
    with house_style(), atomic_file(path, overwrite=True) as target:
        drawing.figure.savefig(target, dpi=dpi, format="png", facecolor="white")


def importance_over_LET(curves: Sequence[ByLET]) -> Drawing:
    """Shares of the scales, stacked, one panel for each ion; bars show the spread between the models.

    Args:
        curves: one for each ion.

    Raises:
        GridMismatchError: no ion, or shares of other scales.
    """
    if not curves or any(each.share.shape[1:] != (len(each.LET), len(SCALES)) for each in curves):
        raise GridMismatchError(f"expected ions with shares (model, bin, {len(SCALES)}), one bin for each LET")
    with house_style():
        rows = (len(curves) + 1) // 2
        figure = Figure(figsize=(11.0, 0.6 + 3.2 * rows), layout="constrained")
        panels = figure.subplots(rows, 2, squeeze=False, sharey=True).ravel()
        for axes, each in zip(panels, curves, strict=False):
            _stacked(axes, each)
        for axes in panels[len(curves) :]:
            axes.axis("off")
        for axes in panels[::2]:
            axes.set_ylabel("share of the masks / %")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=len(handles))
        return Drawing(figure, _over_LET_alt(curves))


def _stacked(axes: Axes, curve: ByLET) -> None:
    """An ion of one bin is drawn as a bar's width about its LET."""
    share = 100 * curve.share
    mean, total = share.mean(axis=0), share.cumsum(axis=-1)
    wide = curve.LET * np.array([[0.9], [1.1]]) if len(curve.LET) == 1 else curve.LET[None]
    x = wide.ravel()
    bottom = np.zeros(len(x))
    for n, scale in enumerate(SCALES):
        top = bottom + (np.repeat(mean[:, n], 2) if len(curve.LET) == 1 else mean[:, n])
        axes.fill_between(
            x,
            bottom,
            top,
            facecolor=COLOURS[scale],
            hatch=HATCHES[scale],
            edgecolor="white",
            linewidth=0.6,
            label=_LEGEND[scale],
        )
        bottom = top
    for n in range(len(SCALES) - 1):
        middle = total[:, :, n].mean(axis=0)
        deviation = total[:, :, n].std(axis=0, ddof=1) if len(total) > 1 else np.zeros(len(curve.LET))
        label = f"\N{PLUS-MINUS SIGN} s.d. of {len(total)} models" if n == 0 else None
        beside = curve.LET * 1.012 ** (n - 1)  # so that bars of neighbouring borders do not hide one another
        axes.errorbar(beside, middle, deviation, fmt="none", ecolor=INK, capsize=3, clip_on=False, label=label)
    axes.set_xscale("log")
    axes.set_xlim(x.min() / 1.04, x.max() * 1.04)
    axes.set_ylim(0, 100)
    _plain_decades(axes)
    axes.set_title(f"{curve.ion} (n = {int(curve.experiments.sum())})")
    axes.set_xlabel(_LET_LABEL)
    axes.spines[["top", "right"]].set_visible(False)


def _plain_decades(axes: Axes) -> None:
    """1, 2, 5, 10, ... in plain numbers, as an ion may span less than a decade."""
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _over_LET_alt(curves: Sequence[ByLET]) -> str:
    parts = []
    for each in curves:
        mean = np.average(each.share.mean(axis=0), axis=0, weights=each.experiments)
        shares = ", ".join(f"{scale} {100 * value:.0f} %" for scale, value in zip(SCALES, mean, strict=True))
        parts.append(f"{each.ion} from {each.LET[0]:.3g} to {each.LET[-1]:.3g} keV/um: {shares}")
    return "Shares of the scales in the masks over LET, by ion. " + "; ".join(parts) + "."


def importance_methods(methods: Sequence[MethodImportance]) -> Drawing:
    """Importance of every group by every method, one panel each with its own unit, smallest site on top.

    Args:
        methods: at least one.

    Raises:
        GridMismatchError: none, or values of other groups.
    """
    if not methods or any(part.shape != (len(GROUPS),) for each in methods for part in _ends(each)):
        raise GridMismatchError(f"expected methods with {len(GROUPS)} values each, one for each group")
    with house_style():
        figure = Figure(figsize=(2.6 + 2.3 * len(methods), 4.0), layout="constrained")
        panels = figure.subplots(1, len(methods), sharey=True, squeeze=False)[0]
        for axes, each in zip(panels, methods, strict=True):
            _bars(axes, each)
        panels[0].set_yticks(range(len(GROUPS)), [_NAMES[group] for group in GROUPS])
        panels[0].invert_yaxis()
        return Drawing(figure, _methods_alt(methods))


def _ends(each: MethodImportance) -> tuple[FloatArray, FloatArray, FloatArray]:
    return each.value, each.low, each.high


def _bars(axes: Axes, each: MethodImportance) -> None:
    for n, group in enumerate(GROUPS):
        scale = SCALE_OF_GROUP[group]
        axes.barh(n, each.value[n], height=0.72, color=COLOURS[scale], hatch=HATCHES[scale], edgecolor="white", lw=0.6)
        axes.plot((each.low[n], each.high[n]), (n, n), color=INK, linewidth=1.2, marker="|", markersize=5)
    axes.axvline(0, color=MUTED, linewidth=0.8)
    axes.set_title(f"{each.method}\n({each.spread})")
    axes.set_xlabel(each.unit)
    plain_axes(axes)
    axes.grid(False, axis="y")


def _methods_alt(methods: Sequence[MethodImportance]) -> str:
    parts = []
    for each in methods:
        first = GROUPS[int(each.value.argmax())]
        parts.append(f"{each.method}: largest {_NAMES[first]}, {each.value.max():.3g} ({each.unit})")
    return "Importance of each group of features by method. " + "; ".join(parts) + "."
