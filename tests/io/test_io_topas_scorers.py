"""Scorers for a plan: what is asked for fits, and what TOPAS would write for it is read back as asked."""

import math

import numpy as np
import pytest

from surrogate3d.errors import (
    FormatError,
    GridMismatchError,
    QuantityError,
    StoreError,
    UnknownNameError,
    UnsupportedError,
    ValueRangeError,
)
from surrogate3d.io.convert import convert
from surrogate3d.io.topas_parameters import read_parameters
from surrogate3d.io.topas_scorer_request import ScorerRequest, ScoringGrid, scoring_grid
from surrogate3d.io.topas_scorers import MOST_ENTRIES, largest_bins, memory_gb, scorer_block, write_scorers

PLAN = """\
s:Ge/World/Material = "Vacuum"
s:Ge/Phantom/Type = "TsBox"
s:Ge/Phantom/Parent = "World"
s:Ge/Phantom/Material = "G4_WATER"
s:Ge/Grid/Type = "TsBox"
s:Ge/Grid/Parent = "World"
b:Ge/Grid/IsParallel = "True"
d:Ge/Grid/HLX = 5 mm
d:Ge/Grid/HLY = 6 mm
d:Ge/Grid/HLZ = 1 cm
i:Ge/Grid/XBins = 4
i:Ge/Grid/YBins = 3
i:Ge/Grid/ZBins = 5
s:Ge/BeamPosition/Type = "Group"
s:Ge/BeamPosition/Parent = "World"
s:So/Beam/Type = "Beam"
s:So/Beam/Component = "BeamPosition"
s:So/Beam/BeamParticle = "{particle}"
i:So/Beam/NumberOfHistoriesInRun = 1000
i:Ts/Seed = 1
"""
SHAPE = (4, 3, 5)
SPACING_CM = (0.25, 0.4, 0.4)
GRID = ScoringGrid(component="Grid", shape=SHAPE)
COLUMNS = {"Count_In_Bin": "Count_in_Bin", "Histories": "Histories_with_Scorer_Active"}
UNITS = {"DoseToWater": "Gy", "DoseToMedium": "Gy", "ProtonLET": "MeV/mm/(g/cm3)", "Fluence": "/mm2"}


def plan_file(folder, particle="proton", extra=""):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.txt").write_text(PLAN.format(particle=particle) + extra)
    return folder / "plan.txt"


def write_outputs(folder):
    """What TOPAS writes for the plan in the folder, by the specification of the formats; the sums by scorer."""
    parameters = read_parameters(folder / "plan.txt")
    names = [p.name.split("/")[1] for p in parameters if p.name.startswith("Sc/") and p.name.endswith("/Quantity")]
    rng, sums = np.random.default_rng(6), {}
    for name in names:
        setting = f"Sc/{name}"
        quantity = parameters.string(f"{setting}/Quantity")
        bins = parameters.integer(f"{setting}/EBins", 0)
        report = ["Sum"]
        if f"{setting}/Report" in parameters:
            report = next(p for p in parameters if p.name == f"{setting}/Report").text.replace('"', " ").split()[1:]
        sums[name] = 1 + rng.random((*SHAPE, bins + 2 if bins else 1))
        statistics = {"Sum": sums[name], "Histories": np.full_like(sums[name], 1000)}
        values = np.stack([statistics.get(column, 0.5 * sums[name]) for column in report], axis=-1)
        lines = ["TOPAS Version: 4.2.p1", "Parameter File: plan.txt", f"Results for scorer: {name}"]
        for only in ("OnlyIncludeParticlesOfAtomicNumber", "OnlyIncludeParticlesNamed"):
            lines += [f"Filtered by: {only} = {p.text}" for p in parameters if p.name == f"{setting}/{only}"]
        lines.append(f"Scored in component: {parameters.string(f'{setting}/Component')}")
        lines += [f"{a} in {n} bins of {w:g} cm" for a, n, w in zip("XYZ", SHAPE, SPACING_CM, strict=True)]
        columns = "".join(f"{COLUMNS.get(column, column)}   " for column in report)
        lines.append(f"{quantity} ( {UNITS[quantity]} ) : {columns}")
        if bins:
            assert parameters.string(f"{setting}/EBinEnergy") == "PreStep"
            assert parameters.boolean(f"{setting}/EBinLog", False)
            low, high = (parameters.number(f"{setting}/EBin{end}", "energy") for end in ("Min", "Max"))
            step = math.log10(high / low) / bins
            lines.append(f"Binned by pre-step energy in {bins} bins of {step:g} MeV from {low:g} MeV to {high:g} MeV")
            lines.append("First bin is underflow, last bin is overflow.")
        stem = parameters.string(f"{setting}/OutputFile")
        (folder / f"{stem}.binheader").write_text(
            "".join(f"# {line}\n" for line in [*lines, f"Binary file: {stem}.bin"])
        )
        # Z slowest, X fastest, then energy, then statistic
        (folder / f"{stem}.bin").write_bytes(values.transpose(2, 1, 0, 3, 4).astype("<f8").tobytes())
    return sums


