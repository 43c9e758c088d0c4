"""Other forms of the network that predicts kernels; each is trained by the package's own loop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from surrogate3d.model.channels import Filter, channel_names, channels, is_primary, smooth
from surrogate3d.model.groups import BANDS
from surrogate3d.model.network import Context, KernelNetwork, NetworkConfig, smooth_all, without_tracks

COARSEST = 4
"""Voxels of the finest level in one of the coarsest, along each axis, of the U-shaped context."""


class FormNetwork(KernelNetwork):
    """The network as shipped; other forms change what it sees."""

    def view(self, inputs: Tensor, alpha_x: Tensor, charge: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs and charges of the groups that are pooled, and channels that are not yet normalised."""
        return inputs, charge, channels(inputs, alpha_x, charge)

    def forward(self, inputs: Tensor, voxels: Tensor, charge: Tensor, alpha_x: Tensor) -> Any:
        """As of `KernelNetwork`; the voxels may come in one portion only."""
        with torch.autocast(inputs.device.type, enabled=False):
            pooled, of_groups, seen = self.view(inputs, alpha_x, charge)
            accumulators = without_tracks(pooled)
            smoothed = smooth_all(accumulators)
        context = self.context(seen)
        with torch.autocast(inputs.device.type, enabled=False):
            context = Context(context.state.float(), context.key.float())
            return self.denoise(context, accumulators, smoothed, voxels, of_groups)


class UNetwork(FormNetwork):
    """Its context is a U-shaped network over three resolutions, at about the cost of the residual blocks.

    It has no normalisation layers; even so tiles equal the whole only where they begin at multiples of `COARSEST`.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        self.blocks = nn.Sequential(_UContext(config.width))


class _UContext(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        from monai.networks.nets import UNet  # type: ignore[import-not-found]  # no other form needs it

        self.body: nn.Module = UNet(
            3, width, width, channels=(width, 24, 32, 32), strides=(1, 2, 2), act="SWISH", norm=None
        )

    def forward(self, x: Tensor) -> Tensor:
        missing = [-n % COARSEST for n in x.shape[-3:]]
        padded = nn.functional.pad(x, (0, missing[2], 0, missing[1], 0, missing[0]))
        i, j, k = x.shape[-3:]
        out: Tensor = x + self.body(padded)[..., :i, :j, :k]
        return out


class DensityNetwork(FormNetwork):
    """It sees the material too: the last group of its inputs, see `FormPlan.material`."""

    N_MATERIAL = 3

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        n, stem, key = len(channel_names()) + self.N_MATERIAL, self.stem, self.key
        self.channel_mean, self.channel_std = torch.zeros(n), torch.ones(n)
        self.stem = nn.Conv3d(n, config.width, 1)
        self.key = nn.Linear(config.width + n, config.likeness)
        with torch.no_grad():  # it starts as the network that knows of no material
            for wider, known in ((self.stem, stem), (self.key, key)):
                wider.weight[:, : known.weight.shape[1]] = known.weight
                wider.weight[:, known.weight.shape[1] :] = 0.0
                wider.bias = known.bias

    def view(self, inputs: Tensor, alpha_x: Tensor, charge: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The last group is split off; it has no charge."""
        groups = inputs[:-1]
        seen = channels(groups, alpha_x, charge)
        material = material_channels(inputs[-1, :, 1]).expand(len(groups), -1, -1, -1, -1)
        return groups, charge, torch.cat([seen, material], dim=1)


def material_channels(material: Tensor) -> Tensor:
    """(3, i, j, k): excess of the stopping power over water's here and around, of the depth over the columns' around.

    Where nothing is known they are zero, as in water.
    """
    stopping, known, depth, inside = material
    near, beside = Filter(3.0, 1.0), Filter(3.0, 0.0)
    lateral = _ratio(smooth(depth, beside), smooth(inside, beside))
    return torch.stack(
        [
            _ratio(stopping - known, known),
            _ratio(smooth(stopping - known, near), smooth(known, near)),
            torch.where(inside > 0, _ratio(depth, inside) - lateral, 0.0),
        ]
    )


def _ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    return torch.where(denominator > 1e-6, numerator / denominator.clamp_min(1e-6), 0.0)


class GroupingNetwork(FormNetwork):
    """It has eight bands, of which it learns to make the four that are pooled, apart for the beam and for the rest.

    Every fine band is shared out by a softmax, so that nothing is lost; it starts at the shipped edges.
    """

    START = 4.0

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__(config)
        shipped = torch.eye(len(BANDS)).repeat_interleave(2, dim=0)
        self.grouping = nn.Parameter(self.START * shipped.repeat(2, 1, 1))  # (of the rest or the beam, fine band, band)

    def view(self, inputs: Tensor, alpha_x: Tensor, charge: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The inputs in the four bands."""
        shares = torch.softmax(self.grouping, dim=-1)[is_primary(inputs).long()]
        banded = torch.einsum("gfcijk,gfb->gbcijk", inputs, shares)
        return banded, charge, channels(banded, alpha_x, charge)


def in_shipped_bands(inputs: Tensor) -> Tensor:
    """Two fine bands together are one of the shipped ones."""
    return inputs.reshape(len(inputs), len(BANDS), 2, *inputs.shape[2:]).sum(dim=2)


Prepare = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Form:
    """One form.

    Attributes:
        network: its class.
        prepare: from inputs in fine bands and the material to what it gets.
        distilled: whether it also learns what three networks answer.
    """

    network: type[FormNetwork]
    prepare: Prepare
    distilled: bool = False


def _banded(inputs: Tensor, _material: Tensor) -> Tensor:
    return in_shipped_bands(inputs)


def _with_material(inputs: Tensor, material: Tensor) -> Tensor:
    return torch.cat([in_shipped_bands(inputs), material])


def _fine(inputs: Tensor, _material: Tensor) -> Tensor:
    return inputs


FORMS = {
    "kernels": Form(FormNetwork, _banded),
    "unet": Form(UNetwork, _banded),
    "density": Form(DensityNetwork, _with_material),
    "learned_grouping": Form(GroupingNetwork, _fine),
    "distilled": Form(FormNetwork, _banded, distilled=True),
}
"""By name."""
