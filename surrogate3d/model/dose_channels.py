"""What a network sees of a plan without spectra: named channels of dose and LET, with filters in millimetres.

LET_d adds over beams and neighbours by dose, LET_t by fluence, which is dose over LET_t. So everything is made from
three sums that are linear in the radiation: dose, dose LET_d and dose / LET_t (*accumulators*). The beam, where there
is one, runs along the last axis towards larger indices, and slopes across it say how an edge is slanted. Where there is
none (several directions, or not known) the filters are round, and slopes have no sign.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError
from surrogate3d.grid import DoseField, Field
from surrogate3d.grid.field import ONE_AXIS
from surrogate3d.model.groups import turn_downstream

Floats = npt.NDArray[np.float64]

ALONG_BEAM = ((0.0, 0.0), (1.25, 0.0), (2.5, 0.0), (5.0, 0.0), (5.0, 2.5), (7.5, 5.0))
"""Gaussians where the beam's axis is known: sigma across and along it, mm."""

ROUND = ((0.0, 0.0), (1.25, 1.25), (2.5, 2.5), (5.0, 5.0))
"""Gaussians where there is no axis."""

SMALLEST_LET = 0.1
"""keV/um; below that of any proton, so that logarithms are of numbers that mean something."""

REACH_MM = 30.0
"""How far a channel sees: three sigmas of the widest Gaussian, or of the two that make the roughness, and a slope."""

_ROUGHNESS_FLOOR = 0.01  # relative; a smoother LET map than this counts as free of noise


