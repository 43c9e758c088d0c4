"""All that is said of a validation: errors by strata and structures, the volume's error, sigmas, coverage, limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Field, Volume, quantity
from surrogate3d.grid.regions import region_names, regions
from surrogate3d.inference.maps import Fractionation, derive_maps
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.mixing import MonoTable
from surrogate3d.pipeline.any_map import ReferenceMap
from surrogate3d.pipeline.comparison_context import DOSE_LIKE, INPUT, REFERENCE, Context, Masks, groups_of
from surrogate3d.pipeline.map_comparison import MapComparison, compare_maps, measured_values
from surrogate3d.pipeline.method_maps import method_maps, of_table
from surrogate3d.pipeline.validation import SURROGATE, Validation, ValidationSettings
from surrogate3d.validation.acceptance import Finding, Key, Limit, Measured, judge, verdict
from surrogate3d.validation.coverage import Coverage, coverage
from surrogate3d.validation.design_weighted import VolumeError, simple_random, volume_error
from surrogate3d.validation.histograms import VolumeHistogram, volume_histogram
from surrogate3d.validation.map_errors import MAP_ERRORS, MapErrorRow, map_errors
from surrogate3d.validation.problems import Problem, voxels
from surrogate3d.validation.sigma_errors import SigmaErrors, sigma_errors

Floats = npt.NDArray[np.floating]

COMPARED = ("zr_table", "zr_table, grouped pooling")
"""The cheap methods whose maps are compared in full beside the surrogate's."""

AS_WRITTEN = "surrogate, at the input's dose"
"""Method of the D_RBE that `predict` writes: the noise of the input's dose is in it, and no limit is on it."""

INPUT_DOSE = "dose of the input"
"""Method of the comparison of the two doses."""

TARGET = "target of the field"
"""What takes the place of structures where none are given: told from the dose, see `grid.regions`."""

LEVEL = 0.9
"""What the surrogate's intervals promise."""

_LIMITED = ("bias_percent", "rms_percent", "p95_percent")


@dataclass(frozen=True, eq=False)
class Judged:
    """What a validation is appraised with.

    Attributes:
        low: the judged field.
        high: the reference; None when the truth came from `low` itself.
        high_id: field id of the reference.
        line: cell line.
        table: its mono-energetic table.
        settings: of the validation.
        fractions: number of equal fractions of the prescription.
        structures: (i, j, k) fraction of each voxel that is inside, by name.
        problems: what was wrong with them.
    """

    low: Field
    high: Field | None
    high_id: str
    line: CellLine
    table: MonoTable
    settings: ValidationSettings
    fractions: int = 1
    structures: Mapping[str, Floats] | None = None
    problems: tuple[Problem, ...] = ()

    @property
    def fractionation(self) -> Fractionation:
        """Fraction dose and number."""
        return Fractionation(self.settings.fraction_dose_gy, self.fractions)

    @property
    def absolute(self) -> bool:
        """Whether doses are in Gy on both sides, so that RBE-weighted doses can be compared."""
        return self.low.prescription is not None and (self.high is None or self.high.prescription is not None)


