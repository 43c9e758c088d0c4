"""Outputs of one scorer that TOPAS wrote as several files, told by their names and their headers.

Three parameters of a scorer split its output: OutputAfterRun (`<name>_Run_0001.csv`), IfOutputFileAlreadyExists =
"Increment" (`<name>.csv`, `<name>_1.csv` ...) and SplitByTimeFeature (`<name>-<value>.csv`). With
OutputAfterRunShouldAccumulate every run's file holds the runs before it too, and nothing in the files says so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from surrogate3d.errors import FormatError, Surrogate3dError, UnsupportedError
from surrogate3d.io.topas_batches import MergedScorer, merge_batches
from surrogate3d.io.topas_grid import ScoredValues
from surrogate3d.io.topas_header import ScorerHeader
from surrogate3d.io.topas_parameters import Parameters

Kind = Literal["single", "runs", "cumulative_runs", "increments", "time_values"]

_RUN = re.compile(r"^(.+)_Run_(\d+)$")
_INCREMENT = re.compile(r"^(.+)_(\d+)$")


_ENOUGH = 20
_SAME = ("quantity", "unit", "component", "on_surface", "axes", "filters", "binning", "columns")


@dataclass(frozen=True)
class Family:
    """Files of one scorer.

    Attributes:
        name: common stem of the files.
        kind: "single"; "runs" (sequential times of one execution) and "increments" (executions) are parts of one sum;
            the last of "cumulative_runs" is the sum; "time_values" are parts of one execution by the value of a time
            feature.
        members: (label, path); the label is the number of the run or increment ("0" is the file without a number), the
            value of the time feature, or "" for a single file.
        notes: numbers that are missing, and what else a reader should know.
        stated: whether the parameter file says that the files are parts of one output.
    """

    name: str
    kind: Kind
    members: tuple[tuple[str, Path], ...]
    notes: tuple[str, ...] = ()
    stated: bool = False


class _Key(NamedTuple):
    """What makes files one family, and the label of one of them."""

    name: str
    scorer: str
    suffix: str
    label: str


def families(
    paths: Sequence[Path], headers: Mapping[Path, ScorerHeader], parameters: Parameters | None = None
) -> list[Family]:
    """Group the scorer outputs of a folder.

    The rules, in this order; a file that none takes is single.

    1. Runs: names `<name>_Run_<digits>` of one scorer. TOPAS alone writes such names.
    2. Time values: the header's scorer is `<scorer>-<value>` and the file's name ends in `-<value>`. The name of a
       parameter cannot hold a "-", so SplitByTimeFeature alone makes such scorers.
    3. Increments: `<name>` is there, and `<name>_<digits>` are of the same scorer. Two scorers never share a name, so
       `Dose` and `Dose_1` of scorers with different names stay single, and so does `Dose_1` without `Dose`: its number
       may be the user's.

    With a parameter file that has the scorer, a file with exactly the scorer's OutputFile as its name is part of
    nothing but increments, and files stay single unless OutputAfterRun, SplitByTimeFeature or
    IfOutputFileAlreadyExists = "Increment" is set.

    Args:
        paths: the `.csv` and `.binheader` files of one folder.
        headers: of each of them.
        parameters: of the run, if there are.

    Returns:
        The families by name; every path is in exactly one.

    Raises:
        FormatError: files that name and scorer make one family differ in quantity, component, bins, filters or
            statistics, or two of them have one number.
    """
    found, left = [], sorted(paths)
    kinds: tuple[Kind, ...] = ("runs", "time_values", "increments")
    for kind in kinds:
        groups: dict[_Key, list[tuple[str, Path]]] = {}
        for path in left:
            key = _key(kind, path, headers, parameters)
            if key is not None:
                groups.setdefault(key._replace(label=""), []).append((key.label, path))
        for key, members in groups.items():
            if kind == "increments" and len(members) == 1:
                continue
            family = _family(key.name, kind, members, headers)
            found.append(_as_stated(family, key.scorer, parameters))
            left = [path for path in left if path not in {member for _, member in members}]
    found += [Family(path.stem, "single", (("", path),)) for path in left]
    return sorted(found, key=lambda family: (family.name, family.members[0][1].name))


def _key(kind: Kind, path: Path, headers: Mapping[Path, ScorerHeader], parameters: Parameters | None) -> _Key | None:
    scorer, base, value = headers[path].scorer, *headers[path].scorer.partition("-")[::2]
    if not _splits(parameters, base if kind == "time_values" else scorer, kind):
        return None
    if kind == "time_values":
        fits = bool(value) and path.stem.endswith(f"-{value}")
        return _Key(path.stem.removesuffix(f"-{value}"), base, path.suffix, value) if fits else None
    named = _RUN.match(path.stem) if kind == "runs" else _INCREMENT.match(path.stem)
    if named is None or path.stem == _output_file(parameters, scorer):
        return None if kind == "runs" else _Key(path.stem, scorer, path.suffix, "0")
    if kind == "increments":
        first = headers.get(path.with_name(named[1] + path.suffix))
        if first is None or first.scorer != scorer:
            return _Key(path.stem, scorer, path.suffix, "0")
    return _Key(named[1], scorer, path.suffix, named[2])


def _as_stated(family: Family, scorer: str, parameters: Parameters | None) -> Family:
    """With what the parameter file, if it has the scorer, says about runs."""
    if parameters is not None and f"Sc/{scorer}/Quantity" in parameters:
        cumulative = parameters.boolean(f"Sc/{scorer}/OutputAfterRunShouldAccumulate", False)
        kind: Kind = "cumulative_runs" if family.kind == "runs" and cumulative else family.kind
        return replace(family, kind=kind, stated=True)
    if family.kind != "runs":
        return family
    note = "whether each run holds those before it (OutputAfterRunShouldAccumulate) stands in the parameter file only"
    return replace(family, notes=(*family.notes, note))


def is_cumulative(batches: Sequence[ScoredValues]) -> bool:
    """Whether every file seems to hold the one before: no Sum ever falls, in at least `_ENOUGH` voxels or bins.

    Runs of equal histories do that by chance once in 2 to the power of `_ENOUGH`; runs of rising histories may do it
    by right.

    Raises:
        FormatError: the scorer did not report Sum.
    """
    if len(batches) < 2:
        return False
    hit = 0
    for k0, k1 in batches[0].slabs():
        sums = np.stack([batch.energy_slab(k0, k1) for batch in batches])
        if (np.diff(sums, axis=0) < 0).any():
            return False
        hit += int((sums[-1] > 0).sum())
    return hit >= _ENOUGH


def merge_family(
    family: Family,
    batches: Sequence[ScoredValues],
    dose: Sequence[ScoredValues] | None = None,
    *,
    weighting: Literal["dose", "track"] | None = None,
    histories: Sequence[int] | None = None,
) -> MergedScorer:
    """Combine the members of a family.

    Args:
        family: of `families`.
        batches: its members, in their order.
        dose: of the same members, as for `merge_batches`.
        weighting: as for `merge_batches`.
        histories: as for `merge_batches`; of the whole for cumulative runs.

    Raises:
        UnsupportedError: values of a time feature, or runs that seem to hold those before them.
        Surrogate3dError: as `merge_batches`.
    """
    if family.kind == "time_values":
        raise UnsupportedError(
            f"{family.name}: its files are of different values of a time feature; they are not added, choose one"
        )
    if family.kind == "cumulative_runs":
        last = dose[-1:] if dose is not None else None
        return merge_batches(batches[-1:], last, weighting=weighting, histories=histories)
    if family.kind == "runs" and not family.stated and not batches[0].header.is_ratio and is_cumulative(batches):
        raise UnsupportedError(
            f"{family.name}: no value falls from one run to the next, so each seems to hold those before it "
            "(OutputAfterRunShouldAccumulate); take the last file alone, or give the parameter file"
        )
    return merge_batches(batches, dose, weighting=weighting, histories=histories)


def _splits(parameters: Parameters | None, scorer: str, kind: Kind) -> bool:
    """Whether the parameter file, if it has the scorer, makes TOPAS write several files of this kind."""
    if parameters is None or f"Sc/{scorer}/Quantity" not in parameters:
        return True
    if kind == "runs":
        return parameters.boolean(f"Sc/{scorer}/OutputAfterRun", False)
    if kind == "time_values":
        return f"Sc/{scorer}/SplitByTimeFeature" in parameters
    return parameters.string(f"Sc/{scorer}/IfOutputFileAlreadyExists", "Exit").lower() == "increment"


def _output_file(parameters: Parameters | None, scorer: str) -> str | None:
    """Stem of the scorer's output by the parameter file; None when it does not say, or says it by an expression."""
    if parameters is None or f"Sc/{scorer}/Quantity" not in parameters:
        return None
    try:
        return Path(parameters.string(f"Sc/{scorer}/OutputFile", scorer)).name
    except Surrogate3dError:  # an expression that this file alone does not settle
        return None


