"""Maps of a lesion that say from where a network's logit of no response comes.

Positive values point at what makes the network expect no response. With the activations A (n, k, i, j, k) of the last
convolution, the logit y = `logit_of(A, inside)` and its gradient g = dy/dA:

* **grad-cam**: sum_k mean(g_k) A_k (Selvaraju et al. 2017, doi:10.1109/ICCV.2017.74, arXiv 1610.02391, eq. 1 and 2).
* **grad-cam++**: sum_k w_k A_k with w_k = sum_x a_k(x) max(g_k(x), 0) and a = g^2 / (2 g^2 + sum(A_k) g^3)
  (Chattopadhay et al. 2018, doi:10.1109/WACV.2018.00097, arXiv 1710.11063, eq. 7 and 19, in three dimensions). The
  paper explains exp(y); its factor exp(y) is left out, so that maps of several lesions and networks have one scale.
  sum(A_k) counts what is above zero, so that it means what it does there where activations are counted from a mean.
* **hirescam**: sum_k g_k A_k, element by element (Draelos and Carin, arXiv 2011.08891, eq. 3). Where the classifier is
  linear in A, the map adds up to the logit less the bias (`completeness`).
* **integrated-gradients**: of the input, summed over its channels (Sundararajan, Taly and Yan 2017, arXiv 1703.01365),
  by Captum. The baseline is `zero_contrast`; the map adds up to the logit less that of the baseline, but for the
  error of the sum along the path, which rectifiers make larger: for trained networks some 0.005 with 32 points.

The maps of the layer need a gradient with respect to A and nothing else, so no hooks are hung on the network and MONAI
is not asked: it costs seconds to import, rectifies, and its Grad-CAM++ is wrong for batches, for gradients that differ
between voxels (sum(A g^3) in place of sum(A) g^3) and for small ones (a constant 1e-7 is added to squares).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import interpolate, relu

from surrogate3d.errors import GridMismatchError, UnknownNameError, UnsupportedError, ValueRangeError

METHODS = ("grad-cam", "grad-cam++", "hirescam", "integrated-gradients")

BATCH = 16
"""Lesions of which the layer's maps are computed at a time."""

IG_STEPS = 32
"""Gauss-Legendre points of the path of integrated gradients."""

Floats = npt.NDArray[np.float32]


class Mapped(Protocol):
    """A network with a last layer that its classifier reads; whatever else it does is not looked at."""

    training: bool

    def features(self, values: Tensor, inside: Tensor, /) -> Tensor:
        """Activations A (n, k, t, t, t) of patches (n, channel, s, s, s) and of the fraction in the lesion."""

    def logit_of(self, activations: Tensor, inside: Tensor, /) -> Tensor:
        """Logit of no response (n,) of activations, and of the fraction of each voxel in the lesion (n, s, s, s)."""


@dataclass(frozen=True, eq=False)
class Maps:
    """Maps of the logit of no response; not rectified unless that was asked for.

    Attributes:
        map: (n, s, s, s) at the resolution of the patch.
        layer: (n, t, t, t) at that of the layer; of integrated gradients this is `map`.
    """

    map: Floats
    layer: Floats


def activation_map(
    network: Mapped,
    values: npt.ArrayLike,
    inside: npt.ArrayLike,
    method: str = "hirescam",
    *,
    rectified: bool = False,
    baseline: npt.ArrayLike | None = None,
    steps: int = IG_STEPS,
) -> Maps:
    """Where the logit of no response comes from; see the module's text.

    Args:
        network: in evaluation mode.
        values: (n, channel, s, s, s) patches; channel 0 is the image.
        inside: (n, s, s, s) fraction of each voxel in the lesion.
        method: of `METHODS`.
        rectified: whether negative values become 0 (before they are carried to the resolution of the patch).
        baseline: (n, channel, s, s, s) where the path of integrated gradients begins; `zero_contrast` by default.
        steps: of that path.

    Raises:
        UnknownNameError: no such method.
        GridMismatchError: shapes that do not fit.
        ValueRangeError: a network in training mode, or a map that is not finite.
        UnsupportedError: integrated gradients without Captum.
    """
    if method not in METHODS:
        raise UnknownNameError(f"unknown map {method!r}; known: {', '.join(METHODS)}")
    patch, lesion = as_tensors(network, values, inside)
    if method == "integrated-gradients":
        start = np.asarray(zero_contrast(values, inside) if baseline is None else baseline, dtype=np.float32)
        layer = _integrated_gradients(network, patch, lesion, torch.tensor(start), steps)
    else:
        layer = _layers(network, patch, lesion, (method,))[method]
    _require_finite(layer, method)
    return _carried(layer, patch.shape[2:], method, rectified)


