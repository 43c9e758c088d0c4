"""All structures of a patient on the grid of the maps; what cannot be laid there is named, and the rest goes on.

A structure that encloses nothing or lies elsewhere is no reason to refuse a comparison, as structure sets hold points
of reference and organs far from the beam. It is no reason to be silent, either.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, GeometryError, StoreError, Surrogate3dError, UnknownNameError
from surrogate3d.grid import Grid
from surrogate3d.pipeline.any_map import IMAGES
from surrogate3d.pipeline.cell_line_assignment import fractions_of
from surrogate3d.pipeline.dicom_files import MASKS_SCHEMA
from surrogate3d.validation.problems import Problem

Fractions = npt.NDArray[np.float32]
Found = tuple[dict[str, Fractions], tuple[Problem, ...]]

MASKS_JSON = "masks.json"
WHOLE = 1e-6
"""A smaller part of a structure outside the grid is rounding."""


def structures_on(source: Path | None, grid: Grid, names: Sequence[str] | None = None, frame: str = "") -> Found:
    """Lay structures on the grid of the maps.

    Args:
        source: an RT Structure Set, a folder that `surrogate3d dicom masks` wrote, another folder of mask images, or
            one mask image; None has no structures. Images must be on the grid.
        grid: of the maps.
        names: which structures; all if not given. Case and outer blanks do not matter.
        frame: UID of the frame of reference of the grid; empty where it is not known.

    Returns:
        (i, j, k) fraction of each voxel that is inside, by name; and a problem for every structure that encloses
        nothing, lies outside the grid, wholly or in part, or cannot be laid on it. Only those with a voxel on the
        grid have fractions.

    Raises:
        UnknownNameError: one of `names` is not in the source.
        GridMismatchError: a mask image is on another grid.
        GeometryError: the structures are in another frame of reference.
        Surrogate3dError: the source cannot be read.
    """
    if source is None:
        return {}, ()
    if not source.exists():
        raise StoreError(f"there are no structures at {source}; check the path")
    if source.is_dir() or source.name.endswith(IMAGES):
        return _of_images(source, grid, names)
    return _of_rtstruct(source, grid, names, frame)


def _of_rtstruct(source: Path, grid: Grid, names: Sequence[str] | None, frame: str) -> Found:
    from surrogate3d.io.dicom_masks import mask_of  # here, as without structures no DICOM is read
    from surrogate3d.io.dicom_structures import read_rtstruct

    structures = read_rtstruct(source)
    called = _distinct([each.name for each in structures], [each.number for each in structures])
    by_name = _chosen(dict(zip(called, structures, strict=True)), names, source)
    found: dict[str, Fractions] = {}
    problems: list[Problem] = []
    for name, structure in by_name.items():
        if frame and structure.frame_of_reference_uid and frame != structure.frame_of_reference_uid:
            raise GeometryError(
                f"structure {name!r} of {source} is in another frame of reference than the maps; register them"
            )
        if not structure.closed:
            problems.append(_empty(name, "has no closed contours, so it encloses nothing"))
            continue
        try:
            mask = mask_of(structure, grid)
        except GeometryError as error:
            problems.append(Problem("structure_outside_grid", f"structure {name!r}", f"{error}; it is left out"))
        except Surrogate3dError as error:
            problems.append(Problem("structure_unreadable", f"structure {name!r}", f"{error}; it is left out"))
        else:
            found[name] = np.asarray(mask.volume.values, dtype=np.float32)
            problems += _outside(name, float(found[name].sum(dtype=float)) * grid.voxel_volume_mm3, mask.volume_mm3)
    return found, tuple(problems)


def _of_images(source: Path, grid: Grid, names: Sequence[str] | None) -> Found:
    listed = _listed(source)
    chosen = _chosen(listed, names, source)
    laid = fractions_of([str(each.file) for each in chosen.values() if each.file], None, grid)
    found: dict[str, Fractions] = {}
    problems: list[Problem] = []
    for name, each in chosen.items():
        if each.file is None:
            told = f"{each.left_out}; `dicom masks` left it out"
            problems.append(Problem("structure_unreadable", f"structure {name!r}", told))
        elif not laid[str(each.file)].any():
            problems.append(_empty(name, f"is nothing but 0 in {each.file.name}"))
        else:
            found[name] = laid[str(each.file)]
            problems += _outside(name, each.on_grid_mm3, each.volume_mm3)
    return found, tuple(problems)


@dataclass(frozen=True)
class _Mask:
    """A mask image; of one that was left out, why."""

    file: Path | None
    on_grid_mm3: float = 0.0
    volume_mm3: float = 0.0
    left_out: str = ""


def _listed(source: Path) -> dict[str, _Mask]:
    """Masks by name of structure."""
    if not source.is_dir():
        return {_stem(source): _Mask(source)}
    if (source / MASKS_JSON).is_file():
        return _of_folder(source)
    images = sorted(path for path in source.iterdir() if path.name.endswith(IMAGES))
    if not images:
        raise StoreError(f"{source} holds no {MASKS_JSON} and no mask images; give a folder of `dicom masks`")
    called = _distinct([_stem(path) for path in images], range(1, len(images) + 1))
    return {name: _Mask(path) for name, path in zip(called, images, strict=True)}


def _of_folder(folder: Path) -> dict[str, _Mask]:
    """What `dicom masks` wrote."""
    try:
        about = json.loads((folder / MASKS_JSON).read_text(encoding="utf-8"))
        if about["schema"] != MASKS_SCHEMA:
            raise FormatError(f"{folder / MASKS_JSON} is of schema {about['schema']!r}, expected {MASKS_SCHEMA!r}")
        called = _distinct([str(mask["name"]) for mask in about["masks"]], [mask["number"] for mask in about["masks"]])
        found = {
            name: _Mask(folder / Path(mask["file"]).name, 1000.0 * mask["on_grid_cm3"], 1000.0 * mask["volume_cm3"])
            for name, mask in zip(called, about["masks"], strict=True)
        }
        left_out = {str(each["name"]): _Mask(None, left_out=str(each["reason"])) for each in about["skipped"]}
    except (LookupError, TypeError, json.JSONDecodeError) as error:
        raise FormatError(f"{folder / MASKS_JSON} is damaged ({error!r}); write the folder again") from error
    for name, mask in found.items():
        if mask.file is None or not mask.file.is_file():
            raise StoreError(f"{folder}: the mask of {name!r} that {MASKS_JSON} lists is gone; write the folder again")
    return left_out | found


def _chosen(listed: Mapping[str, Any], names: Sequence[str] | None, source: Path) -> dict[str, Any]:
    """The structures that are wanted, in the order asked for."""
    if names is None:
        return dict(listed)
    folded = {_folded(name): name for name in listed}
    unknown = [name for name in names if _folded(name) not in folded]
    if unknown:
        raise UnknownNameError(f"no structure {unknown[0]!r} in {source}; there are: {', '.join(listed) or 'none'}")
    return {folded[_folded(name)]: listed[folded[_folded(name)]] for name in names}


def _distinct(names: Sequence[str], numbers: Sequence[int]) -> list[str]:
    """Names of which none is another's; those that are get their number."""
    folded = [_folded(name) for name in names]
    return [
        name if folded.count(_folded(name)) == 1 else f"{name} ({number})"
        for name, number in zip(names, numbers, strict=True)
    ]


def _folded(name: str) -> str:
    return name.strip().casefold()


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[0]


def _empty(name: str, why: str) -> Problem:
    return Problem("empty_structure", f"structure {name!r}", f"structure {name!r} {why}; it is left out")


def _outside(name: str, inside_mm3: float, whole_mm3: float) -> Iterator[Problem]:
    if inside_mm3 < whole_mm3 * (1 - WHOLE):
        told = f"{100 * (1 - inside_mm3 / whole_mm3):.3g} % of structure {name!r} lies outside the grid of the maps"
        yield Problem("structure_partly_outside", f"structure {name!r}", f"{told}; only the rest is judged")
