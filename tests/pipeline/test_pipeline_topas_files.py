"""Single files of TOPAS described and written as images: a real run, real old files, and files of the specification."""

import shutil
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import SimpleITK

from surrogate3d.errors import (
    FormatError,
    GeometryError,
    QuantityError,
    StoreError,
    UnsupportedError,
)
from surrogate3d.pipeline.topas_files import describe_file, describe_files
from surrogate3d.pipeline.topas_images import ImageRequest, topas_image

sys.path.append(str(Path(__file__).parents[1] / "io"))  # the writer of synthetic TOPAS files

from topas_writer import header as head_text
from topas_writer import write_bin, write_csv

RUN = Path(__file__).parents[1] / "fixtures" / "topas"
REAL = Path(__file__).parents[2].parent / "shared" / "data" / "topas"
PLACED = ImageRequest(parameters=RUN / "fixture.txt")
SHAPE = (2, 3, 4)
LET = "ProtonLET ( MeV/mm/(g/cm3) )"
INCIDENT = (
    "Binned by incident track energy in 2 bins of 5 MeV from 0 MeV to 10 MeV",
    "First bin is underflow, next to last bin is overflow, last bin is for case of no incident track.",
)


def asked(**settings):
    return ImageRequest(**{"parameters": RUN / "fixture.txt"} | settings)


def at_origin(**settings):
    return ImageRequest(origin_mm=(1.0, 2.0, 3.0), **settings)


def scored(folder, quantity, values, scorer="Dose", **settings):
    """A `.bin` of one scorer; `values` is (i, j, k) or (i, j, k, energy)."""
    values = np.asarray(values, dtype=float)
    write_bin(folder / scorer, head_text(scorer, quantity, values.shape[:3], **settings), values.reshape(*SHAPE, -1, 1))
    return folder / f"{scorer}.binheader"


def image_of(path):
    return np.asarray(nibabel.load(path).dataobj)


def real(name):
    if not (REAL / name).is_file():
        pytest.skip(f"{name} is not beside the repository")
    return REAL / name


def test_every_file_of_a_real_run_says_what_it_is():
    found = describe_files(sorted(p for p in RUN.iterdir() if p.suffix != ".txt"))
    assert [each["kind"] for each in found].count("scorer") == len(found) - 1
    dicom = next(each for each in found if each["file"].endswith(".dcm"))
    assert dicom["kind"] == "DICOM"


def test_a_real_spectrum_tells_bins_filters_shares_and_order():
    found = describe_file(RUN / "fixture_Fluence_H.csv")
    assert (found["topas_version"], found["unit"], found["shape"]) == ("4.2.p1", "/mm2", [6, 5, 12])
    assert found["filters"] == [{"parameter": "OnlyIncludeParticlesOfAtomicNumber", "value": "1"}]
    assert found["binning"]["logarithmic"]
    assert (found["binning"]["n"], found["binning"]["low"], found["binning"]["high"]) == (64, 0.1, 500)
    assert found["row_order"].startswith("x_fastest, by TOPAS 4.2.p1")
    rows = [line.split(", ") for line in (RUN / "fixture_Fluence_H.csv").read_text().splitlines() if line[0] != "#"]
    table = np.array(rows, dtype=float)
    assert found["outside_bins"]["underflow"] == pytest.approx(table[:, 0].sum() / table.sum())
    assert found["outside_bins"]["overflow"] == pytest.approx(table[:, -1].sum() / table.sum())


def test_a_binary_is_described_by_its_header():
    assert describe_file(RUN / "fixture_DoseToWater.bin")["file"] == "fixture_DoseToWater.binheader"
    assert describe_file(RUN / "fixture_DoseToWater.bin")["statistics"][0] == "Sum"


def test_real_let_warns_of_what_it_is():
    notes = " ".join(describe_file(RUN / "fixture_ProtonLETd.csv")["notes"])
    assert "mismatch: 116" in notes
    assert "dose- or track-averaged is not in the file" in notes
    assert "only Sum holds it" in notes


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("topas2numpy/Dose.csv", "scorer"),
        ("topas2numpy/SurfaceTracks.csv", "scorer"),
        ("topas2numpy/limited-phasespace.phsp", "phase space"),
        ("topas2numpy/binary-other-ntuple.header", "ntuple"),
        ("tepc_carbon_350/Scorer.header", "ntuple"),
        ("tepc_carbon_350/ySpecfile.txt", "lineal energy spectrum"),
        ("tepc_carbon_350/ySpecfile_Particle.txt", "lineal energy by particle"),
        ("tepc_carbon_350/ydy.txt", "lineal energy y d(y)"),
    ],
)
def test_other_real_files_are_named(name, kind):
    assert describe_file(real(name))["kind"] == kind