def ensemble_map(
    networks: Sequence[Mapped],
    values: npt.ArrayLike,
    inside: npt.ArrayLike,
    method: str = "hirescam",
    *,
    rectified: bool = False,
) -> Maps:
    """The mean of the maps of several networks, which for hirescam and linear classifiers explains the mean logit.

    Arguments are those of `activation_map`; the mean is rectified, not its members.

    Raises:
        ValueRangeError: no network.
    """
    if not networks:
        raise ValueRangeError("the mean of maps needs at least one network, found none")
    layers = [activation_map(network, values, inside, method).layer for network in networks]
    return _carried(torch.tensor(np.mean(layers, axis=0)), np.shape(values)[2:], method, rectified)


def ensemble_maps(
    networks: Sequence[Mapped], values: npt.ArrayLike, inside: npt.ArrayLike, methods: Sequence[str]
) -> dict[str, Maps]:
    """Several kinds of `ensemble_map` by name; the activations, which cost most, are computed once for all of them.

    Raises:
        UnknownNameError, ValueRangeError: as of `ensemble_map`.
    """
    quick = [name for name in methods if name in _LAYER_MAPS]
    if not networks or len(quick) < 2:
        return {name: ensemble_map(networks, values, inside, name) for name in methods}
    of_each = [_layers(network, *as_tensors(network, values, inside), quick) for network in networks]
    found = {}
    for name in methods:
        if name not in quick:
            found[name] = ensemble_map(networks, values, inside, name)
            continue
        layer = torch.stack([layers[name] for layers in of_each]).mean(0)
        _require_finite(layer, name)
        found[name] = _carried(layer, np.shape(values)[2:], name, rectified=False)
    return found


def completeness(
    network: Mapped, values: npt.ArrayLike, inside: npt.ArrayLike, method: str = "hirescam", *, steps: int = IG_STEPS
) -> float:
    """Largest |sum of the map + what the map starts from - logit| of any lesion.

    A hirescam map starts from the bias, the logit where all activations are 0; that of integrated gradients from the
    logit of the baseline. The other maps add up to nothing.

    Raises:
        UnknownNameError: a method without this property.
    """
    if method not in ("hirescam", "integrated-gradients"):
        raise UnknownNameError(f"a {method!r} map adds up to nothing; only hirescam and integrated-gradients do")
    total = activation_map(network, values, inside, method, steps=steps).layer.sum(axis=(1, 2, 3), dtype=np.float64)
    patch, lesion = as_tensors(network, values, inside)
    with torch.no_grad():
        if method == "hirescam":
            start = torch.cat(
                [network.logit_of(torch.zeros_like(A), w) for A, _, w in _activations(network, patch, lesion)]
            )
        else:
            start = logits(network, torch.from_numpy(zero_contrast(values, inside)), lesion)
        found = logits(network, patch, lesion)
    return float(np.abs(total + (start.double() - found.double()).numpy()).max())


def zero_contrast(values: npt.ArrayLike, inside: npt.ArrayLike) -> Floats:
    """(n, channel, s, s, s) patches without contrast, where the path of integrated gradients begins.

    The image is 0, the signal of the tissue around the lesion; every other channel is its own mean over the lesion, a
    lesion that got the same dose everywhere.
    """
    patch, weight = np.asarray(values, dtype=np.float32), np.asarray(inside, dtype=np.float32)
    start = np.broadcast_to(lesion_mean(patch, weight), patch.shape).copy()
    start[:, 0] = 0.0
    return start


def lesion_mean(values: npt.ArrayLike, inside: npt.ArrayLike) -> Floats:
    """(n, channel, 1, 1, 1) mean of each channel over the lesion, by the fraction of each voxel in it.

    Raises:
        ValueRangeError: a row without lesion.
    """
    patch, weight = np.asarray(values, dtype=np.float64), np.asarray(inside, dtype=np.float64)[:, None]
    volume = weight.sum(axis=(2, 3, 4), keepdims=True)
    if (empty := np.flatnonzero(volume.ravel() <= 0)).size:
        raise ValueRangeError(f"row {empty[0]} has no voxel inside a lesion; leave the row out")
    return np.asarray((patch * weight).sum(axis=(2, 3, 4), keepdims=True) / volume, dtype=np.float32)


def upsampled(layer: Tensor, shape: Sequence[int], *, keep_sum: bool) -> Tensor:
    """Carry maps to finer voxels, linearly; the coarse voxels tile the patch, as in pooling.

    Args:
        layer: (n, t, t, t).
        shape: of the patch, a whole multiple of the layer's.
        keep_sum: whether values are divided by the number of fine voxels in a coarse one, which keeps the sum.

    Raises:
        GridMismatchError: not a whole multiple.
    """
    coarse = tuple(layer.shape[1:])
    if any(fine % size for fine, size in zip(shape, coarse, strict=True)):
        raise GridMismatchError(f"the patch {tuple(shape)} is not a whole multiple of the layer's map {coarse}")
    if coarse == tuple(shape):
        return layer
    fine = interpolate(layer[:, None], size=list(shape), mode="trilinear", align_corners=False)[:, 0]
    return fine * (np.prod(coarse) / np.prod(shape)) if keep_sum else fine


