"""Several treatment fields to the field of the whole plan, before anything biological is computed of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, PrescriptionError, QuantityError
from surrogate3d.grid.field import Beam, DoseField, Field, LetDefinition, Prescription
from surrogate3d.grid.geometry import Grid
from surrogate3d.grid.overlap import overlap
from surrogate3d.grid.quantity import quantity
from surrogate3d.grid.resample import STD_REMARK
from surrogate3d.grid.summed import (
    Part,
    main_axis,
    require_physical,
    summed_dose,
    summed_spectra,
    summed_tracks,
    summed_volumes,
)
from surrogate3d.grid.volume import Volume, VolumeSet

Time = tuple[float, float]
"""Start and duration of the delivery of a field, s."""

MAX_LOST = 1e-3
"""Largest share of a field's dose that may lie outside the grid of the sum."""

_MEANING = ("weighting", "particles", "medium", "restricted", "max_scored_kev_um")


@dataclass(frozen=True, eq=False)
class _Named(Part):
    """A field in the sum, with what the user says about it."""

    name: str = ""
    time: Time | None = None


def combine(
    fields: Sequence[DoseField],
    weights: Sequence[float] | None = None,
    *,
    names: Sequence[str],
    grid: Grid | None = None,
    times: Sequence[Time] | None = None,
) -> DoseField:
    """Add the fields of one plan.

    Dose and fluence add with the weights; LET_d is weighted by dose, LET_t by fluence, dose_std adds in quadrature,
    halves add half by half. A field scores nothing outside its own grid. Prescriptions must all be there or all be
    missing; the sum of prescribed fields is absolute too, but has no prescribed dose of its own (`dose_gy` is None:
    the points of the parts' prescriptions differ), and its `dose_scale` is the mean of weight x scale with the parts'
    doses as weight.

    Args:
        fields: two or more; those that were combined before keep their beams.
        weights: factor on dose and fluence of each; may be None, for 1, where all are prescribed.
        names: of the beams, each once.
        grid: of the sum; the finest of the fields' grids if not given.
        times: of the delivery of each field.

    Returns:
        A `Field` when all have spectra, else a `DoseField`. Its provenance lists the parts with the share of their
        dose that is lost outside the grid (`lost`) and that lies in the outermost voxels of their own grid where that
        ends inside the sum's (`border`), and under "changes" what was left out.

    Raises:
        QuantityError: weights, names or times do not fit, kinds of dose or LET definitions differ, or a field holds
            responses of cells.
        PrescriptionError: some are prescribed and some are not, or weights are needed.
        GridMismatchError: more than 0.1 % of a field's dose lies outside the grid, or the energy bins differ.
    """
    weights = _checked(fields, weights, names, times)
    for field, name in zip(fields, names, strict=True):
        require_physical(field, f"field {name}")
    _require_one_dose(fields, names)
    definitions = _definitions(fields, names)
    target = grid or min((f.grid for f in fields), key=lambda g: g.voxel_volume_mm3)
    parts = [
        _Named(field, overlap(field.grid, target), weight, "zero", name, time)
        for field, weight, name, time in zip(fields, weights, names, times or repeat(None, len(fields)), strict=True)
    ]
    about = [_about(part) for part in parts]  # refuses what would be lost, before the long sum
    volumes, left_out = summed_volumes(parts)
    remarks = [*left_out, *_remarks(parts, volumes)]
    beams, beams_dose = _beams(parts)
    whole: dict[str, Any] = {
        "grid": target,
        "primary": fields[0].primary if len({f.primary for f in fields}) == 1 else None,
        "beams": beams,
        "beams_dose": beams_dose,
        "let_definitions": {n: d for n, d in definitions.items() if n in volumes or _all_define(fields, n)},
        "prescription": _prescription(parts),
        "provenance": _provenance(fields, names, about, remarks),
    }
    if not all(isinstance(field, Field) for field in fields):
        return DoseField(volumes=VolumeSet(target, volumes), **whole)
    volumes["tracks"] = Volume(target, summed_tracks(parts), quantity("tracks"))
    return Field(volumes=VolumeSet(target, volumes), **whole, **_spectral(parts))


def dose_integral(field: DoseField) -> float:
    """Dose times volume, summed over the voxels with a dose, Gy mm^3."""
    return float(np.nansum(field.dose, dtype=float)) * field.grid.voxel_volume_mm3


