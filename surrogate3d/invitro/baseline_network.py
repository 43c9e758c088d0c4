"""The attentive network as a method of a comparison, and the same network without some groups of features."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import numpy.typing as npt

from surrogate3d.invitro.baseline_protocol import LEVEL, Curves, Floats, Model, Names
from surrogate3d.invitro.dataset import InVitroData
from surrogate3d.invitro.model import InVitroModel
from surrogate3d.invitro.scales import FEATURES
from surrogate3d.invitro.training import InVitroConfig, train_folds, train_invitro


@dataclass(frozen=True)
class Network:
    """A network to train.

    Attributes:
        config: how.
        without: groups of `scales.GROUPS` whose features it never sees: they are missing, in training and after.
            LET_d itself stays, as the network's photon limit is built on it.
    """

    config: InVitroConfig = field(default_factory=InVitroConfig)
    without: tuple[str, ...] = ()

    def fit(self, data: InVitroData, seed: int) -> NetworkModel:
        """Train on all experiments."""
        return NetworkModel(train_invitro(self._seen(data), self.config, seed), self)

    def fit_folds(self, data: InVitroData, learnt: npt.NDArray[np.bool_], seed: int) -> list[Model]:
        """Train all folds at once; see `baseline_protocol.FoldMethod`."""
        return [NetworkModel(model, self) for model in train_folds(self._seen(data), learnt, self.config, seed)]

    def _seen(self, data: InVitroData) -> InVitroData:
        return replace(data, features=self.visible(data.features))

    def visible(self, features: Floats) -> Floats:
        """Features with those of the groups in `without` missing."""
        hidden = [feature.group in self.without and feature.name != "LET_d" for feature in FEATURES]
        return np.where(hidden, np.nan, features)


@dataclass(frozen=True, eq=False)
class NetworkModel:
    """A trained network.

    Attributes:
        model: the ensemble.
        method: as which it was trained.
    """

    model: InVitroModel
    method: Network

    def predict(self, features: Floats, photon: Floats, species: Names) -> Curves:
        """Curves of rows; see `baseline_protocol.Model`."""
        said = self.model.predict(self.method.visible(features), photon)
        if said.intervals is None or LEVEL not in said.intervals.levels:  # trained on too few publications
            return Curves(said.alpha, said.beta, said.RBE10)
        inside = partial(said.log_survival_interval, level=LEVEL)
        return Curves(said.alpha, said.beta, said.RBE10, said.interval(LEVEL), inside)