def test_the_real_counter_tells_its_means():
    found = describe_file(real("tepc_carbon_350/ySpecfile.txt"))
    assert (found["y_F"], found["y_D"], found["bins_with_events"]) == (17.516, 23.65, 48)
    assert found["n_nan"] == {"C": 4, "Other": 45}


def test_a_volume_histogram_and_a_root_file_are_named(tmp_path):
    text = "# TOPAS Version: 4.2.p1\n# Parameter File: a.txt\n# Results for Scorer: Dose\n0, 0, 1\n"
    (tmp_path / "Dose_VolHist.csv").write_text(text)
    assert describe_file(tmp_path / "Dose_VolHist.csv")["kind"] == "volume histogram"
    (tmp_path / "topas.root").write_bytes(b"root" + bytes(60))
    assert describe_file(tmp_path / "topas.root")["encoding"] == "root"


def test_shares_of_incident_tracks_include_those_without(tmp_path):
    values = np.zeros((*SHAPE, 5))
    values[0, 0, 0] = [1, 2, 3, 4, 10]
    path = scored(tmp_path, "Fluence ( /mm2 )", values, "F", binning=INCIDENT)
    found = describe_file(path)
    assert found["outside_bins"] == {"underflow": 0.05, "overflow": 0.2, "no_incident_track": 0.5}
    assert "energy on entering the whole component" in " ".join(found["notes"])


def test_a_row_order_that_is_not_known_is_said(tmp_path):
    head = head_text("F", "Fluence ( /mm2 )", SHAPE, version="4.0", binning=INCIDENT)
    write_csv(tmp_path / "F.csv", head, np.ones((*SHAPE, 5)), index=False)
    assert describe_file(tmp_path / "F.csv")["row_order"].startswith("not known")
    assert describe_file(tmp_path / "F.csv", "z_fastest")["row_order"].startswith("z_fastest, as given")


def test_sparse_rows_are_counted(tmp_path):
    write_csv(
        tmp_path / "D.csv",
        head_text("D", "DoseToWater ( Gy )", SHAPE, tail=("Showing only rows that have sum > 1e-05 Gy",)),
        np.ones((*SHAPE, 1)),
    )
    lines = (tmp_path / "D.csv").read_text().splitlines()
    (tmp_path / "D.csv").write_text("\n".join(lines[:-5]) + "\n")
    assert describe_file(tmp_path / "D.csv")["n_missing"] == 5


def test_what_is_no_topas_file_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("a, b\n1, 2\n")
    with pytest.raises(FormatError, match="not a file of TOPAS"):
        describe_file(tmp_path / "a.csv")
    with pytest.raises(StoreError, match="no file at"):
        describe_file(tmp_path / "b.csv")
    (tmp_path / "c.bin").write_bytes(bytes(8))
    with pytest.raises(FormatError, match=r"expected c\.binheader beside it"):
        describe_file(tmp_path / "c.bin")


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha"])
def test_a_real_dose_lies_where_the_parameter_file_puts_it(tmp_path, suffix):
    """Box of 24 x 20 x 48 mm about (2, 0, -54): the first centre is at (-8, -8, -76), by fixture.txt."""
    found = topas_image(RUN / "fixture_DoseToWater.bin", tmp_path / f"d{suffix}", PLACED)
    assert (found["quantity"], found["unit"]) == ("dose_to_water", "Gy")
    assert found["grid"]["origin_mm"] == [-8.0, -8.0, -76.0]
    image = SimpleITK.ReadImage(str(tmp_path / f"d{suffix}"))
    assert image.GetOrigin() == pytest.approx((-8, -8, -76))
    assert image.GetSpacing() == pytest.approx((4, 4, 4))
    raw = np.fromfile(RUN / "fixture_DoseToWater.bin").reshape(12, 5, 6, 3)
    assert image.GetPixel(4, 1, 7) == pytest.approx(raw[7, 1, 4, 0], rel=1e-6)


