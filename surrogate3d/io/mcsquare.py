"""Plans of MCsquare, as folders with `Dose.mhd` (or `Dose_Beam*.mhd`), `LET.mhd` and `CT.mhd`, in any case.

compute_scoring.c, compute_hadron.c and data_mhd.c of https://gitlab.com/openmcsquare/MCsquare. Dose is in eV/g per
simulated proton unless somebody scaled it, so it is in arbitrary scale. Older versions write no position at all.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, GeometryError
from surrogate3d.grid import Beam, Grid, LetDefinition, Volume, quantity
from surrogate3d.grid.geometry import IDENTITY
from surrogate3d.io.given import Given
from surrogate3d.io.images import image_notes, read_image
from surrogate3d.io.itk_images import data_file, has_position
from surrogate3d.io.plan_grids import PlanGrids, require_dose

LET_DEFINITION = LetDefinition(
    weighting="dose",
    particles="protons, primary and secondary, with deuterons and alphas where they were simulated",
    medium="local medium, linear: not divided by its density",
    restricted=False,
    max_scored_kev_um=None,
    source="MCsquare, sum dE S / sum dE with stopping power S; with dE / step for S if LET_Calculation_Method was "
    "DepositedEnergy, which the files do not state",
)
FRAME_NOTE = (
    "MCsquare itself counts x and y against those of the patient, from the corner of its CT; the position in the "
    "header is taken for that of an exporter, in LPS at the centre of the first voxel: compare with the CT"
)
SCALE_NOTE = "MCsquare writes dose in eV/g per simulated proton; it is taken in arbitrary scale"

MIN_KNOWN_DOSE = 0.99
"""Fraction of a voxel's dose that the beams with a LET must carry for a mean over beams."""


def mcsquare_doses(path: Path) -> tuple[Path, ...]:
    """Dose files in a folder: of the plan, or of its beams."""
    files = [file for file in path.glob("*.mhd") if file.stem.lower() == "dose" or _is_beam(file)]
    return tuple(sorted(files))


def read_mcsquare(path: Path, given: Given) -> PlanGrids:
    """Read the plan; arguments and errors as of `plans.read_plan`."""
    files = mcsquare_doses(path)
    if len(files) > 1 and not all(_is_beam(file) for file in files):
        raise FormatError(f"{path} holds {', '.join(f.name for f in files)}: keep the plan's or the beams', not both")
    doses = [_placed(file, "dose_to_medium", given) for file in files]
    for file, dose in zip(files, doses, strict=True):
        doses[0].grid.require_same(dose.grid, str(file))
        require_dose(dose.values, str(file))
    let_files = [found for file in files if (found := _named(path, "let" + file.stem[len("dose") :]))]
    if len(let_files) not in (0, len(files)):
        raise FormatError(f"{path} holds {len(files)} doses of beams, but {len(let_files)} LETs; keep all or none")
    LETs = [_placed(file, "LET_d", given) for file in let_files]
    for file, LET in zip(let_files, LETs, strict=True):
        doses[0].grid.require_same(LET.grid, str(file))
    ct = _named(path, "ct")
    HU = _placed(ct, "HU", given) if ct else None
    fits = HU is not None and HU.grid.shape == doses[0].grid.shape
    if HU is not None and fits:
        doses[0].grid.require_same(HU.grid, str(ct))
    headers = () if given.origin_mm else (FRAME_NOTE, *(note for file in files for note in image_notes(file)))
    return PlanGrids(
        name=path.name,
        system="MCsquare",
        dose=doses[0] if len(doses) == 1 else _sum(doses),
        LET=None if not LETs else LETs[0] if len(LETs) == 1 else _mean_over_beams(doses, LETs),
        LET_definition=LET_DEFINITION,
        files=(*files, *let_files, *((ct,) if ct and fits else ())),
        extra={"HU": HU} if HU is not None and fits else {},
        beams=tuple(Beam(name=file.stem) for file in files) if len(files) > 1 else (),
        beams_dose=tuple(dose.values for dose in doses) if len(files) > 1 else (),
        notes=(SCALE_NOTE, *headers, *((f"{ct.name} is not read: it is on another grid",) if ct and not fits else ())),
    )


def _is_beam(file: Path) -> bool:
    return file.stem.lower().startswith("dose_beam")


def _named(path: Path, stem: str) -> Path | None:
    return next((file for file in sorted(path.glob("*.mhd")) if file.stem.lower() == stem.lower()), None)


def _placed(file: Path, name: str, given: Given) -> Volume:
    """An image where its header says, or where the user says, who then says it for all."""
    values = data_file(file)
    if values is not None and values.stem.lower() != file.stem.lower() and _named(file.parent, values.stem):
        raise FormatError(
            f"{file} names {values.name}, which are the values of {values.stem}.mhd; correct its ElementDataFile"
        )
    image = read_image(file, quantity(name))
    if given.origin_mm is not None:
        grid = Grid(image.grid.shape, image.grid.spacing_mm, given.origin_mm, given.direction or IDENTITY)
        return Volume(grid, image.values, image.quantity)
    if not has_position(file):
        raise GeometryError(
            f"{file} does not say where it is (no Offset), as files of older MCsquare do not; give the centre of its "
            "first voxel and the direction of its axes (MCsquare counts x and y against those of the patient)"
        )
    return image


def _sum(doses: Sequence[Volume]) -> Volume:
    total = np.sum([dose.values for dose in doses], axis=0, dtype=float)
    return Volume(doses[0].grid, total, doses[0].quantity)


def _mean_over_beams(doses: Sequence[Volume], LETs: Sequence[Volume]) -> Volume:
    """Mean LET weighted by the beams' doses; 0 (not known) where beams without LET carry dose that matters."""
    dose, LET = (np.stack([volume.values for volume in volumes]).astype(float) for volumes in (doses, LETs))
    weight: npt.NDArray[np.float64] = np.where(LET == 0, 0.0, dose)
    known, total = weight.sum(axis=0), dose.sum(axis=0)
    mean = np.divide((weight * LET).sum(axis=0), known, out=np.zeros_like(known), where=known > 0)
    return Volume(LETs[0].grid, np.where(known >= MIN_KNOWN_DOSE * total, mean, 0.0), LETs[0].quantity)
