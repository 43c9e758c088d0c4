"""Importances of groups and scales as numbers: how stable they are, and how methods of finding them agree.

No network is needed here. `importance_network` and `importance_training` find the importances, each in its own unit:

==============  =======================================================================================
masks           share of what the attentive steps looked at (Arik and Pfister, arXiv 1908.07442, 3.6)
gradients       share of the integrated gradients of ln RBE10 (Sundararajan et al., arXiv 1703.01365)
permutation     growth of the error where a group is shuffled between experiments, per cent of RBE10
conditional     likewise, shuffled only between experiments of the same ion and about the same LET
retraining      growth of the error where networks are trained without the group, per cent of RBE10
==============  =======================================================================================

The first two say what a network used; the third what it relies on, at inputs that no radiation has, as groups are
nearly functions of one another; the last two what only this group can tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import spearmanr

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.invitro.evaluation import weighted_median
from surrogate3d.invitro.scales import GROUPS, SCALE_OF_GROUP, SCALES
from surrogate3d.training.bootstrap import resampled

Floats = npt.NDArray[np.float64]

RADIATION_GROUPS = tuple(group for group in GROUPS if SCALE_OF_GROUP[group] != "biology")

SITES = tuple(group for group in RADIATION_GROUPS if SCALE_OF_GROUP[group] != "LET")
"""Groups that have a site, from the smallest to the largest."""

DOMINANCE = 0.5
"""Share above which one scale is said to dominate: more than all others together."""

IONS = ("H", "He", "C", "other ions")


class Interval(NamedTuple):
    """A value with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Errors:
    """What predictions of held-out experiments are off by.

    Attributes:
        RBE10: (n,) |predicted / measured - 1|; NaN where not measured.
        square: (n,) weighted mean square error of ln S over the points of each experiment.
    """

    RBE10: Floats
    square: Floats

    def median_RBE10(self, judged: npt.ArrayLike) -> float:
        """Median relative error of RBE10 of the experiments `judged` (n,)."""
        return float(np.nanmedian(self.RBE10[np.asarray(judged, dtype=bool)]))

    def rms_log_survival(self, judged: npt.ArrayLike) -> float:
        """Root mean square error of ln S of the experiments `judged` (n,), each counted alike."""
        return float(np.sqrt(self.square[np.asarray(judged, dtype=bool)].mean()))


@dataclass(frozen=True, eq=False)
class MethodImportance:
    """Importance of the groups by one method, in the order of `GROUPS`.

    Attributes:
        method: such as "masks".
        unit: of the values.
        value: (group,).
        low: (group,) lower end of what the bar's line shows.
        high: (group,) upper end.
        spread: what the line is, such as "range of 6 seeds".
    """

    method: str
    unit: str
    value: Floats
    low: Floats
    high: Floats
    spread: str


def by_scale(by_group: npt.ArrayLike) -> Floats:
    """Shares of groups (..., group) summed to shares of scales (..., scale), in the order of `SCALES`.

    Raises:
        GridMismatchError: the last axis is not `GROUPS`.
    """
    shares = np.asarray(by_group, dtype=float)
    if shares.ndim == 0 or shares.shape[-1] != len(GROUPS):
        raise GridMismatchError(f"expected {len(GROUPS)} groups along the last axis, found shape {shares.shape}")
    member = np.array([[SCALE_OF_GROUP[group] == scale for scale in SCALES] for group in GROUPS], dtype=float)
    return np.asarray(shares @ member)


def rank_correlations(importances: npt.ArrayLike) -> Floats:
    """Spearman's correlation of every pair of rows (row, group), such as of models of different seeds.

    Returns:
        (row (row - 1) / 2,) in the order of `itertools.combinations`.

    Raises:
        GridMismatchError: fewer than two rows or three groups.
    """
    rows = np.asarray(importances, dtype=float)
    if rows.ndim != 2 or len(rows) < 2 or rows.shape[1] < 3:
        raise GridMismatchError(f"expected two importances of three groups or more, found shape {rows.shape}")
    return np.array([spearmanr(one, other).statistic for one, other in combinations(rows, 2)])


def seeds_for(correlation: float, wanted: float = 0.8) -> float:
    """How many seeds must be averaged for importances that agree to `wanted` (Spearman-Brown formula).

    It takes what differs between seeds for noise about one mean, and is not finite where single seeds do not agree.

    Args:
        correlation: mean of `rank_correlations` between single seeds.
        wanted: between two averages of that many seeds.
    """
    if correlation <= 0:
        return float("inf")
    return wanted * (1 - correlation) / (correlation * (1 - wanted))