def test_let_without_a_denominator_is_nan(tmp_path):
    found = topas_image(RUN / "fixture_ProtonLETd.csv", tmp_path / "let.nii.gz", PLACED)
    assert (found["quantity"], found["unit"]) == ("LET_d", "keV/um")
    # TOPAS's own count, in its warning.
    assert found["n_without_denominator"] == 116
    assert np.isnan(image_of(tmp_path / "let.nii.gz")).sum() == 116
    assert topas_image(RUN / "fixture_ProtonLETt.csv", tmp_path / "t.nii.gz", PLACED)["quantity"] == "LET_t"


def test_without_the_parameter_file_let_has_no_weighting(tmp_path):
    found = topas_image(RUN / "fixture_ProtonLETd.csv", tmp_path / "let.nii.gz", at_origin())
    assert found["quantity"] == "LET"
    assert "not known" in found["definition"]
    assert found["grid"]["spacing_mm"] == [4.0, 4.0, 4.0]
    assert found["grid"]["origin_mm"] == [1.0, 2.0, 3.0]


def test_a_deviation_is_named_as_one(tmp_path):
    wish = asked(statistic="Standard_Deviation")
    found = topas_image(RUN / "fixture_DoseToWater.bin", tmp_path / "s.nii.gz", wish)
    assert found["quantity"] == "dose_to_water_Standard_Deviation"
    raw = np.fromfile(RUN / "fixture_DoseToWater.bin").reshape(12, 5, 6, 3)
    assert image_of(tmp_path / "s.nii.gz")[3, 2, 1] == pytest.approx(raw[1, 2, 3, 1], rel=1e-6)
    counted = topas_image(
        RUN / "fixture_DoseToWater.bin", tmp_path / "n.nii.gz", asked(statistic="Histories_with_Scorer_Active")
    )
    assert (counted["unit"], counted["minimum"], counted["maximum"]) == ("1", 4000, 4000)


@pytest.mark.parametrize(
    ("bins", "columns"),
    [("sum", slice(0, 5)), ("under", [0]), ("over", [3]), ("noincident", [4]), ("0", [1]), ("1", [2]), ("0:2", [1, 2])],
)
def test_bins_are_the_ones_that_are_asked_for(tmp_path, bins, columns):
    values = np.random.default_rng(1).random((*SHAPE, 5))
    path = scored(tmp_path, "Fluence ( /mm2 )", values, "F", binning=INCIDENT)
    topas_image(path, tmp_path / "f.nii.gz", at_origin(bins=bins))
    np.testing.assert_allclose(image_of(tmp_path / "f.nii.gz"), values[..., columns].sum(-1), rtol=1e-6)


@pytest.mark.parametrize("order", ["x_fastest", "z_fastest"])
def test_rows_without_indices_follow_the_order_that_is_given(tmp_path, order):
    values = np.random.default_rng(2).random((*SHAPE, 5))
    head = head_text("F", "Fluence ( /mm2 )", SHAPE, version="4.0", binning=INCIDENT)
    write_csv(tmp_path / "F.csv", head, values, order=order, index=False)
    topas_image(tmp_path / "F.csv", tmp_path / "f.nii.gz", at_origin(bins="0", row_order=order))
    np.testing.assert_allclose(image_of(tmp_path / "f.nii.gz"), values[..., 1], rtol=1e-6)
    with pytest.raises(FormatError, match="does not tell the row order"):
        topas_image(tmp_path / "F.csv", tmp_path / "g.nii.gz", at_origin(bins="0"))


def test_minus_one_outside_the_structure_is_nan(tmp_path):
    values = np.ones(SHAPE)
    values[0] = -1
    path = scored(tmp_path, "DoseToWater ( Gy )", values, filters=('OnlyIncludeIfInRTStructure = 1 "PTV"',))
    found = topas_image(path, tmp_path / "d.nii.gz", at_origin())
    assert found["n_nan"] == 12
    assert 'OnlyIncludeIfInRTStructure = 1 "PTV"' in found["definition"]


