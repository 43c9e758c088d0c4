"""The model for plans without spectra, and the folder that carries it: JSON and safetensors, nothing executable.

```
BUNDLE/
  manifest.json                          SHA-256 of every file, written last
  card.json                              what the model is, was trained on, and accepts
  LET_d.safetensors ...                  weights of one network for each set of channels
```
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from surrogate3d.errors import BundleError, FormatError, UnknownNameError
from surrogate3d.io import manifest
from surrogate3d.io.atomic import atomic_directory
from surrogate3d.model.dose_channels import ChannelSet
from surrogate3d.model.ensemble_bundle import (
    card_text,
    read_weights,
    require_replaceable,
    require_weights,
    weights_path,
    with_weights,
    write_weights,
)
from surrogate3d.model.regression import RegressionNetwork, RegressionShape, SmoothPrior

REDUCED_SCHEMA = "surrogate3d.reduced_bundle/1"


@dataclass(frozen=True)
class VariantCard:
    """One network of the model, as plain data.

    Attributes:
        channel_set: which channels it sees.
        channels: their names, in order.
        channel_low: of each channel, the value below which few of the voxels trained on lie, in units of its standard
            deviation from its mean.
        channel_high: the value above which few lie, likewise.
        width: of the hidden layers.
        prior: what it corrects.
        std_scale: factor by which its predicted deviation is multiplied, so that it holds on a plan left out.
        left_out: what it was worth on plans left out of the training, as plain data.
    """

    channel_set: ChannelSet
    channels: tuple[str, ...]
    channel_low: tuple[float, ...]
    channel_high: tuple[float, ...]
    width: int
    prior: SmoothPrior
    std_scale: float
    left_out: list[dict[str, Any]] = field(default_factory=list)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> VariantCard:
        """From plain data.

        Raises:
            BundleError: the channels are those of another version.
        """
        values = dict(data)
        for name in ("channels", "channel_low", "channel_high"):
            values[name] = tuple(values[name])
        values["channel_set"] = ChannelSet(**values["channel_set"])
        values["prior"] = SmoothPrior.from_json(values["prior"])
        card = VariantCard(**values)
        if card.channels != card.channel_set.channels:
            raise BundleError("it was made for other input channels; use the version of surrogate3d that made it")
        return card


@dataclass(frozen=True)
class ReducedCard:
    """What a model is, as plain data.

    Attributes:
        variants: its networks.
        doses: dose ladder of the answer, Gy.
        cell_lines: name, alpha_x (1/Gy) and beta_x (1/Gy^2) of the lines trained on, made-up ones too.
        primaries: species of the training beams.
        let_definitions: by volume name, the LET definitions of the training fields.
        dose_name: which dose the training fields carried.
        spacing_mm: voxel sizes of the training fields.
        training: field ids, seeds, settings, versions.
        licence: of the weights.
    """

    variants: tuple[VariantCard, ...]
    doses: tuple[float, ...]
    cell_lines: tuple[tuple[str, float, float], ...]
    primaries: tuple[str, ...]
    let_definitions: dict[str, dict[str, Any]]
    dose_name: str
    spacing_mm: tuple[tuple[float, float, float], ...]
    training: dict[str, Any] = field(default_factory=dict)
    licence: str = "Apache-2.0"

    @property
    def alpha_x_range(self) -> tuple[float, float]:
        """Of the lines trained on, 1/Gy."""
        values = [alpha_x for _, alpha_x, _ in self.cell_lines]
        return min(values), max(values)

    @property
    def alpha_beta_range(self) -> tuple[float, float]:
        """alpha_x / beta_x of the lines trained on, Gy."""
        values = [alpha_x / beta_x for _, alpha_x, beta_x in self.cell_lines]
        return min(values), max(values)


@dataclass(frozen=True, eq=False)
class ReducedModel:
    """A loaded model.

    Attributes:
        networks: in evaluation mode, in the card's order of variants.
        card: what they are.
        bundle_id: SHA-256 of the bundle's manifest; empty before it is saved.
    """

    networks: tuple[RegressionNetwork, ...]
    card: ReducedCard
    bundle_id: str = ""

    def variant(self, channel_set: ChannelSet) -> tuple[RegressionNetwork, VariantCard]:
        """The network for a set of channels.

        Raises:
            UnknownNameError: there is none.
        """
        for network, card in zip(self.networks, self.card.variants, strict=True):
            if card.channel_set == channel_set:
                return network, card
        known = ", ".join(card.channel_set.name for card in self.card.variants)
        raise UnknownNameError(f"the model has no network for {channel_set.name}; it has {known}")


def save_reduced_bundle(model: ReducedModel, path: str | Path, overwrite: bool = False) -> str:
    """Write a bundle, whole or not at all.

    Returns:
        Its id: SHA-256 of the manifest.

    Raises:
        StoreError: `path` exists and is not to be replaced, or the disk is full.
        BundleError: the card does not fit the networks, or has a number that is not finite.
    """
    path, variants = Path(path), model.card.variants
    if len(model.networks) != len(variants):
        raise BundleError(f"the card is of {len(variants)} networks, the model has {len(model.networks)}")
    require_replaceable(path, REDUCED_SCHEMA, "model without spectra", overwrite)
    with atomic_directory(path, overwrite) as scratch:
        (scratch / "card.json").write_text(card_text(REDUCED_SCHEMA, asdict(model.card)), encoding="utf-8")
        for network, variant in zip(model.networks, variants, strict=True):
            write_weights(network, weights_path(scratch, variant.channel_set.name))
        return manifest.write_manifest(scratch, REDUCED_SCHEMA)


def load_reduced_bundle(path: str | Path) -> ReducedModel:
    """Read a bundle; nothing in it is executed.

    Raises:
        BundleError: `path` is no such bundle, is damaged or incomplete, or was made by another version.
    """
    path = Path(path)
    try:
        bundle_id = manifest.verify(path, REDUCED_SCHEMA)
        card = _card(json.loads((path / "card.json").read_text(encoding="utf-8")))
        require_weights(path, [variant.channel_set.name for variant in card.variants])
        networks = tuple(_network(path, variant) for variant in card.variants)
    except (OSError, FormatError, BundleError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())  # torch lists weights that do not fit over many lines
        raise BundleError(f"{path} is not a usable model without spectra: {reason}; train it again") from error
    return ReducedModel(networks, card, bundle_id)


def is_reduced_bundle(path: str | Path) -> bool:
    """Whether a folder says that it is a bundle of this kind, whatever its version; it may still be damaged."""
    return manifest.has_schema(Path(path) / manifest.MANIFEST_NAME, REDUCED_SCHEMA)


def _network(path: Path, variant: VariantCard) -> RegressionNetwork:
    network = RegressionNetwork(RegressionShape(len(variant.channels), variant.width))
    return with_weights(network, read_weights(weights_path(path, variant.channel_set.name)))


def _card(data: Mapping[str, Any]) -> ReducedCard:
    values = {name: value for name, value in data.items() if name != "schema"}
    values["variants"] = tuple(VariantCard.from_json(variant) for variant in values["variants"])
    for name in ("doses", "primaries"):
        values[name] = tuple(values[name])
    for name in ("cell_lines", "spacing_mm"):
        values[name] = tuple(tuple(row) for row in values[name])
    return ReducedCard(**values)
