"""A trained surrogate, and the folder that carries all it needs: JSON and safetensors, nothing executable.

```
BUNDLE/
  manifest.json             SHA-256 of every file, written last
  card.json                 what the model is, was trained on, and accepts
  member_0.safetensors ...  weights of the ensemble
  table_HSG.json ...        mono-energetic table of each cell line
```
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from surrogate3d.errors import BundleError, FormatError, StoreError, UnknownNameError
from surrogate3d.io import manifest
from surrogate3d.io.atomic import atomic_directory
from surrogate3d.model.channels import channel_names
from surrogate3d.model.network import KernelNetwork, NetworkConfig
from surrogate3d.physics.mixing import MonoTable

SCHEMA = "surrogate3d.bundle/1"

MATTERING_FRACTION = 0.01
"""A group with less of the voxel's dose does not decide whether the voxel is in the domain of the training."""


@dataclass(frozen=True)
class ModelCard:
    """What a model is, as plain data.

    Attributes:
        network: `NetworkConfig` as a dictionary.
        channels: names of the network's channels, in order.
        channel_low: smallest value of each channel at the voxels trained on, in units of its standard deviation from
            its mean.
        channel_high: largest value of each channel at the voxels trained on, likewise.
        doses: dose ladder of the answer, Gy.
        cell_lines: name, alpha_x (1/Gy) and beta_x (1/Gy^2) of each cell line, in order.
        edges_mev_u: energy bin edges by species, MeV/u.
        species_sets: species of the training fields.
        primaries: species of the training beams.
        let_definitions: by volume name, the LET definitions of the training fields.
        dose_name: which dose the training fields carried.
        spacing_mm: voxel sizes of the training fields.
        std_scale: factor by which each member's predicted deviation is multiplied.
        training: field ids, voxels, seeds, settings, versions.
        licence: of the weights.
    """

    network: dict[str, Any]
    channels: tuple[str, ...]
    channel_low: tuple[float, ...]
    channel_high: tuple[float, ...]
    doses: tuple[float, ...]
    cell_lines: tuple[tuple[str, float, float], ...]
    edges_mev_u: dict[str, list[float]]
    species_sets: tuple[tuple[str, ...], ...]
    primaries: tuple[str, ...]
    let_definitions: dict[str, dict[str, Any]]
    dose_name: str
    spacing_mm: tuple[tuple[float, float, float], ...]
    std_scale: tuple[float, ...]
    training: dict[str, Any] = field(default_factory=dict)
    licence: str = "Apache-2.0"

    @property
    def line_names(self) -> tuple[str, ...]:
        """Names of the cell lines, in order."""
        return tuple(name for name, _, _ in self.cell_lines)


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A loaded model: an ensemble of networks with everything that they need.

    Attributes:
        networks: in evaluation mode.
        card: what they are.
        tables: mono-energetic table of each cell line, in the card's order.
        bundle_id: SHA-256 of the bundle's manifest; empty before it is saved.
    """

    networks: tuple[KernelNetwork, ...]
    card: ModelCard
    tables: tuple[MonoTable, ...]
    bundle_id: str = ""

    @property
    def photon(self) -> torch.Tensor:
        """(2, line) alpha_x in 1/Gy and the square root of beta_x in 1/Gy."""
        return torch.tensor([[a for _, a, _ in self.card.cell_lines], [b**0.5 for _, _, b in self.card.cell_lines]])

    def line_index(self, name: str) -> int:
        """Place of a cell line.

        Raises:
            UnknownNameError: the model was not trained for it.
        """
        if name not in self.card.line_names:
            known = ", ".join(self.card.line_names)
            raise UnknownNameError(f"the model knows no cell line {name!r}; it was trained for {known}")
        return self.card.line_names.index(name)


def save_bundle(surrogate: Surrogate, path: str | Path, overwrite: bool = False) -> str:
    """Write a bundle, whole or not at all.

    Returns:
        Its id: SHA-256 of the manifest.

    Raises:
        StoreError: `path` exists and is not to be replaced, or the disk is full.
    """
    path = Path(path)
    if overwrite and path.exists() and not manifest.has_schema(path / manifest.MANIFEST_NAME, SCHEMA):
        raise StoreError(f"{path} exists and is not a model bundle, so it is not replaced; choose another name")
    with atomic_directory(path, overwrite) as scratch:
        (scratch / "card.json").write_text(_json({"schema": SCHEMA, **asdict(surrogate.card)}), encoding="utf-8")
        for n, network in enumerate(surrogate.networks):
            weights = {name: value.contiguous() for name, value in network.state_dict().items()}
            (scratch / f"member_{n}.safetensors").write_bytes(save(weights))
        for table in surrogate.tables:
            (scratch / f"table_{table.cell_line}.json").write_text(_json(table.to_json()), encoding="utf-8")
        return manifest.write_manifest(scratch, SCHEMA)


def load_bundle(path: str | Path) -> Surrogate:
    """Read a bundle; nothing in it is executed.

    Raises:
        BundleError: `path` is no bundle, is damaged or incomplete, or was made by another version.
    """
    path = Path(path)
    try:
        bundle_id = manifest.verify(path, SCHEMA)
        card = _card(json.loads((path / "card.json").read_text(encoding="utf-8")))
        tables = tuple(
            MonoTable.from_json(json.loads((path / f"table_{name}.json").read_text(encoding="utf-8")))
            for name in card.line_names
        )
        networks = tuple(_network(path / f"member_{n}.safetensors", card) for n in range(len(card.std_scale)))
    except (OSError, FormatError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())  # torch lists weights that do not fit over many lines
        raise BundleError(f"{path} is not a usable model bundle: {reason}; train it again or fetch it anew") from error
    return Surrogate(networks, card, tables, bundle_id)


def _network(path: Path, card: ModelCard) -> KernelNetwork:
    network = KernelNetwork(NetworkConfig(**card.network))
    network.load_state_dict(load(path.read_bytes()))
    return network.eval()


def _card(data: Mapping[str, Any]) -> ModelCard:
    values = {name: value for name, value in data.items() if name != "schema"}
    for name in ("channels", "channel_low", "channel_high", "doses", "primaries", "std_scale"):
        values[name] = tuple(values[name])
    for name in ("cell_lines", "species_sets", "spacing_mm"):
        values[name] = tuple(tuple(row) for row in values[name])
    card = ModelCard(**values)
    if card.channels != channel_names():
        raise BundleError("the model was made for other input channels; use the version of surrogate3d that made it")
    return card


def _json(data: object) -> str:
    return json.dumps(data, indent=1, allow_nan=False)
