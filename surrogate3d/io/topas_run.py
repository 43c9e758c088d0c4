"""One TOPAS run folder: which outputs it holds, what each one means, and their values.

Outputs are recognised by their headers, whatever their names. What is valid but of no use to the engine is listed as
not read, with the reason; what the engine needs and cannot trust is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import (
    FormatError,
    GeometryError,
    GridMismatchError,
    QuantityError,
    UnsupportedError,
    ValueRangeError,
)
from surrogate3d.grid import SPECIES_A, SPECIES_Z, Grid, LetDefinition
from surrogate3d.io.topas_geometry import beam_axis, beam_direction, component_grid, energy_edges, histories, seed
from surrogate3d.io.topas_grid import RowOrder, ScoredValues, decide_row_order, read_values
from surrogate3d.io.topas_header import ScorerHeader, header_lines, is_topas_header, parse_header
from surrogate3d.io.topas_parameters import Parameters, read_parameters, sha256
from surrogate3d.io.topas_roles import DOSE_VOLUMES, STRUCTURE_FILTER, let_definitions, role_of, species_of

Array = npt.NDArray[np.float64]

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


@dataclass(frozen=True, eq=False)
class SpeciesSpectrum:
    """Fluence of one species: (bin, i, j, k), underflow and overflow (i, j, k), 1/mm^2, and edges in MeV/u."""

    fluence: npt.NDArray[np.float32]
    underflow: npt.NDArray[np.float32]
    overflow: npt.NDArray[np.float32]
    edges_mev_u: Array


@dataclass(frozen=True, eq=False)
class TopasRun:
    """What one run folder holds, sums over its simulated histories, in the scale of the simulation.

    Attributes:
        name: of the folder.
        version: TOPAS banner.
        parameters: of the run.
        grid: of every scorer that was read.
        volumes: (i, j, k) by quantity name; LET is NaN where it has no denominator.
        spectra: by species, ascending atomic number.
        let_definitions: by "LET_d", "LET_t".
        beam_axis: index axis nearest to the beam.
        beam_sign: +1 towards larger indices, else -1.
        histories: simulated primaries.
        seed: of the random generator.
        files_read: what went in.
        files_not_read: what did not.
        notes: warnings that a reader of the field should know.
    """

    name: str
    version: str
    parameters: Parameters
    grid: Grid
    volumes: dict[str, Array]
    spectra: dict[str, SpeciesSpectrum]
    let_definitions: dict[str, LetDefinition]
    beam_axis: int
    beam_sign: int
    histories: int
    seed: int
    files_read: tuple[FileRead, ...]
    files_not_read: tuple[FileNotRead, ...]
    notes: tuple[str, ...]

    @property
    def dose_name(self) -> str:
        """To water when it was scored, else to medium."""
        return "dose_to_water" if "dose_to_water" in self.volumes else "dose_to_medium"


@dataclass(frozen=True)
class _Output:
    """A file with a header: `role` is a volume name or a species."""

    path: Path
    header: ScorerHeader
    role: str


def read_topas_run(run_dir: Path, row_order: RowOrder | None = None) -> TopasRun:
    """Read one run folder.

    Args:
        run_dir: folder with the outputs and the parameter file of one run.
        row_order: order of the rows of energy-binned CSV files, where the TOPAS version does not tell.

    Raises:
        FormatError: a file that is needed is cut, inconsistent, or of another run.
        GeometryError: no parameter file, or no box to place.
        GridMismatchError: scorers on different grids.
        QuantityError: a quantity scored twice, or no dose, or no spectra, or a wrong unit.
        UnsupportedError: what the folder holds is of forms that are not read.
        ValueRangeError: NaN or negative dose or fluence.
    """
    headers, not_read = _scan(run_dir)
    parameters = _parameters(run_dir, headers)
    outputs = _assign_roles(run_dir.name, headers, parameters, not_read)
    grid = _common_grid(outputs, parameters)
    scored = _read_all(outputs, row_order)
    n_histories = _histories(scored, parameters)
    axis, sign = beam_axis(grid, beam_direction(parameters))
    return TopasRun(
        name=run_dir.name,
        version=outputs[0].header.version,
        parameters=parameters,
        grid=grid,
        volumes=_volumes(scored, n_histories),
        spectra=_spectra(scored, parameters),
        let_definitions=let_definitions({role: s.header for role, s in scored.items()}, parameters),
        beam_axis=axis,
        beam_sign=sign,
        histories=n_histories,
        seed=seed(parameters),
        files_read=tuple(_files_read(run_dir.name, scored, parameters)),
        files_not_read=tuple(not_read),
        notes=tuple(_notes(scored, parameters)),
    )


def _scan(run_dir: Path) -> tuple[list[tuple[Path, ScorerHeader]], list[FileNotRead]]:
    if not run_dir.is_dir():
        raise FormatError(f"{run_dir.name}: expected a folder with TOPAS output, found none")
    headers: list[tuple[Path, ScorerHeader]] = []
    not_read: list[FileNotRead] = []
    for path in sorted(p for p in run_dir.iterdir() if p.is_file()):
        reason = _FOREIGN.get(path.suffix.lower(), "")
        if path.suffix.lower() in (".csv", ".binheader"):
            lines = header_lines(path)
            if is_topas_header(lines):
                try:
                    headers.append((path, parse_header(lines, path.name)))
                except UnsupportedError as error:
                    reason = str(error)
            else:
                reason = "not the output of a TOPAS binned scorer"
        if reason:
            not_read.append(FileNotRead(run_dir.name, path.name, reason))
    if not headers:
        raise _nothing_usable(run_dir.name, "output of TOPAS binned scorers", not_read)
    return headers, not_read


def _parameters(run_dir: Path, headers: list[tuple[Path, ScorerHeader]]) -> Parameters:
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
    if not name or not (run_dir / name).is_file():
        raise GeometryError(
            f"{run_dir.name}: position, beam and histories stand only in the parameter file {name or '(not named)'}, "
            "which is not there; copy it, with the files that it includes, beside the outputs"
        )
    return read_parameters(run_dir / name)


def _assign_roles(
    run: str, headers: list[tuple[Path, ScorerHeader]], parameters: Parameters, not_read: list[FileNotRead]
) -> list[_Output]:
    outputs: dict[str, _Output] = {}
    refused: dict[str, str] = {}
    for path, header in headers:
        try:
            role = role_of(header, parameters)
        except UnsupportedError as error:
            not_read.append(FileNotRead(run, path.name, str(error)))
            refused.setdefault(species_of(header) or "", f"{path.name}: {error}")
            continue
        if role in outputs:
            raise QuantityError(
                f"{run}: {role} is scored twice, in {outputs[role].path.name} and {path.name}; "
                "leave one of them in the folder"
            )
        outputs[role] = _Output(path, header, role)
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


def _common_grid(outputs: list[_Output], parameters: Parameters) -> Grid:
    first = outputs[0]
    grid = component_grid(parameters, first.header)
    for output in outputs[1:]:
        what = f"{first.path.name} and {output.path.name}"
        if output.header.shape != first.header.shape:
            raise GridMismatchError(f"{what}: {first.header.shape} and {output.header.shape} voxels; use one grid")
        grid.require_same(component_grid(parameters, output.header), what)
    return grid


def _read_all(outputs: list[_Output], row_order: RowOrder | None) -> dict[str, ScoredValues]:
    """Values by role; files with indices first, because they show the order of those without."""
    scored: dict[str, ScoredValues] = {}
    for output in sorted(outputs, key=lambda o: o.header.binning is not None):
        order = None
        if output.header.binning and output.path.suffix == ".csv":
            observed = [s.row_order for s in scored.values() if s.row_order]
            order = decide_row_order(output.header, output.path.name, row_order, observed)
        scored[output.role] = read_values(output.path, output.header, order)
        _refuse_impossible(scored[output.role], output.path.name)
    return {output.role: scored[output.role] for output in outputs}


def _refuse_impossible(scored: ScoredValues, where: str) -> None:
    """NaN, infinite or negative sums; NaN is allowed where the voxel is outside the RT structure."""
    values = scored.column("Sum")
    masked = any(name == STRUCTURE_FILTER for name, _ in scored.header.filters)
    bad = (values < 0) | np.isinf(values) | (np.isnan(values) if not masked else False)
    if bad.any():
        i, j, k, e = (int(n) for n in np.argwhere(bad)[0])
        bin_name = f", energy column {e}" if scored.header.binning else ""
        raise ValueRangeError(
            f"{where}: {scored.header.quantity} must be finite and not negative, found {values[i, j, k, e]} at voxel "
            f"{(i, j, k)}{bin_name}, {int(bad.sum())} such values in all"
        )


def _histories(scored: dict[str, ScoredValues], parameters: Parameters) -> int:
    stated = histories(parameters)
    for values in scored.values():
        if "Histories_with_Scorer_Active" in values.header.columns:
            reported = values.column("Histories_with_Scorer_Active")
            reported = reported[np.isfinite(reported)]  # NaN outside the RT structure
            if reported.min() != stated or reported.max() != stated:
                raise FormatError(
                    f"{values.files[0].name}: expected {stated} histories by {parameters.files[0].name}, found "
                    f"{reported.min():g} to {reported.max():g}; one of them is of another run, or the run was cut"
                )
    return stated


def _volumes(scored: dict[str, ScoredValues], n_histories: int) -> dict[str, Array]:
    volumes = {role: values.column("Sum")[..., 0] for role, values in scored.items() if role not in SPECIES_Z}
    dose_name = "dose_to_water" if "dose_to_water" in volumes else "dose_to_medium"
    for name in ("LET_d", "LET_t"):
        if name in volumes:
            # TOPAS writes 0 where nothing was scored to divide by.
            undefined = (volumes[name] == 0) | (volumes[dose_name] == 0)
            volumes[name] = np.where(undefined, np.nan, volumes[name])
    if "Standard_Deviation" in scored[dose_name].header.columns:
        # The reported deviation is that of one history; a sum of N independent histories has sqrt(N) times that.
        volumes["dose_std"] = scored[dose_name].column("Standard_Deviation")[..., 0] * np.sqrt(n_histories)
    return volumes


def _spectra(scored: dict[str, ScoredValues], parameters: Parameters) -> dict[str, SpeciesSpectrum]:
    spectra = {}
    for species in (role for role in SPECIES_Z if role in scored):
        values = scored[species].column("Sum").astype(np.float32)
        by_bin = np.moveaxis(values, -1, 0)  # (under + bin + over, i, j, k)
        edges = energy_edges(parameters, scored[species].header) / SPECIES_A[species]
        spectra[species] = SpeciesSpectrum(np.ascontiguousarray(by_bin[1:-1]), by_bin[0], by_bin[-1], edges)
    counts = {species: len(s.edges_mev_u) - 1 for species, s in spectra.items()}
    if len(set(counts.values())) > 1:
        raise UnsupportedError(f"species have different numbers of energy bins ({counts}); use the same EBins for all")
    return spectra


def _files_read(run: str, scored: dict[str, ScoredValues], parameters: Parameters) -> Iterable[FileRead]:
    for values in scored.values():
        header = values.header
        particles = ", ".join(f"{name} = {value}" for name, value in header.filters)
        for path in values.files:
            yield FileRead(run, path.name, sha256(path), path.stat().st_size, header.quantity, header.scorer, particles)
    for path in parameters.files:
        yield FileRead(run, path.name, sha256(path), path.stat().st_size, "parameters", "")


def _notes(scored: dict[str, ScoredValues], parameters: Parameters) -> Iterable[str]:
    for role, values in scored.items():
        name, header = values.files[0].name, values.header
        if header.notes:
            yield f"{name}: {' '.join(header.notes)}"
        if values.n_missing:
            yield f"{name}: {values.n_missing} voxels left out by {header.sparse!r} are taken as 0"
        if header.filters and header.filters[0][0] == "OnlyIncludeParticlesNamed":
            yield f"{name}: {header.filters[0][1]} stands for all {role}"
        number = header.version_number
        threads = parameters.integer("Ts/NumberOfThreads", 1)
        suspect = number is not None and (3, 9, 0) <= number < (4, 1, 1) and threads != 1
        if suspect and "Standard_Deviation" in header.columns:
            yield f"{name}: TOPAS {header.version} merged deviations of threads wrongly (OpenTOPAS issue 66)"
