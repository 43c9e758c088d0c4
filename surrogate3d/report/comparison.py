"""Whole maps against a reference as tables: errors by group of voxels, gamma, distal depths, histograms' statistics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from surrogate3d.report.markup import Html, element, table

UNKNOWN = "\N{EN DASH}"

_KINDS = {
    "all": "all compared voxels",
    "dose": "by dose",
    "LET": "by LET",
    "region": "by region",
    "structure": "by structure",
}
_STATISTICS = ("mean", "D2", "D50", "D98", "V95")


def error_tables(rows: Sequence[Mapping[str, Any]], what: str) -> Iterator[Html]:
    """Relative errors by group: a row for each group, three columns for each method.

    Args:
        rows: plain data of `validation.map_errors.MapErrorRow`.
        what: symbol of the quantity.
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    cells = {(row["kind"], row["group"], row["method"]): row for row in rows}
    head = ["voxels", "n", *(f"{method}: {name}" for method in methods for name in ("bias / %", "rms / %", "p95 / %"))]
    groups = dict.fromkeys((row["kind"], row["group"]) for row in rows)
    body = [_group(kind, group, [cells[kind, group, method] for method in methods]) for kind, group in groups]
    if body:
        yield table(f"{what}: relative error by dose, LET, region and structure", head, body)


def _group(kind: str, group: str, rows: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    said = group.replace("_", " ") if kind == "region" else group  # the others hold symbols and names of the user
    name = _KINDS["all"] if kind == "all" else f"{_KINDS[kind]}: {said}"
    keys = ("bias_percent", "rms_percent", "p95_percent")
    return name, f"{max(row['n'] for row in rows):,}", *(_number(row[key]) for row in rows for key in keys)


def comparison_tables(comparisons: Mapping[str, Mapping[str, Any]]) -> Iterator[Html]:
    """All tables of all quantities.

    Args:
        comparisons: plain data of schema "surrogate3d.comparison/1", by quantity.
    """
    for told in comparisons.values():
        symbol = told["quantity"]["symbol"]
        yield element("h3", f"{symbol}: whole maps")
        yield element("p", _sentence(f"Reference: {told['reference']['origin']}"), *_joined(told["notes"]))
        yield from error_tables(told["errors"], symbol)
        yield from _gamma_table(told["gamma"], symbol)
        yield from _depth_table(told["distal_depths"], symbol)


def _gamma_table(found: Sequence[Mapping[str, Any]], symbol: str) -> Iterator[Html]:
    criteria = list(dict.fromkeys(each["criterion"] for each in found))
    rates = {(each["method"], rate["group"], each["criterion"]): rate for each in found for rate in each["pass_rates"]}
    rows = [
        (method, group, *(_rate(rates.get((method, group, criterion))) for criterion in criteria))
        for method, group in dict.fromkeys((method, group) for method, group, _ in rates)
    ]
    if rows:
        cutoff = f"above {found[0]['cutoff_percent']:g} % of the largest value"
        caption = f"{symbol}: points that pass gamma / %, global, {cutoff}"
        yield table(caption, ("method", "in", *(_spaced(criterion) for criterion in criteria)), rows)


def _rate(rate: Mapping[str, Any] | None) -> str:
    if rate is None or rate["percent"] is None:
        return UNKNOWN
    return f"{rate['percent']:.1f} (n = {rate['n']:,})"


def _spaced(criterion: str) -> str:
    return criterion.replace("%/", " % / ").replace("mm", " mm")


def _depth_table(found: Sequence[Mapping[str, Any]], symbol: str) -> Iterator[Html]:
    rows = [
        (f"{each['method']}, {each['how']}", each["name"], *map(_mm, (each["judged_mm"], each["reference_mm"])),
         _signed_mm(each["difference_mm"]))
        for each in found
    ]  # fmt: skip
    if rows:
        head = ("method and profile", "depth", "judged / mm", "reference / mm", "difference / mm")
        yield table(f"{symbol}: distal depths along the beam", head, rows)


def histogram_tables(histograms: Iterable[Mapping[str, Any]]) -> Iterator[Html]:
    """Statistics of volume histograms: a table for each quantity."""
    by_quantity: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for each in histograms:
        by_quantity.setdefault((each["symbol"], each["unit"]), []).append(each)
    for (symbol, unit), found in by_quantity.items():
        labels = found[0]["labels"]
        head = ("structure", "method", "volume / cm\N{SUPERSCRIPT THREE}", *(labels[key] for key in _STATISTICS))
        rows = [
            (
                each["structure"],
                each["method"],
                f"{each['volume_cm3']:.2f}",
                *(_number(each["statistics"][key]) for key in _STATISTICS),
            )
            for each in found
        ]
        printed = "" if unit == "1" else f" {unit}"
        based = "" if (base := found[0]["base"]) is None else f"; V95: % of the volume with 95 % of {base:g}{printed}"
        yield table(f"{symbol} in structures / {unit}{based}", head, rows)


def _joined(sentences: Iterable[str]) -> Iterator[str]:
    yield from (" " + _sentence(sentence) for sentence in sentences)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _mm(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.2f}"


def _signed_mm(value: float | None) -> str:
    return UNKNOWN if value is None else _minus(f"{value:+.2f}")


def _number(value: float | None) -> str:
    return UNKNOWN if value is None else _minus(f"{value:.3g}")


def _minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")
