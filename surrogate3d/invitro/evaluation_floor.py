"""How close any prediction can come: experiments that were repeated by others differ.

Two measurements of the same cells with the same ion at nearly the same LET differ by two errors of measurement, and by
what else differs between laboratories that the features do not know. If the errors are alike, the median of one
error's size is that of the difference over sqrt(2); normal errors are assumed for this step alone. A single outlier can
rule the root mean square, so it is given beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import ValueRangeError
from surrogate3d.invitro.dataset import InVitroData
from surrogate3d.invitro.evaluation import weighted_median
from surrogate3d.invitro.folds import groups
from surrogate3d.invitro.scales import FEATURES
from surrogate3d.training.bootstrap import RESAMPLES, Estimate, estimate

LET_WITHIN = 0.10
"""Largest difference in LET of a repetition, relative."""

_LET = [feature.name for feature in FEATURES].index("LET_d")


@dataclass(frozen=True)
class RepeatFloor:
    """What repeated experiments say of the scatter of ln RBE10.

    Attributes:
        pairs: how many pairs.
        publications: how many publications they come from.
        median_error: the least median absolute error that a prediction can have, from the median difference.
        rms_error: root-mean-square difference of a pair over sqrt(2), outliers included.
    """

    pairs: int
    publications: int
    median_error: Estimate
    rms_error: float


def repeat_pairs(data: InVitroData, species: Sequence[str] | None = None) -> npt.NDArray[np.intp]:
    """(pair, 2) rows with the same cells and ion, LET within `LET_WITHIN`, and different publications."""
    usable = np.isfinite(data.RBE10) & (np.isin(data.species, list(species)) if species is not None else True)
    rows = np.flatnonzero(usable)
    one, other = (rows[part] for part in np.triu_indices(len(rows), 1))
    cells, LET = groups(data, "cell line"), data.features[:, _LET]
    same = (cells[one] == cells[other]) & (data.species[one] == data.species[other])
    same &= np.abs(np.log(LET[one] / LET[other])) <= np.log(1.0 + LET_WITHIN)
    same &= data.publication[one] != data.publication[other]
    return np.stack([one[same], other[same]], axis=1)


def repeat_floor(data: InVitroData, species: Sequence[str] | None = None, seed: int = 0) -> RepeatFloor:
    """The floor from repeated experiments; its interval is a bootstrap of publications.

    A pair counts by the product of how often its two publications were drawn.

    Raises:
        ValueRangeError: no experiment was repeated.
    """
    pairs = repeat_pairs(data, species)
    if not len(pairs):
        raise ValueRangeError("no experiment was repeated by others: same cells and ion, LET within 10 %")
    names, which = np.unique(data.publication[pairs], return_inverse=True)
    which = which.reshape(pairs.shape)
    chances = np.full(len(names), 1 / len(names))
    drawn = np.random.default_rng(seed).multinomial(len(names), chances, size=RESAMPLES)
    counts = np.vstack([np.ones(len(names)), drawn])
    weights = counts[:, which[:, 0]] * counts[:, which[:, 1]]
    size = np.abs(np.diff(np.log(data.RBE10[pairs]), axis=1)[:, 0]) / np.sqrt(2)
    some = weights[weights.sum(axis=1) > 0]
    median = estimate(weighted_median(size, some))
    return RepeatFloor(len(pairs), len(names), median, float(np.sqrt(np.mean(size**2))))
