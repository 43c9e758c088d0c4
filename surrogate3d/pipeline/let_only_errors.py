"""What the model without spectra is worth on a plan that has them: its own path from maps to RBE, against the table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.curve import effect_at
from surrogate3d.grid import DoseField, Field, Volume, VolumeSet
from surrogate3d.grid.regions import regions
from surrogate3d.inference.regression import MIN_DOSE_FRACTION, predict_curves_without_spectra
from surrogate3d.model.dose_channels import ChannelSet
from surrogate3d.model.reduced_bundle import ReducedModel
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.linear_quadratic import RBE_at_dose, effect
from surrogate3d.physics.mixing import MonoTable, zr_table
from surrogate3d.training.dose_geometry import tilted
from surrogate3d.validation import error_summary

Floats = npt.NDArray[np.float64]

DOSE_GY = 2.0
"""At which RBE is compared."""

OBLIQUE = 0.27
"""Voxels along the beam for one across it: a surface slanted by 15 degrees."""

_DIGITS = 4  # of errors in %, which stand in the card


def without_spectra(field: Field, channel_set: ChannelSet, slope: float = 0.0) -> DoseField:
    """The same plan as a planning system would give it: dose and LET, and a direction only if it shall have an axis.

    Args:
        field: with spectra.
        channel_set: which LET it shall have, and whether an axis.
        slope: by which its columns are shifted, as of `dose_geometry.tilted`.
    """
    names, beam = [field.dose_name, "LET_d", *(["LET_t"] if channel_set.track_LET else [])], _beam(field)
    axis = tuple(float(cosine) for cosine in np.asarray(field.grid.direction)[:, field.beam_axis] * field.beam_sign)
    known = (axis[0], axis[1], axis[2]) if channel_set.axis else None
    maps = {name: field.volumes[name] for name in names}
    oblique = {name: Volume(field.grid, tilted(v.values, beam, slope), v.quantity) for name, v in maps.items()}
    return DoseField(
        grid=field.grid,
        volumes=VolumeSet(field.grid, oblique if slope else maps),
        primary=field.primary,
        beams=tuple(replace(beam, direction=known) for beam in field.beams[:1]),
        let_definitions={name: field.let_definitions[name] for name in names if name in field.let_definitions},
        prescription=field.prescription,
        provenance=field.provenance,
    )


def true_effect(high: Field, table: MonoTable) -> Floats:
    """(i, j, k) effect at 2 Gy by the table on the spectra of a run with many histories; NaN below 5 % of the dose."""
    effects = effect(DOSE_GY, *zr_table(high.spectra.axes, high.spectra.fluence, table))
    return np.where(high.dose >= MIN_DOSE_FRACTION * np.nanmax(high.dose), effects, np.nan)


def RBE_of(effects: Floats, line: CellLine) -> Floats:
    """RBE at 2 Gy of effects at 2 Gy."""
    return RBE_at_dose(DOSE_GY, effects, line.alpha_x, line.beta_x)


def predicted(plan: DoseField, model: ReducedModel, line: CellLine) -> tuple[Floats, Floats, npt.NDArray[np.bool_]]:
    """(i, j, k) effect at 2 Gy, its predicted relative deviation, and out of domain; NaN where not answered."""
    curves = predict_curves_without_spectra(plan, model, line)
    effects = effect_at(DOSE_GY, curves.doses, curves.effect)
    return curves.volume(effects), curves.volume(curves.relative_std), curves.out_of_domain


def quartic_in_LET(runs: Sequence[tuple[Field, Floats]], line: CellLine) -> Floats:
    """What anyone would try first: coefficients of RBE at 2 Gy in the voxel's LET_d, for one line, least squares.

    Args:
        runs: with few histories, each with the true effect of its plan.
        line: cell line.
    """
    LET = np.concatenate([np.asarray(low.volumes["LET_d"].values, dtype=float).ravel() for low, _ in runs])
    RBE = np.concatenate([RBE_of(truth, line).ravel() for _, truth in runs])
    known = np.isfinite(LET) & np.isfinite(RBE)
    return np.asarray(np.polyfit(LET[known], RBE[known], 4))


def errors_without_spectra(
    low: Field,
    high: Field,
    truth: Floats,
    model: ReducedModel,
    line: CellLine,
    channel_set: ChannelSet,
    slope: float = 0.0,
    quartic: Floats | None = None,
) -> dict[str, Any]:
    """Errors of RBE at 2 Gy in all voxels and by region, in %.

    Args:
        low: whose dose and LET are the input.
        high: whose dose tells the regions.
        truth: `true_effect` of `high`; its own noise is not taken out.
        model: with a network for the channels.
        line: cell line.
        channel_set: which of the model's networks.
        slope: by which the columns of plan and truth are shifted, to judge an oblique beam.
        quartic: of `quartic_in_LET`, to be judged beside.

    Returns:
        "regions": by name ("all" first) n, rms, p95, bias; "quartic": likewise, if it is given; "rms_over_predicted":
        RMS error of the effect over the RMS of the predicted deviation; "out_of_domain": fraction of the voxels.
    """
    beam, plan = _beam(low), without_spectra(low, channel_set, slope)
    own, std, strange = predicted(plan, model, line)
    true = tilted(truth, beam, slope, float("nan"))
    dose = tilted(np.nan_to_num(high.dose).astype(float), beam, slope)
    known = np.isfinite(true) & np.isfinite(own)
    parts = {"all": known} | regions(dose, *beam, high.grid.spacing_mm)
    answers = {"regions": RBE_of(own, line)}
    if quartic is not None:
        answers["quartic"] = np.polyval(quartic, np.asarray(plan.volumes["LET_d"].values, dtype=float))
    relative = own[known] / true[known] - 1
    return {
        **{name: by_region(RBE, RBE_of(true, line), known, parts) for name, RBE in answers.items()},
        "rms_over_predicted": float(np.sqrt(np.mean(relative**2) / np.mean(std[known] ** 2))),
        "out_of_domain": float(strange[known].mean()),
    }


def by_region(
    RBE: Floats, truth: Floats, known: npt.NDArray[np.bool_], parts: dict[str, npt.NDArray[np.bool_]]
) -> dict[str, dict[str, float]]:
    """n, and rms, p95 and bias of the relative error in %, of the known voxels of each part that has any."""
    rows = {}
    for name, part in parts.items():
        if (part & known).any():
            found = error_summary(RBE[part & known], truth[part & known])
            values = {"rms": found.rms, "p95": found.p95, "bias": found.bias}
            rows[name] = {"n": found.n, **{key: round(value, _DIGITS) for key, value in values.items()}}
    return rows


def _beam(field: Field) -> tuple[int, int]:
    return field.beam_axis, field.beam_sign
