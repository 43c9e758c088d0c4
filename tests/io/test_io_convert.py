"""One run folder becomes one field."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from topas_writer import header, write_csv, write_run

from surrogate3d.errors import (
    FormatError,
    QuantityError,
    UnsupportedError,
)
from surrogate3d.io.convert import convert, read_run
from surrogate3d.io.given import Given

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
    np.testing.assert_array_equal(read_run(real, given=Given(row_order="x_fastest")).spectra.fluence, expected)


def test_a_row_order_that_the_run_contradicts(real):
    with pytest.raises(FormatError, match="show x_fastest"):
        read_run(real, given=Given(row_order="z_fastest"))


def test_voxels_outside_the_structure_have_no_dose(tmp_path):
    run = write_run(tmp_path / "run")
    values = np.ones((*SHAPE, 1))
    values[1, 2, 3] = -1
    filters = ('OnlyIncludeIfInRTStructure = 1 "PTV"',)
    write_csv(run / "DoseToWater.csv", header("DoseToWater", "DoseToWater ( Gy )", SHAPE, filters=filters), values)
    dose = read_run(run).dose
    assert np.isnan(dose[1, 2, 3])
    assert np.nansum(dose) == 23


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