def clustered_difference(new: Errors, old: Errors, publication: npt.ArrayLike, judged: npt.ArrayLike) -> Interval:
    """How much larger the median error of RBE10 became, with an interval over publications.

    Publications are drawn with replacement, each with all its experiments and for both errors alike, as experiments of
    one publication err together.

    Args:
        new: errors afterwards.
        old: errors before, of the same experiments.
        publication: (n,) names.
        judged: (n,) experiments that count; those without a measured RBE10 do not.

    Raises:
        ValueRangeError: none is left to judge.
    """
    chosen = np.asarray(judged, dtype=bool) & np.isfinite(new.RBE10) & np.isfinite(old.RBE10)
    if not chosen.any():
        raise ValueRangeError("no experiment with a measured RBE10 is judged; judge others")
    draws = resampled(np.asarray(publication)[chosen], seed=0)
    change = weighted_median(new.RBE10[chosen], draws) - weighted_median(old.RBE10[chosen], draws)
    low, high = np.quantile(change[1:], (0.025, 0.975))
    return Interval(float(change[0]), float(low), float(high))


@dataclass(frozen=True, eq=False)
class ByLET:
    """Shares of the scales along LET, of one ion.

    Attributes:
        ion: one of `IONS`.
        LET: (bin,) geometric mean of the experiments' LET, keV/um.
        experiments: (bin,) how many.
        share: (model, bin, scale) mean over the experiments, in the order of `SCALES`.
    """

    ion: str
    LET: Floats
    experiments: npt.NDArray[np.int64]
    share: Floats


def over_LET(
    by_group: npt.ArrayLike, LET: npt.ArrayLike, species: npt.ArrayLike, least: int = 15, bins: int = 8
) -> tuple[ByLET, ...]:
    """Mean shares of the scales in bins of LET that hold about as many experiments each.

    Args:
        by_group: (model, n, group) shares of each experiment.
        LET: (n,) keV/um.
        species: (n,) element symbols.
        least: experiments in a bin, unless an ion has fewer in all.
        bins: at most.

    Returns:
        One for each of `IONS` of which there are experiments.
    """
    shares, line, symbol = by_scale(by_group), np.asarray(LET, dtype=float), np.asarray(species)
    found = []
    for ion in IONS:
        rows = np.flatnonzero(~np.isin(symbol, IONS) if ion == IONS[-1] else symbol == ion)
        if not rows.size:
            continue
        parts = np.array_split(rows[np.argsort(line[rows], kind="stable")], int(np.clip(len(rows) // least, 1, bins)))
        found.append(
            ByLET(
                ion,
                np.array([np.exp(np.log(line[part]).mean()) for part in parts]),
                np.array([len(part) for part in parts]),
                np.stack([shares[:, part].mean(axis=1) for part in parts], axis=1),
            )
        )
    return tuple(found)


@dataclass(frozen=True)
class Claims:
    """What importances say of three statements. Each is a share of the models for which the statement holds.

    Attributes:
        largest: scale of the largest mean importance.
        largest_share: its mean share of the sum over the scales; scales of more groups have more for that alone.
        largest_group: group of the largest mean importance.
        largest_group_share: its mean share of the sum over the groups.
        none_dominates: no scale has more than `DOMINANCE`.
        smaller_weigh_more: importance falls with the size of the site (Spearman below 0).
        size_correlation: mean of that correlation, over the sites.
        LET_less: LET has less than the mean of the other groups of the radiation.
        LET_difference: mean of LET less those, in the unit of the method.
    """

    largest: str
    largest_share: float
    largest_group: str
    largest_group_share: float
    none_dominates: float
    smaller_weigh_more: float
    size_correlation: float
    LET_less: float
    LET_difference: float


def claims(importances: npt.ArrayLike) -> Claims:
    """The statements of the paper, judged on importances (model, group); negative ones count as none for the shares.

    Raises:
        GridMismatchError: the last axis is not `GROUPS`.
        ValueRangeError: a model finds nothing important at all.
    """
    rows = np.atleast_2d(np.asarray(importances, dtype=float))
    positive = by_scale(np.maximum(rows, 0.0))
    if not (positive.sum(axis=-1) > 0).all():
        raise ValueRangeError("a model without any important group; nothing can be said of shares")
    share = positive / positive.sum(axis=-1, keepdims=True)
    sites = rows[:, [GROUPS.index(group) for group in SITES]]
    size = np.array([spearmanr(np.arange(len(SITES)), each).statistic for each in sites])
    LET, others = rows[:, GROUPS.index("LET")], sites.mean(axis=1)
    single = (np.maximum(rows, 0.0) / positive.sum(axis=-1, keepdims=True)).mean(axis=0)
    largest = int(share.mean(axis=0).argmax())
    return Claims(
        SCALES[largest],
        float(share.mean(axis=0)[largest]),
        GROUPS[int(single.argmax())],
        float(single.max()),
        float((share.max(axis=1) <= DOMINANCE).mean()),
        float((size < 0).mean()),
        float(size.mean()),
        float((others > LET).mean()),
        float((LET - others).mean()),
    )


def agreement(importances: Mapping[str, npt.ArrayLike]) -> dict[tuple[str, str], float]:
    """Spearman's correlation of each two methods, of importances (group,) by method."""
    values = {name: np.asarray(each, dtype=float) for name, each in importances.items()}
    return {
        (one, other): float(spearmanr(values[one], values[other]).statistic) for one, other in combinations(values, 2)
    }