def _family(name: str, kind: Kind, members: list[tuple[str, Path]], headers: Mapping[Path, ScorerHeader]) -> Family:
    members = sorted(members, key=lambda member: _natural(member[0]))
    labels = [label for label, _ in members]
    first = members[0][1]
    for _, path in members[1:]:
        differ = [part for part in _SAME if getattr(headers[path], part) != getattr(headers[first], part)]
        if differ:
            raise FormatError(
                f"{path.name} and {first.name}: names and scorer make them one output in parts, but they differ in "
                f"{', '.join(differ)}; keep the outputs of different simulations in different folders"
            )
    if kind == "time_values":
        return Family(name, kind, tuple(members))
    numbers = [int(label) for label in labels]
    twice = sorted({number for number in numbers if numbers.count(number) > 1})
    if twice:
        raise FormatError(f"{name}: number {twice[0]} is there more than once; leave out the copies")
    return Family(name, kind, tuple(members), tuple(_gaps(numbers, kind)))


def _gaps(numbers: list[int], kind: Kind) -> Iterable[str]:
    missing = sorted(set(range(numbers[0], numbers[-1])) - set(numbers))
    if missing:
        yield f"numbers {', '.join(map(str, missing))} of the {kind} are missing; a sum would lack them"
    if kind == "runs" and numbers[0] > 1:
        yield f"the runs begin with number {numbers[0]}; a sum would lack those before"


def _natural(label: str) -> tuple[tuple[int, float, str], ...]:
    """Sorting key in which image2 is before image10."""
    parts = re.findall(r"\d+(?:\.\d+)?|[^\d]+", label)
    return tuple((0, float(part), "") if part[0].isdigit() else (1, 0.0, part) for part in parts)
