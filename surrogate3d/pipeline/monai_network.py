"""A surrogate as MONAI expects a network: an image of channels in, an image of channels out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from surrogate3d.errors import BundleError
from surrogate3d.grid import Field
from surrogate3d.grid.spectrum import SPECIES_Z
from surrogate3d.inference.answerable import MIN_DOSE_FRACTION, faulty, irradiated
from surrogate3d.model.bundle import ModelCard, Surrogate, load_bundle
from surrogate3d.model.ensemble_network import EnsembleNetwork
from surrogate3d.model.groups import BANDS, field_inputs, input_names, turn_downstream
from surrogate3d.model.network import KernelNetwork
from surrogate3d.physics.cell_line import CellLine, cell_line
from surrogate3d.pipeline.in_memory import table_for

_PORTION = 16384  # voxels answered at a time: bounds the memory of the neighbourhoods
_PER_BAND = input_names(("guide", "asked_for"))


class DenseNetwork(nn.Module):
    """The networks of a surrogate for images; it answers the voxels that the image's last channel marks.

    Args:
        ensemble: the networks.
        species: of the groups, in the order of the image's channels.
        line: cell line whose accumulators the image has.
    """

    charge: Tensor
    photon: Tensor

    def __init__(self, ensemble: EnsembleNetwork, species: Sequence[str], line: CellLine) -> None:
        super().__init__()
        self.ensemble = ensemble
        self.register_buffer("charge", torch.tensor([SPECIES_Z[name] for name in species]), persistent=False)
        self.register_buffer("photon", torch.tensor([line.alpha_x, line.beta_x]), persistent=False)

    @torch.no_grad()
    def forward(self, image: Tensor) -> Tensor:
        """Answer images.

        Args:
            image: (batch, channel, i, j, k) of whole fields, channels as of `image_channels`.

        Returns:
            (batch, dose + 1, i, j, k): the effect at each dose, then the logarithm of its relative standard deviation;
            NaN in voxels that are not marked.
        """
        return torch.stack([self._answer(of_field) for of_field in image])

    def _answer(self, image: Tensor) -> Tensor:
        n_conditions = len(self.ensemble.networks[0].config.conditions)
        n_sums = len(self.charge) * len(BANDS) * len(_PER_BAND)
        sums, around, marked = torch.split(image, [n_sums, n_conditions, 1])
        accumulators = sums.reshape(len(self.charge), len(BANDS), len(_PER_BAND), *image.shape[1:])
        field = self.ensemble.prepare(accumulators, self.charge)
        out = image.new_full((len(self.ensemble.doses) + 1, *image.shape[1:]), torch.nan)
        for voxels in torch.split(marked[0].nonzero(), _PORTION):
            i, j, k = voxels.unbind(1)
            near = around[:, i, j, k] if n_conditions else None
            found = self.ensemble.answer(field, voxels, self.charge, self.photon, near)
            out[:, i, j, k] = torch.cat([found.effect, found.log_std[None]])
        return out


def image_channels(card: ModelCard, species: Sequence[str]) -> tuple[str, ...]:
    """Names of the channels of a network's image: accumulators, conditions of the model, and which voxels are asked."""
    sums = [f"{name}@{group}:{band}" for group in species for band in BANDS for name in _PER_BAND]
    return (*sums, *card.network.get("conditions", ()), "asked")


def output_channels(card: ModelCard) -> tuple[str, ...]:
    """Names of the channels that a network answers with."""
    return (*(f"effect@{dose:g}Gy" for dose in card.doses), "log_std")


def dense_network(bundle: str | Path, line: str, species: Sequence[str] | None = None) -> DenseNetwork:
    """The network of a bundle with weights yet to be loaded, as a MONAI configuration asks for it.

    Args:
        bundle: our model bundle.
        line: name or file of a cell line.
        species: of the image's groups; None takes `widest_species`.

    Raises:
        BundleError: the model is damaged, or does not accept the species.
    """
    surrogate = load_bundle(bundle)
    chosen = widest_species(surrogate.card) if species is None else tuple(species)
    if chosen not in surrogate.card.species_sets:
        raise BundleError(f"the model does not accept spectra of {'+'.join(chosen)}; see species_sets of its card.json")
    blank = [KernelNetwork(network.config) for network in surrogate.networks]
    ensemble = EnsembleNetwork(blank, surrogate.card.doses, surrogate.guide_alpha_x)
    return DenseNetwork(ensemble, chosen, cell_line(line)).eval()


def widest_species(card: ModelCard) -> tuple[str, ...]:
    """The largest set of species that a model accepts."""
    return max(card.species_sets, key=len)


def network_image(
    field: Field,
    surrogate: Surrogate,
    line: CellLine,
    conditions: Mapping[str, npt.NDArray[np.floating]] | None = None,
    min_dose_fraction: float = MIN_DOSE_FRACTION,
) -> npt.NDArray[np.float32]:
    """The image of a field that `DenseNetwork` answers.

    Args:
        field: with spectra in the bins of the model.
        surrogate: the model.
        line: cell line.
        conditions: (i, j, k) by name, for a model that was made for any.
        min_dose_fraction: voxels with less of the field's largest dose are not asked for.

    Returns:
        (channel, i, j, k) with the beam along the last axis towards larger indices (`model.groups.turn_downstream`).
    """
    inputs = field_inputs(field, (surrogate.guide, table_for(surrogate, line)))
    asked = irradiated(field, min_dose_fraction) & field.spectra.fluence.any(axis=(0, 1)) & ~faulty(field)
    names = surrogate.card.network.get("conditions", ())
    volumes = [*((conditions or {})[name] for name in names), asked]
    turned = turn_downstream(np.stack(volumes).astype(np.float32), field.beam_axis, field.beam_sign)
    return np.concatenate([inputs.reshape(-1, *inputs.shape[3:]), turned])
