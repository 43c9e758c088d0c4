"""Train many networks at once: members of an ensemble, and those of all folds of a cross-validation.

Every network is one slice of the same tensors (`torch.func.vmap`), so that the products are large enough for the
processor. Networks do not see one another: training one alone gives the same weights, but for rounding.

*Loss.* Of the survival points, the error of ln S in units of what points and repeats scatter (`network.typical_std`),
and of RBE10 the error of its logarithm, both by pseudo-Huber functions: a tenth of the published curves lies far off
whatever anyone predicts. An experiment counts by 1 / (1 + rho (n - 1)), n being the number of experiments of its
publication, as they share their photon curve and their methods. The predicted deviation learns from the same errors
by its Gaussian likelihood, and does not act back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from surrogate3d.errors import ConfigError, GridMismatchError, ValueRangeError
from surrogate3d.invitro.attention import entropy
from surrogate3d.invitro.dataset import InVitroData
from surrogate3d.invitro.network import RBE10_STD, Curves, InVitroNetwork, NetworkConfig, typical_std
from surrogate3d.model.denormals import without_denormals

Progress = Callable[[int, int], None]

_FARTHEST = 5.0  # deviations beyond which an error says no more of the predicted deviation
_STACKED_BUFFERS = ("mean", "deviation")  # the others are the same in all networks


@dataclass(frozen=True)
class InVitroConfig:
    """How a model is trained.

    Attributes:
        network: size and physics.
        steps: optimiser steps over all experiments.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: of AdamW, on weights, not on biases.
        folds: parts into which publications are divided; each member is trained without one.
        repeats: divisions; the ensemble has folds x repeats members.
        points_weight: of the error of ln S, beside that of ln RBE10.
        sparsity: of the entropy of the masks.
        shared: rho, the correlation of errors within a publication.
    """

    network: NetworkConfig = field(default_factory=NetworkConfig)
    steps: int = 100
    learning_rate: float = 0.01
    weight_decay: float = 0.1
    folds: int = 5
    repeats: int = 2
    points_weight: float = 1.0
    sparsity: float = 1e-3
    shared: float = 0.1

    def __post_init__(self) -> None:
        if min(self.steps, self.repeats) < 1 or self.folds < 2 or self.learning_rate <= 0:
            raise ConfigError("steps and repeats must be at least 1, folds at least 2, learning_rate positive")
        if min(self.weight_decay, self.points_weight, self.sparsity, self.shared) < 0 or self.shared > 1:
            raise ConfigError("weight_decay, points_weight, sparsity and shared must not be negative, shared at most 1")


@dataclass(frozen=True, eq=False)
class Examples:
    """`InVitroData` as tensors.

    Attributes:
        features: (n, feature), NaN where not known.
        photon: (n, 2).
        dose: (n, point) Gy; 0 in the padding.
        log_survival: (n, point); 0 in the padding.
        weight: (n, point) of sum 1; 0 in the padding.
        log_RBE10: (n,) NaN where it was not measured.
        publication: (n,) numbers.
    """

    features: Tensor
    photon: Tensor
    dose: Tensor
    log_survival: Tensor
    weight: Tensor
    log_RBE10: Tensor
    publication: npt.NDArray[np.int64]

    @staticmethod
    def of(data: InVitroData, dtype: torch.dtype = torch.float32) -> Examples:
        """The experiments of `data`; networks are trained in `dtype`.

        Raises:
            ValueRangeError: there are none.
        """
        if not len(data):
            raise ValueRangeError("there is no experiment to train on")

        def tensor(values: npt.NDArray[np.float64]) -> Tensor:
            return torch.tensor(values, dtype=dtype)

        return Examples(
            features=tensor(data.features),
            photon=tensor(data.photon),
            dose=tensor(np.nan_to_num(data.dose)),
            log_survival=tensor(np.nan_to_num(data.log_survival)),
            weight=tensor(data.weight),
            log_RBE10=tensor(np.log(data.RBE10)),
            publication=np.unique(data.publication, return_inverse=True)[1],
        )


@without_denormals()
def train_networks(
    examples: Examples,
    chosen: npt.NDArray[np.bool_],
    seeds: Sequence[int],
    config: InVitroConfig,
    progress: Progress | None = None,
) -> list[InVitroNetwork]:
    """Train networks, each on its own choice of experiments.

    Args:
        examples: all experiments.
        chosen: (network, n) which experiments a network learns from.
        seeds: (network,) of the start of each; nothing else is random.
        config: how.
        progress: called after every step with steps done and all.

    Returns:
        The networks, in evaluation mode.

    Raises:
        GridMismatchError: `chosen` does not fit the experiments or the seeds.
        ValueRangeError: a network has nothing to learn from.
    """
    if chosen.shape != (len(seeds), len(examples.photon)):
        raise GridMismatchError(
            f"expected a choice of {len(seeds)} networks from {len(examples.photon)} experiments, found {chosen.shape}"
        )
    if not chosen.any(axis=1).all():
        raise ValueRangeError("a network has no experiment to learn from; use fewer folds or more publications")
    networks = [_started(config.network, examples, row, seed) for row, seed in zip(chosen, seeds, strict=True)]
    parameters, buffers = _stacked(networks)
    counts = np.stack([_counts(row, examples.publication, config.shared) for row in chosen])
    plain = networks[0]

    def loss(parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], count: Tensor) -> Tensor:
        curves = functional_call(plain, {**parameters, **buffers}, (examples.features, examples.photon))
        return _loss(curves, examples, count, config)

    _fit(vmap(loss), parameters, buffers, torch.tensor(counts).to(examples.features), config, progress)
    for n, network in enumerate(networks):
        network.load_state_dict({name: value[n].detach() for name, value in {**parameters, **buffers}.items()})
    return [network.eval() for network in networks]


def _started(config: NetworkConfig, examples: Examples, row: npt.NDArray[np.bool_], seed: int) -> InVitroNetwork:
    """A new network that has seen the spread of its features; a feature that is never known keeps 0 and 1."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = InVitroNetwork(config).to(examples.features.dtype)
    inputs = network.inputs(examples.features, examples.photon)[torch.from_numpy(row)].double()
    known = torch.isfinite(inputs)
    number = known.sum(0).clamp_min(1)
    mean = torch.nan_to_num(inputs).sum(0) / number
    variance = torch.where(known, (inputs - mean) ** 2, 0.0).sum(0) / number
    network.mean.copy_(mean)
    network.deviation.copy_(torch.where(variance > 1e-8, variance, 1.0).sqrt())
    return network


