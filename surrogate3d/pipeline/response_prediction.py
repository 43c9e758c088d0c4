"""What a model says of a cohort's lesions, as a folder: whole or absent.

```
FOLDER/
  response.json                       everything in numbers and words
  response.csv                        the numbers of each lesion
  0001-PATIENT-LESION/                resistance, region and, with a dose, resistance on its grid (NIfTI)
  boost/0001-PATIENT/                 suggested regions of the lesions of one patient on one image
```
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import surrogate3d
from surrogate3d.errors import ConfigError, StoreError, Surrogate3dError, UnknownNameError, ValueRangeError
from surrogate3d.grid import Cohort, Lesion
from surrogate3d.io.atomic import atomic_directory
from surrogate3d.io.cohort import read_cohort
from surrogate3d.io.manifest import has_schema
from surrogate3d.pipeline.response_cohorts import cohort_sha256, require_channels
from surrogate3d.pipeline.response_layout import ABOUT, BOOST, SCHEMA, TABLE
from surrogate3d.pipeline.response_lesion import Asked, LesionAnswer, answer
from surrogate3d.pipeline.response_packages import GRADIENTS, NETWORK, require_packages
from surrogate3d.pipeline.response_table import write_table
from surrogate3d.pipeline.response_training import Steps, map_scale_of
from surrogate3d.response.activation import METHODS
from surrogate3d.response.boost import Boost
from surrogate3d.response.boost_files import NOT_FOR_TREATMENT, BoostOptions, by_image, write_boost
from surrogate3d.response.bundle import load_response
from surrogate3d.response.lesion_part import PhotonCurve
from surrogate3d.response.map_scale import RULES
from surrogate3d.response.model import ResponseModel


@dataclass(frozen=True, kw_only=True)
class ResponseRequest:
    """What is asked.

    Attributes:
        method: kind of map.
        photons: for survival from D_RBE.
        reference: a DICOM file of the one patient of the cohort, that the boost's structure set refers to.
        overwrite: replace an older prediction.
    """

    method: str = "hirescam"
    photons: PhotonCurve | None = None
    reference: Path | None = None
    overwrite: bool = False


def photon_curve(alpha_x: float | None, beta_x: float | None, fractions: int | None) -> PhotonCurve | None:
    """All three, or none.

    Raises:
        ConfigError: some are missing.
        ValueRangeError: impossible ones.
    """
    if alpha_x is None and beta_x is None and fractions is None:
        return None
    if alpha_x is None or beta_x is None or fractions is None:
        raise ConfigError("survival needs --alpha-x, --beta-x and --fractions together; give all three, or none")
    return PhotonCurve(alpha_x, beta_x, fractions)


def predict_cohort(
    bundle: Path, folder: Path, output: Path, asked: ResponseRequest, progress: Steps | None = None
) -> dict[str, Any]:
    """Ask a model about the lesions of a cohort, and write what it says.

    A lesion that the model cannot see is left out, with the reason.

    Args:
        bundle: the model.
        folder: the cohort.
        output: folder to write.
        asked: what.
        progress: told a stage, what of it is done, and the whole.

    Returns:
        The answer of `response predict` (docs/cli-json.md).

    Raises:
        UnknownNameError: no such kind of map.
        BundleError: no usable model of response.
        QuantityError: lesions lack a channel of the model.
        ConfigError: a reference, and several patients.
        ValueRangeError: no lesion can be seen.
        StoreError: as of `read_cohort`; `output` exists and is not to be, or must not be, replaced.
    """
    start = time.perf_counter()
    if asked.method not in METHODS:
        raise UnknownNameError(f"unknown map {asked.method!r}; known: {', '.join(METHODS)}")
    slow = asked.method == "integrated-gradients"
    require_packages((*NETWORK, *(GRADIENTS if slow else ())), "response predict")
    if asked.overwrite and output.exists() and not has_schema(output / ABOUT, SCHEMA):
        raise StoreError(f"{output} exists and is no prediction of response, so it is not replaced; name another")
    model = load_response(bundle)
    told = progress or (lambda stage, done, whole: None)
    cohort = read_cohort(folder, shrinkage=model.config.shrinkage, progress=partial(told, "reading"))
    require_channels(cohort, model.config.channels)
    _require_one_patient(cohort, asked.reference)
    with atomic_directory(output, asked.overwrite) as scratch:
        rows, left_out, notes = _write_lesions(model, cohort, asked, scratch, partial(told, "predicting"))
        about = {
            **_about(model, bundle, folder, cohort, asked),
            "lesions": rows,
            "left_out": left_out,
            "notes": [*cohort.notes, *notes, *_doubts(model, asked.method)],
        }
        (scratch / ABOUT).write_text(json.dumps(about, indent=1, allow_nan=False) + "\n", encoding="utf-8")
        write_table(scratch / TABLE, rows)
    return {"output": output, **about, "seconds": time.perf_counter() - start}


def _about(model: ResponseModel, bundle: Path, folder: Path, cohort: Cohort, asked: ResponseRequest) -> dict[str, Any]:
    """What all of the prediction stands under."""
    scale, found = map_scale_of(model, asked.method)
    photons = asked.photons
    spacing = model.config.spacing_mm
    return {
        "schema": SCHEMA,
        "research_only": NOT_FOR_TREATMENT,
        "surrogate3d_version": surrogate3d.__version__,
        "model": {
            "path": str(bundle),
            "bundle_id": model.bundle_id,
            "members": len(model.networks),
            **{key: model.training.get(key) for key in ("seed", "config", "lesions", "patients", "responded")},
            "judgement": model.training.get("judgement"),
        },
        "cohort": {"path": str(folder), "sha256": cohort_sha256(cohort)},
        "map": {
            "method": asked.method,
            "unit": f"log odds of no response per voxel of {spacing:g} mm, interpolated",
            "threshold": scale.threshold,
            "smoothed_voxels": scale.sigma,
            "rule": f"{scale.rule}: {RULES[scale.rule]}",
            "threshold_is": found,
        },
        "photons": None
        if photons is None
        else {"alpha_x": photons.alpha_x, "beta_x": photons.beta_x, "fractions": photons.fractions},
    }


def _doubts(model: ResponseModel, method: str) -> list[str]:
    """What a reader of the regions must know of their threshold."""
    threshold = map_scale_of(model, method)[0].threshold
    if threshold > 0:
        return []
    return [
        f"the threshold of the {method} maps is {threshold:.3g}: regions reach to voxels that speak for a response, so "
        "these maps tell little about where a lesion resists"
    ]


def _write_lesions(
    model: ResponseModel,
    cohort: Cohort,
    asked: ResponseRequest,
    scratch: Path,
    progress: Callable[[int, int], None],
) -> tuple[list[dict[str, Any]], list[dict[str, str]], list[str]]:
    """Files of all lesions: what to say of each, who was left out and why, and notes about boost regions."""
    how = Asked(asked.method, map_scale_of(model, asked.method)[0], asked.photons)
    rows, left_out, notes = list[dict[str, Any]](), list[dict[str, str]](), list[str]()
    numbered = list(enumerate(cohort, start=1))
    for patient in dict.fromkeys(cohort.patients.tolist()):  # one by one, as regions on whole images are large
        own = dict[str, dict[str, Any]]()
        boosts = list[Boost]()
        for number, lesion in ((n, each) for n, each in numbered if each.patient == patient):
            try:
                found = answer(model, lesion, how)
            except Surrogate3dError as error:
                left_out.append({"patient": patient, "lesion": lesion.lesion, "reason": str(error)})
            else:
                own[lesion.lesion] = _written(found, number, scratch)
                boosts.append(found.boost)
            progress(len(rows) + len(own) + len(left_out), len(cohort))
        notes += _write_boosts(boosts, own, scratch, asked.reference)
        rows += own.values()
    if not rows:
        raise ValueRangeError(f"none of {len(cohort)} lesions can be predicted; the first: {left_out[0]['reason']}")
    return sorted(rows, key=lambda row: row["number"]), left_out, notes


def _written(found: LesionAnswer, number: int, scratch: Path) -> dict[str, Any]:
    """What to say of a lesion whose images are written."""
    name = f"{number:04d}-{_plain(found.lesion)}"
    return {"number": number, "folder": name, "files": found.write(scratch / name), **found.to_json()}


def _write_boosts(
    boosts: Sequence[Boost], rows: Mapping[str, dict[str, Any]], scratch: Path, reference: Path | None
) -> list[str]:
    """Write the regions of one patient, enter their folders in the rows, and say what could not be."""
    notes = []
    for group in by_image(boosts):
        first = rows[group[0].lesion]
        name = f"{BOOST}/{first['number']:04d}-{_word(first['patient'])}"
        try:
            said = write_boost(group, scratch / name, BoostOptions(reference=reference))["notes"]
        except Surrogate3dError as error:
            if reference is not None:
                raise  # the user has asked for it
            notes.append(f"no boost regions of patient {first['patient']} were written: {error}")
            continue
        notes += [f"patient {first['patient']}: {each}" for each in said]
        for each in group:
            rows[each.lesion]["boost"]["folder"] = name
    return notes


def _require_one_patient(cohort: Cohort, reference: Path | None) -> None:
    patients = set(cohort.patients.tolist())
    if reference is not None and len(patients) > 1:
        raise ConfigError(
            f"--reference {reference} is a file of one patient, and the cohort has {len(patients)}; predict a cohort "
            "of that patient, or leave --reference out"
        )


def _plain(lesion: Lesion) -> str:
    return f"{_word(lesion.patient)}-{_word(lesion.lesion)}"


def _word(name: str) -> str:
    """Of a file's name, whatever the patient is called."""
    return re.sub(r"[^A-Za-z0-9]+", "_", name)[:40]
