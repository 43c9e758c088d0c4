import shutil
from pathlib import Path

import numpy as np
import pytest
from topas_writer import SCORER, header, write_bin, write_csv, write_run

from surrogate3d.errors import (
    FormatError,
    GeometryError,
    GridMismatchError,
    PrescriptionError,
    QuantityError,
    UnsupportedError,
    ValueRangeError,
)
from surrogate3d.io.convert import PrescribeRequest, convert, read_run
from surrogate3d.io.topas_merge import balanced_halves
from surrogate3d.io.topas_run import read_topas_run

FIXTURE = Path(__file__).parents[1] / "fixtures" / "topas"
SHAPE = (2, 3, 4)
ONES = np.ones(SHAPE)


@pytest.fixture
def real(tmp_path):
    """A copy of the real run, to be damaged."""
    return shutil.copytree(FIXTURE, tmp_path / "fixture")


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def csv_column(name, column=3):
    return np.loadtxt(FIXTURE / name, delimiter=",", comments="#")[:, column]


# ------------------------------------------------------------------------------------------------ one run


def test_real_run():
    field = read_run(FIXTURE)
    assert field.grid.shape == (6, 5, 12)
    assert set(field.volumes) == {"dose_to_water", "dose_to_medium", "dose_std", "LET_d", "LET_t"}
    assert (field.histories, field.beam_axis, field.beam_sign) == (4000, 2, 1)
    assert field.prescription is None
    assert field.halves == ()
    assert field.spectra.axes.species == ("H",)
    assert field.spectra.fluence.shape == (1, 64, 6, 5, 12)
    assert field.spectra.fluence.dtype == np.float32
    np.testing.assert_allclose(field.spectra.axes.edges_mev_u[0], np.geomspace(0.1, 500, 65), rtol=1e-12)


def test_real_values_against_a_plain_reading():
    field = read_run(FIXTURE)
    dose = csv_column("fixture_DoseToMedium.csv").reshape((6, 5, 12), order="F")
    np.testing.assert_array_equal(field.volumes["dose_to_medium"].values, dose)
    table = np.loadtxt(FIXTURE / "fixture_Fluence_H.csv", delimiter=",", comments="#")
    spectra = table.reshape((6, 5, 12, 66), order="F")
    np.testing.assert_allclose(field.spectra.fluence[0], np.moveaxis(spectra[..., 1:-1], -1, 0), rtol=1e-7)
    np.testing.assert_allclose(field.spectra.underflow[0], spectra[..., 0], rtol=1e-7)
    raw = np.fromfile(FIXTURE / "fixture_DoseToWater.bin").reshape(12, 5, 6, 3).T
    np.testing.assert_array_equal(field.dose, raw[0])
    np.testing.assert_allclose(field.volumes["dose_std"].values, raw[1] * np.sqrt(4000))


def test_real_dose_std_is_the_spread_between_runs(topas_data):
    a, b = (read_run(topas_data(name)) for name in ("proton_shallow_high", "proton_shallow_highB"))
    high = a.dose > 0.2 * a.dose.max()
    sigma = np.hypot(a.volumes["dose_std"].values, b.volumes["dose_std"].values)[high]
    z = (a.dose - b.dose)[high] / sigma
    assert z.std() == pytest.approx(1, abs=0.1)
    assert abs(z.mean()) < 0.1


def test_let_has_no_value_where_nothing_was_scored():
    field = read_run(FIXTURE)
    zero = csv_column("fixture_ProtonLETd.csv").reshape((6, 5, 12), order="F") == 0
    np.testing.assert_array_equal(np.isnan(field.volumes["LET_d"].values), zero | (field.dose == 0))
    assert np.nanmin(field.volumes["LET_t"].values) > 0


