"""Judge the shipped model on the plans and voxels that it was not trained on; prints the tables of docs/results.md.

    python scripts/judge_reference.py ARCHIVES WORK [MODEL]

Lower statistics are made by thinning the low run (see `training.noise`), with a fixed seed.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from reference_runs import HELD_OUT_FROM, stores, trainable

from surrogate3d.grid import Field
from surrogate3d.inference.curves import predict_curves
from surrogate3d.io.field_store import field_id, read_field
from surrogate3d.model.bundle import Surrogate, load_bundle
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.mixing import mono_table
from surrogate3d.pipeline.conversion import tracks
from surrogate3d.pipeline.models import resolve
from surrogate3d.pipeline.validation import Validation, ValidationSettings, surrogate_maps, validate
from surrogate3d.training.noise import thin
from surrogate3d.validation import error_summary

METHODS = ("zr_table", "zr_table, grouped pooling", "surrogate")
KEEP = (1.0, 0.15, 0.03)
VOXELS = {"carbon_slab": 5000}
"""Random voxels of the Monte Carlo truth where 300 would leave too few in the part that was not trained on."""
SHIPPED = "opentopas-p-c"


def thinned(field: Field, keep: float) -> Field:
    """The same plan with fewer histories (spectra only; dose and LET as scored)."""
    if keep == 1.0:
        return field
    spectra, scale = field.spectra, np.float32(field.dose_scale)
    rng = np.random.default_rng(5)
    fewer = thin(spectra.fluence / scale, spectra.axes, field.grid, field.beam_axis, keep, rng) * np.float32(keep)
    return replace(field, spectra=replace(spectra, fluence=fewer), halves=(), halves_dose=(), prescription=None)


def judge(plan: str, low: Path, high: Path, surrogate: Surrogate, line: str, truth: str, work: Path) -> None:
    """Print one row per method and level of statistics."""
    reference = read_field(high)
    region = ~trainable(plan, reference) if plan in HELD_OUT_FROM else np.ones(reference.grid.shape, dtype=bool)
    for keep in KEEP if truth == "zr_table" else KEEP[:1]:
        field = thinned(read_field(low), keep)
        settings = ValidationSettings(truth=truth, voxels=VOXELS.get(plan, 300))
        found = validate(
            field, reference, field_id(high), surrogate, cell_line(line), mono_table(line), settings, work / "ledger"
        )
        for method in METHODS:
            print(_row(plan, line, truth, tracks(field)["median"], method, found, region), flush=True)
        if truth == "zr_table":
            print(_seeds(plan, line, keep, field, found, surrogate, region), flush=True)


def _seeds(
    plan: str, line: str, keep: float, field: Field, found: Validation, surrogate: Surrogate, region: object
) -> str:
    """RMS of every member alone: what one training with another seed would have given."""
    true = np.where(region, found.truth["RBE"], np.nan)
    alone = []
    for network, scale in zip(surrogate.networks, surrogate.card.std_scale, strict=True):
        member = replace(surrogate, networks=(network,), card=replace(surrogate.card, std_scale=(scale,)))
        curves = predict_curves(field, member, cell_line(line))
        RBE = surrogate_maps(curves, field, cell_line(line), 2.0)["RBE"]
        known = np.isfinite(true) & np.isfinite(RBE)
        alone.append(error_summary(RBE[known], true[known]).rms)
    return f"<!-- members alone, {plan}, {line}, keep {keep}: {' / '.join(f'{rms:.2f}' for rms in alone)} -->"


def _row(plan: str, line: str, truth: str, n_tracks: float, method: str, found: Validation, region: object) -> str:
    true = np.where(region, found.truth["RBE"], np.nan)
    known = np.isfinite(true)
    s = error_summary(found.predicted[method]["RBE"][known], true[known])
    floor = found.table.row(method, "RBE").summary.floor
    return (
        f"| {plan} | {line} | {truth} | {n_tracks:.0f} | {method} | {s.n} | {s.rms:.2f} | {s.p95:.2f} | "
        f"{s.bias:+.2f} | {s.max:.1f} | {floor:.2f} | {s.R2:.4f} | {100 * s.NRMSE_range:.2f} |"
    )


def main() -> None:
    """Print everything."""
    archives, work = Path(sys.argv[1]), Path(sys.argv[2])
    surrogate = load_bundle(resolve(sys.argv[3] if len(sys.argv) > 3 else SHIPPED))
    print("| plan | line | truth | tracks | method | n | RMS % | p95 % | bias % | max % | floor % | R2 | NRMSE % |")
    print("|---|---|---|---|---|---|---|---|---|---|---|---|---|")
    for plan, (low, high) in stores(archives, work / "stores").items():
        for line in ("HSG", "V79"):
            for truth in ("zr_table", "gsm2_mc"):
                judge(plan, low, high, surrogate, line, truth, work)


if __name__ == "__main__":
    main()
