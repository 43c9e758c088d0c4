"""What coarse energy bins cost, with and without a better guess at where inside a bin the particles are.

    python benchmarks/coarse_spectra.py STORES [--write] [--tables]

STORES holds `<plan>_low.field.zarr` and `<plan>_high.field.zarr` as `scripts/reference_runs.py` makes them; read are
the development plans `proton_slab`, `proton_deep` and the proximal two thirds of `carbon_slab`. Their 64 logarithmic
bins are summed to fewer (what a linear edge cuts is split evenly in the logarithm of energy; the first of linear bins
takes what lies below 0.1 MeV/u, too). Truth is the table on all bins of the high run; errors are of RBE at 2 Gy, HSG,
voxels above 5 % of the largest dose, in %. "At middle" takes a bin's energy for its middle, "inside" is
`physics.subbin`. `--write` renews surrogate3d/pipeline/data/coarse_spectra.json: errors of the bins alone (high run,
table, inside), of protons the worse of both plans.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.curve import effect_at
from surrogate3d.grid import Field, Grid, Spectra, SpectrumAxes, Volume, VolumeSet
from surrogate3d.grid.regions import regions
from surrogate3d.inference.curves import predict_curves
from surrogate3d.io.atomic import atomic_file
from surrogate3d.io.field_store import read_field
from surrogate3d.model.bundle import Surrogate, load_bundle
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.let import LET_d, largest_species
from surrogate3d.physics.linear_quadratic import RBE_at_dose, effect
from surrogate3d.physics.mixing import fluence_accumulators, mono_table, zr_table
from surrogate3d.physics.pooling import pool_accumulators_grouped
from surrogate3d.pipeline.coarse_spectra import SCHEMA, Coarseness, coarseness, on_bins
from surrogate3d.pipeline.models import resolve
from surrogate3d.validation import error_summary

PLANS = {"proton_slab": 135.0, "proton_deep": 155.0, "carbon_slab": 240.0}
"""Upper limit of linear bins, MeV/u: just above the beam's energy."""

TWO_THIRDS = 42
"""First plane of the deepest third of `carbon_slab`, on which nothing may be chosen."""

FEWEST = 30
"""Voxels of a region that is judged."""

LOGARITHMIC, LINEAR, NARROW = (32, 16, 8, 4), (40, 20, 10, 8, 5), (16, 8)
DATA = Path(__file__).parents[1] / "surrogate3d" / "pipeline" / "data" / "coarse_spectra.json"
LINE, TABLE = cell_line("HSG"), mono_table("HSG")

Floats = npt.NDArray[np.floating]
Row = dict[str, Any]


def layouts(species: tuple[str, ...], top_mev_u: float) -> Iterator[tuple[str, SpectrumAxes]]:
    """Names and bins that are tried."""
    for number in LOGARITHMIC:
        yield f"{number} logarithmic, 0.1-500 MeV/u", SpectrumAxes.logarithmic(species, number)
    for number in NARROW:
        yield f"{number} logarithmic, 1-250 MeV/u", SpectrumAxes.logarithmic(species, number, 1.0, 250.0)
    for number in LINEAR:
        edges = np.tile(np.linspace(0.0, top_mev_u, number + 1), (len(species), 1))
        yield f"{number} linear, 0 to the beam's energy", SpectrumAxes(species, edges)


def rebinned(field: Field, axes: SpectrumAxes) -> Field:
    """The field as it would have been scored in wider bins."""
    own, sums, below = field.spectra, [], []
    for s in range(len(axes.species)):
        fine, wide = np.log(own.axes.edges_mev_u[s]), np.log(np.maximum(axes.edges_mev_u[s], 1e-9))
        shared = np.minimum(fine[1:], wide[1:, None]) - np.maximum(fine[:-1], wide[:-1, None])
        part = np.maximum(shared, 0.0) / np.diff(fine)
        first = np.clip((wide[0] - fine[:-1]) / np.diff(fine), 0.0, 1.0)  # of the bins below all
        sums.append(np.tensordot(part, own.fluence[s], axes=1))
        below.append(np.tensordot(first, own.fluence[s], axes=1) + own.underflow[s])
        if axes.edges_mev_u[s][0] == 0:
            sums[-1][0] += below[-1]
            below[-1] = np.zeros_like(below[-1])
    fluence, under = (np.asarray(np.stack(x), dtype=np.float32) for x in (sums, below))
    return replace(field, spectra=Spectra(axes, fluence, under, own.overflow), halves=(), halves_dose=())


