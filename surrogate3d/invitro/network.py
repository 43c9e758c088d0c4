"""One network from features of an irradiation and a photon pair to the linear-quadratic curve of ions.

The network says how far the ion curve lies from the photon curve, in two numbers with a meaning: u, the logarithm of
RBE10, and v, how much straighter the curve is (difference of the logits of alpha D10 / ln 10, the share of the linear
term in the effect at 10 % survival). Both are multiplied by h = LET_d / (LET_d + L0):

    D10 = D10_x exp(-h u),   logit s = logit s_x + h v,   alpha = ln(10) s / D10,   beta = ln(10) (1 - s) / D10^2

So S(0) = 1, alpha and beta are not negative and survival falls with dose, and alpha -> alpha_x, beta -> beta_x as
LET -> 0, whatever the weights are. Doses are in units of D10_x, so a cell line of another sensitivity but the same
shape has the same RBE.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from surrogate3d.errors import ConfigError
from surrogate3d.invitro.attention import AttentiveSteps
from surrogate3d.invitro.points import VARIANCE
from surrogate3d.invitro.scales import FEATURES, GROUPS

LN10 = math.log(10.0)

FARTHEST = 4.0
"""Standard deviations beyond which a feature counts as that far."""

LOG_STD_RANGE = (-3.0, 2.0)
"""Bounds of the logarithm of the predicted deviation, in units of that of repeated experiments."""

RBE10_STD = 0.12
"""Deviation of ln RBE10 between repeated experiments: 17 % between two, over the root of two."""

SHARE_RANGE = (0.01, 0.99)
"""The share of the linear term of the photon curve is a feature through its logit, within these bounds."""

LET_COLUMN = next(n for n, feature in enumerate(FEATURES) if feature.name == "LET_d")
_OWN = 2  # features that the network makes itself, of the photon pair


@dataclass(frozen=True)
class NetworkConfig:
    """Size and physics of the network.

    Attributes:
        width: channels of the state.
        n_steps: attentive steps.
        gamma: relaxation of the masks.
        half_LET: L0 in keV/um, LET_d at which half of the difference to photons may show.
        groups: groups of features that are looked at; the others count as not known (for ablations).
    """

    width: int = 16
    n_steps: int = 3
    gamma: float = 1.5
    half_LET: float = 3.0
    groups: tuple[str, ...] = GROUPS

    def __post_init__(self) -> None:
        if min(self.width, self.n_steps) < 1 or self.gamma < 1 or self.half_LET <= 0:
            raise ConfigError("width and n_steps must be at least 1, gamma at least 1 and half_LET positive")
        unknown = set(self.groups) - set(GROUPS)
        if unknown or not self.groups:
            raise ConfigError(f"groups must be some of {', '.join(GROUPS)}; found {sorted(unknown) or 'none'}")


class Curves(NamedTuple):
    """What a network says of some rows.

    Attributes:
        alpha: (n,) 1/Gy.
        beta: (n,) 1/Gy^2.
        log_RBE10: (n,) its logarithm.
        log_std: (n,) logarithm of the deviation of ln S, in units of `typical_std`.
        masks: (n, step, group).
        importance: (n, group).
    """

    alpha: Tensor
    beta: Tensor
    log_RBE10: Tensor
    log_std: Tensor
    masks: Tensor
    importance: Tensor


class InVitroNetwork(nn.Module):
    """The network; see the module's text. Features are as of `scales.FEATURES`, untransformed, NaN where not known."""

    mean: Tensor
    deviation: Tensor
    logarithmic: Tensor
    used: Tensor
    group: Tensor

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.config = config
        group_of = [GROUPS.index(feature.group) for feature in FEATURES] + [GROUPS.index("biology")] * _OWN
        self.register_buffer("mean", torch.zeros(len(group_of)))
        self.register_buffer("deviation", torch.ones(len(group_of)))
        constant = {
            "logarithmic": [feature.transform == "log" for feature in FEATURES],
            "used": [name in config.groups for name in GROUPS],
        }
        for name, values in constant.items():
            self.register_buffer(name, torch.tensor(values), persistent=False)
        self.register_buffer("group", _averaging(group_of), persistent=False)
        self.steps = AttentiveSteps([*group_of, *range(len(GROUPS))], config.width, config.n_steps, config.gamma)
        self.answer = nn.Linear(config.width, 2)
        self.doubt = nn.Linear(config.width, 1)
        with torch.no_grad():
            for layer in (self.answer, self.doubt):
                layer.weight *= 0.3
                layer.bias.zero_()

    def inputs(self, features: Tensor, photon: Tensor) -> Tensor:
        """(n, feature + 2) transformed features with NaN, then log D10 and the logit of s of the photon curve."""
        logarithms = torch.log(torch.where(features > 0, features, torch.nan))
        plain = torch.where(self.logarithmic, logarithms, features)
        D10, share = photon_shape(photon)
        own = torch.stack([torch.log(D10), torch.logit(share.clamp(*SHARE_RANGE))], dim=-1)
        return torch.cat([plain, own], dim=-1)

    def forward(self, features: Tensor, photon: Tensor) -> Curves:
        """Predict some rows; LET_d must be known.

        Args:
            features: (n, feature).
            photon: (n, 2) alpha_x (1/Gy) and beta_x (1/Gy^2).
        """
        inputs, LET = self.inputs(features, photon), features[:, LET_COLUMN]
        known = torch.isfinite(inputs)
        normal = ((torch.nan_to_num(inputs) - self.mean) / self.deviation).clamp(-FARTHEST, FARTHEST)
        share = known.to(inputs.dtype) @ self.group  # of a group's features that are known
        x = torch.cat([torch.where(known, normal, 0.0), share], dim=-1)
        attended = self.steps(x, (share > 0) & self.used)
        shift = self.answer(attended.state) * (LET / (LET + self.config.half_LET))[:, None]
        # What the deviation learns must not bend the answer.
        log_std = self.doubt(attended.state.detach())[:, 0].clamp(*LOG_STD_RANGE)
        alpha, beta = shifted(photon, shift[:, 0], 3.0 * shift[:, 1])
        return Curves(alpha, beta, shift[:, 0], log_std, attended.masks, attended.importance)


