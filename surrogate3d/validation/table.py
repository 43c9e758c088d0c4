"""All methods on the same voxels, in one table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, GridMismatchError, QuantityError, UnknownNameError
from surrogate3d.grid.regions import union
from surrogate3d.validation.metrics import METRICS, ErrorSummary, error_summary

SCHEMA = "surrogate3d.validation/1"

KINDS: dict[str, str] = {
    "surrogate": "a trained network on the low-statistics input",
    "baseline": "a cheap method with the same biology as the truth: the difference is error",
    "model_difference": "another radiobiological model: most of the difference is biology, not error",
}
"""How a method's difference from the truth is to be read."""

_ADDED = ("q05", "q50", "q95")
"""Metrics that tables of the same schema did not have at first; they are read as unknown."""

Maps = Mapping[str, npt.NDArray[np.floating]]


@dataclass(frozen=True)
class ComparisonRow:
    """One method, one quantity, one region.

    Attributes:
        method: name of the method.
        kind: a key of `KINDS`.
        quantity: e.g. "RBE", "alpha", "effect".
        region: "all" or the name of a region.
        summary: the error statistics.
    """

    method: str
    kind: str
    quantity: str
    region: str
    summary: ErrorSummary


@dataclass(frozen=True)
class ComparisonTable:
    """Errors by method, quantity and region.

    Attributes:
        rows: one per combination; methods, quantities and regions in the order in which they were given.
        seconds_per_voxel: computing time by method, where measured.
        notes: sentences that must be read with the table.
    """

    rows: tuple[ComparisonRow, ...]
    seconds_per_voxel: Mapping[str, float]
    notes: tuple[str, ...] = ()

    def row(self, method: str, quantity: str, region: str = "all") -> ComparisonRow:
        """Look one combination up.

        Raises:
            UnknownNameError: it is not in the table.
        """
        for row in self.rows:
            if (row.method, row.quantity, row.region) == (method, quantity, region):
                return row
        raise UnknownNameError(f"the table has no {quantity} of {method!r} in region {region!r}")

    def best(self, methods: Sequence[str], quantity: str, region: str = "all") -> str:
        """The method of least rms among some: a choice with hindsight, to be called so.

        Raises:
            UnknownNameError: one of them is not in the table.
        """
        return min(methods, key=lambda method: self.row(method, quantity, region).summary.rms)

    def as_rows(self, quantity: str, metric: str = "rms") -> list[list[str]]:
        """Methods by regions, as text for printing.

        Args:
            quantity: which quantity.
            metric: which metric, a key of `METRICS`.

        Returns:
            The header ("method", regions ...) and one row per method; "-" where undefined.

        Raises:
            UnknownNameError: the quantity or metric is not in the table.
        """
        rows = [row for row in self.rows if row.quantity == quantity]
        if not rows or metric not in METRICS:
            raise UnknownNameError(f"the table has no metric {metric!r} of quantity {quantity!r}")
        regions = list(dict.fromkeys(row.region for row in rows))
        cells = {(row.method, row.region): getattr(row.summary, metric) for row in rows}
        methods = list(dict.fromkeys(row.method for row in rows))
        return [["method", *regions]] + [[m, *(_text(cells[m, region]) for region in regions)] for m in methods]

    def to_json(self) -> dict[str, Any]:
        """Plain data; undefined numbers are null. `keys` and `kinds` document what the rows hold."""
        return {
            "schema": SCHEMA,
            "keys": METRICS,
            "kinds": KINDS,
            "notes": list(self.notes),
            "seconds_per_voxel": dict(self.seconds_per_voxel),
            "rows": [_row_to_json(row) for row in self.rows],
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> ComparisonTable:
        """The inverse of `to_json`; quantiles of the signed error, which older tables do not have, are NaN then.

        Raises:
            FormatError: another schema, or a missing key.
        """
        if data.get("schema") != SCHEMA:
            raise FormatError(f"expected a table of schema {SCHEMA!r}, found {data.get('schema')!r}")
        try:
            rows = tuple(_row_from_json(row) for row in data["rows"])
            return ComparisonTable(rows, dict(data["seconds_per_voxel"]), tuple(data["notes"]))
        except KeyError as error:
            raise FormatError(f"the validation table lacks the key {error}; it was not written whole") from error


def compare(
    predicted: Mapping[str, Maps],
    truth: Maps,
    regions: Mapping[str, npt.NDArray[np.bool_]],
    kinds: Mapping[str, str],
    floors: Mapping[str, Mapping[str, float]] | None = None,
    seconds_per_voxel: Mapping[str, float] | None = None,
    notes: Sequence[str] = (),
) -> ComparisonTable:
    """Judge every method on the same voxels.

    Args:
        predicted: maps by method, then quantity; NaN where a method gives no answer.
        truth: maps by quantity, finite and not zero in the regions. Every method must have all of its quantities.
        regions: disjoint masks by name; "all" is their union, or every voxel without them.
        kinds: kind of each method, a key of `KINDS`.
        floors: noise floor of the truth in % by quantity, then region (see `noise_floor`), where known.
        seconds_per_voxel: computing time by method, where measured.
        notes: sentences for the reader.

    Returns:
        The table.

    Raises:
        QuantityError: a method lacks a quantity or a known kind.
        GridMismatchError: a map or mask has another shape than the truth.
        ValueRangeError: see `error_summary`.
    """
    rows = []
    for method, maps in predicted.items():
        if kinds.get(method) not in KINDS:
            raise QuantityError(f"method {method!r} needs a kind, one of {', '.join(KINDS)}")
        for quantity, true_map in truth.items():
            _require_map(method, maps, quantity, true_map)
            for region, mask in {"all": union(regions, true_map.shape), **regions}.items():
                floor = (floors or {}).get(quantity, {}).get(region)
                summary = error_summary(maps[quantity][mask], true_map[mask], noise_floor=floor)
                rows.append(ComparisonRow(method, kinds[method], quantity, region, summary))
    return ComparisonTable(tuple(rows), dict(seconds_per_voxel or {}), tuple(notes))


def _require_map(method: str, maps: Maps, quantity: str, true_map: npt.NDArray[np.floating]) -> None:
    if quantity not in maps:
        raise QuantityError(f"method {method!r} has no map of {quantity}; every method must answer for every quantity")
    if maps[quantity].shape != true_map.shape:
        raise GridMismatchError(
            f"{quantity} of {method!r} has shape {maps[quantity].shape}, the truth {true_map.shape}"
        )


def _row_to_json(row: ComparisonRow) -> dict[str, Any]:
    numbers = {key: None if value != value else value for key, value in asdict(row.summary).items()}
    return {"method": row.method, "kind": row.kind, "quantity": row.quantity, "region": row.region, **numbers}


def _row_from_json(data: dict[str, Any]) -> ComparisonRow:
    found = {**dict.fromkeys(_ADDED), **data}
    numbers: dict[str, Any] = {key: float("nan") if found[key] is None else found[key] for key in METRICS}
    return ComparisonRow(data["method"], data["kind"], data["quantity"], data["region"], ErrorSummary(**numbers))


def _text(value: float) -> str:
    return "-" if value != value else f"{value:.3g}" if isinstance(value, float) else str(value)
