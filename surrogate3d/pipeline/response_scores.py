"""Scores of a model's card as rows of tables, and the facts that a page about a prediction begins with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from surrogate3d.report.response_content import Approach, Interval, MapMethod

NAMES = {
    "network": "Network (autoencoder and classifier)",
    "radiomics": "Radiomics (support vector machines)",
    "gradient": "Gradient features (support vector machines)",
    "oracle": "Oracle (knows the planted region)",
}
"""Of methods, for people."""

Plain = Mapping[str, Any]


def approaches(judged: Plain | None) -> tuple[Approach, ...]:
    """A row for each method of a card's judgement, the network first; none without a judgement."""
    if judged is None:
        return ()
    found = [_approach(name, scores, judged["network_less"].get(name)) for name, scores in judged["methods"].items()]
    oracle = judged["oracle_AUC"]
    return (*found, *([] if oracle is None else [Approach(NAMES["oracle"], interval(oracle))]))


def map_methods(judged: Plain | None, first: str) -> tuple[MapMethod, ...]:
    """A row for each kind of map, a named one first; none without a judgement or planted regions."""
    maps = {} if judged is None else judged["maps"]
    names = sorted(maps, key=lambda name: name != first)
    return tuple(_map_method(name, maps[name]) for name in names)


def interval(estimate: Plain) -> Interval:
    """Of a number with its ends; null becomes NaN."""
    return Interval(*(math.nan if estimate[name] is None else estimate[name] for name in ("value", "low", "high")))


def facts(about: Plain) -> tuple[tuple[str, str], ...]:
    """What a prediction stands on, in reading order."""
    model, chosen, photons = about["model"], about["map"], about["photons"]
    config, judged = model["config"], model["judgement"]
    smooth = f", smoothed by {chosen['smoothed_voxels']:g} voxels" if chosen["smoothed_voxels"] else ""
    rule = f"{chosen['rule'].split(':')[0]}{smooth}"
    threshold = f"{chosen['threshold']:.3g} of the map {rule} ({chosen['threshold_is']})"
    return (
        ("Cohort", f"{about['cohort']['path']}, {len(about['lesions'])} lesions; SHA-256 {about['cohort']['sha256']}"),
        ("Response", f"the volume fell by more than {100 * config['shrinkage']:g} %"),
        ("Model", f"{model['members']} networks on {model['lesions']} lesions of {model['patients']} patients; "
         f"{model['responded']} responded; bundle {model['bundle_id']}"),
        ("Input", f"{', '.join(config['channels'])}; cubes of {config['size']} voxels of {config['spacing_mm']:g} mm"),
        ("Judged on", "nothing" if judged is None else f"{judged['lesions']} lesions of {judged['patients']} patients, "
         f"{judged['repeats']} x {judged['folds']} folds of whole patients"),
        ("Map", f"{chosen['method']}, {chosen['unit']}"),
        ("Threshold", threshold),
        ("Photons", "not stated; no survival" if photons is None else f"alpha_x {photons['alpha_x']:g} /Gy, beta_x "
         f"{photons['beta_x']:g} /Gy2, {photons['fractions']} fraction(s)"),
    )  # fmt: skip


def _approach(name: str, scores: Plain, network_less: Plain | None) -> Approach:
    low, high = scores["accuracy_wilson"]
    return Approach(
        name=NAMES[name],
        AUC=interval(scores["AUC"]),
        accuracy=Interval(scores["accuracy"]["value"], low, high),
        excess_ECE=interval(scores["reliability"]["equal_width"]["excess"]),
        AUC_below_network=Interval() if network_less is None else interval(network_less["AUC"]),
    )


def _map_method(name: str, found: Plain) -> MapMethod:
    scores = {key: interval(value) for key, value in found["scores"].items()}
    low, high = found["pointing_wilson"]
    pointing = Interval(scores["pointing"].value, *(math.nan if end is None else end for end in (low, high)))
    return MapMethod(name, pointing, scores["dice"], scores["dice_anywhere"], scores["auroc"])