def test_let_definitions_come_from_the_parameter_file(tmp_path):
    definitions = read_run(FIXTURE).let_definitions
    assert definitions["LET_d"].weighting == "dose"
    assert definitions["LET_d"].max_scored_kev_um == 100  # default of TsScoreProtonLET
    assert definitions["LET_t"].weighting == "track"
    assert definitions["LET_t"].max_scored_kev_um is None
    more = "d:Sc/LETd/MaxScoredLET = 25 MeV/mm/(g/cm3)\n"
    capped = read_run(write_run(tmp_path / "a", parameters=more, DoseToWater=ONES, LETd=ONES))
    assert capped.let_definitions["LET_d"].max_scored_kev_um == 25
    lookup = 'b:Sc/LETd/UsePreStepLookup = "True"\n'
    looked_up = read_run(write_run(tmp_path / "b", parameters=lookup, DoseToWater=ONES, LETd=ONES))
    assert looked_up.let_definitions["LET_d"].max_scored_kev_um is None


def test_energy_is_divided_by_the_mass_number_and_species_ascend(tmp_path):
    fluence = {6: np.full((*SHAPE, 4), 6.0), 1: np.full((*SHAPE, 4), 1.0), 2: np.full((*SHAPE, 4), 2.0)}
    spectra = read_run(write_run(tmp_path / "run", fluence=fluence)).spectra
    assert spectra.axes.species == ("H", "He", "C")
    # The writer bins 0 to 20 Z MeV of total energy; mass numbers are 1, 4 and 12.
    np.testing.assert_allclose(spectra.axes.edges_mev_u[:, -1], [20 / 1, 40 / 4, 120 / 12])
    np.testing.assert_array_equal(spectra.fluence[:, 0, 0, 0, 0], [1, 2, 6])


def test_underflow_and_overflow_are_kept_and_reported(tmp_path):
    values = np.zeros((*SHAPE, 4))
    values[...] = [1, 3, 4, 2]
    field, report = convert([write_run(tmp_path / "run", fluence={1: values})])
    assert (field.spectra.underflow == 1).all()
    assert (field.spectra.overflow == 2).all()
    assert report.outside["H"] == pytest.approx((0.1, 0.2))


def test_named_particles_stand_for_their_element(topas_data):
    field, report = convert([topas_data("proton_rbe_v79")])
    assert field.spectra.axes.species == ("H", "He")
    np.testing.assert_allclose(field.spectra.axes.edges_mev_u[1], np.arange(65) / 4)  # 0 to 64 MeV in 64 bins, alpha
    assert any('"proton" stands for all H' in note for note in report.notes)
    assert any(f["particles"] == 'OnlyIncludeParticlesNamed = 1 "alpha"' for f in field.provenance["runs"][0]["files"])
    skipped = {n.name: n.reason for n in report.files_not_read}
    assert set(skipped) == {f"p_sobp_{m}_RBE.csv" for m in ("McNamara", "Wedenberg", "Carabe")}
    assert "survival fraction" in skipped["p_sobp_Carabe_RBE.csv"]


def test_carbon_with_six_species(topas_data):
    field = read_run(topas_data("carbon_slab_low"))
    assert field.spectra.axes.species == ("H", "He", "Li", "Be", "B", "C")
    np.testing.assert_allclose(field.spectra.axes.edges_mev_u, np.tile(np.geomspace(0.1, 500, 65), (6, 1)), rtol=1e-9)
    raw = np.fromfile(topas_data("carbon_slab_low") / "carbon_slab_low_Fluence_C.bin").reshape(64, 20, 20, 66)
    assert field.spectra.fluence[5, 40, 9, 11, 3] == np.float32(raw[3, 11, 9, 41])


def test_files_are_recognised_by_their_headers_not_their_names(real):
    (real / "fixture_DoseToMedium.csv").rename(real / "abc.csv")
    assert "dose_to_medium" in read_run(real).volumes


