"""The numbers of a report as tables: errors apart from differences between models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from surrogate3d.report.content import FloatArray, ReportContent
from surrogate3d.report.markup import Html, definitions, element, join, table
from surrogate3d.validation.metrics import METRICS
from surrogate3d.validation.table import ComparisonRow, ComparisonTable

_HEADINGS = {
    "n": "n",
    "n_missing": "no answer",
    "R2": "R\N{SUPERSCRIPT TWO}",
    "NRMSE_range": "NRMSE (range)",
    "bias": "bias / %",
    "rms": "rms / %",
    "p95": "p95 / %",
    "max": "max / %",
    "floor": "floor / %",
    "rms_net": "rms_net / %",
}

_DECIMALS = {"R2": 4, "NRMSE_range": 4}
_UNKNOWN = "\N{EN DASH}"


def validation_tables(data: Mapping[str, Any]) -> Iterator[Html]:
    """Errors of the surrogate and of the baselines: each quantity overall, then by region.

    Args:
        data: a table of schema "surrogate3d.validation/1".

    Raises:
        FormatError: another schema, or an incomplete table.
    """
    whole = ComparisonTable.from_json(dict(data))
    errors = [row for row in whole.rows if row.kind != "model_difference"]
    yield from _by_quantity(errors, "error against the reference")
    if whole.seconds_per_voxel:
        speeds = [(method, f"{1e6 * seconds:.3g}") for method, seconds in whole.seconds_per_voxel.items()]
        yield table("Computing time", ("method", "\N{MICRO SIGN}s per voxel"), speeds)
    keys = [(_HEADINGS.get(key, key), METRICS[key]) for key in METRICS]
    yield element("details", element("summary", "What the columns mean"), definitions(keys))
    for note in whole.notes:
        yield element("p", note)


def model_tables(content: ReportContent) -> Iterator[Html]:
    """How far published models are from the surrogate, and from the reference where the validation says so."""
    if content.published_models:
        head = ("model", *_region_names(content))
        rows = [(name, *_differences(content, values)) for name, values in content.published_models.items()]
        yield table("RBE: model over surrogate, minus 1; mean and central 90 % of voxels / %", head, rows)
    if content.validation is not None:
        whole = ComparisonTable.from_json(dict(content.validation))
        differences = [row for row in whole.rows if row.kind == "model_difference"]
        yield from _by_quantity(differences, "difference of the model from the reference of this report's cell line")


def _by_quantity(rows: Iterable[ComparisonRow], kind: str) -> Iterator[Html]:
    for quantity in dict.fromkeys(row.quantity for row in rows):
        chosen = [row for row in rows if row.quantity == quantity]
        overall = [row for row in chosen if row.region == "all"]
        body = [(row.method, *(_number(key, getattr(row.summary, key)) for key in METRICS)) for row in overall]
        yield table(f"{quantity}: {kind}", ("method", *(_HEADINGS[key] for key in METRICS)), body)
        regions = [name for name in dict.fromkeys(row.region for row in chosen) if name != "all"]
        if regions:
            yield _region_table(chosen, regions, f"{quantity}: {kind}, rms (rms_net where the floor is known) / %")


def _region_table(rows: list[ComparisonRow], regions: list[str], caption: str) -> Html:
    cells = {(row.method, row.region): _with_net(row) for row in rows}
    methods = dict.fromkeys(row.method for row in rows)
    body = [(method, *(cells.get((method, region), _UNKNOWN) for region in regions)) for method in methods]
    return table(caption, ("method", *(region.replace("_", " ") for region in regions)), body)


def _with_net(row: ComparisonRow) -> str:
    net = row.summary.rms_net
    return _number("rms", row.summary.rms) + (f" ({_number('rms_net', net)})" if np.isfinite(net) else "")


def _region_names(content: ReportContent) -> tuple[str, ...]:
    return ("all", *(name.replace("_", " ") for name in content.regions))


def _differences(content: ReportContent, values: FloatArray) -> Iterator[str]:
    difference = 100.0 * (values / content.RBE - 1.0)
    for region in (content.mask, *content.regions.values()):
        inside = difference[region & np.isfinite(difference)]
        if not inside.size:
            yield _UNKNOWN
            continue
        low, high = np.percentile(inside, (5, 95))
        spread = element("small", _minus(f"{low:+.1f} to {high:+.1f}"))
        yield join((_minus(f"{inside.mean():+.1f}"), Html("<br>"), spread))


def _number(key: str, value: float) -> str:
    if not np.isfinite(value):
        return _UNKNOWN
    if key in ("n", "n_missing"):
        return f"{value:,}"
    decimals = _DECIMALS.get(key, 2)
    return _minus(f"{round(value, decimals) + 0.0:.{decimals}f}")


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