def _averaging(group_of: list[int]) -> Tensor:
    """(feature, group) matrix that averages over the features of each group."""
    member = torch.eye(len(GROUPS))[group_of]
    return member / member.sum(0)


def photon_shape(photon: Tensor) -> tuple[Tensor, Tensor]:
    """D10 in Gy, and the share of the linear term in the effect there, of (n, 2) alpha and beta."""
    alpha, beta = photon.unbind(-1)
    D10 = 2 * LN10 / (alpha + torch.sqrt(alpha**2 + 4 * beta * LN10))
    return D10, alpha * D10 / LN10


def shifted(photon: Tensor, log_RBE10: Tensor, logit_shift: Tensor) -> tuple[Tensor, Tensor]:
    """Alpha and beta of the curve with this RBE10 whose linear share has a logit so much larger than the photons'.

    In odds, s = s_x e^v / (1 - s_x + s_x e^v), which holds for purely linear and purely quadratic photon curves, too.
    """
    D10, share = photon_shape(photon)
    factor = torch.exp(log_RBE10)
    linear = share * torch.exp(logit_shift)
    quadratic = photon[..., 1] * D10**2 / LN10  # 1 - share without cancellation
    total = linear + quadratic
    return LN10 * linear / total * factor / D10, LN10 * quadratic / total * (factor / D10) ** 2


def typical_std(effect: Tensor) -> Tensor:
    """Deviation of ln S that is usual at an effect -ln S: scatter of points and of repeats, see `invitro.points`."""
    constant, linear, square = VARIANCE
    return torch.sqrt(constant + linear * effect + square * effect**2)
