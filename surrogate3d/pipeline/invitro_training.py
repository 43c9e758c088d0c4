"""From the user's own store of experiments to a model of in-vitro survival, and where such a model is kept.

No such model is shipped: it would be made of PIDE, which its owners do not want passed on. Users train their own.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from surrogate3d.errors import BundleError, StoreError, UnknownNameError, ValueRangeError
from surrogate3d.invitro.bundle import SCHEMA, load_invitro, save_invitro
from surrogate3d.invitro.dataset import InVitroData, dataset
from surrogate3d.invitro.fitting import Progress
from surrogate3d.invitro.model import InVitroModel
from surrogate3d.invitro.training import InVitroConfig, train_invitro
from surrogate3d.io import manifest
from surrogate3d.io.pide import Experiments, read_experiments
from surrogate3d.pipeline.invitro_domain import fit_domain

USUAL_NAME = "invitro"
"""Names the model at `usual_path`."""


def usual_path() -> Path:
    """Where the user's model is, if nothing else is said: in XDG_DATA_HOME if that is absolute, else in .local/share.

    Raises:
        StoreError: neither is known.
    """
    base = Path(os.environ.get("XDG_DATA_HOME", ""))
    try:
        base = base if base.is_absolute() else Path.home() / ".local" / "share"
    except RuntimeError as error:
        raise StoreError("the user has no home directory; name the model's path, or set XDG_DATA_HOME") from error
    return base / "surrogate3d" / "invitro.bundle"


def load_model(name_or_path: str) -> InVitroModel:
    """A model by path, or the user's usual one by the name "invitro"; write ./invitro for a path of that name.

    Raises:
        UnknownNameError: there is nothing.
        BundleError: it is no such model, damaged, or of another version.
    """
    usual = name_or_path == USUAL_NAME
    path = usual_path() if usual else Path(name_or_path)
    if not path.exists():
        hint = "" if usual else f", or the name {USUAL_NAME} for your usual one"
        raise UnknownNameError(
            f"no in-vitro model at {path}; none is shipped, as PIDE may not be passed on: train one with "
            f"`surrogate3d invitro train experiments.json`{hint}"
        )
    if path.is_dir() and not manifest.has_schema(path / manifest.MANIFEST_NAME, SCHEMA):
        raise BundleError(f"{path} is not an in-vitro model; other models are for --model")
    return load_invitro(path)


def train_store(
    experiments: Path,
    output: Path,
    *,
    species: Sequence[str] | None = None,
    seed: int = 0,
    overwrite: bool = False,
    config: InVitroConfig | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a model on a store of experiments, and write it.

    Args:
        experiments: what `invitro import` wrote.
        output: the bundle, a directory.
        species: element symbols to learn from; None for all.
        seed: of everything random.
        overwrite: replace an older model.
        config: how; None for the usual way.
        progress: called with steps done and all.

    Returns:
        The answer of `invitro train` (docs/cli-json.md).

    Raises:
        StoreError, FormatError: as of `read_experiments` and `save_invitro`.
        ValueRangeError: there are no experiments, or too few publications.
    """
    start = time.perf_counter()
    read = read_experiments(experiments)
    data = dataset(read.experiments, species=species)
    if not len(data):
        wanted = f"of {', '.join(species)} " if species else ""
        raise ValueRangeError(f"{experiments} has no experiment {wanted}that can be used; nothing can be learnt")
    how = config or InVitroConfig()
    trained = train_invitro(data, how, seed, progress)
    about = {
        "pide": {"version": read.version, "source": dict(read.source)},
        "domain": fit_domain(data.features).to_json(),
    }
    model = replace(trained, training={**trained.training, **about})
    output.parent.mkdir(parents=True, exist_ok=True)
    bundle_id = save_invitro(model, output, overwrite)
    seconds = time.perf_counter() - start
    return {"output": output, "bundle_id": bundle_id, **_summary(model, data, read), "seconds": seconds}


def _summary(model: InVitroModel, data: InVitroData, read: Experiments) -> dict[str, Any]:
    intervals, training = model.intervals, model.training
    by_species = {name: int((data.species == name).sum()) for name in training["species"]}
    return {
        "version": read.version,
        "experiments": len(data),
        "publications": training["publications"],
        "cell_lines": training["cells"],
        "species": by_species,
        "left_out": [{"number": number, "reason": reason} for number, reason in data.dropped],
        "seed": training["seed"],
        "config": training["config"],
        "members": len(model.networks),
        "intervals": None
        if intervals is None
        else {
            "publications": intervals.publications,
            "levels": intervals.levels,
            "RBE10": intervals.RBE10,
            "log_survival": intervals.log_survival,
        },
    }
