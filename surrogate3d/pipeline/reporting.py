"""From a validation to the report that people read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Field, LetDefinition, Quantity, Volume
from surrogate3d.inference.curves import CurveMap
from surrogate3d.inference.maps import Fractionation, derive_maps
from surrogate3d.invitro.model import InVitroModel
from surrogate3d.model.bundle import Surrogate
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.mixing import zr_table
from surrogate3d.pipeline.appraisal import COMPARED, Appraisal, Judged, appraise
from surrogate3d.pipeline.conversion import consistency, tracks
from surrogate3d.pipeline.in_memory import table_for
from surrogate3d.pipeline.invitro_maps import predict_in_vitro
from surrogate3d.pipeline.map_comparison import MapComparison
from surrogate3d.pipeline.report_scene import RBE_profiles, report_scene
from surrogate3d.pipeline.spectrum_checks import checked
from surrogate3d.pipeline.validation import SURROGATE, Validation, ValidationSettings
from surrogate3d.report import Conditions, DirectPoints, Fact, Judgement, Report, ReportContent, write_report
from surrogate3d.validation import derived_maps
from surrogate3d.validation.acceptance import read_limits
from surrogate3d.validation.design_weighted import VolumeError

Floats = npt.NDArray[np.floating]

SHOWN_METHODS = COMPARED
"""Baselines in the pictures; the table has all of them."""

PUBLISHED = ("McNamara", "Wedenberg", "constant 1.1")
"""Proton models, shown for proton beams only."""

TRUTH_WORDS = {
    "gsm2_fft": "deterministic simulation (gsm2_fft) of every voxel",
    "zr_table": "the Zaider-Rossi table on every voxel",
}


def write_validation_report(
    path: Path,
    low: Field,
    high: Field | None,
    validation: Validation,
    surrogate: Surrogate,
    line: CellLine,
    settings: ValidationSettings,
    *,
    provenance: Mapping[str, Any],
    timings_s: Mapping[str, float] | None = None,
    title: str = "Survival and RBE of a radiation field",
    fractions: int = 1,
    in_vitro: InVitroModel | None = None,
    appraisal: Appraisal | None = None,
    structures: Mapping[str, Floats] | None = None,
    ct: Volume | None = None,
) -> Report:
    """Write the report of a validation.

    Args:
        path: of the HTML file.
        low: the judged field.
        high: the reference; None when the truth came from `low` itself.
        validation: what was found.
        surrogate: the model.
        line: cell line.
        settings: of the validation.
        provenance: plain data: files, hashes, commands, seeds.
        timings_s: seconds by step.
        title: headline.
        fractions: number of fractions of the prescription, for D_RBE.
        in_vitro: a model of in-vitro survival, shown beside the surrogate.
        appraisal: what is said beside the table of errors; made with the shipped limits if not given.
        structures: (i, j, k) fraction of each voxel that is inside, by name, for contours and histograms.
        ct: on the grid of the field, shown beneath the maps.
    """
    table = table_for(surrogate, line)
    if appraisal is None:
        judged = Judged(low, high, "", line, table, settings, fractions, structures)
        appraisal = appraise(validation, judged, read_limits())
    content = ReportContent(
        title=title,
        verdict=(
            *verdict(validation, low, settings, appraisal.volume_errors.get(SURROGATE)),
            *appraisal.verdict[:1],
        ),
        conditions=report_conditions(low, surrogate, line, settings.fraction_dose_gy, fractions),
        maps=report_maps(low, validation.curves, line, settings.fraction_dose_gy, fractions),
        mask=validation.curves.mask,
        beam_axis=low.beam_axis,
        beam_sign=low.beam_sign,
        summary=_summary(low, validation, settings),
        prescription_gy=low.prescription.dose_gy if low.prescription else None,
        points=_points(validation, settings),
        methods={name: validation.predicted[name]["RBE"] for name in SHOWN_METHODS},
        published_models=_published(low, validation),
        in_vitro=None if in_vitro is None else _in_vitro(low, in_vitro, line, settings),
        reference=_reference(high or low, validation, surrogate, line, settings),
        reference_origin=_origin(high, settings),
        regions=validation.regions,
        validation=validation.table.to_json(),
        judgement=_judgement(appraisal),
        provenance=dict(provenance),
        timings_s=dict(timings_s or {}),
        notes=report_notes(low),
    )
    scene = report_scene(
        content,
        low,
        validation.curves,
        line,
        table,
        structures=structures,
        responses=validation.responses,
        histograms=content.judgement.histograms,
        profiles=(*RBE_profiles(content), *profile_series(appraisal.comparisons.values())),
        ct=ct,
    )
    return write_report(replace(content, scene=scene), path)


def _judgement(appraisal: Appraisal) -> Judgement:
    return Judgement(
        findings=appraisal.findings,
        problems=appraisal.problems,
        errors=appraisal.errors,
        volume_errors=appraisal.volume_errors,
        sigmas=appraisal.sigmas,
        coverage=appraisal.coverage,
        comparisons={name: found.to_json() for name, found in appraisal.comparisons.items()},
        histograms=tuple(each.to_json() for each in appraisal.histograms),
        notes=appraisal.notes,
    )


def profile_series(comparisons: Iterable[MapComparison]) -> Iterator[Mapping[str, Any]]:
    """Profiles of comparisons of whole maps; the cheap methods' as baselines."""
    for found in comparisons:
        for shown in found.profiles.series if found.profiles else ():
            lines = [{**line, "kind": "baseline"} if line["name"] in COMPARED else line for line in shown["series"]]
            yield {**shown, "series": lines}