def _stacked(networks: Sequence[InVitroNetwork]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    parameters, buffers = stack_module_state(list(networks))
    kept = {name: buffers[name] for name in _STACKED_BUFFERS}
    return {name: value.detach().requires_grad_() for name, value in parameters.items()}, kept


def _counts(row: npt.NDArray[np.bool_], publication: npt.NDArray[np.int64], shared: float) -> npt.NDArray[np.float64]:
    """(n,) how much each experiment counts, of sum 1; 0 for those that are not chosen."""
    number = np.bincount(publication[row], minlength=int(publication.max()) + 1)[publication]
    count = np.where(row, 1 / (1 + shared * (number - 1)), 0.0)
    return np.asarray(count / count.sum())


def _loss(curves: Curves, examples: Examples, count: Tensor, config: InVitroConfig) -> Tensor:
    effect = curves.alpha[:, None] * examples.dose + curves.beta[:, None] * examples.dose**2
    error = (effect + examples.log_survival) / typical_std(effect.detach())
    points = (examples.weight * _pseudo_huber(error)).sum(-1)
    known = torch.isfinite(examples.log_RBE10)
    apart = torch.where(known, curves.log_RBE10 - torch.nan_to_num(examples.log_RBE10), 0.0) / RBE10_STD
    squares = (examples.weight * error.detach().clamp(-_FARTHEST, _FARTHEST) ** 2).sum(-1)
    doubt = 0.5 * squares * torch.exp(-2 * curves.log_std) + curves.log_std
    sparse = config.sparsity * entropy(curves.masks).mean(-1)
    return (count * (config.points_weight * points + _pseudo_huber(apart) + doubt + sparse)).sum()


def _pseudo_huber(error: Tensor) -> Tensor:
    """Quadratic near 0, linear beyond one deviation."""
    return torch.sqrt(1 + error**2) - 1


def _fit(
    loss: Callable[..., Tensor],
    parameters: Mapping[str, Tensor],
    buffers: Mapping[str, Tensor],
    counts: Tensor,
    config: InVitroConfig,
    progress: Progress | None,
) -> None:
    """Minimise the sum of the networks' losses, of which each depends on its own slice only."""
    decayed = [value for value in parameters.values() if value.ndim > 2]  # with the axis of the networks
    others = [value for value in parameters.values() if value.ndim <= 2]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=config.learning_rate, eps=1e-6)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.steps, pct_start=0.15
    )
    for step in range(1, config.steps + 1):
        optimiser.zero_grad()
        torch.autograd.backward(loss(parameters, buffers, counts).sum())
        optimiser.step()
        schedule.step()
        if progress is not None:
            progress(step, config.steps)
