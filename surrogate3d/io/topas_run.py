"""One TOPAS run folder, opened: what it holds, and its values plane by plane.

Nothing larger than the planes that are asked for is held, so that a grid of a whole patient can be converted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError, GridMismatchError, UnsupportedError, ValueRangeError
from surrogate3d.grid import SPECIES_A, SPECIES_Z, Grid, LetDefinition
from surrogate3d.io.given import Given
from surrogate3d.io.topas_agreement import (
    agreed_beam_direction,
    agreed_histories,
    require_given_place,
    require_whole,
    stated_histories,
)
from surrogate3d.io.topas_folder import FileNotRead, FileRead, Folder, Output, Part, sort_folder
from surrogate3d.io.topas_geometry import component_grid, energy_edges, given_grid, seed
from surrogate3d.io.topas_grid import ScoredValues, decide_row_order, read_values
from surrogate3d.io.topas_header import ScorerHeader
from surrogate3d.io.topas_parameters import Parameters, sha256
from surrogate3d.io.topas_roles import ISOTOPES, SPECTRA, STRUCTURE_FILTER, let_definitions

Array = npt.NDArray[np.float64]

_ACTIVE, _DEVIATION = "Histories_with_Scorer_Active", "Standard_Deviation"


@dataclass(frozen=True, eq=False)
class TopasRun:
    """What one run folder holds, in the scale of the simulation.

    Attributes:
        name: of the folder, with the label of a part.
        simulation: which execution of TOPAS; parts of one are not independent of each other.
        version: TOPAS banner.
        parameters: of the run; None where there is no parameter file and the user said what it would say.
        grid: of every scorer that is read.
        scored: by role: a volume name, or a species in ascending atomic number.
        edges_mev_u: (bin + 1,) energy edges by species.
        let_definitions: by "LET_d", "LET_t".
        beam_direction: (3,) unit vector of travel in the frame of `grid`.
        histories: simulated primaries.
        seed: of the random generator; None where there is no parameter file, or one for several executions.
        files_not_read: what is left out, with the reason.
        notes: warnings that a reader of the field should know.
    """

    name: str
    simulation: str
    version: str
    parameters: Parameters | None
    grid: Grid
    scored: Mapping[str, ScoredValues]
    edges_mev_u: Mapping[str, Array]
    let_definitions: dict[str, LetDefinition]
    beam_direction: Array
    histories: int
    seed: int | None
    files_not_read: tuple[FileNotRead, ...]
    notes: tuple[str, ...]

    @property
    def species(self) -> tuple[str, ...]:
        """Those with spectra, in ascending atomic number."""
        return tuple(self.edges_mev_u)

    @property
    def dose_name(self) -> str:
        """To water when it was scored, else to medium."""
        return "dose_to_water" if "dose_to_water" in self.scored else "dose_to_medium"

    @property
    def volume_names(self) -> tuple[str, ...]:
        """Of the volumes that `volumes` gives."""
        names = tuple(role for role in self.scored if role not in SPECTRA)
        has_deviation = _DEVIATION in self.scored[self.dose_name].header.columns
        return (*names, "dose_std") if has_deviation else names

    def volumes(self, k0: int, k1: int) -> dict[str, Array]:
        """(i, j, k1 - k0) values by name in the planes [k0, k1); LET is NaN where it has no denominator.

        Raises:
            ValueRangeError: NaN or negative dose or LET.
            FormatError: a scorer that reports another number of histories.
        """
        found = {name: self._sums(name, k0, k1)[..., 0] for name in self.scored if name not in SPECTRA}
        for name in ("LET_d", "LET_t"):
            if name in found:
                # TOPAS writes 0 where nothing was scored to divide by.
                undefined = (found[name] == 0) | (found[self.dose_name] == 0)
                found[name] = np.where(undefined, np.nan, found[name])
        if "dose_std" in self.volume_names:
            # The reported deviation is that of one history; a sum of N independent histories has sqrt(N) times that.
            deviation = self.scored[self.dose_name].energy_slab(k0, k1, _DEVIATION)[..., 0]
            found["dose_std"] = deviation * np.sqrt(self.histories)
        return found

    def fluence(self, species: str, k0: int, k1: int) -> Array:
        """(k1 - k0, j, i, underflow + bin + overflow) fluence in the planes [k0, k1), in the order of the file, 1/mm^2.

        Raises:
            ValueRangeError: NaN or negative fluence.
        """
        total = self._sums(species, k0, k1).transpose(2, 1, 0, 3)
        for isotope, (element, _) in ISOTOPES.items():
            if element == species and isotope in self.scored:
                total = total + self._sums(isotope, k0, k1).transpose(2, 1, 0, 3)
        return total

    def files_read(self, hashes: Mapping[Path, str] | None = None) -> tuple[FileRead, ...]:
        """What goes into a field, with SHA-256: from `hashes` where they are there, else computed."""
        return tuple(self._files_read(hashes or {}))

    def paths(self) -> tuple[Path, ...]:
        """The files that are read."""
        own = tuple(path for scored in self.scored.values() for path in scored.files)
        return (*own, *(self.parameters.files if self.parameters else ()))

    def _files_read(self, hashes: Mapping[Path, str]) -> Iterable[FileRead]:
        about = {path: scored.header for scored in self.scored.values() for path in scored.files}
        for path in self.paths():
            header, digest = about.get(path), hashes.get(path) or sha256(path)
            size = path.stat().st_size
            if header is None:
                yield FileRead(self.name, path.name, digest, size, "parameters", "")
            else:
                particles = ", ".join(f"{name} = {value}" for name, value in header.filters)
                yield FileRead(self.name, path.name, digest, size, header.quantity, header.scorer, particles)

    def _sums(self, role: str, k0: int, k1: int) -> Array:
        scored = self.scored[role]
        # A view in the order of the file: turning the axes of a spectrum costs more than reading it.
        values = scored.slab(k0, k1)[..., scored.header.columns.index("Sum")]
        _refuse_impossible(values, scored, k0)
        if _ACTIVE in scored.header.columns:
            self._require_histories(scored.energy_slab(k0, k1, _ACTIVE), scored)
        return values

    def _require_histories(self, reported: Array, scored: ScoredValues) -> None:
        reported = reported[np.isfinite(reported)]  # NaN outside the RT structure
        if reported.size and (reported.min() != self.histories or reported.max() != self.histories):
            stated = stated_histories(self.parameters) == self.histories
            source = self.parameters.files[0].name if self.parameters and stated else "what was given or reported"
            raise FormatError(
                f"{scored.files[0].name}: expected {self.histories} histories by {source}, found "
                f"{reported.min():g} to {reported.max():g}; one of them is of another run, or the run was cut"
            )


def open_topas_runs(run_dir: Path, given: Given | None = None) -> tuple[TopasRun, ...]:
    """Open one run folder.

    Args:
        run_dir: folder with the outputs and the parameter file of one run.
        given: what the files do not say.

    Returns:
        One run; or its parts, whose sum is the run, where TOPAS wrote a file for each run, time value or execution.

    Raises:
        FormatError: a file that is needed is cut, inconsistent, or of another run.
        GeometryError: no parameter file, or no box to place.
        GridMismatchError: scorers on different grids.
        QuantityError: a quantity scored twice, or no dose, or no spectra, or a wrong unit.
        UnsupportedError: what the folder holds is of forms that are not read.
    """
    given = given or Given()
    run_dir = run_dir if run_dir.name.strip(".") else run_dir.resolve()  # "." and ".." have no name of their own
    folder = sort_folder(run_dir, given)
    runs = tuple(_open_part(run_dir, folder, part, given) for part in folder.parts)
    doses = [run.scored[run.dose_name] for run in runs]
    require_whole(run_dir.name, folder, [run.histories for run in runs], doses, given)
    return runs


def _open_part(run_dir: Path, folder: Folder, part: Part, given: Given) -> TopasRun:
    parameters, outputs = folder.parameters, part.outputs
    first = part is folder.parts[0]
    scored = _open_all(outputs, given)
    label, execution = f"{run_dir.name} {part.label}".strip(), str(run_dir)
    return TopasRun(
        name=label,
        simulation=f"{execution} {part.label}" if part.kind == "increments" else execution,
        version=outputs[0].header.version,
        parameters=parameters,
        grid=_common_grid(outputs, parameters, given),
        scored=scored,
        edges_mev_u=_edges(scored, parameters),
        let_definitions=let_definitions({role: s.header for role, s in scored.items()}, parameters),
        beam_direction=agreed_beam_direction(parameters, given, outputs[0].header.component),
        histories=agreed_histories(label, folder, part, scored, given),
        seed=seed(parameters) if parameters and part.kind != "increments" else None,
        files_not_read=folder.not_read if first else (),
        notes=(*(folder.notes if first else ()), *_notes(scored, parameters)),
    )


def _common_grid(outputs: tuple[Output, ...], parameters: Parameters | None, given: Given) -> Grid:
    def grid_of(header: ScorerHeader) -> Grid:
        if parameters is None:
            return given_grid(header, given)
        return component_grid(parameters, header, given.dicom_dir)

    first, *others = outputs
    grid = grid_of(first.header)
    require_given_place(grid, given)
    for output in others:
        what = f"{first.path.name} and {output.path.name}"
        if output.header.shape != first.header.shape:
            raise GridMismatchError(f"{what}: {first.header.shape} and {output.header.shape} voxels; use one grid")
        grid.require_same(grid_of(output.header), what)
    return grid


def _open_all(outputs: tuple[Output, ...], given: Given) -> dict[str, ScoredValues]:
    """Values by role; files with indices first, because they show the order of those without."""
    scored: dict[str, ScoredValues] = {}
    for output in sorted(outputs, key=lambda o: o.header.binning is not None):
        order = None
        if output.header.binning and output.path.suffix.lower() == ".csv":
            observed = [s.row_order for s in scored.values() if s.row_order]
            order = decide_row_order(output.header, output.path.name, given.row_order, observed)
        scored[output.role] = read_values(output.path, output.header, order)
    return {output.role: scored[output.role] for output in outputs}


def _refuse_impossible(values: Array, scored: ScoredValues, k0: int) -> None:
    """NaN, infinite or negative sums; NaN is allowed where the voxel is outside the RT structure."""
    masked = any(name == STRUCTURE_FILTER for name, _ in scored.header.filters)
    if not masked and values.min() >= 0 and values.max() < np.inf:  # False where there is a NaN
        return
    bad = (values < 0) | np.isinf(values) | (np.isnan(values) if not masked else False)
    if bad.any():
        i, j, k, e = (int(n) for n in np.argwhere(bad)[0])
        bin_name = f", energy column {e}" if scored.header.binning else ""
        raise ValueRangeError(
            f"{scored.files[0].name}: {scored.header.quantity} must be finite and not negative, found "
            f"{values[i, j, k, e]} at voxel {(i, j, k0 + k)}{bin_name}, {int(bad.sum())} such values in planes {k0} on"
        )


def _edges(scored: Mapping[str, ScoredValues], parameters: Parameters | None) -> dict[str, Array]:
    """Edges per nucleon, by species; isotopes must have those of their element."""
    edges = {s: _total_mev(scored[s].header, parameters) / SPECIES_A[s] for s in SPECIES_Z if s in scored}
    counts = {species: len(values) - 1 for species, values in edges.items()}
    if len(set(counts.values())) > 1:
        raise UnsupportedError(f"species have different numbers of energy bins ({counts}); use the same EBins for all")
    for isotope, (element, A) in ISOTOPES.items():
        if isotope in scored:
            own = _total_mev(scored[isotope].header, parameters) / A
            if element not in edges or own.shape != edges[element].shape or not np.allclose(own, edges[element], 1e-4):
                raise UnsupportedError(
                    f"{scored[isotope].files[0].name}: to join {element}, the bins of {isotope}s must be {A} times "
                    "those of a scorer of protons alone; write the scorers with surrogate3d topas scorers --isotopes"
                )
    return edges


def _total_mev(header: ScorerHeader, parameters: Parameters | None) -> Array:
    if parameters is not None:
        return energy_edges(parameters, header)
    if header.binning is None:
        raise FormatError(f"{header.scorer}: expected energy bins, found none")
    return header.binning.edges


def _notes(scored: Mapping[str, ScoredValues], parameters: Parameters | None) -> Iterable[str]:
    apart = {name for isotope in ISOTOPES if isotope in scored for name in (isotope, ISOTOPES[isotope][0])}
    for role, values in scored.items():
        name, header = values.files[0].name, values.header
        if header.notes:
            yield f"{name}: {' '.join(header.notes)}"
        if values.n_missing:
            yield f"{name}: {values.n_missing} voxels left out by {header.sparse!r} are taken as 0"
        if header.filters[:1] and header.filters[0][0] == "OnlyIncludeParticlesNamed" and role not in apart:
            yield f"{name}: {header.filters[0][1]} stands for all {role}"
        number = header.version_number
        threads = parameters.integer("Ts/NumberOfThreads", 1) if parameters else 0
        suspect = number is not None and (3, 9, 0) <= number < (4, 1, 1) and threads != 1
        if suspect and _DEVIATION in header.columns:
            yield f"{name}: TOPAS {header.version} merged deviations of threads wrongly (OpenTOPAS issue 66)"
    if parameters is None:
        yield "no parameter file: position, beam and histories are as given, and seeds are not compared"
