"""Survival curves of a plan that has dose and LET but no spectra."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import BundleError, QuantityError, UnsupportedError, ValueRangeError
from surrogate3d.grid import DoseField
from surrogate3d.inference.curves import CurveMap
from surrogate3d.model.dose_channels import ChannelSet, DoseLET, beam_axis, box_around, channels
from surrogate3d.model.groups import Scalar, turn_back
from surrogate3d.model.reduced_bundle import ReducedCard, ReducedModel, VariantCard
from surrogate3d.model.regression import RegressionNetwork, answer
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.linear_quadratic import effect

Floats = npt.NDArray[np.float64]

MIN_DOSE_FRACTION = 0.05
"""Below this fraction of the field's largest dose nothing was trained on."""

CHANNEL_MARGIN = 0.5
"""How far beyond the training's range a channel may lie, in standard deviations of the channel: a distance of 1."""

SPACING_TOLERANCE = 0.25
"""Largest relative difference in voxel size."""

OTHER_LET, OTHER_LINE = "LET of another definition, accepted by the user", "the cell line"
"""What puts every voxel out of the domain."""

_KEYS = ("weighting", "particles", "medium", "restricted", "max_scored_kev_um")
_PORTION = 65536  # voxels answered at a time


@dataclass(frozen=True)
class LetOnlyGiven:
    """What the user says of a plan because its files do not.

    Attributes:
        primary: species of the beam's particles, such as "H".
        accept_LET: take LET of another, or of an unstated, definition as if it were the training's; then every voxel
            is marked as out of the domain.
    """

    primary: str | None = None
    accept_LET: bool = False


def predict_curves_without_spectra(
    field: DoseField, model: ReducedModel, line: CellLine, given: LetOnlyGiven | None = None
) -> CurveMap:
    """Survival curves of a whole field from dose and LET alone; spectra are not looked at.

    The curve is per Gy of the field's dose. As a channel leaves the training's range the correction fades, until out of
    the domain the answer is that of the smooth prior on the voxel's own LET_d; the deviation is at least what has been
    taken away. A cell line outside the trained range of photon parameters, or a LET of another definition, marks every
    voxel as out of the domain.

    Args:
        field: with `LET_d`, and `LET_t` if the network for both is to be used.
        model: the model.
        line: any cell line with a quadratic term.
        given: what the files do not say.

    Raises:
        UnsupportedError: the beam is not of an ion trained on, or of which is not known.
        QuantityError: there is no LET_d.
        BundleError: LET definition or voxel size do not fit the model.
        ValueRangeError: the cell line has no quadratic term, or no voxel has dose and LET.
    """
    given = given or LetOnlyGiven()
    require_let_only_fit(field, model.card, line, given)
    channel_set = channel_set_of(field, model.card)
    beam = beam_axis(field) if channel_set.axis else None
    network, card = model.variant(channel_set)
    plan = DoseLET.of_field(field, beam)
    turned = np.asarray((plan.dose >= MIN_DOSE_FRACTION * plan.dose.max()) & plan.answerable)
    if not turned.any():
        raise ValueRangeError("no voxel of the field has enough dose and a LET_d; there is nothing to predict")
    box = box_around(turned, plan.spacing_mm)
    seen = np.ascontiguousarray(channels(plan.cropped(box), channel_set)[:, turned[box]].T)
    curve, std = _curves(network, card, seen, line, np.array(model.card.doses))
    distance = distances(network, card, seen)
    strange, reason = distance > 1, _every_voxel(field, model.card, line)
    why = reason or (card.channels[int(strange.sum(axis=0).argmax())] if strange.any() else "")
    mask = _back(turned, beam) > 0
    order = _back(_grid(np.arange(len(seen)), turned), beam)[mask]
    outside = _back(_grid((strange.any(axis=1) | bool(reason)).astype(int), turned), beam) > 0
    doses = np.array(model.card.doses)
    return CurveMap(mask, doses, curve[order], std[order], outside, why, distance.max(axis=1)[order])


def require_let_only_fit(field: DoseField, card: ReducedCard, line: CellLine, given: LetOnlyGiven) -> None:
    """Refuse what the model was not made for; errors as of `predict_curves_without_spectra`."""
    _require_ion(field, card, given)
    if "LET_d" not in field.volumes:
        raise QuantityError("the field has no LET_d; score it, or convert the planning system's LET with the dose")
    differs = LET_differences(field, card)
    if differs and not given.accept_LET:
        raise BundleError(
            f"{'; '.join(differs)}; score LET as in the training, or accept it, and every voxel will be marked as out "
            "of the model's domain"
        )
    own, trained = np.sort(field.grid.spacing_mm), np.sort(card.spacing_mm, axis=1)
    if (np.abs(own / trained - 1) > SPACING_TOLERANCE).any(axis=1).all():
        raise BundleError(
            f"the field's voxels are {list(field.grid.spacing_mm)} mm, those of training "
            f"{np.unique(trained, axis=0).tolist()} mm; resample the field"
        )
    if not (line.beta_x > 0 and line.alpha_x > 0):
        raise ValueRangeError(f"the model needs alpha_x and beta_x above 0, those of {line.name} are not; take another")