@pytest.mark.parametrize(
    ("quantity", "meaning", "name", "unit"),
    [
        ("RBE_McNamara ( /Gy )", None, "alpha", "1/Gy"),
        ("RBE_McNamara ( /Gy2 )", None, "beta", "1/Gy^2"),
        ("RBE_McNamara ( Gy )", None, "D_RBE", "Gy (RBE)"),
        ("RBE_McNamara", "rbe", "RBE", "1"),
        ("RBE_McNamara", "survivalfraction", "survival", "1"),
    ],
)
def test_rbe_scorers_are_known_by_their_unit_or_what_is_said(tmp_path, quantity, meaning, name, unit):
    values = np.full(SHAPE, 1.25)
    values[0, 0, 0] = 0.0
    path = scored(tmp_path, quantity, values, "R")
    found = topas_image(path, tmp_path / "r.nii.gz", at_origin(meaning=meaning))
    assert (found["quantity"], found["unit"]) == (name, unit)
    assert found["n_nan"] == (0 if name == "D_RBE" else 1)  # no dose gives no D_RBE, but an RBE of 0 is none


@pytest.mark.parametrize(
    ("quantity", "settings", "error", "reason"),
    [
        ("RBE_McNamara", {}, QuantityError, "say which"),
        ("RBE_McNamara ( /Gy )", {"meaning": "rbe"}, QuantityError, "in /Gy is not rbe"),
        ("RBE_McNamara ( keV )", {}, QuantityError, "known units"),
        ("DoseToWater ( Gy )", {"meaning": "rbe"}, QuantityError, "is no RBE scorer"),
        ("DoseToWater ( keV )", {}, QuantityError, "must be in Gy"),
        ("ProtonLET ( keV/um )", {}, QuantityError, "must be in MeV/mm"),
        (LET, {"statistic": "Mean"}, FormatError, "column Mean is needed"),
        ("DoseToWater ( Gy )", {"bins": "0"}, QuantityError, "the scorer has none"),
        ("DoseToWater ( Gy )", {"spacing_mm": 2.0}, GeometryError, "for cylinders and spheres"),
    ],
)
def test_what_is_not_known_is_refused(tmp_path, quantity, settings, error, reason):
    path = scored(tmp_path, quantity, np.ones(SHAPE))
    with pytest.raises(error, match=reason):
        topas_image(path, tmp_path / "x.nii.gz", at_origin(**settings))
    assert not (tmp_path / "x.nii.gz").exists()


def test_the_mean_of_a_ratio_is_refused(tmp_path):
    head = head_text("L", LET, SHAPE, columns=("Sum", "Mean"))
    write_bin(tmp_path / "L", head, np.ones((*SHAPE, 1, 2)))
    with pytest.raises(QuantityError, match="not of the ratio"):
        topas_image(tmp_path / "L.binheader", tmp_path / "x.nii.gz", at_origin(statistic="Mean"))
    assert topas_image(tmp_path / "L.binheader", tmp_path / "x.nii.gz", at_origin())["maximum"] == 1


@pytest.mark.parametrize(
    ("bins", "reason"),
    [(None, "expected sum, under, over"), ("2:1", "not within"), ("2", "not within"), ("x", "N or N:M")],
)
def test_bins_must_be_chosen_and_there(tmp_path, bins, reason):
    path = scored(tmp_path, "Fluence ( /mm2 )", np.ones((*SHAPE, 5)), "F", binning=INCIDENT)
    with pytest.raises(QuantityError, match=reason):
        topas_image(path, tmp_path / "x.nii.gz", at_origin(bins=bins))


def test_deviations_of_several_bins_do_not_add(tmp_path):
    head = head_text("F", "Fluence ( /mm2 )", SHAPE, binning=INCIDENT, columns=("Sum", "Standard_Deviation"))
    write_bin(tmp_path / "F", head, np.ones((*SHAPE, 5, 2)))
    with pytest.raises(QuantityError, match="does not add"):
        topas_image(
            tmp_path / "F.binheader", tmp_path / "x.nii.gz", at_origin(bins="sum", statistic="Standard_Deviation")
        )


def test_an_unknown_position_or_two_of_them_are_refused(tmp_path):
    with pytest.raises(GeometryError, match="--origin"):
        topas_image(RUN / "fixture_DoseToWater.bin", tmp_path / "x.nii.gz", ImageRequest())
    with pytest.raises(GeometryError, match="do not give an origin too"):
        topas_image(RUN / "fixture_DoseToWater.bin", tmp_path / "x.nii.gz", asked(origin_mm=(0.0, 0.0, 0.0)))


