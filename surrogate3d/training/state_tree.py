"""Nested state of a training as JSON and named tensors, exactly and back: no pickle, nothing executable.

Texts, whole numbers, truth values and None are JSON as they are. Finite floats are too: their shortest decimal form is
exact. What JSON lacks is an object of one key: `{"tensor": name}`, `{"float": "nan"}`, `{"tuple": [...]}`, and
`{"dict": [[key, value], ...]}` for dictionaries whose keys are not texts, or look like one of these objects.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surrogate3d.errors import StoreError, UnsupportedError

_MARKS = frozenset({"tensor", "float", "tuple", "dict"})


def encode(tree: object, where: str = "state") -> tuple[Any, dict[str, Tensor]]:
    """Split a nested state.

    Args:
        tree: dictionaries, lists, tuples, dataclasses, texts, numbers, truth values, None, paths, tensors, numpy arrays
            and numbers, in any nesting.
        where: its name, for messages and as first part of the tensors' names.

    Returns:
        Plain data of standard JSON, and the tensors by name: contiguous copies in main memory.

    Raises:
        UnsupportedError: something else is in it, such as a function.
    """
    tensors: dict[str, Tensor] = {}
    return _encoded(tree, where, tensors), tensors


def decode(plain: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The inverse of `encode`; dataclasses come back as dictionaries, arrays as tensors, paths as texts.

    Raises:
        StoreError: a tensor is missing.
    """
    if isinstance(plain, list):
        return [decode(value, tensors) for value in plain]
    if not isinstance(plain, dict):
        return plain
    if len(plain) == 1 and (mark := next(iter(plain))) in _MARKS:
        return _marked(mark, plain[mark], tensors)
    return {key: decode(value, tensors) for key, value in plain.items()}


def fingerprint(*parts: object) -> str:
    """SHA-256 of nested states as of `encode`: equal if and only if all their numbers, texts and tensors are equal.

    Raises:
        UnsupportedError: as `encode`.
    """
    plain, tensors = encode(parts)
    return digest(json.dumps(plain, sort_keys=True, allow_nan=False), tensors)


def digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of a text and of contiguous tensors in main memory with their names, types and shapes."""
    total = hashlib.sha256(text.encode())
    for name, value in sorted(tensors.items()):
        total.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        total.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def _encoded(value: Any, where: str, tensors: dict[str, Tensor]) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else {"float": repr(float(value))}
    if isinstance(value, Tensor | np.ndarray):
        name = where
        while name in tensors:  # "a.b" may be one key, or two
            name += "~"
        tensors[name] = _copied(value, where)
        return {"tensor": name}
    if isinstance(value, np.generic):
        return _encoded(value.item(), where, tensors)
    if isinstance(value, list | tuple):
        items = [_encoded(item, f"{where}.{n}", tensors) for n, item in enumerate(value)]
        return items if isinstance(value, list) else {"tuple": items}
    if isinstance(value, Mapping):
        return _encoded_mapping(value, where, tensors)
    if is_dataclass(value) and not isinstance(value, type):
        return _encoded(asdict(value), where, tensors)
    if isinstance(value, PurePath):
        return str(value)
    raise UnsupportedError(
        f"{where} is a {type(value).__name__}; a checkpoint keeps numbers, texts, tensors and arrays of them only"
    )


def _encoded_mapping(value: Mapping[Any, Any], where: str, tensors: dict[str, Tensor]) -> dict[str, Any]:
    items = [(key, _encoded(item, f"{where}.{key}", tensors)) for key, item in value.items()]
    if all(isinstance(key, str) for key, _ in items) and not (len(items) == 1 and items[0][0] in _MARKS):
        return dict(items)
    return {"dict": [[_encoded(key, f"{where} (key)", tensors), item] for key, item in items]}


def _copied(value: Tensor | np.ndarray[Any, Any], where: str) -> Tensor:
    if isinstance(value, np.ndarray):
        try:
            value = torch.from_numpy(np.array(value, order="C"))
        except TypeError as error:
            raise UnsupportedError(f"{where} is an array of {value.dtype}, which no tensor can hold") from error
    return value.detach().to("cpu", copy=True).contiguous()


def _marked(mark: str, value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if mark == "float":
        return float(value)
    if mark == "tuple":
        return tuple(decode(item, tensors) for item in value)
    if mark == "dict":
        return {decode(key, tensors): decode(item, tensors) for key, item in value}
    if value not in tensors:
        raise StoreError(f"the tensor {value} is missing")
    return tensors[value]
