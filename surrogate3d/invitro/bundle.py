"""A trained in-vitro model as a folder (`model.ensemble_bundle`); its card has features, intervals and the domain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import BundleError
from surrogate3d.invitro.model import Intervals, InVitroModel
from surrogate3d.invitro.network import InVitroNetwork, NetworkConfig
from surrogate3d.invitro.scales import FEATURES
from surrogate3d.model.ensemble_bundle import Weights, load_ensemble, save_ensemble, with_weights

SCHEMA = "surrogate3d.invitro/1"
KIND = "in-vitro model"


def save_invitro(model: InVitroModel, path: str | Path, overwrite: bool = False) -> str:
    """Write a model, whole or not at all.

    Returns:
        Its id: SHA-256 of the manifest.

    Raises:
        StoreError: `path` exists and is not to be replaced, or the disk is full.
        BundleError: the card has a number that is not finite.
    """
    card = {
        "features": [feature.name for feature in FEATURES],
        "network": asdict(model.networks[0].config),
        "intervals": None if model.intervals is None else asdict(model.intervals),
        "low": _with_nulls(model.low),
        "high": _with_nulls(model.high),
        "training": dict(model.training),
    }
    return save_ensemble(model.networks, card, path, SCHEMA, KIND, overwrite)


def load_invitro(path: str | Path) -> InVitroModel:
    """Read a model; nothing in it is executed.

    Raises:
        BundleError: `path` is no such model, is damaged or incomplete, or was made by another version.
    """
    return load_ensemble(path, SCHEMA, KIND, _model)


def _model(card: Mapping[str, Any], members: Sequence[Weights], bundle_id: str) -> InVitroModel:
    if card["features"] != [feature.name for feature in FEATURES]:
        raise BundleError("it was made for other features")
    config = NetworkConfig(**{**card["network"], "groups": tuple(card["network"]["groups"])})
    return InVitroModel(
        tuple(with_weights(InVitroNetwork(config), weights) for weights in members),
        _intervals(card["intervals"]),
        _known(card["low"]),
        _known(card["high"]),
        card["training"],
        bundle_id,
    )


def _intervals(data: Mapping[str, Any] | None) -> Intervals | None:
    if data is None:
        return None
    tuples = {name: tuple(float(x) for x in data[name]) for name in ("levels", "RBE10", "log_survival")}
    return Intervals(**tuples, publications=int(data["publications"]), experiments=int(data["experiments"]))


def _with_nulls(values: npt.NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def _known(values: list[float | None]) -> npt.NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values])
