"""What a trained network looks at and relies on: shuffled groups, and integrated gradients.

Both change what the attentive steps see, the normalised features, and keep the physics of the network: the photon
pair that RBE is relative to, and the factor h(LET) of the photon limit. So what is found for LET and biology is what
attention takes from them, beside what physics takes from them in any case.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from surrogate3d.errors import GridMismatchError, UnknownNameError, ValueRangeError
from surrogate3d.invitro.network import LET_COLUMN, InVitroNetwork, shifted
from surrogate3d.invitro.scales import GROUPS
from surrogate3d.model.denormals import without_denormals

Floats = npt.NDArray[np.float64]


class Seen(NamedTuple):
    """What the steps of a network see of some rows, and what they do not see.

    Attributes:
        x: (n, channel) normalised; 0 where not known.
        present: (n, group) whether anything of a group is known.
        limit: (n,) factor of the photon limit.
        photon: (n, 2) alpha_x and beta_x.
    """

    x: Tensor
    present: Tensor
    limit: Tensor
    photon: Tensor


class Said(NamedTuple):
    """Alpha (1/Gy), beta (1/Gy^2) and ln RBE10 of rows (n,)."""

    alpha: Tensor
    beta: Tensor
    log_RBE10: Tensor


def seen(network: InVitroNetwork, features: npt.ArrayLike, photon: npt.ArrayLike) -> Seen:
    """What the steps of a network see.

    Args:
        network: trained.
        features: (n, feature) in the order of `scales.FEATURES`, NaN where not known.
        photon: (n, 2) alpha_x (1/Gy) and beta_x (1/Gy^2).
    """
    caught: list[tuple[Tensor, Tensor]] = []
    rows, pair = (torch.as_tensor(np.asarray(values), dtype=torch.float32) for values in (features, photon))
    handle = network.steps.register_forward_pre_hook(lambda _, given: caught.append(given))
    try:
        with torch.no_grad():
            network(rows, pair)
    finally:
        handle.remove()
    LET = rows[:, LET_COLUMN]
    x, present = caught[0]
    return Seen(x, present, LET / (LET + network.config.half_LET), pair)


def said(network: InVitroNetwork, given: Seen) -> Said:
    """What a network answers to what its steps see; of what `seen` found this is its answer to the features."""
    shift = network.answer(network.steps(given.x, given.present).state) * given.limit[:, None]
    alpha, beta = shifted(given.photon, shift[:, 0], 3.0 * shift[:, 1])
    return Said(alpha, beta, shift[:, 0])


def columns_of(network: InVitroNetwork, groups: tuple[str, ...]) -> Tensor:
    """Channels of `Seen.x` that belong to some groups.

    Raises:
        UnknownNameError: no such group.
    """
    if unknown := set(groups) - set(GROUPS):
        raise UnknownNameError(f"unknown groups {', '.join(sorted(unknown))}; known: {', '.join(GROUPS)}")
    members = network.steps.columns.numpy()[[GROUPS.index(group) for group in groups]]
    channels = np.unique(members[members < len(network.mean) + len(GROUPS)])  # the table pads with their number
    return torch.from_numpy(channels)


def shuffled(network: InVitroNetwork, given: Seen, groups: tuple[str, ...], order: npt.ArrayLike) -> Seen:
    """Some groups taken from other rows, with what is known of them.

    Args:
        network: whose steps see `given`.
        given: (n,) rows.
        groups: of `GROUPS`.
        order: (n,) the row from which each takes them.
    """
    rows = torch.as_tensor(np.asarray(order))
    columns, numbers = columns_of(network, groups), [GROUPS.index(group) for group in groups]
    x, present = given.x.clone(), given.present.clone()
    x[:, columns] = given.x[rows][:, columns]
    present[:, numbers] = given.present[rows][:, numbers]
    return given._replace(x=x, present=present)


def orders(n: int, repeats: int, rng: np.random.Generator, strata: npt.ArrayLike | None = None) -> npt.NDArray[np.intp]:
    """(repeat, n) random orders of rows, within strata (n,) where given.

    Raises:
        GridMismatchError: as many strata as rows are needed.
    """
    kind = np.zeros(n, dtype=int) if strata is None else np.unique(np.asarray(strata), return_inverse=True)[1]
    if kind.shape != (n,):
        raise GridMismatchError(f"expected a stratum of each of {n} rows, found shape {kind.shape}")
    found = np.empty((repeats, n), dtype=np.intp)
    for row in found:
        for each in range(int(kind.max(initial=-1)) + 1):
            members = np.flatnonzero(kind == each)
            row[members] = rng.permutation(members)
    return found


@without_denormals()
def integrated_gradients(network: InVitroNetwork, given: Seen, steps: int = 64) -> Floats:
    """Contribution of each group to ln RBE10, from the mean of the training on.

    The path is straight, from channels 0, the mean of the training, to those seen; the integral is a sum at midpoints.
    Contributions add up to ln RBE10 less what the network says of the mean, at the same LET and photon pair, but for
    the error of the sum (Sundararajan, Taly and Yan, arXiv 1703.01365, proposition 1).

    Args:
        network: trained.
        given: (n,) rows.
        steps: of the sum.

    Returns:
        (n, group).

    Raises:
        ValueRangeError: no step.
    """
    if steps < 1:
        raise ValueRangeError(f"the path needs a step at least, found {steps}")
    total = torch.zeros_like(given.x)
    for n in range(steps):
        x = (given.x * ((n + 0.5) / steps)).requires_grad_()
        total += torch.autograd.grad(said(network, given._replace(x=x)).log_RBE10.sum(), x)[0]
    each = (given.x * total / steps).double().numpy()
    return np.stack([each[:, columns_of(network, (group,)).numpy()].sum(axis=1) for group in GROUPS], axis=1)
