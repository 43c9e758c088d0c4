"""A training that can be killed at any moment and taken up again, to weights that are identical to the last bit.

One file of safetensors: the tensors, and in its header JSON with all that is no tensor (`state_tree`) and a SHA-256
over everything. One file, because only the renaming of a file onto another has no moment without either: a kill leaves
the old checkpoint or the new one. Nothing in it is executed when it is read.

What is not in it: non-persistent buffers of the network, the position of data loaders, and generators that were split
off another (`Generator.spawn`); a loop that needs these keeps them in `extra`. Sums of floats depend on the device, the
version of torch and the number of threads. Version and kind of device are checked; threads belong in the fingerprint.
"""

from __future__ import annotations

import glob
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from surrogate3d.errors import StoreError
from surrogate3d.io.atomic import atomic_file
from surrogate3d.training.state_tree import decode, digest, encode

SCHEMA = "surrogate3d.checkpoint/1"


@dataclass(frozen=True)
class Checkpoint:
    """Where a training stands, apart from the states that `restore` puts back into their objects.

    Attributes:
        step: optimiser steps that were done.
        extra: what the loop keeps beside: its history, early stopping, best weights. Tensors are in main memory.
    """

    step: int
    extra: dict[str, Any]

    @staticmethod
    def write(
        path: str | Path,
        network: nn.Module,
        optimiser: Optimizer,
        schedule: LRScheduler,
        rng: np.random.Generator,
        step: int,
        extra: Mapping[str, Any],
        *,
        fingerprint: str,
    ) -> None:
        """Write a checkpoint in place of an older one, whole or not at all; it is on disk when this returns.

        Draws no random number and changes no argument, so that how often it is called decides nothing.

        Args:
            path: the file, such as `member_0.checkpoint.safetensors`.
            network: its parameters and persistent buffers are kept.
            optimiser: of these parameters.
            schedule: of the optimiser's learning rate.
            rng: from which the loop draws; torch's own generators are kept too.
            step: optimiser steps that were done.
            extra: nested plain data, tensors and arrays; see `state_tree`.
            fingerprint: of configuration and data, from `state_tree.fingerprint`.

        Raises:
            StoreError: the disk is full or not writable.
            UnsupportedError: a state has something that is neither data nor tensor.
        """
        state = {
            "network": network.state_dict(),
            "optimiser": optimiser.state_dict(),
            "schedule": schedule.state_dict(),
            "rng": rng.bit_generator.state,
            "torch_rng": _torch_generators(),
            "step": int(step),
            "extra": dict(extra),
        }
        plain, tensors = encode(state)
        made = {"schema": SCHEMA, "fingerprint": fingerprint, **_machine(network), "state": plain}
        header = json.dumps(made, allow_nan=False)
        with atomic_file(path, overwrite=True, expected_bytes=sum(t.nbytes for t in tensors.values())) as scratch:
            save_file(tensors, scratch, {"checkpoint": header, "sha256": digest(header, tensors)})

    @staticmethod
    def restore(
        path: str | Path,
        network: nn.Module,
        optimiser: Optimizer,
        schedule: LRScheduler,
        rng: np.random.Generator,
        *,
        fingerprint: str,
    ) -> Checkpoint | None:
        """Put a training back to where its checkpoint was written.

        Everything is checked first: after a refusal all arguments are as they were.

        Args:
            path: the file.
            network: of the same form; its weights are replaced.
            optimiser: likewise.
            schedule: likewise; it must have been made before, as making it changes the optimiser.
            rng: likewise; torch's own generators are put back too.
            fingerprint: of configuration and data.

        Returns:
            Step and `extra`; None where there is no checkpoint yet, and the training begins.

        Raises:
            StoreError: the file cannot be read, is damaged or is no checkpoint; it is of another training, version of
                torch or kind of device.
        """
        path = Path(path)
        for left in path.parent.glob(f".partial-*-{glob.escape(path.name)}"):
            left.unlink(missing_ok=True)  # what a killed process was writing
        if not path.exists():
            return None
        header, tensors = _read(path)
        _require_same(path, header, {"fingerprint": fingerprint, **_machine(network)})
        state = _state(path, header, tensors)
        _require_fit(path, network, state["network"])
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        rng.bit_generator.state = state["rng"]
        _set_torch_generators(state["torch_rng"])
        return Checkpoint(state["step"], state["extra"])


def _torch_generators() -> dict[str, Any]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # type: ignore[no-untyped-call]  # torch's
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def _set_torch_generators(states: Mapping[str, Any]) -> None:
    torch.set_rng_state(states["cpu"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])


def _machine(network: nn.Module) -> dict[str, str]:
    """On what the last digits depend."""
    device = next((p.device.type for p in network.parameters()), "cpu")
    return {"torch": str(torch.__version__), "device": device}


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as stream:
            given = stream.metadata() or {}
            tensors = {name: stream.get_tensor(name) for name in stream.keys()}  # noqa: SIM118  # it is no mapping
        header = json.loads(given["checkpoint"])
        whole = header["schema"] == SCHEMA and given["sha256"] == digest(given["checkpoint"], tensors)
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise StoreError(f"{path} is no checkpoint of a training ({reason}); remove it to begin anew") from error
    if not whole:
        raise StoreError(f"{path} is damaged, or of another version; remove it to begin the training anew")
    return header, tensors


def _require_same(path: Path, header: Mapping[str, Any], expected: Mapping[str, str]) -> None:
    if header["fingerprint"] != expected["fingerprint"]:
        raise StoreError(
            f"{path} is of another training: configuration or data differ (fingerprint {header['fingerprint'][:12]}, "
            f"this one has {expected['fingerprint'][:12]}); go on with those, or give another place for checkpoints"
        )
    for what in ("torch", "device"):
        if header[what] != expected[what]:
            raise StoreError(
                f"{path} was written with {what} {header[what]}, and this is {expected[what]}: weights would differ in "
                "the last digits; go on there, or begin anew with another place for checkpoints"
            )


def _state(path: Path, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    try:
        return dict(decode(header["state"], tensors))
    except StoreError as error:
        raise StoreError(f"{path} is damaged: {error}; remove it to begin the training anew") from error


def _require_fit(path: Path, network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    own = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    kept = {name: tuple(value.shape) for name, value in weights.items()}
    if own != kept:
        name = next(n for n in (own | kept) if own.get(n) != kept.get(n))
        raise StoreError(
            f"{path} does not fit the network: {name} has shape {kept.get(name)} there and {own.get(name)} here; "
            "remove it to begin the training anew"
        )
