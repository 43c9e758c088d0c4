"""Writes the scorers that the engine needs as a TOPAS parameter file, to be included in a plan.

Dose to water with its deviation, dose to medium, ProtonLET by dose and by track, and for each species the fluence in
logarithmic bins of the energy before each step, 0.1-500 MeV/u. Parameter names are those of OpenTOPAS; the layout is
that of the runs that the engine was developed on.

What a grid may hold is limited twice: OpenTOPAS counts NX NY NZ (EBins + 3) in 32 bits, and every thread keeps its own
copy of every bin.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from surrogate3d.errors import ValueRangeError
from surrogate3d.io.atomic import atomic_file
from surrogate3d.io.topas_scorer_request import DOSE_AND_LET, FEWEST_BINS, ScorerRequest, ScoringGrid, Shape

LOWEST_MEV_U, HIGHEST_MEV_U = 0.1, 500.0
DEFAULT_BINS = 64

MOST_ENTRIES = 2**31 - 1
"""Largest index of a scorer (OpenTOPAS keeps it in a signed 32-bit integer); bins are counted with three more."""
EXTRA_BINS = 3

SUM_VALUES, DEVIATION_VALUES, COUNT_VALUES, RATIO_VALUES = 1, 4, 1, 2
"""Numbers of 8 bytes that a bin takes: a plain sum; with its deviation (200^3 voxels take 256 MB a thread, by the notes
on OpenTOPAS 4.2.0); a count; numerator and denominator of a ratio. Only the second is documented, the others follow
from what has to be kept: take the memory as an estimate."""

STEP_PARTS = 50
"""Steps in a voxel with the step limit that is advised."""


@dataclass(frozen=True, kw_only=True)
class ScorerBlock:
    """Scorers that fit.

    Attributes:
        text: the parameter file.
        scorers: names, in order.
        bins: energy bins of each species.
        count: whether counts are reported.
        memory_gb: estimate for all scorers and threads.
        step_limit_mm: advised; None when the size of a voxel is not known.
        step_advice: lines of text: why, what it wins and costs, and how to set it.
        warnings: what is less than was asked for.
    """

    text: str
    scorers: tuple[str, ...]
    bins: int
    count: bool
    memory_gb: float
    step_limit_mm: float | None
    step_advice: tuple[str, ...]
    warnings: tuple[str, ...]


def scorer_block(grid: ScoringGrid, request: ScorerRequest) -> ScorerBlock:
    """Choose the number of bins, and write the scorers.

    Args:
        grid: component and its bins.
        request: what shall be scored.

    Raises:
        ValueRangeError: fewer than 16 energy bins fit, or fewer than were asked for.
    """
    count, warnings = request.count, []
    if count and largest_bins(grid, request, True) < (request.bins or DEFAULT_BINS):
        count = False
        warnings.append("counts do not fit beside the energy bins and are left out; give more --memory for them")
    fit = largest_bins(grid, request, count)
    if fit < FEWEST_BINS or (request.bins or 0) > fit:
        raise ValueRangeError(_refusal(grid, request, fit))
    bins = request.bins or min(DEFAULT_BINS, fit)
    if request.bins is None and fit < DEFAULT_BINS:
        warnings.append(
            f"only {fit} of {DEFAULT_BINS} energy bins fit on {grid.words} voxels; {_coarser(grid, request)}"
        )
    limit = min(grid.spacing_mm) / STEP_PARTS if grid.spacing_mm else None
    memory = memory_gb(grid, request, bins, count)
    advice = _step_advice(grid, limit)
    lines = [*_heading(grid, request, bins, memory), "#", *(f"# {line}" for line in advice)]
    names = []
    for name, settings in _scorers(request, bins, count):
        names.append(name)
        lines += ["", *_scorer(name, grid.component, request.output_type, settings)]
    return ScorerBlock(
        text="\n".join(lines) + "\n",
        scorers=tuple(names),
        bins=bins,
        count=count,
        memory_gb=memory,
        step_limit_mm=limit,
        step_advice=tuple(advice),
        warnings=tuple(warnings),
    )


def write_scorers(block: ScorerBlock, path: Path, overwrite: bool = False) -> None:
    """Write the parameter file.

    Raises:
        StoreError: it exists and is not to be overwritten, or cannot be written.
    """
    with atomic_file(path, overwrite) as scratch:
        scratch.write_text(block.text, encoding="utf-8")


def memory_gb(grid: ScoringGrid, request: ScorerRequest, bins: int, count: bool) -> float:
    """Estimated memory of all scorers, 10^9 bytes: every thread has a copy, and the merged result is one more."""
    fixed = DEVIATION_VALUES + SUM_VALUES + 2 * RATIO_VALUES
    per_bin = len(request.particles) * (SUM_VALUES + (COUNT_VALUES if count else 0))
    return 8e-9 * (request.threads + 1) * grid.n_voxels * (fixed + per_bin * (bins + EXTRA_BINS))


def largest_bins(grid: ScoringGrid, request: ScorerRequest, count: bool) -> int:
    """The largest number of energy bins that index and memory allow; less than 1 when there is no room at all."""
    by_index = MOST_ENTRIES // grid.n_voxels - EXTRA_BINS
    none = memory_gb(grid, request, -EXTRA_BINS, count)
    one = memory_gb(grid, request, 1 - EXTRA_BINS, count) - none
    by_memory = math.floor((request.memory_gb - none) / one * (1 + 1e-12)) - EXTRA_BINS
    return min(by_index, by_memory)


def _scorers(request: ScorerRequest, bins: int, count: bool) -> Iterator[tuple[str, list[str]]]:
    """Name of each scorer, and what is particular to it; "{}" stands for Sc/NAME."""
    dose, medium, let_d, let_t = (request.prefix + name for name in DOSE_AND_LET)
    deviation = 'sv:{}/Report = 3 "Sum" "Standard_Deviation" "Histories"'
    ratios = 'b:{}/PreCalculateStoppingPowerRatios = "True"'
    yield dose, ['s:{}/Quantity = "DoseToWater"', ratios, deviation]
    yield medium, ['s:{}/Quantity = "DoseToMedium"']
    yield let_d, ['s:{}/Quantity = "ProtonLET"', 's:{}/WeightBy = "Dose"']
    yield let_t, ['s:{}/Quantity = "ProtonLET"', 's:{}/WeightBy = "Track"']
    for particle, A, only in request.particles:
        settings = [
            's:{}/Quantity = "Fluence"',
            only,
            f"i:{{}}/EBins = {bins}",
            'b:{}/EBinLog = "True"',
            f"d:{{}}/EBinMin = {LOWEST_MEV_U * A:g} MeV",
            f"d:{{}}/EBinMax = {HIGHEST_MEV_U * A:g} MeV",
            's:{}/EBinEnergy = "PreStep"',
        ]
        yield f"{request.prefix}Fluence_{particle}", settings + count * ['sv:{}/Report = 2 "Sum" "Count_In_Bin"']


def _scorer(name: str, component: str, output_type: str, settings: list[str]) -> list[str]:
    quantity, *rest = settings
    common = [
        f's:{{}}/Component = "{component}"',
        f's:{{}}/OutputType = "{output_type}"',
        f's:{{}}/OutputFile = "{name}"',
        's:{}/IfOutputFileAlreadyExists = "Exit"',
    ]
    return [line.replace("{}", f"Sc/{name}") for line in (quantity, *common, *rest)]


def _heading(grid: ScoringGrid, request: ScorerRequest, bins: int, memory: float) -> list[str]:
    plural = "thread" if request.threads == 1 else "threads"
    species = f"{LOWEST_MEV_U:g}-{HIGHEST_MEV_U:g} MeV/u, of {len(request.particles)} species"
    return [
        f"# Scorers for surrogate3d: {request.beam} beam, component {grid.component}, {grid.words} voxels,",
        f"# {bins} logarithmic energy bins, {species}.",
        "# Include it in the plan:  includeFile = THIS_FILE   and keep it beside the outputs.",
        f"# Memory of all scorers: about {memory:.2g} GB with {request.threads} {plural} (estimate).",
        '# "Exit" keeps TOPAS from writing over the results of an earlier run: one folder a run.',
    ]


def _step_advice(grid: ScoringGrid, limit: float | None) -> list[str]:
    """What is known about step limits, and what is not."""
    where = grid.mass_components or (grid.component if grid.is_parallel is False else "COMPONENT",)
    value = f"{limit:.2g} mm" if limit else f"... mm  (a voxel's size / {STEP_PARTS})"
    return [
        "Steps. A step is binned by the energy before it, so particles at the end of their range look too fast.",
        "In voxels of 2.5 mm in which protons stop, spectra explain 0.82 of the dose (measured without a limit); by",
        "stepping through Geant4's default step function, 0.83 with a limit of a tenth of the voxel, and 0.92 with",
        f"1/{STEP_PARTS}: the last steps are short without it, and the shortest matter most. The step function of",
        "g4em-standard_opt4 is finer: 0.88 without a limit.",
        f"The limit costs up to {STEP_PARTS} times the steps of fast particles, which take one a voxel without it, and",
        "5 times those of stopping ones (estimate); the run gets slower by less. To limit steps, set",
        *(f"  d:Ge/{name}/MaxStepSize = {value}" for name in where),
        *_parallel_remark(grid.is_parallel),
    ]


def _parallel_remark(is_parallel: bool | None) -> list[str]:
    if is_parallel is False:
        return []
    return [
        "on what lies in the mass world under the grid. On a parallel component it probably does nothing (uncertain:",
        "Geant4's step limits act in the mass world; not tried). The faces of parallel voxels do end steps.",
    ]


def _refusal(grid: ScoringGrid, request: ScorerRequest, fit: int) -> str:
    wanted = request.bins or FEWEST_BINS
    return (
        f"expected room for {wanted} energy bins on {grid.words} voxels, found it for {max(fit, 0)} "
        f"(OpenTOPAS takes {MOST_ENTRIES} entries a scorer; memory {request.memory_gb:g} GB, {request.threads} "
        f"threads, {len(request.particles)} species); {_coarser(grid, request)}"
    )


def _coarser(grid: ScoringGrid, request: ScorerRequest) -> str:
    """The finest evenly coarser grid on which the wanted bins fit, or the memory that they take on this one."""
    wanted, factor, shape = request.bins or DEFAULT_BINS, 1.0, grid.shape
    while math.prod(shape) > 1 and not _fits(shape, request, wanted):
        factor += 0.05
        shape = _coarsened(grid.shape, factor)
    more = f"give --memory {math.ceil(memory_gb(grid, request, wanted, False))}"
    if not _fits(shape, request, wanted):
        return more
    size = f"{factor:.3g} times the spacing"
    if grid.spacing_mm:
        sizes = [n * size / fewer for n, size, fewer in zip(grid.shape, grid.spacing_mm, shape, strict=True)]
        size = f"{' x '.join(f'{s:.3g}' for s in sizes)} mm"
    by_index = grid.n_voxels * (wanted + EXTRA_BINS) > MOST_ENTRIES
    advice = f"score on a coarser parallel grid: {' x '.join(map(str, shape))} voxels take {wanted} bins ({size})"
    return advice if by_index else f"{advice}, or {more}"


def _fits(shape: Shape, request: ScorerRequest, bins: int) -> bool:
    return largest_bins(ScoringGrid(component="Grid", shape=shape), request, False) >= bins


def _coarsened(shape: Shape, factor: float) -> Shape:
    i, j, k = (max(1, int(n / factor)) for n in shape)
    return i, j, k
