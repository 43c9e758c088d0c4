"""The records of a ledger: a response packed into bytes, and the note of a voxel that failed."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from surrogate3d.direct.task import VoxelResponse
from surrogate3d.errors import ValueRangeError

_SHARED = ("cell_line", "field_id", "doses", "seed", "backend", "outside")
_CURVES = ("survival", "survival_se", "effect", "effect_se")
_SCALARS = (
    "alpha", "alpha_se", "beta", "beta_se", "D10", "D10_se",
    "RBE10", "RBE10_se", "RBE_ref", "RBE_ref_se", "explained",
)  # fmt: skip

Shared = tuple[str, str, tuple[float, ...], int, str, str]
"""What many responses have in common: cell line, field, doses in Gy, seed, back end, why they are outside of it."""


@dataclass(frozen=True)
class VoxelFailure:
    """A voxel that has no response, and why.

    Attributes:
        cell_line: name.
        voxel: index (i, j, k) in the field.
        field_id: which field.
        reason: one line.
    """

    cell_line: str
    voxel: tuple[int, int, int]
    field_id: str
    reason: str

    def __str__(self) -> str:
        return f"voxel {self.voxel} of field {self.field_id[:12]!r}, {self.cell_line}: {self.reason}"


@lru_cache(maxsize=64)
def _layout(n_doses: int) -> struct.Struct:
    """Voxel and nuclei as integers, then the curves and the scalars."""
    return struct.Struct(f"<4q{len(_CURVES) * n_doses + len(_SCALARS)}d")


def shared(response: VoxelResponse) -> Shared:
    """What a response has in common with others."""
    return response.cell_line, response.field_id, response.doses, response.seed, response.backend, response.outside


def shared_text(values: Shared) -> str:
    """As one line of JSON."""
    return json.dumps(dict(zip(_SHARED, values, strict=True)), allow_nan=False, sort_keys=True)


def parsed_shared(text: str) -> dict[str, Any]:
    """The inverse of `shared_text`, as named values."""
    values: dict[str, Any] = json.loads(text)
    return values | {"doses": tuple(values["doses"])}


def pack(r: VoxelResponse) -> bytes:
    """All that is a response's own; floats exactly.

    Raises:
        ValueRangeError: a number is not finite (`explained` may be unknown), or a curve is not as long as `doses`.
    """
    scalars = (r.alpha, r.alpha_se, r.beta, r.beta_se, r.D10, r.D10_se, r.RBE10, r.RBE10_se, r.RBE_ref, r.RBE_ref_se)
    numbers = (*r.survival, *r.survival_se, *r.effect, *r.effect_se, *scalars)
    if not math.isfinite(sum(numbers)) or math.isinf(r.explained):
        raise ValueRangeError(f"the response of voxel {r.voxel} is not finite: {', '.join(_not_finite(r))}")
    try:
        return _layout(len(r.doses)).pack(*r.voxel, r.n_nuclei, *numbers, r.explained)
    except struct.error as error:
        raise ValueRangeError(f"the response of voxel {r.voxel} is not one value per dose: {error}") from error


def unpack(common: dict[str, Any], record: bytes) -> VoxelResponse:
    """The inverse of `pack`.

    Raises:
        struct.error: the record has another length.
    """
    n = len(common["doses"])
    i, j, k, n_nuclei, *numbers = _layout(n).unpack(record)
    own: dict[str, Any] = {name: tuple(numbers[n * c : n * (c + 1)]) for c, name in enumerate(_CURVES)}
    own |= zip(_SCALARS, numbers[n * len(_CURVES) :], strict=True)
    return VoxelResponse(voxel=(i, j, k), n_nuclei=n_nuclei, **common, **own)


def _not_finite(r: VoxelResponse) -> list[str]:
    """Names of what is not finite."""
    curves = [name for name in _CURVES if not math.isfinite(sum(getattr(r, name)))]
    return curves + [name for name in _SCALARS if not math.isfinite(getattr(r, name))]
