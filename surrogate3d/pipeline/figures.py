"""Figures for papers of a plan: all that can be drawn from what is given, with captions, and why others are not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

import surrogate3d
from surrogate3d.errors import ConfigError, FormatError, StoreError, UnknownNameError
from surrogate3d.grid import Volume
from surrogate3d.io.atomic import atomic_directory
from surrogate3d.io.manifest import has_schema, sha256_file
from surrogate3d.pipeline.figure_captions import (
    comparison_caption,
    histogram_caption,
    map_caption,
    parity_caption,
    profile_caption,
    under,
)
from surrogate3d.pipeline.figure_inputs import FigureInputs, FigureRequest, read_inputs
from surrogate3d.pipeline.figure_survival import survival_of
from surrogate3d.report.paper_curves import (
    Line,
    Panel,
    histogram_figure,
    learning_figure,
    profile_figure,
    survival_figure,
)
from surrogate3d.report.paper_maps import comparison_figure, map_figure, relative_difference
from surrogate3d.report.paper_parity import error_figure, finite_pairs, parity_figure
from surrogate3d.report.paper_style import (
    FORMATS,
    PaperFigure,
    axis_label,
    file_bytes,
    paper_style,
    symbol_text,
)
from surrogate3d.training.curves import STEP, read_curves
from surrogate3d.validation.depth import depth_profile
from surrogate3d.validation.histograms import VolumeHistogram, volume_histogram
from surrogate3d.validation.problems import Problem
from surrogate3d.validation.table import ComparisonTable

SCHEMA, ABOUT, CAPTIONS = "surrogate3d.figures/1", "figures.json", "captions.txt"

_COLOURS = {"LET_d": "cividis", "RBE_half_width": "cividis"}
_FROM_ZERO = ("LET_d",)
_LOSSES = {
    "relative_loss": "training error over\nthat of grouped pooling",
    "stop_loss": "error in voxels\nkept out of training",
}

Found = Sequence[PaperFigure] | str
"""Figures, or why there is none."""


def write_figures(
    request: FigureRequest, output: Path, formats: Sequence[str] = ("pdf",), overwrite: bool = False
) -> dict[str, Any]:
    """Draw the standard figures of a plan and write them into a new folder, whole or not at all.

    Args:
        request: what they are drawn from.
        output: the folder: the figures, `captions.txt`, and `figures.json`, which is also returned.
        formats: any of `report.paper_style.FORMATS`.
        overwrite: replace an older folder of figures.

    Returns:
        Names, files, sizes in mm and captions of the figures; which figures were left out, and why; problems.

    Raises:
        UnknownNameError: an unknown format.
        StoreError: the folder exists and is not to be, or must not be, replaced.
        Surrogate3dError: as of `read_inputs`.
    """
    _require_formats(formats)
    if overwrite and output.exists() and not has_schema(output / ABOUT, SCHEMA):
        raise StoreError(f"{output} exists and is no folder of figures, so it is not replaced; choose another name")
    inputs = read_inputs(request)
    with atomic_directory(output, overwrite) as scratch, paper_style():
        figures, left_out, problems = draw(inputs)
        listed = [_written(each, scratch, formats) for each in figures]
        about = {
            "schema": SCHEMA,
            "surrogate3d_version": surrogate3d.__version__,
            "inputs": _sources(inputs),
            "figures": listed,
            "left_out": left_out,
            "problems": [problem.to_json() for problem in problems],
        }
        captions = "\n\n".join(f"{each.name}\n{each.caption}" for each in figures)
        (scratch / CAPTIONS).write_text(captions + "\n", encoding="utf-8")
        (scratch / ABOUT).write_text(json.dumps(about, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return {**{key: value for key, value in about.items() if key != "schema"}, "output": output}


def draw(inputs: FigureInputs) -> tuple[list[PaperFigure], dict[str, str], tuple[Problem, ...]]:
    """All figures that can be drawn, why others cannot, and problems. Call within `report.paper_style.paper_style`."""
    histograms, problems = _histograms(inputs)
    builders: dict[str, Callable[[], Found]] = {
        "maps": lambda: _map_figures(inputs),
        "comparison": lambda: _comparison(inputs),
        "profiles": lambda: _profiles(inputs),
        "histograms": lambda: _histogram_figures(inputs, histograms),
        "parity": lambda: _parity(inputs),
        "survival": lambda: _survival(inputs),
        "errors": lambda: _errors(inputs),
        "learning": lambda: _learning(inputs),
    }
    figures: list[PaperFigure] = []
    left_out = {}
    for name, build in builders.items():
        found = build()
        if isinstance(found, str):
            left_out[name] = found
        else:
            figures += found
    return figures, left_out, (*inputs.problems, *problems)


def _require_formats(formats: Sequence[str]) -> None:
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise UnknownNameError(f"unknown format of figures {', '.join(unknown) or 'none'}; known: {', '.join(FORMATS)}")


def _written(drawn: PaperFigure, folder: Path, formats: Sequence[str]) -> dict[str, Any]:
    files = [f"{drawn.name}.{kind}" for kind in formats]
    for kind, file in zip(formats, files, strict=True):
        (folder / file).write_bytes(file_bytes(drawn.figure, kind))
    return {"name": drawn.name, "files": files, "size_mm": list(drawn.size_mm), "caption": drawn.caption}


def _sources(inputs: FigureInputs) -> dict[str, Any]:
    reference = inputs.reference
    return {
        "field_id": inputs.field_id,
        "maps": {key: inputs.about.get(key) for key in ("inputs_sha256", "bundle_id") if key in inputs.about},
        "reference": None if reference is None else {"origin": reference.origin, "sha256": reference.sha256},
        "validation_sha256": None if inputs.request.validation is None else sha256_file(inputs.request.validation),
    }


def _drawn_volumes(inputs: FigureInputs) -> dict[str, Volume]:
    LET = {} if inputs.LET is None else {"LET_d": inputs.LET}
    return {inputs.field.dose_name: inputs.dose, **LET, **inputs.maps}


def _map_figures(inputs: FigureInputs) -> Found:
    return [
        PaperFigure(
            f"map_{name}", map_figure(inputs.view, volume, _COLOURS.get(name, "viridis")), map_caption(inputs, volume)
        )
        for name, volume in _drawn_volumes(inputs).items()
    ]


def _comparison(inputs: FigureInputs) -> Found:
    if (pair := _pair(inputs)) is None:
        return "no reference was given"
    judged, reference, origin = pair
    gap = relative_difference(judged.values, reference.values)
    figure = comparison_figure(inputs.view, judged, reference, ("judged", "reference"), gap, "difference / %")
    caption = comparison_caption(inputs, judged, origin)
    return [PaperFigure(f"comparison_{judged.quantity.name}", figure, caption)]


def _pair(inputs: FigureInputs) -> tuple[Volume, Volume, str] | None:
    if inputs.reference is None or inputs.request.quantity is None:
        return None
    return _drawn_volumes(inputs)[inputs.request.quantity], inputs.reference.volume, inputs.reference.origin


def _profiles(inputs: FigureInputs) -> Found:
    if inputs.view.beam_axis is None:
        return "the beam's direction is not known, or beams cross"
    volumes, depth = _drawn_volumes(inputs), _along(inputs, inputs.dose)[0]
    RBE = next((name for name in ("RBE_ref", "RBE") if name in volumes), "")
    rest = dict.fromkeys(name for name in ("LET_d", RBE, inputs.request.quantity) if name and name in volumes)
    panels = [_dose_panel(inputs, volumes)]
    panels += [_panel(inputs, name, volumes) for name in rest if name not in (inputs.field.dose_name, "D_RBE")]
    caption = profile_caption(inputs, RBE == "RBE_ref" and "RBE_half_width" in volumes)
    return [PaperFigure("profiles", profile_figure(depth, panels), caption)]


def _dose_panel(inputs: FigureInputs, volumes: Mapping[str, Volume]) -> Panel:
    """Dose, and what is weighted with RBE where it is there."""
    dose = inputs.dose.quantity
    lines = [Line(symbol_text(dose), "dose", _along(inputs, inputs.dose)[1]), *_reference_line(inputs, dose.name)]
    if "D_RBE" not in volumes:
        return Panel(axis_label(dose), tuple(lines), from_zero=True)
    meaning = volumes["D_RBE"].quantity
    lines.append(Line(symbol_text(meaning), "judged", _along(inputs, volumes["D_RBE"])[1]))
    label = f"{axis_label(dose)}, {axis_label(meaning)}"
    return Panel(label, (*lines, *_reference_line(inputs, "D_RBE")), from_zero=True)


def _panel(inputs: FigureInputs, name: str, volumes: Mapping[str, Volume]) -> Panel:
    width = None
    if name == "RBE_ref" and "RBE_half_width" in volumes:
        width = _along(inputs, volumes["RBE_half_width"])[1]
    own = Line("judged", "dose" if name == "LET_d" else "judged", _along(inputs, volumes[name])[1], width)
    label = axis_label(volumes[name].quantity)
    return Panel(label, (own, *_reference_line(inputs, name)), from_zero=name in _FROM_ZERO)


def _reference_line(inputs: FigureInputs, name: str) -> list[Line]:
    if inputs.reference is None or name != inputs.request.quantity:
        return []
    return [Line("reference", "reference", _along(inputs, inputs.reference.volume)[1])]


def _along(inputs: FigureInputs, volume: Volume) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    view = inputs.view
    assert view.beam_axis is not None
    weights = np.nan_to_num(view.dose)
    found = depth_profile(
        volume.values, weights, view.beam_axis, view.beam_sign, view.grid.spacing_mm, "line", view.focus
    )
    shown = np.zeros(len(found.depth_mm), dtype=bool)
    shown[view.box[view.beam_axis]] = True
    shown = shown[:: view.beam_sign]  # upstream end first, as the profile
    return found.depth_mm[shown], found.values[shown]


def _histograms(inputs: FigureInputs) -> tuple[dict[str, list[VolumeHistogram]], tuple[Problem, ...]]:
    """By the label of their axis."""
    volumes = _drawn_volumes(inputs)
    wanted = [(volumes[name], "judged") for name in (inputs.field.dose_name, "D_RBE", "LET_d") if name in volumes]
    if inputs.reference is not None and inputs.request.quantity in (inputs.field.dose_name, "D_RBE", "LET_d"):
        wanted.append((inputs.reference.volume, "reference"))
    found: dict[str, list[VolumeHistogram]] = {}
    problems: list[Problem] = []
    cm3 = inputs.view.grid.voxel_volume_mm3 / 1000
    for volume, method in wanted:
        base = None if volume.quantity.name == "LET_d" else inputs.view.isodose_base
        for structure, fraction in inputs.view.structures.items():
            histogram, told = volume_histogram(volume.values, fraction, cm3, structure, volume.quantity, method, base)
            name = volume.quantity.name
            problems += [replace(p, where=f"{name}, {p.where}", sentence=f"{name}: {p.sentence}") for p in told]
            if histogram is not None:
                found.setdefault(axis_label(volume.quantity), []).append(histogram)
    return found, tuple(problems)


def _histogram_figures(inputs: FigureInputs, histograms: Mapping[str, list[VolumeHistogram]]) -> Found:
    if not inputs.view.structures:
        return "no structures were given"
    if not histograms:
        return "no structure has a voxel with a value; see the problems"
    return [PaperFigure("histograms", histogram_figure(histograms), histogram_caption(inputs, histograms))]


def _parity(inputs: FigureInputs) -> Found:
    if (pair := _pair(inputs)) is None:
        return "no reference was given"
    judged, reference, origin = pair
    one, other = finite_pairs(judged.values, reference.values)
    if not one.size:
        return "no voxel has both a judged and a reference value that is not 0"
    figure = parity_figure(one, other, judged.quantity, ("judged", "reference"))
    caption = parity_caption(inputs, judged, origin, 100 * (one / other - 1))
    return [PaperFigure(f"parity_{judged.quantity.name}", figure, caption)]


def _survival(inputs: FigureInputs) -> Found:
    found = survival_of(inputs)
    if isinstance(found, str):
        return found
    return [PaperFigure("survival", survival_figure(found.curves, found.photons), f"{found.caption} {under(inputs)}")]


def _errors(inputs: FigureInputs) -> Found:
    path = inputs.request.validation
    if path is None:
        return "no validation was given"
    try:
        table = ComparisonTable.from_json(json.loads(path.read_text(encoding="utf-8"))["table"])
    except (ValueError, KeyError, TypeError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{path} holds no table of `surrogate3d validate -o` ({error!r}); validate again") from error
    n = table.rows[0].summary.n
    caption = (
        f"Root mean square of the relative error of RBE by method and region, judged in {n} voxels; filled: all of "
        f"them. {' '.join(table.notes)}"
    )
    return [PaperFigure("errors_RBE", error_figure(table, "RBE"), caption)]


def _learning(inputs: FigureInputs) -> Found:
    path = inputs.request.training
    if path is None:
        return "no learning curves were given"
    files = sorted(path.glob("*.csv")) if path.is_dir() else [path]
    curves = {file.stem.replace("_", " "): read_curves(file) for file in files if file.is_file()}
    curves = {name: rows for name, rows in curves.items() if rows}
    if not curves:
        raise ConfigError(f"there are no learning curves at {path}; give a member's .csv, or the folder of them")
    rows = next(iter(curves.values()))
    numbers = [name for name in rows[0] if "loss" in name] or [name for name in rows[0] if name != STEP]
    steps = max(int(rows[-1][STEP]) for rows in curves.values())
    caption = f"Learning curves of {len(curves)} network(s) over {steps} steps."
    return [PaperFigure("learning", learning_figure(curves, numbers, _LOSSES), caption)]
