"""The numbers of a report as tables: errors apart from differences between models."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from surrogate3d.report.content import FloatArray, ReportContent
from surrogate3d.report.markup import Html, definitions, element, join, table
from surrogate3d.validation.baselines import UNIFORM_METHODS
from surrogate3d.validation.metrics import METRICS
from surrogate3d.validation.table import ComparisonRow, ComparisonTable

_HEADINGS = {
    "n": "n",
    "n_missing": "no answer",
    "R2": "R\N{SUPERSCRIPT TWO}",
    "NRMSE_range": "NRMSE (range)",
    "bias": "bias / %",
    "rms": "rms / %",
    "q05": "q05 / %",
    "q50": "q50 / %",
    "q95": "q95 / %",
    "p95": "p95 / %",
    "max": "max / %",
    "floor": "floor / %",
    "rms_net": "rms_net / %",
}

_DECIMALS = {"R2": 4, "NRMSE_range": 4}
_UNKNOWN = "\N{EN DASH}"

FEWEST_VOXELS = 5
"""A region of fewer voxels has its n printed, but no numbers."""


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
    keys.append((_UNKNOWN, f"undefined, or a region of fewer than {FEWEST_VOXELS} voxels"))
    keys.append(("(< floor)", "by region, instead of rms_net: rms is below the floor"))
    yield element("details", element("summary", "What the columns mean"), definitions(keys))
    for note in whole.notes:
        yield element("p", note)


def model_tables(content: ReportContent) -> Iterator[Html]:
    """How far published models are from the surrogate, and from the reference where the validation says so."""
    if content.published_models:
        head = ("model", *_region_heads(content))
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
        marks = _hindsight(overall) if quantity == "RBE" else {}
        body = [
            (row.method + marks.get(row.method, ""), *(_number(key, getattr(row.summary, key)) for key in METRICS))
            for row in overall
        ]
        yield table(f"{quantity}: {kind}", ("method", *(_HEADINGS[key] for key in METRICS)), body)
        regions = [name for name in dict.fromkeys(row.region for row in chosen) if name != "all"]
        if regions:
            yield _region_table(chosen, regions, f"{quantity}: {kind}, rms (rms_net where the floor is known) / %")


def _hindsight(rows: Iterable[ComparisonRow]) -> dict[str, str]:
    """What to say of the uniform pooling of least rms: nobody could have chosen it without the truth."""
    pooled = [row for row in rows if row.method in UNIFORM_METHODS and np.isfinite(row.summary.rms)]
    best = sorted(pooled, key=lambda row: row.summary.rms)[:1]
    return {row.method: " (best with hindsight)" for row in best}


def _region_table(rows: list[ComparisonRow], regions: list[str], caption: str) -> Html:
    cells = {(row.method, row.region): _with_net(row) for row in rows}
    methods = dict.fromkeys(row.method for row in rows)
    body = [(method, *(cells.get((method, region), _UNKNOWN) for region in regions)) for method in methods]
    counts = [max(row.summary.n for row in rows if row.region == region) for region in regions]
    return table(caption, ("method", *map(_head, regions, counts)), body)


def _head(region: str, n: int) -> str:
    return f"{region.replace('_', ' ')} (n = {n:,})"


def _with_net(row: ComparisonRow) -> str:
    told = row.summary
    if told.n < FEWEST_VOXELS:
        return _UNKNOWN
    if not np.isfinite(told.rms_net):
        return _number("rms", told.rms)
    net = "< floor" if told.rms_net == 0 < told.floor else _number("rms_net", told.rms_net)
    return f"{_number('rms', told.rms)} ({net})"


def _region_heads(content: ReportContent) -> Iterator[str]:
    answered = np.isfinite(content.RBE)
    for name, region in {"all": content.mask, **content.regions}.items():
        yield _head(name, int((region & answered).sum()))


def _differences(content: ReportContent, values: FloatArray) -> Iterator[str]:
    difference = 100.0 * (values / content.RBE - 1.0)
    for region in (content.mask, *content.regions.values()):
        inside = difference[region & np.isfinite(difference)]
        if inside.size < FEWEST_VOXELS:
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
