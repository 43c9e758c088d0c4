"""Judge maps against one reference map: errors by group, gamma, histograms, profiles, and what the limits say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Volume
from surrogate3d.pipeline.any_map import ReferenceMap
from surrogate3d.pipeline.comparison_context import (
    DOSE_LIKE,
    HALF,
    INPUT,
    REFERENCE,
    Context,
    Floats,
    evaluated_voxels,
    groups_of,
    require_comparable,
    require_one_unit,
)
from surrogate3d.pipeline.comparison_gamma import GammaResult, gamma_results
from surrogate3d.pipeline.comparison_profiles import LIMITED, Profiles, profiles_along
from surrogate3d.validation.acceptance import STRUCTURE_CUTOFF, Finding, Key, Limit, Measured, judge, verdict
from surrogate3d.validation.gamma import GAMMA_CRITERIA
from surrogate3d.validation.histograms import VolumeHistogram, volume_histogram
from surrogate3d.validation.map_errors import MAP_ERRORS, MapErrorRow, map_errors
from surrogate3d.validation.problems import Problem
from surrogate3d.validation.sigma_errors import SigmaErrors, sigma_errors

SCHEMA = "surrogate3d.comparison/1"

_LIMITED = ("bias_percent", "rms_percent", "p95_percent")
_OF_STRUCTURES = {"D98_percent": "D98", "D2_percent": "D2", "mean_dose_percent": "mean"}


@dataclass(frozen=True, eq=False)
class MapComparison:
    """What was found.

    Attributes:
        reference: the map that was compared with.
        methods: names of the judged maps.
        evaluated: (i, j, k) mask of the voxels that are compared.
        errors: a row per method, kind of group and group.
        gammas: a result per method and criterion; none of quantities that are no dose.
        histograms: of every structure: reference, judged maps, and the dose and LET that were given.
        profiles: along the beam, with distal depths; None without a beam.
        sigmas: errors in units of the reference's standard error by method; empty where it is not known.
        findings: what came of the limits, by method.
        verdict: the same in words, by method.
        problems: what a reader must know; never dropped.
        notes: where was compared, and other things taken for granted, in sentences.
    """

    reference: ReferenceMap
    methods: tuple[str, ...]
    evaluated: npt.NDArray[np.bool_]
    errors: tuple[MapErrorRow, ...]
    gammas: tuple[GammaResult, ...]
    histograms: tuple[VolumeHistogram, ...]
    profiles: Profiles | None
    sigmas: Mapping[str, SigmaErrors]
    findings: Mapping[str, tuple[Finding, ...]]
    verdict: Mapping[str, tuple[str, ...]]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]

    @property
    def unmet(self) -> bool:
        """Whether one of the maps does not meet a limit."""
        return any(finding.outcome == "not met" for found in self.findings.values() for finding in found)

    def to_json(self) -> dict[str, Any]:
        """Plain data, without the maps of gamma; numbers that are not defined are null."""
        meaning = self.reference.volume.quantity
        return {
            "schema": SCHEMA,
            "quantity": {"name": meaning.name, "symbol": meaning.symbol, "unit": meaning.unit},
            "grid": self.reference.volume.grid.to_json(),
            "reference": {"origin": self.reference.origin, "sha256": self.reference.sha256},
            "methods": list(self.methods),
            "n_evaluated": int(self.evaluated.sum()),
            "errors": [row.to_json() for row in self.errors],
            "gamma": [result.to_json() for result in self.gammas],
            "histograms": [each.to_json() for each in self.histograms],
            "profiles": [] if self.profiles is None else list(self.profiles.series),
            "distal_depths": [] if self.profiles is None else [each.to_json() for each in self.profiles.depths],
            "sigma": {name: found.to_json() for name, found in self.sigmas.items()},
            "findings": {name: [each.to_json() for each in found] for name, found in self.findings.items()},
            "verdict": {name: list(words) for name, words in self.verdict.items()},
            "problems": [problem.to_json() for problem in self.problems],
            "notes": list(self.notes),
            "definitions": dict(MAP_ERRORS),
        }


def compare_maps(
    judged: Mapping[str, Floats],
    reference: ReferenceMap,
    context: Context | None = None,
    criteria: Sequence[tuple[float, float]] = GAMMA_CRITERIA,
    limits: Sequence[Limit] = (),
) -> MapComparison:
    """Judge maps against a reference.

    Args:
        judged: (i, j, k) maps by method on the reference's grid, in its unit; NaN where a method gives no answer.
        reference: the map to compare with.
        context: dose, LET, beam and structures on the same grid.
        criteria: of gamma, dose in % of the largest reference value and distance in mm.
        limits: such as of `validation.acceptance.read_limits`; without any, nothing is judged.

    Raises:
        ConfigError: no map to judge, or one called "reference" or "input".
        GridMismatchError: something has another shape than the reference.
        QuantityError: judged and reference are in different units, by their size.
        ValueRangeError: the given dose is negative or nowhere positive, or a criterion is not positive.
    """
    told, truth = (context or Context()).distinct, reference.volume
    require_comparable(judged, truth, told)
    if told.answered is not None:  # so that errors, gamma and histograms are of the same voxels on both sides
        truth = replace(truth, values=np.where(told.answered, truth.values, np.nan))
    evaluated, notes = evaluated_voxels(truth, told)
    require_one_unit(judged, truth, evaluated)
    groups, left_out = groups_of(evaluated, truth, told)
    errors, problems = map_errors(judged, truth.values, groups)
    gammas, no_gamma = _gammas(judged, truth, told, criteria)
    histograms, no_values = _histograms(judged, truth, told, evaluated)
    profiles = _profiles(judged, truth, told)
    sigmas = _sigmas(judged, truth, told, evaluated)
    found = MapComparison(
        reference=reference,
        methods=tuple(judged),
        evaluated=evaluated,
        errors=errors,
        gammas=gammas,
        histograms=histograms,
        profiles=profiles,
        sigmas=sigmas,
        findings={},
        verdict={},
        problems=(*told.problems, *problems, *no_gamma, *no_values, *(profiles.problems if profiles else ())),
        notes=(
            *notes,
            *left_out,
            *_unanswered(told),
            *_unlike(histograms, truth.quantity.name),
            *(profiles.notes if profiles else ()),
        ),
    )
    return _judged(found, limits)


def measured_values(found: MapComparison, method: str) -> dict[Key, Measured]:
    """What limits can be on, of one judged map, by metric, quantity, group and criterion."""
    truth = found.reference.volume
    name = "RBE" if truth.quantity.name == "RBE_ref" else truth.quantity.name  # limits know one RBE
    values: dict[Key, Measured] = {}
    for row in (row for row in found.errors if row.method == method):
        values |= {(key, name, row.group, ""): Measured(getattr(row, key), row.n - row.n_zero) for key in _LIMITED}
    for result in (result for result in found.gammas if result.method == method):
        for group, (rate, n) in result.pass_rates.items():
            values["gamma_pass_rate", name, group, result.criterion] = Measured(rate, n)
    values |= _of_histograms(found.histograms, method, truth.quantity.name, float(np.nanmax(truth.values, initial=0.0)))
    for depth in found.profiles.depths if found.profiles else ():
        if (depth.method, depth.how, depth.name) == (method, *LIMITED):
            apart = depth.difference_mm
            values["range_mm", name, "all", ""] = Measured(float("nan") if apart is None else apart, 1)
    if method in found.sigmas:
        sigma = found.sigmas[method]
        share, low, high = (100 * part for part in sigma.share_within[2])
        values["sigma_share_2", name, "all", ""] = Measured(share, sigma.n, *((low, high) if sigma.n else ()))
    return values


def _judged(found: MapComparison, limits: Sequence[Limit]) -> MapComparison:
    findings = {method: judge(limits, measured_values(found, method)) for method in found.methods}
    words = {method: verdict(each) for method, each in findings.items()}
    return replace(found, findings=findings, verdict=words, problems=tuple(dict.fromkeys(found.problems)))


def _of_histograms(
    histograms: Sequence[VolumeHistogram], method: str, quantity: str, largest: float
) -> dict[Key, Measured]:
    """Relative differences of the statistics of structures, %; none of what is nearly nothing (`STRUCTURE_CUTOFF`)."""
    by_name = {(each.structure, each.method): each for each in histograms if each.quantity == quantity}
    values: dict[Key, Measured] = {}
    for (structure, whose), own in by_name.items():
        other = by_name.get((structure, REFERENCE))
        if whose != method or other is None:
            continue
        for metric, key in _OF_STRUCTURES.items():
            base = other.statistics[key]
            if not base >= STRUCTURE_CUTOFF * largest > 0 or own.n_missing != other.n_missing:
                continue  # statistics of other voxels on the two sides are not compared
            apart = 100 * (own.statistics[key] / base - 1)
            n = min(each.n_voxels - each.n_missing for each in (own, other))
            values[metric, quantity, structure, ""] = Measured(apart, n)
    return values


def _gammas(
    judged: Mapping[str, Floats], truth: Volume, told: Context, criteria: Sequence[tuple[float, float]]
) -> tuple[tuple[GammaResult, ...], tuple[Problem, ...]]:
    if truth.quantity.name not in DOSE_LIKE:
        return (), ()
    within = {name: np.asarray(fraction >= HALF) for name, fraction in told.structures.items()}
    return gamma_results(judged, truth, within, criteria)


def _histograms(
    judged: Mapping[str, Floats], truth: Volume, told: Context, evaluated: npt.NDArray[np.bool_]
) -> tuple[tuple[VolumeHistogram, ...], tuple[Problem, ...]]:
    """A voxel without a value is a problem where one is asked for; of dose and LET beside, where is compared."""
    everywhere = np.ones(truth.grid.shape, dtype=bool) if told.answered is None else told.answered
    beside = [each for each in (told.dose, told.LET) if each is not None and each.quantity != truth.quantity]
    maps = [(REFERENCE, truth.values, truth.quantity, told.base)]
    maps += [(name, values, truth.quantity, told.base) for name, values in judged.items()]
    maps += [(INPUT, each.values, each.quantity, None) for each in beside]
    found: list[VolumeHistogram] = []
    problems: list[Problem] = []
    for structure, fraction in told.structures.items():
        for method, values, meaning, base in maps:
            voxel_cm3 = truth.grid.voxel_volume_mm3 / 1000
            one, more = volume_histogram(values, fraction, voxel_cm3, structure, meaning, method, base)
            found += [] if one is None else [one]
            asked = (evaluated if method == INPUT else everywhere) & (fraction > 0)
            if (asked & ~np.isfinite(values)).any() or not (fraction > 0).any():
                problems += more
    return tuple(found), tuple(problems)


def _unlike(histograms: Sequence[VolumeHistogram], quantity: str) -> Iterator[str]:
    """Structures in which a judged map and the reference lack values in different numbers of voxels."""
    missing = {(each.structure, each.method): each.n_missing for each in histograms if each.quantity == quantity}
    for (structure, method), n in missing.items():
        other = missing.get((structure, REFERENCE), n)
        if n != other:
            yield (
                f"in {structure!r} {method!r} lacks a value in {n} voxels and the reference in {other}, so that no "
                "limit is on its statistics there"
            )


def _unanswered(told: Context) -> Iterator[str]:
    """Structures that reach to where no answer is asked for."""
    if told.answered is None:
        return
    for structure, fraction in told.structures.items():
        outside = 100 * float(fraction[~told.answered].sum(dtype=float)) / float(fraction.sum(dtype=float) or 1)
        if outside > 0:
            yield f"{outside:.3g} % of {structure!r} lies where nothing is answered; its histograms hold the rest"


def _profiles(judged: Mapping[str, Floats], truth: Volume, told: Context) -> Profiles | None:
    dose = told.weights(truth)
    if told.beam is None or dose is None or not dose.max() > 0:
        return None
    shown = told.dose.quantity if told.dose is not None and told.dose.quantity != truth.quantity else None
    return profiles_along(judged, truth, dose, told.beam, shown, truth.quantity.name in DOSE_LIKE)


def _sigmas(
    judged: Mapping[str, Floats], truth: Volume, told: Context, evaluated: npt.NDArray[np.bool_]
) -> dict[str, SigmaErrors]:
    if told.sigma is None:
        return {}
    sigma, finite = told.sigma[evaluated], {**judged, REFERENCE: truth.values}
    known = {name: np.where(np.isfinite(each), each, np.nan)[evaluated] for name, each in finite.items()}
    return {name: sigma_errors(known[name] - known[REFERENCE], sigma) for name in judged}
