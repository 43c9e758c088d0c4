"""All methods of response, and maps of the network, on synthetic cohorts with planted resistant regions.

    python benchmarks/response.py [--variants default intensity] [--seeds 0 1] [--repeats 10] [--processes 2]
        [--methods ...] [--maps ...] [--ablation NAME ...] [--set widths=[8,8] ...] [--out FILE.json]

Prints Markdown: for each cohort a table of methods and one of maps, then the same over all seeds of a variant. Scores
are of lesions of patients that a method had not seen; brackets are 95 % intervals over patients, and over cohorts where
it says so. Each ablation trains the network once more on the same folds. --set changes the configuration of all.

With --out every cohort is written as soon as it is done, and one that is there with the same settings is not run again.
Seeds 0 to 9 are for judging; whoever develops a method uses seeds from 100 on.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from response_tables import show

from surrogate3d.config import checked, load_response_config
from surrogate3d.errors import Surrogate3dError
from surrogate3d.io.atomic import atomic_file
from surrogate3d.response.activation import METHODS as MAPS
from surrogate3d.response.config import ResponseConfig
from surrogate3d.response.generator import simulate_cohort
from surrogate3d.response.judgement import METHODS, PIXEL_WISE, Comparison, compare
from surrogate3d.response.variants import VARIANTS

ABLATIONS: dict[str, Any] = {
    "dose": {"channels": ("image",)},
    "reconstruction": {"reconstruction_weight": 0.0},
    "change": {"change_weight": 0.0},
    "augmentation": {"shift_voxels": 0, "gain": 0.0, "offset": 0.0, "noise": 0.0},
}
"""What the network is left without."""


def main() -> None:
    """Parse, run what is not there yet, print."""
    asked = arguments(sys.argv[1:])
    try:
        records = measured(asked, configured(asked))
    except Surrogate3dError as error:
        sys.exit(f"error: {error}")
    show(records)


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=["default"], metavar="VARIANT")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="of the cohorts, and of all methods")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--maps", nargs="*", choices=MAPS, default=list(MAPS))
    parser.add_argument("--ablation", nargs="+", choices=list(ABLATIONS), default=[], help="train without it as well")
    parser.add_argument("--config", type=Path, help="TOML file, as of `surrogate3d response train`")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="of the configuration, as in TOML")
    parser.add_argument("--out", type=Path, help="JSON file of all cohorts")
    return parser.parse_args(words)


def configured(asked: argparse.Namespace) -> ResponseConfig:
    """Settings from the file and the switches."""
    config = load_response_config(asked.config) if asked.config else ResponseConfig()
    try:
        switches = tomllib.loads("\n".join(asked.set))
    except tomllib.TOMLDecodeError as error:
        sys.exit(f"--set takes KEY=VALUE as in TOML, such as widths=[8,8]: {error}")
    return replace(config, **checked(switches, ResponseConfig, "--set"))


def measured(asked: argparse.Namespace, config: ResponseConfig) -> list[dict[str, Any]]:
    """A record of each cohort and ablation, from the file where it is there."""
    known = json.loads(asked.out.read_text())["records"] if asked.out and asked.out.is_file() else []
    records = []
    for variant in asked.variants:
        for seed in asked.seeds:
            for ablation in (None, *asked.ablation):
                of = identity(asked, config, variant, seed, ablation)
                old = next((each for each in known if all(each[key] == of[key] for key in of)), None)
                records.append(old or of | one(asked, config, variant, seed, ablation))
                if old is None and asked.out:
                    known.append(records[-1])
                    written(asked.out, known)
    return records


def identity(
    asked: argparse.Namespace, config: ResponseConfig, variant: str, seed: int, ablation: str | None
) -> dict[str, Any]:
    """What tells one record from others, as it comes back from JSON."""
    settings = {**asdict(config), "folds": asked.folds, "repeats": asked.repeats}
    if ablation is None:
        settings |= {"methods": asked.methods, "maps": asked.maps}
    of = {"variant": variant, "seed": seed, "without": ablation, "settings": settings}
    same: dict[str, Any] = json.loads(json.dumps(of))
    return same


def one(
    asked: argparse.Namespace, config: ResponseConfig, variant: str, seed: int, ablation: str | None
) -> dict[str, Any]:
    """Train and judge everything on one cohort; an ablation only the network and its pixel-wise map."""
    cohort = simulate_cohort(variant, seed)
    name = f"{variant}, seed {seed}" + (f", without {ablation}" if ablation else "")
    found = compare(
        cohort,
        replace(config, **ABLATIONS[ablation]) if ablation else config,
        folds=asked.folds,
        repeats=asked.repeats,
        seed=seed,
        processes=asked.processes,
        methods=("network",) if ablation else asked.methods,
        maps=(PIXEL_WISE,) if ablation else asked.maps,
        progress=lambda stage, done, of: told(f"{name}: {stage}", done, of),
    )
    return {"scores": found.to_json(), "raw": raw(found)}


def raw(found: Comparison) -> dict[str, Any]:
    """What pooling over cohorts needs of each lesion; scores of maps are means over repeats, NaN is null."""

    def plain(values: Any) -> list[float | None]:
        return [float(value) if np.isfinite(value) else None for value in values]

    maps = {
        kind: {
            "lesion_voxels": each.lesion_voxels.tolist(),
            "region_voxels": each.region_voxels.tolist(),
            "scores": {name: plain(scores.mean(axis=0)) for name, scores in each.scores.items()},
        }
        for kind, each in found.found.items()
    }
    logits: Mapping[str, Any] = {name: said.tolist() for name, said in found.logits.items()}
    return {
        "patient": found.patient.tolist(),
        "response": found.response.tolist(),
        "logits": logits,
        "maps": maps,
    }


def told(stage: str, done: int, of: int) -> None:
    """Progress in tenths, on stderr."""
    if done * 10 // of > (done - 1) * 10 // of:
        print(f"{stage}: {done} of {of}", file=sys.stderr, flush=True)


def written(path: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """All records, whole or not at all."""
    with atomic_file(path, overwrite=True) as scratch:
        scratch.write_text(json.dumps({"schema": "surrogate3d.benchmark.response/1", "records": list(records)}))


if __name__ == "__main__":
    main()
