"""Parameter files of TOPAS jobs: read back by the reader of parameter files, and by what OpenTOPAS checks itself."""

import re
import runpy
from dataclasses import replace
from pathlib import Path

import pytest

from surrogate3d.errors import ConfigError, UnknownNameError, ValueRangeError
from surrogate3d.io.topas_job import Counter, IonRun, TopasRuns, parameter_text
from surrogate3d.io.topas_parameters import read_parameters

COUNTER = Counter(radius_um=0.9, margin_um=2.0, buildup_um=1.5)
CARBON = IonRun("C", 6, 12, (1200.0, 3600.0, 4200.0), (1 / 3, 1 / 7, 1 - 1 / 3 - 1 / 7), 0.4, 5000, 77)
PROTON = replace(CARBON, species="H", Z=1, A=1, energies_mev=(10.0,), weights=(1.0,), seed=78)
RUNS = TopasRuns(COUNTER, (PROTON, CARBON), "ab")
TEMPLATE = """s:Ge/World/Material = "Vacuum"
d:Ge/Beam/TransZ = {beam_z_um} um
d:Ge/Counter/RMax = {radius_um} um
sv:Ph/Default/Modules = 1 "g4em-dna"
"""
STAND_IN = runpy.run_path(str(Path(__file__).parents[1] / "direct" / "stand_in_topas.py"))

SCORER_NAMES = {
    "Quantity", "Component", "NumberOfHistoriesInRun", "GeometryNumber", "SensitiveVolumeRadius",
    "TissueEquivalentRadius", "TransX", "TransY", "TransZ", "LinealEnergyLowerlimit", "LinealEnergyUpperlimit",
    "GetStatisticInfo", "OutputType", "OutputFile", "IfOutputFileAlreadyExists",
}  # fmt: skip
"""Read in TsYScorer.cc and TsVScorer.cc."""


def parameters_of(run, tmp_path, counter=COUNTER):
    path = tmp_path / "parameters.txt"
    path.write_text(parameter_text(run, counter))
    STAND_IN["check"](STAND_IN["read"](path))
    return read_parameters(path)


def test_the_source_shoots_total_kinetic_energies_with_their_weights(tmp_path):
    found = parameters_of(CARBON, tmp_path)
    assert found.string("So/Ion/BeamParticle") == "GenericIon(6,12,6)"  # as example_sphTEPC.txt: 3600 MeV at 300 MeV/u
    assert found.string("So/Ion/BeamEnergySpectrumType") == "Discrete"
    assert found.numbers("So/Ion/BeamEnergySpectrumValues", "energy") == (1200.0, 3600.0, 4200.0)
    text = (tmp_path / "parameters.txt").read_text()
    weights = [float(word) for word in re.search(r"SpectrumWeights = 3 (.*)", text)[1].split()]
    assert weights == pytest.approx(CARBON.weights, abs=3e-9)
    assert 1.0 <= sum(weights) < 1.000001  # below 1 OpenTOPAS reads past the last energy, above 1.001 it stops
    assert found.integer("So/Ion/NumberOfHistoriesInRun") == found.integer("Sc/Scorer/NumberOfHistoriesInRun") == 5000
    assert found.integer("Ts/Seed") == 77


def test_the_beam_is_wider_than_the_counter_and_starts_before_it(tmp_path):
    found = parameters_of(PROTON, tmp_path)
    assert found.string("So/Ion/BeamParticle") == "proton"
    assert parameters_of(replace(PROTON, species="He", Z=2, A=4), tmp_path).string("So/Ion/BeamParticle") == "alpha"
    assert found.number("Ge/Counter/RMax", "length") == pytest.approx(0.9e-3)
    assert found.number("Sc/Scorer/TissueEquivalentRadius", "length") == pytest.approx(0.9e-3)
    assert found.number("So/Ion/BeamPositionCutoffX", "length") == pytest.approx(2.9e-3)
    assert found.number("Ge/Beam/TransZ", "length") == pytest.approx(-2.4e-3)
    assert found.number("Ge/World/HLZ", "length") > 10 * 2.4e-3
    assert COUNTER.beam_area_um2 == pytest.approx(26.42, rel=1e-3)