def test_what_is_not_read_is_listed_with_the_reason(real):
    (real / "table.csv").write_text("a, b\n")
    (real / "beam.phsp").write_bytes(b"")
    head = header("Net", "SurfaceTrackCount", (1, 1, 1)).replace("in component: Grid", "on surface: Grid/ZPlus")
    (real / "surface.csv").write_text(head + "1\n")
    _, report = convert([real])
    reasons = {n.name: n.reason for n in report.files_not_read}
    assert "DICOM" in reasons["fixture_DoseDicom.dcm"]
    assert "not the output" in reasons["table.csv"]
    assert "phase space" in reasons["beam.phsp"]
    assert "surface scorer" in reasons["surface.csv"]


def test_provenance_names_files_without_paths(real):
    field, report = convert([real])
    run = field.provenance["runs"][0]
    assert field.provenance["topas_version"] == "4.2.p1"
    assert (run["histories"], run["seed"], run["parameter_file"]) == (4000, 301, "fixture.txt")
    names = {f["name"] for f in run["files"]}
    assert {"fixture_DoseToWater.bin", "fixture_DoseToWater.binheader", "fixture.txt"} <= names
    assert str(real.parent) not in str(field.provenance)
    assert str(real.parent) not in str(report.to_json())
    # sha256 of the archive's own file, computed with coreutils
    sha = "bb3ced0d6bf7775c356f1374bd250fc83f13fd586c1a9fa2a58024eb6d9883c1"
    assert next(f["sha256"] for f in run["files"] if f["name"] == "fixture_DoseToWater.bin") == sha


def test_row_order_of_a_build_that_does_not_tell_is_seen_in_the_other_files(real):
    expected = read_run(real).spectra.fluence
    for path in (*real.glob("*.csv"), *real.glob("*.binheader")):
        edit(path, "TOPAS Version: 4.2.p1", "TOPAS Version: 4.0")
    np.testing.assert_array_equal(read_run(real).spectra.fluence, expected)
    for name in ("fixture_DoseToMedium", "fixture_ProtonLETd", "fixture_ProtonLETt"):
        (real / f"{name}.csv").unlink()
    with pytest.raises(FormatError, match="give row_order"):
        read_run(real)
    np.testing.assert_array_equal(read_run(real, row_order="x_fastest").spectra.fluence, expected)


def test_a_row_order_that_the_run_contradicts(real):
    with pytest.raises(FormatError, match="show x_fastest"):
        read_run(real, row_order="z_fastest")


def test_voxels_outside_the_structure_have_no_dose(tmp_path):
    run = write_run(tmp_path / "run")
    values = np.ones((*SHAPE, 1))
    values[1, 2, 3] = -1
    filters = ('OnlyIncludeIfInRTStructure = 1 "PTV"',)
    write_csv(run / "DoseToWater.csv", header("DoseToWater", "DoseToWater ( Gy )", SHAPE, filters=filters), values)
    dose = read_run(run).dose
    assert np.isnan(dose[1, 2, 3])
    assert np.nansum(dose) == 23


# ------------------------------------------------------------------------------------------------ refusals


def test_missing_binary(real):
    (real / "fixture_DoseToWater.bin").unlink()
    with pytest.raises(FormatError, match=r"expected fixture_DoseToWater\.bin beside it"):
        read_run(real)


def test_truncated_binary(real):
    raw = (real / "fixture_DoseToWater.bin").read_bytes()
    (real / "fixture_DoseToWater.bin").write_bytes(raw[:8000])
    with pytest.raises(FormatError, match=r"expected 8640 bytes .* found 8000"):
        read_run(real)


def test_no_parameter_file(real):
    (real / "fixture.txt").unlink()
    with pytest.raises(GeometryError, match=r"parameter file fixture\.txt, which is not there"):
        read_run(real)


