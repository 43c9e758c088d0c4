"""Judge a surrogate, and the cheap methods beside it, against a map of another engine, and report it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import QuantityError, UnsupportedError
from surrogate3d.grid import Field, Volume
from surrogate3d.inference.curves import CurveMap, predict_curves
from surrogate3d.inference.maps import ALWAYS, PRESCRIBED, Fractionation, require_on_ladder
from surrogate3d.model.bundle import Surrogate
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.pipeline.any_map import ReferenceMap
from surrogate3d.pipeline.appraisal import COMPARED, relative_dose, unknown_dose
from surrogate3d.pipeline.comparison_context import Context
from surrogate3d.pipeline.in_memory import table_for
from surrogate3d.pipeline.map_comparison import MapComparison, compare_maps
from surrogate3d.pipeline.method_maps import method_maps
from surrogate3d.pipeline.report_scene import RBE_profiles, report_scene
from surrogate3d.pipeline.reporting import profile_series, report_conditions, report_maps, report_notes
from surrogate3d.pipeline.validation import SURROGATE
from surrogate3d.report import Judgement, Report, ReportContent, write_report
from surrogate3d.validation.acceptance import Limit
from surrogate3d.validation.baselines import baseline_effects

Floats = npt.NDArray[np.floating]

JUDGED = tuple(
    name for name in (*ALWAYS, *PRESCRIBED) if name not in ("mask", "out_of_domain", "RBE_std", "RBE_half_width")
)
"""Quantities that the surrogate and the cheap methods answer for."""


@dataclass(frozen=True, eq=False)
class MapValidation:
    """What was found.

    Attributes:
        field: the judged field.
        curves: the surrogate's survival curves.
        maps: (i, j, k) by method.
        comparison: of all of them with the reference.
    """

    field: Field
    curves: CurveMap
    maps: Mapping[str, Floats]
    comparison: MapComparison

    @property
    def unmet(self) -> bool:
        """Whether the surrogate does not meet a limit; the cheap methods are shown, and not judged."""
        return any(finding.outcome == "not met" for finding in self.comparison.findings[SURROGATE])


def validate_by_map(
    field: Field,
    surrogate: Surrogate,
    line: CellLine,
    how: Fractionation,
    reference: ReferenceMap,
    told: Context,
    limits: tuple[Limit, ...],
) -> MapValidation:
    """Compare the surrogate and the cheap methods, all on one field, with another engine's map.

    Voxels where the surrogate does not answer are in no comparison: they have too little dose, or no spectrum.

    Args:
        field: the input.
        surrogate: the model.
        line: cell line.
        how: fraction dose and number, that of the reference.
        reference: on the field's grid, of a quantity of `JUDGED`.
        told: structures and what is wrong with them; dose, LET and beam are those of the field.
        limits: acceptance limits.

    Raises:
        UnsupportedError: the quantity does not follow from survival curves.
        QuantityError: the reference is a dose in arbitrary scale.
        PrescriptionError: the quantity is at the voxels' own dose, and the field has none.
        ValueRangeError: the fraction dose, or a voxel's own, is beyond the simulated doses.
    """
    name = reference.volume.quantity.name
    if name not in JUDGED:
        raise UnsupportedError(
            f"{name} does not follow from survival curves; known: {', '.join(JUDGED)}; compare other maps with "
            "`surrogate3d compare`"
        )
    if not reference.absolute:
        raise QuantityError(f"the reference is a {name} in arbitrary scale, and curves tell Gy; export it in Gy")
    if name in PRESCRIBED:
        how.require_prescription(field)
    require_on_ladder(how.fraction_dose_gy, np.array(surrogate.card.doses))
    table = table_for(surrogate, line)
    curves = predict_curves(field, surrogate, line, table=table)
    known = baseline_effects(field, line, table)
    maps = method_maps(curves, {each: known[each] for each in COMPARED}, field, line, how, name)
    told = _context(field, curves, replace(told, base=told.base if name == "D_RBE" else None))
    return MapValidation(field, curves, maps, compare_maps(maps, reference, told, limits=limits))


def _context(field: Field, curves: CurveMap, told: Context) -> Context:
    """What is beside the maps; compared is where the surrogate answers."""
    dose = Volume(field.grid, np.nan_to_num(field.dose), field.volumes[field.dose_name].quantity)
    return replace(
        told,
        dose=dose if field.prescription else relative_dose(dose, dose),
        LET=field.volumes.get("LET_d"),
        beam=None if field.several_directions else (field.beam_axis, field.beam_sign),
        answered=curves.mask,
        problems=(*told.problems, *unknown_dose(field)),
    )


def verdict(found: MapValidation) -> tuple[str, ...]:
    """What the numbers say, in sentences."""
    rows = {row.method: row for row in found.comparison.errors if row.kind == "all"}
    symbol = found.comparison.reference.volume.quantity.symbol
    others = "; ".join(f"{name} {rows[name].rms_percent:.2f} %" for name in COMPARED)
    own = rows[SURROGATE]
    lead = (
        f"Against the given map of {symbol}, the surrogate differs by {own.rms_percent:.2f} % RMS and "
        f"{own.bias_percent:+.2f} % in the mean ({own.n - own.n_zero:,} voxels); on the same input {others}."
    )
    if own.n == own.n_zero:
        missing = own.n_missing + own.n_unknown
        lead = (
            f"No voxel has a relative difference from the given map of {symbol}: it is 0 in {own.n_zero:,} voxels, and "
            f"{missing:,} lack a value."
        )
    caution = "Another engine may have another biology: a difference between models is no error of either."
    return (lead, *found.comparison.verdict[SURROGATE][:1], caution)


def write_map_report(
    path: Path,
    found: MapValidation,
    surrogate: Surrogate,
    line: CellLine,
    how: Fractionation,
    *,
    provenance: Mapping[str, Any],
    title: str = "Survival and RBE beside another engine",
    structures: Mapping[str, Floats] | None = None,
    ct: Volume | None = None,
) -> Report:
    """Write the report of a validation by a map.

    Args:
        path: of the HTML file.
        found: what was found.
        surrogate: the model.
        line: cell line.
        how: fraction dose and number.
        provenance: plain data: files, hashes, commands, seeds.
        title: headline.
        structures: (i, j, k) fraction of each voxel that is inside, by name.
        ct: on the grid of the field.
    """
    field, truth = found.field, found.comparison.reference
    same = truth.volume.quantity.name == "RBE_ref"
    told = found.comparison.to_json()
    content = ReportContent(
        title=title,
        verdict=verdict(found),
        conditions=report_conditions(field, surrogate, line, how.fraction_dose_gy, how.fractions),
        maps=report_maps(field, found.curves, line, how.fraction_dose_gy, how.fractions),
        mask=found.curves.mask,
        beam_axis=field.beam_axis,
        beam_sign=field.beam_sign,
        prescription_gy=field.prescription.dose_gy if field.prescription else None,
        methods={name: found.maps[name] for name in COMPARED} if same else {},
        reference=truth.volume.values if same else None,
        reference_origin=truth.origin,
        judgement=Judgement(
            findings=found.comparison.findings[SURROGATE],
            problems=found.comparison.problems,
            comparisons={truth.volume.quantity.name: told},
            histograms=tuple(told["histograms"]),
        ),
        provenance=dict(provenance),
        notes=report_notes(field),
    )
    scene = report_scene(
        content,
        field,
        found.curves,
        line,
        table_for(surrogate, line),
        structures=structures,
        histograms=content.judgement.histograms,
        profiles=(*RBE_profiles(content), *profile_series([found.comparison])),
        ct=ct,
        more=tuple(_layers(found)),
    )
    return write_report(replace(content, scene=scene), path)


def _layers(found: MapValidation) -> Iterator[tuple[Volume, str, str]]:
    """The reference, and the relative differences from it."""
    truth = found.comparison.reference.volume
    yield truth, f"{truth.quantity.symbol}, reference", "reference"
    with np.errstate(divide="ignore", invalid="ignore"):
        for name, values in found.maps.items():
            error = np.where(truth.values != 0, 100 * (values / truth.values - 1), np.nan)
            said = f"relative difference of {truth.quantity.symbol} of {name} from the reference"
            meaning = replace(truth.quantity, unit="%", symbol="difference", definition=said)
            yield Volume(truth.grid, error.astype(np.float32), meaning), f"Difference, {name}", "error"
