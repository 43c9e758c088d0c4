"""Parameter files that make OpenTOPAS count lineal energies of one kind of ion (TsYScorer) in a sphere of water.

A run has one source. OpenTOPAS lets every source of a parameter file shoot into the same event (TsGeneratorManager::
GeneratePrimaries), and TsYScorer adds up what one event deposits, so that several sources would count pile-up. Names of
parameters are those of the example `example_sphTEPC.txt` of OpenTOPAS-Microdosimetry and of OpenTOPAS 4.2.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from dataclasses import asdict, dataclass
from typing import Any

from surrogate3d.errors import ConfigError, UnknownNameError, ValueRangeError

SCHEMA = "surrogate3d.topas_job/1"

PHYSICS: dict[str, str] = {
    "livermore": "g4em-livermore",
    "penelope": "g4em-penelope",
    "opt4": "g4em-standard_opt4",
}
"""Electromagnetic modules by the short name of a list; the hadronic ones are those of the default list of OpenTOPAS."""

_HADRONIC = ("g4h-phy_QGSP_BIC_HP", "g4decay", "g4ion-binarycascade", "g4h-elastic_HP", "g4stopping")
_ELECTRON_CUT_NM, _LOWEST_CUT_EV = 10.0, 100.0
"""Range cut of electrons in water, and the energy down to which OpenTOPAS lets it go: 990 eV unless told otherwise."""

_RESERVED = re.compile(r"^\s*(?:includeFile|(?:[a-z]+\s*:\s*)?(?:So|Sc|Ts)/)", re.IGNORECASE | re.MULTILINE)
_NEEDED = ("Ge/World/", "Ge/Counter/", "Ge/Beam/")


@dataclass(frozen=True)
class Counter:
    """What every run of a job has in common.

    Attributes:
        radius_um: of the sphere of water that counts.
        margin_um: by which the radius of the parallel beam is larger; delta electrons from further away are missed.
        buildup_um: water between the plane of the source and the sphere, where delta electrons come up.
        physics: a key of `PHYSICS`.
        template: text of a parameter file of geometry and physics of the user's own; empty for the one written here.

    Raises:
        ValueRangeError: a length is not positive (build-up: negative), or not finite.
        UnknownNameError: the physics is not in the table.
        ConfigError: the template includes files, sets what is set here, or lacks World, Counter or Beam.
    """

    radius_um: float
    margin_um: float
    buildup_um: float
    physics: str = "livermore"
    template: str = ""

    def __post_init__(self) -> None:
        lengths = (self.radius_um, self.margin_um, self.buildup_um)
        if not (all(map(math.isfinite, lengths)) and min(lengths[:2]) > 0 and self.buildup_um >= 0):
            raise ValueRangeError(f"radius and beam margin must be > 0 um, build-up >= 0 um, found {lengths}")
        if self.physics not in PHYSICS:
            raise UnknownNameError(f"unknown physics {self.physics!r}; known: {', '.join(PHYSICS)}")
        _check_template(self.template)

    @property
    def beam_radius_um(self) -> float:
        """Radius of the beam."""
        return self.radius_um + self.margin_um

    @property
    def beam_area_um2(self) -> float:
        """Cross section of the beam."""
        return math.pi * self.beam_radius_um**2


@dataclass(frozen=True)
class IonRun:
    """One run: ions of one kind.

    Attributes:
        species: symbol; the name of the run's folder.
        Z: atomic number.
        A: mass number.
        energies_mev: total kinetic energies at the plane of the source, MeV, ascending.
        weights: share of the histories at each energy; they add up to 1.
        fluence_um2_gy: fluence of these ions at 1 Gy of the whole spectrum, 1/um^2.
        histories: ions shot.
        seed: of the run's random numbers.
    """

    species: str
    Z: int
    A: int
    energies_mev: tuple[float, ...]
    weights: tuple[float, ...]
    fluence_um2_gy: float
    histories: int
    seed: int

    @property
    def particle(self) -> str:
        """Name of the particle in OpenTOPAS; heavier ions are fully stripped."""
        return {1: "proton", 2: "alpha"}.get(self.Z, f"GenericIon({self.Z},{self.A},{self.Z})")


@dataclass(frozen=True)
class TopasRuns:
    """All runs of one voxel's spectrum: what decides the counted events, and nothing else.

    Attributes:
        counter: geometry and physics.
        runs: one per kind of ion.
        spectrum: key of the voxel's spectrum.
    """

    counter: Counter
    runs: tuple[IonRun, ...]
    spectrum: str

    @property
    def key(self) -> str:
        """32 hexadecimal digits of the SHA-256 of all parameter files and weights: the name of the job's folder."""
        decisive = {
            "schema": SCHEMA,
            "parameters": [parameter_text(run, self.counter) for run in self.runs],
            "fluence_um2_gy": [run.fluence_um2_gy for run in self.runs],
        }
        return hashlib.sha256(json.dumps(decisive, sort_keys=True).encode()).hexdigest()[:32]

    @property
    def histories(self) -> int:
        """Ions shot in all runs together."""
        return sum(run.histories for run in self.runs)

    def to_json(self) -> dict[str, Any]:
        """Plain data for `job.json`."""
        return {"schema": SCHEMA, "key": self.key, **asdict(self)}


