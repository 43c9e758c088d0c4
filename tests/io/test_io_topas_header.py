from pathlib import Path

import numpy as np
import pytest
from topas_writer import BOX as BOX_AXES
from topas_writer import CYLINDER, SPHERE
from topas_writer import header as head_text

from surrogate3d.errors import FormatError, UnsupportedError
from surrogate3d.io.topas_header import parse_header, read_header, require_box

FIXTURE = Path(__file__).parents[1] / "fixtures" / "topas"
TOPAS2NUMPY = Path(__file__).parents[2].parent / "shared" / "data" / "topas" / "topas2numpy"
VERSIONS = ("1.2_expanded", "2.0.p3_expanded", "3.2", "3.9", "4.0", "4.1.p1", "4.2.p3", "4.3")
STATISTICS = ("Sum", "Mean", "Histories_with_Scorer_Active", "Count_in_Bin", "Second_Moment", "Variance")
STATISTICS += ("Standard_Deviation", "Min", "Max")

TOP = ["# TOPAS Version: 4.2.p1", "# Parameter File: run.txt", "# Results for scorer: Dose"]
BOX = [
    "# Scored in component: Phantom",
    "# X in 2 bins of 0.2 cm",
    "# Y in 1 bin  of 50 cm",
    "# Z in 40 bins of 0.5 cm",
]
DOSE = "# DoseToWater ( Gy ) : Sum   "
MODES = [
    ("incident track energy", "MeV", "IncidentTrack", 3),
    ("pre-step energy", "MeV", "PreStep", 2),
    ("energy deosited in step", "MeV", "DepositedInStep", 2),
    ("energy deposited in step", "MeV", "DepositedInStep", 2),
    ("primary track energy", "MeV", "PrimaryTrack", 2),
    ("time", "ns", "Time", 2),
]
"""Words of the header, unit, mode, columns beside the bins."""


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


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("words", "unit", "mode", "extra"), MODES)
@pytest.mark.parametrize("columns", [("Sum",), STATISTICS, STATISTICS[::-1], ("Max", "Sum", "Count_in_Bin")])
def test_every_version_statistic_and_binning(version, words, unit, mode, extra, columns):
    lines = head_text(
        "F",
        "Fluence ( /mm2 )",
        (2, 1, 40),
        version=version,
        columns=columns,
        binning=(
            f"Binned by {words} in 10 bins of 10 {unit} from 0 {unit} to 100 {unit}",
            # The sentence is wrong for primary track energy in every version: the mode decides, not it.
            "First bin is underflow, next to last bin is overflow.",
        ),
    ).splitlines()
    assert ("scorer:" in lines[2]) == (version >= "3.9")
    header = parse(*lines)
    assert header.binning is not None
    assert (header.binning.mode, header.n_energy) == (mode, 10 + extra)
    assert (header.version, header.columns, header.shape) == (version, tuple(columns), (2, 1, 40))
    assert header.version_number is not None
    np.testing.assert_allclose(header.binning.edges, np.arange(11) * 10)


@pytest.mark.parametrize(
    ("axes", "shape", "kind"),
    [
        (BOX_AXES, (2, 3, 4), "box"),
        (CYLINDER, (3, 1, 2), "cylinder"),
        (SPHERE, (3, 4, 2), "sphere"),
        (BOX_AXES, (1, 1, 1), "single"),
        (CYLINDER, (1, 1, 1), "single"),  # one bin: the header does not say of what
    ],
)
def test_kinds_of_shapes(axes, shape, kind):
    header = parse(*head_text("Dose", "DoseToWater ( Gy )", shape, axes=axes).splitlines())
    assert (header.shape_kind, header.shape) == (kind, shape)


def test_surface_and_component_paths():
    surface = parse(*TOP, "# Scored on surface: Phantom/ZPlusSurface", *BOX[1:], "# SurfaceTrackCount : Sum   ")
    assert (surface.shape_kind, surface.component) == ("surface", "Phantom/ZPlusSurface")
    dose = parse(*TOP, "# Scored in component: Patient/RTDoseGrid", *BOX[1:], DOSE)
    assert (dose.shape_kind, dose.component) == ("box", "Patient/RTDoseGrid")


def test_several_filters_and_a_scorer_split_by_time():
    header = parse(
        *TOP[:2],
        "# Results for scorer: DoseAtPhantom-image1",
        '# Filtered by: OnlyIncludeIfIncidentParticlesNamed = 2 "proton" "alpha"',
        "# Filtered by: OnlyIncludeParticlesWithInitialKEAbove = 10 MeV",
        *BOX,
        DOSE,
    )
    assert header.scorer == "DoseAtPhantom-image1"
    assert header.filters == (
        ("OnlyIncludeIfIncidentParticlesNamed", '2 "proton" "alpha"'),
        ("OnlyIncludeParticlesWithInitialKEAbove", "10 MeV"),
    )


@pytest.mark.parametrize(
    ("quantity", "ratio"),
    [("ProtonLET", True), ("RBE_McNamara", True), ("RBE_MKMLET", True), ("DoseToWater", False), ("Fluence", False)],
)
def test_quantities_that_are_ratios(quantity, ratio):
    assert parse(*TOP, *BOX, f"# {quantity} : Sum   ").is_ratio == ratio