def by_table(field: Field) -> Floats:
    """(i, j, k) RBE at 2 Gy by the table."""
    return _RBE(*zr_table(field.spectra.axes, field.spectra.fluence, TABLE))


def by_pooling(field: Field) -> Floats:
    """(i, j, k) RBE at 2 Gy by grouped pooling."""
    axes = field.spectra.axes
    sums = fluence_accumulators(axes, field.spectra.fluence, TABLE)
    alpha, sqrt_beta = pool_accumulators_grouped(sums, axes.species, field.beam_axis)
    return _RBE(alpha, sqrt_beta**2)


def by_network(field: Field, surrogate: Surrogate) -> Floats:
    """(i, j, k) RBE at 2 Gy by a shipped network."""
    curves = predict_curves(field, surrogate, LINE)
    at = curves.volume(effect_at(2.0, curves.doses, curves.effect))
    return RBE_at_dose(2.0, at, LINE.alpha_x, LINE.beta_x)


def errors(answer: Floats, truth: Floats, mask: npt.NDArray[np.bool_]) -> dict[str, float]:
    """RMS, 95th percentile and bias of the relative error, %."""
    found = error_summary(answer[mask], truth[mask])
    return {"rms": round(found.rms, 3), "p95": round(found.p95, 3), "bias": round(found.bias, 3)}


def flat(field: Field, mask: npt.NDArray[np.bool_]) -> Field:
    """Only some voxels of a field, in one line: enough for the table."""
    line = (int(mask.sum()), 1, 1)
    grid = Grid(line, field.grid.spacing_mm, (0.0, 0.0, 0.0))
    kept = {name: Volume(grid, v.values[mask].reshape(line), v.quantity) for name, v in field.volumes.items()}
    own = field.spectra
    parts = [
        values[..., mask].reshape(*values.shape[:-3], *line) for values in (own.fluence, own.underflow, own.overflow)
    ]
    return replace(
        field, grid=grid, volumes=VolumeSet(grid, kept), spectra=Spectra(own.axes, *parts), halves=(), halves_dose=()
    )


def rows_of(plan: str, stores: Path, whole: bool) -> Iterator[Row]:
    """One row for each layout; of the low run, of pooling and of the network only with the whole fields."""
    low, high = (read_field(stores / f"{plan}_{run}.field.zarr") for run in ("low", "high"))
    mask = (high.dose > 0.05 * np.nanmax(high.dose)) & low.spectra.fluence.any(axis=(0, 1))
    if plan == "carbon_slab":
        mask[:, :, TWO_THIRDS:] = False
    parts = regions(np.nan_to_num(high.dose), high.beam_axis, high.beam_sign, high.grid.spacing_mm)
    if not whole:
        parts = {name: part[mask].reshape(-1, 1, 1) for name, part in parts.items()}
        high, mask = flat(high, mask), np.ones((int(mask.sum()), 1, 1), dtype=bool)
    axes, truth = high.spectra.axes, by_table(high)
    beam = largest_species(axes, high.spectra.fluence)
    model = load_bundle(resolve("proton" if beam == "H" else "ion")) if whole else None
    for name, bins in [("64 logarithmic, 0.1-500 MeV/u", axes), *layouts(axes.species, PLANS[plan])]:
        row: Row = {"plan": plan, "beam": beam, "bins": name, "n": int(mask.sum())}
        for run, field in {"high": high, "low": low}.items() if whole else [("high", high)]:
            scored = field if bins is axes else rebinned(field, bins)
            inside = field if bins is axes else on_bins(scored, axes)
            answers = {"middle": by_table(scored), "inside": by_table(inside)}
            if model:
                answers |= {"pooled": by_pooling(inside), "network": by_network(inside, model)}
            row |= {f"{method}_{run}": errors(found, truth, mask) for method, found in answers.items()}
            LETs = [LET_d(f.spectra.axes, f.spectra.fluence) for f in (scored, inside, high)]
            row |= {f"LET_{what}_{run}": errors(LETs[n], LETs[2], mask) for n, what in enumerate(("middle", "inside"))}
            if run == "high":
                row |= _of_bins(coarseness(scored), inside, high, {n: mask & part for n, part in parts.items()}, mask)
        print(json.dumps(row), file=sys.stderr, flush=True)
        yield row