def _checked(
    fields: Sequence[DoseField], weights: Sequence[float] | None, names: Sequence[str], times: Sequence[Time] | None
) -> Sequence[float]:
    if len(fields) < 2:
        raise QuantityError(f"expected two or more fields to combine, found {len(fields)}")
    if len(names) != len(fields) or len(set(names)) != len(names) or not all(names):
        raise QuantityError(f"{len(fields)} fields need as many different names, found {list(names)}")
    prescribed = [name for field, name in zip(fields, names, strict=True) if field.prescription]
    if 0 < len(prescribed) < len(fields):
        raise PrescriptionError(
            f"of the fields only {', '.join(prescribed)} have absolute dose; prescribe all of them, or none"
        )
    if weights is None and not prescribed:
        raise PrescriptionError(
            "fields in arbitrary scale do not say how much of each is delivered; give their weights"
        )
    weights = [1.0] * len(fields) if weights is None else weights
    if len(weights) != len(fields) or not all(np.isfinite(w) and w > 0 for w in weights):
        raise QuantityError(f"{len(fields)} fields need as many positive weights, found {list(weights)}")
    if times is not None and (len(times) != len(fields) or not np.isfinite(times).all()):
        raise QuantityError(f"{len(fields)} fields need as many starts and durations in s, found {list(times)}")
    return weights


def _require_one_dose(fields: Sequence[DoseField], names: Sequence[str]) -> None:
    for field, name in zip(fields, names, strict=True):
        if field.dose_name != fields[0].dose_name:
            raise QuantityError(
                f"field {names[0]} has {fields[0].dose_name}, field {name} {field.dose_name}; score the same in all"
            )
        if not np.nansum(field.dose) > 0:
            raise QuantityError(f"field {name} has no dose; leave it out")


def _definitions(fields: Sequence[DoseField], names: Sequence[str]) -> dict[str, LetDefinition]:
    """LET definitions by name, the same in every field that has the LET."""
    agreed: dict[str, LetDefinition] = {}
    for quantity_name in ("LET_d", "LET_t"):
        having = [
            (f.let_definitions.get(quantity_name), name)
            for f, name in zip(fields, names, strict=True)
            if quantity_name in f.volumes or quantity_name in f.let_definitions
        ]
        known = [definition for definition, _ in having if definition is not None]
        if not known:
            continue
        for definition, name in having:
            if definition is None:
                raise QuantityError(f"{quantity_name} of field {name} has no definition, that of other fields has one")
            for key in _MEANING:
                own, first = getattr(definition, key), getattr(known[0], key)
                if own != first:
                    raise QuantityError(
                        f"{quantity_name} of field {name} has {key} = {own!r}, that of field {having[0][1]} "
                        f"{first!r}; LET of different definitions is not mixed"
                    )
        agreed[quantity_name] = known[0]
    return agreed


def _all_define(fields: Sequence[DoseField], name: str) -> bool:
    return all(name in field.let_definitions for field in fields)


def _about(part: _Named) -> dict[str, Any]:
    """What became of a field's dose; refuses when too much of it would be lost."""
    field, way = part.field, part.overlap
    dose = np.nan_to_num(field.dose, nan=0.0).astype(float)
    kept = 1.0 if way.identity else float((dose * overlap(way.target, way.source).coverage).sum() / dose.sum())
    if 1 - kept > MAX_LOST:
        raise GridMismatchError(
            f"{100 * (1 - kept):.3g} % of the dose of field {part.name} lies outside the grid of the sum; combine on a "
            "grid that holds all fields (--like), or crop the field first, knowing what is lost"
        )
    border = 0.0 if way.covered.all() else 1 - float(dose[1:-1, 1:-1, 1:-1].sum() / dose.sum())
    after = float(np.nansum(part.carry(field.dose))) * way.target.voxel_volume_mm3
    integrals = {"dose_integral_gy_mm3": dose_integral(field), "dose_integral_in_sum_gy_mm3": after}
    shares = {"lost": max(0.0, 1 - kept), "border": border}
    return {"name": part.name, "weight": part.weight, **shares, **integrals, "exact": way.exact}


def _remarks(parts: Sequence[_Named], volumes: dict[str, Volume]) -> list[str]:
    fields = [part.field for part in parts]
    moved = not all(part.overlap.identity for part in parts)
    remarks = [STD_REMARK] if moved and "dose_std" in volumes else []
    if len({field.primary for field in fields}) > 1:
        remarks.append("the fields have different primaries, so the sum names none")
    spectral = [field for field in fields if isinstance(field, Field)]
    if not spectral:
        return remarks
    if len(spectral) < len(fields):
        return [*remarks, f"only {len(spectral)} of {len(fields)} fields have spectra, so the sum has none"]
    halved = sum(bool(field.halves) for field in spectral)
    if 0 < halved < len(fields):
        remarks.append(f"only {halved} of {len(fields)} fields have halves, so the sum has none")
    if len({field.spectra.axes.species for field in spectral}) > 1:
        remarks.append("a species that a field was not scored for counts as none there")
    return remarks


