"""A mask as text is read back exactly, or refused."""

import base64
import json
import zlib

import numpy as np
import pytest

from surrogate3d.errors import FormatError
from surrogate3d.model.mask_text import mask_from_text, mask_to_text

MASK = np.random.default_rng(1).random((5, 7, 11)) < 0.3


@pytest.mark.parametrize("shape", [(5, 7, 11), (1, 1, 1), (2, 2, 2), (3,), (), (0, 4)])
@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_a_mask_comes_back_through_json(shape, share):
    mask = np.asarray(np.random.default_rng(2).random(shape) < share)
    found = mask_from_text(json.loads(json.dumps(mask_to_text(mask), allow_nan=False)))
    assert found.dtype == bool
    assert found.shape == shape
    np.testing.assert_array_equal(found, mask)


def test_any_memory_order_is_the_same_text():
    assert mask_to_text(np.asfortranarray(MASK)) == mask_to_text(MASK)


def test_a_large_mask_of_few_parts_is_short():
    mask = np.zeros((100, 100, 100), bool)
    mask[20:70, 30:60, 10:80] = True
    assert len(mask_to_text(mask)["bits"]) < 2000


def packed(content):
    return base64.b64encode(zlib.compress(content)).decode("ascii")


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [5, 7, 12]},
        {"shape": [5, 7]},
        {"shape": [-5, -7, 11]},
        {"shape": None},
        {"shape": ["wide", 7, 11]},
        {"shape": [10**9, 10**9, 10**9]},
        {"bits": "no base 64!"},
        {"bits": base64.b64encode(b"not compressed").decode("ascii")},
        {"bits": packed(b"\0" * 10)},
        {"bits": packed(b"\0" * 10**6)},
        {"bits": 7},
    ],
)
def test_a_damaged_mask_is_refused(change):
    with pytest.raises(FormatError, match="the card is damaged") as caught:
        mask_from_text({**mask_to_text(MASK), **change})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", ["shape", "bits"])
def test_a_mask_without_all_its_parts_is_refused(key):
    data = mask_to_text(MASK)
    del data[key]
    with pytest.raises(FormatError, match=f"not a mask of voxels: '{key}'"):
        mask_from_text(data)


def test_a_cut_mask_is_refused():
    data = mask_to_text(MASK)
    content = base64.b64decode(data["bits"])
    with pytest.raises(FormatError):
        mask_from_text({**data, "bits": base64.b64encode(content[: len(content) // 2]).decode("ascii")})