def run_folder(folder, particle, request):
    """A plan that includes the block, and its outputs."""
    plan = plan_file(folder, particle)
    grid, threads = scoring_grid("Grid", plan=plan)
    assert threads == 1
    write_scorers(scorer_block(grid, request), folder / "scorers.txt")
    plan.write_text("includeFile = scorers.txt\n" + plan.read_text())
    return write_outputs(folder)


@pytest.mark.parametrize(
    ("beam", "particle", "species"),
    [("proton", "proton", "H He"), ("carbon", "GenericIon(6,12,6)", "H He Li Be B C")],
)
def test_a_run_with_the_block_is_converted_to_what_was_asked_for(tmp_path, beam, particle, species):
    sums = run_folder(tmp_path / "run", particle, ScorerRequest(beam=beam, bins=20, count=True))
    field, report = convert([tmp_path / "run"])

    assert field.spectra.axes.species == tuple(species.split())
    expected = np.geomspace(0.1, 500, 21)
    assert field.spectra.axes.edges_mev_u == pytest.approx(np.tile(expected, (len(species.split()), 1)), rel=1e-5)
    for n, name in enumerate(species.split()):
        scored = sums[f"Fluence_{name}"].astype(np.float32)
        assert (field.spectra.underflow[n] == scored[..., 0]).all()
        assert (np.moveaxis(field.spectra.fluence[n], 0, -1) == scored[..., 1:-1]).all()
        assert (field.spectra.overflow[n] == scored[..., -1]).all()
    volumes = {"dose_to_water": "DoseToWater", "dose_to_medium": "DoseToMedium", "LET_d": "ProtonLETd"}
    for volume, scorer in {**volumes, "LET_t": "ProtonLETt"}.items():
        assert field.volumes[volume].values == pytest.approx(sums[scorer][..., 0])
    assert field.volumes["dose_std"].values == pytest.approx(0.5 * sums["DoseToWater"][..., 0] * np.sqrt(1000))
    assert {name: let.weighting for name, let in field.let_definitions.items()} == {"LET_d": "dose", "LET_t": "track"}
    assert field.histories == 1000
    assert report.files_not_read == ()


def test_hydrogen_by_isotope_joins_by_energy_per_nucleon(tmp_path):
    sums = run_folder(tmp_path / "run", "proton", ScorerRequest(beam="proton", bins=16, isotopes=True))
    field, report = convert([tmp_path / "run"])

    isotopes = ("Fluence_proton", "Fluence_deuteron", "Fluence_triton")
    assert {*isotopes, "Fluence_He"} <= set(sums)
    assert "Fluence_H" not in sums
    assert field.spectra.axes.species == ("H", "He")
    assert report.files_not_read == ()
    # The bins of a deuteron of twice the energy are those of a proton at the same speed.
    together = sum(sums[name] for name in isotopes)
    found = np.moveaxis(field.spectra.fluence[0], 0, -1)
    np.testing.assert_allclose(found, together[..., 1:-1], rtol=1e-6)
    np.testing.assert_allclose(field.spectra.overflow[0], together[..., -1], rtol=1e-6)


def test_isotopes_in_bins_of_their_own_are_refused(tmp_path):
    run_folder(tmp_path / "run", "proton", ScorerRequest(beam="proton", bins=16, isotopes=True))
    path = next(path for path in (tmp_path / "run").glob("*.txt") if "Fluence_deuteron/EBinMax" in path.read_text())
    path.write_text(
        path.read_text().replace("Sc/Fluence_deuteron/EBinMax = 1000 MeV", "Sc/Fluence_deuteron/EBinMax = 500 MeV")
    )
    head = tmp_path / "run" / "Fluence_deuteron.binheader"
    old = np.log10(1000 / 0.2) / 16
    new = np.log10(500 / 0.2) / 16
    text = head.read_text()
    assert f"{old:.6g}" in text
    head.write_text(text.replace(f"{old:.6g}", f"{new:.6g}").replace("to 1000 MeV", "to 500 MeV"))
    with pytest.raises(UnsupportedError, match="bins of deuterons must be 2 times"):
        convert([tmp_path / "run"])


