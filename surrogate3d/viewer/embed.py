"""A scene inside a page: its manifest, and its arrays as text within a budget.

What does not fit is rounded to 8 bits, then fewer voxels can be clicked, then every n-th voxel is kept; nothing is ever
averaged, and the manifest says all of it: `step` is the largest rounding of a layer, `stride` is n of the layers, and
`voxels.data.stride` n of the voxels with curves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import UnsupportedError, ValueRangeError
from surrogate3d.viewer.encode import Encoded, encode_fraction, encode_integers, encode_list, encode_volume
from surrogate3d.viewer.scene import Scene, Sliceable
from surrogate3d.viewer.voxels import VoxelData

BUDGET_BYTES = 11_000_000
"""Of the text of all arrays: a page with its program and figures then stays under 15 MB."""

SCENE_ID = "s3d-scene"
BLOCK_ID = "s3d-data-"


@dataclass(frozen=True)
class EmbeddedScene:
    """A scene as text.

    Attributes:
        manifest: with `data` for each layer, structure and for the voxels.
        blocks: text of each block, by the `id` of its element.
    """

    manifest: dict[str, Any]
    blocks: dict[str, str]

    @property
    def n_bytes(self) -> int:
        """Length of all blocks."""
        return sum(map(len, self.blocks.values()))

    def html(self) -> str:
        """Script elements that hold the scene; nothing in them can end their element."""
        words = json.dumps(self.manifest, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
        scene = f'<script type="application/json" id="{SCENE_ID}">{words}</script>'
        blocks = (f'<script type="text/plain" id="{name}">{text}</script>' for name, text in self.blocks.items())
        return "\n".join([scene, *blocks])


@dataclass(frozen=True)
class _Form:
    """How a scene is embedded: bits of layers, their stride, and that of voxels."""

    bits: int
    stride: int
    voxel_stride: int


def _forms() -> Iterator[_Form]:
    """From the best to the smallest."""
    yield from (_Form(16, 1, 1), _Form(8, 1, 1), _Form(8, 1, 2), _Form(8, 1, 3))
    for stride in count(2):
        yield _Form(8, stride, 2 * stride)


def embed(scene: Scene, budget_bytes: int = BUDGET_BYTES) -> EmbeddedScene:
    """Embed a scene in the best form that fits.

    Args:
        scene: its voxels must be `VoxelData`.
        budget_bytes: largest length of the text of all arrays.

    Raises:
        UnsupportedError: the voxels are not in memory.
        ValueRangeError: a value is infinite, or not even every 16th voxel fits.
    """
    if scene.voxels is not None and not isinstance(scene.voxels, VoxelData):
        raise UnsupportedError("only voxels in memory can be embedded in a page; serve this scene (surrogate3d view)")
    for form in _forms():
        if form.stride > 16:
            break
        found = _Blocks(scene, form, budget_bytes)
        if found.fits:
            return found.embedded()
    raise ValueRangeError(f"the scene does not fit into {budget_bytes} bytes; serve it instead (surrogate3d view)")


class _Blocks:
    """A scene in one form, as far as it fits."""

    def __init__(self, scene: Scene, form: _Form, budget_bytes: int) -> None:
        self._scene, self._form, self._left = scene, form, budget_bytes
        self._blocks: dict[str, str] = {}
        self._layers: list[dict[str, Any]] = []
        self._structures: list[dict[str, Any]] = []
        self._voxels: dict[str, Any] | None = None
        for fill in (self._fill_voxels, self._fill_structures, self._fill_layers):
            if self.fits:
                fill()

    @property
    def fits(self) -> bool:
        """Whether there is room left."""
        return self._left >= 0

    def embedded(self) -> EmbeddedScene:
        """The whole."""
        manifest = self._scene.manifest()
        for layer, entry in zip(manifest["layers"], self._layers, strict=True):
            layer |= entry
        for structure, data in zip(manifest["structures"], self._structures, strict=True):
            structure["data"] = data
        if self._voxels is not None:
            manifest["voxels"]["data"] = self._voxels
        return EmbeddedScene({**manifest, "stride": self._form.stride}, self._blocks)

    def _fill_layers(self) -> None:
        for layer in self._scene.layers:
            if self.fits:
                found = encode_volume(self._kept(layer.values), self._form.bits)
                self._layers.append({"step": found.rounding, "data": self._added(found)})

    def _fill_structures(self) -> None:
        for structure in self._scene.structures:
            self._structures.append(self._added(encode_fraction(self._kept(structure.fraction))))

    def _fill_voxels(self) -> None:
        data, n = self._scene.voxels, self._form.voxel_stride
        if not isinstance(data, VoxelData):
            return
        at = np.argwhere(data.mask)
        kept = np.flatnonzero((at % n == 0).all(axis=1))
        index = np.ravel_multi_index(tuple(at[kept].T), data.mask.shape)
        effect = np.asarray(data.effect[kept], dtype=float)
        logarithm = np.log(effect, out=np.full(effect.shape, np.nan), where=effect > 0)
        parts = {
            "index": encode_integers(index, 32),
            "effect": encode_list(logarithm),
            "half_width": encode_list(data.half_width[kept]),
        }
        fluence = data.fluence_of(kept)
        if fluence is not None and data.bins is not None:
            parts["spectrum"] = _spectra(fluence, np.asarray(data.bins.dose_per_fluence, dtype=np.float32))
        self._voxels = {"stride": n, "n": len(kept)} | {name: self._added(part) for name, part in parts.items()}

    def _kept(self, values: Sliceable) -> npt.NDArray[np.floating]:
        """Every n-th voxel, in memory."""
        every = slice(None, None, self._form.stride)
        return np.asarray(values[:, :, :], dtype=np.float32)[every, every, every]

    def _added(self, found: Encoded) -> dict[str, Any]:
        name = f"{BLOCK_ID}{len(self._blocks)}"
        self._blocks[name] = found.text
        self._left -= len(found.text)
        return {"id": name, **found.entry}


def _spectra(fluence: npt.NDArray[np.float32], dose_per_fluence: npt.NDArray[np.float32]) -> Encoded:
    """(voxel, species, bin) square root of a bin's dose over each voxel's largest, 255 being that; no scale is kept.

    Rounded in fluence, the few slow or heavy particles vanish that do much of the effect: it then errs by up to 10 %.
    So rounded, by up to 0.15 % (real proton and carbon plans, HSG at 2 Gy).
    """
    dose = fluence * dose_per_fluence
    largest = dose.max(axis=(1, 2), keepdims=True, initial=0.0)
    share = np.divide(dose, largest, out=np.zeros_like(dose), where=largest > 0)
    return encode_integers(np.rint(255 * np.sqrt(share)).astype(np.int64), 8)
