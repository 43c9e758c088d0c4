"""A trained model of response as a folder (`model.ensemble_bundle`); its card has settings and calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from surrogate3d.model.ensemble_bundle import Weights, load_ensemble, save_ensemble, with_weights
from surrogate3d.response.calibration import Platt
from surrogate3d.response.config import ResponseConfig
from surrogate3d.response.model import ResponseModel
from surrogate3d.response.network import ResponseNetwork

SCHEMA = "surrogate3d.response/1"
KIND = "model of response"
INTENDED_USE = "RESEARCH ONLY: not for the treatment of patients"


def save_response(model: ResponseModel, path: str | Path, overwrite: bool = False) -> str:
    """Write a model, whole or not at all.

    Returns:
        Its id: SHA-256 of the manifest.

    Raises:
        StoreError: `path` exists and is not to be replaced, or the disk is full.
        BundleError: the card has a number that is not finite.
    """
    card = {
        "use": INTENDED_USE,
        "config": asdict(model.config),
        "calibration": asdict(model.calibration),
        "training": dict(model.training),
    }
    return save_ensemble(model.networks, card, path, SCHEMA, KIND, overwrite)


def load_response(path: str | Path) -> ResponseModel:
    """Read a model; nothing in it is executed.

    Raises:
        BundleError: `path` is no such model, is damaged or incomplete, or was made by another version.
    """
    return load_ensemble(path, SCHEMA, KIND, _model)


def _model(card: Mapping[str, Any], members: Sequence[Weights], bundle_id: str) -> ResponseModel:
    config = _config(card["config"])
    networks = tuple(with_weights(ResponseNetwork(config, len(config.channels)), weights) for weights in members)
    return ResponseModel(networks, Platt(**card["calibration"]), config, card["training"], bundle_id)


def _config(data: Mapping[str, Any]) -> ResponseConfig:
    lists = {name: tuple(value) for name, value in data.items() if isinstance(value, list)}
    return ResponseConfig(**{**data, **lists})
