"""Remake surrogate3d/invitro/data/lineal.json: lineal energy of mono-energetic ions from H to Ne in five sites.

Everything is quadrature over amorphous tracks, so the table has no noise; on one core it takes half a minute.

    python scripts/make_lineal_table.py
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from surrogate3d.invitro.lineal import HIGHEST_MEV_U, LOWEST_MEV_U, SCHEMA, lineal_features, table_from_json
from surrogate3d.invitro.scales import SITES_UM, Y_EDGES_KEV_UM
from surrogate3d.io.atomic import atomic_file

FILE = Path(__file__).parents[1] / "surrogate3d" / "invitro" / "data" / "lineal.json"
NODES_PER_DECADE = 24
HEAVIEST_Z = 10
DIGITS = 5


def table() -> dict[str, Any]:
    """The table in its plain form."""
    n_nodes = round(np.log10(HIGHEST_MEV_U / LOWEST_MEV_U) * NODES_PER_DECADE) + 1
    energies = np.geomspace(LOWEST_MEV_U, HIGHEST_MEV_U, n_nodes)
    values = [[lineal_features(Z, energy) for energy in energies] for Z in range(1, HEAVIEST_Z + 1)]
    return {
        "schema": SCHEMA,
        "source": "scripts/make_lineal_table.py: Kiefer-Chatterjee tracks, stopping powers of physics.stopping_power",
        "axes": ["Z from 1", "energy", "site", "y_F, y_D, y* in keV/um, shares of the dose"],
        "site_um": list(SITES_UM),
        "y_edges_kev_um": Y_EDGES_KEV_UM.round(6).tolist(),
        "energy_mev_u": energies.tolist(),
        "values": np.vectorize(lambda value: float(f"{value:.{DIGITS}g}"))(np.array(values)).tolist(),
    }


def main() -> None:
    """Make the table and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FILE)
    out = parser.parse_args().out
    made = table()
    table_from_json(made)  # what could not be read back is not written
    with atomic_file(out, overwrite=True) as temporary:
        temporary.write_text(json.dumps(made, separators=(",", ":")) + "\n", encoding="utf-8")
    print(f"wrote {out}")


if __name__ == "__main__":
    main()
