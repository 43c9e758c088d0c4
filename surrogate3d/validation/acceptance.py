"""Whether measured values meet acceptance limits, and the verdict in words.

A finding names value, limit, n and source. A value with an interval meets a limit when the whole interval does; one
that straddles it is undecided, not met.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from surrogate3d.errors import ValueRangeError
from surrogate3d.validation.limits import ANY, ANY_DOSE, DOSES, METRICS, SIGNED, STRUCTURE_CUTOFF, Limit, read_limits

__all__ = [
    "ANY",
    "ANY_DOSE",
    "DOSES",
    "METRICS",
    "OUTCOMES",
    "SIGNED",
    "STRUCTURE_CUTOFF",
    "Finding",
    "Key",
    "Limit",
    "Measured",
    "judge",
    "read_limits",
    "verdict",
]

OUTCOMES: dict[str, str] = {
    "not met": "the value, or the whole of its interval, is beyond the limit",
    "undecided": "the interval of the value straddles the limit",
    "too few": "fewer voxels than the limit asks for",
    "not measured": "there is no such value, or it is NaN",
    "met": "the value, and the whole of its interval if it has one, is within the limit",
}
"""What can come of a limit, gravest first."""

Key = tuple[str, str, str, str]
"""Metric, quantity, group and criterion of a measured value; the criterion is "" but for gamma."""


@dataclass(frozen=True)
class Measured:
    """A value to be judged, in the unit of its metric.

    Attributes:
        value: NaN where it could not be had.
        n: voxels (or points) that it comes from.
        low: lower end of its interval; None without one.
        high: upper end.
    """

    value: float
    n: int
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Finding:
    """What came of one limit.

    Attributes:
        limit: with the quantity, group and criterion that were judged in place of `ANY`.
        outcome: of `OUTCOMES`.
        measured: the value; None where there is none.
        sentence: names value, limit, n and source.
    """

    limit: Limit
    outcome: str
    measured: Measured | None
    sentence: str

    def to_json(self) -> dict[str, Any]:
        """Plain data; null for what is not a number."""
        measured = None
        if self.measured is not None:
            measured = {key: _json_number(value) for key, value in asdict(self.measured).items()}
        return {
            "limit": self.limit.to_json(),
            "outcome": self.outcome,
            "measured": measured,
            "sentence": self.sentence,
        }


def judge(limits: Sequence[Limit], measured: Mapping[Key, Measured]) -> tuple[Finding, ...]:
    """Hold measured values against limits.

    Args:
        limits: such as of `read_limits`.
        measured: values by (metric, quantity, group, criterion), in the metric's unit.

    Returns:
        One finding per limit and value that it is about, in the order of the limits; a limit that nothing was measured
        for has one finding that says so.

    Raises:
        ValueRangeError: an interval has one end only, or does not hold its value.
    """
    for key, value in measured.items():
        _check_interval(key, value)
    findings: list[Finding] = []
    for limit in limits:
        keys = [key for key in measured if _is_about(limit, key)]
        findings += [_finding(_narrowed(limit, key), measured[key]) for key in keys] or [_finding(limit, None)]
    return tuple(findings)


def verdict(findings: Sequence[Finding]) -> tuple[str, ...]:
    """The findings in words: first how many of each outcome, then each that is not met, undecided or lacks voxels.

    Limits that are met, and those that nothing was measured for, are counted and not listed.
    """
    if not findings:
        return ("No acceptance limit was given, so nothing is judged.",)
    counts = Counter(finding.outcome for finding in findings)
    judged = counts["met"] + counts["not met"]
    if not judged:
        first = f"None of {len(findings)} acceptance limits could be decided"
    elif not counts["not met"]:
        first = f"Every acceptance limit that could be decided is met ({judged} of {len(findings)})"
    else:
        first = f"{counts['not met']} of {judged} acceptance limits that could be decided are not met"
    rest = [f"{counts[name]} {name}" for name in ("undecided", "too few", "not measured") if counts[name]]
    heading = f"{first}; {', '.join(rest)}." if rest else f"{first}."
    listed = [f.sentence for name in ("not met", "undecided", "too few") for f in findings if f.outcome == name]
    return heading, *listed


def _check_interval(key: Key, measured: Measured) -> None:
    where = f"{key[0]} of {key[1]} in {key[2]}"
    if (measured.low is None) != (measured.high is None):
        raise ValueRangeError(f"{where}: an interval needs both ends, found {measured.low} and {measured.high}")
    if measured.low is None or measured.high is None or math.isnan(measured.value):
        return
    rounding = 1e-9 * max(1.0, abs(measured.value))  # an interval may end at its value, such as that of a share of 1
    if not measured.low - rounding <= measured.value <= measured.high + rounding:
        raise ValueRangeError(f"{where}: {measured.value} is not within its interval {measured.low} to {measured.high}")


def _is_about(limit: Limit, key: Key) -> bool:
    metric, quantity, group, criterion = key
    if limit.quantity == ANY_DOSE and quantity not in DOSES:
        return False
    asked = ((limit.quantity, quantity), (limit.group, group), (limit.criterion, criterion))
    return limit.metric == metric and all(wanted in (ANY, ANY_DOSE, found) for wanted, found in asked)


def _narrowed(limit: Limit, key: Key) -> Limit:
    return Limit(**(asdict(limit) | dict(zip(("quantity", "group", "criterion"), key[1:], strict=True))))


def _finding(limit: Limit, measured: Measured | None) -> Finding:
    outcome = _outcome(limit, measured)
    return Finding(limit, outcome, measured, _sentence(limit, outcome, measured))


def _outcome(limit: Limit, measured: Measured | None) -> str:
    if measured is None:
        return "not measured"
    if measured.n < limit.min_n:
        return "too few"
    if math.isnan(measured.value):
        return "not measured"
    within = [_meets(limit, end) for end in _ends(limit, measured)]
    return "met" if all(within) else "undecided" if any(within) else "not met"


def _ends(limit: Limit, measured: Measured) -> tuple[float, ...]:
    """The value and both ends of its interval; of signed metrics their magnitudes."""
    if measured.low is None or measured.high is None:
        ends: tuple[float, ...] = (measured.value,)
    else:
        ends = (measured.low, measured.value, measured.high)
    if limit.metric not in SIGNED:
        return ends
    least = (0.0,) if min(ends) < 0 < max(ends) else ()
    return *least, *(abs(end) for end in ends)


def _meets(limit: Limit, value: float) -> bool:
    if limit.at_least is not None:
        return value >= limit.at_least
    return limit.at_most is not None and value <= limit.at_most


def _sentence(limit: Limit, outcome: str, measured: Measured | None) -> str:
    what = " ".join(part for part in (limit.metric, limit.criterion, "of", limit.quantity, "in", limit.group) if part)
    if measured is None:
        return f"{limit.name}: {outcome}: no {what}; the limit is {limit.words} ({limit.source})"
    sign = "+" if limit.metric in SIGNED else ""
    value = f"{measured.value:{sign}.3g} {limit.unit}"
    if measured.low is not None:
        value += f" ({measured.low:{sign}.3g} to {measured.high:{sign}.3g})"
    few = f", at least {limit.min_n} are needed" if outcome == "too few" else ""
    found = f"{what} is {value}, n = {measured.n}{few}"
    return f"{limit.name}: {outcome}: {found}; the limit is {limit.words} ({limit.source})"


def _json_number(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else value
