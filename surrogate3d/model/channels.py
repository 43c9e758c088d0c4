"""What the network sees: named channels made from the accumulators of each particle group (see `model.groups`)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from surrogate3d.model.groups import BANDS


@dataclass(frozen=True)
class Filter:
    """A fixed Gaussian filter; sigmas in voxels, across and along the beam."""

    lateral: float
    depth: float

    @property
    def name(self) -> str:
        """Name in bundles."""
        return f"gauss_{self.lateral:g}_{self.depth:g}"


FILTERS = (
    Filter(0.5, 0.0),
    Filter(1.0, 0.0),
    Filter(2.0, 0.0),
    Filter(3.0, 0.0),
    Filter(1.0, 1.0),
    Filter(2.0, 1.0),
    Filter(3.0, 2.0),
    Filter(4.0, 3.0),
)
"""The fixed filters among which a group's weights choose, beside the free neighbourhood."""

CONTEXT_SCALES = (None, Filter(1.0, 0.0), Filter(3.0, 1.0))
"""Scales at which the channels are computed; None is the voxel itself."""

NEAR, WIDE = Filter(0.5, 0.5), Filter(3.0, 1.0)
"""The dose that the channels of its shape call near, and its surroundings."""

_TRUNCATE = 3.0


@dataclass(frozen=True, eq=False)
class Whole:
    """What the channels of a tile must know of the whole field.

    Attributes:
        primary: (group,) bool, whether the group is the beam itself.
        peak: largest value of the total dose under `NEAR`, in the scale of the inputs.
    """

    primary: Tensor
    peak: Tensor | float

    @classmethod
    def of(cls, inputs: Tensor) -> Whole:
        """From the inputs (group, band, 2 + 2 * line, i, j, k) of the whole field."""
        return cls(is_primary(inputs), smooth(total_dose(inputs), NEAR).amax())


def _band(length: int, sigma: float, like: Tensor) -> Tensor:
    """(length, length) matrix that smooths along one axis, zeros outside; normalised as if the axis were infinite."""
    radius, kernel = reach(sigma), kernel_of(sigma)
    offset = torch.arange(length)[:, None] - torch.arange(length)[None]
    inside = offset.abs() <= radius
    band = torch.where(inside, kernel[offset.clamp(-radius, radius) + radius], 0.0)
    return band.to(like)


def kernel_of(sigma: float) -> Tensor:
    """(2 * reach + 1,) float64 weights of a Gaussian of `sigma` voxels; they sum to one."""
    radius = reach(sigma)
    x = torch.arange(-radius, radius + 1, dtype=torch.float64)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2) if sigma > 0 else torch.ones_like(x)
    return kernel / kernel.sum()


def reach(sigma: float) -> int:
    """Voxels that a Gaussian of `sigma` voxels reaches to each side."""
    return max(1, int(_TRUNCATE * sigma + 0.5)) if sigma > 0 else 0


def smooth(values: Tensor, gaussian: Filter) -> Tensor:
    """Gaussian filter with zeros outside; ratios of two smoothed accumulators need no edge correction.

    Written as a product with a band matrix for each axis, which is many times faster than a convolution of one channel.

    Args:
        values: (..., i, j, k).
        gaussian: sigmas in voxels.

    Returns:
        (..., i, j, k).
    """
    for axis, sigma in ((-3, gaussian.lateral), (-2, gaussian.lateral), (-1, gaussian.depth)):
        if sigma > 0:
            band = _band(values.shape[axis], sigma, values)
            values = (values.movedim(axis, -1) @ band).movedim(-1, axis)
    return values


def channel_names() -> tuple[str, ...]:
    """Names of the channels in the order of `channels`."""
    names = []
    for scale in CONTEXT_SCALES:
        at = scale.name if scale else "voxel"
        names += [f"log_fraction_{band}@{at}" for band in BANDS]
        names += [f"log_alpha_group@{at}", f"log_tracks_group@{at}"]
        names += [f"log_alpha_total@{at}", f"log_tracks_total@{at}"]
    return (*names, "log_dose_contrast", "log_dose_slope", "log_dose_relative", "is_primary", "log_charge")


