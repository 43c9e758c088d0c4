"""What no run folder may hold, refused in one line."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from topas_writer import SCORER, header, write_bin, write_csv, write_run

from surrogate3d.errors import (
    FormatError,
    GeometryError,
    GridMismatchError,
    QuantityError,
    UnsupportedError,
    ValueRangeError,
)
from surrogate3d.io.convert import convert, read_run

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
        ("Fluence ( /mm2 )", ("OnlyIncludeParticlesOfAtomicNumber = 11",), True, "one filter is read"),
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


def test_a_spectrum_whose_output_is_gone_is_missed(tmp_path):
    run = write_run(tmp_path / "run", parameters='s:Sc/Carbon/Quantity = "Fluence"\ni:Sc/Carbon/EBins = 4\n')
    with pytest.raises(FormatError, match=r"Carbon scores a spectrum, and the folder holds no output of it; copy it"):
        read_run(run)


@pytest.mark.parametrize("switched", ['b:Sc/Carbon/Active = "False"\n', ""])
def test_a_scorer_without_spectrum_or_switched_off_is_not_missed(tmp_path, switched):
    bins = "i:Sc/Carbon/EBins = 4\n" if switched else ""
    run = write_run(tmp_path / "run", parameters='s:Sc/Carbon/Quantity = "Fluence"\n' + bins + switched)
    assert read_run(run).spectra.axes.species == ("H",)
