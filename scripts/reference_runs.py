"""The OpenTOPAS runs from which the shipped models are made and on which they are judged, as field stores.

The archives are described in the README of their folder (`shared/data/topas` beside the project). What is held out:
`proton_shallow` wholly, and the deepest third of `carbon_slab`.
"""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.grid import Field
from surrogate3d.pipeline.conversion import convert

RUNS = {
    "proton_slab": (("proton_slab_low",), ("proton_slab_highA", "proton_slab_highB")),
    "proton_deep": (("proton_deep_low",), ("proton_deep_high",)),
    "proton_shallow": (("proton_shallow_low",), ("proton_shallow_high", "proton_shallow_highB")),
    "carbon_slab": (("carbon_slab_low",), ("carbon_slab_highA", "carbon_slab_highB")),
}
"""Runs with few and with many histories, by plan."""

TRAINED_ON = {
    "proton": ("proton_slab", "proton_deep"),
    "ion": ("proton_slab", "proton_deep", "carbon_slab"),
}
"""Training plans by shipped model."""

HELD_OUT_FROM = {"carbon_slab": 2 / 3}
"""Fraction of the depth of a training plan from which on nothing is trained on."""


def stores(archives: Path, folder: Path) -> dict[str, tuple[Path, Path]]:
    """Convert what is not converted yet; (low, high) store by plan."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for plan, halves in RUNS.items():
        paths = (folder / f"{plan}_low.field.zarr", folder / f"{plan}_high.field.zarr")
        for runs, path in zip(halves, paths, strict=True):
            if not path.exists():
                convert_archives([archives / f"{run}.tar.xz" for run in runs], path)
        found[plan] = paths
    return found


def convert_archives(archives: list[Path], path: Path) -> None:
    """Unpack and convert runs of one plan."""
    with tempfile.TemporaryDirectory() as scratch:
        for archive in archives:
            with tarfile.open(archive) as packed:
                packed.extractall(scratch, filter="data")
        convert([Path(scratch) / archive.name.removesuffix(".tar.xz") for archive in archives], path)


def trainable(plan: str, field: Field) -> npt.NDArray[np.bool_]:
    """(i, j, k) voxels of a training plan that may be trained on."""
    mask = np.ones(field.grid.shape, dtype=bool)
    depth = field.grid.shape[field.beam_axis]
    index = [slice(None)] * 3
    index[field.beam_axis] = slice(int(HELD_OUT_FROM.get(plan, 1.0) * depth), None)
    mask[tuple(index)] = False
    return mask
