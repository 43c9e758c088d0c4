"""The rows of `judge_reference.py` as tables to read.

A number with a range, 0.35 (0.33-0.38), is the mean over models and thinning seeds with its least and largest value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from judge_methods import GROUPED, QUANTITIES, QUARTIC, SURROGATE, TABLE, UNIFORM

from surrogate3d.validation import REGIONS
from surrogate3d.validation.metrics import histories_ratio

Row = dict[str, Any]
Key = tuple[Any, ...]

CASE = ("plan", "part", "standing", "line", "truth", "level")
METHODS = (TABLE, UNIFORM, GROUPED, QUARTIC, SURROGATE)
NET_METHODS = (TABLE, GROUPED, SURROGATE)


def tables(rows: Sequence[Row], about_truth: Sequence[Row]) -> str:
    """Every table, in the order in which the targets stand."""
    made = (_errors, _net, _regions, _outputs, _gamma, _ratios, _ions, _coverage, _domain, _residual, _refusals)
    parts = [_truth(about_truth), *(table(rows) for table in made)]
    return "\n\n".join(part for part in parts if part)


def _truth(rows: Sequence[Row]) -> str:
    numbers = ("se_RBE_median", "se_RBE_rms", "se_RBE_max")
    body = [
        [r["plan"], r["line"], r["n"], *(f"{r[key]:.3f}" for key in numbers), r["n_above_0.15"], f"{r['seconds']:.0f}",
         r["runs_of_the_floor"]]
        for r in rows
    ]  # fmt: skip
    head = [
        "plan",
        "line",
        "n",
        "median SE of RBE, %",
        "RMS",
        "largest",
        "voxels above 0.15 %",
        "s (0: from the ledger)",
    ]
    return _table("The Monte Carlo truth", [*head, "runs behind the floor (1: split by thinning)"], body)


def _errors(rows: Sequence[Row]) -> str:
    body = []
    for case, group in _grouped(_of(rows, "error", quantity="RBE", region="all"), CASE):
        cells = [f"{_span(_of(group, method=m), 'rms')} / {_span(_of(group, method=m), 'p95')}" for m in METHODS]
        own = _of(group, method=SURROGATE)
        body.append([
            *case, f"{_mean(group, 'tracks'):.0f}", _count(own), _mean_text(own, "floor"), *cells,
            _span(own, "bias", "+.2f"), _span(own, "max", ".1f"), int(max(r["n_missing"] for r in own)),
        ])  # fmt: skip
    head = [*CASE, "tracks", "n", "floor", *METHODS, "its bias", "its max", "unanswered"]
    return _table("RBE(2 Gy): RMS / p95 of the relative error as measured, %", head, body)


def _net(rows: Sequence[Row]) -> str:
    body = []
    for case, group in _grouped(_of(rows, "error", quantity="RBE", region="all"), CASE):
        nets = {m: _of(group, method=m) for m in (*METHODS,)}
        if not np.isfinite(_mean(nets[TABLE], "rms_net")):
            continue
        times = [
            [histories_ratio(own["rms_net"], t["rms_net"]) for own, t in zip(nets[m], nets[TABLE], strict=True)]
            for m in (GROUPED, SURROGATE)
        ]
        bias = [_span(nets[m], "bias", "+.2f") for m in (TABLE, GROUPED)]
        body.append([*case, *(_span(nets[m], "rms_net") for m in METHODS), *bias, *(_range(t, ".0f") for t in times)])
    head = [*CASE, *METHODS, "bias table", "bias grouped", "histories ratio grouped", "histories ratio surrogate"]
    return _table("RMS without the floor, %, and how many times more histories the table would need", head, body)


def _regions(rows: Sequence[Row]) -> str:
    body = []
    for case, group in _grouped(_of(rows, "error", quantity="RBE"), CASE):
        for region in REGIONS:
            chosen = {m: _of(group, method=m, region=region) for m in METHODS}
            if not chosen[TABLE]:
                continue
            own = chosen[SURROGATE]
            cells = [_span(chosen[m], "rms") for m in METHODS]
            net = [_span(chosen[m], "rms_net") for m in NET_METHODS]
            body.append([*case, region, _count(own), _mean_text(own, "floor"), *cells, _span(own, "p95"),
                         _span(own, "bias", "+.2f"), *net])  # fmt: skip
    names = [f"{m}, net" for m in NET_METHODS]
    head = [*CASE, "region", "n", "floor", *METHODS, "surrogate p95", "its bias", *names]
    return _table("RBE(2 Gy) by region: RMS as measured, %, and without the floor", head, body)


def _outputs(rows: Sequence[Row]) -> str:
    body = []
    for case, group in _grouped(_of(rows, "error", region="all"), CASE):
        for quantity in QUANTITIES:
            chosen = {m: _of(group, method=m, quantity=quantity) for m in NET_METHODS}
            cells = [
                f"{_span(chosen[m], 'R2', '.4f')} / {_range([100 * r['NRMSE_range'] for r in chosen[m]])}"
                for m in NET_METHODS
            ]
            body.append([*case, quantity, _count(chosen[SURROGATE]), *cells])
    head = [*CASE, "output", "n", *NET_METHODS]
    return _table("R2 / RMS over the range of the truth, %", head, body)


def _gamma(rows: Sequence[Row]) -> str:
    body = []
    for case, group in _grouped(_of(rows, "gamma"), (*CASE, "dose")):
        own = _of(group, method=SURROGATE)
        body.append([*case, _count(own), *(_span(_of(group, method=m), "pass", ".2f") for m in NET_METHODS)])
    head = [*CASE, "dose", "n", *NET_METHODS]
    return _table("D_RBE, gamma 1 %/1 mm global, 10 % cut-off: points that pass, %", head, body)


def _ratios(rows: Sequence[Row]) -> str:
    body = []
    for case, group in _grouped(_of(rows, "ratio"), (*CASE, "other")):
        body.append([*case, _count(group), *(_span(group, key) for key in ("ratio", "low", "high"))])
    head = [*CASE, "other", "n", "RMS over that of the other", "95 % from", "to"]
    return _table("The surrogate's RMS of RBE over that of others, lines along the beam resampled", head, body)


def _ions(rows: Sequence[Row]) -> str:
    body = []
    strange = [row for row in rows if not row.get("knows_ion", True)]
    errors = _of(strange, "error", quantity="RBE", region="all")
    flagged = _of(strange, "domain", region="all")
    for case, group in _grouped(_of(strange, "ratio", other=GROUPED), CASE):
        here = dict(zip(CASE, case, strict=True))
        share = _of(flagged, **{name: value for name, value in here.items() if name != "truth"})
        rms = [_span(_of(errors, method=method, **here), "rms") for method in NET_METHODS]
        body.append([*case, _count(group), *rms, _span(group, "ratio", ".3f"), _span(share, "flagged", ".1f")])
    head = [*CASE, "n", *NET_METHODS, "surrogate over grouped", "flagged %"]
    return _table("A beam of an ion that the model never saw: RMS of RBE(2 Gy), %", head, body)


def _coverage(rows: Sequence[Row]) -> str:
    body = []
    for case, group in _grouped(_of(rows, "coverage"), CASE):
        cells = [
            f"{_share(chosen, 'covered')} / {_share(chosen, 'observed')}, n {_count(chosen)}"
            if (chosen := _of(group, region=region))
            else "-"
            for region in ("all", *REGIONS)
        ]
        whole = _of(group, region="all")
        body.append([*case, *cells, f"{_share(whole, 'low')} to {_share(whole, 'high')}"])
    head = [*CASE, "all", *REGIONS, "all: Wilson's 95 %"]
    return _table("90 % intervals of -ln S(2 Gy): % that hold the true value / the truth with its noise", head, body)


def _domain(rows: Sequence[Row]) -> str:
    case_names = tuple(name for name in CASE if name != "truth")
    body = []
    for case, group in _grouped(_of(rows, "domain"), case_names):
        cells = [
            f"{_span(chosen, 'flagged', '.1f')} (n {_count(chosen)})" if (chosen := _of(group, region=region)) else "-"
            for region in ("all", *REGIONS)
        ]
        body.append([*case, *cells])
    return _table("Out of domain or unanswered: share of the voxels, %", [*case_names, "all", *REGIONS], body)


def _residual(rows: Sequence[Row]) -> str:
    body = []
    for case, group in _grouped(_of(rows, "residual"), (*CASE, "method")):
        cells = [_span(group, "bias", "+.3f"), *(_span(group, key, ".3f") for key in ("scatter", "scatter_net", "se"))]
        body.append([*case, _count(group), *cells])
    head = [*CASE, "method", "n", "bias %", "scatter %", "scatter without SE %", "SE %"]
    return _table("From the high run's own spectra, against direct simulation, RBE(2 Gy)", head, body)


def _refusals(rows: Sequence[Row]) -> str:
    body = [[row[key] for key in ("plan", "part", "line", "model", "reason")] for row in _of(rows, "refusal")]
    return _table("Plans that a model refuses", ["plan", "part", "line", "model", "reason"], body)


def _of(rows: Iterable[Row], figure: str = "", **wanted: Any) -> list[Row]:
    wanted |= {"figure": figure} if figure else {}
    return [row for row in rows if all(row.get(key) == value for key, value in wanted.items())]


def _grouped(rows: Iterable[Row], names: Sequence[str]) -> list[tuple[Key, list[Row]]]:
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[name] for name in names), []).append(row)
    return list(groups.items())


def _mean(rows: Sequence[Row], key: str) -> float:
    return float(np.mean([row[key] for row in rows])) if rows else float("nan")


def _mean_text(rows: Sequence[Row], key: str) -> str:
    return _range([_mean(rows, key)])


def _count(rows: Sequence[Row]) -> str:
    return _range([row["n"] for row in rows], "d", int)


def _share(rows: Sequence[Row], key: str) -> str:
    return _range([100 * row[key] for row in rows], ".1f")


def _span(rows: Sequence[Row], key: str, form: str = ".2f") -> str:
    return _range([row[key] for row in rows], form)


def _range(values: Sequence[float], form: str = ".2f", kind: Callable[[Any], Any] = float) -> str:
    """Mean, and the range where there is one; "-" where nothing is known."""
    known = [value for value in values if np.isfinite(value)]
    if not known:
        return "-"
    mean, least, most = (format(kind(value), form) for value in (np.mean(known), min(known), max(known)))
    return mean if least == most else f"{mean} ({least} to {most})"


def _table(title: str, head: Sequence[str], body: Sequence[Sequence[Any]]) -> str:
    if not body:
        return ""
    lines = [f"| {' | '.join(str(cell) for cell in row)} |" for row in (head, ["---"] * len(head), *body)]
    return "\n".join([f"**{title}**", "", *lines])