@pytest.mark.parametrize("value", [np.nan, -1e-9, np.inf])
def test_impossible_fluence_names_the_voxel(tmp_path, value):
    fluence = np.ones((*SHAPE, 4))
    fluence[1, 2, 3, 2] = value
    with pytest.raises(ValueRangeError, match=r"Fluence_Z1.* at voxel \(1, 2, 3\), energy column 2, 1 such"):
        read_run(write_run(tmp_path / "run", fluence={1: fluence}))


@pytest.mark.parametrize("value", [np.nan, -1.0])
def test_impossible_dose_names_the_voxel(tmp_path, value):
    dose = np.ones(SHAPE)
    dose[0, 1, 2] = value
    with pytest.raises(ValueRangeError, match=r"DoseToWater must be .* at voxel \(0, 1, 2\)"):
        read_run(write_run(tmp_path / "run", DoseToWater=dose))


def test_histories_that_do_not_fit_the_parameter_file(real):
    edit(real / "fixture.txt", "NumberOfHistoriesInRun = 4000", "NumberOfHistoriesInRun = 5000")
    with pytest.raises(FormatError, match=r"expected 5000 histories by fixture\.txt, found 4000"):
        read_run(real)


def test_scorers_on_two_grids(tmp_path):
    run = write_run(tmp_path / "run")
    head = header("DoseToMedium", "DoseToMedium ( Gy )", (2, 3, 2))
    write_csv(run / "other.csv", head, np.ones((2, 3, 2, 1)))
    (run / "run.txt").write_text((run / "run.txt").read_text() + "i:Sc/DoseToMedium/ZBins = 2\n")
    with pytest.raises(GridMismatchError, match=r"\(2, 3, 4\) and \(2, 3, 2\)|\(2, 3, 2\) and \(2, 3, 4\)"):
        read_run(run)


def test_a_quantity_scored_twice(real):
    shutil.copy(real / "fixture_DoseToMedium.csv", real / "copy.csv")
    with pytest.raises(QuantityError, match=r"dose_to_medium is scored twice, in copy\.csv and"):
        read_run(real)


def test_outputs_of_two_runs_in_one_folder(real):
    edit(real / "fixture_DoseToMedium.csv", "Parameter File: fixture.txt", "Parameter File: old.txt")
    with pytest.raises(FormatError, match="several parameter files"):
        read_run(real)
    edit(real / "fixture_DoseToMedium.csv", "Parameter File: old.txt", "Parameter File: fixture.txt")
    edit(real / "fixture_DoseToMedium.csv", "4.2.p1", "3.9")
    with pytest.raises(FormatError, match="several TOPAS versions"):
        read_run(real)


def test_a_species_binned_by_incident_track_is_not_left_out_silently(tmp_path):
    run = write_run(tmp_path / "run", fluence={1: np.ones((*SHAPE, 4)), 2: np.ones((*SHAPE, 4))})
    edit(run / "Fluence_Z2.binheader", "pre-step energy", "incident track energy")
    with pytest.raises(UnsupportedError, match=r"no usable fluence spectrum of He.*EBinEnergy = PreStep"):
        read_run(run)


def test_different_numbers_of_bins(tmp_path):
    run = write_run(tmp_path / "run")
    text = SCORER.format(scorer="Fluence_He", n=3, low=0, high=30)
    (run / "run.txt").write_text((run / "run.txt").read_text() + text)
    binning = ("Binned by pre-step energy in 3 bins of 10 MeV from 0 MeV to 30 MeV",)
    filters = ('OnlyIncludeParticlesNamed = 1 "alpha"',)
    head = header("Fluence_He", "Fluence ( /mm2 )", SHAPE, filters=filters, binning=binning)
    write_bin(run / "Fluence_He", head, np.ones((*SHAPE, 5, 1)))
    with pytest.raises(UnsupportedError, match="different numbers of energy bins"):
        read_run(run)


