"""Outputs of one scorer from several batches of histories, combined column by column.

Sums add. Means, variances and deviations are of the distribution over histories and are pooled exactly when the
batches report Histories_with_Scorer_Active. TOPAS's Second_Moment is the sum of squared distances from the batch's own
mean, Variance x (histories - 1) (OpenTOPAS scoring/TsVBinnedScorer.cc, StoreOneValue), so it does not add either.
Ratios (LET) are combined with their denominators; RBE is not combined at all, since it does not average.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, GridMismatchError, QuantityError, UnsupportedError
from surrogate3d.io.topas_grid import ScoredValues
from surrogate3d.io.topas_header import ScorerHeader

Array = npt.NDArray[np.float64]
ErrorSource = Literal["reported deviations", "scatter of the batches", "none"]

HISTORIES = "Histories_with_Scorer_Active"
_SAME = ("scorer", "quantity", "unit", "component", "on_surface", "axes", "filters", "binning", "columns")
_DOSE = ("DoseToMedium", "DoseToWater", "DoseToMaterial", "EnergyDeposit")


@dataclass(frozen=True, eq=False)
class MergedScorer:
    """One scorer over all batches.

    Attributes:
        header: of the first batch.
        columns: (i, j, k, energy) by statistic.
        n_batches: how many were combined.
        standard_error: (i, j, k, energy) of the combined Sum (of the LET for a ratio); None when nothing tells it.
        error_source: "reported deviations" (Standard_Deviation, Variance or Second_Moment with histories), or "scatter
            of the batches" (n - 1 degrees of freedom, poor for few batches), or "none".
        left_out: statistic to the reason why it is not combined.
        files: that went in, in order of the batches.
    """

    header: ScorerHeader
    columns: Mapping[str, Array]
    n_batches: int
    standard_error: Array | None
    error_source: ErrorSource
    left_out: Mapping[str, str]
    files: tuple[Path, ...]


def merge_batches(
    batches: Sequence[ScoredValues],
    dose: Sequence[ScoredValues] | None = None,
    *,
    weighting: Literal["dose", "track"] | None = None,
    histories: Sequence[int] | None = None,
) -> MergedScorer:
    """Combine the outputs of one scorer.

    Args:
        batches: of the same scorer, from independent histories.
        dose: for LET, the dose of the same batches in the same order: LET = sum(D LET) / sum(D) over the batches where
            LET has a denominator (is not 0).
        weighting: of LET, which the header does not say; only dose-weighted LET can be combined with dose.
        histories: simulated in each batch, where the scorer does not report them.

    Raises:
        FormatError: no batches, or one of them twice.
        GridMismatchError: they are not of one scorer on one grid, or dose is not of the same batches.
        QuantityError: LET without dose or weighting, or histories that contradict the reported ones.
        UnsupportedError: RBE, or track-weighted LET.
    """
    _require_batches(batches)
    header = batches[0].header
    if header.quantity.startswith(("RBE_", "DSB")):
        raise UnsupportedError(
            f"{header.scorer}: {header.quantity} of batches does not average; merge dose and LET (or the spectra) and "
            "compute it from them"
        )
    if header.is_ratio:
        return _merge_ratio(batches, dose, weighting)
    return _merge_sums(batches, histories)


def _require_batches(batches: Sequence[ScoredValues]) -> None:
    if not batches:
        raise FormatError("expected at least one batch, found none")
    first = batches[0]
    for n, batch in enumerate(batches):
        name, what = batch.files[0].name, f"{first.files[0].name} and {batch.files[0].name}"
        differ = [part for part in _SAME if getattr(batch.header, part) != getattr(first.header, part)]
        if differ:
            raise GridMismatchError(f"{what}: batches of one scorer are needed, but they differ in {', '.join(differ)}")
        for other in batches[:n]:
            if batch.files[0].resolve() == other.files[0].resolve() or _equal(batch, other):
                raise FormatError(
                    f"{other.files[0].name} and {name}: every value is equal; the same histories would count twice "
                    "(a copy, or a run with the same Ts/Seed)"
                )


def _require_one_mask(batches: Sequence[Array] | Array, batch: ScoredValues) -> None:
    if any(not np.array_equal(np.isnan(values), np.isnan(batches[0])) for values in batches[1:]):
        raise GridMismatchError(
            f"{batch.header.scorer}: the masks of the batches (-1, outside the structure) differ; use one structure"
        )


def _equal(one: ScoredValues, other: ScoredValues) -> bool:
    """Whether all values are equal, and not for being all zero: two batches that hit nothing are equal by right."""
    name = "Sum" if "Sum" in one.header.columns else one.header.columns[0]
    anything = False
    for k0, k1 in one.slabs():
        values = one.slab(k0, k1)
        if not np.array_equal(values, other.slab(k0, k1), equal_nan=True):
            return False
        anything |= bool(np.nan_to_num(values[..., one.header.columns.index(name)]).any())
    return anything


def _require_histories(batches: Sequence[ScoredValues], given: Sequence[int] | None) -> None:
    if given is not None and (len(given) != len(batches) or min(given) < 1):
        raise QuantityError(f"expected positive histories of {len(batches)} batches, found {list(given)}")
    if given is not None and HISTORIES in batches[0].header.columns:
        for batch, n in zip(batches, given, strict=True):
            if np.nanmax(batch.column(HISTORIES)) > n:
                raise QuantityError(f"{batch.files[0].name} reports more histories than the {n} that are given")


def _merge_sums(batches: Sequence[ScoredValues], histories: Sequence[int] | None) -> MergedScorer:
    _require_histories(batches, histories)
    header = batches[0].header
    counted = histories is not None or HISTORIES in header.columns
    parts, errors = [], []
    source: ErrorSource = "none"
    for k0, k1 in batches[0].slabs():
        by_name = _slab(batches, k0, k1)
        n = by_name.get(HISTORIES)
        if n is None and histories is not None:
            n = np.broadcast_to(np.reshape(histories, (-1, 1, 1, 1, 1)).astype(float), by_name[header.columns[0]].shape)
        parts.append(_merge_slab(by_name, n))
        error, source = _standard_error(by_name, n)
        errors.append(error)
    columns = {name: np.concatenate([part[name] for part in parts], axis=2) for name in parts[0]}
    reason = "needs Sum or Mean beside it" if counted else "needs the histories of every batch; add Histories to Report"
    left_out = {name: reason for name in header.columns if name not in columns}
    found = [error for error in errors if error is not None]
    whole = np.concatenate(found, axis=2) if found else None
    files = tuple(path for batch in batches for path in batch.files)
    return MergedScorer(header, columns, len(batches), whole, source, left_out, files)


def _slab(batches: Sequence[ScoredValues], k0: int, k1: int) -> dict[str, Array]:
    """(batch, i, j, k, energy) by statistic, of a few planes."""
    slabs = [batch.slab(k0, k1) for batch in batches]
    _require_one_mask(slabs, batches[0])
    stacked = np.stack(slabs)
    return {name: stacked[..., n] for n, name in enumerate(batches[0].header.columns)}


def _merge_slab(by_name: Mapping[str, Array], histories: Array | None) -> dict[str, Array]:
    """The statistics that can be combined, in file order."""
    merged: dict[str, Array] = {}
    sums = _sums(by_name, histories)
    pooled = _pooled(by_name, sums, histories) if sums is not None and histories is not None else {}
    for name, values in by_name.items():
        if name in ("Sum", HISTORIES, "Count_in_Bin"):
            merged[name] = values.sum(axis=0)
        elif name in ("Min", "Max"):
            merged[name] = values.min(axis=0) if name == "Min" else values.max(axis=0)
        elif name in pooled:
            merged[name] = pooled[name]
    return merged


def _sums(by_name: Mapping[str, Array], histories: Array | None) -> Array | None:
    """(batch, i, j, k, energy) sums over histories, as reported or from the means."""
    if "Sum" in by_name:
        return by_name["Sum"]
    return by_name["Mean"] * histories if "Mean" in by_name and histories is not None else None


def _second_moment(by_name: Mapping[str, Array], histories: Array) -> Array | None:
    """(batch, ...) sum of squared distances from the mean of the batch; of the reported columns the most direct."""
    if "Second_Moment" in by_name:
        return by_name["Second_Moment"]
    if "Variance" in by_name:
        return np.asarray(by_name["Variance"] * np.maximum(histories - 1, 0))
    if "Standard_Deviation" in by_name:
        return np.asarray(by_name["Standard_Deviation"] ** 2 * np.maximum(histories - 1, 0))
    return None


def _pooled(by_name: Mapping[str, Array], sums: Array, histories: Array) -> dict[str, Array]:
    """Mean and deviations over all histories, from within the batches and between their means.

    sum_b [ M2_b + N_b (m_b - m)^2 ] is the exact second moment about the common mean m = sum_b S_b / sum_b N_b (Chan,
    Golub and LeVeque 1983).
    """
    total = histories.sum(axis=0)
    mean = _ratio(sums.sum(axis=0), total)
    pooled = {"Mean": mean}
    within = _second_moment(by_name, histories)
    if within is not None:
        between = histories * (_ratio(sums, histories) - mean) ** 2
        second = (within + between).sum(axis=0)
        variance = _ratio(second, np.maximum(total - 1, 0))
        pooled |= {"Second_Moment": second, "Variance": variance, "Standard_Deviation": np.sqrt(variance)}
    return pooled


def _standard_error(by_name: Mapping[str, Array], histories: Array | None) -> tuple[Array | None, ErrorSource]:
    """Standard error of the Sum of all batches: sqrt(N) times the deviation of one history."""
    sums = _sums(by_name, histories)
    if sums is None or histories is None:
        return None, "none"
    total = histories.sum(axis=0)
    pooled = _pooled(by_name, sums, histories)
    if "Variance" in pooled:
        return np.sqrt(total * pooled["Variance"]), "reported deviations"
    if len(sums) < 2:
        return None, "none"
    # Batch means scatter by sigma / sqrt(N_b), so each squared distance, times N_b, estimates sigma^2 once.
    between = (histories * (_ratio(sums, histories) - pooled["Mean"]) ** 2).sum(axis=0) / (len(sums) - 1)
    return np.sqrt(total * between), "scatter of the batches"


def _ratio(numerator: Array, denominator: Array) -> Array:
    """Numerator over denominator, 0 where there were no histories (then the numerator is 0 too)."""
    result = np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)
    return np.where(np.isnan(numerator), np.nan, result)


def _merge_ratio(
    batches: Sequence[ScoredValues], dose: Sequence[ScoredValues] | None, weighting: str | None
) -> MergedScorer:
    header, name = batches[0].header, batches[0].files[0].name
    if header.binning is not None:
        raise UnsupportedError(f"{name}: {header.quantity} in energy bins holds numerators that TOPAS never divided")
    if weighting is None:
        raise QuantityError(f"{name}: the header does not say how LET is weighted; give weighting 'dose' or 'track'")
    if weighting == "track":
        raise UnsupportedError(
            f"{name}: track-weighted LET combines with the protons' track length in each batch, which dose does not "
            "give; score it in one run, or take it from the fluence spectra"
        )
    weights = _dose_weights(batches, dose)
    values = np.stack([batch.column("Sum") for batch in batches])
    _require_one_mask(values, batches[0])
    weights = np.where(values > 0, weights, 0.0)  # 0 means no denominator
    total = weights.sum(axis=0)
    mean = np.divide((weights * values).sum(axis=0), total, out=np.full_like(total, np.nan), where=total > 0)
    reason = "Mean, deviations and limits of a ratio are not those of the ratio; only Sum holds it"
    left_out = {column: reason for column in header.columns if column != "Sum"}
    error = _ratio_error(values, weights, mean)
    files = tuple(path for batch in batches for path in batch.files)
    source: ErrorSource = "none" if error is None else "scatter of the batches"
    return MergedScorer(header, {"Sum": mean}, len(batches), error, source, left_out, files)


def _dose_weights(batches: Sequence[ScoredValues], dose: Sequence[ScoredValues] | None) -> Array:
    """(batch, i, j, k, 1) dose of every batch."""
    if dose is None:
        raise QuantityError(
            f"{batches[0].files[0].name}: LET of batches combines as sum(D LET) / sum(D); give the dose of each batch"
        )
    if len(dose) != len(batches):
        raise GridMismatchError(f"expected the dose of each of {len(batches)} batches, found {len(dose)}")
    _require_batches(dose)
    own, other = batches[0].header, dose[0].header
    if (own.component, own.axes) != (other.component, other.axes) or other.binning is not None:
        raise GridMismatchError(f"{dose[0].files[0].name}: the dose is not scored on the voxels of {own.scorer}")
    if other.quantity not in _DOSE:
        raise QuantityError(f"{dose[0].files[0].name}: expected one of {', '.join(_DOSE)}, found {other.quantity}")
    return np.stack([batch.column("Sum") for batch in dose])


def _ratio_error(values: Array, weights: Array, mean: Array) -> Array | None:
    """Standard error of a weighted mean from its scatter (ratio estimator); NaN below two."""
    n = (weights > 0).sum(axis=0)
    if len(values) < 2:
        return None
    residual = np.where(weights > 0, weights * (values - mean), 0.0)
    variance = np.divide(
        n * (residual**2).sum(axis=0),
        np.maximum(n - 1, 1) * weights.sum(axis=0) ** 2,
        out=np.full_like(mean, np.nan),
        where=(n > 1) & (weights.sum(axis=0) > 0),
    )
    return np.asarray(np.sqrt(variance))