FEWEST_TOLD_APART = 20
"""Voxels below which no method is said to be the best: too few to be drawn again from."""


def verdict(
    validation: Validation, low: Field, settings: ValidationSettings, volume: VolumeError | None = None
) -> tuple[str, ...]:
    """What the numbers say, in sentences; the first is the most important. `volume` gives the RMS its interval."""
    own = validation.table.row(SURROGATE, "RBE").summary
    rms = {name: validation.table.row(name, "RBE").summary.rms for name in SHOWN_METHODS}
    table, grouped = (rms[name] for name in SHOWN_METHODS)
    best, second = sorted({SURROGATE: own.rms, **rms}, key={SURROGATE: own.rms, **rms}.__getitem__)[:2]
    statistics = tracks(checked(low).volumes)["median"]
    within = "" if volume is None else f"{volume.rms_low:.2f} to {volume.rms_high:.2f} for the whole volume, from "
    lead = (
        f"At {statistics:.0f} tracks per voxel the surrogate's RBE at {settings.fraction_dose_gy:g} Gy errs by "
        f"{own.rms:.2f} % RMS ({within}{own.n:,} voxels); the Zaider-Rossi table on the same input errs by "
        f"{table:.2f} %, with species-grouped pooling by {grouped:.2f} %."
    )
    choice = {
        SURROGATE: "The surrogate is the best of the three here.",
        "zr_table": "The plain table is the best of the three here: the surrogate should not be used for this field.",
        "zr_table, grouped pooling": "Grouped pooling of the table is the best of the three here.",
    }[best]
    if not _distinct(validation, best, second):
        choice = f"With {own.n} voxels the two best, {best} and {second}, cannot be told apart."
    sentences = [lead, choice]
    if own.floor == own.floor:
        sentences.append(f"The truth's own noise is {own.floor:.2f} %, which is part of each of these errors.")
    if validation.plan_was_trained_on:
        sentences.insert(0, "The model was trained on other voxels of this very plan: a new plan will do worse.")
    if validation.self_consistency:
        sentences.insert(0, "No reference was given: these numbers measure self-consistency, not accuracy.")
    return tuple(sentences)