@pytest.mark.parametrize(
    ("quantity", "filters", "binning", "reason"),
    [
        ("EnergyDeposit ( MeV )", (), (), "EnergyDeposit is not used"),
        ("RBE_McNamara", (), (), "survival fraction"),
        ("DoseToMedium ( Gy )", ('OnlyIncludeParticlesNamed = 1 "proton"',), (), "only a part of the field"),
        ("Fluence ( /mm2 )", ("OnlyIncludeParticlesOfAtomicNumber = 2",), (), "without energy bins"),
        ("Fluence ( /mm2 )", ('OnlyIncludeParticlesNamed = 1 "e-"',), True, "one filter is read"),
        ("Fluence ( /mm2 )", ("OnlyIncludeParticlesOfAtomicNumber = 9",), True, "one filter is read"),
        ("Fluence ( /mm2 )", (), True, "filter none"),
        ("ProtonLET ( MeV/mm/(g/cm3) )", (), True, "binned in energy"),
    ],
)
def test_scorers_that_are_skipped_by_name(tmp_path, quantity, filters, binning, reason):
    run = write_run(tmp_path / "run")
    lines = ("Binned by pre-step energy in 2 bins of 5 MeV from 0 MeV to 10 MeV",) if binning else ()
    head = header("Other", quantity, SHAPE, filters=filters, binning=lines)
    write_bin(run / "other", head, np.ones((*SHAPE, 4 if binning else 1, 1)))
    _, report = convert([run])
    assert [n.name for n in report.files_not_read] == ["other.binheader"]
    assert reason in report.files_not_read[0].reason


def test_nothing_usable_names_what_was_found(real):
    (real / "fixture_Fluence_H.csv").unlink()
    with pytest.raises(UnsupportedError, match=r"expected Fluence .* not read: fixture_DoseDicom\.dcm"):
        read_run(real)


def test_no_dose(tmp_path):
    run = write_run(tmp_path / "run")
    (run / "DoseToWater.csv").unlink()
    with pytest.raises(QuantityError, match="expected DoseToWater or DoseToMedium, found none"):
        read_run(run)


def test_a_folder_without_topas_output(tmp_path):
    with pytest.raises(QuantityError, match="expected output of TOPAS"):
        read_run(tmp_path)
    with pytest.raises(FormatError, match="expected a folder"):
        read_run(tmp_path / "gone")


def test_unexpected_unit(tmp_path):
    run = write_run(tmp_path / "run")
    edit(run / "DoseToWater.csv", "( Gy )", "( mGy )")
    with pytest.raises(QuantityError, match="must be in Gy, found mGy"):
        read_run(run)


# ------------------------------------------------------------------------------------------------ several runs


def three_runs(tmp_path):
    rng = np.random.default_rng(5)
    return [
        write_run(
            tmp_path / f"run{n}",
            seed=n,
            histories=histories,
            fluence={1: rng.random((*SHAPE, 4))},
            DoseToWater=rng.random(SHAPE),
            LETd=1 + rng.random(SHAPE),
            LETt=1 + rng.random(SHAPE),
            std=rng.random(SHAPE),
        )
        for n, histories in enumerate((100, 300, 250))
    ]


def test_sums_add_errors_add_in_quadrature_let_is_weighted(tmp_path):
    folders = three_runs(tmp_path)
    runs = [read_topas_run(folder) for folder in folders]
    field, _ = convert(folders)
    dose = np.stack([r.volumes["dose_to_water"] for r in runs])
    tracks = np.stack(
        [r.spectra["H"].fluence.sum(axis=0) + r.spectra["H"].underflow + r.spectra["H"].overflow for r in runs]
    )
    assert field.histories == 650
    np.testing.assert_allclose(field.dose, dose.sum(axis=0))
    np.testing.assert_allclose(field.spectra.fluence[0], sum(r.spectra["H"].fluence for r in runs), rtol=1e-6)
    std = np.stack([r.volumes["dose_std"] for r in runs])
    np.testing.assert_allclose(field.volumes["dose_std"].values, np.linalg.norm(std, axis=0))
    for name, weights in (("LET_d", dose), ("LET_t", tracks)):
        values = np.stack([r.volumes[name] for r in runs])
        np.testing.assert_allclose(field.volumes[name].values, np.average(values, axis=0, weights=weights), rtol=1e-6)


