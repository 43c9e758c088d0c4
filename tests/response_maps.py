"""Small networks with a last layer and a classifier, and lesions, for tests of maps."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn


class Answer(NamedTuple):
    logit: Tensor
    reconstruction: Tensor


class PooledNetwork(nn.Module):
    """Convolutions, then a linear classifier of the mean activations over the lesion; a decoder beside it."""

    def __init__(self, seed=0, channels=2, width=5):
        super().__init__()
        torch.manual_seed(seed)
        self.decoder = nn.ConvTranspose3d(width, channels, 2, stride=2)
        self.classifier = nn.Linear(width, 1)
        self.last = nn.Sequential(nn.Conv3d(4, width, 2, stride=2), nn.ReLU())
        self.first = nn.Sequential(nn.Conv3d(channels, 4, 3, padding=1), nn.ReLU())
        self.eval()

    def features(self, values, inside):
        return self.last(self.first(values))

    def logit_of(self, activations, inside):
        weight = nn.functional.avg_pool3d(inside[:, None], 2)
        pooled = (activations * weight).sum((2, 3, 4)) / weight.sum((2, 3, 4))
        return self.classifier(pooled)[:, 0]

    def forward(self, values, inside):
        activations = self.features(values, inside)
        return Answer(self.logit_of(activations, inside), self.decoder(activations))


class FlatNetwork(PooledNetwork):
    """A classifier with a weight for every voxel and channel of the last layer."""

    def __init__(self, seed=0, channels=2, width=5, size=12):
        super().__init__(seed, channels, width)
        self.classifier = nn.Linear(width * (size // 2) ** 3, 1)
        self.eval()

    def logit_of(self, activations, inside):
        return self.classifier(activations.flatten(1))[:, 0]


class SumNetwork(nn.Module):
    """Reads off the mean of one channel over the lesion, without a layer between."""

    def __init__(self, channel=0):
        super().__init__()
        self.channel = channel
        self.eval()

    def features(self, values, inside):
        return values

    def logit_of(self, activations, inside):
        return (activations[:, self.channel] * inside).sum((1, 2, 3)) / inside.sum((1, 2, 3))


class OneScore(nn.Module):
    """A network as MONAI takes it: a column of scores, one for each class."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, values, inside):
        return self.network(values, inside).logit[:, None]


def lesions(n=3, size=12, channels=2, seed=1):
    """Patches (n, channel, s, s, s) of noise, and balls with a blurred rim (n, s, s, s) in their middle."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(n, channels, size, size, size)).astype(np.float32)
    distance = np.sqrt(sum((axis - (size - 1) / 2) ** 2 for axis in np.ogrid[:size, :size, :size]))
    radius = rng.uniform(0.25, 0.38, n) * size
    inside = np.clip(radius[:, None, None, None] + 0.5 - distance, 0, 1).astype(np.float32)
    return values, inside


def tensors(*arrays):
    return tuple(torch.tensor(each) for each in arrays)