def test_the_scorer_uses_names_that_the_extension_reads(tmp_path):
    found = parameters_of(CARBON, tmp_path)
    names = {parameter.name.rpartition("/")[2] for parameter in found if parameter.name.lower().startswith("sc/scorer")}
    assert names == SCORER_NAMES


def test_a_run_has_one_source_for_several_would_pile_up():
    for run in RUNS.runs:
        assert len(re.findall(r"^s:So/\w+/Type", parameter_text(run, COUNTER), re.MULTILINE)) == 1


@pytest.mark.parametrize(("name", "module"), [("livermore", "g4em-livermore"), ("opt4", "g4em-standard_opt4")])
def test_physics_are_lists_of_modules(name, module, tmp_path):
    modules = parameters_of(PROTON, tmp_path, replace(COUNTER, physics=name)).strings("Ph/Default/Modules")
    assert modules[0] == module
    assert len(modules) == 6


def test_the_key_is_of_all_that_decides_the_spectrum():
    other = [
        replace(RUNS, runs=(PROTON,)),
        replace(RUNS, runs=(PROTON, replace(CARBON, seed=79))),
        replace(RUNS, runs=(PROTON, replace(CARBON, histories=5020))),
        replace(RUNS, runs=(PROTON, replace(CARBON, fluence_um2_gy=0.5))),
        replace(RUNS, counter=replace(COUNTER, radius_um=0.8)),
        replace(RUNS, counter=replace(COUNTER, physics="penelope")),
        replace(RUNS, counter=replace(COUNTER, template=TEMPLATE)),
    ]
    keys = {runs.key for runs in (RUNS, *other)}
    assert len(keys) == 8
    assert all(re.fullmatch("[0-9a-f]{32}", key) for key in keys)
    assert replace(RUNS).key == RUNS.key


def test_a_template_brings_its_own_geometry_and_physics(tmp_path):
    text = parameter_text(PROTON, replace(COUNTER, template=TEMPLATE))
    assert "d:Ge/Beam/TransZ = -2.4 um" in text
    assert "d:Ge/Counter/RMax = 0.9 um" in text
    assert "g4em-livermore" not in text
    assert "G4_WATER" not in text


SET_HERE = (
    "includeFile = mine.txt",
    "i:Ts/Seed = 3",
    "Ts/Seed = 4",
    's:So/Mine/Type = "Beam"',
    "  dc:Sc/A/TransX = 0. mm",
)


@pytest.mark.parametrize("line", SET_HERE)
def test_a_template_that_sets_what_is_set_here_is_refused(line):
    with pytest.raises(ConfigError, match="geometry and physics alone"):
        replace(COUNTER, template=TEMPLATE + line + "\n")


def test_a_template_without_a_counter_is_refused():
    with pytest.raises(ConfigError, match=r"missing: Ge/Counter/"):
        replace(COUNTER, template=TEMPLATE.replace("Ge/Counter", "Ge/Site"))


@pytest.mark.parametrize("change", [{"radius_um": 0.0}, {"margin_um": -1.0}, {"buildup_um": float("nan")}])
def test_lengths_without_sense_are_refused(change):
    with pytest.raises(ValueRangeError, match="um"):
        replace(COUNTER, **change)


def test_unknown_physics_are_refused():
    with pytest.raises(UnknownNameError, match=r"livermore, penelope, opt4"):
        replace(COUNTER, physics="standard")


def test_electrons_are_followed_below_the_usual_limit_of_990_eV(tmp_path):
    found = parameters_of(PROTON, tmp_path)
    assert found.number("Ph/Default/SetProductionCutLowerEdge", "energy") == pytest.approx(1e-4)
    assert found.number("Ph/Default/CutForElectron", "length") == pytest.approx(1e-5)