def test_time_bins_are_chosen_as_energy_bins_are(tmp_path):
    binning = ("Binned by time in 2 bins of 5 ns from 0 ns to 10 ns", "First bin is underflow, last bin is overflow.")
    values = np.random.default_rng(1).random((*SHAPE, 4))
    path = scored(tmp_path, "DoseToWater ( Gy )", values, binning=binning)
    found = topas_image(path, tmp_path / "t.nii.gz", at_origin(bins="1"))
    assert found["bins"] == "1 to 1, 5 to 10 ns"
    np.testing.assert_allclose(image_of(tmp_path / "t.nii.gz"), values[..., 2], rtol=1e-6)
    with pytest.raises(QuantityError, match="expected sum, under, over, N"):
        topas_image(path, tmp_path / "x.nii.gz", at_origin(bins="noincident"))


def test_values_below_single_precision_are_told(tmp_path):
    values = np.ones(SHAPE)
    values[0, 0, :2] = 1e-50
    found = topas_image(scored(tmp_path, "DoseToWater ( Gy )", values), tmp_path / "d.mha", at_origin())
    assert found["notes"] == ["2 values are too small for the image's float32 and became 0"]


def test_a_line_of_voxels_has_no_order(tmp_path):
    head = head_text("F", "Fluence ( /mm2 )", (1, 1, 3), version="4.0", binning=INCIDENT)
    write_csv(tmp_path / "F.csv", head, np.ones((1, 1, 3, 5)), index=False)
    assert describe_file(tmp_path / "F.csv")["row_order"].startswith("of no consequence")


@pytest.mark.parametrize("name", ["Carabe", "McNamara", "Wedenberg"])
def test_real_rbe_maps_need_to_be_said_what_they_are(topas_data, tmp_path, name):
    run = topas_data("proton_rbe_v79")
    file = run / f"p_sobp_{name}_RBE.csv"
    with pytest.raises(QuantityError, match="say which"):
        topas_image(file, tmp_path / "r.mha", ImageRequest(parameters=run / "p_sobp.txt"))
    found = topas_image(file, tmp_path / "r.mha", ImageRequest(parameters=run / "p_sobp.txt", meaning="rbe"))
    assert found["quantity"] == "RBE"
    assert found["minimum"] > 0.5
    assert found["n_nan"] == found["n_without_denominator"] > 0


def test_real_rbe_without_let_is_told(topas_data, tmp_path):
    """The header counts 3141 voxels without LET, as many as ProtonLET of the run is 0 in; 1335 of RBE are 0."""
    run = topas_data("proton_rbe_v79")
    wish = ImageRequest(parameters=run / "p_sobp.txt", meaning="rbe")
    notes = topas_image(run / "p_sobp_Carabe_RBE.csv", tmp_path / "r.mha", wish)["notes"]
    assert any("no LET (or other part) in 3141 voxels, but only 1335 are 0" in note for note in notes)
    wish = ImageRequest(parameters=run / "p_sobp.txt")
    assert topas_image(run / "p_sobp_ProtonLET.csv", tmp_path / "l.mha", wish)["n_without_denominator"] == 3141


def test_a_surface_is_no_image(tmp_path):
    with pytest.raises(UnsupportedError, match="values on a surface"):
        topas_image(real("topas2numpy/SurfaceTracks.csv"), tmp_path / "x.nii.gz", at_origin())


def cylinder(folder, quantity="DoseToWater ( Gy )", scorer="Dose"):
    """R 2 of 10 mm from RMin, Phi one turn, Z 3 of 10 mm; the value of a bin is 1 + iR + 10 iZ."""
    head = "".join(
        f"# {line}\n"
        for line in (
            "TOPAS Version: 4.2.p1",
            "Parameter File: run.txt",
            f"Results for scorer: {scorer}",
            "Scored in component: Tube",
            "R in 2 bins of 1 cm",
            "Phi in 1 bin  of 360 deg",
            "Z in 3 bins of 1 cm",
            f"{quantity} : Sum   ",
        )
    )
    rows = "".join(f"{i}, 0, {k}, {1 + i + 10 * k}\n" for k in range(3) for i in range(2))
    (folder / f"{scorer}.csv").write_text(head + rows)
    (folder / "run.txt").write_text(
        's:Ge/Tube/Type = "TsCylinder"\ns:Ge/Tube/Parent = "World"\nd:Ge/Tube/RMin = 5 mm\nd:Ge/Tube/RMax = 25 mm\n'
        "d:Ge/Tube/HL = 15 mm\nd:Ge/Tube/TransX = 40 mm\nd:Ge/Tube/RotY = 90 deg\n"
        f's:Sc/{scorer}/Quantity = "DoseToWater"\ns:Sc/{scorer}/Component = "Tube"\n'
    )
    return folder / f"{scorer}.csv"


