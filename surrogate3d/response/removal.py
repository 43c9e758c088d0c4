"""Insertion and deletion: does the logit fall when voxels go that a map calls resistant?

Voxels of a lesion are removed in the order of the map, the most resistant first, and the network is asked again
(Petsiuk, Das and Saenko 2018, arXiv 1806.07421). Deletion starts from the lesion as it is; insertion brings voxels
back, in the same order, into a lesion whose voxels all were removed. What surrounds the lesion stays. A map of the
logit of no response is right if the logit falls early in deletion (a small area under the curve) and rises early in
insertion (a large one).

A removed voxel takes the lesion's own mean in every channel: it loses what distinguishes it within the lesion, and the
lesion keeps its contrast to the tissue around it. `local_mean` is the softer choice, a blur inside the lesion.

The same is done in random orders. To insert in an order is to delete in the reversed one, backwards; a random order is
as likely as its reverse, so that one set of random curves serves both. Orders of white noise remove a fine pepper that
a map never would; with `correlation_voxels` the orders are as smooth as maps are, which is the fairer comparison.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import gaussian_filter

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.response.activation import Mapped, as_tensors, lesion_mean, logits
from surrogate3d.response.map_agreement import spread_of
from surrogate3d.response.map_scale import lesion_voxels

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RemovalCurves:
    """Logits of no response while voxels of the lesion are removed.

    Attributes:
        fractions: (step + 1,) of the lesion's voxels removed (deletion) or brought back (insertion).
        deletion: (n, step + 1) in the order of the map.
        insertion: (n, step + 1) in the order of the map.
        random: (n, draw, step + 1) deletion in random orders.
    """

    fractions: Floats
    deletion: Floats
    insertion: Floats
    random: Floats

    @property
    def deletion_area(self) -> Floats:
        """(n,) area under the curve, a mean logit."""
        return self._area(self.deletion)

    @property
    def insertion_area(self) -> Floats:
        """(n,) area under the curve, a mean logit."""
        return self._area(self.insertion)

    @property
    def random_area(self) -> Floats:
        """(n, draw) area under the curves of random orders."""
        return self._area(self.random)

    def _area(self, curves: Floats) -> Floats:
        return np.asarray(np.trapezoid(curves, self.fractions, axis=-1))

    def summary(self) -> dict[str, dict[str, float]]:
        """Areas, and how much better those of the map are than the mean of random orders, with the spread over lesions.

        `beaten` is the share of random orders that the map beats; `std_of_draws` the spread of the areas of random
        orders of one lesion (root mean square over lesions).
        """
        deleted, inserted, random = self.deletion_area, self.insertion_area, self.random_area
        chance = random.mean(axis=1)
        deviation = float(np.sqrt(random.var(axis=1, ddof=1).mean())) if random.shape[1] > 1 else np.nan
        return {
            "deletion": spread_of(deleted),
            "insertion": spread_of(inserted),
            "random": {**spread_of(chance), "std_of_draws": deviation, "draws": random.shape[1]},
            "deletion_gain": {**spread_of(chance - deleted), "beaten": float((deleted[:, None] < random).mean())},
            "insertion_gain": {**spread_of(inserted - chance), "beaten": float((inserted[:, None] > random).mean())},
        }


def removal_curves(
    network: Mapped,
    values: npt.ArrayLike,
    inside: npt.ArrayLike,
    maps: npt.ArrayLike,
    *,
    replacement: npt.ArrayLike | None = None,
    steps: int = 10,
    draws: int = 5,
    correlation_voxels: float = 0.0,
    seed: int = 0,
) -> RemovalCurves:
    """Deletion and insertion in the order of a map, and deletion in random orders.

    Args:
        network: in evaluation mode.
        values: (n, channel, s, s, s) patches.
        inside: (n, s, s, s) fraction of each voxel in the lesion.
        maps: (n, s, s, s); the largest value goes first.
        replacement: (n, channel, s, s, s) what removed voxels become; the mean of the lesion by default.
        steps: in which voxels are removed, equally many in each.
        draws: of random orders, of each lesion.
        correlation_voxels: deviation of the Gaussian that smooths the noise that orders at random.
        seed: of the random orders.

    Raises:
        GridMismatchError: shapes that do not fit.
        ValueRangeError: no step or draw, a negative smoothing, or a map that is not finite in the lesion.
    """
    if min(steps, draws) < 1 or correlation_voxels < 0:
        raise ValueRangeError(
            f"steps and draws must be at least 1 and correlation_voxels not negative, found {steps}, {draws} and "
            f"{correlation_voxels:g}"
        )
    patch, lesion = as_tensors(network, values, inside)
    kind = lesion_mean(values, inside) if replacement is None else np.asarray(replacement, dtype=np.float32)
    if len(kind) != len(patch) or kind.shape[1] != patch.shape[1]:
        raise GridMismatchError(f"a replacement {kind.shape} does not fit patches {tuple(patch.shape)}")
    score = np.asarray(maps, dtype=np.float64)
    voxels, rng, found = lesion_voxels(score, np.asarray(inside)), np.random.default_rng(seed), []
    substitute = torch.tensor(np.broadcast_to(kind, tuple(patch.shape)))
    for row, mine in enumerate(voxels):
        orders = np.stack([_places(score[row][mine]), *_random_places(mine, draws, correlation_voxels, rng)])
        kept = torch.from_numpy(_kept(orders, mine, steps).reshape(-1, 1, *mine.shape))
        answers = logits(
            network, torch.where(kept, patch[row], substitute[row]), lesion[row].expand(len(kept), *mine.shape)
        )
        found.append(answers.double().numpy().reshape(draws + 2, steps + 1))
    curves = np.stack(found)
    return RemovalCurves(np.linspace(0, 1, steps + 1), curves[:, 0], curves[:, 1], curves[:, 2:])


def local_mean(values: npt.ArrayLike, inside: npt.ArrayLike, sigma_voxels: float = 2.0) -> npt.NDArray[np.float32]:
    """(n, channel, s, s, s) Gaussian mean about each voxel that sees the lesion only; unchanged outside the lesion.

    Raises:
        ValueRangeError: a blur of no width.
    """
    if sigma_voxels <= 0:
        raise ValueRangeError(f"the blur must be wider than 0 voxels, found {sigma_voxels:g}")
    patch, fractions = np.asarray(values, dtype=np.float64), np.asarray(inside)
    voxels = lesion_voxels(fractions, fractions)[:, None]
    total, weight = (
        gaussian_filter(each, sigma=sigma_voxels, mode="constant", axes=(2, 3, 4))
        for each in (patch * voxels, voxels.astype(np.float64))
    )
    return np.where(voxels, total / np.where(voxels, weight, 1.0), patch).astype(np.float32)


def _places(score: Floats) -> npt.NDArray[np.int64]:
    """(voxel,) place of each voxel of the lesion in the order, from the largest value on."""
    places = np.empty(score.size, dtype=np.int64)
    places[np.argsort(-score, kind="stable")] = np.arange(score.size)
    return places


def _random_places(
    voxels: npt.NDArray[np.bool_], draws: int, correlation_voxels: float, rng: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    noise = rng.standard_normal((draws, *voxels.shape))
    if correlation_voxels > 0:
        noise = gaussian_filter(noise, sigma=correlation_voxels, axes=(1, 2, 3))
    return [_places(each[voxels]) for each in noise]


def _kept(orders: npt.NDArray[np.int64], voxels: npt.NDArray[np.bool_], steps: int) -> npt.NDArray[np.bool_]:
    """(order + 1, step + 1, s, s, s) which voxels keep their value: deletion, insertion, then the random deletions."""
    gone = np.rint(np.linspace(0, orders.shape[1], steps + 1))[:, None]
    deleted = orders[:, None] < gone
    states = np.concatenate([~deleted[:1], deleted[:1], ~deleted[1:]])
    kept = np.ones((*states.shape[:2], *voxels.shape), dtype=bool)
    kept[..., voxels] = states
    return kept
