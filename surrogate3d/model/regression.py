"""Direct regression for plans without spectra: from channels of dose and LET to alpha and beta, for any cell line.

Alpha over alpha_x and the root of beta over beta_x start from a smooth prior, a quartic in LET_d whose coefficients
depend on the cell line's photon parameters. A small network multiplies both by a positive, bounded correction, learned
from dose-weighted neighbourhoods of LET, and predicts the standard deviation of what comes out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from surrogate3d.model.denormals import without_denormals

Floats = npt.NDArray[np.float64]

LOG_STD_RANGE = (-8.0, 0.0)
"""Bounds of the logarithm of the predicted relative standard deviation of the effect."""

MAX_LOG_CORRECTION = 0.15
"""Bound of the logarithm of the correction: LET_d says most, the rest is noise and the shape of the spectrum."""

FARTHEST = 6.0
"""Standard deviations beyond which a channel counts as that far; out-of-domain voxels are told by the card's range."""

_DEGREE, _TENTH = 4, 0.1
_LET_UNIT = 5.0  # keV/um, so that powers stay of one size
_PHOTON_CENTRE, _PHOTON_WIDTH = (-1.4, 1.5), (0.6, 0.6)  # of log alpha_x (1/Gy) and log alpha_x / beta_x (Gy)


def photon_features(photon: npt.NDArray[np.floating]) -> Floats:
    """(n, 2) logarithms of alpha_x and of alpha_x / beta_x, of the order of one; from (n, 2) alpha_x and beta_x."""
    alpha_x, beta_x = np.asarray(photon, dtype=float).T
    logarithms = np.stack([np.log(alpha_x), np.log(alpha_x / beta_x)], axis=1)
    return np.asarray((logarithms - _PHOTON_CENTRE) / _PHOTON_WIDTH)


@dataclass(frozen=True)
class SmoothPrior:
    """Quartic in LET_d of log alpha / alpha_x and log sqrt(beta / beta_x); coefficients quadratic in the photon pair.

    Attributes:
        alpha: coefficients in the order of `basis`.
        sqrt_beta: likewise.
        LET_range: keV/um. Polynomials run away outside. So LET_d below is taken at the lower end, and above, where
            there were few voxels, alpha and sqrt(beta) go on along the straight line of the last tenth.
    """

    alpha: tuple[float, ...]
    sqrt_beta: tuple[float, ...]
    LET_range: tuple[float, float]

    @staticmethod
    def fit(LET: Floats, photon: Floats, alpha_ratio: Floats, sqrt_beta_ratio: Floats) -> SmoothPrior:
        """Least squares in the logarithms.

        Args:
            LET: (n,) LET_d, keV/um.
            photon: (n, 2) alpha_x and beta_x.
            alpha_ratio: (n,) alpha / alpha_x.
            sqrt_beta_ratio: (n,) sqrt(beta / beta_x).
        """
        ends = (float(LET.min()), float(np.percentile(LET, 99.9)))
        rows = basis(np.clip(LET, *ends), photon)
        found = [np.linalg.lstsq(rows, np.log(ratio), rcond=None)[0] for ratio in (alpha_ratio, sqrt_beta_ratio)]
        return SmoothPrior(tuple(found[0].tolist()), tuple(found[1].tolist()), ends)

    def __call__(self, LET: npt.NDArray[np.floating], photon: npt.NDArray[np.floating]) -> tuple[Floats, Floats]:
        """(n,) log alpha / alpha_x and log sqrt(beta / beta_x)."""
        LET, end = np.asarray(LET, dtype=float), self.LET_range[1]
        values = [
            basis(at, photon) @ np.array([self.alpha, self.sqrt_beta]).T
            for at in (np.clip(LET, *self.LET_range), np.full(len(LET), end), np.full(len(LET), (1 - _TENTH) * end))
        ]
        slope = (1 - np.exp(values[2] - values[1])) / (_TENTH * end)  # relative, of alpha and of sqrt(beta)
        beyond = np.maximum(LET - end, 0.0)[:, None]
        above = np.where(slope > 0, np.log1p(np.maximum(slope, 0.0) * beyond), slope * beyond)  # never negative
        alpha, sqrt_beta = (values[0] + above).T
        return alpha, sqrt_beta

    @staticmethod
    def from_json(data: dict[str, Any]) -> SmoothPrior:
        """From plain data, the form of `dataclasses.asdict`."""
        low, high = data["LET_range"]
        return SmoothPrior(tuple(data["alpha"]), tuple(data["sqrt_beta"]), (float(low), float(high)))


