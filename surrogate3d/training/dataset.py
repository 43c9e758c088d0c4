"""Training examples: noisy inputs of a plan beside the labels of its directly simulated voxels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Example:
    """One plan, oriented with the beam along the last axis, towards larger indices.

    Attributes:
        inputs: realisations of the same plan at several statistics, each (group, band, 2 + 2 * line, i, j, k) as of
            `model.groups.group_inputs`.
        target: of each realisation the accumulators of other, more numerous histories of the plan, whose noise is
            independent: (1 + 2 * line, i, j, k) dose, dose_alpha of each line, dose_sqrt_beta of each.
        weight: of each realisation in the loss: the inverse of the squared error of grouped pooling on it, so that
            every level of noise, and every ion, counts alike and the loss reads as a ratio to the strongest baseline.
        learnt: (i, j, k) voxels whose target is learnt from.
        held: (i, j, k) voxels kept out of the training, to calibrate on.
        charge: (group,) charge numbers.
        label: (line, dose, i, j, k) simulated effect, NaN where no voxel was simulated.
        label_se: (line, dose, i, j, k) relative standard error of `label`.
        conditions: (condition, i, j, k) features of the conditions of the cells; none for those of the calibration.
    """

    inputs: tuple[Tensor, ...]
    target: tuple[Tensor, ...]
    weight: tuple[float, ...]
    learnt: Tensor
    held: Tensor
    charge: Tensor
    label: Tensor
    label_se: Tensor
    conditions: Tensor | None = None

    def first_line(self, n: int) -> tuple[Tensor, Tensor]:
        """Inputs and target of realisation `n` for the first cell line alone: a kernel is the same for all of them."""
        n_lines = (self.inputs[n].shape[2] - 2) // 2
        return self.inputs[n][:, :, [0, 1, 2, 2 + n_lines]], self.target[n][[0, 1, 1 + n_lines]]


def known_voxels(among: Tensor, inputs: Tensor, target: Tensor) -> Tensor:
    """(voxel, 3) indices of the voxels of a mask (i, j, k) that have dose in the inputs and in the target."""
    return (among & (inputs[:, :, 0].sum(dim=(0, 1)) > 0) & (target[0] > 0)).nonzero()


@dataclass(frozen=True)
class Geometry:
    """Another geometry for the same plan: tilts, steps, oblique beams, mirror images.

    Every lateral column is shifted along the beam by a whole number of voxels (a random tilt plus a random step, as an
    oblique beam or an insert would). Of a leaning beam every slice across it is shifted as well, so that tilt and lean
    together turn the plan about an axis across the beam. Then the two lateral axes are mirrored and exchanged. What is
    shifted in is empty; no voxel is interpolated, so that its noise stays its own.

    Attributes:
        shift: (i, j) whole voxels, positive downstream.
        flips: axes that are mirrored.
        exchange: whether the two lateral axes are exchanged.
        slope: (i, j) tilt, voxels downstream per voxel across.
        lean: (2, k) whole voxels by which each slice is shifted along i and j; None leaves them and the depths.
        depths: first and end of the depths that are left of a leaning beam: the whole would lean out of every grid.
    """

    shift: Tensor
    flips: tuple[int, ...]
    exchange: bool
    slope: tuple[float, float] = (0.0, 0.0)
    lean: Tensor | None = None
    depths: tuple[int, int] | None = None

    @staticmethod
    def draw(lateral: tuple[int, ...], rng: np.random.Generator) -> Geometry:
        """A random one for a grid of `lateral` (i, j) columns; its beam does not lean."""
        shift, slope = _column_shift(lateral, rng)
        flips = tuple(axis for axis in (-3, -2) if rng.random() < 0.5)
        return Geometry(torch.from_numpy(shift), flips, bool(rng.random() < 0.5), slope)

    def leaning(self, n_depths: int, rng: np.random.Generator) -> Geometry:
        """The same, its beam leaning as far as its planes of equal depth are tilted; `LEANING_DEPTHS` of `n_depths`."""
        first = int(rng.integers(max(n_depths - LEANING_DEPTHS, 0) + 1))
        depths = (first, min(first + LEANING_DEPTHS, n_depths))
        k = np.arange(*depths)
        lean = np.rint(-np.outer(self.slope, k - k.mean())).astype(np.int64)
        return replace(self, lean=torch.from_numpy(lean), depths=depths)

    def apply(self, values: Tensor, fill: float = 0.0) -> Tensor:
        """Move (..., i, j, k); `fill` is the value of voxels that are shifted in."""
        out = shift_columns(values, self.shift, fill)
        if self.lean is not None and self.depths is not None:
            out = _shift_slices(out[..., slice(*self.depths)], self.lean, fill)
        out = torch.flip(out, self.flips) if self.flips else out
        return out.transpose(-3, -2) if self.exchange else out

    def learnt(self, learnt: Tensor) -> Tensor:
        """Move a mask (i, j, k) of voxels to learn from: none where a cut took their surroundings away."""
        moved = self.apply(learnt.float()) > 0.5
        first, end = self.depths or (0, learnt.shape[-1])
        if first > 0:
            moved[..., :CUT_MARGIN] = False
        if end < learnt.shape[-1]:
            moved[..., -CUT_MARGIN:] = False
        return moved


LEANING_DEPTHS = 32
"""Voxels along the beam of a leaning geometry."""

CUT_MARGIN = 4
"""Voxels next to a cut that are not learnt from: what most of a kernel's weight lies within."""