def test_a_run_without_let_in_a_voxel_does_not_dilute_it(tmp_path):
    let = np.full(SHAPE, 4.0)
    hole = let.copy()
    hole[0, 0, 0] = 0
    folders = [
        write_run(tmp_path / "a", seed=1, DoseToWater=ONES, LETd=let),
        write_run(tmp_path / "b", seed=2, DoseToWater=2 * ONES, LETd=hole),
    ]
    field, _ = convert(folders)
    np.testing.assert_allclose(field.volumes["LET_d"].values, 4)


def test_halves_are_balanced_and_their_weighted_mean_is_the_whole(tmp_path):
    field, _ = convert(three_runs(tmp_path))
    # 300 against 250 + 100; each half is scaled to all 650 histories.
    weights = [300 / 650, 350 / 650]
    halves = dict(zip(weights, field.halves, strict=True))
    mean = sum(w * h.fluence for w, h in halves.items())
    np.testing.assert_allclose(mean, field.spectra.fluence, rtol=1e-6)
    np.testing.assert_allclose(sum(w * d for w, d in zip(weights, field.halves_dose, strict=True)), field.dose)


@pytest.mark.parametrize(
    ("histories", "expected"),
    [([5, 5], (5, 5)), ([100, 300, 250], (300, 350)), ([4, 3, 2, 2, 1], (6, 6)), ([9, 1, 1], (9, 2))],
)
def test_balance(histories, expected):
    sums = tuple(sum(histories[n] for n in half) for half in balanced_halves(histories))
    assert sorted(sums) == sorted(expected)


def test_real_runs_merge(topas_data):
    a, b = topas_data("proton_shallow_high"), topas_data("proton_shallow_highB")
    field, report = convert([a, b])
    assert field.histories == report.histories == 4_000_000
    first, second = (read_run(run) for run in (a, b))
    np.testing.assert_allclose(field.dose, first.dose + second.dose)
    np.testing.assert_allclose(field.halves_dose[0], 2 * first.dose)
    np.testing.assert_allclose(field.halves[1].fluence, 2 * second.spectra.fluence, rtol=1e-6)
    lower, upper = np.fmin(*lets(first, second)), np.fmax(*lets(first, second))
    merged = field.volumes["LET_d"].values
    known = np.isfinite(merged)
    assert (merged >= lower - 1e-9)[known].all()
    assert (merged <= upper + 1e-9)[known].all()


def lets(*fields):
    return [f.volumes["LET_d"].values for f in fields]


def test_the_same_seed_twice(tmp_path):
    folders = [write_run(tmp_path / name, seed=7, histories=n) for name, n in (("a", 100), ("b", 200))]
    with pytest.raises(QuantityError, match="runs a and b: Ts/Seed is 7 and 7"):
        convert(folders)


def test_the_same_run_under_another_seed(tmp_path):
    folders = [write_run(tmp_path / name, seed=seed, DoseToWater=ONES) for name, seed in (("a", 1), ("b", 2))]
    with pytest.raises(QuantityError, match="counted twice"):
        convert(folders)


@pytest.mark.parametrize(
    ("change", "error", "name"),
    [
        ("d:Ge/BeamPosition/TransX = 1 mm\n", GridMismatchError, "Ge/BeamPosition/TransX"),
        ("d:Sc/LETd/MaxScoredLET = 25 MeV/mm/(g/cm3)\n", QuantityError, "Sc/LETd/MaxScoredLET"),
        ("d:Ph/Default/Cut = 1 mm\n", QuantityError, "Ph/Default/Cut"),
        ("d:So/Beam/BeamEnergy = 70 MeV\n", QuantityError, "So/Beam/BeamEnergy"),
    ],
)
def test_runs_of_different_plans_name_the_parameter(tmp_path, change, error, name):
    folders = [write_run(tmp_path / "a", seed=1), write_run(tmp_path / "b", seed=2, parameters=change)]
    with pytest.raises(error, match=f"{name} is not set and"):
        convert(folders)


