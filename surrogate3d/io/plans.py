"""Dose and LET of planning systems, without spectra: folders of pyRadPlan and of MCsquare.

What the files do not say is asked for: the beam's particle, and the medium of the dose. What they cannot say about LET
stands in its `LetDefinition`.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np

from surrogate3d.errors import FormatError, GeometryError, QuantityError, StoreError
from surrogate3d.grid import DoseField, Volume, VolumeSet, quantity
from surrogate3d.io.given import Given
from surrogate3d.io.itk_images import data_file
from surrogate3d.io.manifest import sha256_file
from surrogate3d.io.mcsquare import mcsquare_doses, read_mcsquare
from surrogate3d.io.plan_grids import PlanGrids, known_LET, require_dose
from surrogate3d.io.pyradplan import pyradplan_names, read_pyradplan

PlanSystem = Literal["pyradplan", "mcsquare"]
PRIMARIES = ("H", "He", "C")
DOSE_MEDIA = ("water", "medium")


def recognise_plan(path: str | Path) -> PlanSystem | None:
    """Which planning system wrote a folder; None when it is of neither.

    Raises:
        FormatError: it holds doses of both.
    """
    pyradplan, mcsquare = pyradplan_names(Path(path)), mcsquare_doses(Path(path))
    if pyradplan and mcsquare:
        raise FormatError(f"{path} holds doses of pyRadPlan and of MCsquare; keep each plan in a folder of its own")
    return "pyradplan" if pyradplan else "mcsquare" if mcsquare else None


def read_plan(
    path: str | Path,
    *,
    primary: str | None = None,
    dose_medium: str | None = None,
    name: str | None = None,
    given: Given | None = None,
) -> DoseField:
    """Read dose and LET of a planning system.

    Args:
        path: folder of the plan.
        primary: species of the beam's particles, one of `PRIMARIES`; may be left out where the files say it.
        dose_medium: whether the dose is to "water" or to the "medium" of each voxel.
        name: which plan, where a folder of pyRadPlan holds several.
        given: `origin_mm` and `direction` of the grid, for an MCsquare output without a position.

    Returns:
        The field: dose, `LET_d` where the plan has it (NaN where there is no dose or no LET), `HU` where an MCsquare CT
        lies on the same grid. The dose of pyRadPlan is taken in Gy, that of MCsquare in arbitrary scale. The provenance
        holds the files with SHA-256, and under "notes" what was taken for granted.

    Raises:
        StoreError: there is no such folder, or no such plan in it.
        FormatError: the folder is of neither system, or its files do not belong together.
        QuantityError: particle or medium are not known, or contradict the files; or there are several plans.
        GeometryError: the position is not known, or given although the files say it.
        GridMismatchError: dose and LET lie on different grids.
        ValueRangeError: a dose or LET is negative or not finite.
    """
    path, given = Path(path), given or Given()
    if not path.is_dir():
        raise StoreError(f"no folder at {path}; give the folder of a plan")
    system = recognise_plan(path)
    if system is None:
        raise FormatError(
            f"{path} holds neither a dose of pyRadPlan (NAME_dosegrid_physical_dose.mha) nor of MCsquare (Dose.mhd, "
            "Dose_Beam*.mhd); check the folder"
        )
    if dose_medium not in DOSE_MEDIA:
        raise QuantityError(
            f"{path} does not say whether its dose is to water or to medium; give --medium water or medium"
        )
    if system == "pyradplan" and given.origin_mm is not None:
        raise GeometryError(f"{path}: pyRadPlan's files say where the grid is; leave the origin out")
    if system == "mcsquare" and name is not None:
        raise QuantityError(f"{path} is a folder of MCsquare, which holds one plan; leave the name {name!r} out")
    plan = read_pyradplan(path, name) if system == "pyradplan" else read_mcsquare(path, given)
    species = _primary(primary, plan.primary, path)
    return _field(
        plan, species, f"dose_to_{dose_medium}", {"primary": primary, "dose_medium": dose_medium, **_place(given)}
    )


def _field(plan: PlanGrids, primary: str, dose_name: str, answers: dict[str, Any]) -> DoseField:
    grid, dose = plan.dose.grid, plan.dose.values
    require_dose(dose, f"dose of {plan.name}")
    volumes, notes = {dose_name: Volume(grid, dose, quantity(dose_name)), **plan.extra}, plan.notes
    if plan.LET is not None:
        grid.require_same(plan.LET.grid, f"LET of {plan.name}")
        if np.array_equal(plan.LET.values, dose):
            raise FormatError(f"{plan.name}: the values of LET are those of the dose, so one was copied over the other")
        LET, remarks = known_LET(dose, plan.LET.values, f"LET of {plan.name}")
        volumes["LET_d"], notes = Volume(grid, LET, quantity("LET_d")), (*notes, *remarks)
    files = [
        {"name": file.name, "bytes": file.stat().st_size, "sha256": sha256_file(file)} for file in _with_data(plan)
    ]
    return DoseField(
        grid=grid,
        volumes=VolumeSet(grid, volumes),
        primary=primary,
        beams=plan.beams,
        beams_dose=plan.beams_dose,
        let_definitions={} if plan.LET is None else {"LET_d": plan.LET_definition},
        prescription=plan.prescription,
        provenance={
            "surrogate3d_version": version("surrogate3d"),
            "runs": [{"name": plan.name, "planning_system": plan.system, "files": files}],
            "given": answers,
            "notes": list(notes),
        },
    )


def _primary(given: str | None, said: str | None, path: Path) -> str:
    if given is not None and said is not None and given != said:
        raise QuantityError(f"{path} is a plan of {said}, found {given} given; leave it out")
    primary = given or said
    if primary not in PRIMARIES:
        found = "nothing" if primary is None else repr(primary)
        raise QuantityError(
            f"{path} does not say which particles the beam is of; give --radiation with one of "
            f"{', '.join(PRIMARIES)}, found {found}"
        )
    return primary


def _place(given: Given) -> dict[str, Any]:
    if given.origin_mm is None:
        return {}
    return {"origin_mm": list(given.origin_mm), "direction": [list(row) for row in given.direction or ()]}


def _with_data(plan: PlanGrids) -> list[Path]:
    """The files that were read, and the data files that their headers name."""
    values = [data_file(file) for file in plan.files if file.suffix in (".mha", ".mhd")]
    return [*plan.files, *(file for file in values if file is not None)]