MERGED = ((1, 1, 1), (1, 1, 2), (2, 2, 1), (2, 2, 2))
"""Voxels merged across, across and along the beam: structures are sharper in larger voxels, as those of beams of lower
energy are."""

HOW_OFTEN = (0.5, 0.3, 0.1, 0.1)
"""Shares of `MERGED`."""


def draw_coarsening(rng: np.random.Generator) -> tuple[int, int, int]:
    """One of `MERGED`."""
    return MERGED[int(rng.choice(len(MERGED), p=HOW_OFTEN))]


def coarsen(values: Tensor, merged: tuple[int, int, int]) -> Tensor:
    """Means over merged voxels; what does not fill a merged voxel at the far ends is cut off.

    Args:
        values: (..., i, j, k).
        merged: voxels merged along each of the last three axes.
    """
    for axis, n in zip((-3, -2, -1), merged, strict=True):
        if n > 1:
            whole = values.shape[axis] // n
            values = torch.unflatten(values.narrow(axis, 0, whole * n), axis, (whole, n)).mean(dim=axis)
    return values


def _column_shift(
    lateral: tuple[int, ...], rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], tuple[float, float]]:
    """(i, j) whole voxels: a tilt and up to two steps; and the tilt's slopes."""
    i, j = np.meshgrid(np.arange(lateral[0]), np.arange(lateral[1]), indexing="ij")
    slope = rng.uniform(-0.4, 0.4, size=2)
    shift = slope[0] * (i - lateral[0] / 2) + slope[1] * (j - lateral[1] / 2)
    for _ in range(int(rng.integers(0, 3))):
        angle, offset, height = rng.uniform(0, 2 * np.pi), rng.uniform(-0.3, 0.3), rng.uniform(-5, 5)
        beyond = np.cos(angle) * (i / lateral[0] - 0.5) + np.sin(angle) * (j / lateral[1] - 0.5) > offset
        shift = shift + height * beyond
    shift = np.asarray(np.rint(shift + rng.uniform(-4, 4)), dtype=np.int64)
    return shift, (float(slope[0]), float(slope[1]))


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


def _shift_slices(values: Tensor, lean: Tensor, fill: float) -> Tensor:
    """Shift every slice across the beam, the grid grown so that nothing is lost.

    Args:
        values: (..., i, j, k).
        lean: (2, k) whole voxels along i and along j.
        fill: value of the voxels that are shifted in.
    """
    for axis, by in zip((-3, -2), lean, strict=True):
        most = int(by.abs().max())
        pad = (0, 0, most, most) if axis == -2 else (0, 0, 0, 0, most, most)
        grown = torch.nn.functional.pad(values, pad, value=fill).movedim(axis, -2)  # (..., other, axis, k)
        at = torch.arange(grown.shape[-2])[:, None] - by
        inside = (at >= 0) & (at < grown.shape[-2])
        index = at.clamp(0, grown.shape[-2] - 1).expand(grown.shape)
        empty = torch.full((), fill, dtype=values.dtype)
        values = torch.where(inside, torch.gather(grown, -2, index), empty).movedim(-2, axis)
    return values