def _require_ion(field: DoseField, card: ReducedCard, given: LetOnlyGiven) -> None:
    known = " or ".join(card.primaries)
    if field.primary is not None and given.primary not in (None, field.primary):
        raise QuantityError(f"the field says that its beam is of {field.primary}, not of {given.primary}; leave it out")
    ion = field.primary or given.primary
    if ion is None:
        raise UnsupportedError(
            f"the model without spectra is for beams of {known}, and the field does not say of what its beam is; say so"
        )
    if ion not in card.primaries:
        raise UnsupportedError(
            f"the model without spectra is for beams of {known}, this one is of {ion}, where LET says little of the "
            "effect: fields of one LET have different spectra; convert a run with spectra"
        )


def LET_differences(field: DoseField, card: ReducedCard, name: str = "LET_d") -> tuple[str, ...]:
    """How a LET of a field is another than that of the training, in words; empty when it is not."""
    if name not in field.let_definitions:
        return (f"{name} of the field has no definition",)
    own, trained = asdict(field.let_definitions[name]), card.let_definitions[name]
    return tuple(
        f"{name} of the field has {key} = {own[key]!r}, the model was trained with {trained[key]!r}"
        for key in _KEYS
        if own[key] != trained[key]
    )


def channel_set_of(field: DoseField, card: ReducedCard) -> ChannelSet:
    """Which network a field gets: with LET_t where the field has it as trained, with an axis where its beam has one."""
    usable = "LET_t" in field.volumes and "LET_t" in card.let_definitions
    return ChannelSet(usable and not LET_differences(field, card, "LET_t"), beam_axis(field) is not None)


def outside_line_range(card: ReducedCard, line: CellLine) -> bool:
    """Whether the photon parameters are beyond those of all lines trained on."""
    (low_a, high_a), (low_r, high_r) = card.alpha_x_range, card.alpha_beta_range
    return not (low_a <= line.alpha_x <= high_a and low_r <= line.alpha_beta_x <= high_r)


def distances(network: RegressionNetwork, card: VariantCard, channels: npt.NDArray[np.float32]) -> Floats:
    """(voxel, channel) distance to the range that a channel had in the training, over what is allowed; 0 within it."""
    z = (channels - network.channel_mean.numpy()) / network.channel_std.numpy()
    beyond = np.maximum(np.array(card.channel_low) - z, z - np.array(card.channel_high))
    return np.asarray(np.maximum(beyond, 0.0) / CHANNEL_MARGIN)


def _every_voxel(field: DoseField, card: ReducedCard, line: CellLine) -> str:
    """What puts all voxels out of the domain; "" if nothing does."""
    if LET_differences(field, card):
        return OTHER_LET
    return OTHER_LINE if outside_line_range(card, line) else ""


def _curves(
    network: RegressionNetwork, card: VariantCard, seen: npt.NDArray[np.float32], line: CellLine, doses: Floats
) -> tuple[Floats, Floats]:
    """(voxel, dose) effect and (voxel,) its relative deviation; the correction fades up to a distance of 1."""
    curves, deviations = [], []
    for part in np.array_split(seen, max(1, len(seen) // _PORTION)):
        photon = np.tile((line.alpha_x, line.beta_x), (len(part), 1))
        trust = np.maximum(1 - distances(network, card, part).max(axis=1), 0.0)
        whole, faded = (answer(network, card.prior, part, photon, share) for share in (1.0, trust))
        corrected, curve = (effect(doses, own.alpha[:, None], own.sqrt_beta[:, None] ** 2) for own in (whole, faded))
        left_out = np.abs(corrected / curve - 1).max(axis=1)
        curves.append(curve)
        deviations.append(np.maximum(card.std_scale * np.exp(whole.log_std), left_out))
    return np.concatenate(curves), np.concatenate(deviations)


def _grid(values: npt.NDArray[np.integer], turned: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    grid = np.zeros(turned.shape, dtype=np.int64)
    grid[turned] = values
    return grid


def _back(values: npt.NDArray[Scalar], beam: tuple[int, int] | None) -> npt.NDArray[Scalar]:
    return values if beam is None else turn_back(values, *beam)
