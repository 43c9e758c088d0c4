"""Captions of figures: what a reader of a paper must know of each, in sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Volume
from surrogate3d.pipeline.figure_inputs import LET_FROM, FigureInputs
from surrogate3d.report.paper_maps import SHOWN_FROM
from surrogate3d.report.slices import ISODOSES_PERCENT, axis_position_mm
from surrogate3d.validation.histograms import VolumeHistogram

_MINUS, _CUBED = "\N{MINUS SIGN}", "\N{SUPERSCRIPT THREE}"


def map_caption(inputs: FigureInputs, volume: Volume) -> str:
    """Of three planes of a map."""
    view, meaning = inputs.view, volume.quantity
    at = (f"{'xyz'[p[2]]} = {_place(inputs, p[2])}" for p in view.planes)
    planes = ", ".join(f"({letter}) {place}" for letter, place in zip("abc", at, strict=True))
    only = f"Only {_where_LET()}." if meaning.name == "LET_d" else ""
    return _joined(_sentence(meaning.definition), only, under(inputs), f"Planes {planes}.", _lines(inputs))


def comparison_caption(inputs: FigureInputs, judged: Volume, origin: str) -> str:
    """Of two maps and their difference."""
    across = inputs.view.planes[0][2]
    panels = f"(a) judged, (b) reference ({origin}), (c) judged / reference {_MINUS} 1"
    at = f"at {'xyz'[across]} = {_place(inputs, across)}"
    return _joined(_sentence(judged.quantity.definition), f"{panels}, {at}.", under(inputs), _lines(inputs))


def profile_caption(inputs: FigureInputs, with_interval: bool) -> str:
    """Of profiles along the beam."""
    across = ", ".join(f"{'xyz'[a]} = {_place(inputs, a)}" for a in range(3) if a != inputs.view.beam_axis)
    return _joined(
        f"Along the beam on the line of voxels at {across}; depth is from the centre of the first voxel.",
        _LET(inputs),
        under(inputs),
        "Band: interval of RBE that is to cover 90 %." if with_interval else "",
        _dashed(inputs),
    )


def histogram_caption(inputs: FigureInputs, histograms: Mapping[str, Sequence[VolumeHistogram]]) -> str:
    """Of volume histograms."""
    every = [each for group in histograms.values() for each in group]
    sizes = {each.structure: f"{each.volume_cm3:.1f} cm{_CUBED} ({each.n_voxels} voxels)" for each in every}
    missing = sum(each.n_missing for each in every)
    return _joined(
        "Cumulative volume histograms: volume with at least each value, by the part of each voxel inside.",
        f"Structures: {', '.join(f'{name} {size}' for name, size in sizes.items())}.",
        f"In all curves together {missing} voxels without a value are left out." if missing else "",
        _LET(inputs),
        under(inputs),
        _dashed(inputs),
    )


def parity_caption(inputs: FigureInputs, judged: Volume, origin: str, percent: npt.NDArray[np.floating]) -> str:
    """Of judged against reference values; `percent` are the relative errors of all voxels that are shown."""
    left = int(np.isfinite(judged.values).sum()) - percent.size
    mean, rms = float(percent.mean()), float(np.sqrt(np.mean(percent**2)))
    return _joined(
        f"(a) {_sentence(judged.quantity.definition)} Judged against reference ({origin}) in {percent.size} voxels;",
        f"dashed: equality; {left} judged voxels have no reference, or one of 0. (b) Relative errors, judged /",
        f"reference {_MINUS} 1: mean {mean:+.2f} %, RMS {rms:.2f} %; 99.5 % of the voxels are within the axis.",
        "Voxels are correlated, so n is not that of independent measurements.",
        under(inputs),
    )


def under(inputs: FigureInputs) -> str:
    """Cell line and fractionation."""
    return _sentence(inputs.line_words) if inputs.line_words else ""


def _dashed(inputs: FigureInputs) -> str:
    return "" if inputs.reference is None else f"Dashed: reference ({inputs.reference.origin})."


def _lines(inputs: FigureInputs) -> str:
    unit = inputs.dose.quantity.unit
    base = "the largest dose" if unit.startswith("%") else f"{inputs.view.isodose_base:g} Gy"
    percents = ", ".join(str(percent) for percent in ISODOSES_PERCENT)
    return _joined(
        f"Black lines: {percents} % of {base}.",
        "Coloured lines: structures, where half of a voxel is inside." if inputs.view.structures else "",
        "Grey: no value. The colours hold 99 % of the values that are shown; the view is confined to voxels with",
        f"{100 * SHOWN_FROM:g} % of that dose{' or in a structure' if inputs.view.structures else ''}.",
    )


def _LET(inputs: FigureInputs) -> str:
    return "" if inputs.LET is None else f"LET_d: {inputs.LET.quantity.definition}; only {_where_LET()}."


def _where_LET() -> str:
    return f"where the dose is at least {100 * LET_FROM:g} % of its maximum"


def _place(inputs: FigureInputs, axis: int) -> str:
    return f"{axis_position_mm(inputs.view.grid, axis)[inputs.view.focus[axis]]:.1f} mm".replace("-", _MINUS)


def _joined(*sentences: str) -> str:
    return " ".join(each for each in sentences if each)


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:].rstrip(".") + "."