def _log_ratio(numerator: Tensor, denominator: Tensor, floor: float) -> Tensor:
    """log(numerator / denominator) where both are there, log(floor) where not; never NaN."""
    ratio = numerator / denominator.clamp_min(torch.finfo(numerator.dtype).tiny)
    return torch.log(torch.where(denominator > 0, ratio, torch.zeros_like(ratio)).clamp_min(floor))


def channel_reach() -> tuple[int, int]:
    """Voxels, across and along the beam, that a voxel's channels see to each side."""
    seen = [(reach(f.lateral), reach(f.depth)) for f in (*CONTEXT_SCALES, WIDE) if f]
    seen.append((reach(NEAR.lateral), reach(NEAR.depth) + 1))  # the slope is that between the voxels on each side
    return max(lateral for lateral, _ in seen), max(depth for _, depth in seen)


def channels(inputs: Tensor, alpha_x: Tensor, charge: Tensor, whole: Whole | None = None) -> Tensor:
    """The network's channels, one set for every group.

    Args:
        inputs: (group, band, 2 + 2 * line, i, j, k) as of `model.groups.group_inputs`; of the cell lines, only the
            first enters the channels, so that the weights do not depend on which line is asked for.
        alpha_x: photon alpha of the first cell line, 1/Gy; makes the LET-like channels dimensionless.
        charge: (group,) charge numbers.
        whole: of the whole field where the inputs are a tile of it; None where they are all of it.

    Returns:
        (group, channel, i, j, k) in the order of `channel_names`, not yet normalised.
    """
    whole = whole or Whole.of(inputs)
    first = inputs[:, :, :3]
    group = first.sum(dim=1)
    both = torch.cat([group, group.sum(dim=0, keepdim=True)])
    planes: list[Tensor] = []
    for scale in CONTEXT_SCALES:
        pooled = smooth(both, scale) if scale else both
        bands = smooth(first[:, :, 0], scale) if scale else first[:, :, 0]
        own, total = pooled[:-1], pooled[-1:].expand_as(pooled[:-1])
        planes += list(_log_ratio(bands, total[:, :1].expand_as(bands), 1e-5).unbind(1))
        planes += [
            _log_ratio(own[:, 2], own[:, 0] * alpha_x, 0.5),
            torch.log1p(own[:, 1].clamp_min(0)),
            _log_ratio(total[:, 2], total[:, 0] * alpha_x, 0.5),
            torch.log1p(total[:, 1].clamp_min(0)),
        ]
    planes += [plane.expand_as(planes[0]) for plane in _dose_shape(both[-1:, :1], whole.peak)]
    for of_group in (whole.primary.to(planes[0]), torch.log(charge.to(planes[0]))):
        planes.append(of_group.reshape(-1, 1, 1, 1).expand_as(planes[0]))
    return torch.stack(planes, dim=1)


def is_primary(inputs: Tensor) -> Tensor:
    """(group,) whether the group is the beam itself: the one that carries most of the dose."""
    dose = inputs[:, :, 0].sum(dim=(1, 2, 3, 4))
    return dose == dose.max()


def total_dose(inputs: Tensor) -> Tensor:
    """(i, j, k) dose of all groups and bands, summed in the order of the channels."""
    return inputs[:, :, 0].sum(dim=1).sum(dim=0)


def _dose_shape(dose: Tensor, peak: Tensor | float) -> list[Tensor]:
    """Contrast of the dose against its surroundings, its slope along the beam, its height: where edges are."""
    near, wide = smooth(dose, NEAR), smooth(dose, WIDE)
    top = torch.as_tensor(peak).to(near)
    padded = torch.cat([near[..., :1], near, near[..., -1:]], dim=-1)  # beyond the grid the dose goes on as it ends
    floor = 1e-3 * top
    slope = torch.log((padded[..., 2:] + floor) / (padded[..., :-2] + floor))
    return [_log_ratio(near, wide, 1e-2)[:, 0], slope[:, 0], _log_ratio(near, top.expand_as(near), 1e-3)[:, 0]]