@dataclass(frozen=True, eq=False)
class Appraisal:
    """What was found, beside the table of the validation.

    Attributes:
        errors: of RBE at the fraction dose against the truth, by method, kind of group and group.
        volume_errors: of RBE in %, by method, of all voxels that the judged ones were drawn from; empty where all were.
        sigmas: errors of RBE in units of the truth's Monte Carlo noise, by method.
        coverage: of the surrogate's intervals of RBE, over all voxels and by region.
        comparisons: of whole maps with those of the reference, by quantity.
        histograms: of every structure: dose, LET and D_RBE of all methods.
        findings: what came of the limits, for the surrogate.
        verdict: the same in words.
        problems: what a reader must know.
        notes: at which dose D_RBE was judged, and what could not be told from the drawn voxels, in sentences.
    """

    errors: tuple[MapErrorRow, ...]
    volume_errors: Mapping[str, VolumeError]
    sigmas: Mapping[str, SigmaErrors]
    coverage: tuple[Coverage, ...]
    comparisons: Mapping[str, MapComparison]
    histograms: tuple[VolumeHistogram, ...]
    findings: tuple[Finding, ...]
    verdict: tuple[str, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()

    @property
    def unmet(self) -> bool:
        """Whether a limit is not met."""
        return any(finding.outcome == "not met" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "errors": [row.to_json() for row in self.errors],
            "error_keys": dict(MAP_ERRORS),
            "volume_errors": {name: asdict(each) for name, each in self.volume_errors.items()},
            "sigmas": {name: each.to_json() for name, each in self.sigmas.items()},
            "coverage": [asdict(each) for each in self.coverage],
            "comparisons": {name: each.to_json() for name, each in self.comparisons.items()},
            "histograms": [each.to_json() for each in self.histograms],
            "findings": [each.to_json() for each in self.findings],
            "verdict": list(self.verdict),
            "problems": [each.to_json() for each in self.problems],
            "notes": list(self.notes),
        }


def appraise(validation: Validation, judged: Judged, limits: Sequence[Limit]) -> Appraisal:
    """Say all that the reader of a validation wants to know.

    D_RBE of every method is taken at the dose of the reference, so that what differs is the RBE; the two doses are
    compared with each other beside.

    Args:
        validation: what was found.
        judged: what it was found on.
        limits: acceptance limits, such as of `validation.acceptance.read_limits`.

    Raises:
        PrescriptionError: prescription and fractionation contradict each other.
        ValueRangeError: a voxel's dose per fraction is beyond the simulated doses.
    """
    truth = validation.truth["RBE"]
    known = np.isfinite(truth)
    noise = truth[known] * _noise(validation, known)
    methods = {name: validation.predicted[name]["RBE"] for name in (SURROGATE, *COMPARED)}
    groups, without = _groups(validation, judged, known)
    sampled = int(known.sum()) < validation.population
    unjudged = () if sampled else tuple(Problem("nothing_compared", *each) for each in without)
    errors, problems = map_errors(methods, truth, groups)
    relative = {name: 100 * (values[known] / truth[known] - 1) for name, values in methods.items()}
    spread = {name: sigma_errors(values[known] - truth[known], noise) for name, values in methods.items()}
    comparisons = {} if judged.high is None else _comparisons(validation, judged, judged.high)
    histograms, no_values = _histograms(validation, judged, comparisons)
    before = (*judged.problems, *unknown_dose(judged.low))
    named = (problem for each in comparisons.values() for problem in each.problems)
    found = Appraisal(
        errors=errors,
        volume_errors=_volume_errors(relative, validation.population) if sampled else {},
        sigmas={name: each for name, each in spread.items() if each.n},
        coverage=_coverage(validation, judged, known),
        comparisons=comparisons,
        histograms=histograms,
        findings=(),
        verdict=(),
        problems=tuple(dict.fromkeys((*before, *unjudged, *problems, *named, *no_values))),
        notes=(*_doses(comparisons), *(sentence for _, sentence in without if sampled)),
    )
    findings = judge(limits, _measured(found))
    return Appraisal(**{**vars(found), "findings": findings, "verdict": verdict(findings)})


def _groups(
    validation: Validation, judged: Judged, known: npt.NDArray[np.bool_]
) -> tuple[dict[str, Masks], list[tuple[str, str]]]:
    """Groups of the judged voxels, told by the reference's dose; and given structures that hold none, with a word."""
    truth = Volume(judged.low.grid, validation.truth["RBE"], quantity("RBE"))
    told = _context(judged.high or judged.low, judged, validation.curves.mask).distinct
    groups, _ = groups_of(known, truth, told)
    given = () if judged.structures is None else told.structures
    without = [f"structure {name!r}" for name in given if name not in groups.get("structure", {})]
    said = "holds none of the judged voxels, so it has no errors of RBE"
    return groups, [(name, f"{name} {said}") for name in without]


def _context(field: Field, judged: Judged, answered: npt.NDArray[np.bool_]) -> Context:
    """What is beside the maps; compared is where the surrogate answers."""
    return Context(
        dose=Volume(field.grid, np.nan_to_num(field.dose), field.volumes[field.dose_name].quantity),
        LET=field.volumes.get("LET_d"),
        beam=None if field.several_directions else (field.beam_axis, field.beam_sign),
        structures=_volumes(field, judged),
        base=field.prescription.dose_gy if field.prescription else None,
        answered=answered,
    )


def _volumes(field: Field, judged: Judged) -> Mapping[str, Floats]:
    """Structures; where none are given, the target of the field, so that there is something to have a histogram of."""
    if judged.structures is not None or field.several_directions:
        return judged.structures or {}
    target = regions(np.nan_to_num(field.dose), field.beam_axis, field.beam_sign, field.grid.spacing_mm)["target"]
    return {TARGET: target.astype(np.float32)}


def _volume_errors(relative: Mapping[str, Floats], population: int) -> dict[str, VolumeError]:
    """Of the methods that answer at least two of the drawn voxels."""
    enough = {name: each for name, each in relative.items() if np.isfinite(each).sum() > 1}
    return {name: volume_error(each, simple_random(len(each), population)) for name, each in enough.items()}


def _coverage(validation: Validation, judged: Judged, known: npt.NDArray[np.bool_]) -> tuple[Coverage, ...]:
    how = Fractionation(judged.settings.fraction_dose_gy)
    maps = derive_maps(validation.curves, judged.low, judged.line, how, ("RBE_ref", "RBE_half_width"))
    RBE, width = (maps[name].values.astype(float) for name in ("RBE_ref", "RBE_half_width"))
    at = known & np.isfinite(RBE) & (width > 0)
    if at.sum() < 2:
        return ()
    truth, names = validation.truth["RBE"][at], region_names(validation.regions)[at]
    return coverage(RBE[at] / truth - 1, width[at] / RBE[at], _noise(validation, at), names, LEVEL)


def _noise(validation: Validation, at: npt.NDArray[np.bool_]) -> Floats:
    """(voxel,) relative noise of the true RBE: of spectra and simulation by region, else of the simulation alone."""
    names = region_names(validation.regions)[at]
    floors = {name: validation.table.row(SURROGATE, "RBE", name).summary.floor / 100 for name in np.unique(names)}
    own = np.nan_to_num(validation.truth_se[at]) / validation.truth["RBE"][at]
    return np.asarray(np.fmax(own, np.array([floors[name] for name in names])))


def _comparisons(validation: Validation, judged: Judged, high: Field) -> dict[str, MapComparison]:
    """D_RBE, where doses are in Gy, and the dose itself."""
    told, found = _context(high, judged, validation.curves.mask), {}
    words = f"{high.histories:,} histories"
    if judged.absolute:
        judged.fractionation.require_prescription(high)
        cheap = {name: validation.baselines[name] for name in COMPARED}
        maps = method_maps(validation.curves, cheap, high, judged.line, judged.fractionation, "D_RBE")
        own_dose = method_maps(validation.curves, {}, judged.low, judged.line, judged.fractionation, "D_RBE")
        maps[AS_WRITTEN] = own_dose[SURROGATE]
        true = of_table(high, judged.table, validation.curves.mask, judged.line, judged.fractionation, "D_RBE")
        origin = f"the Zaider-Rossi table on the spectra of {words}; all at its dose"
        reference = ReferenceMap(Volume(high.grid, true, quantity("D_RBE")), origin, judged.high_id)
        found["D_RBE"] = compare_maps(maps, reference, told)
    dose, own = (field.volumes[field.dose_name] for field in (high, judged.low))
    told = replace(told, answered=None)  # a dose is known everywhere
    if not judged.absolute:
        dose, own = relative_dose(dose, dose), relative_dose(own, dose)
        told = replace(told, dose=dose, base=None)
    found[high.dose_name] = compare_maps({INPUT_DOSE: own.values}, ReferenceMap(dose, words, judged.high_id), told)
    return found


def relative_dose(dose: Volume, reference: Volume) -> Volume:
    """A dose of no absolute scale: of the reference's integral, and as a part of the reference's maximum."""
    integral = np.nansum(reference.values, dtype=float) / np.nansum(dose.values, dtype=float)
    values = np.nan_to_num(dose.values) * np.float32(integral / np.nanmax(reference.values))
    return Volume(dose.grid, values, replace(dose.quantity, unit="of maximum"))


def _histograms(
    validation: Validation, judged: Judged, comparisons: Mapping[str, MapComparison]
) -> tuple[tuple[VolumeHistogram, ...], tuple[Problem, ...]]:
    """Those of the comparisons; without a reference those of the surrogate alone."""
    if comparisons:
        return tuple(_of_comparisons(comparisons.values(), judged.low.dose_name)), ()
    dose = judged.low.volumes[judged.low.dose_name]
    maps = [(dose if judged.absolute else relative_dose(dose, dose), INPUT)]
    maps += [(judged.low.volumes["LET_d"], INPUT)] if "LET_d" in judged.low.volumes else []
    if judged.absolute:
        own = derive_maps(validation.curves, judged.low, judged.line, judged.fractionation, ("D_RBE",))
        maps.append((own["D_RBE"], SURROGATE))
    found: list[VolumeHistogram] = []
    problems: list[Problem] = []
    for structure, fraction in _volumes(judged.low, judged).items():
        for volume, method in maps:
            base = judged.low.prescription.dose_gy if judged.low.prescription else None
            base = base if volume.quantity.name in DOSE_LIKE else None
            cm3 = judged.low.grid.voxel_volume_mm3 / 1000
            one, more = volume_histogram(volume.values, fraction, cm3, structure, volume.quantity, method, base)
            found += [] if one is None else [one]
            problems += more
    return tuple(found), tuple(problems)


def _of_comparisons(comparisons: Iterable[MapComparison], dose_name: str) -> Iterator[VolumeHistogram]:
    """Each once. Dose and LET beside a comparison are those of the reference; its dose is there as a map of its own."""
    seen = set()
    for each in (each for found in comparisons for each in found.histograms):
        own = replace(each, method=REFERENCE) if each.method == INPUT else each
        key = (own.structure, own.quantity, own.method)
        if key not in seen and not (each.method == INPUT and each.quantity == dose_name):
            seen.add(key)
            yield own


def _doses(comparisons: Mapping[str, MapComparison]) -> Iterator[str]:
    """At which dose D_RBE is compared, and how far the input's own is from it."""
    if "D_RBE" in comparisons:
        rows = (row for name, found in comparisons.items() if name != "D_RBE" for row in found.errors)
        apart = next(row.rms_percent for row in rows if row.kind == "all")
        yield (
            "D_RBE in limits, histograms and profiles is at the reference's dose, so that what differs is the RBE; "
            f"the input's own dose differs from it by {apart:.1f} % RMS, which is not judged, and is in what `predict` "
            f"writes ({AS_WRITTEN})"
        )


def unknown_dose(field: Field) -> tuple[Problem, ...]:
    """Where the dose of the input is not known: nothing is answered there, so no comparison would show it."""
    unknown = ~np.isfinite(field.dose)
    if not unknown.any():
        return ()
    n, first = voxels(int(unknown.sum())), tuple(int(index) for index in np.argwhere(unknown)[0])
    told = f"the {INPUT_DOSE} has no value in {n}, first {first}; the surrogate does not answer there"
    return (Problem("nan_in_map", f"{INPUT_DOSE}, {n}", told),)


def _measured(found: Appraisal) -> dict[Key, Measured]:
    """What limits can be on, of the surrogate; a volume's error from drawn voxels has its interval."""
    rows = [row for row in found.errors if row.method == SURROGATE]
    values = {(key, "RBE", row.group, ""): Measured(getattr(row, key), row.n) for row in rows for key in _LIMITED}
    if SURROGATE in found.volume_errors:
        each = found.volume_errors[SURROGATE]
        values["bias_percent", "RBE", "all", ""] = Measured(each.mean, each.n, each.mean_low, each.mean_high)
        values["rms_percent", "RBE", "all", ""] = Measured(each.rms, each.n, each.rms_low, each.rms_high)
    for part in found.coverage:
        share, low, high = (100 * number for number in (part.covered, part.low, part.high))
        values["coverage", "RBE", part.region, ""] = Measured(share, part.voxels, low, high)
    if SURROGATE in found.sigmas:
        sigma = found.sigmas[SURROGATE]
        share, low, high = (100 * number for number in sigma.share_within[2])
        values["sigma_share_2", "RBE", "all", ""] = Measured(share, sigma.n, low, high)
    if "D_RBE" in found.comparisons:
        values |= measured_values(found.comparisons["D_RBE"], SURROGATE)
    return values