def test_a_cylinder_becomes_a_box_that_keeps_the_integral(tmp_path):
    wish = ImageRequest(parameters=tmp_path / "run.txt", spacing_mm=2.5)
    found = topas_image(cylinder(tmp_path), tmp_path / "c.mha", wish)
    assert found["grid"]["shape"] == [20, 20, 12]
    image = SimpleITK.ReadImage(str(tmp_path / "c.mha"))
    volumes = np.pi * 10 * np.array([15**2 - 5**2, 25**2 - 15**2])
    expected = sum((1 + i + 10 * k) * volumes[i] for i in range(2) for k in range(3))
    assert SimpleITK.GetArrayFromImage(image).sum() * 2.5**3 == pytest.approx(expected, rel=1e-3)
    # The component is turned about Y by 90 degrees, so its own Z lies along x; its centre is at x = 40 mm.
    corner = np.array(image.TransformContinuousIndexToPhysicalPoint((9.5, 9.5, 5.5)))
    assert corner == pytest.approx((40, 0, 0), abs=1e-9)
    assert "integral over the volume changed by" in " ".join(found["notes"])


def test_a_cylinder_without_parameter_file_needs_radius_centre_and_spacing(tmp_path):
    path = cylinder(tmp_path)
    whole = {"origin_mm": (0.0, 0.0, 0.0), "spacing_mm": 5.0, "r_min_mm": 5.0}
    found = topas_image(path, tmp_path / "c.mha", ImageRequest(**whole))
    assert found["grid"]["origin_mm"] == pytest.approx([-22.5, -22.5, -12.5])
    for name, reason in (("origin_mm", "give the centre"), ("spacing_mm", "give the spacing"), ("r_min_mm", "RMin")):
        with pytest.raises(GeometryError, match=reason):
            topas_image(path, tmp_path / "x.mha", ImageRequest(**{k: v for k, v in whole.items() if k != name}))


@pytest.mark.parametrize("quantity", [LET, "EnergyDeposit ( MeV )"])
def test_ratios_and_energies_are_not_averaged_over_voxels_of_another_shape(tmp_path, quantity):
    wish = ImageRequest(origin_mm=(0.0, 0.0, 0.0), spacing_mm=5.0, r_min_mm=5.0)
    with pytest.raises(UnsupportedError, match="cannot be averaged"):
        topas_image(cylinder(tmp_path, quantity), tmp_path / "x.mha", wish)


def test_an_unknown_weighting_is_refused(tmp_path):
    for name in ("fixture.txt", "fixture_ProtonLETd.csv"):
        shutil.copyfile(RUN / name, tmp_path / name)
    with (tmp_path / "fixture.txt").open("a") as stream:
        stream.write('\ns:Sc/Other/WeightBy = "Dose"\n')
    text = (tmp_path / "fixture.txt").read_text()
    scorer = "Sc/ProtonLETd/WeightBy"
    if scorer in text:
        text = "\n".join(line for line in text.splitlines() if scorer not in line)
    (tmp_path / "fixture.txt").write_text(text + f'\ns:{scorer} = "Energy"\n')
    with pytest.raises(QuantityError, match="WeightBy of ProtonLETd is 'energy'"):
        topas_image(
            tmp_path / "fixture_ProtonLETd.csv",
            tmp_path / "x.mha",
            ImageRequest(parameters=tmp_path / "fixture.txt"),
        )


def test_a_parameter_file_tells_what_it_scores():
    found = describe_file(RUN / "fixture.txt")
    assert found["kind"] == "parameters"
    assert found["seed"] == 301
    assert found["scorers"]["ProtonLETt"] == {"Quantity": "ProtonLET", "Component": "Grid"}
    assert len(found["scorers"]) == 6
