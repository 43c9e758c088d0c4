"""What shall be scored in a TOPAS plan, and on which grid: the questions that `topas_scorers` answers."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from surrogate3d.errors import GridMismatchError, QuantityError, UnknownNameError, UnsupportedError, ValueRangeError
from surrogate3d.grid import SPECIES_A, SPECIES_Z
from surrogate3d.io.topas_parameters import Parameters, read_parameters

Shape = tuple[int, int, int]
OutputType = Literal["binary", "csv"]

FEWEST_BINS = 16

BEAM_SPECIES: dict[str, tuple[str, ...]] = {
    "proton": ("H", "He"),
    "helium": ("H", "He"),
    "carbon": ("H", "He", "Li", "Be", "B", "C"),
    "oxygen": ("H", "He", "Li", "Be", "B", "C", "N", "O"),
}
"""Species that are scored, by the particles of the beam: all that fragments of it can be, and protons set free."""

ISOTOPES: dict[str, int] = {"proton": 1, "deuteron": 2, "triton": 3}
"""Mass numbers of the hydrogens that `isotopes` scores apart, by their names in Geant4."""

DOSE_AND_LET = ("DoseToWater", "DoseToMedium", "ProtonLETd", "ProtonLETt")
ALL_FLUENCES = tuple(f"Fluence_{name}" for name in (*SPECIES_Z, *ISOTOPES))


@dataclass(frozen=True, kw_only=True)
class ScoringGrid:
    """The component that is scored on.

    Attributes:
        component: its name, maybe with a path such as "Patient/Grid".
        shape: bins along X, Y, Z.
        spacing_mm: size of a voxel; None when it is not known.
        is_parallel: whether it is in a parallel world; None when it is not known.
        mass_components: components of the mass world that have a material, without the world.
    """

    component: str
    shape: Shape
    spacing_mm: tuple[float, float, float] | None = None
    is_parallel: bool | None = None
    mass_components: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if min(self.shape) < 1:
            raise ValueRangeError(f"a grid needs one or more bins along X, Y and Z, found {self.shape}")
        if not self.component or set(self.component) & set(" \t\"'=#:"):
            raise UnknownNameError(f"{self.component!r} is not the name of a component; give it as in Ge/NAME/Type")

    @property
    def n_voxels(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    @property
    def words(self) -> str:
        """The shape, such as "20 x 20 x 64"."""
        return " x ".join(map(str, self.shape))


@dataclass(frozen=True, kw_only=True)
class ScorerRequest:
    """What shall be scored.

    Attributes:
        beam: key of `BEAM_SPECIES`.
        bins: energy bins of each species; None takes 64, or as many as fit.
        count: report the number of scored steps of each bin too, if it fits.
        isotopes: protons, deuterons and tritons apart, in place of H.
        memory_gb: what all scorers together may take, 10^9 bytes.
        threads: worker threads of the run.
        output_type: of all files.
        prefix: put before scorer and file names.

    Raises:
        UnknownNameError: an unknown beam, or a prefix that cannot be part of a name.
        ValueRangeError: fewer than 16 bins, no memory, no thread.
    """

    beam: str
    bins: int | None = None
    count: bool = False
    isotopes: bool = False
    memory_gb: float = 16.0
    threads: int = 1
    output_type: OutputType = "binary"
    prefix: str = ""

    def __post_init__(self) -> None:
        if self.beam not in BEAM_SPECIES:
            raise UnknownNameError(f"unknown beam {self.beam!r}; known: {', '.join(BEAM_SPECIES)}")
        if self.prefix and not self.prefix.replace("_", "").replace("-", "").isalnum():
            raise UnknownNameError(f"prefix {self.prefix!r} must be of letters, digits, _ and -")
        if self.bins is not None and self.bins < FEWEST_BINS:
            raise ValueRangeError(f"at least {FEWEST_BINS} energy bins are needed, found {self.bins}")
        if not self.memory_gb > 0 or self.threads < 1:
            raise ValueRangeError(
                f"expected memory above 0 GB and 1 or more threads, found {self.memory_gb:g} GB and {self.threads}; "
                "give --threads where the plan leaves them to the machine"
            )

    @property
    def particles(self) -> tuple[tuple[str, int, str], ...]:
        """(name, mass number, filter) of each fluence scorer."""
        apart = [(name, A, f'sv:{{}}/OnlyIncludeParticlesNamed = 1 "{name}"') for name, A in ISOTOPES.items()]
        species = BEAM_SPECIES[self.beam][1:] if self.isotopes else BEAM_SPECIES[self.beam]
        whole = [(s, SPECIES_A[s], f"i:{{}}/OnlyIncludeParticlesOfAtomicNumber = {SPECIES_Z[s]}") for s in species]
        return (*(apart if self.isotopes else ()), *whole)


def scoring_grid(
    component: str, shape: Shape | None = None, plan: Path | None = None, prefix: str = ""
) -> tuple[ScoringGrid, int]:
    """The grid to score on, from a plan's parameter file or as given.

    Args:
        component: name of the scored component.
        shape: bins along X, Y, Z; needed without a plan.
        plan: parameter file that the scorers will be included in.
        prefix: of the scorers that will be written.

    Returns:
        The grid, and the number of threads of the plan (0 when it leaves them to the machine; 1 without a plan).

    Raises:
        FormatError: not a parameter file.
        GridMismatchError: the plan has another shape.
        QuantityError: neither shape nor plan, or the plan has a scorer by a name that is needed.
        UnsupportedError: the component is not a divided TsBox.
    """
    if plan is None:
        if shape is None:
            raise QuantityError(
                "the number of voxels decides how many energy bins fit; give --shape NX,NY,NZ or --plan"
            )
        return ScoringGrid(component=component, shape=shape), 1
    parameters = read_parameters(plan)
    _refuse_clash(parameters, prefix)
    found = _bins_of(parameters, component)
    if shape not in (None, found):
        raise GridMismatchError(f"{plan.name}: {component} has {found} voxels, but --shape says {shape}")
    grid = ScoringGrid(
        component=component,
        shape=found,
        spacing_mm=_spacing_of(parameters, component, found),
        is_parallel=parameters.boolean(f"Ge/{component}/IsParallel", False),
        mass_components=tuple(_mass_components(parameters)),
    )
    return grid, max(0, parameters.integer("Ts/NumberOfThreads", 1))


def _refuse_clash(parameters: Parameters, prefix: str) -> None:
    """What an including file sets overrides what it includes, so a scorer of the same name would be a mixture."""
    for name in (*DOSE_AND_LET, *ALL_FLUENCES):
        if f"Sc/{prefix}{name}/Quantity" in parameters:
            raise QuantityError(
                f"{parameters.files[0].name}: scorer {prefix}{name} is there already and would override what is "
                "included; take it out, or choose another --prefix"
            )


def _bins_of(parameters: Parameters, component: str) -> Shape:
    where = parameters.files[0].name
    kind = parameters.string(f"Ge/{component}/Type", "")
    if not kind:
        known = sorted({name[1] for p in parameters if (name := p.name.split("/"))[0].lower() == "ge"})
        raise UnsupportedError(f"{where}: no component {component}; it has {', '.join(known) or 'none'}")
    if kind.lower() != "tsbox" or not any(f"Ge/{component}/{axis}Bins" in parameters for axis in "XYZ"):
        raise UnsupportedError(
            f"{where}: component {component} is a {kind} without X-, Y- and ZBins; score on a divided TsBox, such as a "
            "parallel one, or give --shape without --plan"
        )
    x, y, z = (parameters.integer(f"Ge/{component}/{axis}Bins", 1) for axis in "XYZ")
    return x, y, z


def _spacing_of(parameters: Parameters, component: str, shape: Shape) -> tuple[float, float, float]:
    half = [parameters.number(f"Ge/{component}/HL{axis}", "length") for axis in "XYZ"]
    x, y, z = (2 * length / n for length, n in zip(half, shape, strict=True))
    return x, y, z


def _mass_components(parameters: Parameters) -> Iterator[str]:
    """Components of the mass world with a material of their own, but not the world."""
    for parameter in parameters:
        folder, _, name = parameter.name.rpartition("/")
        own = name.lower() == "material" and folder.lower().startswith("ge/") and folder.lower() != "ge/world"
        if own and not parameters.boolean(f"{folder}/IsParallel", False):
            yield folder[3:]
