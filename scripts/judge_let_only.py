"""Judge the shipped model `let-only` on a plan that it was not trained on, beside cheaper answers to the same question.

    python scripts/judge_let_only.py ARCHIVES WORK PLAN [MODEL]

Truth is `zr_table` on the high-statistics spectra, the input are dose and LET of the low run. The quartic in LET_d is
fitted to the low runs of the plans that the model was trained on, for each line by itself. The floor is the noise of
the truth, half of what separates its two halves; it is not taken out of the other rows. All are judged in the voxels
that all answer.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
from reference_runs import RUNS, TRAINED_ON, stores
from train_let_only import part

from surrogate3d.grid import Field
from surrogate3d.grid.regions import regions
from surrogate3d.inference.regression import LetOnlyGiven, require_let_only_fit
from surrogate3d.io.field_store import read_field
from surrogate3d.model.reduced_bundle import ReducedModel, load_reduced_bundle
from surrogate3d.physics.cell_line import CellLine, cell_line
from surrogate3d.physics.linear_quadratic import effect
from surrogate3d.physics.mixing import MonoTable, mono_table, zr_table
from surrogate3d.physics.rbe import PUBLISHED_MODELS
from surrogate3d.pipeline.let_only_errors import (
    DOSE_GY,
    RBE_of,
    by_region,
    predicted,
    quartic_in_LET,
    true_effect,
    without_spectra,
)
from surrogate3d.pipeline.models import resolve
from surrogate3d.validation.baselines import baseline_effects

Floats = npt.NDArray[np.float64]


def answers(
    low: Field, model: ReducedModel, line: CellLine, table: MonoTable, coefficients: Floats
) -> dict[str, Floats]:
    """(i, j, k) RBE at 2 Gy by method."""
    LET = np.asarray(low.volumes["LET_d"].values, dtype=float)
    alpha, beta = zr_table(low.spectra.axes, low.spectra.fluence, table)
    grouped = baseline_effects(low, line, table)["zr_table, grouped pooling"]
    found = {
        "zr_table (spectra)": RBE_of(effect(DOSE_GY, alpha, beta), line),
        "grouped pooling (spectra)": RBE_of(effect(DOSE_GY, grouped.alpha, grouped.beta), line),
        "quartic in LET_d": np.polyval(coefficients, LET),
        **{name: PUBLISHED_MODELS[name](DOSE_GY, LET, line.alpha_x, line.beta_x) for name in ("mcnamara", "wedenberg")},
    }
    for variant in model.card.variants:
        own, std, strange = predicted(without_spectra(low, variant.channel_set), model, line)
        found[f"let-only, {variant.channel_set.name}"] = RBE_of(own, line)
        print(f"<!-- {variant.channel_set.name}: {100 * strange[np.isfinite(own)].mean():.2f} % out of domain, "
              f"predicted deviation of the effect {100 * np.sqrt(np.nanmean(std**2)):.2f} % -->")  # fmt: skip
    return found


def _halves(plan: str, archives: Path, work: Path) -> list[Path]:
    runs = RUNS[plan][1]
    return [part(run, archives, work) for run in runs] if len(runs) == 2 else []


def main() -> None:
    """Print one row for each method, line and region."""
    archives, work, plan = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
    model = load_reduced_bundle(resolve(sys.argv[4] if len(sys.argv) > 4 else "let-only"))
    paths = stores(archives, work)
    low, high = (read_field(path) for path in paths[plan])
    pairs = [(read_field(paths[name][0]), read_field(paths[name][1])) for name in TRAINED_ON["proton"]]
    parted = [read_field(path) for path in _halves(plan, archives, work)]
    parts = regions(np.nan_to_num(high.dose).astype(float), high.beam_axis, high.beam_sign, high.grid.spacing_mm)
    print("| plan | line | method | region | n | RMS % | p95 % | bias % |")
    print("|---|---|---|---|---|---|---|---|")
    for name in ("HSG", "V79"):
        line, table = cell_line(name), mono_table(name)
        require_let_only_fit(low, model.card, line, LetOnlyGiven())
        quartic = quartic_in_LET([(run, true_effect(most, table)) for run, most in pairs], line)
        truth = RBE_of(true_effect(high, table), line)
        found = answers(low, model, line, table, quartic)
        if parted:
            one, other = (RBE_of(true_effect(half, table), line) for half in parted)
            found["floor"] = truth * (1 + (one / other - 1) / 2)
        known = np.asarray(np.isfinite(np.stack([truth, *found.values()])).all(axis=0))
        for method, RBE in found.items():
            for region, s in by_region(RBE, truth, known, {"all": known} | parts).items():
                print(f"| {plan} | {name} | {method} | {region} | {s['n']} | {s['rms']:.2f} | {s['p95']:.2f} | "
                      f"{s['bias']:+.2f} |", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
