"""Experiments as arrays that models of survival learn from; `pairs` and `points` say what is taken of each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError, UnsupportedError, ValueRangeError
from surrogate3d.invitro.features import FEATURES, experiment_features
from surrogate3d.invitro.pairs import Pairs, pairs_of
from surrogate3d.invitro.points import SurvivalPoints, points_of
from surrogate3d.io.pide_experiment import Experiment

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class InVitroData:
    """Experiments, one a row. NaN is not known.

    Attributes:
        features: (n, feature) in the order of `features.FEATURES`, untransformed.
        photon: (n, 2) alpha_x in 1/Gy and beta_x in 1/Gy^2 that are used, neither negative.
        number: (n,) ExpID.
        publication: (n,) short names.
        cells: (n,) cell lines.
        species: (n,) element symbols.
        dose: (n, point) ion doses, Gy, NaN-padded.
        log_survival: (n, point) ln S, NaN-padded.
        weight: (n, point) of sum 1 in every row, 0 in the padding.
        is_raw: (n,) whether the points are published ones.
        RBE10: (n,) measured; NaN where no ion pair reaches 10 % survival.
        dropped: (ExpID, reason) of the experiments that could not be used.
    """

    features: Floats
    photon: Floats
    number: npt.NDArray[np.int64]
    publication: npt.NDArray[np.str_]
    cells: npt.NDArray[np.str_]
    species: npt.NDArray[np.str_]
    dose: Floats
    log_survival: Floats
    weight: Floats
    is_raw: npt.NDArray[np.bool_]
    RBE10: Floats
    dropped: tuple[tuple[int, str], ...] = ()

    def __len__(self) -> int:
        return len(self.number)

    def subset(self, mask: npt.ArrayLike) -> InVitroData:
        """The experiments of a mask (n,), or of indices; what was dropped stays listed.

        Raises:
            GridMismatchError: a mask of another length.
        """
        chosen = np.asarray(mask)
        if chosen.dtype == bool and chosen.shape != (len(self),):
            raise GridMismatchError(f"expected a mask of {len(self)} experiments, found shape {chosen.shape}")
        columns = {column.name: getattr(self, column.name) for column in fields(self)}
        dropped = columns.pop("dropped")
        return InVitroData(**{name: values[chosen] for name, values in columns.items()}, dropped=dropped)


def dataset(experiments: Iterable[Experiment], *, species: Sequence[str] | None = None) -> InVitroData:
    """Experiments as arrays.

    Args:
        experiments: such as `Experiments.experiments`.
        species: element symbols to keep; None for all. Others are left out without being listed.

    Returns:
        The experiments that can be used, in their order, and the others with the reason in `dropped`.
    """
    rows: list[_Row] = []
    dropped: list[tuple[int, str]] = []
    for experiment in experiments:
        if species is not None and experiment.species not in species:
            continue
        try:
            rows.append(_row(experiment))
        except (QuantityError, UnsupportedError, ValueRangeError) as unusable:
            dropped.append((experiment.number, str(unusable)))
    width = max((len(row.points.dose) for row in rows), default=0)
    said = [row.experiment for row in rows]
    return InVitroData(
        features=np.array([row.features for row in rows]).reshape(-1, len(FEATURES)),
        photon=np.array([row.pairs[:2] for row in rows]).reshape(-1, 2),
        number=np.array([one.number for one in said], dtype=np.int64),
        publication=np.array([one.publication for one in said], dtype=np.str_),
        cells=np.array([one.cells for one in said], dtype=np.str_),
        species=np.array([one.species for one in said], dtype=np.str_),
        dose=_padded([row.points.dose for row in rows], width, np.nan),
        log_survival=_padded([row.points.log_survival for row in rows], width, np.nan),
        weight=_padded([row.points.weight for row in rows], width, 0.0),
        is_raw=np.array([row.points.is_raw for row in rows], dtype=bool),
        RBE10=np.array([row.pairs.RBE10 for row in rows], dtype=float),
        dropped=tuple(dropped),
    )


class _Row(NamedTuple):
    experiment: Experiment
    features: Floats
    pairs: Pairs
    points: SurvivalPoints


def _row(experiment: Experiment) -> _Row:
    pairs = pairs_of(experiment)
    if np.isnan(pairs.alpha_x):
        raise UnsupportedError("no photon pair with alpha_x >= 0 that reaches 10 % survival; RBE has no reference")
    points = points_of(experiment, pairs)
    if points is None:
        raise UnsupportedError("neither ion survival points nor an ion pair with alpha and beta")
    return _Row(experiment, experiment_features(experiment), pairs, points)


def _padded(rows: Sequence[Floats], width: int, padding: float) -> Floats:
    table = np.full((len(rows), width), padding)
    for line, row in zip(table, rows, strict=True):
        line[: len(row)] = row
    return table
