"""A mask of a plan's voxels as a short text, for model cards: bits, compressed, in base 64."""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError


def mask_to_text(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Plain data of a mask of any shape."""
    packed = zlib.compress(np.packbits(mask).tobytes(), 9)
    return {"shape": list(mask.shape), "bits": base64.b64encode(packed).decode("ascii")}


def mask_from_text(data: Mapping[str, Any]) -> npt.NDArray[np.bool_]:
    """The inverse of `mask_to_text`.

    Raises:
        FormatError: it is not such data.
    """
    try:
        shape = tuple(int(n) for n in data["shape"])
        size = int(np.prod(shape))
        bits = zlib.decompressobj().decompress(base64.b64decode(data["bits"], validate=True), (size + 7) // 8 + 1)
        if len(bits) != (size + 7) // 8:
            raise FormatError(f"a mask of {shape} voxels has {len(bits)} bytes; the card is damaged")
        return np.unpackbits(np.frombuffer(bits, dtype=np.uint8), count=size).astype(bool).reshape(shape)
    except (KeyError, TypeError, ValueError, binascii.Error, zlib.error) as error:
        raise FormatError(f"not a mask of voxels: {error}; the card is damaged") from error
