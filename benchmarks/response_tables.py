"""Tables of `benchmarks/response.py`, from its records alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import t

from surrogate3d.response.evaluation import difference
from surrogate3d.response.localisation import SCORES, Found, Localisation, localisation
from surrogate3d.response.reliability import Reliability, reliability
from surrogate3d.training.bootstrap import Estimate, resampled

Record = Mapping[str, Any]
Floats = npt.NDArray[np.float64]

METHOD_HEADS = (
    "method",
    "AUC",
    "SD of repeats",
    "network less it",
    "accuracy (Wilson)",
    "Brier",
    "ECE less perfect",
    "slope",
    "time, s",
)
MAP_HEADS = (
    "map",
    "pointing (Wilson)",
    "near",
    "whole cube",
    "Dice",
    "Dice, whole cube",
    "AUROC",
    "hirescam less it, pointing",
    "hirescam less it, Dice",
    "the same, whole cube",
    "chosen most often",
)
CHECK_HEADS = (
    "map",
    "completeness",
    "like a random network's",
    "deletion gain",
    "insertion gain",
    "under noise",
    "reseeded",
)
POOLED_HEADS = (
    "method",
    "AUC, mean of cohorts",
    "network less it",
    "least",
    "ECE less perfect, pooled",
    "slope, pooled",
)


def show(records: Sequence[Record]) -> None:
    """Print everything as Markdown."""
    for variant in dict.fromkeys(each["variant"] for each in records):
        mine = [each for each in records if each["variant"] == variant]
        whole = [each for each in mine if each["without"] is None]
        for record in whole:
            cohort(record)
        if len(whole) > 1:
            pooled(variant, whole)
        ablations(variant, mine, whole)


def cohort(record: Record) -> None:
    """One cohort: methods, maps, and checks of maps."""
    scores = record["scores"]
    print(f"\n### {record['variant']}, seed {record['seed']}\n")
    print(
        f"{scores['lesions']} lesions of {scores['patients']} patients, {scores['responders']} responded; "
        f"{scores['folds']} folds, {scores['repeats']} repeats; maps took {scores['seconds'].get('maps', 0):.0f} s.\n"
    )
    oracle = scores["oracle_AUC"]
    ceiling = [["oracle", ends(oracle), *[""] * 7]] if oracle else []
    table(METHOD_HEADS, [*(method_row(scores, name) for name in scores["methods"]), *ceiling])
    if scores["maps"]:
        table(MAP_HEADS, [map_row(scores, name) for name in scores["maps"]])
    if scores["checks"]:
        table(CHECK_HEADS, [check_row(name, each) for name, each in scores["checks"].items()])


def method_row(scores: Record, name: str) -> list[str]:
    """Scores of a method."""
    one, paired = scores["methods"][name], scores["network_less"].get(name)
    low, high = one["accuracy_wilson"]
    return [
        name,
        ends(one["AUC"]),
        number(one["AUC_spread"]),
        ends(paired["AUC"]) if paired else "",
        ends({"value": one["accuracy"]["value"], "low": low, "high": high}),
        ends(one["brier"]),
        ends(one["reliability"]["equal_width"]["excess"]),
        ends(one["reliability"]["slope"]),
        f"{scores['seconds'][name]:.0f}",
    ]


def map_row(scores: Record, name: str) -> list[str]:
    """Scores of a kind of map."""
    found, less = scores["maps"][name]["scores"], scores["hirescam_less"].get(name)
    low, high = scores["maps"][name]["pointing_wilson"]
    pairs = Counter((each["rule"], each["sigma"]) for each in scores["map_scales"][name])
    (rule, sigma), often = pairs.most_common(1)[0]
    return [
        name,
        ends({"value": found["pointing"]["value"], "low": low, "high": high}),
        *(ends(found[key]) for key in ("pointing_near", "pointing_anywhere", "dice", "dice_anywhere", "auroc")),
        *(ends(less[key]) if less else "" for key in ("pointing", "dice", "dice_anywhere")),
        f"{rule}, {sigma:g} voxels ({often} of {pairs.total()})",
    ]


def check_row(name: str, checks: Record) -> list[str]:
    """Sanity checks of a kind of map: mean and standard deviation over lesions."""
    last = list(checks["randomisation"].values())[-1]["spearman"]
    gains = (checks["removal"][f"{key}_gain"] for key in ("deletion", "insertion"))
    return [
        name,
        "" if checks["completeness"] is None else f"{checks['completeness']:.1e}",
        number(last["mean_absolute"]),
        *(f"{spread(each)}, beats {100 * each['beaten']:.0f} %" for each in gains),
        spread(checks["noise"]["spearman"]),
        spread(checks["reseeding"]["spearman"]),
    ]


def pooled(variant: str, records: Sequence[Record]) -> None:
    """All cohorts of a variant."""
    print(f"\n### {variant}, {len(records)} cohorts\n")
    print("Intervals of AUC are over cohorts (Student's t); of the rest over patients of all cohorts.\n")
    names = list(records[0]["scores"]["methods"])
    rows = []
    for name in names:
        less = [each["scores"]["network_less"].get(name, {}).get("AUC", {}).get("value") for each in records]
        known = None not in less
        of = pooled_reliability(records, name)
        rows.append(
            [
                name,
                ends(over_cohorts([each["scores"]["methods"][name]["AUC"]["value"] for each in records])),
                ends(over_cohorts(less)) if known else "",
                number(min(less)) if known else "",
                ends(of.equal_width.excess),
                ends(of.slope),
            ]
        )
    oracle = [each["scores"]["oracle_AUC"]["value"] for each in records if each["scores"]["oracle_AUC"]]
    ceiling = [["oracle", ends(over_cohorts(oracle)), *[""] * 4]] if len(oracle) > 1 else []
    table(POOLED_HEADS, [*rows, *ceiling])
    kinds = {kind: pooled_maps(records, kind) for kind in records[0]["raw"]["maps"]}
    if kinds:
        table(("map", *SCORES), [[kind, *(ends(each.scores[key]) for key in SCORES)] for kind, each in kinds.items()])


def pooled_reliability(records: Sequence[Record], method: str) -> Reliability:
    """Of all lesions of all cohorts."""
    log_odds = -np.concatenate([each["raw"]["logits"][method] for each in records], axis=1)
    response = np.concatenate([each["raw"]["response"] for each in records])
    return reliability(log_odds, response, resampled(patients(records), 0))


def pooled_maps(records: Sequence[Record], kind: str) -> Localisation:
    """Of all lesions of all cohorts."""
    parts = [each["raw"]["maps"][kind] for each in records]
    scores = {
        name: np.concatenate([np.array(each["scores"][name], dtype=np.float64) for each in parts])[None]
        for name in SCORES
    }
    lesion, region = (np.concatenate([each[name] for each in parts]) for name in ("lesion_voxels", "region_voxels"))
    return localisation(Found(patients(records), lesion, region, scores))


def patients(records: Sequence[Record]) -> npt.NDArray[np.str_]:
    """(n,) names; those of other cohorts are other patients."""
    return np.array([f"{each['seed']} {name}" for each in records for name in each["raw"]["patient"]])


def ablations(variant: str, records: Sequence[Record], whole: Sequence[Record]) -> None:
    """What the network loses without a part, for each cohort that has both."""
    rows = []
    for record in records:
        full = [each for each in whole if each["seed"] == record["seed"] and "network" in each["raw"]["logits"]]
        if record["without"] is None or not full:
            continue
        whole_said, part_said = (np.array(each["raw"]["logits"]["network"]) for each in (full[0], record))
        lost = difference(
            whole_said,
            part_said,
            np.array(record["raw"]["response"]),
            np.array(record["raw"]["patient"]),
        )
        maps = record["scores"]["maps"]["hirescam"]["scores"]
        rows.append(
            [
                str(record["seed"]),
                record["without"],
                ends(record["scores"]["methods"]["network"]["AUC"]),
                ends(lost.AUC),
                ends(maps["pointing"]),
                ends(maps["dice"]),
            ]
        )
    if rows:
        print(f"\n### {variant}, the network without a part\n")
        table(("seed", "without", "AUC", "whole network less it", "pointing", "Dice"), rows)


def over_cohorts(values: Iterable[float]) -> Estimate:
    """Mean and Student's 95 % interval."""
    found = np.array(list(values))
    mean, n = float(found.mean()), len(found)
    reach = float(t.ppf(0.975, n - 1) * found.std(ddof=1) / np.sqrt(n))
    return Estimate(mean, mean - reach, mean + reach)


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table."""
    for cells in (heads, ["---"] * len(heads), *rows):
        print("| " + " | ".join(cells) + " |")
    print()


def ends(estimate: Estimate | Record) -> str:
    """A number with its interval."""
    value: Callable[[str], float | None] = (
        estimate.__getitem__ if isinstance(estimate, Mapping) else lambda name: float(getattr(estimate, name))
    )
    return f"{number(value('value'))} [{number(value('low'))}, {number(value('high'))}]"


def spread(values: Record) -> str:
    """Mean and standard deviation."""
    return f"{number(values['mean'])} +- {number(values['std'])}"


def number(value: float | None) -> str:
    """Three digits; a dash where it is not known."""
    return "-" if value is None else f"{value:.3f}"
