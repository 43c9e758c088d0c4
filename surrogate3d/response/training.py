"""Train a network on few lesions, and an ensemble with its calibration.

*Loss.* The cross-entropy of the classifier; where the change of volume is known, the Huber error of the logit against
its size, log(V / V_0 / (1 - shrinkage)) / `CHANGE_UNIT`, so that a lesion that grew counts for more than one that
nearly responded; and the mean squared error of the autoencoder in the lesion, in units of what the channels vary by.
Lesions are augmented and described once (`encoding`), and turned anew each time.

*Ensemble.* Patients are divided into as many parts as there are members. Each member learns without one part, and is
judged on it after each epoch. All members stop at one epoch, where the mean error over all parts is least: a part alone
has a dozen lesions, whose best epoch is chance. The logits of that part, which a member did not learn from, calibrate
the model: every lesion of the training has one. They were looked at for stopping, so they flatter a little.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional

import surrogate3d
from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.model.denormals import without_denormals
from surrogate3d.model.freed_memory import keep_freed_memory
from surrogate3d.response.augmentation import SYMMETRIES, Augmented
from surrogate3d.response.calibration import fit_platt
from surrogate3d.response.config import ResponseConfig
from surrogate3d.response.folds import repeated_folds, require_no_leakage
from surrogate3d.response.model import ResponseModel, logits, one_thread, require_fits
from surrogate3d.response.network import ResponseNetwork, lesion_weight, pooled
from surrogate3d.response.patches import Patches
from surrogate3d.response.side_by_side import Progress, run_each

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Epochs = Callable[[int, float, float], None]

CHANGE_UNIT, LARGEST_CHANGE = 0.25, 3.0
"""Logarithm of the volume that a unit of the logit stands for, and the largest logit that a change asks for."""

_WARM_UP = 0.15  # share of the steps in which the learning rate rises


def train_response(
    patches: Patches,
    response: npt.ArrayLike,
    config: ResponseConfig,
    seed: int,
    processes: int = 1,
    progress: Progress | None = None,
) -> ResponseModel:
    """Train a model on all lesions given.

    Args:
        patches: cut as `config` says.
        response: (n,) 1 where a lesion responded, 0 where not.
        config: how.
        seed: of everything random.
        processes: members that are trained side by side.
        progress: called after each member with members done and all.

    Raises:
        GridMismatchError: `response` does not fit the lesions.
        ValueRangeError: a response that is not known, one class only, or fewer patients than members.
        BundleError: the patches are not as `config` says.
    """
    require_fits(patches, config)
    labels = known_response(patches, response)
    parts = repeated_folds(patches.patient, labels, config.members, 1, seed)[0]
    seeds = np.random.SeedSequence(seed).generate_state(config.members)
    tasks = [(np.flatnonzero(parts != n), np.flatnonzero(parts == n), int(seeds[n])) for n in range(config.members)]
    courses = run_each(_member, tasks, (patches, labels, config), processes, progress)
    epoch = best_epoch(courses, [len(stop) for _, stop, _ in tasks])
    networks = [each.at(epoch) for each in courses]
    unseen = np.full(len(patches), np.nan)
    for network, (_, stop, _) in zip(networks, tasks, strict=True):
        unseen[stop] = logits([network], patches.subset(stop))[0]
    card = {**_card(patches, labels, config, seed), "epoch": epoch}
    return ResponseModel(tuple(networks), fit_platt(unseen, 1 - labels), config, card)


def known_response(patches: Patches, response: npt.ArrayLike) -> Floats:
    """(n,) responses, if each is 0 or 1.

    Raises:
        GridMismatchError: not one for each lesion.
        ValueRangeError: one is something else, such as NaN without a follow-up.
    """
    labels = np.asarray(response, dtype=np.float64)
    if labels.shape != (len(patches),):
        raise GridMismatchError(f"expected a response for each of {len(patches)} lesions, found shape {labels.shape}")
    odd = np.flatnonzero((labels != 0) & (labels != 1))
    if len(odd):
        raise ValueRangeError(
            f"{patches.name(odd[0])}: a response to learn from is 0 or 1, found {labels[odd[0]]:g}; leave lesions "
            f"without a follow-up out ({len(odd)} here)"
        )
    return labels


@dataclass(frozen=True, eq=False)
class Course:
    """A training, epoch by epoch.

    Attributes:
        network: as it was after the last epoch.
        errors: (epoch,) loss on the lesions that it was judged on, without reconstruction.
        weights: after each epoch.
    """

    network: ResponseNetwork
    errors: Floats
    weights: tuple[dict[str, Tensor], ...]

    def at(self, epoch: int) -> ResponseNetwork:
        """The network as it was after an epoch, in evaluation mode."""
        self.network.load_state_dict(self.weights[epoch])
        return self.network.eval()


def best_epoch(courses: Sequence[Course], lesions: Sequence[int]) -> int:
    """Epoch of the least mean error.

    Args:
        courses: as many epochs each.
        lesions: that each was judged on.
    """
    return int(np.average([each.errors for each in courses], axis=0, weights=lesions).argmin())


@without_denormals()
def train_network(
    patches: Patches,
    response: Floats,
    rows_learn: Rows,
    rows_stop: Rows,
    config: ResponseConfig,
    seed: int,
    progress: Epochs | None = None,
) -> Course:
    """Train one network, on one thread.

    Args:
        patches: lesions.
        response: (n,) 1 where a lesion responded, 0 where not; other rows than those named are not looked at.
        rows_learn: lesions to learn from.
        rows_stop: lesions of other patients, on which it is judged.
        config: how.
        seed: of everything random; gives the same weights on the same machine.
        progress: called after each epoch with its number, the loss in learning, and that on `rows_stop` (without
            reconstruction).

    Raises:
        ValueRangeError: nothing to learn from or to stop on, or a patient on both sides.
    """
    if not len(rows_learn) or not len(rows_stop):
        raise ValueRangeError(
            f"a network needs lesions to learn from and to be judged on, found {len(rows_learn)} and {len(rows_stop)}"
        )
    require_no_leakage(patches.patient[rows_learn], patches.patient[rows_stop])
    keep_freed_memory()
    with one_thread(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        rng = np.random.default_rng(seed)
        network = ResponseNetwork(config, len(patches.channels))
        learn, stop = patches.subset(rows_learn), patches.subset(rows_stop)
        network.see(torch.from_numpy(learn.values), torch.from_numpy(learn.inside))
        seen = Seen.of(network, Augmented(learn, config).copies(rng), response[rows_learn], config)
        network.standardise(seen.encoded)
        judged = Seen.of(network, (stop,), response[rows_stop], config)
        errors, weights = [], []
        for epoch, loss in enumerate(_epochs(network, seen, len(learn), config, rng)):
            with torch.no_grad():
                errors.append(_loss(network.eval(), judged, config, reconstruct=False).item())
            weights.append({name: value.clone() for name, value in network.state_dict().items()})
            if progress is not None:
                progress(epoch, loss, errors[-1])
    return Course(network.eval(), np.array(errors), tuple(weights))


@dataclass(frozen=True)
class Seen:
    """Lesions as a network sees them, with what it is to say of them.

    Attributes:
        encoded: (m, seen, s/2, s/2, s/2) of `ResponseNetwork.encoded`; packed (m, seen, 1, 1, most), the voxels of the
            lesion in any order, and others that have no weight where a lesion has fewer than the largest.
        weight: (m, s/2, s/2, s/2) of `lesion_weight`; packed (m, 1, 1, most).
        resistant: (m,) 1 where a lesion did not respond.
        change: (m,) logit that the size of the change asks for; NaN where it is not known.
        packed: whether only voxels of the lesions are left, which is all that filters of one voxel need.
    """

    encoded: Tensor
    weight: Tensor
    resistant: Tensor
    change: Tensor
    packed: bool = False

    @staticmethod
    def of(network: ResponseNetwork, copies: Sequence[Patches], response: Floats, config: ResponseConfig) -> Seen:
        """Encode copies (of the same n lesions), one after the other; `response` is (n,)."""
        with torch.no_grad():
            arrays = [(torch.from_numpy(each.values), torch.from_numpy(each.inside)) for each in copies]
            encoded = torch.cat([network.encoded(*each) for each in arrays])
            weight = torch.cat([lesion_weight(inside) for _, inside in arrays])
        left = np.maximum(1 + copies[0].volume_change, 1e-3) / (1 - config.shrinkage)
        change = np.clip(np.log(left) / CHANGE_UNIT, -LARGEST_CHANGE, LARGEST_CHANGE)
        resistant, asked = (torch.from_numpy(np.tile(x, len(copies))).float() for x in (1 - response, change))
        packed = config.filter_voxels == 1
        return Seen(*(_packed(encoded, weight) if packed else (encoded, weight)), resistant, asked, packed)

    def turned(self, rows: Rows, rng: np.random.Generator) -> Seen:
        """Some of them, all turned by one symmetry of the cube."""
        order, turn = SYMMETRIES[rng.integers(len(SYMMETRIES))]
        if self.packed:  # filters of one voxel do not see where it lies
            return Seen(self.encoded[rows], self.weight[rows], self.resistant[rows], self.change[rows], packed=True)
        flipped = [2 + axis for axis, sign in enumerate(turn) if sign < 0]
        both = torch.cat([self.encoded[rows], self.weight[rows][:, None]], dim=1)
        both = torch.flip(both.permute(0, 1, *(2 + axis for axis in order)), flipped)
        return Seen(both[:, :-1], both[:, -1], self.resistant[rows], self.change[rows])


def _packed(encoded: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """The voxels of the lesions, first come those with a weight; a lesion fills a tenth of its cube."""
    outside = weight.flatten(1) <= 0
    most = int((~outside).sum(dim=1).max())
    order = torch.argsort(outside.int(), dim=1, stable=True)[:, :most]
    kept = encoded.flatten(2).gather(2, order[:, None].expand(-1, encoded.shape[1], -1))
    # Along the last axis: convolutions along another one take twenty times as long.
    return kept[:, :, None, None], weight.flatten(1).gather(1, order)[:, None, None]


def _epochs(
    network: ResponseNetwork, seen: Seen, n_lesions: int, config: ResponseConfig, rng: np.random.Generator
) -> Iterator[float]:
    """Mean loss of each epoch, after it; an epoch sees one copy of each lesion."""
    steps = -(-n_lesions // config.batch)
    optimiser = torch.optim.AdamW(_parameters(network, config.weight_decay), lr=config.learning_rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, config.learning_rate, total_steps=config.epochs * steps, pct_start=_WARM_UP
    )
    n_copies = len(seen.encoded) // n_lesions
    for _ in range(config.epochs):
        network.train()
        losses = []
        copy = n_lesions * rng.integers(n_copies, size=n_lesions)
        for rows in np.array_split(rng.permutation(n_lesions), steps):
            loss = _loss(network, seen.turned(rows + copy[rows], rng), config)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            schedule.step()
            losses.append(loss.item())
        yield float(np.mean(losses))


def _loss(network: ResponseNetwork, seen: Seen, config: ResponseConfig, reconstruct: bool = True) -> Tensor:
    A = network.activations(seen.encoded)
    logit = network.classifier(pooled(A, seen.weight))[:, 0]
    loss = functional.binary_cross_entropy_with_logits(logit, seen.resistant)
    known = torch.isfinite(seen.change)
    if config.change_weight and known.any():
        loss = loss + config.change_weight * functional.smooth_l1_loss(
            _up_to(seen.change, logit)[known], seen.change[known]
        )
    if config.reconstruction_weight and reconstruct:
        square: Tensor = (network.decoder(A) - network.halved(seen.encoded)) ** 2
        error = (square * seen.weight[:, None]).sum() / (len(logit) * network.n_channels)
        loss = loss + config.reconstruction_weight * error
    return loss


def _up_to(change: Tensor, logit: Tensor) -> Tensor:
    """Logits, without a slope where they are beyond a change that is as large as any is taken for."""
    beyond = (change.abs() >= LARGEST_CHANGE) & (logit * change.sign() > LARGEST_CHANGE)
    return torch.where(beyond, change, logit)


def _parameters(network: ResponseNetwork, weight_decay: float) -> list[dict[str, object]]:
    every = list(network.parameters())
    weights, biases = [p for p in every if p.ndim > 1], [p for p in every if p.ndim <= 1]
    return [{"params": weights, "weight_decay": weight_decay}, {"params": biases, "weight_decay": 0.0}]


def _member(shared: tuple[Patches, Floats, ResponseConfig], task: tuple[Rows, Rows, int]) -> Course:
    patches, response, config = shared
    learn, stop, seed = task
    return train_network(patches, response, learn, stop, config, seed)


def _card(patches: Patches, response: Floats, config: ResponseConfig, seed: int) -> dict[str, object]:
    return {
        "seed": seed,
        "config": asdict(config),
        "lesions": len(patches),
        "patients": len(np.unique(patches.patient)),
        "responded": int(response.sum()),
        "versions": {
            "surrogate3d": surrogate3d.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
        },
    }
