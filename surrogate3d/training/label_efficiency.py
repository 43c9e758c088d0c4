"""Direct regression from a spectrum's summary to its response: how many labels does a choice of voxels cost?

No table and no mixing rule stands between input and answer, so everything must be learned from the labels: what is left
of the error is what the choice of the labelled voxels could give. It is small on purpose: one fit takes a second or
two, and a benchmark makes thousands. The engine's own networks (`model.network`) need far fewer labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.grid import Field, SpectrumAxes
from surrogate3d.physics.let import bin_dose, bin_LET

Floats = npt.NDArray[np.float64]

BANDS_MEV_U = {"H": (2.0, 5.0, 10.0, 20.0, 40.0, 80.0), "He": (5.0, 20.0)}
"""Inner edges of the energy bands of a species, MeV/u."""

HEAVY_BANDS_MEV_U = (10.0, 30.0, 80.0)
"""Of lithium and heavier."""

SCALES = ((0.0, 0.0), (1.0, 0.0), (3.0, 1.0))
"""Gaussians under which everything is summarised, voxels across and along the beam; the first is the voxel itself."""

_SMALLEST_SHARE = 1e-3  # of the dose: a logarithm is no use below what a few tracks bring


def regression_features(field: Field, voxels: npt.NDArray[np.integer] | None = None) -> Floats:
    """What a direct regression sees of some voxels: log dose shares of coarse bands, log LET_d, shape of the dose.

    Args:
        field: with spectra of any statistics.
        voxels: (n, 3) indices; None takes every voxel, in the order of `np.ndindex(shape)`.

    Returns:
        (n, m) in the order of `feature_names`.
    """
    planes = _planes(field)
    if voxels is None:
        return planes.reshape(len(planes), -1).T
    i, j, k = np.asarray(voxels).T
    return np.asarray(planes[:, i, j, k].T)


def feature_names(axes: SpectrumAxes) -> tuple[str, ...]:
    """Names of the columns of `regression_features`."""
    bands = [name for name, _ in _bands(axes)]
    per_scale = [*(f"share:{band}" for band in bands), "LET_d"]
    return (*(f"{name}@{a:g},{b:g}" for a, b in SCALES for name in per_scale), "dose", "contrast", "slope")


def _bands(axes: SpectrumAxes) -> list[tuple[str, npt.NDArray[np.bool_]]]:
    """Name and (species, bin) membership of every band that has a bin."""
    found = []
    for s, species in enumerate(axes.species):
        band = np.digitize(axes.energy_mev_u[s], BANDS_MEV_U.get(species, HEAVY_BANDS_MEV_U))
        for n in np.unique(band):
            member = np.zeros(axes.energy_mev_u.shape, dtype=bool)
            member[s] = band == n
            found.append((f"{species}{n}", member))
    return found


def _planes(field: Field) -> Floats:
    """(m, i, j, k) features on the grid."""
    axes, fluence = field.spectra.axes, field.spectra.fluence
    dose = bin_dose(axes, fluence)
    sums = [dose[member].sum(axis=0, dtype=float) for _, member in _bands(axes)]
    sums.append((dose * bin_LET(axes)[..., None, None, None]).sum(axis=(0, 1), dtype=float))
    total = np.asarray(dose.sum(axis=(0, 1)), dtype=float)
    planes: list[Floats] = []
    for scale in SCALES:
        whole = _smooth(total, scale, field.beam_axis)
        known = np.where(whole > 0, whole, 1.0)
        *shares, LET = (np.where(whole > 0, _smooth(each, scale, field.beam_axis) / known, 0.0) for each in sums)
        planes += [np.log(share + _SMALLEST_SHARE) for share in shares]
        planes.append(np.log(np.maximum(LET, 0.1)))
    return np.stack([*planes, *_shape_of_dose(np.nan_to_num(field.dose).astype(float), field)])


def _smooth(values: Floats, scale: tuple[float, float], beam_axis: int) -> Floats:
    sigmas = tuple(scale[1] if axis == beam_axis else scale[0] for axis in range(3))
    return np.asarray(gaussian_filter(values, sigmas, mode="constant", truncate=3.0)) if any(sigmas) else values


def _shape_of_dose(dose: Floats, field: Field) -> list[Floats]:
    """Logarithms of the height of the dose, its contrast against its surroundings and its slope along the beam."""
    near, wide = (_smooth(dose, scale, field.beam_axis) for scale in ((0.5, 0.5), (3.0, 1.0)))
    floor = 1e-3 * near.max()
    slope = field.beam_sign * np.gradient(np.log(near + floor), axis=field.beam_axis)
    return [np.log(near / near.max() + 1e-3), np.log((near + floor) / (wide + floor)), slope]


@dataclass(frozen=True)
class RegressionConfig:
    """Size and training of the benchmark's regression; the defaults take one to three seconds on one thread.

    Attributes:
        width: of its two hidden layers.
        members: networks trained side by side, each on its own part of the labels.
        steps: full-batch steps of Adam.
        learning_rate: at the start; it falls to nothing as a cosine.
        weight_decay: of AdamW.
        held_fraction: labels that each member keeps out, to choose the step at which it was best.
        components: principal components of the features that enter.
    """

    width: int = 32
    members: int = 5
    steps: int = 400
    learning_rate: float = 0.01
    weight_decay: float = 0.02
    held_fraction: float = 0.15
    components: int = 24


@dataclass(frozen=True, eq=False)
class DirectRegression:
    """A fitted regression.

    Attributes:
        mean: (m,) of the features.
        projection: (m, component) from centred features to whitened principal components.
        target_mean: (output,).
        target_std: (output,).
        weights: of the members: (member, in, out) matrices and (member, 1, out) offsets, layer by layer; the last pair
            is the linear part.
    """

    mean: Floats
    projection: Floats
    target_mean: Floats
    target_std: Floats
    weights: tuple[Tensor, ...]

    def members(self, features: npt.NDArray[np.floating]) -> Floats:
        """(member, n, output) answer of every member to (n, m) features."""
        with torch.no_grad():
            raw = _forward(self.weights, _whitened(features, self.mean, self.projection))
        return np.asarray(raw.double().numpy() * self.target_std + self.target_mean)

    def predict(self, features: npt.NDArray[np.floating]) -> Floats:
        """(n, output) mean of the members."""
        return np.asarray(self.members(features).mean(axis=0))

    def disagreement(self, features: npt.NDArray[np.floating]) -> Floats:
        """(n, output) standard deviation of the members, in the unit of the targets: for acquisition."""
        return np.asarray(self.members(features).std(axis=0, ddof=1))


def fit_regression(
    features: npt.NDArray[np.floating],
    targets: npt.NDArray[np.floating],
    seed: int,
    config: RegressionConfig | None = None,
    population: npt.NDArray[np.floating] | None = None,
) -> DirectRegression:
    """Fit a regression to labelled voxels; deterministic for a seed.

    Args:
        features: (n, m) of the labelled voxels.
        targets: (n, output) finite labels in any units, such as -ln S, alpha, beta, RBE.
        seed: of weights and held labels.
        config: how.
        population: (N, m) features of all voxels, labelled or not, from which the whitening is taken; None takes
            `features`.

    Raises:
        GridMismatchError: shapes do not fit.
        ValueRangeError: fewer than 8 labels, or something that is not finite.
    """
    config = config or RegressionConfig()
    if features.ndim != 2 or targets.ndim != 2 or len(features) != len(targets):
        raise GridMismatchError(f"expected (n, m) features and (n, output) targets, found {features.shape} and "
                                f"{targets.shape}")  # fmt: skip
    if len(targets) < 8 or not (np.isfinite(features).all() and np.isfinite(targets).all()):
        raise ValueRangeError(f"expected at least 8 labels, all finite, found {len(targets)}; leave the others out")
    mean, projection = _whitening(features if population is None else population, config.components)
    centre, spread = targets.mean(axis=0, dtype=float), np.maximum(targets.std(axis=0, dtype=float), 1e-12)
    x = _whitened(features, mean, projection)
    y = torch.from_numpy(np.asarray((targets - centre) / spread, dtype=np.float32))
    return DirectRegression(mean, projection, centre, spread, _train(x, y, config, seed))


def _whitening(features: npt.NDArray[np.floating], components: int) -> tuple[Floats, Floats]:
    """Mean, and the projection on the leading principal components of the standardised features."""
    values = np.asarray(features, dtype=float)
    mean, std = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-6)
    _, scale, directions = np.linalg.svd((values - mean) / std, full_matrices=False)
    n = int(min(components, (scale > 1e-6 * scale[0]).sum()))
    return mean, np.asarray((directions[:n] / (scale[:n, None] / np.sqrt(len(values)) + 0.05)).T / std[:, None])


def _whitened(features: npt.NDArray[np.floating], mean: Floats, projection: Floats) -> Tensor:
    return torch.from_numpy(((features - mean) @ projection).astype(np.float32))


def _forward(weights: tuple[Tensor, ...] | list[Tensor], x: Tensor) -> Tensor:
    """(member, n, output) of (n, component): two hidden layers beside a linear part."""
    w1, b1, w2, b2, w3, b3, linear, offset = weights
    hidden = torch.nn.functional.silu(x @ w1 + b1)
    hidden = torch.nn.functional.silu(hidden @ w2 + b2)
    return hidden @ w3 + b3 + x @ linear + offset


def _train(x: Tensor, y: Tensor, config: RegressionConfig, seed: int) -> tuple[Tensor, ...]:
    """Members side by side, each kept as it was at the step that was best on its held labels."""
    generator = torch.Generator().manual_seed(seed)
    members, sizes = config.members, (x.shape[1], config.width, config.width, y.shape[1])
    weights: list[Tensor] = []
    for n_in, n_out in (*pairwise(sizes), (sizes[0], sizes[-1])):
        start = torch.randn((members, n_in, n_out), generator=generator) / n_in**0.5
        weights += [start if len(weights) < 4 else 0.1 * start, torch.zeros((members, 1, n_out))]
    held = torch.rand((members, len(x)), generator=generator).argsort(dim=1) < round(config.held_fraction * len(x))
    for weight in weights:
        weight.requires_grad_(True)
    optimiser = torch.optim.AdamW(weights, lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
    best, kept = torch.full((members,), torch.inf), [weight.detach().clone() for weight in weights]
    fitting = (~held)[..., None] / (~held).sum(dim=1)[:, None, None]
    for step in range(config.steps):
        error = torch.nn.functional.huber_loss(
            _forward(weights, x), y.expand(members, *y.shape), reduction="none", delta=1.0
        )
        optimiser.zero_grad()
        torch.autograd.backward((error * fitting).sum())
        if step % 10 == 0:
            _keep_best(weights, kept, best, (error.detach().mean(dim=2) * held).sum(dim=1))
        optimiser.step()
        schedule.step()
    return tuple(kept)


def _keep_best(weights: list[Tensor], kept: list[Tensor], best: Tensor, now: Tensor) -> None:
    """Keep the weights of the members that are better than ever."""
    better = now <= best
    best[better] = now[better]
    for old, new in zip(kept, weights, strict=True):
        old[better] = new.detach()[better]