def _distinct(validation: Validation, best: str, second: str) -> bool:
    """Whether the difference in RMS outlasts 95 % of 400 paired resamplings of the voxels."""
    true = validation.truth["RBE"]
    squares = [(validation.predicted[name]["RBE"] / true - 1) ** 2 for name in (best, second)]
    known = np.isfinite(squares[0]) & np.isfinite(squares[1])
    if known.sum() < FEWEST_TOLD_APART:
        return False
    better, worse = squares[0][known], squares[1][known]
    lots = np.random.default_rng(0).integers(known.sum(), size=(400, int(known.sum())))
    return bool(np.percentile((worse[lots] - better[lots]).mean(axis=1), 5) > 0)


def report_conditions(
    field: Field, surrogate: Surrogate, line: CellLine, fraction_dose_gy: float, fractions: int
) -> Conditions:
    """What the numbers of a report stand under."""
    LET = field.let_definitions.get("LET_d")
    return Conditions(
        cell_line=f"{line.name} (alpha_x {line.alpha_x:g} /Gy, beta_x {line.beta_x:g} /Gy^2)",
        fractions=fractions,
        fraction_dose=f"{fraction_dose_gy:g} Gy in every voxel for RBE; the voxel's own dose for D_RBE",
        prescription=field.prescription.statement if field.prescription else "none: dose in arbitrary scale",
        mask_meaning="Voxels with at least 5 % of the largest dose and a spectrum are answered; where the training "
        "says nothing (out of domain), with a deviation that covers the distance to grouped pooling.",
        LET=_words(LET) if LET else "",
        model=surrogate.bundle_id[:12],
    )


def report_maps(
    field: Field, curves: CurveMap, line: CellLine, fraction_dose_gy: float, fractions: int
) -> dict[str, Volume]:
    """What a report shows of a field: its dose and LET, and all that follows from the curves."""
    always = ("RBE_ref", "RBE_std", "RBE_half_width", "alpha", "beta")
    derived = derive_maps(curves, field, line, Fractionation(fraction_dose_gy), always)
    dose = field.volumes[field.dose_name]
    if field.prescription is None:
        dose = Volume(field.grid, dose.values / np.nanmax(dose.values), _relative(dose.quantity))
    maps = {field.dose_name: dose, "RBE": derived["RBE_ref"], **{name: derived[name] for name in always[1:]}}
    if "LET_d" in field.volumes:
        LET = field.volumes["LET_d"]
        definition = field.let_definitions.get("LET_d")
        meaning = replace(LET.quantity, definition=_words(definition)) if definition else LET.quantity
        maps["LET_d"] = Volume(LET.grid, np.where(curves.mask, LET.values, np.nan), meaning)
    if field.prescription is not None:
        how = Fractionation(fraction_dose_gy, fractions)
        maps |= dict(derive_maps(curves, field, line, how, ("D_RBE", "survival")))
    return maps


def _words(LET: LetDefinition) -> str:
    limit = "" if LET.max_scored_kev_um is None else f", steps above {LET.max_scored_kev_um:g} keV/um left out"
    return f"{LET.weighting}-averaged LET of {LET.particles}; {LET.medium}{limit}"


def _relative(quantity: Quantity) -> Quantity:
    return replace(
        quantity, unit="of maximum", definition=f"{quantity.definition}; relative, no prescription was given"
    )


def _points(validation: Validation, settings: ValidationSettings) -> DirectPoints | None:
    if settings.truth != "gsm2_mc":
        return None
    index = np.argwhere(np.isfinite(validation.truth["RBE"]))
    at = tuple(index.T)
    held_out = np.ones(len(index), dtype=bool)  # the validation never judges a voxel that was trained on
    return DirectPoints(index, validation.truth["RBE"][at], validation.truth_se[at], held_out)


