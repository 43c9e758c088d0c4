from pathlib import Path

import numpy as np
import pytest

from surrogate3d.errors import FormatError, UnsupportedError
from surrogate3d.io.topas_header import parse_header, read_header

FIXTURE = Path(__file__).parents[1] / "fixtures" / "topas"

TOP = ["# TOPAS Version: 4.2.p1", "# Parameter File: run.txt", "# Results for scorer: Dose"]
BOX = [
    "# Scored in component: Phantom",
    "# X in 2 bins of 0.2 cm",
    "# Y in 1 bin  of 50 cm",
    "# Z in 40 bins of 0.5 cm",
]
DOSE = "# DoseToWater ( Gy ) : Sum   "


def parse(*lines):
    return parse_header(list(lines), "Dose.csv")


def binned(line, *more):
    return parse(*TOP, *BOX, "# Fluence ( /mm2 ) : Sum   ", line, *more)


def test_real_binheader_with_three_statistics():
    header = read_header(FIXTURE / "fixture_DoseToWater.binheader")
    assert (header.version, header.version_number) == ("4.2.p1", (4, 2, 1))
    assert (header.parameter_file, header.scorer, header.component) == ("fixture.txt", "DoseToWater", "Grid")
    assert header.shape == (6, 5, 12)
    assert [(a.name, a.width, a.unit) for a in header.axes] == [("X", 0.4, "cm"), ("Y", 0.4, "cm"), ("Z", 0.4, "cm")]
    assert (header.quantity, header.unit) == ("DoseToWater", "Gy")
    assert header.columns == ("Sum", "Standard_Deviation", "Histories_with_Scorer_Active")
    assert header.binary_file == "fixture_DoseToWater.bin"
    assert header.binning is None


def test_real_let_unit_with_nested_parentheses_and_its_warnings():
    header = read_header(FIXTURE / "fixture_ProtonLETd.csv")
    assert (header.quantity, header.unit, header.columns) == ("ProtonLET", "MeV/mm/(g/cm3)", ("Sum",))
    assert header.notes[-1] == "Total number of voxels/bins set to 0 due to this mismatch: 116"
    assert len(header.notes) == 3


def test_real_fluence_bins_are_seen_to_be_logarithmic():
    header = read_header(FIXTURE / "fixture_Fluence_H.csv")
    assert header.filters == (("OnlyIncludeParticlesOfAtomicNumber", "1"),)
    binning = header.binning
    assert binning is not None
    assert (binning.mode, binning.n, binning.n_columns) == ("PreStep", 64, 66)
    assert binning.is_logarithmic
    step = (np.log10(500) - np.log10(0.1)) / 64  # TOPAS: 10 ** (log10(min) + i * step)
    np.testing.assert_allclose(binning.edges, 10 ** (np.log10(0.1) + np.arange(65) * step), rtol=1e-12)


def test_linear_bins():
    binning = binned("# Binned by pre-step energy in 64 bins of 2.1875 MeV from 0 MeV to 140 MeV").binning
    assert binning is not None
    assert not binning.is_logarithmic
    np.testing.assert_allclose(binning.edges, np.arange(65) * 2.1875)


def test_old_header_without_colon_singular_bin_and_nine_columns():
    header = parse(
        "# TOPAS Version: 2.0.p3_expanded",
        "# Parameter File: Scoring_03A.txt",
        "# Results for scorer Dose",
        *BOX,
        "# DoseToMedium ( Gy ) : Sum   Mean   Histories_with_Scorer_Active   Count_in_Bin   Second_Moment   Variance   "
        "Standard_Deviation   Min   Max   ",
        "# Binary file: Dose.bin",
    )
    assert (header.scorer, header.shape, len(header.columns)) == ("Dose", (2, 1, 40), 9)
    assert header.version_number == (2, 0, 3)


@pytest.mark.parametrize(
    ("printed", "number"),
    [
        ("1.2_expanded", (1, 2, 0)),
        ("2.0.p3_expanded", (2, 0, 3)),
        ("3.9", (3, 9, 0)),
        ("4.1.p1", (4, 1, 1)),
        ("develop", None),
    ],
)
def test_versions(printed, number):
    assert parse(f"# TOPAS Version: {printed}", *TOP[1:], *BOX, DOSE).version_number == number


