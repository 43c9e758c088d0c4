"""Maps for papers: three planes of one quantity on one scale, or two maps and their difference along the beam."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from surrogate3d.errors import GridMismatchError
from surrogate3d.grid.colours import STRUCTURES
from surrogate3d.grid.geometry import Grid
from surrogate3d.grid.volume import Volume
from surrogate3d.report.paper_layout import BAR, BOTTOM, LEFT, LETTERS, legend_columns, legend_height, map_layout, share
from surrogate3d.report.paper_style import COLUMN_MM, PAGE_MM, axis_label, colour_map, new_figure, panel_letter
from surrogate3d.report.slices import ISODOSES_PERCENT, Plane, axis_position_mm
from surrogate3d.report.style import INK, MUTED, NO_ANSWER, Dashes

FloatArray = npt.NDArray[np.floating]

SHOWN_FROM = 0.01
"""Share of the dose of 100 % from which a voxel belongs to what is shown."""

INSIDE = 0.5
"""Fraction of a voxel at which a structure's line runs."""

_DASHES: tuple[Dashes, ...] = ((0, ()), (0, (5, 1.6)), (0, (4, 1.5, 1, 1.5)), (0, (1, 1.4)))
_LINE, _HALO = "#101010", "#fafafa"


@dataclass(frozen=True, eq=False)
class PlanView:
    """What maps of a plan are drawn with.

    Attributes:
        grid: of everything.
        dose: (i, j, k) dose of the isodose lines.
        isodose_base: dose that is called 100 %, in the unit of `dose`.
        focus: voxel that the planes cross.
        beam_axis: index axis nearest to the beam's direction; None where beams cross or it is not known.
        beam_sign: +1 when the beam travels towards larger indices, else -1.
        structures: (i, j, k) fraction of each voxel inside, by name.

    Raises:
        GridMismatchError: something is not on the grid.
    """

    grid: Grid
    dose: FloatArray
    isodose_base: float
    focus: tuple[int, int, int]
    beam_axis: int | None = None
    beam_sign: int = 1
    structures: Mapping[str, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, values in {"dose": self.dose, **self.structures}.items():
            if values.shape != self.grid.shape:
                raise GridMismatchError(f"{name}: values have shape {values.shape}, the maps {self.grid.shape}")

    @property
    def planes(self) -> tuple[Plane, Plane, Plane]:
        """Two planes along the beam, which runs across the page, and one across it; else those of the grid's axes."""
        if self.beam_axis is None:
            return ((0, 1, 2), (0, 2, 1), (1, 2, 0))
        along = self.beam_axis
        first, second = (a for a in range(3) if a != along)
        return ((along, first, second), (along, second, first), (first, second, along))

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """Voxels that are shown: with dose or in a structure, and one more around."""
        shown = np.nan_to_num(self.dose) >= SHOWN_FROM * self.isodose_base
        shown = np.logical_or.reduce([shown, *(values > 0 for values in self.structures.values())])
        found = np.argwhere(shown)
        if not len(found):
            return slice(0, self.grid.shape[0]), slice(0, self.grid.shape[1]), slice(0, self.grid.shape[2])
        low, high = np.maximum(found.min(axis=0) - 1, 0), np.minimum(found.max(axis=0) + 2, self.grid.shape)
        i, j, k = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
        return i, j, k

    def limits_mm(self, axis: int) -> tuple[float, float]:
        """Outer faces of what is shown along an axis."""
        part, half = self.box[axis], 0.5 * self.grid.spacing_mm[axis]
        positions = axis_position_mm(self.grid, axis)[part]
        return float(positions[0]) - half, float(positions[-1]) + half

    def extent_mm(self, axis: int) -> float:
        """How much is shown along an axis."""
        low, high = self.limits_mm(axis)
        return high - low

    def cut(self, values: FloatArray, plane: Plane) -> FloatArray:
        """(up, across) values of a plane."""
        across, up, through = plane
        section = np.take(values, self.focus[through], axis=through)
        return np.asarray(section.T if across < up else section)


def map_figure(view: PlanView, volume: Volume, colours: str = "viridis", symmetric: bool = False) -> Figure:
    """Three planes of a map through the focus with isodoses and contours, 180 mm wide. Call within `paper_style`.

    Args:
        view: plan, isodoses and structures.
        volume: on its grid; NaN is grey.
        colours: of `grid.colours`.
        symmetric: whether zero is in the middle of the scale.

    Raises:
        GridMismatchError: the volume is elsewhere.
    """
    view.grid.require_same(volume.grid, volume.quantity.name)
    norm, extend = value_scale(volume.values[view.box], symmetric)
    entries = _legend_entries(view, view.planes)
    labels = [str(entry.get_label()) for entry in entries]
    layout = map_layout(
        [view.extent_mm(p[0]) for p in view.planes], [view.extent_mm(p[1]) for p in view.planes], labels
    )
    size = layout.height_mm
    figure = new_figure(PAGE_MM, size, constrained=False)
    panels = [figure.add_axes(share(box, PAGE_MM, size)) for box in layout.panels]
    for number, (axes, plane) in enumerate(zip(panels, view.planes, strict=True)):
        image = draw_plane(axes, view, volume.values, plane, norm, colours)
        panel_letter(axes, number)
    _, low, _, tall = layout.panels[-1]
    bar = figure.add_axes(share((PAGE_MM - BAR + 3.5, low, 2.8, tall), PAGE_MM, size))
    colour_bar(figure, image, bar, extend, axis_label(volume.quantity))
    if layout.stacked:
        panels[0].set_xlabel("")
        panels[0].tick_params(labelbottom=False)
    _legend(figure, entries, layout.legend_left_mm / PAGE_MM, layout.legend_columns)
    return figure


def comparison_figure(
    view: PlanView, judged: Volume, reference: Volume, names: tuple[str, str], difference: FloatArray, words: str
) -> Figure:
    """Two maps on one scale and their difference, along the beam, 85 mm wide. Call within `paper_style`.

    Args:
        view: plan, isodoses and structures.
        judged: what is tested.
        reference: against what.
        names: of both, as short words.
        difference: (i, j, k), NaN where it is not known.
        words: label of the difference with its unit.

    Raises:
        GridMismatchError: a volume is elsewhere.
    """
    for volume in (judged, reference):
        view.grid.require_same(volume.grid, volume.quantity.name)
    plane, box = view.planes[0], view.box
    shared = value_scale(np.stack([judged.values[box], reference.values[box]]))
    own, label = value_scale(difference[box], symmetric=True), axis_label(judged.quantity)
    rows = (
        (names[0], judged.values, shared, "viridis", label),
        (names[1], reference.values, shared, "viridis", label),
        ("difference", difference, own, "balance", words),
    )
    width = COLUMN_MM - LEFT - BAR
    tall = float(np.clip(width * view.extent_mm(plane[1]) / view.extent_mm(plane[0]), 12.0, 55.0))
    handles = _legend_entries(view, (plane,))
    labels = [str(handle.get_label()) for handle in handles]
    columns = legend_columns(labels, COLUMN_MM)
    below = BOTTOM + legend_height(labels, columns)
    size = below + 3 * (tall + LETTERS) + 1.0
    figure = new_figure(COLUMN_MM, size, constrained=False)
    for number, (name, values, (norm, extend), colours, words_here) in enumerate(rows):
        low = below + (2 - number) * (tall + LETTERS)
        axes = figure.add_axes(share((LEFT, low, width, tall), COLUMN_MM, size))
        image = draw_plane(axes, view, values, plane, norm, colours)
        panel_letter(axes, number)
        axes.set_title(name, loc="center", pad=3.0)
        bar = figure.add_axes(share((COLUMN_MM - BAR + 2.5, low, 2.4, tall), COLUMN_MM, size))
        colour_bar(figure, image, bar, extend, words_here)
        if number < len(rows) - 1:
            axes.set_xlabel("")
            axes.tick_params(labelbottom=False)
    _legend(figure, handles, 0.0, columns)
    return figure


def value_scale(values: FloatArray, symmetric: bool = False) -> tuple[Normalize, str]:
    """Limits that half a percent of the values may exceed on each side, and the colour bar's pointed ends."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return Normalize(0.0, 1.0), "neither"
    low, high = (float(x) for x in np.percentile(finite, (0.5, 99.5)))
    if symmetric:
        low, high = -max(abs(low), abs(high)), max(abs(low), abs(high))
    if high <= low:
        low, high = low - 0.5, high + 0.5
    beyond = (bool(finite.min() < low), bool(finite.max() > high))
    return Normalize(low, high), {(False, False): "neither", (True, False): "min", (False, True): "max"}.get(
        beyond, "both"
    )


def draw_plane(
    axes: Axes, view: PlanView, values: FloatArray, plane: Plane, norm: Normalize, colours: str
) -> AxesImage:
    """One plane of a map with isodoses, contours and axes in mm."""
    across, up, _ = plane
    grid = view.grid
    positions = [(a, axis_position_mm(grid, a)) for a in (across, up)]
    left, right, low, high = (p[n] + s * 0.5 * grid.spacing_mm[a] for a, p in positions for n, s in ((0, -1), (-1, 1)))
    image = axes.imshow(
        np.ma.masked_invalid(view.cut(values, plane)),
        origin="lower",
        extent=(left, right, low, high),
        norm=norm,
        cmap=colour_map(colours),
        interpolation="none",
        aspect="auto",
    )
    axes.set_facecolor(NO_ANSWER)
    axes.set_xlim(*view.limits_mm(across))
    axes.set_ylim(*view.limits_mm(up))
    if across == view.beam_axis:
        if view.beam_sign < 0:
            axes.invert_xaxis()
        axes.set_title("beam \N{RIGHTWARDS ARROW}", loc="right", color=MUTED, pad=3.0)
    axes.set_xlabel(f"{'xyz'[across]} / mm")
    axes.set_ylabel(f"{'xyz'[up]} / mm")
    _contours(axes, view, plane)
    return image


def colour_bar(figure: Figure, image: AxesImage, axes: Axes, extend: str, label: str) -> None:
    """A colour bar in its own axes."""
    bar = figure.colorbar(image, cax=axes, extend=extend, extendfrac=0.04)
    bar.set_label(label, labelpad=2.5)
    bar.outline.set_linewidth(0.4)


def _contours(axes: Axes, view: PlanView, plane: Plane) -> None:
    x, y = (axis_position_mm(view.grid, a) for a in plane[:2])
    dose = view.cut(np.nan_to_num(view.dose), plane)
    if min(dose.shape) < 2:
        return
    for percent, dashes in zip(ISODOSES_PERCENT, _DASHES, strict=True):
        _line(axes, x, y, dose, percent / 100 * view.isodose_base, _LINE, dashes, 0.7)
    for colour, values in zip(cycle(STRUCTURES), view.structures.values(), strict=False):
        _line(axes, x, y, view.cut(values, plane), INSIDE, colour, (0, ()), 1.2)


def _line(
    axes: Axes,
    x: FloatArray,
    y: FloatArray,
    values: FloatArray,
    level: float,
    colour: str,
    dashes: Dashes,
    width: float,
) -> None:
    if values.min() < level < values.max():
        axes.contour(x, y, values, [level], colors=_HALO, linewidths=width + 0.9, alpha=0.6)
        axes.contour(x, y, values, [level], colors=colour, linewidths=width, linestyles=[dashes])


def _legend(figure: Figure, entries: list[Line2D | Patch], left: float, columns: int) -> None:
    figure.legend(handles=entries, loc="lower left", bbox_to_anchor=(left, 0.0), ncols=columns, columnspacing=1.0)


def _legend_entries(view: PlanView, planes: Sequence[Plane]) -> list[Line2D | Patch]:
    """Isodoses, and the structures that these planes cut."""
    entries: list[Line2D | Patch] = [
        Line2D([], [], color=INK, linewidth=0.9, linestyle=dashes, label=f"{percent} % isodose")
        for percent, dashes in zip(ISODOSES_PERCENT, _DASHES, strict=True)
    ]
    entries += [
        Line2D([], [], color=colour, linewidth=1.4, label=name)
        for colour, (name, values) in zip(cycle(STRUCTURES), view.structures.items(), strict=False)
        if any((view.cut(values, plane) > INSIDE).any() for plane in planes)
    ]
    return [*entries, Patch(facecolor=NO_ANSWER, edgecolor=MUTED, linewidth=0.4, label="no value")]


def relative_difference(judged: FloatArray, reference: FloatArray) -> FloatArray:
    """100 (judged / reference - 1), %; NaN where either is not known or the reference is 0."""
    known = np.isfinite(judged) & np.isfinite(reference) & (reference != 0)
    return np.where(known, 100.0 * (judged / np.where(known, reference, 1.0) - 1.0), np.nan)