def parameter_text(run: IonRun, counter: Counter) -> str:
    """The whole parameter file of a run."""
    frame = _placed(counter.template, counter) if counter.template else _water(counter) + _physics(counter.physics)
    title = f"# {run.species}: written by surrogate3d; lineal energy in a sphere of {counter.radius_um:g} um of water\n"
    return "\n".join((title, frame.strip() + "\n", _source(run, counter), _scorer(run, counter)))


def _check_template(text: str) -> None:
    if not text:
        return
    if reserved := _RESERVED.search(text):
        raise ConfigError(
            f"a template holds geometry and physics alone (no includeFile, So/, Sc/ or Ts/), "
            f"found {reserved[0].strip()!r}; source, scorer and seed are written by surrogate3d"
        )
    missing = [name for name in _NEEDED if name.lower() not in text.lower()]
    if missing:
        raise ConfigError(
            f"a template must define {', '.join(_NEEDED)}: the beam starts along +z from the component Beam, and the "
            f"sphere Counter lies at the world's centre; missing: {', '.join(missing)}"
        )


def _placed(template: str, counter: Counter) -> str:
    """The template with its lengths, which it may leave as {radius_um} and {beam_z_um}."""
    beam_z = f"{-counter.radius_um - counter.buildup_um:.9g}"
    return template.replace("{radius_um}", f"{counter.radius_um:.9g}").replace("{beam_z_um}", beam_z)


def _water(counter: Counter) -> str:
    half = 10.0 * (counter.radius_um + max(counter.margin_um, counter.buildup_um))
    placed = "\n".join(f"d:Ge/{{0}}/Trans{axis} = 0. um" for axis in "XY")
    turned = "\n".join(f"d:Ge/{{0}}/Rot{axis} = 0. deg" for axis in "XYZ")
    return f"""s:Ge/World/Material = "G4_WATER"
d:Ge/World/HLX = {half:.9g} um
d:Ge/World/HLY = {half:.9g} um
d:Ge/World/HLZ = {half:.9g} um

s:Ge/Beam/Type = "Group"
s:Ge/Beam/Parent = "World"
{placed.format("Beam")}
d:Ge/Beam/TransZ = {-counter.radius_um - counter.buildup_um:.9g} um
{turned.format("Beam")}

s:Ge/Counter/Type = "TsSphere"
s:Ge/Counter/Parent = "World"
s:Ge/Counter/Material = "G4_WATER"
d:Ge/Counter/RMin = 0. um
d:Ge/Counter/RMax = {counter.radius_um:.9g} um
d:Ge/Counter/SPhi = 0. deg
d:Ge/Counter/DPhi = 360. deg
d:Ge/Counter/STheta = 0. deg
d:Ge/Counter/DTheta = 180. deg
{placed.format("Counter")}
d:Ge/Counter/TransZ = 0. um
{turned.format("Counter")}
d:Ge/Counter/MaxStepSize = {counter.radius_um / 5:.9g} um

"""


