"""The networks of a surrogate as one network: a whole field in, the ensemble's answer out.

This is what is handed to others: as a graph (`onnx_export`) and inside a MONAI bundle. The members share the channels
and the smoothed accumulators, and what they say together of their error is part of the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from surrogate3d.model.bundle import Surrogate
from surrogate3d.model.channels import NEAR, Whole, channels, is_primary, smooth, total_dose
from surrogate3d.model.network import Context, KernelNetwork, smooth_all, without_tracks

_OF_THE_LINE = [0, 2, 4]  # dose, dose_alpha and dose_sqrt_beta of the second line; the guide's part is in the channels


class EnsembleAnswer(NamedTuple):
    """What a surrogate's networks say of some voxels.

    Attributes:
        effect: (dose, voxel) effect -ln S, the mean of the members.
        log_std: (voxel,) logarithm of its relative standard deviation: what the members predict, and their spread.
        log_correction: (dose, voxel) logarithm of the head's correction, the mean of the members.
        member_effect: (member, dose, voxel).
        member_log_std: (member, voxel).
    """

    effect: Tensor
    log_std: Tensor
    log_correction: Tensor
    member_effect: Tensor
    member_log_std: Tensor


class Prepared(NamedTuple):
    """What the networks make of a whole field, for voxels in portions.

    Attributes:
        contexts: of each member.
        accumulators: (group, band, 3, i, j, k) of the cell line.
        smoothed: `smooth_all(accumulators)`.
    """

    contexts: list[Context]
    accumulators: Tensor
    smoothed: Tensor


class EnsembleNetwork(nn.Module):
    """All networks of a surrogate as one; what is not a weight is no part of its state.

    Args:
        members: the networks.
        doses: of the answer, Gy.
        guide_alpha_x: photon alpha of the cell line from which the channels are made, 1/Gy.
    """

    doses: Tensor
    guide_alpha_x: Tensor

    def __init__(self, members: Sequence[KernelNetwork], doses: Sequence[float], guide_alpha_x: float) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)
        self.register_buffer("doses", torch.tensor(doses), persistent=False)
        self.register_buffer("guide_alpha_x", torch.tensor(guide_alpha_x), persistent=False)

    @classmethod
    def of(cls, surrogate: Surrogate) -> EnsembleNetwork:
        """Of a loaded surrogate, in evaluation mode."""
        return cls(surrogate.networks, surrogate.card.doses, surrogate.guide_alpha_x).eval()

    @property
    def networks(self) -> tuple[KernelNetwork, ...]:
        """The members."""
        return tuple(member for member in self.members if isinstance(member, KernelNetwork))

    def forward(
        self, accumulators: Tensor, voxels: Tensor, charge: Tensor, photon: Tensor, conditions: Tensor | None = None
    ) -> EnsembleAnswer:
        """Answer some voxels of a field.

        Args:
            accumulators: (group, band, 6, i, j, k) of the whole field, as of `model.groups.field_inputs` with the
                tables of the guide and of the cell line that is asked for.
            voxels: (voxel, 3) indices, in the turned grid of the accumulators.
            charge: (group,) charge numbers.
            photon: (2,) alpha_x in 1/Gy and beta_x in 1/Gy^2 of the cell line.
            conditions: (condition, voxel), for networks that were made for any.
        """
        return self.answer(self.prepare(accumulators, charge), voxels, charge, photon, conditions)

    def prepare(self, accumulators: Tensor, charge: Tensor) -> Prepared:
        """What depends on the field alone; arguments as of `forward`."""
        whole = Whole(is_primary(accumulators), torch.max(smooth(total_dose(accumulators), NEAR)))
        seen = channels(accumulators, self.guide_alpha_x, charge, whole)
        own = without_tracks(accumulators)[:, :, _OF_THE_LINE]
        return Prepared([network.context(seen) for network in self.networks], own, smooth_all(own))

    def answer(
        self, field: Prepared, voxels: Tensor, charge: Tensor, photon: Tensor, conditions: Tensor | None = None
    ) -> EnsembleAnswer:
        """What follows for some voxels; arguments as of `forward`."""
        line = torch.stack([photon[0], torch.sqrt(photon[1])])[:, None]
        effects, log_stds, corrections = [], [], []
        for network, context in zip(self.networks, field.contexts, strict=True):
            denoised = network.denoise(context, field.accumulators, field.smoothed, voxels, charge)
            found = network.answer(denoised, line, conditions)
            effects.append(found.effect(self.doses)[0])
            log_stds.append(found.log_std[0])
            corrections.append(found.log_correction[0])
        member_effect, member_log_std = torch.stack(effects), torch.stack(log_stds)
        effect, correction = member_effect.mean(dim=0), torch.stack(corrections).mean(dim=0)
        variance = torch.exp(2 * member_log_std).mean(dim=0) + _spread(member_effect, effect)
        return EnsembleAnswer(effect, 0.5 * torch.log(variance), correction, member_effect, member_log_std)


def _spread(member_effect: Tensor, effect: Tensor) -> Tensor:
    """(voxel,) variance of the members' effects relative to their mean; 0 of a single one."""
    members = member_effect.shape[0]
    if members == 1:
        return torch.zeros_like(effect[0])
    apart = (member_effect - effect) / effect
    return (apart.square().sum(dim=0) / (members - 1)).mean(dim=0)