def test_output_names_threads_and_histories_may_differ(tmp_path):
    more = 's:Sc/LETd/OutputFile = "b"\ni:Ts/NumberOfThreads = 4\n'
    folders = [write_run(tmp_path / "a", seed=1), write_run(tmp_path / "b", seed=2, histories=900, parameters=more)]
    assert convert(folders)[0].histories == 1000


def test_runs_on_different_grids(tmp_path):
    folders = [write_run(tmp_path / "a", seed=1), write_run(tmp_path / "b", seed=2, shape=(2, 3, 5))]
    with pytest.raises(GridMismatchError, match="Ge/Grid/HLZ is 4 mm and 5 mm"):
        convert(folders)


def test_runs_with_different_quantities(tmp_path):
    folders = [
        write_run(tmp_path / "a", seed=1),
        write_run(tmp_path / "b", seed=2, DoseToWater=ONES, LETd=ONES),
    ]
    with pytest.raises(QuantityError, match="do not hold the same quantities"):
        convert(folders)


def test_no_runs():
    with pytest.raises(QuantityError, match="one or more run folders"):
        convert([])


# ------------------------------------------------------------------------------------------------ prescription


def test_dose_scale_reaches_dose_its_error_fluence_and_halves_but_not_let(tmp_path):
    folders = three_runs(tmp_path)
    plain, _ = convert(folders)
    scaled, report = convert(folders, dose_scale=2.5)
    assert scaled.prescription is not None
    assert scaled.dose_scale == report.dose_scale == 2.5
    for name in ("dose_to_water", "dose_std"):
        np.testing.assert_allclose(scaled.volumes[name].values, 2.5 * plain.volumes[name].values)
    np.testing.assert_array_equal(scaled.volumes["LET_d"].values, plain.volumes["LET_d"].values)
    np.testing.assert_allclose(scaled.spectra.fluence, 2.5 * plain.spectra.fluence, rtol=1e-6)
    np.testing.assert_allclose(scaled.spectra.overflow, 2.5 * plain.spectra.overflow, rtol=1e-6)
    np.testing.assert_allclose(scaled.halves[0].fluence, 2.5 * plain.halves[0].fluence, rtol=1e-6)
    np.testing.assert_allclose(scaled.halves_dose[1], 2.5 * plain.halves_dose[1])
    np.testing.assert_allclose(scaled.tracks, plain.tracks, rtol=1e-6)


BOX = ((1, 1, 2), (5, 4, 6))


@pytest.mark.parametrize(
    ("at", "box", "statistic"),
    [
        ("max", None, np.max),
        ("max", BOX, np.max),
        ("mean", BOX, np.mean),
        ("p50", BOX, np.median),
        ("p95", BOX, lambda d: np.quantile(d, 0.95)),
    ],
)
def test_prescription_is_met_where_it_is_given(at, box, statistic):
    field, _ = convert([FIXTURE], prescribe=PrescribeRequest(2.0, at, box))
    inside = field.dose if box is None else field.dose[1:5, 1:4, 2:6]
    assert statistic(inside) == pytest.approx(2.0)
    assert field.prescription is not None
    assert field.prescription.statement.startswith(f"2 Gy at {at} of the ")


