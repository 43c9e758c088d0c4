"""Which outputs a TOPAS run folder holds, and what each one is to the engine.

Outputs are recognised by their headers, whatever their names. What is valid but of no use to the engine is listed as
not read, with the reason; what the engine needs and cannot trust is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from surrogate3d.errors import FormatError, GeometryError, QuantityError, UnsupportedError
from surrogate3d.grid import SPECIES_Z
from surrogate3d.io.given import Given
from surrogate3d.io.topas_families import Family, Kind, families
from surrogate3d.io.topas_header import ScorerHeader, header_lines, is_topas_header, parse_header, require_box
from surrogate3d.io.topas_parameters import Parameters, read_parameters
from surrogate3d.io.topas_roles import DOSE_VOLUMES, role_of, species_of
from surrogate3d.io.topas_stated import require_all_spectra

_NOT_TOPAS = "not the output of a TOPAS binned scorer"
_NO_HEADER = "no .binheader beside it says what it holds"
_HEADER_BYTES = 4096
_FOREIGN = {
    ".dcm": "DICOM output (no statistics, 16 bits; score the same quantity as binary or csv)",
    ".phsp": "phase space or ntuple",
    ".header": "phase space or ntuple",
    ".root": "ROOT histograms",
    ".xml": "XML histograms",
}


@dataclass(frozen=True)
class FileRead:
    """A file that went into a field. `particles` is the filter of a fluence scorer, e.g. 'Z = 1'."""

    run: str
    name: str
    sha256: str
    bytes: int
    quantity: str
    scorer: str
    particles: str = ""


@dataclass(frozen=True)
class FileNotRead:
    """A file that was left out, and why."""

    run: str
    name: str
    reason: str


@dataclass(frozen=True)
class Output:
    """A file with a header: `role` is a volume name or a species."""

    path: Path
    header: ScorerHeader
    role: str


@dataclass(frozen=True)
class Part:
    """One file of every scorer: all that there is, or one run, time value or increment of a family of files."""

    label: str
    kind: Kind
    outputs: tuple[Output, ...]


@dataclass(frozen=True)
class Folder:
    """A run folder, sorted: `parameters` is None only where the user said what it would say."""

    parameters: Parameters | None
    parts: tuple[Part, ...]
    not_read: tuple[FileNotRead, ...]
    notes: tuple[str, ...]


def sort_folder(run_dir: Path, given: Given) -> Folder:
    """Find the outputs of a run folder, with its parameter file.

    Args:
        run_dir: folder with the outputs and the parameter file of one run.
        given: what the user said.

    Raises:
        FormatError: a header that cannot be read, or outputs of several runs.
        GeometryError: no parameter file, and its facts are not given.
        QuantityError: a quantity scored twice, or no dose, or no spectra, or a wrong unit.
        UnsupportedError: what the folder holds is of forms that are not read.
    """
    headers, not_read = _scan(run_dir)
    parameters = _parameters(run_dir, headers, given)
    if parameters is not None:
        _refuse_unread_outputs(not_read, parameters)
    found = families([path for path, _ in headers], dict(headers), parameters)
    named = _as_in_parameters(found, dict(headers))
    parts = tuple(_parts(run_dir.name, found, named, parameters, given, not_read))
    if parameters is not None:
        require_all_spectra([header for _, header in headers], [file.name for file in not_read], parameters)
    notes = [f"{family.name}: {note}" for family in found for note in family.notes]
    if parts[0].kind == "increments":
        notes.append(f"{len(parts)} executions are added; that they differ in nothing but the seed, no file can tell")
    return Folder(parameters, parts, tuple(not_read), tuple(notes))


def _as_in_parameters(found: Sequence[Family], headers: Mapping[Path, ScorerHeader]) -> dict[Path, ScorerHeader]:
    """Headers with the scorer's name in the parameter file; SplitByTimeFeature adds "-" and the value to it."""
    split = [path for family in found if family.kind == "time_values" for _, path in family.members]
    return {**headers, **{p: replace(headers[p], scorer=headers[p].scorer.partition("-")[0]) for p in split}}


