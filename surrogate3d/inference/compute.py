"""How an answer is computed: on what device, in what precision, within what memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast, get_args

from surrogate3d.errors import ConfigError

Precision = Literal["auto", "float32", "bfloat16"]
Device = Literal["auto", "cpu", "cuda"]

BYTES_PER_VOXEL = 700
"""Of a tile's box, for every species: sums of the spectra, channels and hidden states at their peak."""


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
    memory_bytes: int = 1_500_000_000

    def decides(self) -> dict[str, str]:
        """What of this changes the last digits of an answer."""
        return {"device": self.device, "precision": self.precision}

    def most_voxels(self, n_species: int) -> int:
        """Of a tile's box."""
        return max(1, self.memory_bytes // (BYTES_PER_VOXEL * n_species))


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