def test_every_species_has_its_filter_and_its_total_energy():
    text = scorer_block(GRID, ScorerRequest(beam="oxygen", isotopes=True, prefix="low_")).text

    for name, A in (("deuteron", 2), ("triton", 3)):
        assert f'sv:Sc/low_Fluence_{name}/OnlyIncludeParticlesNamed = 1 "{name}"' in text
        assert f"d:Sc/low_Fluence_{name}/EBinMin = {A / 10:g} MeV" in text
    for name, Z, A in (
        ("He", 2, 4),
        ("Li", 3, 7),
        ("Be", 4, 9),
        ("B", 5, 11),
        ("C", 6, 12),
        ("N", 7, 14),
        ("O", 8, 16),
    ):
        assert f"i:Sc/low_Fluence_{name}/OnlyIncludeParticlesOfAtomicNumber = {Z}\n" in text
        assert f"d:Sc/low_Fluence_{name}/EBinMin = {A / 10:g} MeV" in text
        assert f"d:Sc/low_Fluence_{name}/EBinMax = {500 * A} MeV" in text
    assert 's:Sc/low_DoseToWater/OutputFile = "low_DoseToWater"' in text
    assert text.count("EBins = 64\n") == 10


def test_the_index_limits_the_bins():
    # 2^31 - 1 over 512 x 512 x 256 voxels is 31, three of them beside the bins
    grid = ScoringGrid(component="Patient", shape=(512, 512, 256), spacing_mm=(1.0, 1.0, 1.0))
    request = ScorerRequest(beam="proton", memory_gb=1e6)
    block = scorer_block(grid, request)

    assert block.bins == largest_bins(grid, request, False) == 28
    assert grid.n_voxels * (block.bins + 3) <= MOST_ENTRIES < grid.n_voxels * (block.bins + 4)
    assert "i:Sc/Fluence_H/EBins = 28" in block.text
    assert "only 28 of 64 energy bins" in block.warnings[0]
    assert "--memory" not in block.warnings[0]


def test_memory_counts_every_thread_and_limits_the_bins():
    # 200^3 with sum, mean and deviation: 256 MB a thread; here dose, medium, two ratios, and 2 x (64 + 3) sums
    grid = ScoringGrid(component="Grid", shape=(200, 200, 200))
    one = 200**3 * 8e-9 * (4 + 1 + 4 + 2 * 67)

    assert memory_gb(grid, ScorerRequest(beam="proton"), 64, False) == pytest.approx(2 * one)
    assert memory_gb(grid, ScorerRequest(beam="proton", threads=24), 64, False) == pytest.approx(25 * one)
    tight = ScorerRequest(beam="proton", memory_gb=memory_gb(grid, ScorerRequest(beam="proton"), 40, False))
    assert largest_bins(grid, tight, False) == 40
    block = scorer_block(grid, tight)
    assert block.bins == 40
    assert block.memory_gb <= tight.memory_gb
    assert "or give --memory 19" in block.warnings[0]


def test_fewer_than_sixteen_bins_are_refused_with_the_spacing_that_fits():
    grid = ScoringGrid(component="Patient", shape=(512, 512, 512), spacing_mm=(1.0, 1.0, 2.0))
    with pytest.raises(ValueRangeError, match="coarser parallel grid") as refusal:
        scorer_block(grid, ScorerRequest(beam="proton", memory_gb=1e6))

    found = [int(word) for word in str(refusal.value).split("grid: ")[1].split(" voxels")[0].split(" x ")]
    assert math.prod(found) * 67 <= MOST_ENTRIES
    assert math.prod(found) * 67 > 0.8 * MOST_ENTRIES
    assert f"({512 / found[0]:.3g} x {512 / found[1]:.3g} x {1024 / found[2]:.3g} mm)" in str(refusal.value)
    with pytest.raises(ValueRangeError, match=r"give --memory 1$"):
        scorer_block(GRID, ScorerRequest(beam="proton", memory_gb=1e-6))


def test_bins_that_were_asked_for_are_given_or_refused():
    grid = ScoringGrid(component="Patient", shape=(512, 512, 256))
    assert scorer_block(grid, ScorerRequest(beam="proton", bins=20, memory_gb=1e6)).bins == 20
    with pytest.raises(ValueRangeError, match=r"room for 40 energy bins .* found it for 28 "):
        scorer_block(grid, ScorerRequest(beam="proton", bins=40, memory_gb=1e6))
    assert scorer_block(GRID, ScorerRequest(beam="proton", bins=200)).bins == 200


def test_counts_give_way_to_bins():
    grid = ScoringGrid(component="Grid", shape=(100, 100, 100))
    enough = memory_gb(grid, ScorerRequest(beam="proton"), 64, True)
    with_counts = scorer_block(grid, ScorerRequest(beam="proton", count=True, memory_gb=1.001 * enough))
    without = scorer_block(grid, ScorerRequest(beam="proton", count=True, memory_gb=0.9 * enough))

    assert with_counts.count
    assert with_counts.warnings == ()
    assert 'sv:Sc/Fluence_H/Report = 2 "Sum" "Count_In_Bin"' in with_counts.text
    assert (without.count, without.bins) == (False, 64)
    assert "counts do not fit" in without.warnings[0]
    assert "Count_In_Bin" not in without.text


