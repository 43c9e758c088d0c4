"""Which structure has which cell line: `Tumour=HSG,Brainstem=V79,*=HSG`, and which voxel that gives a line to.

A structure is one of an RT Structure Set, one of a folder of masks that `surrogate3d dicom masks` wrote, or an image of
its own, named by its path. A voxel belongs to a structure when at least half of it is inside, as in all masks here.

What several structures of different lines claim is refused: planning systems, too, ask for a decision when materials
are overridden twice. "first" is that decision, and the order of the assignment the priority. Structures that only touch
within a voxel, whose fractions do not add up to more than one, do not overlap.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import combinations
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import (
    ConfigError,
    FormatError,
    GeometryError,
    GridMismatchError,
    StoreError,
    UnknownNameError,
)
from surrogate3d.grid import Grid, quantity, turned_to
from surrogate3d.physics.cell_line import CellLine, cell_line

Fractions = npt.NDArray[np.float32]
Overlap = Literal["refuse", "first"]

REST = "*"
"""Every voxel that no structure has."""

HALF = 0.5
_IMAGES = (".nii", ".nii.gz", ".mha", ".mhd", ".nrrd")
_EXAMPLE = "Tumour=HSG,Brainstem=V79,*=HSG"


@dataclass(frozen=True)
class Assignment:
    """Cell lines of structures.

    Attributes:
        structures: name or path of a mask, and line, in the order given.
        rest: line of all other voxels; None where there is none.
    """

    structures: tuple[tuple[str, CellLine], ...]
    rest: CellLine | None

    @property
    def lines(self) -> tuple[CellLine, ...]:
        """The lines, each once, in the order given."""
        rest = () if self.rest is None else (self.rest,)
        return tuple(dict.fromkeys((*(line for _, line in self.structures), *rest)))


def parse_assignment(text: str) -> Assignment:
    """Read an assignment; the name or the file of one cell line alone is that of all voxels.

    Raises:
        ConfigError: a part is not STRUCTURE=LINE, or a structure is named twice.
        UnknownNameError: there is no such cell line; the structure is named.
        ValueRangeError: as `physics.cell_line.cell_line`.
    """
    if "=" not in text or Path(text).is_file():
        return Assignment((), cell_line(text.strip()))
    found: dict[str, CellLine] = {}
    for part in text.split(","):
        structure, equals, line = (word.strip() for word in part.rpartition("="))
        if not (structure and equals and line):
            raise ConfigError(f"expected STRUCTURE=LINE such as {_EXAMPLE}, found {part.strip()!r} in {text!r}")
        if structure.casefold() in map(str.casefold, found):
            raise ConfigError(f"structure {structure!r} is given a cell line twice in {text!r}; give it one")
        try:
            found[structure] = cell_line(line)
        except UnknownNameError as error:
            raise UnknownNameError(f"{structure}={line}: {error}") from error
    rest = found.pop(REST, None)
    return Assignment(tuple(found.items()), rest)


def fractions_of(names: Sequence[str], source: Path | None, grid: Grid, frame: str = "") -> dict[str, Fractions]:
    """Lay structures on a grid.

    Args:
        names: structures of the source, or paths of mask images.
        source: an RT Structure Set, or a folder of `dicom masks`; not needed for mask images.
        grid: where the fractions are wanted.
        frame: UID of the frame of reference of the grid; empty where it is not known.

    Returns:
        (i, j, k) fraction of each voxel that is inside, by name.

    Raises:
        UnknownNameError: no such structure; the nearest are named.
        ConfigError: structures are named, and there is no source.
        Surrogate3dError: the source cannot be read, or is not on the grid.
    """
    images = [name for name in names if name.endswith(_IMAGES) and Path(name).is_file()]
    others = [name for name in names if name not in images]
    found = {name: _image(Path(name), grid) for name in images}
    if others and source is None:
        raise ConfigError(f"structure {others[0]!r} needs a structure set or a folder of masks, and none was given")
    if others and source is not None:
        found |= _of_folder(others, source, grid) if source.is_dir() else _of_rtstruct(others, source, grid, frame)
    return {name: found[name] for name in names}


def _of_rtstruct(names: Sequence[str], path: Path, grid: Grid, frame: str) -> dict[str, Fractions]:
    from surrogate3d.io.dicom_masks import mask_of  # here, as without structures no DICOM is read
    from surrogate3d.io.dicom_structures import read_rtstruct, structure_named

    structures = read_rtstruct(path)
    found = {}
    for name in names:
        _require_known(name, [each.name for each in structures], path)
        structure = structure_named(structures, name)
        if frame and structure.frame_of_reference_uid and frame != structure.frame_of_reference_uid:
            raise GeometryError(
                f"structure {structure.name!r} of {path} is in another frame of reference than the field; register them"
            )
        found[name] = np.asarray(mask_of(structure, grid).volume.values, dtype=np.float32)
    return found


def _of_folder(names: Sequence[str], folder: Path, grid: Grid) -> dict[str, Fractions]:
    """Masks that `dicom masks` wrote."""
    from surrogate3d.pipeline.dicom_files import MASKS_SCHEMA

    try:
        about = json.loads((folder / "masks.json").read_text(encoding="utf-8"))
        if about["schema"] != MASKS_SCHEMA:
            raise FormatError(f"{folder}/masks.json is of schema {about['schema']!r}, expected {MASKS_SCHEMA!r}")
        files = {str(mask["name"]): folder / Path(mask["file"]).name for mask in about["masks"]}
    except OSError as error:
        raise StoreError(f"{folder} has no masks.json; write the folder with `surrogate3d dicom masks`") from error
    except (LookupError, TypeError, json.JSONDecodeError) as error:
        raise FormatError(f"{folder}/masks.json is damaged ({error!r}); write the folder again") from error
    for name in names:
        _require_known(name, list(files), folder)
    folded = {name.strip().casefold(): path for name, path in files.items()}
    return {name: _image(files.get(name, folded[name.strip().casefold()]), grid) for name in names}


def _require_known(name: str, known: Sequence[str], where: Path) -> None:
    """Refuse an unknown structure with the nearest of those that there are; case does not matter."""
    folded = {each.strip().casefold(): each for each in known}
    if name.strip().casefold() in folded:
        return
    near = [folded[match] for match in get_close_matches(name.strip().casefold(), folded, 3, 0.5)]
    nearest = f"; the nearest are {', '.join(map(repr, near))}" if near else ""
    raise UnknownNameError(f"no structure {name!r} in {where}{nearest}; there are: {', '.join(known) or 'none'}")


def _image(path: Path, grid: Grid) -> Fractions:
    """Fractions of an image: 0 to 1, or 0 and one other value."""
    from surrogate3d.io.images import read_image

    image = turned_to(read_image(path, quantity("structure")), grid)
    grid.require_same(image.grid, f"the field and the mask {path.name}")
    values = np.asarray(image.values, dtype=np.float32)
    if np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1:
        return values
    labels = np.unique(values[values != 0])
    if labels.size != 1 or not np.isfinite(labels).all():
        raise FormatError(
            f"{path}: expected fractions from 0 to 1, or 0 and one other value, found {labels.size} other values "
            "(several labels?); extract one label"
        )
    return np.asarray(values != 0, dtype=np.float32)


def line_numbers(
    assignment: Assignment,
    fractions: Mapping[str, Fractions],
    grid: Grid,
    needed: npt.NDArray[np.bool_] | None = None,
    overlap: Overlap = "refuse",
) -> npt.NDArray[np.uint8]:
    """Which line every voxel has.

    Args:
        assignment: what is asked for.
        fractions: of its structures, from `fractions_of`.
        grid: of the field.
        needed: (i, j, k) voxels that must have a line; all if not given.
        overlap: what happens to voxels of two structures of different lines: they are refused, or go to the first.

    Returns:
        (i, j, k): 0 for a voxel without a line, else 1 + the place of its line in `assignment.lines`.

    Raises:
        GridMismatchError: fractions of another shape.
        ConfigError: structures of different lines overlap, or needed voxels have no line.
    """
    inside = {name: _inside(name, fractions[name], grid) for name, _ in assignment.structures}
    if overlap == "refuse":
        _refuse_overlap(assignment, fractions, inside)
    number = {line: k + 1 for k, line in enumerate(assignment.lines)}
    found = np.full(grid.shape, number[assignment.rest] if assignment.rest else 0, dtype=np.uint8)
    for name, line in reversed(assignment.structures):
        found[inside[name]] = number[line]
    bare = int(((found == 0) & (True if needed is None else needed)).sum())
    if bare:
        raise ConfigError(f"{bare} voxels are in none of the structures, and have no cell line; add *=LINE for them")
    return found


def _inside(name: str, fraction: Fractions, grid: Grid) -> npt.NDArray[np.bool_]:
    if fraction.shape != grid.shape:
        raise GridMismatchError(f"structure {name!r} has {fraction.shape} voxels, the field {grid.shape}")
    return np.asarray(fraction >= HALF)


def _refuse_overlap(
    assignment: Assignment, fractions: Mapping[str, Fractions], inside: Mapping[str, npt.NDArray[np.bool_]]
) -> None:
    for (one, line), (other, another) in combinations(assignment.structures, 2):
        if line == another:
            continue
        both = inside[one] & inside[other]
        voxels = int((both & (fractions[one] + fractions[other] > 1 + 1e-6)).sum())
        if voxels:
            raise ConfigError(
                f"structures {one!r} ({line.name}) and {other!r} ({another.name}) overlap in {voxels} voxels; contour "
                "them apart, or let the first of the assignment have them (overlap 'first', --first-wins)"
            )
