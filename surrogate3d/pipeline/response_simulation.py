"""A synthetic cohort, made and written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from surrogate3d.grid.lesion import SHRINKAGE
from surrogate3d.io.cohort_table import TABLE
from surrogate3d.io.cohort_write import write_cohort
from surrogate3d.io.manifest import sha256_file
from surrogate3d.response.generator import LESIONS, PATIENTS, simulate_cohort


def simulate_to_folder(
    output: Path,
    *,
    variant: str = "default",
    seed: int = 0,
    lesions: int = LESIONS,
    patients: int = PATIENTS,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Simulate a cohort and write it as a folder that `io.cohort.read_cohort` reads.

    Args:
        output: the folder.
        variant: of `response.variants.VARIANTS`.
        seed: of everything random.
        lesions: how many.
        patients: of how many patients.
        overwrite: replace an older cohort.

    Returns:
        The answer of `response simulate` (docs/cli-json.md).

    Raises:
        UnknownNameError, ValueRangeError: as of `simulate_cohort`.
        StoreError: as of `write_cohort`.
    """
    cohort = simulate_cohort(variant, seed, lesions, patients)
    write_cohort(cohort, output, overwrite=overwrite)
    return {
        "output": output,
        "variant": variant,
        "seed": seed,
        "lesions": len(cohort),
        "patients": len(set(cohort.patients.tolist())),
        "responders": int(cohort.responded().sum()),
        "shrinkage": SHRINKAGE,
        "with_region": sum(each.truth is not None and bool(each.truth.any()) for each in cohort),
        "sha256": sha256_file(output / TABLE),
        "notes": cohort.notes,
    }