@dataclass(frozen=True)
class ChannelSet:
    """Which channels a network has.

    Attributes:
        track_LET: whether LET_t is among them.
        axis: whether the beam has one known axis.
    """

    track_LET: bool
    axis: bool

    @property
    def name(self) -> str:
        """Of the network with these channels, and of its file."""
        return f"{'LET_d+LET_t' if self.track_LET else 'LET_d'}{'' if self.axis else '_without_axis'}"

    @property
    def scales(self) -> tuple[tuple[float, float], ...]:
        """Sigmas across and along, mm."""
        return ALONG_BEAM if self.axis else ROUND

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the channels, in order."""
        kinds = ("LET_d", "LET_t") if self.track_LET else ("LET_d",)
        pooled = (f"log_{kind}@{a:g},{b:g}mm" for a, b in self.scales for kind in kinds)
        slopes = ("slope", "slope_across") if self.axis else ("gradient",)
        changes = (f"{what}_{slope}" for slope in slopes for what in ("dose", "LET_d"))
        return (*pooled, "LET_d_roughness", "dose_contrast", "dose_height", *changes)


CHANNEL_SETS = tuple(ChannelSet(track_LET, axis) for track_LET in (True, False) for axis in (True, False))
"""One network each."""


@dataclass(frozen=True, eq=False)
class DoseLET:
    """Accumulators of a plan; all (i, j, k), the beam along the last axis towards larger indices where there is one.

    Attributes:
        spacing_mm: voxel size.
        dose: any scale; 0 where not known.
        dose_d: dose where LET_d is known, else 0.
        dose_LET_d: dose x LET_d there.
        dose_t: dose where LET_t is known, else 0.
        fluence_t: dose / LET_t there; all 0 without LET_t.
    """

    spacing_mm: tuple[float, float, float]
    dose: Floats
    dose_d: Floats
    dose_LET_d: Floats
    dose_t: Floats
    fluence_t: Floats

    @staticmethod
    def of(
        dose: npt.NDArray[np.floating],
        LET_d: npt.NDArray[np.floating],
        LET_t: npt.NDArray[np.floating] | None,
        spacing_mm: tuple[float, float, float],
    ) -> DoseLET:
        """Accumulators of maps, (i, j, k) each, NaN or 0 where LET is not known.

        Raises:
            GridMismatchError: the shapes differ.
        """
        if LET_d.shape != dose.shape or (LET_t is not None and LET_t.shape != dose.shape):
            raise GridMismatchError(f"the LET maps are not of the shape {dose.shape} of the dose")
        D = np.nan_to_num(np.asarray(dose, dtype=float))
        high, low = (np.nan_to_num(np.asarray(LET, dtype=float)) for LET in (LET_d, 0 * D if LET_t is None else LET_t))
        dose_d, dose_t = np.where(high > 0, D, 0.0), np.where(low > 0, D, 0.0)
        fluence = np.divide(dose_t, low, out=np.zeros_like(D), where=low > 0)
        return DoseLET(spacing_mm, D, dose_d, dose_d * high, dose_t, fluence)

    @staticmethod
    def of_field(field: DoseField, beam: tuple[int, int] | None) -> DoseLET:
        """Accumulators of a field, turned downstream when the beam's axis and sign are given.

        Raises:
            QuantityError: the field has no LET_d.
        """
        if "LET_d" not in field.volumes:
            raise QuantityError("the field has no LET_d; score it, or convert the planning system's LET with the dose")
        axis, sign = beam or (2, 1)
        spacing = [size for n, size in enumerate(field.grid.spacing_mm) if n != axis]
        names = (field.dose_name, "LET_d", "LET_t")
        maps = [
            turn_downstream(field.volumes[name].values, axis, sign) if name in field.volumes else None for name in names
        ]
        assert maps[0] is not None
        assert maps[1] is not None
        return DoseLET.of(maps[0], maps[1], maps[2], (spacing[0], spacing[1], field.grid.spacing_mm[axis]))

    def cropped(self, box: tuple[slice, slice, slice]) -> DoseLET:
        """The part of it in a box of indices."""
        names = ("dose", "dose_d", "dose_LET_d", "dose_t", "fluence_t")
        return DoseLET(self.spacing_mm, *(getattr(self, name)[box] for name in names))

    @property
    def answerable(self) -> npt.NDArray[np.bool_]:
        """(i, j, k) where there is dose with LET_d."""
        return self.dose_d > 0


def beam_axis(field: DoseField) -> tuple[int, int] | None:
    """Index axis nearest to the beam, and +1 when it runs towards larger indices; None when there is no one such axis.

    There is none when beams come from several directions, also from opposite ones, or when a direction is not known.
    """
    if isinstance(field, Field) and len(field.beams) < 2:
        return field.beam_axis, field.beam_sign
    known = [np.array(beam.direction) for beam in field.beams if beam.direction is not None]
    if not known or len(known) < len(field.beams) or any(float(a @ known[0]) < ONE_AXIS for a in known):
        return None
    cosines = np.asarray(field.grid.direction, dtype=float).T @ known[0]
    axis = int(np.abs(cosines).argmax())
    return axis, 1 if cosines[axis] > 0 else -1


def box_around(mask: npt.NDArray[np.bool_], spacing_mm: tuple[float, float, float]) -> tuple[slice, slice, slice]:
    """Indices of the box around a mask with a margin of `REACH_MM`: all that the channels inside it depend on."""
    bounds = []
    for axis, size in enumerate(spacing_mm):
        hit = np.flatnonzero(mask.any(axis=tuple(other for other in range(3) if other != axis)))
        margin = int(np.ceil(REACH_MM / size)) + 1
        bounds.append(slice(max(0, int(hit[0]) - margin), int(hit[-1]) + 1 + margin))
    return bounds[0], bounds[1], bounds[2]


def channels(plan: DoseLET, channel_set: ChannelSet) -> npt.NDArray[np.float32]:
    """(channel, i, j, k) in the order of `channel_set.channels`, not yet normalised."""
    LET = [_log_mean(plan, plan.dose_LET_d, plan.dose_d, scale) for scale in channel_set.scales]
    planes = list(LET)
    if channel_set.track_LET:
        track = [_log_mean(plan, plan.dose_t, plan.fluence_t, scale) for scale in channel_set.scales]
        planes = [plane for pair in zip(LET, track, strict=True) for plane in pair]
    planes.append(_roughness(plan, LET, channel_set.axis))
    scales = (1.25, 1.25), (7.5, 2.5 if channel_set.axis else 7.5)
    near, wide = (_smooth(plan, plan.dose, scale) for scale in scales)
    height = near / near.max()
    planes += [np.log((near + 1e-2 * near.max()) / (wide + 1e-2 * near.max())), np.log(height + 1e-3)]
    changing = np.log(height + 1e-3), LET[-2]
    if channel_set.axis:
        planes += [_along(plan, values, 2) for values in changing]
    across = (0, 1) if channel_set.axis else (0, 1, 2)
    planes += [np.sqrt(sum(_along(plan, values, n) ** 2 for n in across)) for values in changing]
    return np.stack(planes).astype(np.float32)


def _smooth(plan: DoseLET, values: Floats, scale: tuple[float, float]) -> Floats:
    """Gaussian filter with zeros outside; ratios of two smoothed accumulators need no edge correction."""
    sigmas = [mm / size for mm, size in zip((scale[0], scale[0], scale[1]), plan.spacing_mm, strict=True)]
    from scipy.ndimage import gaussian_filter  # here, as it is slow to load

    return np.asarray(gaussian_filter(values, sigmas, mode="constant", truncate=3.0)) if any(sigmas) else values


def _log_mean(plan: DoseLET, numerator: Floats, denominator: Floats, scale: tuple[float, float]) -> Floats:
    """Logarithm of a pooled LET; that of `SMALLEST_LET` where nothing is known."""
    above, below = (_smooth(plan, values, scale) for values in (numerator, denominator))
    LET = np.divide(above, below, out=np.zeros_like(above), where=below > 1e-9 * below.max(initial=0.0))
    return np.asarray(np.log(np.maximum(LET, SMALLEST_LET)))


def _roughness(plan: DoseLET, LET: list[Floats], axis: bool) -> Floats:
    """Logarithm of the local deviation of log LET_d from its mean over 2.5 mm: noise, and steep edges."""
    known, scale = plan.answerable.astype(float), (5.0, 2.5 if axis else 5.0)
    weight, square = (_smooth(plan, values, scale) for values in (known, known * (LET[0] - LET[2]) ** 2))
    local = np.divide(square, weight, out=np.zeros_like(square), where=weight > 1e-6)
    return np.asarray(0.5 * np.log(local + _ROUGHNESS_FLOOR**2))


def _along(plan: DoseLET, values: Floats, axis: int) -> Floats:
    """Change per mm along an index axis."""
    if values.shape[axis] < 2:
        return np.zeros_like(values)
    return np.asarray(np.gradient(values, plan.spacing_mm[axis], axis=axis))
