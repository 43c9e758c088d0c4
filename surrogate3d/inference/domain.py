"""Whether a model may answer for a field, and for which voxels its training says nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import BundleError
from surrogate3d.grid import Field, SpectrumAxes
from surrogate3d.model.bundle import ModelCard
from surrogate3d.physics.cell_line import CellLine

SEVERAL_BEAMS = "beams from several directions"
"""What puts every voxel out of the domain of a network that knows single beams."""

UNKNOWN_BEAM = "the ion of the beam"
"""What puts every voxel of a beam of an ion that no training beam was out of the domain."""

SPACING_TOLERANCE = 0.25
"""Largest relative difference in voxel size: the network's filters are in voxels."""

MOST_PER_HISTORY = 20.0
"""More tracks than this in one plane across the beam, per history, are no sum of what was simulated: a primary with all
its secondaries leaves one to three."""


def require_fit(field: Field, card: ModelCard, line: CellLine) -> None:
    """Refuse a field that the model was not made for.

    Raises:
        BundleError: as `require_described_fit`, or the scale of the fluence does not fit.
    """
    require_described_fit(field, card, line)
    require_counts(field, field.tracks)


def require_described_fit(field: Field, card: ModelCard, line: CellLine) -> None:
    """Refuse a field by what it says of itself, before its spectra are looked at.

    Raises:
        BundleError: species, energy bins, voxel size, LET definition, kind of dose or photon
            reference do not fit.
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
    if line.beta_x <= 0:
        raise BundleError(
            f"cell line {line.name} has beta_x = {line.beta_x:g} 1/Gy^2; the network needs a positive one"
        )
    photon = {name: (a, b) for name, a, b in card.cell_lines}.get(line.name)
    if photon is not None and not np.allclose(photon, (line.alpha_x, line.beta_x), rtol=1e-6):
        raise BundleError(f"cell line {line.name} has another photon reference than the model was trained with")


def line_outside(card_lines: Sequence[tuple[str, float, float]], line: CellLine) -> str:
    """Why a cell line is none that a model interpolates to; "" if it is.

    A correction that depends on alpha_x and beta_x was learned between those of the training. Outside of their range,
    or that of alpha_x / beta_x, it is a guess: such a line is answered, and flagged with this reason.

    Args:
        card_lines: name, alpha_x (1/Gy) and beta_x (1/Gy^2) of the lines trained on (`ModelCard.cell_lines`).
        line: the line that is asked for.
    """
    names = ", ".join(name for name, _, _ in card_lines)
    quantities = (
        ("alpha_x", "1/Gy", line.alpha_x, [a for _, a, _ in card_lines]),
        ("beta_x", "1/Gy^2", line.beta_x, [b for _, _, b in card_lines]),
        ("alpha_x / beta_x", "Gy", line.alpha_beta_x, [a / b if b > 0 else float("inf") for _, a, b in card_lines]),
    )
    for name, unit, own, trained in quantities:
        low, high = min(trained), max(trained)
        if not low * (1 - 1e-6) <= own <= high * (1 + 1e-6):
            return (
                f"{name} of {line.name} is {own:.4g} {unit}, outside {low:.4g} to {high:.4g} {unit} of the cell lines "
                f"trained on ({names})"
            )
    return ""


def require_counts(field: Field, tracks: npt.NDArray[np.floating]) -> None:
    """Refuse fluence that is not summed over the histories: its size tells the network how noisy it is.

    Args:
        field: to be predicted.
        tracks: (i, j, k) `Field.tracks`, which are slow to find.

    Raises:
        BundleError: there are too few or too many.
    """
    busiest = float(tracks.max())
    if busiest < 1:
        raise BundleError(
            f"the busiest voxel has {busiest:.3g} tracks (summed fluence x face area), less than one particle: the "
            "fluence was scored per history or scaled without a record of it; convert sums over histories, and give "
            "a scale as prescription"
        )
    across = tuple(axis for axis in range(3) if axis != field.beam_axis)
    plane = float(tracks.sum(axis=across, dtype=float).max())
    if 0 < MOST_PER_HISTORY * field.histories < plane:
        raise BundleError(
            f"a plane across the beam has {plane:.3g} tracks of {field.histories:,} histories: the fluence was scaled "
            "without a record of it; convert sums over histories, and give a scale as prescription"
        )


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


def unknown_because(field: Field, primaries: Sequence[str], beam: str) -> str:
    """Why the networks know nothing of a field at all; "" where they do.

    Args:
        field: to be predicted.
        primaries: species of the training beams (`ModelCard.primaries`).
        beam: species of the field's beam.
    """
    if field.several_directions:
        return SEVERAL_BEAMS
    return "" if beam in primaries else UNKNOWN_BEAM
