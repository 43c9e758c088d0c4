"""Suggested boost regions of a patient as files: a label image, a DICOM structure set, and what they say in words."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, GridMismatchError, StoreError, UnsupportedError, ValueRangeError
from surrogate3d.grid import quantity
from surrogate3d.io.atomic import atomic_directory
from surrogate3d.io.dicom_reference import read_reference
from surrogate3d.io.dicom_referenced_series import referenced_series
from surrogate3d.io.dicom_structures_write import Roi, RtStructOptions, write_rtstruct
from surrogate3d.io.label_image import write_labels
from surrogate3d.io.manifest import has_schema
from surrogate3d.io.nifti import read_nifti
from surrogate3d.response.boost import NO_REGION, Boost

BOOST_SCHEMA = "surrogate3d.boost/1"

RESEARCH_ONLY = "RESEARCH ONLY"
NOT_FOR_TREATMENT = "research only, not for treatment"

LONGEST_NAME = 64 - len(" part 99")
"""Characters of the name of a region: DICOM has 64, and parts are numbered."""


@dataclass(frozen=True, kw_only=True)
class BoostOptions:
    """Where files are to belong.

    Attributes:
        reference: a DICOM file of the patient in the frame of reference of the image, best a slice of it; None makes
            an anonymous patient.
        seed: makes the UIDs reproducible, together with `when`.
        when: time of writing; None is now.
        overwrite: replace a folder that was written by this function.
    """

    reference: str | Path | None = None
    seed: str | None = None
    when: datetime | None = None
    overwrite: bool = False


def write_boost(boosts: Sequence[Boost], folder: str | Path, options: BoostOptions | None = None) -> dict[str, Any]:
    """Write the regions of one patient's lesions on one image into a new folder, whole or not at all.

    `boost.nii.gz` holds labels from 1 in the order given; `boost.dcm` the same regions as an unapproved RT Structure
    Set, where there are any and the image is axial; `boost.json` what each label means, and notes.

    Args:
        boosts: of one patient, on one grid; see `by_image`.
        folder: to be made.
        options: reference and identity.

    Returns:
        What `boost.json` says.

    Raises:
        ValueRangeError: no lesion, more than 255, several patients, or regions that share voxels.
        GridMismatchError: images on different grids.
        StoreError, FormatError, GeometryError, QuantityError: as `read_reference` and `write_rtstruct`; or the folder
            exists and is not to be, or must not be, replaced.
    """
    folder, options = Path(folder), options or BoostOptions()
    if options.overwrite and folder.exists() and not has_schema(folder / "boost.json", BOOST_SCHEMA):
        raise StoreError(f"{folder} exists and holds no boost regions of ours, so it is not replaced; name another")
    labels = _labels(boosts)
    with atomic_directory(folder, options.overwrite) as scratch:
        write_labels(labels, boosts[0].grid, scratch / "boost.nii.gz", f"{RESEARCH_ONLY}: boost regions by lesion")
        structures, notes = _structures(boosts, scratch / "boost.dcm", options)
        about = _about(boosts, structures, notes)
        (scratch / "boost.json").write_text(json.dumps(about, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    return about


def read_boost(folder: str | Path, lesion: str) -> npt.NDArray[np.bool_]:
    """Voxels that were suggested for a lesion, from the files of `write_boost`.

    Args:
        folder: that was written.
        lesion: its name.

    Returns:
        (i, j, k) on the grid of the image; none is true where nothing was suggested.

    Raises:
        FormatError: a file is missing or damaged, or says nothing of the lesion.
    """
    about, image = Path(folder) / "boost.json", Path(folder) / "boost.nii.gz"
    try:
        labels = {each["lesion"]: each["label"] for each in json.loads(about.read_text(encoding="utf-8"))["labels"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FormatError(f"{about} does not say what the labels of {image} mean: {error}") from error
    if lesion not in labels:
        raise FormatError(f"{about} says nothing of lesion {lesion}, only of {', '.join(labels)}")
    return np.asarray(read_nifti(image, quantity("image_signal")).values == labels[lesion])


def by_image(boosts: Sequence[Boost]) -> list[list[Boost]]:
    """Groups of one patient on one grid each, in order of first appearance: what `write_boost` takes."""
    groups: dict[tuple[str, str], list[Boost]] = {}
    for each in boosts:
        groups.setdefault((each.patient, str(each.grid)), []).append(each)
    return list(groups.values())


def _labels(boosts: Sequence[Boost]) -> npt.NDArray[np.uint8]:
    if not 1 <= len(boosts) <= 255:
        raise ValueRangeError(f"a label image holds 1 to 255 lesions, found {len(boosts)}; write them apart")
    first = boosts[0]
    labels = np.zeros(first.grid.shape, dtype=np.uint8)
    for number, each in enumerate(boosts, start=1):
        what = f"patient {each.patient}, lesion {each.lesion}"
        if each.patient != first.patient:
            raise ValueRangeError(f"{what}: found among those of patient {first.patient}; write it apart")
        if each.grid != first.grid:
            raise GridMismatchError(f"{what}: its image is not on the grid of lesion {first.lesion}; write it apart")
        shared = labels[each.region].max(initial=0)
        if shared:
            raise ValueRangeError(
                f"{what}: its region shares voxels with that of lesion {boosts[shared - 1].lesion}; check the masks"
            )
        labels[each.region] = number
    return labels


def _structures(boosts: Sequence[Boost], path: Path, options: BoostOptions) -> tuple[dict[str, Any] | None, list[str]]:
    """What was written as DICOM, None where nothing could be, and why."""
    suggested = [(number, each) for number, each in enumerate(boosts, start=1) if each.region.any()]
    if not suggested:
        return None, [f"{NO_REGION} in any lesion, so there is no structure set"]
    rois = [Roi(_name(each, number), each.region, NOT_FOR_TREATMENT) for number, each in suggested]
    reference = options.reference
    how = RtStructOptions(
        reference=read_reference(reference),
        series=None if reference is None else referenced_series(reference),
        label=RESEARCH_ONLY,
        description=f"surrogate3d boost, {NOT_FOR_TREATMENT}",
        seed=options.seed,
        when=options.when,
    )
    try:
        return write_rtstruct(rois, boosts[0].grid, path, how), []
    except UnsupportedError as error:
        return None, [f"no structure set: {str(error).removeprefix(f'{path.name}: ')}"]


def _name(boost: Boost, number: int) -> str:
    """With patient and lesion where DICOM has room for them; else the label, which `boost.json` explains."""
    name = f"{RESEARCH_ONLY} boost {boost.patient} {boost.lesion}"
    fits = len(name) <= LONGEST_NAME and name.isprintable() and "\\" not in name
    return name if fits else f"{RESEARCH_ONLY} boost label {number}"


def _about(boosts: Sequence[Boost], structures: dict[str, Any] | None, notes: list[str]) -> dict[str, Any]:
    return {
        "schema": BOOST_SCHEMA,
        "research_only": NOT_FOR_TREATMENT,
        "patient": boosts[0].patient,
        "grid": boosts[0].grid.to_json(),
        "labels": [_legend(number, each) for number, each in enumerate(boosts, start=1)],
        "files": ["boost.nii.gz", *(["boost.dcm"] if structures else []), "boost.json"],
        "rtstruct": structures,
        "notes": notes,
    }


def _legend(number: int, boost: Boost) -> dict[str, Any]:
    return {
        "label": number,
        "lesion": boost.lesion,
        "suggested": bool(boost.region.any()),
        "volume_cm3": boost.volume_cm3,
        "lesion_cm3": boost.lesion_cm3,
        "parts_cm3": list(boost.parts_cm3),
        "threshold": boost.threshold,
        "notes": list(boost.notes),
    }