def _physics(name: str) -> str:
    modules = " ".join(f'"{module}"' for module in (PHYSICS[name], *_HADRONIC))
    return f"""sv:Ph/Default/Modules = {1 + len(_HADRONIC)} {modules}
d:Ph/Default/EMRangeMin = {_LOWEST_CUT_EV:g} eV
d:Ph/Default/SetProductionCutLowerEdge = {_LOWEST_CUT_EV:g} eV
d:Ph/Default/CutForElectron = {_ELECTRON_CUT_NM:g} nm
"""


def _source(run: IonRun, counter: Counter) -> str:
    n = len(run.energies_mev)
    return f"""s:So/Ion/Type = "Beam"
s:So/Ion/Component = "Beam"
s:So/Ion/BeamParticle = "{run.particle}"
s:So/Ion/BeamEnergySpectrumType = "Discrete"
dv:So/Ion/BeamEnergySpectrumValues = {n} {" ".join(f"{energy:.9g}" for energy in run.energies_mev)} MeV
uv:So/Ion/BeamEnergySpectrumWeights = {n} {" ".join(_rounded_up(run.weights))}
s:So/Ion/BeamPositionDistribution = "Flat"
s:So/Ion/BeamPositionCutoffShape = "Ellipse"
d:So/Ion/BeamPositionCutoffX = {counter.beam_radius_um:.9g} um
d:So/Ion/BeamPositionCutoffY = {counter.beam_radius_um:.9g} um
s:So/Ion/BeamAngularDistribution = "None"
i:So/Ion/NumberOfHistoriesInRun = {run.histories}
"""


def _rounded_up(weights: tuple[float, ...]) -> list[str]:
    """To 1e-9, upwards: OpenTOPAS reads past the last energy when a random number is above the sum of the weights."""
    units = [math.ceil(weight * 1e9) for weight in weights]
    units[-1] += 1
    return [f"{unit * 1e-9:.9f}" for unit in units]


def _scorer(run: IonRun, counter: Counter) -> str:
    # OpenTOPAS holds ten thousand histories of one step for an error; here, where ions may stop at once, they are not.
    # Without GetStatisticInfo the columns of deviations are 0. With it they are the spread of the spectra of a growing
    # part of the events, which is no standard error; it follows from the number of events instead.
    return f"""s:Sc/Scorer/Quantity = "TsYScorer"
s:Sc/Scorer/Component = "Counter"
i:Sc/Scorer/NumberOfHistoriesInRun = So/Ion/NumberOfHistoriesInRun
i:Sc/Scorer/GeometryNumber = 0
d:Sc/Scorer/SensitiveVolumeRadius = {counter.radius_um:.9g} um
d:Sc/Scorer/TissueEquivalentRadius = {counter.radius_um:.9g} um
d:Sc/Scorer/TransX = 0. um
d:Sc/Scorer/TransY = 0. um
d:Sc/Scorer/TransZ = 0. um
u:Sc/Scorer/LinealEnergyLowerlimit = 0.1
u:Sc/Scorer/LinealEnergyUpperlimit = 10000.
b:Sc/Scorer/GetStatisticInfo = "False"
s:Sc/Scorer/OutputType = "ASCII"
s:Sc/Scorer/OutputFile = "Scorer"
s:Sc/Scorer/IfOutputFileAlreadyExists = "Overwrite"

i:Ts/Seed = {run.seed}
i:Ts/NumberOfThreads = 1
b:Ts/QuitIfManyHistoriesSeemAnomalous = "False"
i:Ts/ShowHistoryCountAtInterval = {max(1, run.histories // 10)}
"""
