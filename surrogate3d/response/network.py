"""A convolutional autoencoder and classifier whose answer is an exact sum over voxels.

```
(n, channel, s, s, s) -> encoding, halved -> first -> last -> tissue T (n, k, s/2, s/2, s/2)
dose -> w(x) = exp(-sum_j a_j d_j(x))
A = [(T - mean T) w, w - mean w] -> decoder -> reconstruction
logit = bias + sum_k u_k sum_x p(x) A_k(x), p the fraction of the lesion in a voxel, of sum 1
```

*Tissue* is told from the image alone. *w* is what survives of it where the dose d was what it was (in standard
deviations from the mean): the linear-quadratic law with one term, its a learnt. So the same resistant tissue counts for
more where less dose came, and the dose cannot paint a region into the map that the image does not show: tissue counts
from that of an average lesion *before* it is weighted, so ordinary tissue adds nothing anywhere. The last of A is what
the dose says by itself. Without a channel of dose A is T - mean T.

After A the classifier is linear, so the gradient of the logit with respect to A is the constant u_k p(x), and gradient
times activation, summed over voxels and channels, is the logit without its bias (completeness of HiResCAM: Draelos and
Carin 2020, arXiv:2011.08891). No layer normalises over voxels or lesions; of its lesion a voxel's A knows the median
brightness besides its neighbourhood (`encoding`), and of other lesions nothing.

The filters of `first` and `last` have one voxel by default: what a voxel knows of its neighbourhood it knows by
`encoding`, and filters of 3 x 3 x 3 learnt worse from few lesions (docs/response.md).

The logit is that of *no response*: a voxel with a positive share points at resistance.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from surrogate3d.errors import GridMismatchError
from surrogate3d.response.config import ResponseConfig
from surrogate3d.response.encoding import (
    LEVEL_WIDTH,
    LEVELS,
    ROUGHNESS,
    ROUGHNESS_WIDTH,
    nearness,
    roughness,
    within_lesion,
)

STRIDE = 2
"""Edge of a voxel of `last` in voxels of the input."""

SLOPE = 0.1
"""Of the first layer below zero."""

_FARTHEST = 3.0  # deviations of dose up to which the weight of a voxel grows or falls
_FALL = 0.5  # where the learning of a begins
_MOMENTUM = 0.1  # share of a step's lesions in the means that follow


class Output(NamedTuple):
    """What the network says.

    Attributes:
        logit: (n,) log odds of no response.
        reconstruction: (n, channel, s/2, s/2, s/2) the input as `halved` gives it.
    """

    logit: Tensor
    reconstruction: Tensor


class ResponseNetwork(nn.Module):
    """One network.

    Args:
        config: widths and dropout.
        n_channels: of the input; the image is the first.

    Attributes:
        last: the layer whose output, made positive, is the tissue.
        fall: (channel - 1,) a: how steeply the weight of a voxel falls with each channel of what was delivered.
        mean: (channel,) of the input inside the lesions that it learns from; 0 before `see`.
        deviation: (channel,) likewise; 1 before `see`.
        rough: mean roughness of those lesions; 1 before `see`.
        mean_tissue: (k,) over lesions; 0 before `standardise`, and follows while it learns.
        mean_weight: of w, likewise.
        unit: (k + 1,) what A is counted in, so that a step of the optimiser does alike in all; 1 before `standardise`.
    """

    mean: Tensor
    deviation: Tensor
    rough: Tensor
    mean_tissue: Tensor
    mean_weight: Tensor
    unit: Tensor

    def __init__(self, config: ResponseConfig, n_channels: int) -> None:
        super().__init__()
        # MONAI takes seconds to import, which only those shall wait for who build a network.
        from monai.networks.blocks.convolutions import Convolution

        first, last = config.widths
        seen = 2 + len(LEVELS) + len(ROUGHNESS)  # image and fraction in the lesion besides
        leak = ("leakyrelu", {"negative_slope": SLOPE})
        edge, dropout = config.filter_voxels, config.dropout or None
        self.first = Convolution(3, seen, first, 1, edge, norm=None, act=leak, dropout=dropout, dropout_dim=3)
        self.last = Convolution(3, first, last, 1, edge, conv_only=True)
        for layer in (*self.first.modules(), *self.last.modules()):
            if isinstance(layer, nn.Conv3d):
                nn.init.kaiming_normal_(layer.weight, a=SLOPE)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        n_activations = last if n_channels == 1 else last + 1
        self.decoder = Convolution(3, n_activations, n_channels, 1, edge, conv_only=True)
        self.classifier = nn.Linear(n_activations, 1)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)
        self.fall = nn.Parameter(torch.full((n_channels - 1,), _FALL / max(1, n_channels - 1)))
        self.register_buffer("mean", torch.zeros(n_channels))
        self.register_buffer("deviation", torch.ones(n_channels))
        self.register_buffer("rough", torch.ones(()))
        self.register_buffer("mean_tissue", torch.zeros(last))
        self.register_buffer("mean_weight", torch.ones(()))
        self.register_buffer("unit", torch.ones(n_activations))

    @property
    def n_channels(self) -> int:
        """Channels of the input."""
        return len(self.mean)

    def see(self, values: Tensor, inside: Tensor) -> None:
        """Take the scale of the input from the lesions that the network will learn from.

        Args:
            values: (n, channel, s, s, s).
            inside: (n, s, s, s) fraction in the lesion.
        """
        self._require(values)
        values = _about_the_median(values, inside)
        share = inside[:, None].double() / inside.double().sum()
        mean = (values * share).sum((0, 2, 3, 4))
        variance = ((values - mean[:, None, None, None]) ** 2 * share).sum((0, 2, 3, 4))
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(variance > 1e-8, variance, 1.0).sqrt())
        rough = roughness(self._scaled(values)[:, 0], inside)
        self.rough.copy_((rough * inside).sum() / inside.sum())

    def encoded(self, values: Tensor, inside: Tensor) -> Tensor:
        """(n, seen, s/2, s/2, s/2) what is seen of the lesions, without a weight that is learnt.

        The channels of the input come first (`halved`), then the fraction in the lesion, then the levels.

        Args:
            values: (n, channel, s, s, s) in the units of `patches`.
            inside: (n, s, s, s) fraction in the lesion.

        Raises:
            GridMismatchError: other channels, or an odd edge.
        """
        self._require(values)
        lesion = inside[:, None]
        scaled = self._scaled(_about_the_median(values, inside)) * lesion
        bright = nearness(scaled[:, 0], LEVELS, LEVEL_WIDTH) * lesion
        rough = nearness(roughness(scaled[:, 0], inside) / self.rough, ROUGHNESS, ROUGHNESS_WIDTH) * lesion
        return functional.avg_pool3d(torch.cat([scaled, lesion, bright, rough], dim=1), STRIDE)

    def activations(self, encoded: Tensor) -> Tensor:
        """A of what `encoded` gave; see `features`. While the network learns, the means follow."""
        tissue, weight = self._tissue(encoded), self._weight(encoded)
        if self.training:
            self._follow(tissue, weight, encoded, _MOMENTUM)
        tissue = tissue - self.mean_tissue[:, None, None, None]
        A = tissue if weight is None else torch.cat([tissue * weight, weight - self.mean_weight], dim=1)
        return A / self.unit[:, None, None, None]

    def features(self, values: Tensor, inside: Tensor) -> Tensor:
        """A: (n, k + 1 or k, s/2, s/2, s/2), from that of an average lesion; arguments as of `encoded`."""
        return self.activations(self.encoded(values, inside))

    def logit_of(self, A: Tensor, inside: Tensor) -> Tensor:
        """(n,) log odds of no response, linear in A.

        Args:
            A: of `features`.
            inside: (n, s, s, s) fraction of each voxel in the lesion.
        """
        logit: Tensor = self.classifier(pooled(A, lesion_weight(inside)))[:, 0]
        return logit

    def forward(self, values: Tensor, inside: Tensor) -> Output:
        """Answer and reconstruct; shapes as of `features` and `logit_of`."""
        A = self.features(values, inside)
        return Output(self.logit_of(A, inside), self.decoder(A))

    def halved(self, encoded: Tensor) -> Tensor:
        """(n, channel, s/2, s/2, s/2) the input that the decoder is to give back: scaled, inside the lesion only."""
        return encoded[:, : self.n_channels]

    @torch.no_grad()
    def standardise(self, encoded: Tensor) -> None:
        """Count A from the mean of some lesions, in the standard deviation of their pooled activations.

        Args:
            encoded: of the lesions to learn from, at least two.
        """
        self._follow(self._tissue(encoded), self._weight(encoded), encoded, 1.0)
        training, self.training = self.training, False
        self.unit.mul_(pooled(self.activations(encoded), self._share(encoded)).std(dim=0) + 1e-3)
        self.training = training

    def _tissue(self, encoded: Tensor) -> Tensor:
        image = torch.cat([encoded[:, :1], encoded[:, self.n_channels :]], dim=1)
        return functional.softplus(self.last(self.first(image.contiguous(memory_format=torch.channels_last_3d))))

    def _weight(self, encoded: Tensor) -> Tensor | None:
        """(n, 1, s/2, s/2, s/2) w."""
        if self.n_channels == 1:
            return None
        share = encoded[:, self.n_channels, None].clamp_min(1e-3)
        delivered = (encoded[:, 1 : self.n_channels] / share).clamp(-_FARTHEST, _FARTHEST)
        return torch.exp(-torch.einsum("c,ncxyz->nxyz", self.fall, delivered))[:, None]

    def _share(self, encoded: Tensor) -> Tensor:
        """`lesion_weight` of the lesions."""
        lesion = encoded[:, self.n_channels]
        return lesion / lesion.sum((1, 2, 3), keepdim=True)

    @torch.no_grad()
    def _follow(self, tissue: Tensor, weight: Tensor | None, encoded: Tensor, momentum: float) -> None:
        share = self._share(encoded)
        self.mean_tissue.lerp_(pooled(tissue, share).mean(dim=0), momentum)
        if weight is not None:
            self.mean_weight.lerp_(pooled(weight, share).mean(), momentum)

    def _scaled(self, values: Tensor) -> Tensor:
        return (values - self.mean[:, None, None, None]) / self.deviation[:, None, None, None]

    def _require(self, values: Tensor) -> None:
        if values.ndim != 5 or values.shape[1] != self.n_channels or any(n % STRIDE for n in values.shape[2:]):
            raise GridMismatchError(
                f"expected patches (n, {self.n_channels}, s, s, s) with an even edge, found {tuple(values.shape)}"
            )


def lesion_weight(inside: Tensor) -> Tensor:
    """p: (n, s/2, s/2, s/2) fraction of the lesion that lies in each voxel of `last`, of sum 1.

    Args:
        inside: (n, s, s, s) fraction of each voxel in the lesion.
    """
    share = functional.avg_pool3d(inside[:, None], STRIDE)[:, 0]
    return share / share.sum((1, 2, 3), keepdim=True)


def pooled(A: Tensor, weight: Tensor) -> Tensor:
    """(n, k) mean of A (n, k, ...) over each lesion by its `lesion_weight`."""
    return torch.einsum("nkxyz,nxyz->nk", A, weight)


def _about_the_median(values: Tensor, inside: Tensor) -> Tensor:
    return torch.cat([within_lesion(values[:, 0], inside)[:, None], values[:, 1:]], dim=1)
