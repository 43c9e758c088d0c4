"""Predict the maps of a field and write them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surrogate3d.errors import UnknownNameError
from surrogate3d.grid import Field, VolumeSet
from surrogate3d.inference.curves import CurveMap, faulty, irradiated, predict_curves
from surrogate3d.inference.maps import Fractionation, derive_maps, wanted
from surrogate3d.inference.published import PUBLICATIONS, answered, predict_published, reduced_metadata
from surrogate3d.io.field_store import field_id, read_dose_field, read_field
from surrogate3d.io.images import write_maps
from surrogate3d.model.bundle import Surrogate, load_bundle
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.pipeline.map_summary import common, largest_dose_gy, refused, value_range
from surrogate3d.pipeline.models import resolve, shipped


@dataclass(frozen=True, eq=False)
class PredictedMaps:
    """Maps of one field with what they were made from.

    Attributes:
        volumes: by quantity name.
        curves: the survival curves behind them.
        seconds: wall time from the field in memory to the maps.
    """

    volumes: VolumeSet
    curves: CurveMap
    seconds: float


def predict(
    field: Field,
    surrogate: Surrogate,
    line: CellLine,
    fractionation: Fractionation,
    names: tuple[str, ...] | None = None,
) -> PredictedMaps:
    """Predict the maps of a field in memory; arguments as in `inference.maps.derive_maps`."""
    names = wanted(field, fractionation, names)
    start = time.perf_counter()
    curves = predict_curves(field, surrogate, line)
    volumes = derive_maps(curves, field, line, fractionation, names)
    return PredictedMaps(volumes, curves, time.perf_counter() - start)


def predict_by_name(
    path: Path,
    model: str,
    line: CellLine,
    fractionation: Fractionation,
    output: Path,
    formats: tuple[str, ...] = ("nifti",),
    names: tuple[str, ...] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Predict the maps of a field store by the model of a name, and write them.

    Args:
        path: the field store.
        model: name of a shipped bundle, else a path, else name of a published LET model (`PUBLICATIONS`).
        line: cell line.
        fractionation: fraction dose and number.
        output: directory of the maps.
        formats: of the maps, as of `write_maps`.
        names: which maps; None makes all that the field allows.
        overwrite: replace older maps.

    Returns:
        Summary as of `predict_store` or `predict_published_store`.

    Raises:
        UnknownNameError: there is no such model.
        QuantityError: the store has no spectra, and the model needs them.
    """
    if model not in shipped() and not Path(model).exists():
        if model not in PUBLICATIONS:
            raise UnknownNameError(
                f"no model bundle at {model}, nor a model of that name; shipped: {', '.join(shipped()) or 'none'}; "
                f"published, of LET_d: {', '.join(PUBLICATIONS)}; check the path or make a bundle with "
                "`surrogate3d train`"
            )
        return predict_published_store(path, model, line, fractionation, output, formats, names, overwrite)
    return predict_store(path, load_bundle(resolve(model)), line, fractionation, output, formats, names, overwrite)


def predict_store(
    path: Path,
    surrogate: Surrogate,
    line: CellLine,
    fractionation: Fractionation,
    output: Path,
    formats: tuple[str, ...] = ("nifti",),
    names: tuple[str, ...] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Predict the maps of a field store and write them.

    Returns:
        Summary with the ranges of the maps, what was refused and why, and the files.
    """
    field = read_field(path)
    maps = predict(field, surrogate, line, fractionation, names)
    about = metadata(field, field_id(path), surrogate, line, fractionation)
    files = write_maps(maps.volumes, output, formats, about, overwrite=overwrite)
    mask, strange = maps.curves.mask, maps.curves.out_of_domain
    return {
        **about,
        "files": [file.name for file in files],
        "output": output.name,
        "seconds": maps.seconds,
        "voxels_answered": int(mask.sum()),
        "voxels_out_of_domain": int(strange.sum()),
        "strangest": maps.curves.strangest,
        "voxels_with_faulty_spectrum": int((faulty(field) & irradiated(field)).sum()),
        "largest_dose_per_fraction_gy": largest_dose_gy(field, fractionation),
        "refused": refused(maps.volumes, field),
        "ranges": {name: value_range(volume.values[mask]) for name, volume in maps.volumes.items()},
    }


def predict_published_store(
    path: Path,
    model: str,
    line: CellLine,
    fractionation: Fractionation,
    output: Path,
    formats: tuple[str, ...] = ("nifti",),
    names: tuple[str, ...] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Predict the maps of a field store by a published LET model and write them; spectra are not used.

    Returns:
        Summary as of `predict_store`, with the model, its inputs, the LET definition and warnings.
    """
    field, start = read_dose_field(path), time.perf_counter()
    volumes = predict_published(field, model, line, fractionation, names)
    seconds = time.perf_counter() - start
    about = {**common(field, field_id(path), line, fractionation), **reduced_metadata(field, model, line)}
    files = write_maps(volumes, output, formats, about, overwrite=overwrite)
    mask = answered(field, model)
    return {
        **about,
        "bundle_id": None,
        "unexplained_dose": None,
        "files": [file.name for file in files],
        "output": output.name,
        "seconds": seconds,
        "voxels_answered": int(mask.sum()),
        "voxels_out_of_domain": 0,
        "strangest": "",
        "voxels_with_faulty_spectrum": 0,
        "largest_dose_per_fraction_gy": largest_dose_gy(field, fractionation),
        "refused": refused(volumes, field),
        "ranges": {name: value_range(volume.values[mask]) for name, volume in volumes.items()},
    }


def metadata(
    field: Field, name: str, surrogate: Surrogate, line: CellLine, fractionation: Fractionation
) -> dict[str, Any]:
    """What every map stands under, for sidecars and summaries."""
    return {
        **common(field, name, line, fractionation),
        "bundle_id": surrogate.bundle_id,
        "unexplained_dose": "dose that the spectra do not explain is taken to act like the dose that they do explain",
    }
