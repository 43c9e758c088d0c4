"""What no kernel can do: set right the shares of the dose that slow and fast particles of a group have.

A kernel mixes what is there, so where the spectrum changes from voxel to voxel it either keeps the noise or blurs. The
few slow particles carry most of both. How many of them there should be follows from the rest of the spectrum and the
surroundings, whatever the plan: a small network multiplies the share of each band by a bounded factor. The spectrum
within a band stays, so that the answer is still that of a physical field, for every cell line.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from surrogate3d.model.groups import BANDS

MAX_LOG_FACTOR = 0.3
"""Bound of the logarithm of the factor."""

_LEAST_SHARE = 1e-6
_HIDDEN = 32


class ShareFactors(nn.Module):
    """Logarithm of the factor on each band of each group; zero at the start."""

    def __init__(self, width: int) -> None:
        super().__init__()
        last = nn.Linear(_HIDDEN, len(BANDS))
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.mlp = nn.Sequential(nn.Linear(width + 2 * len(BANDS) + 1, _HIDDEN), nn.SiLU(), last)

    def forward(self, state: Tensor, dose: Tensor, primary: Tensor) -> Tensor:
        """Factors for some voxels.

        Args:
            state: (group, voxel, width) hidden state.
            dose: (group, band, voxel) pooled dose.
            primary: (group,) whether the group is the beam itself.

        Returns:
            (group, band, voxel) logarithm of the factor, within `MAX_LOG_FACTOR`.
        """
        share = dose / dose.sum(dim=(0, 1)).clamp_min(torch.finfo(dose.dtype).tiny)
        own, all_groups = (torch.log(x.clamp_min(_LEAST_SHARE)) / 3 for x in (share, share.sum(dim=0)))
        which = primary.to(own)[:, None, None].expand(-1, 1, own.shape[-1])
        seen = torch.cat([own, all_groups.expand_as(own), which], dim=1).transpose(1, 2)
        factor: Tensor = MAX_LOG_FACTOR * torch.tanh(self.mlp(torch.cat([state, seen], dim=-1)))
        return factor.transpose(1, 2)
