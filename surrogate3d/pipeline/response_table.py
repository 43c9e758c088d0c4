"""The numbers of predicted lesions as a table, one line each."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from surrogate3d.response.boost_files import RESEARCH_ONLY

_PARTS = {"whole": "lesion", "inside": "region", "outside": "rest"}
_SPREADS, _SINGLE = ("dose", "D_RBE"), ("LET_d", "survival")


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one line for each lesion; empty where nothing is known.

    Args:
        path: of the file.
        rows: of `LesionAnswer.to_json`, at least one.
    """
    with path.open("w", encoding="utf-8", newline="") as stream:
        lines = [_line(row) for row in rows]
        table = csv.DictWriter(stream, list(lines[0]), lineterminator="\n")
        table.writeheader()
        table.writerows(lines)


def _line(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("patient", "lesion", "probability", "logit", "spread", "responded", "volume_change")
    line = {name: row[name] for name in (*names, "volume_cm3", "region_cm3")}
    line |= {"boost_cm3": row["boost"]["volume_cm3"]}
    got = row["delivered"] or {part: {} for part in _PARTS}
    for part, word in _PARTS.items():
        line |= {f"{name}_mean_{word}": got[part].get(name, {}).get("mean") for name in _SPREADS}
        line |= {f"{name}_{word}": got[part].get(name) for name in _SINGLE}
    return {**line, "use": RESEARCH_ONLY}
