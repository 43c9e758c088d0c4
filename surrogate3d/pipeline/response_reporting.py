"""The page of a prediction of response: what was written, and the images of the cohort that it was made of."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, GridMismatchError, StoreError, UnknownNameError
from surrogate3d.grid import Cohort, Lesion, Volume, quantity
from surrogate3d.grid.carry import carried
from surrogate3d.io.cohort import read_cohort
from surrogate3d.io.manifest import has_schema
from surrogate3d.io.nifti import read_nifti
from surrogate3d.pipeline.response_cohorts import lesion_sha256
from surrogate3d.pipeline.response_layout import ABOUT, REGION, RESISTANCE, SCHEMA
from surrogate3d.pipeline.response_scores import approaches, facts, map_methods
from surrogate3d.report.response_content import LesionPage, ResponseReport
from surrogate3d.report.response_document import write_response_report
from surrogate3d.response.boost_files import read_boost
from surrogate3d.response.normalisation import cropped, with_margin

Steps = Callable[[str, int, int], None]
_Value = TypeVar("_Value", bound=np.generic)

MARGIN_MM = 12.0
"""Of the image about a lesion that the page gets."""

_KEPT = ("schema", "research_only", "surrogate3d_version", "model", "cohort", "map", "photons")


def report_prediction(
    folder: Path,
    output: Path,
    *,
    cohort: Path | None = None,
    overwrite: bool = False,
    progress: Steps | None = None,
) -> dict[str, Any]:
    """Write the page of a prediction.

    Args:
        folder: what `response predict` wrote.
        output: the page.
        cohort: where the cohort is now; None: where it was.
        overwrite: replace an older page.
        progress: told a stage, what of it is done, and the whole.

    Returns:
        The answer of `response report` (docs/cli-json.md).

    Raises:
        StoreError: no such prediction or cohort, or `output` exists.
        FormatError: the prediction is damaged.
        UnknownNameError: a predicted lesion is not in the cohort, or no longer what it was.
    """
    about = _read(folder)
    source = Path(about["cohort"]["path"]) if cohort is None else cohort
    if not source.is_dir():
        raise StoreError(f"the cohort of {folder} is no longer at {source}; say where it is with --cohort")
    lesions = _named(read_cohort(source, shrinkage=about["model"]["config"]["shrinkage"]))
    pages = []
    for done, row in enumerate(about["lesions"], start=1):
        pages.append(_page(_same(lesions, row, source), row, folder))
        if progress is not None:
            progress("lesions", done, len(about["lesions"]))
    judged = about["model"]["judgement"]
    content = ResponseReport(
        title="Response of lesions and their subregions",
        facts=facts(about),
        methods=approaches(judged),
        localisation=map_methods(judged, about["map"]["method"]),
        lesions=tuple(pages),
        notes=tuple(_notes(about)),
        provenance={name: about[name] for name in _KEPT if name != "model"} | {"model": _short(about["model"])},
        map_name=f"{about['map']['method']}, mean of {about['model']['members']} networks",
        intervals="95 % intervals: of accuracy and pointing Wilson's, which take lesions as independent; else from a "
        "bootstrap of whole patients",
    )
    write_response_report(content, output, overwrite)
    return {"output": output, "folder": folder, "lesions": len(pages), "bundle_id": about["model"]["bundle_id"]}


def _read(folder: Path) -> dict[str, Any]:
    if not has_schema(folder / ABOUT, SCHEMA):
        raise StoreError(f"{folder} is no prediction of response; make one with `surrogate3d response predict`")
    data: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    if data["schema"] != SCHEMA:
        raise FormatError(f"{folder / ABOUT} has schema {data['schema']}, expected {SCHEMA}; predict again")
    return data


def _named(cohort: Cohort) -> dict[tuple[str, str], Lesion]:
    return {(each.patient, each.lesion): each for each in cohort}


def _same(lesions: Mapping[tuple[str, str], Lesion], row: Mapping[str, Any], source: Path) -> Lesion:
    """The lesion that was predicted."""
    lesion = lesions.get((row["patient"], row["lesion"]))
    if lesion is None:
        raise UnknownNameError(
            f"patient {row['patient']}, lesion {row['lesion']}, was predicted, but is not in {source}; name the cohort "
            "with --cohort, or predict again"
        )
    if lesion_sha256(lesion) != row["sha256"]:
        raise UnknownNameError(
            f"{lesion.name}: its image, mask, dose or outcome in {source} is not what was predicted; predict again"
        )
    return lesion


def _page(lesion: Lesion, row: Mapping[str, Any], folder: Path) -> LesionPage:
    box = with_margin(lesion.mask, lesion.image.grid, MARGIN_MM)
    near = cropped(lesion, MARGIN_MM)
    files = folder / row["folder"]
    spread = row["spread"]
    return LesionPage(
        name=lesion.name,
        responded=math.nan if row["responded"] is None else row["responded"],
        probability=row["probability"],
        spread=math.nan if spread is None else spread,
        image=near.image,
        mask=near.mask,
        resistance=_values(files / RESISTANCE, lesion)[box].astype(np.float64),
        region=_values(files / REGION, lesion)[box] > 0,
        truth=near.truth,
        delivered=_on_image(near),
        delivered_numbers=row["delivered"] or {},
        boost=_boost(row["boost"]),
        boost_region=_boost_region(lesion, row["boost"], folder, box),
    )


def _values(path: Path, lesion: Lesion) -> np.ndarray[Any, np.dtype[np.floating]]:
    """(i, j, k) of a file on the image's grid."""
    return _as_image(read_nifti(path, quantity("resistance")).values, lesion, path)


