"""The report: one HTML file that needs no network and no other file; without scripts it lacks the viewer only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from surrogate3d.grid.geometry import IDENTITY
from surrogate3d.report.comparison import comparison_tables, error_tables, histogram_tables
from surrogate3d.report.content import ReportContent
from surrogate3d.report.figures import (
    BAND_SIGMAS,
    NEAR_VOXELS,
    agreement,
    depth_profiles,
    error_histogram,
    model_profiles,
)
from surrogate3d.report.judgement import (
    coverage_table,
    findings_table,
    problems_list,
    sigma_table,
    volume_error_table,
)
from surrogate3d.report.markup import Html, definitions, element, figure, section, table
from surrogate3d.report.page import page, write_page
from surrogate3d.report.slices import MapStyle, beside, slices
from surrogate3d.report.tables import model_tables, validation_tables
from surrogate3d.report.viewing import contents, viewer_parts, viewer_program, viewer_style
from surrogate3d.report.written import Report

_MAPS = {
    "dose_to_water": ("Dose to water", "viridis", True),
    "dose_to_medium": ("Dose to medium", "viridis", True),
    "LET_d": ("Dose-averaged LET", "cividis", True),
    "RBE": ("RBE", "viridis", False),
    "RBE_std": ("Predicted standard deviation of RBE", "cividis", True),
    "D_RBE": ("RBE-weighted dose", "viridis", True),
    "alpha": ("alpha", "viridis", False),
    "beta": ("beta", "viridis", False),
    "survival": ("Surviving fraction", "viridis", False),
}
"""Title, colour map, whether the scale starts at zero; in reading order."""

_INPUTS = ("dose_to_water", "dose_to_medium", "LET_d")
"""Shown everywhere; all else only where the surrogate answers."""

_MARKED = ("dose_to_water", "dose_to_medium", "RBE_std")
"""Where directly simulated voxels are marked; the other maps stay clear of them."""

_SELF_CONSISTENCY = (
    "Self-consistency only. No high-statistics reference was given, so this report cannot say how accurate the maps "
    "are. Where directly simulated voxels are shown, they were computed from the same scored spectra as the "
    "prediction and share their statistical noise."
)


def write_report(content: ReportContent, path: str | Path, overwrite: bool = True) -> Report:
    """Write the report as one self-contained HTML file, whole or not at all.

    Args:
        content: what it shows.
        path: where to write.
        overwrite: replace a report that is there.

    Returns:
        Where it is, and what it says in short.

    Raises:
        StoreError: the file exists and shall not be replaced, or it cannot be written.
    """
    return Report(write_page(render(content), path, overwrite), content.verdict, content.summary)


def render(content: ReportContent) -> str:
    """The report as HTML text."""
    sections = [
        _header(content),
        section("verdict", "Limits and problems", *_verdict(content)),
        section("conditions", "Conditions", _conditions(content)),
        section("explore", "Slices, histograms, profiles, voxels", *viewer_parts(content.scene)),
        section("maps", "Maps", *_still(content, _maps(content))),
        section("profiles", "Along the beam", _profiles(content)),
        section("accuracy", "Agreement and errors", *_accuracy(content)),
        section("whole", "Whole maps and structures", *_whole(content)),
        section("models", "Other models, other biology", *_models(content)),
        section("run", "Time and provenance", *_run(content)),
        section("notes", "Notes", element("ul", *(element("li", note) for note in content.notes)))
        if content.notes
        else Html(""),
    ]
    shown = [part for part in sections if part]
    parts = [shown[0], contents(shown[1:]), *shown[1:]]
    return page(content.title, parts, style=viewer_style(content.scene), script=viewer_program(content.scene))


def _header(content: ReportContent) -> Html:
    first, *others = content.verdict or ("",)
    cards = [
        element(
            "div",
            element("dt", fact.label),
            element("dd", element("strong", fact.value), Html(" "), element("span", fact.unit)),
            element("dd", fact.note, class_="note"),
            class_="card",
        )
        for fact in content.summary
    ]
    return element(
        "header",
        element("h1", content.title),
        element("p", first, class_="verdict"),
        *(element("p", sentence) for sentence in others),
        element("dl", *cards, class_="cards") if cards else Html(""),
    )


def _verdict(content: ReportContent) -> Iterator[Html]:
    told = content.judgement
    yield problems_list(told.problems)
    if told.findings:
        yield findings_table(told.findings)
    yield from (element("p", f"{sentence[:1].upper()}{sentence[1:]}.", class_="quiet") for sentence in told.notes)


def _still(content: ReportContent, pictures: Iterator[Html]) -> Iterator[Html]:
    """The still pictures; folded away where there is a viewer, and printed in any case."""
    if content.scene is None:
        yield from pictures
        return
    summary = element("summary", "Still pictures of all maps, as they are printed")
    yield element("details", summary, *pictures, class_="still")


def _conditions(content: ReportContent) -> Html:
    told, dose = content.conditions, content.dose.quantity
    asked, answered = int(content.mask.size), int(content.mask.sum())
    grid = " x ".join(str(n) for n in content.grid.shape)
    spacing = " x ".join(f"{mm:g}" for mm in content.grid.spacing_mm)
    rotated = "" if content.grid.direction == IDENTITY else "; x, y, z are its own axes, which are rotated in space"
    return definitions(
        (
            ("Dose", f"{dose.name.replace('_', ' ')} ({dose.unit}): {dose.definition}"),
            ("Scale", told.prescription),
            ("Cell line", told.cell_line),
            ("Fractionation", f"{told.fractions} fraction{'s' * (told.fractions != 1)}; {told.fraction_dose}"),
            ("Where it answers", f"{answered:,} of {asked:,} voxels. {told.mask_meaning}"),
            ("LET", told.LET),
            ("Model", told.model),
            ("Reference", content.reference_origin or "none: self-consistency only"),
            ("Grid", f"{grid} voxels of {spacing} mm{rotated}"),
            ("Isodose lines", f"per cent of {content.isodose_base_gy:.3g} {dose.unit}"),
        )
    )


def _maps(content: ReportContent) -> Iterator[Html]:
    for name, (title, cmap, from_zero) in _MAPS.items():
        if name not in content.maps:
            continue
        told = content.maps[name].quantity
        label = title.lower() if title != "RBE" else title
        label = label.replace("rbe", "RBE").replace("let", "LET") + (f" / {told.unit}" if told.unit != "1" else "")
        style = MapStyle(
            label.replace("/um", "/\N{MICRO SIGN}m"), cmap, from_zero=from_zero, mark_points=name in _MARKED
        )
        values = content.maps[name].values
        shown = values if name in _INPUTS else np.where(content.mask, values, np.nan)
        yield figure(title, slices(content, shown, style, title), _sentence(told.definition))


def _profiles(content: ReportContent) -> Html:
    caption = [f"The line runs along the beam through voxel {content.focus}, the centroid of the 80 % isodose."]
    if "RBE_std" in content.maps:
        caption.append(f"The band is {BAND_SIGMAS} predicted standard deviations of the surrogate on each side.")
    if content.points is not None:
        caption.append(
            f"Points are directly simulated voxels within {NEAR_VOXELS} voxel of the line on both lateral axes, with "
            "their Monte Carlo standard error. Those beside the line may truly differ from it, above all in oblique "
            "beams."
        )
    return figure("Depth profiles", depth_profiles(content), " ".join(caption))


def _accuracy(content: ReportContent) -> Iterator[Html]:
    if content.reference is None and not content.judgement.comparisons:
        yield element("p", _SELF_CONSISTENCY, class_="notice")
    if content.reference is not None or content.points is not None:
        target = "direct simulation" if content.reference is None else "the reference"
        bars = " Bars are Monte Carlo standard errors of the direct simulation." if content.points is not None else ""
        caption = "The dashed line is equality." + bars + _known(content)
        yield figure(f"Predicted against {target}", agreement(content), caption)
    errors = content.errors_percent()
    if errors:
        yield figure(
            "Errors by method",
            error_histogram(errors),
            "All methods answer from the same scored input. The reference has noise of its own, which is in every "
            "curve: the tables give it as floor and subtract it in rms_net.",
        )
    if errors and not content.sparse_reference:
        style = MapStyle("(surrogate / reference - 1) / %", "RdBu_r", symmetric=True, mark_points=True)
        yield figure(
            "Where the errors are",
            slices(content, errors["surrogate"], style, "Relative error of RBE"),
            "Red: the surrogate is above the reference; blue: below.",
        )
    told = content.judgement
    yield from volume_error_table(told.volume_errors)
    yield from error_tables([row.to_json() for row in told.errors], "RBE")
    yield from sigma_table(told.sigmas)
    yield from coverage_table(told.coverage)
    if content.validation is not None:
        yield from validation_tables(content.validation)


def _whole(content: ReportContent) -> Iterator[Html]:
    yield from comparison_tables(content.judgement.comparisons)
    yield from histogram_tables(content.judgement.histograms)


def _known(content: ReportContent) -> str:
    if content.reference is None or not content.sparse_reference:
        return ""
    known, asked = int(content.known_reference.sum()), int(content.mask.sum())
    return f" The reference is known in {known:,} of {asked:,} voxels: too few for lines and slices of it."


def _models(content: ReportContent) -> Iterator[Html]:
    if content.in_vitro is not None:
        caption = (
            "A model of survival measured in vitro, for the same cell line and fraction dose. Red: it is above the "
            "surrogate. The difference is one of models, and no error of either."
        )
        yield figure(
            "In vitro beside mechanistic", beside(content, content.in_vitro, ("surrogate", "in vitro")), caption
        )
    found = tuple(model_tables(content))
    if found:
        yield element(
            "p",
            "Published LET models were fitted to other cell lines and data. They answer a different biological "
            "question, so what follows is the difference between models. It is not an error of either.",
        )
        if content.published_models:
            caption = "Along the same line as above. The surrogate answers for the cell line named at the top."
            yield figure("Published models along the beam", model_profiles(content), caption)
        yield from found


def _run(content: ReportContent) -> Iterator[Html]:
    if content.timings_s:
        rows = [(step, f"{seconds:.3g}") for step, seconds in content.timings_s.items()]
        yield table("Wall time by step", ("step", "seconds"), rows)
    if content.provenance:
        text = json.dumps(content.provenance, indent=2, default=str, ensure_ascii=False)
        yield element("details", element("summary", "Provenance"), element("pre", text))


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + "."
