"""Where experiments say something of an irradiation: its distance to what cells were irradiated with.

The least and largest of each feature do not tell it, as features go together: 160 MeV protons with a few slow fragments
lie between slow protons and carbon in each of them, and are like neither. The experiments' irradiations are summed up
as centres (k-means), so that a model does not carry single experiments along. A distance is the root of the mean square
over the features that are known, in standard deviations of the transformed features of the experiments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist

from surrogate3d.invitro.features import FEATURES, RADIATION, transformed

Floats = npt.NDArray[np.float64]

CENTRES = 24
"""Fewer where there are fewer different irradiations than three times as many."""

QUANTILE = 0.99
"""Of the experiments' own distances that is still taken to be like them."""

_N = len(RADIATION)
_ROWS = 16384


@dataclass(frozen=True, eq=False)
class IrradiationDomain:
    """What a model's experiments were irradiated with.

    Attributes:
        mean: (n_radiation,) of the transformed features; 0 where never known.
        deviation: (n_radiation,) likewise; 1 where never known or always the same.
        centres: (centre, n_radiation) standardised.
        threshold: largest distance that is like the experiments.
    """

    mean: Floats
    deviation: Floats
    centres: Floats
    threshold: float

    def distance(self, features: Floats) -> Floats:
        """(n,) distance of features (n, feature), in the order of `FEATURES`, to the nearest centre."""
        rows = _standard(features, self.mean, self.deviation)
        parts = [cdist(rows[n : n + _ROWS], self.centres).min(axis=1) for n in range(0, len(rows), _ROWS)]
        return np.asarray(np.concatenate(parts) / np.sqrt(_N))

    def outside(self, features: Floats) -> npt.NDArray[np.bool_]:
        """(n,) whether rows are further than `threshold`."""
        return np.asarray(self.distance(features) > self.threshold)

    def to_json(self) -> dict[str, Any]:
        """Plain data for the model's card."""
        arrays = {name: getattr(self, name).tolist() for name in ("mean", "deviation", "centres")}
        return {**arrays, "threshold": self.threshold}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> IrradiationDomain:
        """The inverse of `to_json`."""
        mean, deviation, centres = (np.asarray(data[name], dtype=float) for name in ("mean", "deviation", "centres"))
        return IrradiationDomain(mean, deviation, centres, float(data["threshold"]))


def fit_domain(features: Floats, seed: int = 0) -> IrradiationDomain:
    """The domain of experiments.

    Args:
        features: (n, feature) in the order of `FEATURES`, NaN where not known.
        seed: of the first centres.
    """
    values = transformed(features)[:, :_N]
    known = np.isfinite(values)
    number = np.maximum(known.sum(axis=0), 1)
    mean = np.where(known, values, 0.0).sum(axis=0) / number
    deviation = np.sqrt(np.where(known, (values - mean) ** 2, 0.0).sum(axis=0) / number)
    deviation = np.where(deviation > 1e-6, deviation, 1.0)
    rows = _standard(features, mean, deviation)
    different = len(np.unique(rows.round(6), axis=0))
    centres, _ = kmeans2(rows, max(1, min(CENTRES, different // 3)), minit="++", seed=seed)
    domain = IrradiationDomain(mean, deviation, centres, 0.0)
    return IrradiationDomain(mean, deviation, centres, float(np.quantile(domain.distance(features), QUANTILE)))


def _standard(features: Floats, mean: Floats, deviation: Floats) -> Floats:
    """(n, n_radiation) standardised transformed features; the mean where not known."""
    if features.shape[1] != len(FEATURES):
        features = np.pad(features, ((0, 0), (0, len(FEATURES) - features.shape[1])), constant_values=np.nan)
    return np.asarray(np.nan_to_num((transformed(features)[:, :_N] - mean) / deviation))
