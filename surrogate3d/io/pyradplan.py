"""Plans of pyRadPlan, as folders of MetaImages `NAME_dosegrid_QUANTITY.mha` with `NAME_summary.json`.

pyRadPlan 0.5, https://github.com/e0404/pyRadPlan (quantities `physical_dose` and `let`, which is LET x dose over dose).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from surrogate3d.errors import FormatError, QuantityError, StoreError
from surrogate3d.grid import Beam, LetDefinition, Prescription, Volume, quantity
from surrogate3d.io.images import image_notes, read_image
from surrogate3d.io.plan_grids import PlanGrids

DOSE_NAME = "_dosegrid_physical_dose.mha"
LET_DEFINITION = LetDefinition(
    weighting="dose",
    particles="the particles of the beam model's base data, which the files do not state",
    medium="water (base data of the pencil beams)",
    restricted=False,
    max_scored_kev_um=None,
    source="pyRadPlan quantity 'let', LET x dose over dose; whether energy transfer was cut, the files do not state",
)
STATEMENT = "absolute dose as written by pyRadPlan, which does not state of how many fractions"

_RADIATION = {"protons": "H", "helium": "He", "carbon": "C"}


def pyradplan_names(path: Path) -> tuple[str, ...]:
    """Names of the plans in a folder."""
    return tuple(sorted(file.name.removesuffix(DOSE_NAME) for file in path.glob(f"*{DOSE_NAME}")))


def read_pyradplan(path: Path, name: str | None) -> PlanGrids:
    """Read one plan; arguments and errors as of `plans.read_plan`."""
    names = pyradplan_names(path)
    if name is None and len(names) > 1:
        raise QuantityError(f"{path} holds the plans {', '.join(names)}; say which one by its name")
    name = name or names[0]
    if name not in names:
        raise StoreError(f"{path} holds no plan {name!r}; it holds {', '.join(names)}")
    dose_file, let_file, summary_file = (
        path / f"{name}{end}" for end in (DOSE_NAME, "_dosegrid_let.mha", "_summary.json")
    )
    files = tuple(file for file in (dose_file, let_file, summary_file) if file.is_file())
    dose, summary = read_image(dose_file, quantity("dose_to_water")), _summary(summary_file)
    _require_of_dose(summary, dose, summary_file)
    return PlanGrids(
        name=name,
        system="pyRadPlan",
        dose=dose,
        LET=read_image(let_file, quantity("LET_d")) if let_file in files else None,
        LET_definition=LET_DEFINITION,
        files=files,
        primary=_RADIATION.get(str(summary.get("radiation_mode", "")).lower()),
        prescription=Prescription(1.0, STATEMENT),
        beams=tuple(Beam(name=f"gantry {angle:g} deg") for angle in _angles(summary, summary_file)),
        notes=(
            *(note for file in files if file.suffix == ".mha" for note in image_notes(file)),
            *(
                f"{rbe.name} is not read: RBE is computed here"
                for rbe in sorted(path.glob(f"{name}_dosegrid_rbe*.mha"))
            ),
        ),
    )


def _summary(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        summary = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise FormatError(f"{path} is not JSON: {error}; export the plan again") from error
    if not isinstance(summary, dict):
        raise FormatError(f"{path}: expected a JSON object, found {type(summary).__name__}; export the plan again")
    return summary


def _angles(summary: dict[str, Any], path: Path) -> list[float]:
    angles = summary.get("gantry", [])
    if not isinstance(angles, list) or not all(isinstance(a, int | float) and math.isfinite(a) for a in angles):
        raise FormatError(f"{path}: expected a list of gantry angles, found {angles!r}; export the plan again")
    return [float(angle) for angle in angles]


def _require_of_dose(summary: dict[str, Any], dose: Volume, path: Path) -> None:
    """Refuse a summary of another run: it lists shape, spacing and range of the dose."""
    try:
        listed = summary.get("quantities", {}).get("dosegrid_physical_dose")
        if not listed:
            return
        (nx, ny, nz), _, _, largest = listed
        shape, largest = (int(nx), int(ny), int(nz)), float(largest)
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise FormatError(
            f"{path}: expected shape, spacing, minimum and maximum of the dose under quantities: {error}; export the "
            "plan again"
        ) from error
    if tuple(shape) != dose.grid.shape or abs(float(dose.values.max()) - largest) > 1e-5 * abs(largest):
        raise FormatError(
            f"{path} is of a dose of shape {tuple(shape)} and maximum {largest:.6g}, the file holds {dose.grid.shape} "
            f"and {float(dose.values.max()):.6g}: they are of different runs; export the plan again"
        )