@pytest.mark.parametrize(
    ("name", "kind", "shape", "unit", "version"),
    [
        ("Dose.csv", "box", (1, 1, 300), "Gy", (2, 0, 0)),
        ("Dose.binheader", "box", (1, 1, 40), "Gy", (2, 0, 3)),
        ("SurfaceTracks.csv", "surface", (10, 10, 1), "1", (2, 0, 3)),
    ],
)
def test_real_headers_of_topas_2(name, kind, shape, unit, version):
    if not (TOPAS2NUMPY / name).is_file():
        pytest.skip(f"{name} is not beside the repository")
    header = read_header(TOPAS2NUMPY / name)
    assert (header.shape_kind, header.shape, header.unit, header.version_number) == (kind, shape, unit, version)


def test_real_rbe_headers_are_ratios_without_a_unit(topas_data):
    for model in ("McNamara", "Wedenberg", "Carabe"):
        header = read_header(topas_data("proton_rbe_v79") / f"p_sobp_{model}_RBE.csv")
        assert (header.quantity, header.unit, header.is_ratio) == (f"RBE_{model}", "1", True)


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
        "Warning: Some voxels/bins in the primary scorer did not correspond to an entry in the sub-scorer "
        "(or sub-sub-scorers).",
        "The value of the combined scorer for those voxels/bins has been set to 0.",
        "Total number of voxels/bins set to 0 due to this mismatch: 116",
        "Warning: One of your filters was based on the energy or momentum of the parent particle that was incident on "
        "the scoring component,",
        "but at least one hit resulted from a primary that was already inside the scoring component when it was "
        "generated.",
        "Such hits are always left out by this incident particle filter.",
        "Total number of hits not scored for this reason:123",
    ]
    for shape in ((2, 3, 4), (1, 1, 1)):
        header = parse(*head_text("D", "DoseToWater ( Gy )", shape, warnings=warnings).splitlines())
        assert list(header.notes) == warnings
        assert (header.shape, header.quantity) == (shape, "DoseToWater")


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ([*TOP, "# Scored on surface: Phantom/ZPlusSurface", *BOX[1:], DOSE], "surface scorer on Phantom"),
        (head_text("D", "DoseToWater ( Gy )", (2, 1, 4), axes=CYLINDER).splitlines(), "R, Phi, Z .cylinder"),
        (head_text("D", "DoseToWater ( Gy )", (2, 1, 4), axes=SPHERE).splitlines(), "R, Phi, Theta .sphere"),
        ([*TOP, *BOX, DOSE, "# Binned by time in 2 bins of 5 ns from 0 ns to 10 ns"], "time bins"),
    ],
)
def test_a_box_is_required_by_name(lines, word):
    header = parse(*lines)
    with pytest.raises(UnsupportedError, match=word):
        require_box(header, "Dose.csv")


def test_boxes_and_single_voxels_are_boxes():
    for shape in ((2, 3, 4), (1, 1, 1)):
        require_box(parse(*head_text("D", "DoseToWater ( Gy )", shape).splitlines()), "Dose.csv")


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ([*TOP[:2], "# Results for Scorer: Dose", "# Scored in component: Phantom"], "a volume histogram"),
        ([*TOP, BOX[0], "# Cumulative Volume Histogram over number of voxels: 24"], "a volume histogram"),
        ([*TOP, *BOX, "# DoseToWater ( Gy ) : "], "no statistics"),
    ],
)
def test_what_holds_no_values_of_voxels_is_refused_by_name(lines, word):
    with pytest.raises(UnsupportedError, match=word):
        parse(*lines)


@pytest.mark.parametrize(
    ("lines", "word"),
    [
        ([*TOP, *BOX], "without quantity"),
        ([TOP[0], *TOP[2:], *BOX[:3], DOSE], "three lines of spatial bins"),
        ([*TOP, BOX[0], *BOX[:0:-1], DOSE], r"three lines of spatial bins.*found 3 \(Z, Y, X\)"),
        ([*TOP, *BOX[:3], "# Z in 0 bins of 0.5 cm", DOSE], "at least one bin"),
        ([*TOP, *BOX, DOSE, DOSE], "line 9: a second quantity"),
        ([*TOP, *BOX, DOSE, "# something new"], "line 9: unknown line"),
        ([*TOP, *BOX, DOSE, "# Binned by colour in 2 bins of 5 MeV from 0 MeV to 10 MeV"], "unknown binning"),
        ([*TOP, *BOX, DOSE, "# Binned by pre-step energy in 2 bins of 7 MeV from 1 MeV to 10 MeV"], "fit neither"),
        ([*TOP, *BOX, DOSE, "# Binned by pre-step energy in 2 bins of 7 MeV from 10 MeV to 1 MeV"], "not ascending"),
        # log10(1.16739 / 0.1) = 1.06722 and 1.16739 - 0.1 = 1.06739: six digits do not tell one from the other.
        ([*TOP, *BOX, DOSE, "# Binned by pre-step energy in 1 bins of 1.0673 MeV from 0.1 MeV to 1.1674 MeV"], "both"),
    ],
)
def test_damaged_headers(lines, word):
    with pytest.raises(FormatError, match=word):
        parse(*lines)


def test_a_width_with_two_points_is_no_number():
    lines = [
        "# TOPAS Version: 3.9",
        "# Parameter File: run.txt",
        "# Results for scorer: Dose",
        "# Scored in component: Grid",
        "# X in 2 bins of 0.2.2 cm",
    ]
    with pytest.raises(FormatError, match=r"line 5.*0\.2\.2"):
        parse_header(lines, "a.csv")
