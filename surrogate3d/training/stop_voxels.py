"""Voxels that the kernels do not learn from, on whose error early stopping decides.

Whole blocks are kept out, as for the calibration, and none of those that calibrate is among them. They are judged on
realisations as they are, in no other geometry and in single precision, so that two judgements differ in the weights
alone, and no random number is drawn.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from surrogate3d.errors import ValueRangeError
from surrogate3d.model.network import KernelNetwork
from surrogate3d.training.dataset import Example, known_voxels
from surrogate3d.training.held_blocks import held_blocks
from surrogate3d.training.loss import denoising_loss, effect_of

REALISATIONS = 4
"""Of every plan that are judged: with the real run, others spread over the statistics."""

_STREAM = 1  # so that the choice is independent of all else that the seed decides


class StopVoxels:
    """Blocks of every plan.

    Args:
        examples: one per plan.
        fraction: of the voxels that may be learnt from.
        most: voxels of one realisation that are judged, at most.
        seed: chooses the blocks.

    Attributes:
        others: the same examples, without these voxels among those that are learnt from.

    Raises:
        ValueRangeError: no plan has a block to spare.
    """

    def __init__(self, examples: Sequence[Example], fraction: float, most: int, seed: int) -> None:
        rng = np.random.default_rng((seed, _STREAM))
        kept = [torch.from_numpy(held_blocks(e.learnt.cpu().numpy(), fraction, rng)).to(e.learnt) for e in examples]
        self.others = [replace(e, learnt=e.learnt & ~blocks) for e, blocks in zip(examples, kept, strict=True)]
        self._judged = [
            (example, n, voxels)
            for example, blocks in zip(examples, kept, strict=True)
            for n in _spread(len(example.inputs))
            if len(voxels := _some(known_voxels(blocks, *example.first_line(n)), most))
        ]
        if not self._judged:
            raise ValueRangeError(
                f"the plans are too small to keep a fraction of {fraction:g} of their voxels out, to stop the training "
                "by; raise stop_fraction, or set patience = 0"
            )

    @torch.no_grad()
    def error(self, network: KernelNetwork, alpha_x: Tensor, doses: Tensor) -> float:
        """RMS error of the denoised effect over that of grouped pooling, all plans and realisations alike.

        Args:
            network: to be judged.
            alpha_x: photon alpha of the first cell line, 1/Gy.
            doses: (dose,) Gy.
        """
        losses = []
        for example, n, voxels in self._judged:
            inputs, target = example.first_line(n)
            effect = network(inputs, voxels, example.charge, alpha_x).effect(doses)
            losses.append(example.weight[n] * float(denoising_loss(effect, effect_of(target, voxels, doses))))
        return math.sqrt(sum(losses) / len(losses))


def _spread(n: int) -> list[int]:
    """`REALISATIONS` of n, the first and the last among them."""
    return sorted({round(at) for at in np.linspace(0, n - 1, REALISATIONS)})


def _some(voxels: Tensor, most: int) -> Tensor:
    """Evenly spaced rows of (voxel, 3) indices."""
    return voxels[:: max(1, math.ceil(len(voxels) / most))]
