"""Make the shipped model `let-only`: dose and LET of two OpenTOPAS proton plans, HSG, V79 and 12 made-up cell lines.

    python scripts/train_let_only.py ARCHIVES WORK BUNDLE

ARCHIVES is the folder of run archives, WORK keeps the field stores, BUNDLE is written. `proton_shallow` is not touched.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
from reference_lines import KNOWN, RANGE
from reference_lines import SEED as LINES_SEED
from reference_runs import RUNS, TRAINED_ON, convert_archives, stores

from surrogate3d.direct.mono import mono_tables_of
from surrogate3d.io.field_store import field_id, read_dose_field, read_field
from surrogate3d.model.reduced_bundle import save_reduced_bundle
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.cell_line_family import draw_cell_lines
from surrogate3d.pipeline.let_only_training import LetOnlyPlan, train_let_only
from surrogate3d.pipeline.plan_pairs import TrainingLine
from surrogate3d.training.regression import LetOnlyConfig

MADE_UP, SEED, UNSEEN = 12, 0, "V79"


def main() -> None:
    """Train and save."""
    archives, work, bundle = (Path(argument) for argument in sys.argv[1:4])
    found = stores(archives, work)
    plans = [_plan(name, *found[name], archives, work) for name in TRAINED_ON["proton"]]
    start = time.process_time()
    model = train_let_only(plans, _lines(), LetOnlyConfig(), SEED, lambda said: print(said, flush=True), UNSEEN)
    print(f"trained in {time.process_time() - start:.0f} s of processor")
    print(save_reduced_bundle(model, bundle, overwrite=True))


def _lines() -> list[TrainingLine]:
    """The shipped lines, and those that the models of spectra are trained or judged on."""
    made_up = draw_cell_lines(MADE_UP, np.random.default_rng(LINES_SEED), RANGE)
    lines = [*(cell_line(name) for name in KNOWN), *made_up]
    return [TrainingLine(line, table) for line, table in zip(lines, mono_tables_of(lines), strict=True)]


def _plan(name: str, low: Path, high: Path, archives: Path, work: Path) -> LetOnlyPlan:
    """A plan with the first half of its many histories as one more realisation, where there are halves."""
    runs = RUNS[name][1]
    more = [part(runs[0], archives, work)] if len(runs) > 1 else []
    ids = tuple(field_id(path) for path in (low, high, *more))
    return LetOnlyPlan(name, read_field(low), read_field(high), ids, tuple(read_dose_field(path) for path in more))


def part(run: str, archives: Path, work: Path) -> Path:
    """Store of one of the runs that are a plan's many histories."""
    path = work / f"{run}.field.zarr"
    if not path.exists():
        convert_archives([archives / f"{run}.tar.xz"], path)
    return path


if __name__ == "__main__":
    main()
