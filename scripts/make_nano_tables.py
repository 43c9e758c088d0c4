"""Remake surrogate3d/physics/data/nano/water.json: ionisation cluster sizes of mono-energetic ions in water.

Segments of tracks are simulated for every ion and energy until a given energy was lost in them; sites of all diameters
and both conventions see the same tracks. Nothing is smoothed. With the default this takes about a
quarter of an hour on one core.

    python scripts/make_nano_tables.py
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from surrogate3d.direct.ionisation_tracks import MARGIN_NM, SiteRow, simulate_clusters
from surrogate3d.direct.validity import LESION_SPECIES as SPECIES
from surrogate3d.grid import SPECIES_Z
from surrogate3d.io.atomic import atomic_file
from surrogate3d.physics.nano_table import CONVENTIONS, MEASURES, SCHEMA, table_from_json
from surrogate3d.physics.stopping_power import stopping_power

FILE = Path(__file__).parents[1] / "surrogate3d" / "physics" / "data" / "nano" / "water.json"
SITE_NM = (2.0, 5.0, 10.0)
ENERGY_MEV_U = np.geomspace(0.1, 500.0, 25)
LENGTH_NM = 200.0


def options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--energy-mev", type=float, default=30.0, help="lost in the tracks of each ion and energy")
    parser.add_argument("--max-tracks", type=int, default=200_000, help="of each ion and energy")
    parser.add_argument("--seed", type=int, default=20_261_121)
    parser.add_argument("--out", type=Path, default=FILE)
    return parser.parse_args()


def rows() -> list[SiteRow]:
    """Spheres of every diameter, first through their centres, then crossed at random."""
    return [
        SiteRow(0.5 * d, 0.0 if convention == "central" else 0.5 * d) for convention in CONVENTIONS for d in SITE_NM
    ]


def point(Z: int, energy: float, args: argparse.Namespace) -> list[dict[str, tuple[float, float]]]:
    """All measures of one ion and energy, by row."""
    lost_mev = float(stopping_power(Z, energy)) * (LENGTH_NM + 2.0 * MARGIN_NM) * 1e-6
    n_tracks = int(min(args.energy_mev / lost_mev, args.max_tracks))
    seed = args.seed + 1000 * Z + int(np.argmin(abs(ENERGY_MEV_U - energy)))
    found = simulate_clusters(Z, energy, rows(), n_tracks=n_tracks, seed=seed, length_nm=LENGTH_NM)
    return [{name: sizes.value(name) for name in MEASURES} for sizes in found]


def table(args: argparse.Namespace) -> dict[str, Any]:
    """The shipped form."""
    shape = (len(CONVENTIONS), len(SITE_NM), len(SPECIES), len(ENERGY_MEV_U))
    both = {name: np.zeros((2, *shape)) for name in MEASURES}
    for s, species in enumerate(SPECIES):
        start = time.perf_counter()
        for e, energy in enumerate(ENERGY_MEV_U):
            for r, measures in enumerate(point(SPECIES_Z[species], float(energy), args)):
                for name, pair in measures.items():
                    both[name][(slice(None), *divmod(r, len(SITE_NM)), s, e)] = pair
        print(f"{species}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    worst = {name: round(float((pair[1] / pair[0]).max()), 4) for name, pair in both.items()}
    typical = {name: round(float(np.median(pair[1] / pair[0])), 5) for name, pair in both.items()}
    return {
        "schema": SCHEMA,
        "species": list(SPECIES),
        "energy_mev_u": [float(f"{e:.8g}") for e in ENERGY_MEV_U],
        "site_nm": list(SITE_NM),
        "conventions": list(CONVENTIONS),
        "values": {name: rounded(pair[0], "{:.4g}") for name, pair in both.items()},
        "standard_errors": {name: rounded(pair[1], "{:.2g}") for name, pair in both.items()},
        "source": {
            "made_by": "scripts/make_nano_tables.py",
            "method": "direct.ionisation_tracks: Rudd-Dingfelder ionisation by ions, RBEB ionisation by electrons, "
            "liquid water of 1 g/cm^3, track segments at constant energy",
            "sites": "spheres; central: the ion passes through the centre, crossing: uniform over the cross-section",
            "measures": "absolute: M1 mean cluster size, F_k probability of k or more ionisations",
            "segment_nm": LENGTH_NM,
            "energy_lost_mev": args.energy_mev,
            "seed": args.seed,
            "median_relative_se": typical,
            "largest_relative_se": worst,
        },
    }


def rounded(values: Any, form: str) -> Any:
    """Nested lists of numbers of few digits."""
    return float(form.format(values)) if np.ndim(values) == 0 else [rounded(v, form) for v in values]


def main() -> None:
    """Simulate and write."""
    args = options()
    data = table(args)
    table_from_json(data)
    with atomic_file(args.out, overwrite=True) as scratch:
        scratch.write_text(json.dumps(data, separators=(",", ":")) + "\n", encoding="utf-8")
    print(json.dumps(data["source"], indent=1))


if __name__ == "__main__":
    main()
