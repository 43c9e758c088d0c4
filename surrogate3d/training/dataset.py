"""Training examples: noisy inputs of a plan beside the labels of its directly simulated voxels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Example:
    """One plan, oriented with the beam along the last axis, towards larger indices.

    Attributes:
        inputs: realisations of the same plan at several statistics, each (group, 2 + 2 * line, i, j, k) as of
            `model.groups.group_inputs`.
        weight: of each realisation in the loss: the inverse of the squared error of grouped pooling on it, so that
            every level of noise, and every ion, counts alike and the loss reads as a ratio to the strongest baseline.
        label: (line, dose, i, j, k) simulated effect, NaN where no voxel was simulated.
        label_se: (line, dose, i, j, k) relative standard error of `label`.
    """

    inputs: tuple[Tensor, ...]
    weight: tuple[float, ...]
    label: Tensor
    label_se: Tensor


def augment(inputs: Tensor, label: Tensor, label_se: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Another geometry from the same plan: tilts, steps, mirror images.

    Every lateral column is shifted along the beam by a whole number of voxels (a random tilt plus a random step, as an
    oblique beam or an insert would), then the two lateral axes are mirrored and exchanged at random. Labels move with
    their voxels. What is shifted in is empty.
    """
    shape = label.shape[-3:]
    shift = torch.from_numpy(_column_shift(shape[:2], rng))
    flips = [axis for axis in (-3, -2) if rng.random() < 0.5]
    exchange = rng.random() < 0.5
    moved = []
    for values, fill in ((inputs, 0.0), (label, float("nan")), (label_se, float("nan"))):
        out = shift_columns(values, shift, fill)
        out = torch.flip(out, flips) if flips else out
        moved.append(out.transpose(-3, -2) if exchange else out)
    return moved[0], moved[1], moved[2]


def _column_shift(lateral: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    i, j = np.meshgrid(np.arange(lateral[0]), np.arange(lateral[1]), indexing="ij")
    slope = rng.uniform(-0.4, 0.4, size=2)
    shift = slope[0] * (i - lateral[0] / 2) + slope[1] * (j - lateral[1] / 2)
    for _ in range(int(rng.integers(0, 3))):
        angle, offset, height = rng.uniform(0, 2 * np.pi), rng.uniform(-0.3, 0.3), rng.uniform(-5, 5)
        beyond = np.cos(angle) * (i / lateral[0] - 0.5) + np.sin(angle) * (j / lateral[1] - 0.5) > offset
        shift = shift + height * beyond
    return np.asarray(np.rint(shift + rng.uniform(-4, 4)), dtype=np.int64)


def shift_columns(values: Tensor, shift: Tensor, fill: float) -> Tensor:
    """Shift every lateral column along the last axis.

    Args:
        values: (..., i, j, k).
        shift: (i, j) whole voxels, positive downstream.
        fill: value of the voxels that are shifted in.
    """
    depth = values.shape[-1]
    source = torch.arange(depth) - shift[..., None]
    inside = (source >= 0) & (source < depth)
    index = source.clamp(0, depth - 1).expand(values.shape)
    return torch.where(inside, torch.gather(values, -1, index), torch.full((), fill, dtype=values.dtype))
