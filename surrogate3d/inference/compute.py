"""How an answer is computed: on what device, in what precision, within what memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from surrogate3d.errors import ConfigError
from surrogate3d.inference.tiles import Room

Precision = Literal["auto", "float32", "bfloat16"]
Device = Literal["auto", "cpu", "cuda"]

BYTES_OF_BOX, BYTES_NEAR = 200, 700
"""Of a species, for each voxel of a tile's box, and of the surroundings that hidden states are made for."""

BYTES_OF_FIELD, LEAST_FOR_TILES = 80, 0.25
"""For each voxel of a field in several tiles: dose, survey, regions. Tiles get what they leave, or a quarter."""

BYTES_AHEAD = 100, 270
"""The same of the sums of the next tile, which are read while a tile is answered."""


@dataclass(frozen=True)
class Compute:
    """What is allowed.

    Attributes:
        device: of the networks; auto takes a GPU where there is one.
        precision: of the context network's layers. auto takes the fastest that was measured to leave RBE within 1e-3
            (docs/performance.md).
        memory_bytes: of what a tile takes while it is computed.
    """

    device: Device = "auto"
    precision: Precision = "float32"
    memory_bytes: int = 1_900_000_000

    def room(self, n_species: int, near: tuple[int, int, int], alone: bool, n_voxels: int) -> Room:
        """What tiles may take.

        Args:
            n_species: of the field.
            near: voxels along each axis for which hidden states are made.
            alone: whether a tile is all of the field, so that no other is read meanwhile.
            n_voxels: of the field.
        """
        if alone:
            return Room(BYTES_OF_BOX * n_species, BYTES_NEAR * n_species, near, self.memory_bytes)
        box, about = BYTES_OF_BOX + BYTES_AHEAD[0], BYTES_NEAR + BYTES_AHEAD[1]
        left = max(self.memory_bytes - BYTES_OF_FIELD * n_voxels, LEAST_FOR_TILES * self.memory_bytes)
        return Room(box * n_species, about * n_species, near, left)


def compute_of(device: str, precision: str, memory_gb: float) -> Compute:
    """What a user asks for in words.

    Raises:
        ConfigError: an unknown word, or memory that is none.
    """
    for name, word, known in (("device", device, get_args(Device)), ("precision", precision, get_args(Precision))):
        if word not in known:
            raise ConfigError(f"--{name} is {word!r}, expected one of {', '.join(known)}")
    if not 0 < memory_gb < float("inf"):
        raise ConfigError(f"--memory must be a number of GB above 0, found {memory_gb:g}")
    return Compute(cast("Device", device), cast("Precision", precision), int(1e9 * memory_gb))