def _beams(parts: Sequence[_Named]) -> tuple[tuple[Beam, ...], tuple[npt.NDArray[np.floating], ...]]:
    """The beams of all parts, and the dose of each; no doses when those of a part are not known beam by beam."""
    beams, doses, complete = [], [], True
    for part in parts:
        own = part.field.beams or (Beam(name=part.name),)
        beams += [_beam(part, beam, len(own) == 1) for beam in own]
        each = part.field.beams_dose or (part.field.dose,)
        complete = complete and len(each) == len(own)
        doses += [summed_dose([part], [dose]) for dose in each]
    if len({beam.name for beam in beams}) < len(beams):
        raise QuantityError(f"beams need different names, found {[beam.name for beam in beams]}")
    first = min((beam.start_s for beam in beams if beam.start_s is not None), default=0.0)
    shifted = (beam if beam.start_s is None else replace(beam, start_s=beam.start_s - first) for beam in beams)
    return tuple(shifted), tuple(doses) if complete else ()


def _beam(part: _Named, beam: Beam, alone: bool) -> Beam:
    field, start, duration = part.field, beam.start_s, beam.duration_s
    if part.time is not None:
        if not alone:
            raise QuantityError(f"field {part.name} has several beams; give times when those are combined")
        start, duration = part.time
    direction, histories = beam.direction, beam.histories
    if alone and isinstance(field, Field):  # the nearest axis is all that an older store knows
        axis = np.asarray(field.grid.direction)[:, field.beam_axis] * field.beam_sign
        x, y, z = (axis / np.linalg.norm(axis)).tolist()
        direction, histories = direction or (x, y, z), histories or field.histories
    return Beam(
        name=part.name if alone else f"{part.name}: {beam.name}",
        direction=direction,
        histories=histories,
        weight=part.weight * beam.weight,
        start_s=start,
        duration_s=duration,
    )


def _prescription(parts: Sequence[_Named]) -> Prescription | None:
    prescribed = [(part, part.field.prescription) for part in parts if part.field.prescription]
    if not prescribed:
        return None
    doses = [part.weight * dose_integral(part.field) for part, _ in prescribed]
    scales = [part.weight * prescription.dose_scale for part, prescription in prescribed if prescription]
    words = [f"{p.name} x {p.weight:g} ({prescription.statement})" for p, prescription in prescribed if prescription]
    return Prescription(float(np.average(scales, weights=doses)), "sum of " + " and ".join(words))


def _spectral(parts: Sequence[_Named]) -> dict[str, Any]:
    fields = [cast(Field, part.field) for part in parts]
    most = max(parts, key=lambda part: part.weight * dose_integral(part.field))
    axis, sign = main_axis(cast(Field, most.field), most.overlap.target)
    halved = (0, 1) if all(field.halves for field in fields) else ()
    return {
        "spectra": summed_spectra(parts, [field.spectra for field in fields]),
        "halves": tuple(summed_spectra(parts, [field.halves[n] for field in fields]) for n in halved),
        "halves_dose": tuple(summed_dose(parts, [field.halves_dose[n] for field in fields]) for n in halved),
        "beam_axis": axis,
        "beam_sign": sign,
        "histories": sum(field.histories for field in fields),
    }


def _provenance(
    fields: Sequence[DoseField], names: Sequence[str], about: Sequence[dict[str, Any]], remarks: Sequence[str]
) -> dict[str, Any]:
    """Runs of all parts in one list, since histories are recognised by their files; then the parts themselves."""
    origins = [field.provenance for field in fields]
    runs = [{**run, "field": n} for n, origin in zip(names, origins, strict=True) for run in origin.get("runs", [])]
    versions = {str(origin["topas_version"]) for origin in origins if origin.get("topas_version")}
    return {
        "topas_version": ", ".join(sorted(versions)) or None,
        "runs": runs,
        "parts": [{**part, "provenance": origin} for part, origin in zip(about, origins, strict=True)],
        "changes": [{"change": "combine", "remarks": list(remarks)}],
    }