@pytest.mark.parametrize(
    ("line", "quantity", "unit"),
    [
        ("# SurfaceTrackCount : Sum   ", "SurfaceTrackCount", "1"),
        ("# SurfaceTrackCount ( 1 ) : Sum   ", "SurfaceTrackCount", "1"),
        ("# EnergyFluence ( MeV/mm2 ) : Sum   ", "EnergyFluence", "MeV/mm2"),
        ("# RBE_McNamara ( /Gy2 ) : Sum   ", "RBE_McNamara", "/Gy2"),
        ("# ProtonLET ( MeV/mm/(g/cm3) ) : Sum   ", "ProtonLET", "MeV/mm/(g/cm3)"),
    ],
)
def test_units(line, quantity, unit):
    header = parse(*TOP, *BOX, line)
    assert (header.quantity, header.unit, header.columns) == (quantity, unit, ("Sum",))


@pytest.mark.parametrize(
    ("words", "mode", "columns"),
    [
        ("incident track energy", "IncidentTrack", 13),
        ("pre-step energy", "PreStep", 12),
        ("energy deosited in step", "DepositedInStep", 12),
        ("primary track energy", "PrimaryTrack", 12),
    ],
)
def test_binning_modes_and_their_extra_columns(words, mode, columns):
    header = binned(
        f"# Binned by {words} in 10 bins of 10 MeV from 0 MeV to 100 MeV",
        "# First bin is underflow, next to last bin is overflow, last bin is for case of no incident track.",
    )
    assert header.binning is not None
    assert (header.binning.mode, header.n_energy) == (mode, columns)


def test_single_voxel_has_no_axis_lines():
    assert parse(*TOP, "# Scored in component: Phantom", DOSE).shape == (1, 1, 1)


def test_width_in_scientific_notation():
    lines = ["# Scored in component: P", *(f"# {a} in 3 bins of 1e-05 cm" for a in "XYZ")]
    assert parse(*TOP, *lines, DOSE).axes[0].width == 1e-5


def test_sparse_and_single_index_notices():
    header = parse(
        *TOP,
        *BOX,
        DOSE,
        "# Showing only rows that have sum > 1e-05 Gy",
        "# Using single index calculated as X * NY * NZ + Y * NZ + Z",
    )
    assert header.sparse == "sum > 1e-05 Gy"
    assert header.single_index


def test_every_warning_of_the_source_is_kept():
    warnings = [
        "Warning: Some histories were not scored due to scorer being inactive at least part of the time.",
        "Total number of histories not scored for this reason: 3",
        "Warning: Some steps were not scored due to touchable returning an invalid index number.",
        "See console log for messages starting with: Topas experienced a potentially serious error in scoring.",
        "We believe this error is due to an unsolved bug in Geant4 parallel world handling.",
        "Total number of steps not scored for this reason: 1",
        "Total amount of energy not scored for this reason: 0.1 MeV",
        "Warning: One of your filters was based on the energy or momentum of the parent particle",
        "but at least one hit resulted from a primary that was already inside the scoring component",
        "Such hits are always left out by this incident particle filter.",
        "Total number of hits not scored for this reason:123",
    ]
    header = parse(*TOP, BOX[0], *(f"# {w}" for w in warnings), *BOX[1:], DOSE)
    assert list(header.notes) == warnings


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ([*TOP, "# Scored on surface: Phantom/ZPlusSurface", *BOX[1:], DOSE], "surface"),
        (
            [*TOP, BOX[0], "# R in 2 bins of 1 cm", "# Phi in 1 bin  of 360 deg", "# Z in 4 bins of 1 cm", DOSE],
            "cylinder",
        ),
        ([*TOP, *BOX, DOSE, "# Binned by time in 2 bins of 5 ns from 0 ns to 10 ns"], "time bins"),
        ([*TOP[:2], "# Results for Scorer: Dose"], "volume histogram"),
        ([*TOP, *BOX, "# DoseToWater ( Gy ) : "], "no statistics"),
    ],
)
def test_what_is_not_read_is_refused_by_name(lines, word):
    with pytest.raises(UnsupportedError, match=word):
        parse(*lines)


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ([*TOP, *BOX], "without quantity"),
        ([TOP[0], *TOP[2:], *BOX[:3], DOSE], "three lines of spatial bins"),
        ([*TOP, *BOX, DOSE, "# something new"], "line 9: unknown line"),
        ([*TOP, *BOX, DOSE, "# Binned by colour in 2 bins of 5 MeV from 0 MeV to 10 MeV"], "unknown binning"),
        ([*TOP, *BOX, DOSE, "# Binned by pre-step energy in 2 bins of 7 MeV from 1 MeV to 10 MeV"], "do not fill"),
    ],
)
def test_damaged_headers(lines, word):
    with pytest.raises(FormatError, match=word):
        parse(*lines)
