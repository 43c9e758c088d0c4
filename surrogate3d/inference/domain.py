"""Whether a model may answer for a field, and for which voxels its training says nothing."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import numpy.typing as npt
import torch

from surrogate3d.errors import BundleError
from surrogate3d.grid import Field, SpectrumAxes
from surrogate3d.model.bundle import MATTERING_FRACTION, ModelCard, Surrogate
from surrogate3d.model.channels import channels
from surrogate3d.physics.cell_line import CellLine

CHANNEL_MARGIN = 0.5
"""How far beyond the training's range a channel may lie, in standard deviations of the channel."""

SEVERAL_BEAMS = "beams from several directions"
"""What puts every voxel out of the domain of a network that knows single beams."""

SPACING_TOLERANCE = 0.25
"""Largest relative difference in voxel size: the network's filters are in voxels."""


def require_fit(field: Field, card: ModelCard, line: CellLine) -> None:
    """Refuse a field that the model was not made for.

    Raises:
        BundleError: species, beam, energy bins, voxel size, LET definition, kind of dose or cell line do not fit.
    """
    axes = field.spectra.axes
    if axes.species not in card.species_sets:
        known = " or ".join("+".join(s) for s in card.species_sets)
        raise BundleError(f"the field has spectra of {'+'.join(axes.species)}, the model was trained on {known}")
    edges = np.array([card.edges_mev_u[s] for s in axes.species])
    if not axes.matches(SpectrumAxes(axes.species, edges)):
        raise BundleError(
            f"the field has {axes.n_bins} energy bins of {axes.species[0]} from {axes.edges_mev_u[0][0]:g} to "
            f"{axes.edges_mev_u[0][-1]:g} MeV/u, the model was trained on {edges.shape[1] - 1} logarithmic ones from "
            f"{edges[0][0]:g} to {edges[0][-1]:g} MeV/u; score those"
        )
    if not field.several_directions:  # then the table answers, which knows no voxel size
        _require_spacing(field, card)
    _require_let(field, card)
    if field.dose_name != card.dose_name:
        raise BundleError(
            f"the field has {field.dose_name}, the model was trained with {card.dose_name}; score the same"
        )
    photon = {name: (a, b) for name, a, b in card.cell_lines}.get(line.name)
    if photon is not None and not np.allclose(photon, (line.alpha_x, line.beta_x), rtol=1e-6):
        raise BundleError(f"cell line {line.name} has another photon reference than the model was trained with")


def _require_spacing(field: Field, card: ModelCard) -> None:
    def ordered(spacing: tuple[float, ...], axis: int) -> list[float]:
        return [*sorted(s for a, s in enumerate(spacing) if a != axis), spacing[axis]]

    own = np.array(ordered(field.grid.spacing_mm, field.beam_axis))
    trained = np.array(card.spacing_mm)  # across, across, along the beam
    if (np.abs(own / trained - 1) > SPACING_TOLERANCE).any(axis=1).all():
        raise BundleError(
            f"the field's voxels are {own.tolist()} mm (across, across, along the beam), "
            f"those of training {np.unique(trained, axis=0).tolist()} mm; score on such a grid or train on this one"
        )


def _require_let(field: Field, card: ModelCard) -> None:
    for name, definition in field.let_definitions.items():
        trained = card.let_definitions.get(name)
        if trained is None:
            continue
        found = asdict(definition)
        for key in ("weighting", "particles", "medium", "restricted", "max_scored_kev_um"):
            if found[key] != trained[key]:
                raise BundleError(
                    f"{name} of the field has {key} = {found[key]!r}, the model was trained with {trained[key]!r}; "
                    "score it with the same definition"
                )


def out_of_domain(
    surrogate: Surrogate, inputs: npt.NDArray[np.float32], species: tuple[str, ...], several_directions: bool = False
) -> npt.NDArray[np.bool_]:
    """Voxels whose surroundings look unlike anything in training.

    A voxel is out of domain when beams cross, when the beam is of a species that no training beam was, or when a
    channel of a group that carries at least 1 % of the local dose is outside the range that it had at the voxels
    trained on.

    Args:
        surrogate: the model.
        inputs: (group, 2 + 2 * line, i, j, k) as of `model.groups.group_inputs`.
        species: of the groups.
        several_directions: of the field (`DoseField.several_directions`).

    Returns:
        (i, j, k), turned downstream as `inputs` are.
    """
    if several_directions or not _knows_beam(surrogate, inputs, species):
        return np.ones(inputs.shape[2:], dtype=bool)
    return np.asarray(_strange(surrogate, inputs).any(axis=0), dtype=bool)


def strangest(
    surrogate: Surrogate,
    inputs: npt.NDArray[np.float32],
    species: tuple[str, ...],
    mask: npt.NDArray[np.bool_],
    several_directions: bool = False,
) -> str:
    """What puts most voxels of a mask (turned as `inputs`) out of the domain: a channel, or the beam; "" if nothing."""
    if several_directions:
        return SEVERAL_BEAMS
    if not _knows_beam(surrogate, inputs, species):
        return "the ion of the beam"
    counts = _strange(surrogate, inputs)[:, mask].sum(axis=1)
    return surrogate.card.channels[int(counts.argmax())] if counts.any() else ""


def _knows_beam(surrogate: Surrogate, inputs: npt.NDArray[np.float32], species: tuple[str, ...]) -> bool:
    return species[int(inputs[:, 0].sum(axis=(1, 2, 3)).argmax())] in surrogate.card.primaries


@torch.no_grad()
def _strange(surrogate: Surrogate, inputs: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """(channel, i, j, k) whether the channel of any group that matters there is outside the range of the training."""
    tensor, network = torch.from_numpy(inputs), surrogate.networks[0]
    shape = (1, -1, 1, 1, 1)
    mean, std = network.channel_mean.reshape(shape), network.channel_std.reshape(shape)
    z = (channels(tensor, surrogate.photon[0, 0]) - mean) / std
    low = torch.tensor(surrogate.card.channel_low).reshape(shape) - CHANNEL_MARGIN
    high = torch.tensor(surrogate.card.channel_high).reshape(shape) + CHANNEL_MARGIN
    dose = tensor[:, :1]
    matters = dose >= MATTERING_FRACTION * dose.sum(dim=0, keepdim=True)
    return np.asarray((((z < low) | (z > high)) & matters).any(dim=0).numpy(), dtype=bool)
