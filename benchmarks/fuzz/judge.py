"""Whether a reading of a damaged folder is right: unchanged, or different only where the damage may show."""

from __future__ import annotations

from fnmatch import fnmatch
from typing import Any

import numpy as np

from benchmarks.fuzz.case import GONE, Files, Reading, Seed, Target, Verdict


def judge(target: Target, seed: Seed, files: Files, original: Reading, found: Reading) -> Verdict:
    """Compare two readings, given the damage."""
    names = sorted(set(original) | set(found))
    differ = [
        name for name in names if name not in original or name not in found or not same(original[name], found[name])
    ]
    if not differ:
        return Verdict("unchanged")
    allowed = _allowed(target, seed, files)
    wrong = [name for name in differ if not any(fnmatch(name, pattern) for pattern in allowed)]
    wrong = [name for name in wrong if not _close(original.get(name), found.get(name), target.close.get(name, 0.0))]
    if wrong:
        words = "; ".join(f"{name}: {_short(original.get(name))} became {_short(found.get(name))}" for name in wrong)
        return Verdict("failure", f"differs without an error in {words}")
    return _as_stated(target, seed, files, differ, found)


def same(one: Any, other: Any) -> bool:
    """Bit for bit, NaN equal to NaN."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()
    return type(one) is type(other) and repr(one) == repr(other)


def _allowed(target: Target, seed: Seed, files: Files) -> set[str]:
    allowed: set[str] = set()
    for name in set(seed.files) | set(files):
        old, new = seed.files.get(name, b""), files.get(name, GONE)
        if old != new:
            allowed.update(target.may_change(seed, name, old, new))
    return allowed


def _close(one: Any, other: Any, tolerance: float) -> bool:
    if not isinstance(one, np.ndarray) or not isinstance(other, np.ndarray) or one.shape != other.shape:
        return False
    return tolerance > 0 and bool(np.allclose(one, other, rtol=0, atol=tolerance))


def _as_stated(target: Target, seed: Seed, files: Files, differ: list[str], found: Reading) -> Verdict:
    stated = target.literal(seed, files) if target.literal else {}
    for name in differ:
        if name in stated and not _equal(found.get(name), stated[name]):
            return Verdict(
                "failure", f"{name} is {_short(found.get(name))}, but the damaged file states {_short(stated[name])}"
            )
    return Verdict("valid payload")


def _equal(found: Any, stated: Any) -> bool:
    if isinstance(stated, np.ndarray):
        return isinstance(found, np.ndarray) and np.array_equal(found, stated, equal_nan=True)
    return not isinstance(found, np.ndarray) and bool(found == stated)


def _short(value: Any) -> str:
    if isinstance(value, np.ndarray):
        finite = value[np.isfinite(value)] if value.dtype.kind == "f" else value
        return f"array {value.shape} {value.dtype} sum {finite.sum():.12g} NaN {value.size - finite.size}"
    return repr(value)[:200]
