"""Is a map more than a picture of the input? Sanity checks of maps, as numbers.

* **Randomisation** (Adebayo et al. 2018, arXiv 1810.03292, section 4.1): layers of the trained network take the weights
  of an untrained one, from the classifier down to the first, and stay so. A map that depends on what was learnt loses
  its likeness to the trained network's; one that does not is an edge detector. Judge it by the mean size of the
  correlation: a random classifier turns the sign of a map in half of the draws. It does not fall to 0, because every
  map of a lesion knows where the lesion is.
* **Stability** to noise of the image, and between networks that differ in their seed only.
* **Insertion and deletion**: `removal`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from itertools import combinations
from typing import Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.response.activation import Mapped, activation_map, as_tensors, completeness, ensemble_map
from surrogate3d.response.map_agreement import Agreement, agreement, spread_of, stacked
from surrogate3d.response.removal import RemovalCurves, removal_curves


class Weighted(Mapped, Protocol):
    """A network that `Mapped` describes, with weights that have names, as any torch module has."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and weights."""


Network = TypeVar("Network", bound=Weighted)


@dataclass(frozen=True, eq=False)
class Randomisation:
    """Maps of networks whose layers lost what they learnt, compared with the trained network's.

    Attributes:
        layers: names, from the classifier to the first; the last entry has all of them random.
        agreement: (draw, layer, n) with the trained network's map.
    """

    layers: tuple[str, ...]
    agreement: Agreement

    def summary(self) -> dict[str, dict[str, dict[str, float]]]:
        """Of each depth: mean, spread, mean size and number, over lesions and draws, of Spearman, SSIM and Dice."""
        return {
            layer: {name: spread_of(values[:, depth]) for name, values in self.agreement.measures.items()}
            for depth, layer in enumerate(self.layers)
        }


@dataclass(frozen=True, eq=False)
class MapChecks:
    """All checks of one kind of map.

    Attributes:
        method: of `activation.METHODS`.
        completeness: largest error of the sum of any network's map; NaN where maps add up to nothing.
        randomisation: of the first network.
        removal: of the first network's own map.
        noise: (draw, n) map of the ensemble of a noisy image, compared with that of the image.
        sigma: standard deviation of that noise, in units of the image channel.
        reseeding: (pair, n) between two networks.
    """

    method: str
    completeness: float
    randomisation: Randomisation
    removal: RemovalCurves
    noise: Agreement
    sigma: float
    reseeding: Agreement

    def summary(self) -> dict[str, object]:
        """Everything as plain numbers by name."""
        return {
            "method": self.method,
            "completeness": self.completeness,
            "randomisation": self.randomisation.summary(),
            "removal": self.removal.summary(),
            "noise": {"sigma": self.sigma, **self.noise.summary()},
            "reseeding": self.reseeding.summary(),
        }


def check_maps(
    networks: Sequence[Network],
    untrained: Sequence[Network],
    values: npt.ArrayLike,
    inside: npt.ArrayLike,
    method: str = "hirescam",
    *,
    sigma: float = 0.05,
    draws: int = 5,
    correlation_voxels: float = 2.0,
    seed: int = 0,
) -> MapChecks:
    """All checks of one method.

    Args:
        networks: two at least, trained with different seeds; in evaluation mode.
        untrained: of the same shape, with fresh weights; each is one draw of the randomisation.
        values: (n, channel, s, s, s) patches; channel 0 is the image.
        inside: (n, s, s, s) fraction of each voxel in the lesion.
        method: of `activation.METHODS`.
        sigma: of the noise, in units of the image channel (a fraction of the signal around the lesion).
        draws: of noise, and of random orders.
        correlation_voxels: smoothness of the random orders.
        seed: of noise and orders.

    Raises:
        ValueRangeError: fewer than two networks, and what the checks themselves refuse.
    """
    reseeding = stability_to_seed(networks, values, inside, method)
    own = activation_map(networks[0], values, inside, method).map
    sums = method in ("hirescam", "integrated-gradients")
    return MapChecks(
        method,
        max(completeness(each, values, inside, method) for each in networks) if sums else np.nan,
        randomised_maps(networks[0], untrained, values, inside, method),
        removal_curves(networks[0], values, inside, own, draws=draws, correlation_voxels=correlation_voxels, seed=seed),
        stability_to_noise(networks, values, inside, method, sigma=sigma, draws=draws, seed=seed),
        sigma,
        reseeding,
    )