def logits(network: Mapped, patch: Tensor, lesion: Tensor, batch: int = 2 * BATCH) -> Tensor:
    """(n,) logit of no response, without what else the network computes, and without gradients."""
    with torch.no_grad():
        parts = zip(torch.split(patch, batch), torch.split(lesion, batch), strict=True)
        return torch.cat([network.logit_of(network.features(v, w), w) for v, w in parts])


def as_tensors(network: Mapped, values: npt.ArrayLike, inside: npt.ArrayLike) -> tuple[Tensor, Tensor]:
    """Patches and lesions as the network takes them.

    Raises:
        GridMismatchError: shapes that do not fit.
        ValueRangeError: a network in training mode.
    """
    if network.training:
        raise ValueRangeError(
            "a map needs a network that answers the same each time; put it into evaluation mode first"
        )
    patch = torch.tensor(np.asarray(values), dtype=torch.float32)
    lesion = torch.tensor(np.asarray(inside), dtype=torch.float32)
    if patch.ndim != 5 or lesion.shape != (len(patch), *patch.shape[2:]):
        raise GridMismatchError(
            f"expected patches (n, channel, s, s, s) and lesions (n, s, s, s), found {tuple(patch.shape)} and "
            f"{tuple(lesion.shape)}"
        )
    return patch, lesion


def _carried(layer: Tensor, shape: Sequence[int], method: str, rectified: bool) -> Maps:
    layer = relu(layer) if rectified else layer
    return Maps(upsampled(layer, shape, keep_sum=method == "hirescam").numpy(), layer.numpy())


def _require_finite(layer: Tensor, method: str) -> None:
    if not torch.isfinite(layer).all():
        row = int((~torch.isfinite(layer)).flatten(1).any(1).nonzero()[0, 0])
        raise ValueRangeError(f"the {method} map of row {row} is not finite; look at the row's patch and the network")


def _layers(network: Mapped, patch: Tensor, lesion: Tensor, methods: Sequence[str]) -> dict[str, Tensor]:
    """Maps of the layer by method."""
    parts = [[_LAYER_MAPS[name](A, g) for name in methods] for A, g, _ in _activations(network, patch, lesion)]
    return {name: torch.cat(each) for name, each in zip(methods, zip(*parts, strict=True), strict=True)}


def _activations(network: Mapped, patch: Tensor, lesion: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Activations, the gradient of the logit with respect to them, and the lesions, a batch at a time."""
    for values, inside in zip(torch.split(patch, BATCH), torch.split(lesion, BATCH), strict=True):
        with torch.no_grad():
            A = network.features(values, inside)
        with torch.enable_grad():
            A.requires_grad_()
            gradient = torch.autograd.grad(network.logit_of(A, inside).sum(), A)[0]
        yield A.detach(), gradient, inside


def _grad_cam(A: Tensor, gradient: Tensor) -> Tensor:
    return (gradient.mean(dim=(2, 3, 4), keepdim=True) * A).sum(1)


def _grad_cam_plus_plus(A: Tensor, gradient: Tensor) -> Tensor:
    # g^2 / (2 g^2 + sum(A) g^3) = 1 / (2 + sum(A) g) loses no digits where g is small, and g <= 0 counts as 0.
    total = relu(A).sum(dim=(2, 3, 4), keepdim=True)
    weight = torch.where(gradient > 0, gradient / (2 + total * gradient), 0.0).sum(dim=(2, 3, 4), keepdim=True)
    return (weight * A).sum(1)


def _hirescam(A: Tensor, gradient: Tensor) -> Tensor:
    return (gradient * A).sum(1)


_LAYER_MAPS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "grad-cam": _grad_cam,
    "grad-cam++": _grad_cam_plus_plus,
    "hirescam": _hirescam,
}


def _integrated_gradients(network: Mapped, patch: Tensor, lesion: Tensor, start: Tensor, steps: int) -> Tensor:
    """(n, s, s, s) Captum's answer, one lesion at a time, because each takes as many patches as there are steps."""
    try:
        from captum.attr import IntegratedGradients
    except ImportError as missing:
        raise UnsupportedError(
            "integrated gradients need the package captum; install it, or ask for hirescam"
        ) from missing
    if start.shape != patch.shape:
        raise GridMismatchError(f"expected a baseline of shape {tuple(patch.shape)}, found {tuple(start.shape)}")
    if steps < 1:
        raise ValueRangeError(f"the path of integrated gradients needs a step at least, found {steps}")
    explainer = IntegratedGradients(lambda v, w: network.logit_of(network.features(v, w), w))
    rows = zip(torch.split(patch, 1), torch.split(lesion, 1), torch.split(start, 1), strict=True)
    found = [explainer.attribute(v, b, additional_forward_args=w, n_steps=steps) for v, w, b in rows]
    return torch.cat([each.detach() for each in found]).sum(1).float()
