"""The cell lines from which the shipped models learn what a cell line is: HSG, V79 and made-up photon pairs.

Some pairs are kept aside, so that the error on unseen lines can be told.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from surrogate3d.direct.mono import mono_tables_of
from surrogate3d.physics.cell_line import CellLine, cell_line
from surrogate3d.physics.cell_line_family import FamilyRange, draw_cell_lines
from surrogate3d.pipeline.plan_pairs import TrainingLine

KNOWN = ("HSG", "V79")
RANGE = FamilyRange(alpha_x=(0.05, 0.6), alpha_beta_x=(1.5, 20.0))
N_TRAINED_ON, N_UNSEEN, SEED = 8, 4, 20261121


def family_files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Files of the made-up lines to train on, and of those to judge on; written if they are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = draw_cell_lines(N_TRAINED_ON + N_UNSEEN, np.random.default_rng(SEED), RANGE)
    paths = [folder / f"{line.name}.toml" for line in lines]
    for line, path in zip(lines, paths, strict=True):
        path.write_text(_toml(line), encoding="utf-8")
    return paths[:N_TRAINED_ON], paths[N_TRAINED_ON:]


def training_lines(paths: list[Path]) -> list[TrainingLine]:
    """Lines of some files, with their tables."""
    lines = [cell_line(path) for path in paths]
    return [TrainingLine(line, table) for line, table in zip(lines, mono_tables_of(lines), strict=True)]


def _toml(line: CellLine) -> str:
    g = line.gsm2
    return (
        f'name = "{line.name}"\nspecies = "{line.species}"\ntissue = "{line.tissue}"\nalpha_x = {line.alpha_x}\n'
        f'beta_x = {line.beta_x}\nsource = "{line.source}"\n\n[gsm2]\nr_d = {g.r_d}\nR_n = {g.R_n}\nr = {g.r}\n'
        f'genome_gbp = {g.genome_gbp}\nsource = "{line.gsm2_source}"\n'
    )
