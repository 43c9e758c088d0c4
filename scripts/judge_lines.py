"""The error of the shipped proton model on cell lines that it never saw, on `proton_shallow`; prints a table.

python scripts/judge_lines.py ARCHIVES WORK
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from reference_lines import KNOWN, family_files
from reference_runs import stores

from surrogate3d.direct.mono import mono_tables_of
from surrogate3d.grid import Field
from surrogate3d.inference.curves import predict_curves
from surrogate3d.io.field_store import field_id, read_field
from surrogate3d.model.bundle import load_bundle
from surrogate3d.physics.cell_line import CellLine, cell_line
from surrogate3d.physics.linear_quadratic import RBE_at_dose
from surrogate3d.physics.mixing import MonoTable, fluence_accumulators, zr_table
from surrogate3d.physics.pooling import pool_accumulators_grouped
from surrogate3d.pipeline.design import SimulationSettings, simulate
from surrogate3d.pipeline.models import resolve
from surrogate3d.sampling import SelectedVoxel

Floats = npt.NDArray[np.float64]
VOXELS, DOSE_GY = 150, 2.0


def grouped(field: Field, table: MonoTable) -> tuple[Floats, Floats]:
    """Alpha and beta by the table on species-grouped pooling."""
    sums = fluence_accumulators(field.spectra.axes, field.spectra.fluence, table)
    alpha, sqrt_beta = pool_accumulators_grouped(sums, field.spectra.axes.species, field.beam_axis)
    return alpha, sqrt_beta**2


def RBE(line: CellLine, alpha: Floats, beta: Floats) -> Floats:
    """At `DOSE_GY`."""
    return RBE_at_dose(DOSE_GY, DOSE_GY * alpha + DOSE_GY**2 * beta, line.alpha_x, line.beta_x)


def rms(error: Floats) -> float:
    """In %."""
    return float(100 * np.sqrt(np.mean(error**2)))


def main() -> None:
    """Print one row a line."""
    archives, work = Path(sys.argv[1]), Path(sys.argv[2])
    low_path, high_path = stores(archives, work / "stores")["proton_shallow"]
    low, high, name = read_field(low_path), read_field(high_path), field_id(high_path)
    _, unseen = family_files(work / "lines")
    lines = [*map(cell_line, KNOWN), *map(cell_line, unseen)]
    model = load_bundle(resolve("proton"))
    answered = np.argwhere(predict_curves(low, model, lines[0]).mask)
    drawn = answered[np.random.default_rng(0).permutation(len(answered))[:VOXELS]]
    voxels = [SelectedVoxel(name, (int(i), int(j), int(k)), "random", None) for i, j, k in drawn]
    settings = SimulationSettings("gsm2_mc", (*KNOWN, *map(str, unseen)), seed=3, target_se=0.0015)
    simulated = simulate(voxels, {name: high}, work / "lines_ledger", settings)
    print("| line | alpha_x / beta_x | zr_table | grouped pooling | surrogate | against gsm2_mc | bias |")
    for line, table in zip(lines, mono_tables_of(lines), strict=True):
        curves = predict_curves(low, model, line, table=table)
        at = int(np.argmin(np.abs(curves.doses - DOSE_GY)))
        found = RBE_at_dose(DOSE_GY, curves.effect[:, at], line.alpha_x, line.beta_x)
        true = RBE(line, *zr_table(high.spectra.axes, high.spectra.fluence, table))[curves.mask]
        plain = RBE(line, *zr_table(low.spectra.axes, low.spectra.fluence, table))[curves.mask]
        pooled = RBE(line, *grouped(low, table))[curves.mask]
        where = curves.volume(found)
        direct = np.array([where[r.voxel] / r.RBE_ref - 1 for r in simulated if r.cell_line == line.name])
        print(
            f"| {line.name} | {line.alpha_beta_x:.2f} | {rms(plain / true - 1):.2f} | {rms(pooled / true - 1):.2f} | "
            f"{rms(found / true - 1):.2f} | {rms(direct):.2f} | {100 * direct.mean():+.2f} |"
        )


if __name__ == "__main__":
    main()
