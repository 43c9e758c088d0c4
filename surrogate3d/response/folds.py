"""Folds of a repeated cross-validation over lesions: whole patients, alike in lesions and in responders.

Lesions of one patient share scanner, genes and systemic treatment; split over both sides they flatter every method.
Patients are dealt one by one, those with most lesions first, each into the fold where the counts of responders, of
non-responders and of all lesions stay nearest to their share (squared deviation over the share). Of several dealings in
random order the evenest is kept; each repeat has its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, ValueRangeError

Names = npt.NDArray[np.str_]
Floats = npt.NDArray[np.float64]
Folds = npt.NDArray[np.int64]

DEALINGS = 20
"""Tried for each repeat."""

SHOWN = 3
"""Patients that a refusal names."""


def repeated_folds(
    patients: Names | Sequence[str],
    response: npt.NDArray[np.floating] | Sequence[float],
    n_folds: int = 5,
    repeats: int = 10,
    seed: int = 0,
) -> Folds:
    """The fold of each lesion in each repeat.

    Args:
        patients: (n,) patient of each lesion.
        response: (n,) 1 where the lesion responded, 0 where not.
        n_folds: at least 2.
        repeats: how often all patients are dealt anew, at least 1.
        seed: of the order of dealing.

    Returns:
        (repeat, n) folds, 0 to n_folds - 1. Without any one fold, both classes are there to learn from.

    Raises:
        GridMismatchError: patients and responses differ in number.
        ValueRangeError: no repeats, fewer patients than folds, an unknown response, one class only, or a class that
            comes to lie in one fold.
    """
    answers, group = np.asarray(response, dtype=np.float64), np.asarray(patients, dtype=np.str_)
    require_classes(answers, group)
    names, which = np.unique(group, return_inverse=True)
    if n_folds < 2 or repeats < 1:
        raise ValueRangeError(f"expected at least 2 folds and 1 repeat, asked for {n_folds} and {repeats}")
    if len(names) < n_folds:
        raise ValueRangeError(
            f"{len(names)} patients cannot be dealt into {n_folds} folds, as a patient's lesions stay together; "
            f"ask for at most {len(names)} folds or add patients"
        )
    counts = np.zeros((len(names), 2))
    np.add.at(counts, (which, answers.astype(np.int64)), 1)
    rng = np.random.default_rng(seed)
    return np.stack([_evenest(counts, n_folds, rng)[which] for _ in range(repeats)])


def require_classes(response: Floats, patients: Names) -> None:
    """Both classes, nothing unknown, and each class in two patients at least.

    Args:
        response: (n,) 1 or 0.
        patients: (n,) names.

    Raises:
        GridMismatchError: patients and responses differ in number.
        ValueRangeError: what is missing, and what to do.
    """
    if response.ndim != 1 or response.shape != patients.shape:
        raise GridMismatchError(
            f"expected a patient and a response for each lesion, found {patients.shape} patients and "
            f"{response.shape} responses"
        )
    unknown = ~np.isin(response, (0.0, 1.0))
    if unknown.any():
        raise ValueRangeError(
            f"the response of {unknown.sum()} of {len(response)} lesions is not 0 or 1, the first of patient "
            f"{patients[unknown][0]}; leave lesions without a follow-up out before dealing folds"
        )
    for label, word in ((1.0, "responded"), (0.0, "did not respond")):
        of = np.unique(patients[response == label])
        if len(of) < 2:
            where = f"only those of patient {of[0]}" if len(of) else "none"
            raise ValueRangeError(
                f"of {len(response)} lesions {where} {word}; learning and judging need both classes in at least two "
                "patients: choose another threshold of shrinkage or add lesions"
            )


def require_no_leakage(patient_of_learning: Names | Sequence[str], patient_of_held: Names | Sequence[str]) -> None:
    """No patient may be on both sides.

    Args:
        patient_of_learning: (n,) patients of the lesions that are learnt from, early stopping and tuning included.
        patient_of_held: (m,) patients of the lesions that are held out.

    Raises:
        ValueRangeError: a patient is on both sides.
    """
    both = sorted({str(name) for name in patient_of_learning} & {str(name) for name in patient_of_held})
    if both:
        more = f" and {len(both) - SHOWN} more" if len(both) > SHOWN else ""
        raise ValueRangeError(
            f"lesions of patient {', '.join(both[:SHOWN])}{more} are both learnt from and held out; "
            "keep all lesions of a patient on one side (repeated_folds does)"
        )


def _evenest(counts: Floats, n_folds: int, rng: np.random.Generator) -> Folds:
    """(patient,) folds of the dealing with the least unevenness.

    Args:
        counts: (patient, class) lesions.
        n_folds: how many.
        rng: of the order.
    """
    best, least = np.zeros(len(counts), dtype=np.int64), np.inf
    for _ in range(DEALINGS):
        fold, unevenness = _dealt(counts, n_folds, rng)
        if unevenness < least:
            best, least = fold, unevenness
    if not np.isfinite(least):
        raise ValueRangeError(
            f"one class came to lie in one of {n_folds} folds each time, as its patients have few lesions beside "
            "others with many; ask for more folds, or leave single patients out"
        )
    return best


def _dealt(counts: Floats, n_folds: int, rng: np.random.Generator) -> tuple[Folds, float]:
    """(patient,) folds, and their unevenness; infinite where a class lies in one fold."""
    kinds = np.column_stack([counts, counts.sum(axis=1)])
    share = kinds.sum(axis=0) / n_folds
    shuffled = rng.permutation(len(kinds))
    fold, filled = np.zeros(len(kinds), dtype=np.int64), np.zeros((n_folds, 3))
    for one in shuffled[np.argsort(-kinds[shuffled, 2], kind="stable")]:
        growth = (((filled + kinds[one] - share) ** 2 - (filled - share) ** 2) / share).sum(axis=1)
        fold[one] = rng.choice(np.flatnonzero(growth <= growth.min() + 1e-9))
        filled[fold[one]] += kinds[one]
    if ((filled[:, :2] > 0).sum(axis=0) < 2).any():
        return fold, np.inf
    return fold, float((((filled - share) ** 2) / share).sum())
