"""What a model of response says of one lesion: probability, map, region, what the region got, suggested boost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, Surrogate3dError
from surrogate3d.grid import DELIVERED, Cohort, Lesion, Volume, quantity
from surrogate3d.grid.carry import carried
from surrogate3d.io.label_image import write_labels
from surrogate3d.io.nifti import write_nifti
from surrogate3d.pipeline.response_cohorts import lesion_sha256
from surrogate3d.pipeline.response_layout import ON_DOSE, REGION, RESISTANCE
from surrogate3d.response.boost import Boost, related_region, suggested_boost
from surrogate3d.response.boost_files import RESEARCH_ONLY
from surrogate3d.response.delivered import Delivered, delivered
from surrogate3d.response.lesion_part import PhotonCurve, plain
from surrogate3d.response.map_scale import MapScale
from surrogate3d.response.model import ResponseModel
from surrogate3d.response.patches import back_to_image, patches

_MARKED = replace(quantity("resistance"), symbol=f"r, {RESEARCH_ONLY}")  # as the file says what it holds

_EXPECTED = "the model expects a response; the region is what speaks most against it"
_NO_DOSE = "neither dose nor D_RBE is known, so there is nothing to compare"


@dataclass(frozen=True)
class Asked:
    """How maps become regions and numbers.

    Attributes:
        method: kind of map, of `activation.METHODS`.
        scale: what makes a region of it.
        photons: for survival from D_RBE; None without.
    """

    method: str
    scale: MapScale
    photons: PhotonCurve | None


@dataclass(frozen=True, eq=False)
class LesionAnswer:
    """One lesion.

    Attributes:
        lesion: as it was read.
        responded: 1, 0 or NaN.
        probability: of response.
        logit: calibrated log odds of no response.
        spread: its standard deviation between the members.
        resistance: on the image's grid; NaN outside the cube that the model sees.
        on_dose: the same on the grid of the dose; None without one.
        region: (i, j, k) the response-related region.
        delivered: to the region and to the rest; None without a dose.
        boost: what is suggested.
        notes: in sentences.
    """

    lesion: Lesion
    responded: float
    probability: float
    logit: float
    spread: float
    resistance: Volume
    on_dose: Volume | None
    region: npt.NDArray[np.bool_]
    delivered: Delivered | None
    boost: Boost
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data of standard JSON; null for what is not known."""
        simple = ("responded", "probability", "logit", "spread")
        suggestion = {"volume_cm3": self.boost.volume_cm3, "parts_cm3": list(self.boost.parts_cm3)}
        return {
            "patient": self.lesion.patient,
            "lesion": self.lesion.lesion,
            "sha256": lesion_sha256(self.lesion),
            **{name: plain(getattr(self, name)) for name in simple},
            "volume_change": plain(self.lesion.volume_change),
            "volume_cm3": self.lesion.volume_mm3 / 1000,
            "region_cm3": float(self.region.sum()) * self.lesion.image.grid.voxel_volume_mm3 / 1000,
            "delivered": None if self.delivered is None else self.delivered.to_json(),
            "boost": {**suggestion, "notes": list(self.boost.notes), "folder": None},
            "notes": list(self.notes),
        }

    def write(self, folder: Path) -> dict[str, str]:
        """Write the images into a new folder; their names by what they are."""
        folder.mkdir()
        write_nifti(self.resistance, folder / RESISTANCE)
        label = f"{RESEARCH_ONLY}: response-related region"
        write_labels(self.region.astype(np.uint8), self.lesion.image.grid, folder / REGION, label)
        files = {"resistance": RESISTANCE, "region": REGION}
        if self.on_dose is None:
            return files
        write_nifti(self.on_dose, folder / ON_DOSE)
        return {**files, "resistance_on_dose": ON_DOSE}


def answer(model: ResponseModel, lesion: Lesion, asked: Asked) -> LesionAnswer:
    """Ask a model about one lesion.

    Raises:
        Surrogate3dError: the model cannot see the lesion; says why.
    """
    config, alone = model.config, Cohort([lesion])
    cube = patches(alone, config.channels, size=config.size, spacing_mm=config.spacing_mm)
    said = model.predict(cube)
    values = model.maps(cube, asked.method)
    image = lesion.image.grid
    resistance = back_to_image(values[0], cube.grids[0], image)
    scaled = back_to_image(asked.scale(values, cube.inside)[0], cube.grids[0], image)
    region = related_region(lesion, scaled, asked.scale.threshold)
    got, notes = _delivered(lesion, region, asked.photons)
    on_dose, more = _on_dose(lesion, resistance)
    probability = float(said.probability[0])
    return LesionAnswer(
        lesion=lesion,
        responded=float(alone.responded(config.shrinkage)[0]),
        probability=probability,
        logit=float(said.logit[0]),
        spread=float(said.spread[0]),
        resistance=Volume(image, resistance.astype(np.float32), _MARKED),
        on_dose=on_dose,
        region=region,
        delivered=got,
        boost=suggested_boost(lesion, scaled, asked.scale.threshold),
        notes=(*notes, *more, *([_EXPECTED] if probability > 0.5 else [])),
    )


def _delivered(
    lesion: Lesion, region: npt.NDArray[np.bool_], photons: PhotonCurve | None
) -> tuple[Delivered | None, list[str]]:
    """What region and rest got, and why not."""
    if not {"dose", "D_RBE"} & set(lesion.delivered):
        return None, [_NO_DOSE]
    try:
        return delivered(lesion, region, photons), []
    except Surrogate3dError as error:
        return None, [str(error).removeprefix(f"{lesion.name}: ")]


def _on_dose(lesion: Lesion, resistance: npt.NDArray[np.float64]) -> tuple[Volume | None, list[str]]:
    """The map where the dose lies, through the stated transform, and why not."""
    name = _dose_of(lesion.delivered)
    if name is None:
        return None, []
    target = lesion.delivered[name].grid
    try:
        values = carried(resistance, lesion.image.grid, target, lesion.image_to_dose)
    except GridMismatchError as error:
        return None, [f"no map on the grid of {name}: {error}"]
    return Volume(target, values.astype(np.float32), _MARKED), []


def _dose_of(volumes: Mapping[str, Volume]) -> str | None:
    """The first that there is."""
    return next((name for name in DELIVERED if name in volumes), None)
