"""What the commands of `response` show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from surrogate3d.cli.console import show, warn

_SHOWN = 8  # lesions that are left out; --json names all
_NAMES = {"network": "network", "radiomics": "radiomics, SVM", "gradient": "gradient features, SVM"}
_RESEARCH_ONLY = "RESEARCH ONLY: not for the treatment of patients"


def simulated(data: Mapping[str, Any]) -> None:
    """Print what was made."""
    n = data["lesions"]
    show(
        f"variant {data['variant']}, seed {data['seed']}: {n} lesions of {data['patients']} patients; "
        f"{data['responders']} shrank by more than {100 * data['shrinkage']:g} %, {n - data['responders']} did not",
        f"{data['with_region']} have a planted resistant region",
        f"written: {data['output']}",
    )


def trained(data: Mapping[str, Any]) -> None:
    """Print how good the methods are, and what was written."""
    _left_out(data["left_out"], "without a known response")
    _noted(data["notes"])
    judged = data["judgement"]
    if judged is None:
        warn("nothing was judged: nobody knows how good this model is")
    else:
        _judged(judged)
    config = data["config"]
    show(
        f"{data['members']} networks on {data['lesions']} lesions of {data['patients']} patients, "
        f"{data['responded']} responded (shrank by more than {100 * config['shrinkage']:g} %); "
        f"input: {', '.join(config['channels'])}",
        f"region of a map: {data['map_scales_are']}",
        f"written: {data['output']} (bundle {data['bundle_id'][:12]}) in {data['seconds']:.0f} s",
        _RESEARCH_ONLY,
    )


def predicted(data: Mapping[str, Any]) -> None:
    """Print what is said of each lesion."""
    table = Table("lesion", "P(response)", "responded", "region / cm3", "D_RBE inside", "outside", "boost / cm3")
    for row in data["lesions"]:
        inside, outside = (_mean(row["delivered"], part) for part in ("inside", "outside"))
        known = {1.0: "yes", 0.0: "no"}.get(row["responded"], "-")
        region = f"{row['region_cm3']:.2f} of {row['volume_cm3']:.2f}"
        boost = f"{row['boost']['volume_cm3']:.2f}"
        name = f"{row['patient']}, {row['lesion']}"
        table.add_row(name, f"{row['probability']:.2f}", known, region, inside, outside, boost)
    show(table)
    for each in data["left_out"]:
        show(f"left out: {each['reason']}")
    _noted(data["notes"])
    chosen = data["map"]
    show(
        f"map: {chosen['method']}; region above {chosen['threshold']:.3g} ({chosen['threshold_is']})",
        f"written: {data['output']} (model {data['model']['bundle_id'][:12]}) in {data['seconds']:.1f} s",
        _RESEARCH_ONLY,
    )


def reported(data: Mapping[str, Any]) -> None:
    """Print where the page is."""
    show(f"{data['lesions']} lesions; written: {data['output']}", _RESEARCH_ONLY)


def _judged(judged: Mapping[str, Any]) -> None:
    table = Table("held-out lesions", "AUC", "accuracy (Wilson)", "excess ECE", "network's AUC less")
    for name, scores in judged["methods"].items():
        low, high = scores["accuracy_wilson"]
        accuracy = _interval({"value": scores["accuracy"]["value"], "low": low, "high": high})
        error = _interval(scores["reliability"]["equal_width"]["excess"])
        less = judged["network_less"].get(name)
        ahead = "" if less is None else _interval(less["AUC"], "+")
        table.add_row(_NAMES[name], _interval(scores["AUC"]), accuracy, error, ahead)
    if judged["oracle_AUC"] is not None:
        table.add_row("oracle", _interval(judged["oracle_AUC"]), "", "", "")
    show(table)
    if judged["maps"]:
        show(_localised(judged))
    show(
        f"{judged['repeats']} x {judged['folds']} folds of whole patients; intervals of 95 % from a bootstrap of "
        "patients, where not Wilson's",
        *judged["notes"],
    )


def _localised(judged: Mapping[str, Any]) -> Table:
    """How well maps find the planted regions."""
    table = Table("planted regions", "pointing", "Dice", "AUROC", "hirescam's Dice less")
    for name, found in judged["maps"].items():
        scores = found["scores"]
        less = judged["hirescam_less"].get(name)
        ahead = "" if less is None else _interval(less["dice"], "+")
        table.add_row(name, *(_interval(scores[score]) for score in ("pointing", "dice", "auroc")), ahead)
    return table


def _interval(estimate: Mapping[str, Any], sign: str = "") -> str:
    """A number with the ends of its interval."""
    if estimate["value"] is None:
        return "-"
    if estimate["low"] is None or estimate["high"] is None:
        return f"{estimate['value']:{sign}.3f}"
    return f"{estimate['value']:{sign}.3f} ({estimate['low']:{sign}.2f} to {estimate['high']:{sign}.2f})"


def _mean(delivered: Mapping[str, Any] | None, part: str) -> str:
    mean = None if delivered is None else delivered[part]["D_RBE"]["mean"]
    return "-" if mean is None else f"{mean:.1f}"


def _noted(notes: Sequence[str]) -> None:
    """Say what reading and predicting had to say: above all which lesions are missing, and why."""
    for each in notes:
        warn(each)


def _left_out(names: Sequence[str], why: str) -> None:
    if names:
        more = ", ..." if len(names) > _SHOWN else ""
        show(f"left out, {why}: {'; '.join(names[:_SHOWN])}{more} ({len(names)})")