def test_the_plan_gives_the_grid_and_the_threads(tmp_path):
    grid, threads = scoring_grid("Grid", plan=plan_file(tmp_path, extra="i:Ts/NumberOfThreads = 8\n"))

    assert (grid.shape, threads) == (SHAPE, 8)
    assert grid.spacing_mm == pytest.approx((2.5, 4.0, 4.0))
    assert grid.is_parallel
    assert grid.mass_components == ("Phantom",)
    assert scoring_grid("Grid", SHAPE, plan_file(tmp_path))[0].shape == SHAPE
    every_core = plan_file(tmp_path, extra="i:Ts/NumberOfThreads = 0\n")
    with pytest.raises(ValueRangeError, match="--threads"):
        ScorerRequest(beam="proton", threads=scoring_grid("Grid", plan=every_core)[1])


def test_step_limits_are_advised_where_they_work(tmp_path):
    grid, _ = scoring_grid("Grid", plan=plan_file(tmp_path))
    block = scorer_block(grid, ScorerRequest(beam="proton"))

    assert block.step_limit_mm == pytest.approx(0.05)
    assert "#   d:Ge/Phantom/MaxStepSize = 0.05 mm" in block.text
    assert "Ge/Grid/MaxStepSize" not in block.text
    assert "uncertain" in block.text
    unknown = scorer_block(GRID, ScorerRequest(beam="proton"))
    assert unknown.step_limit_mm is None
    assert "size / 50" in unknown.text
    divided = ScoringGrid(component="Tank", shape=SHAPE, spacing_mm=(1.0, 1.0, 1.0), is_parallel=False)
    alone = scorer_block(divided, ScorerRequest(beam="proton"))
    assert "d:Ge/Tank/MaxStepSize = 0.02 mm" in alone.text
    assert "parallel" not in alone.text


def test_what_the_plan_has_already_is_not_mixed_with_the_block(tmp_path):
    plan = plan_file(tmp_path, extra='s:Sc/DoseToWater/Quantity = "DoseToWater"\n')
    with pytest.raises(QuantityError, match="DoseToWater is there already"):
        scoring_grid("Grid", plan=plan)
    assert scoring_grid("Grid", plan=plan, prefix="s3d_")[0].shape == SHAPE


def test_foreign_components_and_shapes_are_refused(tmp_path):
    plan = plan_file(tmp_path)
    with pytest.raises(UnsupportedError, match="no component Tank; it has BeamPosition, Grid, Phantom, World"):
        scoring_grid("Tank", plan=plan)
    with pytest.raises(UnsupportedError, match="score on a divided TsBox"):
        scoring_grid("Phantom", plan=plan)
    with pytest.raises(GridMismatchError, match="--shape says"):
        scoring_grid("Grid", (4, 3, 6), plan)
    with pytest.raises(QuantityError, match="--shape NX,NY,NZ or --plan"):
        scoring_grid("Grid")
    plan.write_text("no parameters\n")
    with pytest.raises(FormatError):
        scoring_grid("Grid", plan=plan)


@pytest.mark.parametrize(
    ("wrong", "error", "match"),
    [
        ({"beam": "neon"}, UnknownNameError, "proton, helium, carbon, oxygen"),
        ({"beam": "proton", "prefix": "a b"}, UnknownNameError, "prefix"),
        ({"beam": "proton", "bins": 15}, ValueRangeError, "at least 16"),
        ({"beam": "proton", "memory_gb": 0.0}, ValueRangeError, "memory"),
        ({"beam": "proton", "threads": 0}, ValueRangeError, "--threads"),
    ],
)
def test_impossible_requests_are_refused(wrong, error, match):
    with pytest.raises(error, match=match):
        ScorerRequest(**wrong)


def test_impossible_grids_are_refused():
    with pytest.raises(ValueRangeError, match="one or more bins"):
        ScoringGrid(component="Grid", shape=(0, 3, 4))
    for name in ("", "my grid", 'Grid"'):
        with pytest.raises(UnknownNameError, match="name of a component"):
            ScoringGrid(component=name, shape=SHAPE)


def test_an_older_file_is_not_overwritten_unasked(tmp_path):
    block = scorer_block(GRID, ScorerRequest(beam="proton"))
    write_scorers(block, tmp_path / "scorers.txt")
    with pytest.raises(StoreError, match="exists already"):
        write_scorers(block, tmp_path / "scorers.txt")
    write_scorers(block, tmp_path / "scorers.txt", overwrite=True)
    assert (tmp_path / "scorers.txt").read_text() == block.text
