"""The head: what the mixing rule gets wrong, and how far the answer may be off.

The correction sees the denoised field and the cell line only: shares of the dose in each band of energy, hydrogen,
helium and heavier ions apart, and what the table says of them. It does not see the place, so that it cannot learn a
plan by heart. Where cells live under conditions for which there is no mixing rule, the conditions are features, too,
and what the table says may already be that of a closed form for them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from surrogate3d.model.groups import BANDS

LOG_STD_RANGE = (-8.0, 0.0)
"""Bounds of the logarithm of the predicted relative standard deviation: 0.03 % to 100 %."""

MAX_LOG_CORRECTION = 0.15
"""Bound of the logarithm of the correction at the conditions of the calibration: it mends the mixing rule."""

CLOSED_FORM = ("log_alpha_factor", "log_sqrt_beta_factor")
"""Conditions that a closed form speaks of: logarithms of what it does to alpha and sqrt(beta); see `Denoised.under`."""

_N_FIELD, _N_LINE = 3 * len(BANDS) + 2, 2


@dataclass(frozen=True, eq=False)
class Denoised:
    """What the kernels make of the noisy spectra of some voxels.

    Attributes:
        share: (kind * band, voxel) share of the dose by kind of ion (hydrogen, helium, heavier) and band of energy.
        state: (voxel, width) hidden state, averaged over the groups with their dose.
        alpha: (line, voxel) of the denoised field by the table, 1/Gy.
        sqrt_beta: (line, voxel), 1/Gy.
    """

    share: Tensor
    state: Tensor
    alpha: Tensor
    sqrt_beta: Tensor

    def effect(self, doses: Tensor) -> Tensor:
        """(line, dose, voxel) effect -ln S by the table, at `doses` in Gy."""
        d = doses.reshape(1, -1, 1)
        return self.alpha[:, None] * d + (self.sqrt_beta[:, None] * d) ** 2

    def under(self, names: tuple[str, ...], conditions: Tensor | None) -> Denoised:
        """What a closed form says of the same field under conditions; itself where none of them is of `CLOSED_FORM`.

        Args:
            names: of the conditions, in order.
            conditions: (condition, voxel); None for those of the calibration.
        """
        if conditions is None or not set(CLOSED_FORM) <= set(names):
            return self
        alpha, sqrt_beta = (torch.exp(conditions[names.index(name)]) for name in CLOSED_FORM)
        return replace(self, alpha=self.alpha * alpha, sqrt_beta=self.sqrt_beta * sqrt_beta)

    def features(self, photon: Tensor) -> Tensor:
        """(line, voxel, feature) what the correction sees: dose shares, the table's answer, the cell line.

        Args:
            photon: (2, line) alpha_x in 1/Gy and the square root of beta_x in 1/Gy.
        """
        n_lines, n_voxels = self.alpha.shape
        shares = torch.sqrt(self.share.clamp_min(0) + 1e-6).expand(n_lines, -1, -1)
        ratio = torch.log(self.alpha.clamp_min(1e-3) / photon[0][:, None])
        table = torch.stack([ratio, self.sqrt_beta / photon[1][:, None] - 1], dim=1)
        line = torch.log(torch.stack([photon[0] / 0.3, photon[1] / 0.2], dim=1))[..., None].expand(-1, -1, n_voxels)
        return torch.cat([shares, table, line], dim=1).transpose(1, 2)


class EffectHead(nn.Module):
    """Logarithm of the correction of the Zaider-Rossi effect, zero at the start, and the answer's deviation."""

    def __init__(self, width: int, head_width: int, n_doses: int, n_conditions: int, max_log: float) -> None:
        super().__init__()
        seen = _N_FIELD + _N_LINE + n_conditions
        self.max_log = max_log
        self.correction = _mlp(seen, head_width, n_doses)
        self.spread = _mlp(seen + width, head_width, 1)
        with torch.no_grad():
            for mlp, start in ((self.correction, 0.0), (self.spread, -4.6)):  # no correction; 1 % of deviation
                last = mlp[-1]
                assert isinstance(last, nn.Linear)
                last.weight.zero_()
                last.bias.fill_(start)

    def forward(self, denoised: Denoised, photon: Tensor, conditions: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Correct some voxels.

        Args:
            denoised: of the voxels.
            photon: (2, line) alpha_x in 1/Gy and the square root of beta_x in 1/Gy.
            conditions: (condition, voxel) features of the conditions, if the network was made for any.

        Returns:
            Logarithm of the correction (line, dose, voxel) and of the relative standard deviation (line, voxel).
        """
        features = denoised.features(photon).detach()
        if conditions is not None:
            features = torch.cat([features, conditions.T.expand(len(features), -1, -1)], dim=-1)
        correction = self.max_log * torch.tanh(self.correction(features)).transpose(1, 2)
        state = denoised.state.detach().expand(len(features), -1, -1)
        log_std = self.spread(torch.cat([features, state], dim=-1))[..., 0]
        return correction, log_std.clamp(*LOG_STD_RANGE)


def _mlp(n_in: int, width: int, n_out: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(n_in, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, n_out))