def _published(field: Field, validation: Validation) -> dict[str, Floats]:
    heavy = any(species not in ("H", "He") for species in field.spectra.axes.species)
    names = () if heavy else PUBLISHED
    return {name: validation.predicted[name]["RBE"] for name in names if name in validation.predicted}


def _reference(
    field: Field, validation: Validation, surrogate: Surrogate, line: CellLine, settings: ValidationSettings
) -> Floats:
    """RBE to draw: the truth where it covers the field, else that of the table on the reference's spectra."""
    if settings.truth != "gsm2_mc":
        return validation.truth["RBE"]
    alpha, beta = zr_table(field.spectra.axes, field.spectra.fluence, table_for(surrogate, line))
    evaluated = np.logical_or.reduce(list(validation.regions.values()))
    return np.where(evaluated, derived_maps(alpha, beta, settings.fraction_dose_gy, line)["RBE"], np.nan)


def _in_vitro(field: Field, model: InVitroModel, line: CellLine, settings: ValidationSettings) -> Floats:
    how = Fractionation(settings.fraction_dose_gy)
    return predict_in_vitro(field, model, line, how, ("RBE_ref",)).volumes["RBE_ref"].values


def _origin(high: Field | None, settings: ValidationSettings) -> str:
    spectra = "the judged store's own spectra" if high is None else f"{high.histories:,} histories"
    if settings.truth == "gsm2_mc":
        return (
            f"points and tables: Monte Carlo (gsm2_mc) of random voxels; lines, maps and histogram of errors: the "
            f"Zaider-Rossi table on every voxel; both on {spectra}"
        )
    return f"{TRUTH_WORDS[settings.truth]} on {spectra}"


def _summary(field: Field, validation: Validation, settings: ValidationSettings) -> tuple[Fact, ...]:
    own, table = (validation.table.row(name, "RBE").summary for name in (SURROGATE, "zr_table"))
    seconds, volumes = validation.table.seconds_per_voxel, checked(field).volumes
    inside = validation.curves
    noise = f"; truth's own noise {own.floor:.2f} %" if np.isfinite(own.floor) else ""
    return (
        Fact("Surrogate, RMS error of RBE", f"{own.rms:.2f}", "%", f"n = {own.n}{noise}"),
        Fact("95 % of voxels within", f"{own.p95:.2f}", "%", f"largest error {own.max:.1f} %"),
        Fact("zr_table, RMS error of RBE", f"{table.rms:.2f}", "%", "same input, same voxels"),
        Fact("Bias of the surrogate", f"{own.bias:+.2f}".replace("-", "\N{MINUS SIGN}"), "%"),
        Fact("Tracks per voxel", f"{tracks(volumes)['median']:.0f}", "", "median over the irradiated voxels"),
        Fact("Dose explained by the spectra", f"{100 * consistency(volumes)['median']:.1f}", "%", "median; see notes"),
        Fact(
            "Surrogate, time per voxel",
            f"{1e6 * seconds[SURROGATE]:.1f}",
            "\N{MICRO SIGN}s",
            "whole field, this machine",
        ),
        Fact("Out of domain", f"{int(inside.out_of_domain.sum())}", "voxels", f"of {int(inside.mask.sum())} answered"),
    )


def report_notes(field: Field) -> tuple[str, ...]:
    """What a reader must know of the input."""
    volumes = checked(field).volumes
    explained, corrected = consistency(volumes), consistency(volumes, "explained_corrected")
    return (
        f"The spectra explain {100 * explained['median']:.1f} % of the scored dose (5th to 95th percentile "
        f"{100 * explained['p5']:.1f} to {100 * explained['p95']:.1f} %); with the mean LET along the simulation's "
        f"steps {100 * corrected['median']:.1f} %. The rest (electrons set free elsewhere, recoils, heavier ions) is "
        "taken to act like the part that is explained.",
        "GSM2 on amorphous tracks is a model: agreement with it is not agreement with an experiment, which differs "
        "between laboratories by about 17 % in RBE10.",
    )
