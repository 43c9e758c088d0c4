"""How patches are cut and networks are trained; `configs/response.toml` writes every default out."""

from __future__ import annotations

from dataclasses import dataclass

from surrogate3d.errors import ConfigError
from surrogate3d.grid.lesion import DELIVERED

IMAGE = "image"
"""Name of the channel of the image; the others have the names of `DELIVERED`."""


@dataclass(frozen=True)
class ResponseConfig:
    """Settings of a model of response.

    Attributes:
        channels: what the network sees: "image", and of `grid.lesion.DELIVERED` what shall stand beside it.
        size: edge of the cube about a lesion, voxels; even.
        spacing_mm: edge of its voxels, mm.
        shrinkage: a lesion responds that lost more than this fraction of its volume.
        widths: channels of the first layer and of `last`.
        filter_voxels: edge of the filters of both; odd.
        dropout: probability with which a whole channel of the first layer is left out in training.
        members: networks of an ensemble; each is judged on another part of the patients.
        epochs: passes over the lesions; the weights of the best one are kept.
        batch: lesions of one step.
        learning_rate: of AdamW, peak of the one-cycle schedule.
        weight_decay: of AdamW, on weights, not on biases.
        reconstruction_weight: of the autoencoder's loss beside that of the classifier.
        change_weight: likewise of the error of the logit against the size of the change of volume, where it is known.
        copies: how often a lesion is augmented before the training; its symmetries are drawn anew each time.
        shift_voxels: largest shift of a lesion in its cube along each axis.
        gain: standard deviation of the logarithm of a factor on the image.
        offset: standard deviation of what is added to the image, in units of the signal about the lesion.
        noise: largest standard deviation of noise on the image, in the same unit.

    Raises:
        ConfigError: an impossible value.
    """

    channels: tuple[str, ...] = (IMAGE, "D_RBE")
    size: int = 32
    spacing_mm: float = 1.0
    shrinkage: float = 0.2
    widths: tuple[int, ...] = (12, 12)
    filter_voxels: int = 1
    dropout: float = 0.0
    members: int = 4
    epochs: int = 60
    batch: int = 8
    learning_rate: float = 6e-2
    weight_decay: float = 1e-2
    reconstruction_weight: float = 0.02
    change_weight: float = 1.0
    copies: int = 4
    shift_voxels: int = 2
    gain: float = 0.05
    offset: float = 0.02
    noise: float = 0.03

    def __post_init__(self) -> None:
        require_channels(self.channels)
        if self.channels[0] != IMAGE:
            raise ConfigError(f"the first of the channels must be {IMAGE}, found {', '.join(self.channels)}")
        require_cube(self.size, self.spacing_mm)
        if not 0 <= self.shrinkage < 1 or not 0 <= self.dropout < 1:
            raise ConfigError(f"shrinkage and dropout must be in [0, 1), found {self.shrinkage:g} and {self.dropout:g}")
        if len(self.widths) != 2 or min(self.widths) < 1:
            raise ConfigError(f"widths must be two positive numbers of channels, found {self.widths}")
        if self.filter_voxels < 1 or self.filter_voxels % 2 == 0:
            raise ConfigError(f"filter_voxels must be odd, so that a filter has a middle; found {self.filter_voxels}")
        if self.members < 2:
            raise ConfigError(f"members must be at least 2, as each is judged on another part; found {self.members}")
        if min(self.epochs, self.batch, self.copies) < 1 or self.learning_rate <= 0:
            raise ConfigError("epochs, batch and copies must be at least 1, learning_rate positive")
        not_negative = (self.weight_decay, self.reconstruction_weight, self.change_weight)
        if min(*not_negative, self.shift_voxels, self.gain, self.offset, self.noise) < 0:
            raise ConfigError("weights, shift_voxels, gain, offset and noise must not be negative")


def require_channels(channels: tuple[str, ...]) -> None:
    """Refuse channels that are unknown or there twice.

    Raises:
        ConfigError: no channel, one that is not known, or one that is named twice.
    """
    known = (IMAGE, *DELIVERED)
    unknown = [name for name in channels if name not in known]
    if not channels or unknown or len(set(channels)) < len(channels):
        raise ConfigError(
            f"channels must be some of {', '.join(known)}, each once; found {', '.join(channels) or 'none'}"
        )


def require_cube(size: int, spacing_mm: float) -> None:
    """Refuse a cube that the network cannot halve, or that has no extent.

    Raises:
        ConfigError: an odd or small size, or a spacing that is not positive.
    """
    if size < 8 or size % 2:
        raise ConfigError(f"size must be even and at least 8 voxels, found {size}")
    if not 0 < spacing_mm < float("inf"):
        raise ConfigError(f"spacing_mm must be a positive length, found {spacing_mm:g}")