def randomised_maps(
    network: Network,
    untrained: Sequence[Network],
    values: npt.ArrayLike,
    inside: npt.ArrayLike,
    method: str = "hirescam",
) -> Randomisation:
    """Cascading randomisation, from the classifier down.

    Args:
        network: trained; it is not changed.
        untrained: networks of the same shape with fresh weights; each is one draw.
        values: (n, channel, s, s, s) patches.
        inside: (n, s, s, s) fraction of each voxel in the lesion.
        method: of `activation.METHODS`.

    Raises:
        ValueRangeError: no untrained network.
        GridMismatchError: one whose weights have other names or shapes.
    """
    if not untrained:
        raise ValueRangeError("randomisation needs at least one untrained network, found none")
    layers, trained = layers_from_logit(network, values, inside), activation_map(network, values, inside, method).map

    def cascade(fresh: Network) -> Iterator[Agreement]:
        changed = deepcopy(network)
        for layer in layers:
            _take(changed, fresh, layer)
            yield agreement(activation_map(changed, values, inside, method).map, trained, inside)

    return Randomisation(layers, stacked([stacked(list(cascade(fresh))) for fresh in untrained]))


def layers_from_logit(network: Weighted, values: npt.ArrayLike, inside: npt.ArrayLike) -> tuple[str, ...]:
    """Modules with weights that the logit depends on, by their distance from it: the classifier first.

    The distance is that in the graph of the derivative, so the order in which a module lists its parts does not
    matter, and what only the reconstruction uses is not there. A weight that the network owns itself is its own layer.
    """
    patch, lesion = as_tensors(network, np.asarray(values)[:1], np.asarray(inside)[:1])
    owner = {id(weight): _layer_of(name) for name, weight in network.named_parameters()}
    with torch.enable_grad():
        level = [network.logit_of(network.features(patch, lesion), lesion).grad_fn]
    layers, seen = dict[str, None](), set(level)
    while level:
        for node in level:
            if (name := owner.get(id(getattr(node, "variable", None)))) is not None:
                layers.setdefault(name)
        following = [after for node in level if node is not None for after, _ in node.next_functions]
        level = [node for node in dict.fromkeys(following) if node is not None and node not in seen]
        seen.update(level)
    return tuple(layers)


def stability_to_noise(
    networks: Sequence[Mapped],
    values: npt.ArrayLike,
    inside: npt.ArrayLike,
    method: str = "hirescam",
    *,
    sigma: float = 0.05,
    draws: int = 5,
    seed: int = 0,
) -> Agreement:
    """Agreement (draw, n) of an ensemble's map with that of an image with white Gaussian noise in every voxel.

    Args:
        networks: whose mean map is looked at.
        values: (n, channel, s, s, s) patches; channel 0 is the image, and only it becomes noisy.
        inside: (n, s, s, s) fraction of each voxel in the lesion.
        method: of `activation.METHODS`.
        sigma: standard deviation, in units of the image channel.
        draws: of noise.
        seed: of noise.

    Raises:
        ValueRangeError: no noise, or no draw.
    """
    if sigma <= 0 or draws < 1:
        raise ValueRangeError(f"noise needs a sigma above 0 and a draw at least, found {sigma:g} and {draws}")
    patch, rng, found = np.asarray(values, dtype=np.float32), np.random.default_rng(seed), []
    still = ensemble_map(networks, patch, inside, method).map
    for _ in range(draws):
        noisy = patch.copy()
        noisy[:, 0] += sigma * rng.standard_normal(noisy[:, 0].shape, dtype=np.float32)
        found.append(agreement(ensemble_map(networks, noisy, inside, method).map, still, inside))
    return stacked(found)


def stability_to_seed(
    networks: Sequence[Mapped], values: npt.ArrayLike, inside: npt.ArrayLike, method: str = "hirescam"
) -> Agreement:
    """Agreement (pair, n) of the maps of every two networks, which were trained alike but for their seed.

    Raises:
        ValueRangeError: fewer than two networks.
    """
    if len(networks) < 2:
        raise ValueRangeError(f"reseeding compares two networks at least, found {len(networks)}")
    maps = [activation_map(network, values, inside, method).map for network in networks]
    return stacked([agreement(one, other, inside) for one, other in combinations(maps, 2)])


def _layer_of(name: str) -> str:
    return name.rpartition(".")[0] or name


def _take(network: Weighted, other: Weighted, layer: str) -> None:
    """Give a layer of a network the weights of another's."""
    mine = {name: weight for name, weight in network.named_parameters() if _layer_of(name) == layer}
    theirs = dict(other.named_parameters())
    for name, weight in mine.items():
        if name not in theirs or theirs[name].shape != weight.shape:
            raise GridMismatchError(f"the untrained network has no weight {name} of shape {tuple(weight.shape)}")
        with torch.no_grad():
            weight.copy_(theirs[name])
