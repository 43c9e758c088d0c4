"""A model of response: an ensemble of networks with calibrated log odds.

The answer is the mean of the members' logits, taken through one straight line (`calibration`). A logit is that of *no
response*, so that what adds to it points at resistance; the probability of response is sigmoid(-logit). Research only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy.special import expit

from surrogate3d.errors import BundleError
from surrogate3d.model.denormals import without_denormals
from surrogate3d.response.activation import ensemble_map
from surrogate3d.response.calibration import Platt
from surrogate3d.response.config import ResponseConfig
from surrogate3d.response.network import ResponseNetwork
from surrogate3d.response.patches import Patches

Floats = npt.NDArray[np.float64]

_LESIONS = 16  # at a time, so that activations stay some ten megabytes


@dataclass(frozen=True, eq=False)
class ResponsePrediction:
    """What a model says of some lesions.

    Attributes:
        logit: (n,) calibrated log odds of no response.
        spread: (n,) standard deviation of the calibrated log odds between the members.
    """

    logit: Floats
    spread: Floats

    @property
    def probability(self) -> Floats:
        """(n,) of response."""
        return np.asarray(expit(-self.logit))


@dataclass(frozen=True, eq=False)
class ResponseModel:
    """A trained model.

    Attributes:
        networks: members, in evaluation mode.
        calibration: of the mean of their logits.
        config: how patches are cut, and how it was trained.
        training: seeds, data and versions, for the card.
        bundle_id: SHA-256 of the bundle's manifest; empty before it is saved.
    """

    networks: tuple[ResponseNetwork, ...]
    calibration: Platt
    config: ResponseConfig
    training: Mapping[str, Any] = field(default_factory=dict)
    bundle_id: str = ""

    def predict(self, patches: Patches) -> ResponsePrediction:
        """Predict some lesions.

        Args:
            patches: cut as the model's `config` says.

        Raises:
            BundleError: patches of other channels, or of other voxels.
        """
        require_fits(patches, self.config)
        members = self.calibration(logits(self.networks, patches))
        return ResponsePrediction(members.mean(axis=0), members.std(axis=0))

    def maps(self, patches: Patches, method: str = "hirescam") -> npt.NDArray[np.float32]:
        """(n, s, s, s) mean map of the members, in calibrated log odds of no response, at the patches' resolution.

        Of "hirescam" the voxels add up to `logit` less what an empty lesion would have: bias and intercept.

        Args:
            patches: cut as the model's `config` says.
            method: of `activation.METHODS`.

        Raises:
            BundleError: patches of other channels, or of other voxels.
            UnknownNameError: no such method.
        """
        require_fits(patches, self.config)
        mean = ensemble_map(self.networks, patches.values, patches.inside, method).map
        return mean * np.float32(self.calibration.slope)


def require_fits(patches: Patches, config: ResponseConfig) -> None:
    """Refuse patches that were not cut as a model needs them.

    Raises:
        BundleError: other channels, or other voxels.
    """
    if patches.channels != config.channels:
        raise BundleError(
            f"the model sees {', '.join(config.channels)}, the patches have {', '.join(patches.channels)}; "
            "cut patches with the channels of the model"
        )
    for row, grid in enumerate(patches.grids):
        if not np.allclose(grid.spacing_mm, config.spacing_mm, rtol=1e-6):
            raise BundleError(
                f"{patches.name(row)}: the model needs voxels of {config.spacing_mm:g} mm, the patch has "
                f"{grid.spacing_mm} mm; cut patches with the spacing of the model"
            )


def logits(networks: Sequence[ResponseNetwork], patches: Patches) -> Floats:
    """(member, n) logit of no response of each network for each lesion, not calibrated."""
    values, inside = torch.from_numpy(patches.values), torch.from_numpy(patches.inside)
    parts = list(zip(torch.split(values, _LESIONS), torch.split(inside, _LESIONS), strict=True))
    with one_thread(), without_denormals(), torch.inference_mode():
        said = [[network.logit_of(network.features(x, p), p) for x, p in parts] for network in networks]
    return np.stack([torch.cat(each).double().numpy() for each in said])


@contextmanager
def one_thread() -> Iterator[None]:
    """One thread of torch: the order of sums is then the same everywhere, and processes side by side do not meet."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
