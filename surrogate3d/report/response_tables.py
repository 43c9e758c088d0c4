"""The numbers of a report on the response of lesions as tables."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from surrogate3d.report.markup import Html, element, join, table
from surrogate3d.report.response_content import Interval, LesionPage, ResponseReport

UNKNOWN = "\N{EN DASH}"

_PARTS = ("inside", "outside", "difference", "whole")
_OUTCOMES = {1.0: "responded", 0.0: "did not respond"}


def method_table(content: ResponseReport) -> Html:
    """How well each approach predicts the response of lesions that were held out."""
    head = ("approach", "AUC", "network's AUC less this one", "accuracy", "excess calibration error")
    rows = [
        (each.name, *map(_interval, (each.AUC, each.AUC_below_network, each.accuracy, each.excess_ECE)))
        for each in content.methods
    ]
    return table("Held-out lesions", head, rows)


def localisation_table(content: ResponseReport) -> Html:
    """How well each kind of map finds the planted regions of lesions that were held out."""
    head = ("map", "pointing accuracy", "Dice in the lesion", "Dice in the whole cube", "AUROC in the lesion")
    rows = [
        (each.name, *map(_interval, (each.pointing, each.dice, each.dice_anywhere, each.auroc)))
        for each in content.localisation
    ]
    return table("Held-out lesions with a planted region", head, rows)


def lesion_table(content: ResponseReport, anchors: Mapping[str, str]) -> Html:
    """All lesions, one row each.

    Args:
        content: of the report.
        anchors: where on the page a lesion has its pictures, by name.
    """
    head = (
        "lesion", "outcome", "probability of response", "lesion / cm\N{SUPERSCRIPT THREE}",
        "region / cm\N{SUPERSCRIPT THREE}", "mean D_RBE / Gy (RBE)", "LET_d / (keV/\N{MICRO SIGN}m)",
        "boost, research only",
    )  # fmt: skip
    caption = "All lesions; D_RBE and LET_d in the region, and in the rest of the lesion"
    return table(caption, head, [_lesion_row(each, anchors.get(each.name)) for each in content.lesions])


def delivered_table(page: LesionPage) -> Html:
    """What the region got against the rest of its lesion; only what is known."""
    rows = [(name, *cells) for name, *cells in _delivered_rows(page.delivered_numbers) if set(cells) != {UNKNOWN}]
    head = ("", "in the region", "in the rest", "difference", "whole lesion")
    return table("What was delivered", head, rows) if rows else Html("")


def outcome(page: LesionPage) -> str:
    """What became of a lesion, in words."""
    return _OUTCOMES.get(page.responded, "not known")


def probability(page: LesionPage) -> str:
    """Probability of response, with those one standard deviation of the members' log odds away."""
    low, high = page.between
    beside = "" if math.isnan(page.spread) else f" ({low:.2f} to {high:.2f})"
    return f"{page.probability:.2f}{beside}"


def number(value: float | None, pattern: str = "#.3g") -> str:
    """A number as it is printed; what is not known is a dash."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{value:{pattern}}".rstrip(".").replace("-", "\N{MINUS SIGN}") if value else "0"


def _interval(told: Interval) -> str:
    value = number(told.value, ".3f")
    if not (math.isfinite(told.low) and math.isfinite(told.high)):
        return value
    ends = element("small", f"{number(told.low, '.3f')} to {number(told.high, '.3f')}")
    return join((value, Html("<br>"), ends))


def _lesion_row(page: LesionPage, anchor: str | None) -> tuple[str, ...]:
    name = page.name if anchor is None else element("a", page.name, href=f"#{anchor}")
    parts = [page.delivered_numbers.get(part) or {} for part in ("inside", "outside")]
    return (
        name,
        outcome(page),
        probability(page),
        number(page.volume_cm3(page.mask)),
        number(page.volume_cm3(page.region)),
        " | ".join(number(_entry(part, "D_RBE", "mean")) for part in parts),
        " | ".join(number(_entry(part, "LET_d")) for part in parts),
        page.boost,
    )


def _delivered_rows(numbers: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    if not numbers:
        return
    parts = [numbers.get(part) or {} for part in _PARTS]
    yield ("volume / cm\N{SUPERSCRIPT THREE}", *(number(_entry(part, "volume_cm3")) for part in parts))
    for quantity, unit in (("D_RBE", "Gy (RBE)"), ("dose", "Gy")):
        for statistic in ("mean", "D98", "D2"):
            name = f"{quantity}, {statistic} / {unit}"
            yield (name, *(number(_entry(part, quantity, statistic)) for part in parts))
    yield ("LET_d / (keV/\N{MICRO SIGN}m)", *(number(_entry(part, "LET_d")) for part in parts))
    logs = [number(_entry(part, "log10_survival")) for part in parts]
    yield ("log\N{SUBSCRIPT ONE}\N{SUBSCRIPT ZERO} of the mean surviving fraction", *logs)


def _entry(part: Mapping[str, Any], *keys: str) -> float | None:
    """A number of plain data; None where it is null or not there."""
    found: Any = part
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return None if found is None else float(found)
