"""A trained surrogate, and the folder that carries all it needs: JSON and safetensors, nothing executable.

```
BUNDLE/
  manifest.json             SHA-256 of every file, written last
  card.json                 what the model is, was trained on, and accepts
  member_0.safetensors ...  weights of the ensemble
  domain.safetensors        spectra that stand for those trained on
  table_HSG.json ...        mono-energetic table of each cell line
```
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from surrogate3d.errors import BundleError, UnknownNameError
from surrogate3d.io import manifest
from surrogate3d.io.atomic import atomic_directory
from surrogate3d.model.channels import channel_names
from surrogate3d.model.ensemble_bundle import (
    card_text,
    member_names,
    read_weights,
    require_replaceable,
    require_weights,
    weights_path,
    with_weights,
    write_weights,
)
from surrogate3d.model.network import KernelNetwork, NetworkConfig
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.mixing import MonoTable

SCHEMA = "surrogate3d.bundle/2"


@dataclass(frozen=True)
class ModelCard:
    """What a model is, as plain data.

    Attributes:
        network: `NetworkConfig` as a dictionary.
        channels: names of the network's channels, in order.
        doses: dose ladder of the answer, Gy.
        cell_lines: name, alpha_x (1/Gy) and beta_x (1/Gy^2) of each cell line, in order.
        edges_mev_u: energy bin edges by species, MeV/u.
        species_sets: species of the training fields.
        primaries: species of the training beams.
        let_definitions: by volume name, the LET definitions of the training fields.
        dose_name: which dose the training fields carried.
        spacing_mm: voxel sizes of the training fields.
        members: number of networks.
        calibration: of the predicted deviation, as of `inference.calibration.Calibration.to_json`; empty without one.
        training: field ids, voxels, seeds, settings, versions.
        licence: of the weights.
    """

    network: dict[str, Any]
    channels: tuple[str, ...]
    doses: tuple[float, ...]
    cell_lines: tuple[tuple[str, float, float], ...]
    edges_mev_u: dict[str, list[float]]
    species_sets: tuple[tuple[str, ...], ...]
    primaries: tuple[str, ...]
    let_definitions: dict[str, dict[str, Any]]
    dose_name: str
    spacing_mm: tuple[tuple[float, float, float], ...]
    members: int
    calibration: dict[str, Any] = field(default_factory=dict)
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
        domain: spectra that the model was trained on, as of `inference.spectrum_domain.SpectrumDomain.to_arrays`.
        bundle_id: SHA-256 of the bundle's manifest; empty before it is saved.
    """

    networks: tuple[KernelNetwork, ...]
    card: ModelCard
    tables: tuple[MonoTable, ...]
    domain: Mapping[str, npt.NDArray[np.generic]]
    bundle_id: str = ""

    @property
    def guide(self) -> MonoTable:
        """Table of the cell line from which the channels are made."""
        return self.tables[0]

    @property
    def guide_alpha_x(self) -> float:
        """Photon alpha of that line, 1/Gy."""
        return self.card.cell_lines[0][1]

    def table_of(self, line: CellLine) -> MonoTable:
        """Table of a cell line that the model was trained with.

        Raises:
            UnknownNameError: it was not.
            BundleError: it was, with another photon reference.
        """
        photon = {name: (a, b) for name, a, b in self.card.cell_lines}.get(line.name)
        if photon is None:
            known = ", ".join(self.card.line_names)
            raise UnknownNameError(
                f"the model has no table of the cell line {line.name!r}; it has those of {known}; give one"
            )
        if not np.allclose(photon, (line.alpha_x, line.beta_x), rtol=1e-6):
            raise BundleError(f"cell line {line.name} has another photon reference than the model was trained with")
        return self.tables[self.card.line_names.index(line.name)]


def save_bundle(surrogate: Surrogate, path: str | Path, overwrite: bool = False) -> str:
    """Write a bundle, whole or not at all.

    Returns:
        Its id: SHA-256 of the manifest.

    Raises:
        StoreError: `path` exists and is not to be replaced, or the disk is full.
        BundleError: the card does not fit the networks and tables, or has a number that is not finite.
    """
    path = Path(path)
    if len(surrogate.networks) != surrogate.card.members:
        raise BundleError(f"the card is of {surrogate.card.members} networks, the model has {len(surrogate.networks)}")
    _require_tables(surrogate.card, surrogate.tables)
    require_replaceable(path, SCHEMA, "model bundle", overwrite)
    with atomic_directory(path, overwrite) as scratch:
        (scratch / "card.json").write_text(card_text(SCHEMA, asdict(surrogate.card)), encoding="utf-8")
        for name, network in zip(member_names(surrogate.card.members), surrogate.networks, strict=True):
            write_weights(network, weights_path(scratch, name))
        (scratch / "domain.safetensors").write_bytes(save_arrays(dict(surrogate.domain)))
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
        _require_tables(card, tables)
        names = member_names(card.members)
        require_weights(path, [*names, "domain"])
        networks = tuple(_network(weights_path(path, name), card) for name in names)
        domain = load_arrays((path / "domain.safetensors").read_bytes())
    except (OSError, LookupError, AttributeError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())  # torch lists weights that do not fit over many lines
        raise BundleError(f"{path} is not a usable model bundle: {reason}; train it again or fetch it anew") from error
    return Surrogate(networks, card, tables, domain, bundle_id)


def _network(path: Path, card: ModelCard) -> KernelNetwork:
    return with_weights(KernelNetwork(NetworkConfig(**card.network)), read_weights(path))


def _card(data: Mapping[str, Any]) -> ModelCard:
    values = {name: value for name, value in data.items() if name != "schema"}
    for name in ("channels", "doses", "primaries"):
        values[name] = tuple(values[name])
    for name in ("cell_lines", "species_sets", "spacing_mm"):
        values[name] = tuple(tuple(row) for row in values[name])
    values["network"] = {k: tuple(v) if isinstance(v, list) else v for k, v in values["network"].items()}
    card = ModelCard(**values)
    if card.channels != channel_names():
        raise BundleError("the model was made for other input channels; use the version of surrogate3d that made it")
    return card


def _require_tables(card: ModelCard, tables: Sequence[MonoTable]) -> None:
    found = tuple(table.cell_line for table in tables)
    if found != card.line_names:
        raise BundleError(f"expected the tables of {', '.join(card.line_names)}, found those of {', '.join(found)}")


def _json(data: object) -> str:
    return json.dumps(data, indent=1, allow_nan=False)
