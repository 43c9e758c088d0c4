"""Write the mono-energetic table of a cell line, for `zr_table` over a table of one's own and for looking at."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from surrogate3d.direct.mono import SPECIES, mono_table_of, shipped_table
from surrogate3d.direct.mono_cache import MonoCache
from surrogate3d.io.atomic import atomic_file
from surrogate3d.physics.cell_line import cell_line


def write_mono_table(
    name_or_path: str,
    output: Path,
    species: Sequence[str] = SPECIES,
    *,
    use_cache: bool = True,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Make the table of a cell line, or take that which there is, and write it.

    Args:
        name_or_path: of the cell line, as of `physics.cell_line.cell_line`.
        output: file of schema `surrogate3d.mono_table/1`.
        species: element symbols; a shipped table has all of its own.
        use_cache: whether a table that was made before is taken, and a new one kept.
        overwrite: replace the file.
        progress: called with the number of energies done and the number of all.

    Returns:
        What was written, errors, range of alpha, seconds, and what was wrong with the cache.

    Raises:
        UnknownNameError, ConfigError, ValueRangeError: as `cell_line`, or no such species.
        StoreError: the output exists or cannot be written.
    """
    line, start = cell_line(name_or_path), time.perf_counter()
    told: list[str] = []
    cache = MonoCache() if use_cache else None
    table = mono_table_of(line, species, progress, cache=cache, tell=told.append)
    with atomic_file(output, overwrite) as scratch:
        scratch.write_text(json.dumps(table.to_json(), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return {
        "output": str(output),
        "cell_line": {"name": line.name, "alpha_x": line.alpha_x, "beta_x": line.beta_x},
        "species": list(table.species),
        "energy_mev_u": [float(table.energy_mev_u.min()), float(table.energy_mev_u.max())],
        "energies": int(table.energy_mev_u.shape[1]),
        "alpha": {"minimum": float(table.alpha.min()), "maximum": float(table.alpha.max())},
        "largest_alpha_se": float(table.alpha_se.max()),
        "largest_beta_se": float(table.beta_se.max()),
        "shipped": shipped_table(line) is not None and set(species) <= set(SPECIES),
        "made_by": table.source["made_by"],
        "seconds": time.perf_counter() - start,
        "warnings": told,
    }
