"""An ensemble of networks as a folder: JSON and safetensors, nothing executable.

```
BUNDLE/
  manifest.json             SHA-256 of every file, written last
  card.json                 what the model is, was trained on, and accepts
  member_0.safetensors ...  weights of the ensemble
```

Rooms keep models of their own so; what the card says besides the number of members is theirs.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from surrogate3d.errors import BundleError, StoreError
from surrogate3d.io import manifest
from surrogate3d.io.atomic import atomic_directory

LICENCE = "Apache-2.0"
"""Of the weights."""

CARD = "card.json"
Model = TypeVar("Model")
Network = TypeVar("Network", bound=nn.Module)
Weights = Mapping[str, Tensor]


def save_ensemble(
    networks: Sequence[nn.Module],
    card: Mapping[str, Any],
    path: str | Path,
    schema: str,
    kind: str,
    overwrite: bool = False,
) -> str:
    """Write an ensemble, whole or not at all.

    Args:
        networks: the members.
        card: as plain data, with "training"; the number of members and the licence are added.
        path: the folder.
        schema: name and version of the kind of model.
        kind: what it is called in messages, such as "model of response".
        overwrite: replace a folder of this kind.

    Returns:
        Its id: SHA-256 of the manifest.

    Raises:
        StoreError: `path` exists and is not to be replaced, or the disk is full.
        BundleError: the card has a number that is not finite.
    """
    path = Path(path)
    require_replaceable(path, schema, kind, overwrite)
    with atomic_directory(path, overwrite) as scratch:
        whole = {**card, "members": len(networks), "licence": LICENCE}
        (scratch / CARD).write_text(card_text(schema, whole), encoding="utf-8")
        for name, network in zip(member_names(len(networks)), networks, strict=True):
            write_weights(network, weights_path(scratch, name))
        return manifest.write_manifest(scratch, schema)


def load_ensemble(
    path: str | Path, schema: str, kind: str, build: Callable[[dict[str, Any], list[Weights], str], Model]
) -> Model:
    """Read an ensemble; nothing in it is executed.

    Args:
        path: the folder.
        schema: name and version that are read.
        kind: what it is called in messages, such as "model of response".
        build: makes the model of the card, the members' weights and the bundle's id; what does not fit, it raises.

    Raises:
        BundleError: `path` is no such model, is damaged or incomplete, or was made by another version.
    """
    path = Path(path)
    try:
        bundle_id = manifest.verify(path, schema)
        card = json.loads((path / CARD).read_text(encoding="utf-8"))
        names = member_names(card["members"])
        require_weights(path, names)
        return build(card, [read_weights(weights_path(path, name)) for name in names], bundle_id)
    except (OSError, LookupError, AttributeError, TypeError, ValueError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())  # torch lists weights that do not fit over many lines
        raise BundleError(f"{path} is not a usable {kind}: {reason}; train it again") from error


def member_names(n: int) -> list[str]:
    """Names of the members' files of weights, without their suffix."""
    return [f"member_{number}" for number in range(n)]


def weights_path(folder: Path, name: str) -> Path:
    """Where the weights of a network are."""
    return folder / f"{name}.safetensors"


def write_weights(network: nn.Module, path: Path) -> None:
    """Write the weights of a network."""
    path.write_bytes(save({name: value.contiguous() for name, value in network.state_dict().items()}))


def read_weights(path: Path) -> Weights:
    """Read weights; a file that is no safetensors raises a `SafetensorError`."""
    return load(path.read_bytes())


def with_weights(network: Network, weights: Weights) -> Network:
    """The network with these weights, in evaluation mode; weights that do not fit raise a `RuntimeError`."""
    network.load_state_dict(weights)
    return network.eval()


def card_text(schema: str, card: Mapping[str, Any]) -> str:
    """The card of a bundle as JSON; what is not known of the training (NaN) is null, as JSON has no other word for it.

    Raises:
        BundleError: a number is infinite, or one on which the answer depends is not known.
    """
    data = {"schema": schema, **card, "training": _with_nulls(card["training"])}
    try:
        return json.dumps(data, indent=1, allow_nan=False)
    except ValueError as error:
        raise BundleError(f"the card of the model has a number that is not finite ({error}); train it again") from error


def _with_nulls(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _with_nulls(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_with_nulls(value) for value in data]
    return None if isinstance(data, float) and math.isnan(data) else data


def require_weights(path: Path, names: Sequence[str]) -> None:
    """Refuse a bundle with other files of weights than its card asks for: a network fewer or more is another model.

    Raises:
        BundleError: a file is missing, or one is too many.
    """
    found = {file.stem for file in path.glob("*.safetensors")}
    if found != set(names):
        raise BundleError(
            f"expected weights of {', '.join(sorted(names))}, as the card says, found {', '.join(sorted(found))}"
        )


def require_replaceable(path: Path, schema: str, kind: str, overwrite: bool) -> None:
    """Refuse to replace what is not a bundle of the same kind.

    Raises:
        StoreError: something else lies at `path`, and it was to be replaced.
    """
    if overwrite and path.exists() and not manifest.has_schema(path / manifest.MANIFEST_NAME, schema):
        raise StoreError(f"{path} exists and holds no {kind}, so it is not replaced; choose another name")
