"""Whole TOPAS run folders, and their parameter files alone.

In a run folder a header may change nothing: the parameter file says the same. A parameter may change what TOPAS lets it
decide and no header repeats.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from benchmarks.fuzz.case import GONE, Reading, Seed, Target
from benchmarks.fuzz.corpus import FIXTURES, files_of, made
from benchmarks.fuzz.mutate import BYTES, FOLDER, TEXT
from benchmarks.fuzz.places import corners, touched_lines
from surrogate3d.grid import DoseField, Field
from surrogate3d.io.convert import read_run
from surrogate3d.io.given import Given
from surrogate3d.io.topas_geometry import beam_direction, component_grid, energy_edges, histories, seed
from surrogate3d.io.topas_header import read_header
from surrogate3d.io.topas_parameters import read_parameters
from tests.io.topas_writer import write_run

_ASSIGNED = re.compile(r"^\s*(?:\w*:)?\s*([^\s=:]+)\s*=")
_PARAMETERS = (  # what a parameter may change, by its name
    (r"^includefile$", "corners beam histories dose_std primary seed LET* let_definitions"),
    (r"^tf/", "corners beam histories dose_std"),
    (r"^ge/.*/(type|parent|trans[xyz]|rot[xyz])$", "corners beam"),
    (r"^so/.*/beamparticle$", "primary"),
    (r"^so/.*/(type|component)$", "beam histories dose_std primary"),
    (r"^so/.*/numberofhistories", "histories dose_std"),
    (r"^so/", "beam"),
    (r"^ts/seed$", "seed"),
    (r"^sc/let.*/(weightby|maxscoredlet|useprestep)", "LET* unit* let_definitions"),
    (r"^sc/.*proton.*/(weightby|maxscoredlet|useprestep)", "LET* unit* let_definitions"),
)
_BODY = {  # of a run folder, by the quantity of the file: what its rows may change
    "DoseToWater": "dose_to_water dose_std LET*",
    "DoseToMedium": "dose_to_medium dose_std LET*",
    "LET": "LET*",
    "Fluence": "spectra* LET_t",  # by which LET_t is weighted, even of one run
}


def field_reading(field: DoseField) -> Reading:
    """Everything but provenance."""
    found: Reading = {name: volume.values for name, volume in field.volumes.items()}
    found |= {f"unit {name}": volume.quantity for name, volume in field.volumes.items()}
    found |= {"shape": field.grid.shape, "corners": corners(field.grid), "primary": field.primary}
    found |= {"let_definitions": field.let_definitions, "prescription": field.prescription}
    found |= {"beam": [(beam.direction, beam.weight) for beam in field.beams]}
    if isinstance(field, Field):
        sets = {"whole": field.spectra, **{f"half {n}": half for n, half in enumerate(field.halves)}}
        for name, spectra in sets.items():
            found |= {f"spectra {name} {part}": getattr(spectra, part) for part in ("fluence", "underflow", "overflow")}
        found |= {"species": field.spectra.axes.species, "edges": np.asarray(field.spectra.axes.edges_mev_u)}
        found |= {"histories": field.histories, "axis": (field.beam_axis, field.beam_sign)}
        found |= {f"half {n} dose": dose for n, dose in enumerate(field.halves_dose)}
    found |= {f"beam {n} dose": dose for n, dose in enumerate(field.beams_dose)}
    return found


def _read_run(folder: Path, seed: Seed) -> Reading:
    return field_reading(read_run(folder))


def parameter_names(old: bytes, new: bytes) -> set[str]:
    """What the parameters of the lines that differ may change; a value runs on, so the line before counts too."""
    changed = set(touched_lines(old, new))
    found: set[str] = set()
    for content in (old, new):
        last = ""
        for line in re.split("\r\n|\r|\n", content.decode("latin-1")):
            name = _ASSIGNED.match(line)
            for each in (last, line) if line.rstrip("\r") in {c.rstrip("\r") for c in changed} else ():
                found |= _names_of(each)
            last = line if name else last
    return found


def _names_of(line: str) -> set[str]:
    found = _ASSIGNED.match(line)
    name = found[1].lower() if found else ""
    names = next((names for pattern, names in _PARAMETERS if re.search(pattern, name)), "")
    return {*names.split(), *(["axis"] if "beam" in names else [])}


def _run_may_change(seed: Seed, name: str, old: bytes, new: bytes) -> set[str]:
    if name.endswith((".txt", ".inc")):
        return parameter_names(old, new)
    quantity = next((q for q in _BODY if q in name), "")
    body = set(_BODY.get(quantity, "").split())
    if name.endswith(".bin"):
        return body
    if new == GONE:  # nobody can know of what is not there
        return {*body, "unit*", "let_definitions", "species", "edges", "primary"}
    if name.endswith(".binheader") and new in seed.files.values():
        return body  # a header under another name: files may be renamed, and then the .bin of the same name counts
    lines = touched_lines(old, new)
    return body if lines and all(not line.startswith("#") for line in lines) else set()


def run_seeds() -> list[Seed]:
    """The real fixture, and small runs with all volumes, several species, rotations and includes."""
    rng = np.random.default_rng(3)
    shape = (2, 3, 4)
    plain = made(lambda folder: write_run(folder / "r", shape=shape, parameters=_stated((1,))))
    volumes = {name: 1 + rng.random(shape) for name in ("DoseToWater", "DoseToMedium", "LETd", "LETt")}
    rich_ones = (1, 2)
    fluence = {z: rng.random((*shape, 4)) for z in rich_ones}
    extra = _stated(rich_ones)
    extra += 's:Sc/DoseToMedium/Quantity = "DoseToMedium"\n'
    extra += 'sv:Sc/DoseToWater/Report = 2 "Sum" "Standard_Deviation"\n'
    extra += "d:Ge/Grid/TransX = 5 mm\nd:Ge/Grid/RotY = 30 deg\nd:Ge/BeamPosition/RotX = 90 deg\n"
    rich = made(
        lambda folder: write_run(
            folder / "r", shape=shape, fluence=fluence, parameters=extra, std=rng.random(shape), **volumes
        )
    )
    return [
        Seed("plain", _flat(plain)),
        Seed("rich", _flat(rich)),
        Seed("real", files_of(FIXTURES / "topas")),
        Seed("real, parameters", files_of(FIXTURES / "topas"), victims=("fixture.txt",)),
    ]


def _stated(charges: tuple[int, ...]) -> str:
    """What TOPAS needs to be told of the scorers, and the writer of tests leaves out."""
    lines = ['s:Sc/DoseToWater/Quantity = "DoseToWater"']
    for z in charges:
        lines.append(f's:Sc/Fluence_Z{z}/Quantity = "Fluence"')
        lines.append(f"i:Sc/Fluence_Z{z}/OnlyIncludeParticlesOfAtomicNumber = {z}")
    return "".join(f"{line}\n" for line in lines)


def _flat(files: dict[str, bytes]) -> dict[str, bytes]:
    """Files without their folder, and headers with the name of their binary file."""
    flat = {Path(name).name: content for name, content in files.items()}
    for name in flat:
        if name.endswith(".binheader"):
            flat[name] += f"# Binary file: {name.replace('.binheader', '.bin')}\n".encode()
    return flat


def _read_parameters(folder: Path, seed_: Seed) -> Reading:
    parameters = read_parameters(folder / seed_.options["file"])
    head = read_header(folder / "out.binheader")
    grid = component_grid(parameters, head)
    return {
        "shape": grid.shape,
        "corners": corners(grid),
        "beam": np.asarray(beam_direction(parameters, Given(), head.component)),
        "histories": histories(parameters, Given()),
        "seed": seed(parameters),
        "edges": energy_edges(parameters, head),
    }


_HEAD = """# TOPAS Version: 4.2.p1
# Parameter File: run.txt
# Results for scorer: F
# Filtered by: OnlyIncludeParticlesOfAtomicNumber = 1
# Scored in component: Grid
# X in 2 bins of 0.2 cm
# Y in 3 bins of 0.2 cm
# Z in 4 bins of 0.2 cm
# Fluence ( /mm2 ) : Sum
# Binned by pre-step energy in 2 bins of 10 MeV from 0 MeV to 20 MeV
# First bin is underflow, last bin is overflow.
"""
_TOP = """includeFile = geometry.inc source.inc
d:Ge/Grid/HLX = 0.2 cm # half of it
d:Ge/Grid/HLY = Ge/Grid/HLX + 1 mm
d:Ge/Grid/HLZ = 0.4
   cm
