"""A surrogate as the folder of a MONAI bundle.

```
FOLDER/
  configs/metadata.json    what it is; MONAI's schema for bundles
  configs/inference.yaml   the workflow: field stores in, maps out
  models/model.pt          state of the network, plain tensors (`torch.load` with weights_only=True)
  models/model.safetensors the same
  models/surrogate3d/      our bundle unchanged: card, tables, domain, calibration
  docs/README.md
  LICENSE                  of the weights
```
"""

from __future__ import annotations

import json
import shutil
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from surrogate3d.errors import UnsupportedError
from surrogate3d.model.bundle import ModelCard, Surrogate
from surrogate3d.pipeline.monai_network import dense_network, image_channels, output_channels, widest_species

SCHEMA_URL = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20240725.json"
"""Of `configs/metadata.json`; MONAI's own, 25 July 2024."""

OWN_BUNDLE = "models/surrogate3d"
"""Our bundle in the folder."""


def write_monai_bundle(surrogate: Surrogate, source: Path, folder: Path) -> None:
    """Write the folder.

    Args:
        surrogate: the model.
        source: its bundle.
        folder: an empty directory.

    Raises:
        UnsupportedError: MONAI is not installed, so nobody could say for which version this is.
    """
    about = metadata(surrogate)
    for part in ("configs", "models", "docs"):
        (folder / part).mkdir()
    own = shutil.copytree(source, folder / OWN_BUNDLE)
    network = dense_network(own, surrogate.card.line_names[0])
    for blank, trained in zip(network.ensemble.networks, surrogate.networks, strict=True):
        blank.load_state_dict(trained.state_dict())
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    torch.save(weights, folder / "models" / "model.pt")
    save_file(weights, folder / "models" / "model.safetensors")
    _write(folder / "configs" / "metadata.json", json.dumps(about, indent=1, allow_nan=False) + "\n")
    _write(folder / "configs" / "inference.yaml", _template("monai_inference.yaml"))
    _write(folder / "docs" / "README.md", _readme(surrogate))
    _write(folder / "LICENSE", licence_text(surrogate.card.licence))


def metadata(surrogate: Surrogate) -> dict[str, Any]:
    """What `configs/metadata.json` says."""
    card, own = surrogate.card, version("surrogate3d")
    return {
        "schema": SCHEMA_URL,
        "version": own,
        "changelog": {own: f"exported from the surrogate3d bundle {surrogate.bundle_id}"},
        "monai_version": _monai_version(),
        "pytorch_version": version("torch").partition("+")[0],
        "numpy_version": version("numpy"),
        "required_packages_version": {"surrogate3d": own, "safetensors": version("safetensors"), "fire": "0.7.1"},
        "task": "Maps of cell survival and RBE from the radiation field of a proton or ion plan",
        "description": (
            "An ensemble of kernel-predicting 3-D CNNs that denoise the energy spectra of each species of a Monte "
            "Carlo radiation field, apply mono-energetic tables of a cell line, and correct the effect."
        ),
        "authors": "The surrogate3d developers",
        "copyright": f"Weights under {card.licence}",
        "data_source": "Simulations only: OpenTOPAS fields, direct simulation of survival; see models/surrogate3d",
        "data_type": "zarr",
        "image_classes": "accumulators of each species and band of energy of one field; see channel_def",
        "pred_classes": "effect -ln S at each dose, and the logarithm of its relative standard deviation",
        "intended_use": "Research only, not for clinical use",
        "network_data_format": _data_format(card),
    }


def _data_format(card: ModelCard) -> dict[str, Any]:
    """Input and output of the network for the widest set of species."""
    channels = {"inputs": image_channels(card, widest_species(card)), "outputs": output_channels(card)}
    names = {"inputs": "image", "outputs": "pred"}
    ranges = {"inputs": [0, 1e6], "outputs": [-8, 1e3]}
    return {
        side: {
            names[side]: {
                "type": "image",
                "format": "accumulators" if side == "inputs" else "effect",
                "num_channels": len(named),
                "spatial_shape": ["*", "*", "*"],
                "dtype": "float32",
                "value_range": ranges[side],
                "is_patch_data": False,
                "channel_def": {str(number): name for number, name in enumerate(named)},
            }
        }
        for side, named in channels.items()
    }


def licence_text(licence: str) -> str:
    """Text of the licence of the weights: in full where it is our own, else by its name."""
    own = distribution("surrogate3d")
    text = own.read_text("licenses/LICENSE")
    if text and licence == own.metadata["License-Expression"]:
        return text
    return f"The weights are licensed under {licence} (an SPDX identifier); see https://spdx.org/licenses/.\n"


def _monai_version() -> str:
    try:
        return version("monai")
    except PackageNotFoundError as error:
        raise UnsupportedError("a MONAI bundle needs monai; pip install 'surrogate3d[export]'") from error


def _readme(surrogate: Surrogate) -> str:
    card = surrogate.card
    values = {
        "bundle_id": surrogate.bundle_id,
        "members": str(card.members),
        "species": " or ".join("+".join(names) for names in card.species_sets),
        "cell_lines": ", ".join(card.line_names),
        "doses": f"{card.doses[0]:g} to {card.doses[-1]:g} Gy",
        "n_channels": str(len(image_channels(card, widest_species(card)))),
        "widest": "+".join(widest_species(card)),
        "licence": card.licence,
    }
    text = _template("monai_readme.md")
    for name, value in values.items():
        text = text.replace(f"[{name}]", value)
    return text


def _template(name: str) -> str:
    return (files("surrogate3d.pipeline") / "data" / name).read_text(encoding="utf-8")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
