"""What is wrong with the maps and structures of a comparison, as plain data: named in every output, never dropped."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from surrogate3d.errors import FormatError, UnknownNameError

PROBLEM_KINDS: dict[str, str] = {
    "nan_in_map": "a map has no number (NaN) in voxels where it is asked for; they are counted and left out",
    "infinite_in_map": "a map is infinite in voxels where it is asked for; they are counted and left out, as NaN is",
    "zero_reference": "the reference is 0 in voxels, which have no relative error; absolute errors keep them",
    "no_voxels_in_stratum": "a region, or a stratum of dose or LET, holds no voxels, so it has no errors",
    "nothing_compared": "voxels are there, but none has both a judged and a reference value",
    "empty_structure": "a structure encloses no voxels, so it has no errors and no histogram",
    "structure_outside_grid": "a structure lies outside the grid of the maps",
    "structure_partly_outside": "a part of a structure lies outside the grid; only the rest is judged",
    "structure_unreadable": "a structure cannot be read or laid on the grid, and is left out",
    "resampled": "a map was interpolated onto the grid of the other, so its errors hold those of interpolation",
    "gamma_not_computed": "gamma is not defined here, such as where no voxel reaches the dose cut-off",
    "range_not_found": "a depth dose does not fall as far as a range asks for, so that range is not known",
}
"""Every kind of problem with its meaning."""


def voxels(n: int) -> str:
    """The number with its noun: "1 voxel", "12,000 voxels"."""
    return f"{n:,} voxel{'' if n == 1 else 's'}"


@dataclass(frozen=True)
class Problem:
    """One thing that a reader of the comparison must know.

    Attributes:
        kind: a key of `PROBLEM_KINDS`.
        where: the structure, map, group or voxel, and how many voxels.
        sentence: what was found, and what was done about it.

    Raises:
        UnknownNameError: the kind is not in the table.
    """

    kind: str
    where: str
    sentence: str

    def __post_init__(self) -> None:
        if self.kind not in PROBLEM_KINDS:
            raise UnknownNameError(f"unknown kind of problem {self.kind!r}; known: {', '.join(PROBLEM_KINDS)}")

    def to_json(self) -> dict[str, str]:
        """Plain data, with what the kind means."""
        return {**asdict(self), "meaning": PROBLEM_KINDS[self.kind]}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Problem:
        """The inverse of `to_json`.

        Raises:
            FormatError: a key is missing.
            UnknownNameError: the kind is not in the table.
        """
        try:
            return Problem(data["kind"], data["where"], data["sentence"])
        except KeyError as error:
            raise FormatError(f"a problem lacks the key {error}; the file was not written whole") from error