def _parts(
    run: str,
    found: Sequence[Family],
    headers: Mapping[Path, ScorerHeader],
    parameters: Parameters | None,
    given: Given,
    not_read: list[FileNotRead],
) -> Iterator[Part]:
    """The parts of a run: one, unless TOPAS wrote a file for each run, time value or execution."""
    groups: dict[tuple[str, Kind], list[Path]] = {}
    useless: list[Path] = []
    for family in found:
        members, kind = family.members, family.kind
        if kind == "cumulative_runs":
            *earlier, last = members
            not_read += [FileNotRead(run, path.name, f"{last[1].name} holds what it holds, too") for _, path in earlier]
            members, kind = (("", last[1]),), "single"
        if not _is_used(headers[members[0][1]], parameters, given):
            useless += [path for _, path in members]
            continue
        for label, path in members:
            groups.setdefault((label, kind), []).append(path)
    for label, kind, paths in _one_way(run, groups):
        outputs = _assign_roles(f"{run} {label}".strip(), paths + useless, headers, parameters, given, not_read)
        yield Part(label, kind, tuple(outputs))
        useless = []


def _is_used(header: ScorerHeader, parameters: Parameters | None, given: Given) -> bool:
    try:
        role_of(header, parameters, given)
    except UnsupportedError:
        return False
    return True


def _one_way(run: str, groups: Mapping[tuple[str, Kind], list[Path]]) -> list[tuple[str, Kind, list[Path]]]:
    """The groups as parts; refused where scorers are not all split in one way, since they could not be put together."""
    split = {kind for _, kind in groups if kind != "single"}
    if len(split) > 1:
        raise UnsupportedError(
            f"{run}: files are split in different ways ({', '.join(sorted(split))}); give each way a folder of its own"
        )
    whole = groups.get(("", "single"), [])
    if split and whole:
        raise UnsupportedError(
            f"{run}: {whole[0].name} is one file, and other scorers have one for each of {', '.join(split)}; split all "
            "or none"
        )
    return [(label, kind, paths) for (label, kind), paths in groups.items()] or [("", "single", [])]


def _scan(run_dir: Path) -> tuple[list[tuple[Path, ScorerHeader]], list[FileNotRead]]:
    if not run_dir.is_dir():
        found = "a file; give the folder that it is in" if run_dir.exists() else "none"
        raise FormatError(f"{run_dir.name}: expected a folder with TOPAS output, found {found}")
    headers: list[tuple[Path, ScorerHeader]] = []
    not_read: list[FileNotRead] = []
    for path in sorted(p for p in run_dir.iterdir() if p.is_file()):
        reason = _FOREIGN.get(path.suffix.lower(), "")
        if path.suffix.lower() == ".bin" and not _has_header(path):
            reason = _NO_HEADER
        if path.suffix.lower() in (".csv", ".binheader"):
            lines = header_lines(path)
            if is_topas_header(lines):
                try:
                    header = parse_header(lines, path.name)
                    require_box(header, path.name)
                    headers.append((path, header))
                except UnsupportedError as error:
                    reason = str(error)
            else:
                _refuse_damaged_output(path)
                reason = _NOT_TOPAS
        if reason:
            not_read.append(FileNotRead(run_dir.name, path.name, reason))
    if not headers:
        raise _nothing_usable(run_dir.name, "output of TOPAS binned scorers", not_read)
    return headers, not_read


def _refuse_damaged_output(path: Path) -> None:
    """Refuse output that is no longer recognised: left out, its quantity would be missing without a word."""
    with path.open("rb") as stream:
        start = stream.read(_HEADER_BYTES).replace(b"\0", b"").replace(b"\t", b" ")  # UTF-16, tabs
    is_topas = any(words in start for words in (b"TOPAS Version", b"Results for scorer", b"Scored in component"))
    if is_topas or not start or path.suffix.lower() == ".binheader":
        raise FormatError(
            f"{path.name}: expected '# TOPAS Version: ...' in the first line, found {start[:40]!r}; the file is empty, "
            "damaged or was saved by an editor: copy it again, or take it out of the folder"
        )