def basis(LET: Floats, photon: npt.NDArray[np.floating]) -> Floats:
    """(n, 5 x 6) powers of LET_d times 1, u, v, u^2, v^2, u v of the `photon_features` u and v."""
    u, v = photon_features(photon).T
    line = np.stack([np.ones_like(u), u, v, u**2, v**2, u * v], axis=1)
    powers = np.stack([(LET / _LET_UNIT) ** n for n in range(_DEGREE + 1)], axis=1)
    return np.asarray((powers[:, :, None] * line[:, None, :]).reshape(len(LET), -1))


@dataclass(frozen=True)
class RegressionShape:
    """Size of the network.

    Attributes:
        channels: that it sees of the plan.
        width: of its two hidden layers.
    """

    channels: int
    width: int = 32


class RegressionNetwork(nn.Module):
    """The network; see the module's text. Its answer is of one voxel, the neighbourhood is in the channels."""

    channel_mean: Tensor
    channel_std: Tensor

    def __init__(self, shape: RegressionShape) -> None:
        super().__init__()
        self.shape = shape
        self.register_buffer("channel_mean", torch.zeros(shape.channels))
        self.register_buffer("channel_std", torch.ones(shape.channels))
        self.body = nn.Sequential(
            nn.Linear(shape.channels + 2, shape.width), nn.SiLU(), nn.Linear(shape.width, shape.width), nn.SiLU()
        )
        self.correction, self.spread = nn.Linear(shape.width, 2), nn.Linear(shape.width, 1)
        with torch.no_grad():  # start at the prior, with 1 % of deviation
            for head, start in ((self.correction, 0.0), (self.spread, -4.6)):
                head.weight.zero_()
                head.bias.fill_(start)

    def normalised(self, channels: Tensor) -> Tensor:
        """(voxel, channel) in standard deviations from the mean of the training."""
        return (channels - self.channel_mean) / self.channel_std

    def forward(self, channels: Tensor, photon: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Correct the prior.

        Args:
            channels: (voxel, channel).
            photon: (voxel, 2) of `photon_features`.

        Returns:
            (voxel,) logarithms of the corrections of alpha and of sqrt(beta), and of the relative standard deviation.
        """
        seen = torch.cat([self.normalised(channels).clamp(-FARTHEST, FARTHEST), photon], dim=1)
        state = self.body(seen)
        alpha, sqrt_beta = (MAX_LOG_CORRECTION * torch.tanh(self.correction(state))).unbind(dim=1)
        return alpha, sqrt_beta, self.spread(state.detach())[:, 0].clamp(*LOG_STD_RANGE)


@dataclass(frozen=True, eq=False)
class LQAnswer:
    """Linear-quadratic answer of some voxels for one cell line each.

    Attributes:
        alpha: (voxel,) 1/Gy.
        sqrt_beta: (voxel,) 1/Gy.
        log_std: (voxel,) logarithm of the predicted relative standard deviation of the effect.
    """

    alpha: Floats
    sqrt_beta: Floats
    log_std: Floats


@without_denormals()
@torch.no_grad()
def answer(
    network: RegressionNetwork,
    prior: SmoothPrior,
    channels: npt.NDArray[np.float32],
    photon: npt.NDArray[np.floating],
    trust: npt.NDArray[np.floating] | float = 1.0,
) -> LQAnswer:
    """Alpha and beta of voxels.

    Args:
        network: corrects the prior.
        prior: of alpha and beta.
        channels: (voxel, channel), the first of them the logarithm of LET_d.
        photon: (voxel, 2) alpha_x and beta_x.
        trust: (voxel,) by which the logarithms of the corrections are multiplied, 0 to 1; 0 leaves the prior.
    """
    log_alpha, log_root = prior(np.exp(channels[:, 0].astype(float)), photon)
    seen = torch.from_numpy(photon_features(photon).astype(np.float32))
    correction = [part.double().numpy() for part in network(torch.from_numpy(channels), seen)]
    alpha_x, beta_x = np.asarray(photon, dtype=float).T
    sqrt_beta = np.sqrt(beta_x) * np.exp(log_root + trust * correction[1])
    return LQAnswer(alpha_x * np.exp(log_alpha + trust * correction[0]), sqrt_beta, correction[2])
