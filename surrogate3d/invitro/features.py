"""Features of an experiment, or of a cell line on the grid: those of the irradiation, and biology."""

from __future__ import annotations

import numpy as np

from surrogate3d.errors import UnknownNameError
from surrogate3d.invitro.pairs import pairs_of
from surrogate3d.invitro.radiation import mono_features, radiation_features
from surrogate3d.invitro.scales import (
    BIOLOGY,
    FEATURES,
    GROUPS,
    RADIATION,
    SCALE_OF_GROUP,
    SCALES,
    Feature,
    Floats,
    transformed,
)
from surrogate3d.invitro.spread_out import spread_out_features
from surrogate3d.io.pide_experiment import Experiment
from surrogate3d.physics.cell_line import CellLine

__all__ = [
    "BIOLOGY",
    "FEATURES",
    "Feature",
    "GROUPS",
    "RADIATION",
    "SCALES",
    "SCALE_OF_GROUP",
    "biology_features",
    "experiment_features",
    "mono_features",
    "radiation_features",
    "spread_out_features",
    "transformed",
]

PHASES: dict[str, tuple[float, float, float, float]] = {
    "G1": (1.0, 0.0, 0.0, 0.0),
    "G1/S": (0.5, 0.5, 0.0, 0.0),
    "S": (0.0, 1.0, 0.0, 0.0),
    "G2/M": (0.0, 0.0, 1.0, 0.0),
    "asynchronous": (0.0, 0.0, 0.0, 1.0),
}
"""Columns G1, S, G2/M and asynchronous by phase; cells at the border of two stand half in each."""

GENOME_GBP = {"human": 6.0, "rodent": 5.6}
"""DNA of a diploid cell by origin, as PIDE counts it (Friedrich et al., J Radiat Res 2013;54:494)."""

CELL_CLASS = {"HSG": "tumour", "V79": "normal", "chordoma": "tumour"}
"""Class of the shipped cell lines, that of PIDE where it has them."""

_RODENTS = ("hamster", "mouse", "rat")


def experiment_features(experiment: Experiment) -> Floats:
    """Features of an experiment; the photon pair is that of `pairs_of`.

    Returns:
        (len(FEATURES),) in the order of `FEATURES`; NaN where not known.

    Raises:
        QuantityError, ValueRangeError: as `mono_features` and `spread_out_features`.
    """
    by_field = spread_out_features if experiment.spread_out else mono_features
    radiation = by_field(experiment.species, experiment.energy_mev_u, experiment.LET)
    pairs = pairs_of(experiment)
    biology = _biology(
        pairs.alpha_x,
        pairs.beta_x,
        is_tumour=float(experiment.cell_class == "tumour"),
        is_human=float(experiment.cell_origin == "human"),
        phase=experiment.phase,
        genome_gbp=experiment.dna_content_gbp,
    )
    return np.concatenate([radiation, biology])


def biology_features(line: CellLine, *, cell_class: str | None = None, phase: str = "asynchronous") -> Floats:
    """Biology of a cell line on the grid.

    The genome is that of its origin as PIDE counts it, not `line.gsm2.genome_gbp`, which belongs to another model.

    Args:
        line: cell line.
        cell_class: "tumour" or "normal"; known for the shipped lines, else NaN where not given.
        phase: key of `PHASES`, or "" where it is not known.

    Returns:
        (len(BIOLOGY),) in the order of `BIOLOGY`; NaN where not known.

    Raises:
        UnknownNameError: no such class or phase.
    """
    known = CELL_CLASS.get(line.name) if cell_class is None else cell_class
    if known not in (None, "tumour", "normal"):
        raise UnknownNameError(f"the class of cells must be 'tumour' or 'normal', found {known!r}")
    animal = line.species.lower()
    origin = "human" if animal == "human" else "rodent" if any(name in animal.split() for name in _RODENTS) else ""
    return _biology(
        line.alpha_x,
        line.beta_x,
        is_tumour=np.nan if known is None else float(known == "tumour"),
        is_human=float(origin == "human") if origin else np.nan,
        phase=phase,
        genome_gbp=GENOME_GBP.get(origin, np.nan),
    )


def _biology(
    alpha_x: float, beta_x: float, *, is_tumour: float, is_human: float, phase: str, genome_gbp: float
) -> Floats:
    """In the order of `BIOLOGY`; alpha over beta is not known where one of them is 0."""
    if phase and phase not in PHASES:
        raise UnknownNameError(f"unknown phase of the cell cycle {phase!r}; known: {', '.join(PHASES)}")
    ratio = alpha_x / beta_x if alpha_x > 0 and beta_x > 0 else np.nan
    columns = PHASES.get(phase, (np.nan,) * 4)
    return np.array([alpha_x, beta_x, ratio, is_tumour, is_human, *columns, genome_gbp])
