"""A convolutional autoencoder and classifier whose answer is an exact sum over voxels.

```
(n, channel, s, s, s) -> encoding, halved -> first -> last -> A (n, 2k, s/2, s/2, s/2) -> decoder -> reconstruction
                                                              |
              logit = bias + sum_k u_k sum_x p(x) A_k(x), p the fraction of the lesion in a voxel, of sum 1
```

A holds the k activations of `last` and, if the network sees what was delivered, the same times exp(-(D - mean) /
deviation) of the first such channel: what a tissue is, and what it is where little dose came. Both are counted from
those of an average lesion (`standardise`, `settle`), so that a voxel of ordinary tissue adds nothing.

After A the classifier is linear, so the gradient of the logit with respect to A is the constant u_k p(x), and gradient
times activation, summed over voxels and channels, is the logit without its bias (completeness of HiResCAM: Draelos and
Carin 2020, arXiv:2011.08891). No layer normalises over voxels or lesions; of its lesion a voxel's A knows the median
brightness besides its neighbourhood (`encoding`), and of other lesions nothing.

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
        last: the layer whose output, made positive, A is made of.
        mean: (channel,) of the input inside the lesions that it learns from; 0 before `see`.
        deviation: (channel,) likewise; 1 before `see`.
        rough: mean roughness of those lesions; 1 before `see`.
        centre: (2k,) what A is counted from; 0 before `standardise`.
        unit: (2k,) what A is counted in; 1 before `standardise`.
    """

    mean: Tensor
    deviation: Tensor
    rough: Tensor
    centre: Tensor
    unit: Tensor

    def __init__(self, config: ResponseConfig, n_channels: int) -> None:
        super().__init__()
        # MONAI takes seconds to import, which only those shall wait for who build a network.
        from monai.networks.blocks.convolutions import Convolution

        first, last = config.widths
        seen = n_channels + 1 + len(LEVELS) + len(ROUGHNESS)
        leak = ("leakyrelu", {"negative_slope": SLOPE})
        self.first = Convolution(3, seen, first, norm=None, act=leak, dropout=config.dropout or None, dropout_dim=3)
        self.last = Convolution(3, first, last, conv_only=True)
        for layer in (*self.first.modules(), *self.last.modules()):
            if isinstance(layer, nn.Conv3d):
                nn.init.kaiming_normal_(layer.weight, a=SLOPE)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        n_activations = last if n_channels == 1 else 2 * last
        self.decoder = Convolution(3, n_activations, n_channels, conv_only=True)
        self.classifier = nn.Linear(n_activations, 1)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)
        self.register_buffer("mean", torch.zeros(n_channels))
        self.register_buffer("deviation", torch.ones(n_channels))
        self.register_buffer("rough", torch.ones(()))
        self.register_buffer("centre", torch.zeros(n_activations))
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
        """A of what `encoded` gave; see `features`."""
        k = self.last(self.first(encoded.contiguous(memory_format=torch.channels_last_3d)))
        k = functional.softplus(k)
        if self.n_channels > 1:
            share = encoded[:, self.n_channels].clamp_min(1e-3)
            dose = (encoded[:, 1] / share).clamp(-_FARTHEST, _FARTHEST)
            k = torch.cat([k, k * torch.exp(-dose)[:, None]], dim=1)
        return (k - self.centre[:, None, None, None]) / self.unit[:, None, None, None]

    def features(self, values: Tensor, inside: Tensor) -> Tensor:
        """A: (n, 2k or k, s/2, s/2, s/2), from that of an average lesion; arguments as of `encoded`."""
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
    def standardise(self, encoded: Tensor, weight: Tensor) -> None:
        """Count A from the mean of some lesions' pooled activations, in their standard deviation.

        Args:
            encoded: of the lesions to learn from, at least two.
            weight: (n, s/2, s/2, s/2) of `lesion_weight`.
        """
        of_lesions = pooled(self.activations(encoded), weight)
        self.centre.add_(self.unit * of_lesions.mean(dim=0))
        self.unit.mul_(of_lesions.std(dim=0) + 1e-3)

    @torch.no_grad()
    def settle(self, encoded: Tensor, weight: Tensor) -> None:
        """Count A anew from the mean of some lesions; the bias takes over, so that no logit changes."""
        mean = pooled(self.activations(encoded), weight).mean(dim=0)
        self.centre.add_(self.unit * mean)
        self.classifier.bias.add_(self.classifier.weight[0] @ mean)

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
