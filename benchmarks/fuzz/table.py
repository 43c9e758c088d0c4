"""All targets by name."""

from __future__ import annotations

from benchmarks.fuzz import targets_dicom, targets_images, targets_run, targets_small, targets_store, targets_topas
from benchmarks.fuzz.case import Files, Seed, Target
from benchmarks.fuzz.targets_store import seal

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (targets_topas, targets_run, targets_small, targets_dicom, targets_images, targets_store)
    for target in module.TARGETS
}


def sealed(target: Target, seed: Seed, files: Files) -> Files:
    """The folder as it is written: with a manifest that fits again, where the target asks for it."""
    return seal(files) if target.sealed else files