def _of_bins(
    found: Coarseness,
    inside: Field,
    high: Field,
    parts: Mapping[str, npt.NDArray[np.bool_]],
    mask: npt.NDArray[np.bool_],
) -> Row:
    """What is shipped of a layout."""
    both = [zr_table(f.spectra.axes, f.spectra.fluence, TABLE) for f in (inside, high)]
    RBEs, effects = [_RBE(*pair) for pair in both], [effect(2.0, *pair) for pair in both]
    enough = {name: part for name, part in parts.items() if part.sum() >= FEWEST}
    by_region = {name: errors(RBEs[0], RBEs[1], part)["rms"] for name, part in enough.items()}
    worst = max(by_region, key=lambda name: by_region[name])
    return {
        "kind": found.kind,
        "number": round(found.number, 3),
        **errors(RBEs[0], RBEs[1], mask),
        "worst_region": worst,
        "rms_worst_region": by_region[worst],
        "effect_rms_worst_region": max(errors(effects[0], effects[1], part)["rms"] for part in enough.values()),
    }


def shipped(rows: list[Row]) -> list[Row]:
    """Of each layout and kind of beam the larger errors of its plans."""
    kept = []
    for beam, bins in dict.fromkeys((row["beam"], row["bins"]) for row in rows):
        same = [row for row in rows if (row["beam"], row["bins"]) == (beam, bins)]
        whole = max(same, key=lambda row: float(row["rms"]))
        part = max(same, key=lambda row: float(row["rms_worst_region"]))
        found = {key: whole[key] for key in ("beam", "bins", "kind", "rms", "p95", "bias")}
        found |= {key: part[key] for key in ("worst_region", "rms_worst_region")}
        found["effect_rms_worst_region"] = max(float(row["effect_rms_worst_region"]) for row in same)
        found["number"] = max(float(row["number"]) for row in same)
        kept.append(found | {"plans": ", ".join(f"{row['plan']} ({row['n']:,} voxels)" for row in same)})
    return kept


def markdown(rows: list[Row]) -> str:
    """The table of docs/coarse-spectra.md."""
    methods = ("middle_high", "inside_high", "network_high", "middle_low", "inside_low", "pooled_low", "network_low")
    methods = tuple(method for method in methods if method in rows[0])
    head = f"| plan | bins | {' | '.join(methods)} | LET_d inside |"
    lines = [head, "|" + "---|" * (len(methods) + 3)]
    for row in rows:
        cells = [_cell(row[method]) if method in row else "" for method in methods]
        lines.append(f"| {row['plan']} | {row['bins']} | {' | '.join(cells)} | {_cell(row['LET_inside_high'])} |")
    return "\n".join(lines)


def _cell(found: dict[str, float]) -> str:
    return f"{found['rms']:.2f} / {found['p95']:.2f} ({found['bias']:+.2f})"


def _RBE(alpha: Floats, beta: Floats) -> Floats:
    return RBE_at_dose(2.0, effect(2.0, alpha, beta), LINE.alpha_x, LINE.beta_x)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("stores", type=Path)
    parser.add_argument("--write", action="store_true", help="renew the shipped errors")
    parser.add_argument("--tables", action="store_true", help="only what is shipped: table, high run")
    options = parser.parse_args()
    rows = [row for plan in PLANS for row in rows_of(plan, options.stores, not options.tables)]
    print(markdown(rows))
    if options.write:
        coarse = [row for row in rows if not row["bins"].startswith("64")]
        data = {"schema": SCHEMA, "made_by": "benchmarks/coarse_spectra.py", "rows": shipped(coarse)}
        with atomic_file(DATA, True) as scratch:
            scratch.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
