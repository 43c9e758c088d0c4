"""A trained in-vitro model as a folder: JSON and safetensors, nothing executable.

```
BUNDLE/
  manifest.json             SHA-256 of every file, written last
  card.json                 features, network, intervals, domain, training
  member_0.safetensors ...  weights of the ensemble
```
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.torch import load, save

from surrogate3d.errors import BundleError, FormatError, StoreError
from surrogate3d.invitro.model import Intervals, InVitroModel
from surrogate3d.invitro.network import InVitroNetwork, NetworkConfig
from surrogate3d.invitro.scales import FEATURES
from surrogate3d.io import manifest
from surrogate3d.io.atomic import atomic_directory
from surrogate3d.model.bundle import card_text, require_weights

SCHEMA = "surrogate3d.invitro/1"
LICENCE = "Apache-2.0"


def save_invitro(model: InVitroModel, path: str | Path, overwrite: bool = False) -> str:
    """Write a model, whole or not at all.

    Returns:
        Its id: SHA-256 of the manifest.

    Raises:
        StoreError: `path` exists and is not to be replaced, or the disk is full.
        BundleError: the card has a number that is not finite.
    """
    path = Path(path)
    if overwrite and path.exists() and not manifest.has_schema(path / manifest.MANIFEST_NAME, SCHEMA):
        raise StoreError(f"{path} exists and is not an in-vitro model, so it is not replaced; choose another name")
    with atomic_directory(path, overwrite) as scratch:
        (scratch / "card.json").write_text(card_text(SCHEMA, _card(model)), encoding="utf-8")
        for n, network in enumerate(model.networks):
            weights = {name: value.contiguous() for name, value in network.state_dict().items()}
            (scratch / f"{_member(n)}.safetensors").write_bytes(save(weights))
        return manifest.write_manifest(scratch, SCHEMA)


def load_invitro(path: str | Path) -> InVitroModel:
    """Read a model; nothing in it is executed.

    Raises:
        BundleError: `path` is no such model, is damaged or incomplete, or was made by another version.
    """
    path = Path(path)
    try:
        bundle_id = manifest.verify(path, SCHEMA)
        card = json.loads((path / "card.json").read_text(encoding="utf-8"))
        if card["features"] != [feature.name for feature in FEATURES]:
            raise BundleError("it was made for other features")
        members = [_member(n) for n in range(card["members"])]
        require_weights(path, members)
        config = NetworkConfig(**{**card["network"], "groups": tuple(card["network"]["groups"])})
        networks = tuple(_network(path / f"{name}.safetensors", config) for name in members)
        return InVitroModel(
            networks,
            _intervals(card["intervals"]),
            _known(card["low"]),
            _known(card["high"]),
            card["training"],
            bundle_id,
        )
    except (OSError, FormatError, BundleError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())  # torch lists weights that do not fit over many lines
        raise BundleError(f"{path} is not a usable in-vitro model: {reason}; train it again") from error


def _card(model: InVitroModel) -> dict[str, Any]:
    return {
        "features": [feature.name for feature in FEATURES],
        "network": asdict(model.networks[0].config),
        "members": len(model.networks),
        "intervals": None if model.intervals is None else asdict(model.intervals),
        "low": _with_nulls(model.low),
        "high": _with_nulls(model.high),
        "training": dict(model.training),
        "licence": LICENCE,
    }


def _member(n: int) -> str:
    return f"member_{n}"


def _network(path: Path, config: NetworkConfig) -> InVitroNetwork:
    network = InVitroNetwork(config)
    network.load_state_dict(load(path.read_bytes()))
    return network.eval()


def _intervals(data: Mapping[str, Any] | None) -> Intervals | None:
    if data is None:
        return None
    tuples = {name: tuple(float(x) for x in data[name]) for name in ("levels", "RBE10", "log_survival")}
    return Intervals(**tuples, publications=int(data["publications"]), experiments=int(data["experiments"]))


def _with_nulls(values: npt.NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def _known(values: list[float | None]) -> npt.NDArray[np.float64]:
    return np.array([np.nan if value is None else value for value in values])
