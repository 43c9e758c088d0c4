"""Nested states become JSON and tensors, and come back exactly."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from surrogate3d.errors import StoreError, UnsupportedError
from surrogate3d.training.state_tree import decode, encode, fingerprint


@dataclass(frozen=True)
class Settings:
    steps: int = 3
    levels: tuple[float, ...] = (1.0, 0.1)


def there_and_back(tree):
    plain, tensors = encode(tree)
    return decode(json.loads(json.dumps(plain, allow_nan=False)), tensors)


@pytest.mark.parametrize(
    "tree",
    [
        None,
        True,
        7,
        2**127 + 1,  # the state of PCG64
        0.1,
        float(np.nextafter(1.0, 2.0)),
        5e-324,
        float("inf"),
        -float("inf"),
        "a text",
        [],
        (),
        {},
        [1, [2.5, (3, "four")]],
        {"betas": (0.9, 0.999), "params": [0, 1]},
        {0: {"step": 1}, 1: {}},
        {("a", 1): 2.0},
        {"tensor": "a key that looks like a mark"},
        {"float": 1.0, "tuple": 2},
        {"dict": []},
    ],
)
def test_plain_data_come_back_as_they_were(tree):
    found = there_and_back(tree)
    assert found == tree
    assert type(found) is type(tree)


def test_a_number_that_is_none_comes_back_as_such():
    assert np.isnan(there_and_back({"loss": float("nan")})["loss"])
    assert np.isnan(there_and_back(np.float64("nan")))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16, torch.uint8, torch.int64, torch.bool])
def test_tensors_come_back_bit_by_bit_and_are_copies(kind):
    given = torch.tensor([[0.0, 1.0, 3.0], [2.0, 1.0, 0.0]]).to(kind)
    _, tensors = encode({"a": given.T})
    found = there_and_back({"a": given.T, "b": given[0, 0], "c": given[:0]})
    given_before = given.clone()
    given.zero_()
    assert all(value.is_contiguous() for value in tensors.values())
    assert torch.equal(found["a"], given_before.T)
    assert found["a"].dtype == kind
    assert found["b"].shape == ()
    assert found["c"].shape == (0, 3)


def test_names_that_collide_keep_their_own_tensors():
    found = there_and_back({"a.b": torch.tensor(1), "a": {"b": torch.tensor(2)}})
    assert (int(found["a.b"]), int(found["a"]["b"])) == (1, 2)


def test_arrays_dataclasses_numpy_numbers_and_paths_become_their_plain_kin():
    found = there_and_back([np.arange(3), Settings(), np.int64(4), np.bool_(True), Path("a/b")])
    assert torch.equal(found[0], torch.arange(3))
    assert found[1:] == [{"steps": 3, "levels": (1.0, 0.1)}, 4, True, "a/b"]


@pytest.mark.parametrize("strange", [print, object(), {1, 2}, 1j, np.array(["text"]), Settings])
def test_what_is_no_data_is_refused_with_its_place(strange):
    with pytest.raises(UnsupportedError, match=r"state\.extra\.1"):
        encode({"extra": [0, strange]})


def test_a_missing_tensor_is_refused():
    plain, tensors = encode([torch.ones(2)])
    assert list(tensors) == ["state.0"]
    with pytest.raises(StoreError, match=r"state\.0 is missing"):
        decode(plain, {})


def test_a_fingerprint_depends_on_every_number_and_on_nothing_else():
    data = torch.arange(6.0).reshape(2, 3)
    same = fingerprint(Settings(), data, "HSG")
    assert same == fingerprint(Settings(), data.T.contiguous().T, "HSG")
    assert same == fingerprint(Settings(), data.numpy(), "HSG")
    changed = data.clone()
    changed[1, 2] = float(np.nextafter(np.float32(5.0), np.float32(6.0)))
    others = [
        fingerprint(Settings(steps=4), data, "HSG"),
        fingerprint(Settings(), changed, "HSG"),
        fingerprint(Settings(), data.reshape(3, 2), "HSG"),
        fingerprint(Settings(), data.double(), "HSG"),
        fingerprint(Settings(), data, "V79"),
        fingerprint(Settings(), data),
    ]
    assert len({same, *others}) == 1 + len(others)
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
