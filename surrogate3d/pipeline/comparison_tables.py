"""The tables of a comparison as CSV files for other programs: RFC 4180, with units in the headings."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from surrogate3d.errors import StoreError
from surrogate3d.io.atomic import atomic_directory
from surrogate3d.io.manifest import has_schema
from surrogate3d.pipeline.map_comparison import SCHEMA
from surrogate3d.validation.histograms import STATISTICS
from surrogate3d.validation.map_errors import MAP_ERRORS

COMPARISON_JSON = "comparison.json"

Row = Sequence[Any]

_COUNTS = ("n", "n_missing", "n_unknown", "n_zero")
_PURE = ("R2", "NRMSE_range", "NRMSE_mean")


def write_tables(about: Mapping[str, Any], folder: Path, overwrite: bool = False) -> list[Path]:
    """Write all tables of a comparison, and the comparison itself as `comparison.json`, whole or not at all.

    Args:
        about: of `FileComparison.to_json` or `MapComparison.to_json`. What is not defined becomes an empty cell.
        folder: a new one.
        overwrite: replace an older comparison.

    Returns:
        The files, `comparison.json` last.

    Raises:
        StoreError: the folder exists and is not to be, or must not be, replaced; or the disk is full.
    """
    if overwrite and folder.exists() and not has_schema(folder / COMPARISON_JSON, SCHEMA):
        raise StoreError(f"{folder} exists and holds no comparison, so it is not replaced; choose another name")
    tables = tables_of(about)
    with atomic_directory(folder, overwrite) as scratch:
        for name, rows in tables.items():
            with (scratch / f"{name}.csv").open("w", newline="", encoding="utf-8") as stream:
                csv.writer(stream).writerows(rows)
        text = json.dumps(about, indent=1, allow_nan=False) + "\n"
        (scratch / COMPARISON_JSON).write_text(text, encoding="utf-8")
    return [*(folder / f"{name}.csv" for name in tables), folder / COMPARISON_JSON]


def tables_of(about: Mapping[str, Any]) -> dict[str, list[Row]]:
    """Rows of every table by its name, the heading first; None where a number is not defined."""
    return {
        "errors": list(_errors(about)),
        "gamma": list(_gamma(about)),
        "statistics": list(_statistics(about)),
        "histograms": list(_histograms(about)),
        "profiles": list(_profiles(about)),
        "distal_depths": list(_distal_depths(about)),
        "limits": list(_limits(about)),
        "problems": list(_problems(about)),
    }


def _errors(about: Mapping[str, Any]) -> Iterator[Row]:
    unit, keys = about["quantity"]["unit"], [key for key in MAP_ERRORS if key != "max_voxel"]
    headings = [key if key in (*_COUNTS, *_PURE) else _headed(key, unit) for key in keys]
    yield ("method", "kind", "group", *headings, "max_i", "max_j", "max_k")
    for row in about["errors"]:
        voxel = row["max_voxel"] or (None, None, None)
        yield (row["method"], row["kind"], row["group"], *(row[key] for key in keys), *voxel)


def _headed(key: str, unit: str) -> str:
    return f"{key.removesuffix('_percent')} / %" if key.endswith("_percent") else f"{key} / {unit}"


def _gamma(about: Mapping[str, Any]) -> Iterator[Row]:
    yield ("method", "criterion", "group", "points", "gamma <= 1 / %", "cut-off / %")
    for each in about["gamma"]:
        for rate in each["pass_rates"]:
            yield (each["method"], each["criterion"], rate["group"], rate["n"], rate["percent"], each["cutoff_percent"])


def _statistics(about: Mapping[str, Any]) -> Iterator[Row]:
    in_unit = [key for key in STATISTICS if key != "V95"]
    told = ("structure", "method", "quantity", "unit", "volume / cm3", "voxels", "missing", "base")
    yield (*told, *in_unit, "V95 / %")
    for each in about["histograms"]:
        own = [each[key] for key in ("structure", "method", "quantity", "unit", "volume_cm3", "n_voxels", "n_missing")]
        yield (*own, each["base"], *(each["statistics"][key] for key in in_unit), each["statistics"]["V95"])


def _histograms(about: Mapping[str, Any]) -> Iterator[Row]:
    yield ("structure", "method", "quantity", "unit", "level", "volume with at least that / %")
    for each in about["histograms"]:
        called = [each[key] for key in ("structure", "method", "quantity", "unit")]
        for level, percent in zip(each["levels"], each["volume_percent"], strict=True):
            yield (*called, level, percent)


def _profiles(about: Mapping[str, Any]) -> Iterator[Row]:
    yield ("profile", "series", "kind", "unit", "depth / mm", "value")
    for profile in about["profiles"]:
        for series in profile["series"]:
            for depth, value in zip(profile["depth_mm"], series["values"], strict=True):
                yield (profile["title"], series["name"], series["kind"], series["unit"], depth, value)


def _distal_depths(about: Mapping[str, Any]) -> Iterator[Row]:
    yield ("method", "profile", "depth", "judged / mm", "reference / mm", "judged - reference / mm")
    for each in about["distal_depths"]:
        yield tuple(each[key] for key in ("method", "how", "name", "judged_mm", "reference_mm", "difference_mm"))


def _limits(about: Mapping[str, Any]) -> Iterator[Row]:
    yield ("method", "limit", "outcome", "metric", "quantity", "group", "criterion", "value", "n", "unit", "sentence")
    for method, findings in about["findings"].items():
        for each in findings:
            limit, measured = each["limit"], each["measured"] or {"value": None, "n": None}
            told = [limit[key] for key in ("metric", "quantity", "group", "criterion")]
            value = (measured["value"], measured["n"], limit["unit"])
            yield (method, limit["name"], each["outcome"], *told, *value, each["sentence"])


def _problems(about: Mapping[str, Any]) -> Iterator[Row]:
    keys = ("kind", "where", "sentence", "meaning")
    yield keys
    for each in about["problems"]:
        yield tuple(each[key] for key in keys)
