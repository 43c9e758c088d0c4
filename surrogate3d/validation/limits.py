"""Acceptance limits as data: what a limit is, on which metrics it can be, and the strict reading of a file of them.

A limit says which metric of which quantity in which group, at least or at most how much, from how many voxels, and who
says so. Those that come with this package are in `validation/data/acceptance.toml`.
"""

from __future__ import annotations

import math
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Any

from surrogate3d.errors import ConfigError
from surrogate3d.grid.quantity import QUANTITIES

METRICS: dict[str, tuple[str, str]] = {
    "gamma_pass_rate": ("%", "points with gamma <= 1, of those above the dose cutoff"),
    "bias_percent": ("%", "mean of judged / reference - 1; signed"),
    "rms_percent": ("%", "root mean square of judged / reference - 1"),
    "p95_percent": ("%", "95th percentile of |judged / reference - 1|"),
    "coverage": ("%", "voxels whose interval holds the true value"),
    "D98_percent": ("%", "D98 of a structure, judged / reference - 1; signed; see `STRUCTURE_CUTOFF`"),
    "D2_percent": ("%", "D2 of a structure, judged / reference - 1; signed; see `STRUCTURE_CUTOFF`"),
    "mean_dose_percent": ("%", "mean dose of a structure, judged / reference - 1; signed; see `STRUCTURE_CUTOFF`"),
    "range_mm": ("mm", "depth of the distal 80 % of the largest dose, judged - reference; signed"),
    "sigma_share_2": ("%", "voxels within 2 standard errors of the reference"),
}
"""Unit and meaning of every metric that a limit can be on."""

STRUCTURE_CUTOFF = 0.10
"""Of the largest reference value. Structures whose reference value (D98, D2, mean) is below it have no measured value,
since relative errors of nearly nothing say nothing. It is the dose cutoff of TG-218."""

SIGNED = ("bias_percent", "D98_percent", "D2_percent", "mean_dose_percent", "range_mm")
"""Metrics that are judged by their magnitude; their limits are `at_most`."""

ANY = "any"
"""As quantity, group or criterion of a limit: all that were measured, each with a finding of its own."""

ANY_DOSE = "any dose"
"""As quantity of a limit: those of `DOSES` that were measured."""

DOSES = ("dose_to_water", "dose_to_medium", "D_RBE", "BED", "EQD2")
"""Quantities that limits on doses can be carried over to; LET and RBE are none."""

_TEXTS = ("name", "metric", "quantity", "group", "unit", "source")
_OPTIONAL = {"criterion": "", "note": ""}
_BOUNDS = ("at_least", "at_most")


@dataclass(frozen=True)
class Limit:
    """One acceptance limit.

    Attributes:
        name: short, unique in its file.
        metric: of `METRICS`.
        quantity: name of a quantity, such as "D_RBE", or `ANY` or `ANY_DOSE`.
        group: "all", a stratum, a region, a structure, or `ANY`.
        criterion: of gamma, such as "3%/2mm"; "" where the metric has none.
        at_least: least value that meets it; None where `at_most` is given.
        at_most: largest value that meets it; of `SIGNED` metrics the magnitude counts.
        unit: that of the metric.
        min_n: voxels from which the value must come.
        source: who says so, with DOI, or that it is this project's choice.
        note: what a reader should know.
    """

    name: str
    metric: str
    quantity: str
    group: str
    criterion: str
    at_least: float | None
    at_most: float | None
    unit: str
    min_n: int
    source: str
    note: str

    @property
    def words(self) -> str:
        """Such as "at least 95 %"."""
        bound, value = ("at least", self.at_least) if self.at_most is None else ("at most", self.at_most)
        return f"{bound} {value:g} {self.unit}"

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def read_limits(path: str | Path | None = None) -> tuple[Limit, ...]:
    """The limits of a file.

    Args:
        path: TOML file with one `[[limit]]` table each; None for those that come with this package.

    Raises:
        ConfigError: no such file, not TOML, or an entry with an unknown or missing key, an unknown metric, another
            unit than the metric's, an unknown quantity, no bound or both, a bound without meaning, no source, or a
            name that is taken.
    """
    where = "the shipped limits" if path is None else str(path)
    try:
        data = tomllib.loads(_text(path))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: not valid TOML: {error}") from error
    entries = data.pop("limit", None)
    if data or not isinstance(entries, list) or not entries:
        raise ConfigError(f"{where}: expected [[limit]] entries and nothing else, found {', '.join(data) or 'none'}")
    limits = tuple(_limit(entry, f"{where}: limit {n}") for n, entry in enumerate(entries, start=1))
    twice = [name for name, times in Counter(limit.name for limit in limits).items() if times > 1]
    if twice:
        raise ConfigError(f"{where}: two limits are called {twice[0]!r}; give each a name of its own")
    return limits