def test_prescription_on_a_mask():
    mask = np.zeros((6, 5, 12), dtype=bool)
    mask[2, 2, 1:4] = True
    field, _ = convert([FIXTURE], prescribe=PrescribeRequest(1.8, "mean", mask))
    assert field.dose[mask].mean() == pytest.approx(1.8)
    assert "a mask of 3 voxels" in field.prescription.statement


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (PrescribeRequest(2, "mean"), PrescriptionError, "needs a mask or a box"),
        (PrescribeRequest(2, "p50"), PrescriptionError, "needs a mask or a box"),
        (PrescribeRequest(0), PrescriptionError, "must be positive"),
        (PrescribeRequest(2, "D95", BOX), PrescriptionError, "not known"),
        (PrescribeRequest(2, "mean", ((0, 0, 0), (6, 5, 13))), PrescriptionError, "leaves the grid"),
        (PrescribeRequest(2, "mean", ((0, 0, 0), (0, 5, 12))), PrescriptionError, "is empty"),
        (PrescribeRequest(2, "max", ((0, 0, 9), (1, 1, 10))), PrescriptionError, "no dose to scale"),
        (PrescribeRequest(2, "max", np.zeros((6, 5, 12), dtype=bool)), PrescriptionError, "holds no voxel"),
        (PrescribeRequest(2, "max", np.ones((6, 5, 11), dtype=bool)), GridMismatchError, "mask has shape"),
    ],
)
def test_prescriptions_that_cannot_be_applied(request_, error, message):
    with pytest.raises(error, match=message):
        convert([FIXTURE], prescribe=request_)


@pytest.mark.parametrize("scale", [0, -1, np.nan, np.inf])
def test_impossible_dose_scale(scale):
    with pytest.raises(PrescriptionError, match="positive number"):
        convert([FIXTURE], dose_scale=scale)


def test_scale_and_prescription_exclude_each_other():
    with pytest.raises(PrescriptionError, match="exclude each other"):
        convert([FIXTURE], dose_scale=1, prescribe=PrescribeRequest(2))


# ------------------------------------------------------------------------------------------------ roles and notes


def test_fluence_without_its_sum(tmp_path):
    run = write_run(tmp_path / "run")
    edit(run / "Fluence_Z1.binheader", ": Sum ", ": Mean ")
    with pytest.raises(UnsupportedError, match=r"fluence spectrum of H: .*reports Mean; Sum is needed"):
        read_run(run)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('WeightBy = "Track"', 'WeightBy = "Energy"', "WeightBy of LETt is 'energy'"),
        ('s:Sc/LETt/Quantity = "ProtonLET"\n', "", "scorer LETt is not there"),
    ],
)
def test_let_of_unknown_weighting(tmp_path, old, new, message):
    run = write_run(tmp_path / "run", DoseToWater=ONES, LETt=ONES)
    edit(run / "run.txt", old, new)
    with pytest.raises(QuantityError, match=message):
        read_run(run)


def test_fluence_weighting_is_another_word_for_track(tmp_path):
    run = write_run(tmp_path / "run", DoseToWater=ONES, LETt=ONES)
    edit(run / "run.txt", 'WeightBy = "Track"', 'WeightBy = "Fluence"')
    assert read_run(run).let_definitions["LET_t"].weighting == "track"


def test_sparse_output_is_noted(tmp_path):
    run = write_run(tmp_path / "run")
    head = header("DoseToWater", "DoseToWater ( Gy )", SHAPE, tail=("Showing only rows that have sum > 0.1 Gy",))
    (run / "DoseToWater.csv").write_text(head + "0, 0, 0, 1\n")
    _, report = convert([run])
    assert any("23 voxels left out" in note for note in report.notes)


def test_deviations_of_old_threaded_runs_are_doubted(tmp_path):
    run = write_run(tmp_path / "run", DoseToWater=ONES, std=ONES, parameters="i:Ts/NumberOfThreads = 4\n")
    assert convert([run])[1].notes == ()
    for path in (*run.glob("*.csv"), *run.glob("*.binheader")):
        edit(path, "4.2.p1", "3.9")
    assert any("issue 66" in note for note in convert([run])[1].notes)