def _as_image(values: npt.NDArray[_Value], lesion: Lesion, path: Path) -> npt.NDArray[_Value]:
    """The values, as they have the shape of the image."""
    if values.shape != lesion.mask.shape:
        raise FormatError(f"{path} has shape {values.shape}, the image {lesion.mask.shape}; predict again")
    return values


def _on_image(lesion: Lesion) -> dict[str, Volume]:
    """What was delivered, carried to the image through the stated transform; not what lies elsewhere altogether."""
    back = None if lesion.image_to_dose is None else np.linalg.inv(lesion.image_to_dose)
    found = {}
    for name, volume in lesion.delivered.items():
        try:
            values = carried(volume.values, volume.grid, lesion.image.grid, back)
        except GridMismatchError:  # the numbers of the lesion have said so
            continue
        found[name] = Volume(lesion.image.grid, values.astype(np.float32), volume.quantity)
    return found


def _boost_region(
    lesion: Lesion, said: Mapping[str, Any], folder: Path, box: tuple[slice, ...]
) -> npt.NDArray[np.bool_] | None:
    """Voxels of the box that are suggested, as the file for the planning system has them."""
    if said["folder"] is None:
        return None
    found = read_boost(folder / said["folder"], lesion.lesion)
    return _as_image(found, lesion, folder / said["folder"])[box] if found.any() else None


def _boost(said: Mapping[str, Any]) -> str:
    notes = "; ".join(said["notes"])
    if not said["volume_cm3"]:
        return notes
    parts = f"{said['volume_cm3']:.2f} cm3 in {len(said['parts_cm3'])} part(s)"
    return f"{parts}; {notes}" if notes else parts


def _notes(about: Mapping[str, Any]) -> Iterator[str]:
    yield from about["notes"]
    for each in about["left_out"]:
        yield f"left out: {each['reason']}"
    for row in about["lesions"]:
        for note in row["notes"]:  # those on what was delivered stand with the lesion
            yield f"patient {row['patient']}, lesion {row['lesion']}: {note}"
    judged = about["model"]["judgement"]
    yield from () if judged is None else judged["notes"]


def _short(model: Mapping[str, Any]) -> dict[str, Any]:
    """Without the scores, which have tables of their own."""
    return {name: value for name, value in model.items() if name != "judgement"}
