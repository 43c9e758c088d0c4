"""Random forests and gradient boosting on the features of the experiments, by scikit-learn (extra "invitro").

They learn two numbers, each by trees of its own: ln RBE10, which is what they are judged by, and the linear share of
the effect at D10, alpha D10 / ln 10, between 0 and 1. Alpha and beta follow from both. They scatter far less than alpha
and beta themselves, whose errors of fit compensate each other. Boosting takes absolute errors unless told otherwise, as
some published curves are far off; trees take missing values as they are. `SETTINGS` are the best of a few that were
tried on PIDE 3.4 with publications left out, which favours these methods a little.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from surrogate3d.errors import UnsupportedError
from surrogate3d.invitro.baseline_protocol import Curves, Floats, Names
from surrogate3d.invitro.dataset import InVitroData
from surrogate3d.invitro.scales import FEATURES, GROUPS
from surrogate3d.io.pide_experiment import ELEMENTS
from surrogate3d.physics.linear_quadratic import D10, LN10, fit_linear_quadratic

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "forest": {"n_estimators": 100, "min_samples_leaf": 2, "max_features": 0.15},
    "boosting": {
        "loss": "absolute_error",
        "max_iter": 100,
        "learning_rate": 0.05,
        "max_leaf_nodes": 8,
        "min_samples_leaf": 10,
        "l2_regularization": 1.0,
        "max_features": 0.4,
    },
}


@dataclass(frozen=True)
class Trees:
    """A forest or a boosted sequence of trees.

    Attributes:
        kind: which of the two.
        groups: groups of features that it sees, of `scales.GROUPS`.
        with_ion: whether it is told the atomic number.
        settings: in place of some of `SETTINGS`.
    """

    kind: Literal["forest", "boosting"] = "forest"
    groups: tuple[str, ...] = GROUPS
    with_ion: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)

    def fit(self, data: InVitroData, seed: int) -> TreesModel:
        """Fit on experiments, one thread.

        Raises:
            UnsupportedError: scikit-learn is not installed.
        """
        columns = self._columns(data.features, data.photon, data.species)
        regressors = []
        for target in (np.log(data.RBE10), linear_shares(data)):
            known = np.isfinite(target)
            regressors.append(self._regressor(seed).fit(columns[known], target[known]))
        return TreesModel(self, (regressors[0], regressors[1]))

    def _columns(self, features: Floats, photon: Floats, species: Names) -> Floats:
        """Chosen features, the photon curve as ln D10 and its linear share, and the atomic number if wished."""
        D10_x = D10(*photon.T)
        chosen = [n for n, feature in enumerate(FEATURES) if feature.group in self.groups]
        columns = [features[:, chosen].T, np.log(D10_x), photon[:, 0] * D10_x / LN10]
        if self.with_ion:
            columns.append(np.array([ELEMENTS.index(name) + 1.0 for name in species]))
        return np.vstack(columns).T

    def _regressor(self, seed: int) -> Any:
        try:
            from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
        except ImportError as missing:
            raise UnsupportedError(
                "forests and boosting need scikit-learn; pip install 'surrogate3d[invitro]', or leave them out"
            ) from missing
        kind = {"forest": RandomForestRegressor, "boosting": HistGradientBoostingRegressor}[self.kind]
        return kind(**(dict(SETTINGS[self.kind]) | dict(self.settings)), random_state=seed)


@dataclass(frozen=True, eq=False)
class TreesModel:
    """Fitted trees.

    Attributes:
        method: as which.
        regressors: of ln RBE10, and of the linear share at D10.
    """

    method: Trees
    regressors: tuple[Any, Any]

    def predict(self, features: Floats, photon: Floats, species: Names) -> Curves:
        """Curves of rows; see `baseline_protocol.Model`."""
        columns = self.method._columns(features, photon, species)
        RBE10 = np.exp(self.regressors[0].predict(columns))
        share = np.clip(self.regressors[1].predict(columns), 0.0, 1.0)
        dose = D10(*photon.T) / RBE10
        return Curves(share * LN10 / dose, (1.0 - share) * LN10 / dose**2, RBE10)


def linear_shares(data: InVitroData) -> Floats:
    """(n,) alpha D10 / ln 10 of the weighted fit to the points, beta >= 0; NaN for a single point.

    Above 1 for none, as beta is not negative; below 0 where the points bend so that alpha < 0, taken as 0.
    """
    shares = np.full(len(data), np.nan)
    for n in range(len(data)):
        some = data.weight[n] > 0
        if some.sum() < 2:
            continue
        dose = data.dose[n, some]
        alpha, beta = fit_linear_quadratic(dose, -data.log_survival[n, some], data.weight[n, some] * dose**2)
        reached = D10(alpha, beta)
        shares[n] = max(float(alpha * reached) / LN10, 0.0) if np.isfinite(reached) else np.nan
    return shares