def _refuse_unread_outputs(not_read: Sequence[FileNotRead], parameters: Parameters) -> None:
    """Refuse files that the parameter file says to be output of a scorer, and that hold something else."""
    scorers = {name.split("/")[1] for name in parameters.by_name if name.startswith("sc/") and name.count("/") > 1}
    outputs = {Path(parameters.string(f"Sc/{scorer}/OutputFile", scorer)).name.lower() for scorer in scorers}
    for file in not_read:
        path = Path(file.name)
        if file.reason in (_NOT_TOPAS, _NO_HEADER) and path.stem.lower() in outputs:
            raise FormatError(
                f"{file.run}: {file.name} is output of a scorer by {parameters.files[0].name}, but {file.reason}; copy "
                "it again, or take it out of the folder"
            )


def _has_header(path: Path) -> bool:
    """Whether a `.binheader` of this name, or one that names this file, lies beside a `.bin`."""
    if any(path.with_suffix(suffix).is_file() for suffix in (".binheader", ".BINHEADER")):
        return True
    named = (line for other in path.parent.glob("*.binheader") for line in header_lines(other))
    return any(line.startswith("# Binary file:") and line.rstrip().endswith(path.name) for line in named)


def _parameters(run_dir: Path, headers: list[tuple[Path, ScorerHeader]], given: Given) -> Parameters | None:
    names = {Path(header.parameter_file).name: path.name for path, header in headers}
    if len(names) > 1:
        raise FormatError(
            f"{run_dir.name}: outputs name several parameter files ({', '.join(names)}); one run a folder"
        )
    versions = {header.version for _, header in headers}
    if len(versions) > 1:
        raise FormatError(
            f"{run_dir.name}: outputs of several TOPAS versions ({', '.join(sorted(versions))}); one run a folder"
        )
    name = next(iter(names))
    if name and (run_dir / name).is_file():
        return read_parameters(run_dir / name)
    if given.origin_mm is not None and given.beam_direction is not None:
        return None
    raise GeometryError(
        f"{run_dir.name}: position, beam and histories stand only in the parameter file {name or '(not named)'}, "
        "which is not there; copy it, with the files that it includes, beside the outputs, or give --origin, "
        "--direction, --beam and --histories"
    )


def _assign_roles(
    run: str,
    paths: Sequence[Path],
    headers: Mapping[Path, ScorerHeader],
    parameters: Parameters | None,
    given: Given,
    not_read: list[FileNotRead],
) -> list[Output]:
    outputs: dict[str, Output] = {}
    refused: dict[str, str] = {}
    for path in paths:
        header = headers[path]
        try:
            role = role_of(header, parameters, given)
        except UnsupportedError as error:
            not_read.append(FileNotRead(run, path.name, str(error)))
            refused.setdefault(species_of(header) or "", f"{path.name}: {error}")
            continue
        if role in outputs:
            raise QuantityError(
                f"{run}: {role} is scored twice, in {outputs[role].path.name} and {path.name}; "
                "leave one of them in the folder"
            )
        outputs[role] = Output(path, header, role)
    # A species whose only spectrum is unusable would be missing from the field without a word.
    for species, reason in refused.items():
        if species and species not in outputs:
            raise UnsupportedError(f"no usable fluence spectrum of {species}: {reason}")
    if not any(role in DOSE_VOLUMES.values() for role in outputs):
        raise _nothing_usable(run, "DoseToWater or DoseToMedium", not_read)
    if not any(role in SPECIES_Z for role in outputs):
        raise _nothing_usable(run, "Fluence with pre-step energy bins (EBinEnergy = PreStep) per species", not_read)
    return sorted(outputs.values(), key=lambda output: SPECIES_Z.get(output.role, 0))


def _nothing_usable(run: str, expected: str, not_read: Iterable[FileNotRead]) -> UnsupportedError | QuantityError:
    listed = "; ".join(f"{n.name} ({n.reason})" for n in not_read)
    if listed:
        return UnsupportedError(f"{run}: expected {expected}, found nothing usable; not read: {listed}")
    return QuantityError(f"{run}: expected {expected}, found none; score it on the same grid")