i:Ts/Seed = 5
s:Ge/Grid/Parent = "Holder"
i:Sc/F/EBins = 2
d:Sc/F/EBinMin = 0 MeV
d:Sc/F/EBinMax = 10 * Ge/Unit MeV
d:Ge/Unit = 2 MeV
s:Ge/Word = "Step"
s:Sc/F/EBinEnergy = "Pre" + Ge/Word
d:Tf/TimelineEnd = 2 s
i:Tf/NumberOfSequentialTimes = 2
s:Tf/Gantry/Function = "Step"
dv:Tf/Gantry/Times = 2 1 2 s
dv:Tf/Gantry/Values = 2 10 20 deg
"""
_GEOMETRY = """s:Ge/Holder/Type = "Group"
s:Ge/Holder/Parent = "World"
d:Ge/Holder/RotZ = -15.5 deg
d:Ge/Holder/TransZ = 1.5e1 cm
s:Ge/Grid/Type = "TsBox"
s:Ge/Grid/Parent = "World"
iC:Ge/Grid/XBins = 2
i:Ge/Grid/YBins = 3
i:Ge/Grid/ZBins = 4
d:Ge/Grid/TransX = -1 * Ge/Holder/TransZ cm
d:Ge/Grid/RotY = 30 deg
"""
_SOURCE = """s:So/Beam/Type = "Beam"
s:So/Beam/Component = "BeamPosition"
i:So/Beam/NumberOfHistoriesInRun = 100
s:So/Beam/BeamParticle = "proton"
d:Ge/BeamPosition/RotX = 90. deg
d:Ge/BeamPosition/TransY = 20. cm
"""


def parameter_seeds() -> list[Seed]:
    """A chain of included files with expressions, vectors, continuation lines and a time feature; and the real one."""
    texts = {"run.txt": _TOP, "geometry.inc": _GEOMETRY, "source.inc": _SOURCE, "out.binheader": _HEAD}
    chain = {name: text.encode() for name, text in texts.items()}
    real = FIXTURES / "topas"
    head = b"".join((real / "fixture_Fluence_H.csv").read_bytes().splitlines(keepends=True)[:11])
    fixture = {"fixture.txt": (real / "fixture.txt").read_bytes(), "out.binheader": head}
    return [
        Seed("chain", chain, ("run.txt", "geometry.inc", "source.inc"), {"file": "run.txt"}),
        Seed("real", fixture, ("fixture.txt",), {"file": "fixture.txt"}),
    ]


def _parameters_may_change(seed: Seed, name: str, old: bytes, new: bytes) -> set[str]:
    return parameter_names(old, new)


# Lengths of header and parameter file agree within the six digits that a header prints.
_PRINTED = {"corners": 1e-2, "edges": 1e-2}
TARGETS = (
    Target("run", run_seeds, _read_run, (*TEXT, *TEXT, *BYTES, *FOLDER), _run_may_change, close=_PRINTED, share=3),
    Target("parameters", parameter_seeds, _read_parameters, (*TEXT, *BYTES), _parameters_may_change, close=_PRINTED),
)