def _text(path: str | Path | None) -> str:
    if path is None:
        return (files("surrogate3d.validation") / "data" / "acceptance.toml").read_text(encoding="utf-8")
    if not Path(path).is_file():
        raise ConfigError(f"no file of limits at {path}; check the path")
    return Path(path).read_text(encoding="utf-8")


def _limit(entry: object, where: str) -> Limit:
    """One table, checked."""
    if not isinstance(entry, dict):
        raise ConfigError(f"{where}: expected a [[limit]] table, found {entry!r}")
    where = f"{where} ({entry['name']})" if isinstance(entry.get("name"), str) else where
    known = (*_TEXTS, *_OPTIONAL, *_BOUNDS, "min_n")
    for key in entry:
        if key not in known:
            raise ConfigError(f"{where}: unknown key {key!r}; the nearest known key is {_nearest(key, known)!r}")
    texts = {key: _text_of(entry, key, where) for key in _TEXTS}
    texts |= {key: _text_of(entry, key, where, usual) for key, usual in _OPTIONAL.items()}
    unit, _ = METRICS.get(texts["metric"], ("", ""))
    if not unit:
        near = _nearest(texts["metric"], tuple(METRICS))
        raise ConfigError(f"{where}: unknown metric {texts['metric']!r}; the nearest known one is {near!r}")
    if texts["unit"] != unit:
        raise ConfigError(f"{where}: {texts['metric']} is in {unit!r}, the limit says {texts['unit']!r}")
    if texts["quantity"] not in (ANY, ANY_DOSE, *QUANTITIES):
        near = _nearest(texts["quantity"], (ANY, ANY_DOSE, *QUANTITIES))
        raise ConfigError(f"{where}: unknown quantity {texts['quantity']!r}; the nearest known one is {near!r}")
    at_least, at_most = _bounds(entry, texts["metric"], unit, where)
    return Limit(**texts, at_least=at_least, at_most=at_most, min_n=_least_number(entry, where))


def _text_of(entry: Mapping[str, object], key: str, where: str, usual: str | None = None) -> str:
    value = entry.get(key, usual)
    if value is None:
        raise ConfigError(f"{where}: missing key {key!r}; every limit needs {', '.join(_TEXTS)} and min_n")
    if not isinstance(value, str) or not (value.strip() or key in _OPTIONAL):
        raise ConfigError(f"{where}: {key} must be a text that is not empty, found {value!r}")
    return value


def _bounds(entry: Mapping[str, object], metric: str, unit: str, where: str) -> tuple[float | None, float | None]:
    """`at_least` and `at_most`; exactly one is a number."""
    given = [key for key in _BOUNDS if key in entry]
    if len(given) != 1:
        raise ConfigError(f"{where}: expected either at_least or at_most, found {' and '.join(given) or 'neither'}")
    value = entry[given[0]]
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ConfigError(f"{where}: {given[0]} must be a finite number that is not negative, found {value!r}")
    share = metric in ("gamma_pass_rate", "coverage", "sigma_share_2")
    if share and value > 100:
        raise ConfigError(f"{where}: {metric} is a share in {unit} and cannot exceed 100, found {value:g}")
    if not share and given[0] == "at_least":
        raise ConfigError(f"{where}: {metric} is an error; its limit is at_most, found at_least")
    return (float(value), None) if given[0] == "at_least" else (None, float(value))


def _least_number(entry: Mapping[str, object], where: str) -> int:
    value = entry.get("min_n")
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{where}: min_n must be a whole number of at least 1, found {value!r}")
    return value


def _nearest(name: str, known: Sequence[str]) -> str:
    return get_close_matches(name, known, 1, 0.0)[0]
