"""Plans of other systems: what the files say is read, what they do not say is asked for."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from surrogate3d.errors import (
    FormatError,
    GeometryError,
    GridMismatchError,
    QuantityError,
    StoreError,
    ValueRangeError,
)
from surrogate3d.io.field_store import read_dose_field, write_field
from surrogate3d.io.given import Given
from surrogate3d.io.plans import read_plan, recognise_plan

PLANS = Path(__file__).parents[2].parent / "shared" / "data" / "plans"
SHAPE, SPACING, ORIGIN = (4, 3, 5), (2.0, 3.0, 2.5), (-80.0, 10.0, 5.0)
H = {"primary": "H", "dose_medium": "water"}

rng = np.random.default_rng(11)
DOSE = rng.uniform(0.5, 2.0, SHAPE).astype(np.float32)
DOSE[0] = 0
LET = rng.uniform(1.0, 9.0, SHAPE).astype(np.float32)
LET[1, 0, 0] = 0


@pytest.fixture
def plans():
    if not PLANS.is_dir():
        pytest.skip("the plans of other systems are not beside the repository")
    return PLANS


def save(values, path, origin=ORIGIN):
    image = SimpleITK.GetImageFromArray(np.asarray(values).transpose(2, 1, 0))
    image.SetSpacing(SPACING)
    image.SetOrigin(origin)
    SimpleITK.WriteImage(image, str(path))


@pytest.fixture
def pyradplan(tmp_path):
    save(DOSE, tmp_path / "p_dosegrid_physical_dose.mha")
    save(LET, tmp_path / "p_dosegrid_let.mha")
    summary = {
        "quantities": {"dosegrid_physical_dose": [SHAPE, SPACING, 0.0, float(DOSE.max())]},
        "gantry": [0.0, 90.0],
    }
    (tmp_path / "p_summary.json").write_text(json.dumps(summary))
    return tmp_path


def own_mhd(values, path, *lines):
    """As MCsquare's export_MHD_image writes it: no position, no orientation."""
    nx, ny, nz = SHAPE
    text = ["ObjectType = Image", "NDims = 3", f"DimSize = {nx} {ny} {nz}", "ElementSpacing = 2.0 3.0 2.5", *lines]
    data = [f"ElementDataFile = {path.with_suffix('.raw').name}"]
    path.write_text("\n".join([*text, "ElementType = MET_FLOAT", "ElementByteOrderMSB = False", *data]) + "\n")
    path.with_suffix(".raw").write_bytes(np.asarray(values, "<f4").transpose(2, 1, 0).tobytes())


@pytest.fixture
def mcsquare(tmp_path):
    own_mhd(DOSE, tmp_path / "Dose.mhd", "Offset = -80 10 5")
    own_mhd(LET, tmp_path / "LET.mhd", "Offset = -80 10 5")
    return tmp_path


def test_a_plan_of_pyradplan_says_what_it_knows(pyradplan):
    assert recognise_plan(pyradplan) == "pyradplan"
    field = read_plan(pyradplan, **H)
    assert (field.grid.shape, field.grid.spacing_mm, field.grid.origin_mm) == (SHAPE, SPACING, ORIGIN)
    np.testing.assert_array_equal(field.dose, DOSE)
    known = (DOSE > 0) & (LET > 0)
    np.testing.assert_array_equal(field.volumes["LET_d"].values, np.where(known, LET, np.nan))
    assert (field.primary, field.dose_name) == ("H", "dose_to_water")
    assert field.prescription.dose_scale == 1.0
    assert field.prescription.dose_gy is None
    assert field.let_definitions["LET_d"].weighting == "dose"
    assert "files do not state" in field.let_definitions["LET_d"].particles
    assert [beam.name for beam in field.beams] == ["gantry 0 deg", "gantry 90 deg"]
    files = {file["name"]: file["sha256"] for file in field.provenance["runs"][0]["files"]}
    for name, digest in files.items():
        assert digest == hashlib.sha256((pyradplan / name).read_bytes()).hexdigest()
    assert set(files) == {path.name for path in pyradplan.iterdir()}
    assert "have no LET" in field.provenance["notes"][0]


def test_a_plan_goes_through_a_store(pyradplan):
    field = read_plan(pyradplan, **H)
    write_field(field, pyradplan / "plan.field.zarr")
    found = read_dose_field(pyradplan / "plan.field.zarr")
    np.testing.assert_array_equal(found.volumes["LET_d"].values, field.volumes["LET_d"].values)
    assert (found.primary, found.prescription, found.provenance) == (
        field.primary,
        field.prescription,
        field.provenance,
    )


def test_what_the_files_do_not_say_is_asked_for(pyradplan):
    with pytest.raises(QuantityError, match="does not say which particles"):
        read_plan(pyradplan, dose_medium="water")
    with pytest.raises(QuantityError, match="found 'proton'"):
        read_plan(pyradplan, primary="proton", dose_medium="water")
    with pytest.raises(QuantityError, match="to water or to medium"):
        read_plan(pyradplan, primary="H")
    assert read_plan(pyradplan, primary="H", dose_medium="medium").dose_name == "dose_to_medium"


def test_a_summary_may_say_the_particle_and_must_be_of_the_dose(pyradplan):
    summary = json.loads((pyradplan / "p_summary.json").read_text())
    (pyradplan / "p_summary.json").write_text(json.dumps({**summary, "radiation_mode": "helium"}))
    assert read_plan(pyradplan, dose_medium="water").primary == "He"
    with pytest.raises(QuantityError, match="is a plan of He, found H given"):
        read_plan(pyradplan, **H)
    summary["quantities"]["dosegrid_physical_dose"][3] *= 1.01
    (pyradplan / "p_summary.json").write_text(json.dumps(summary))
    with pytest.raises(FormatError, match="different runs"):
        read_plan(pyradplan, **H)
    for text, words in (("{", "is not JSON"), ("[1]", "expected a JSON object")):
        (pyradplan / "p_summary.json").write_text(text)
        with pytest.raises(FormatError, match=words):
            read_plan(pyradplan, **H)


def test_one_of_several_plans_is_asked_for_by_name(pyradplan):
    shutil.copy(pyradplan / "p_dosegrid_physical_dose.mha", pyradplan / "q_dosegrid_physical_dose.mha")
    with pytest.raises(QuantityError, match="holds the plans p, q"):
        read_plan(pyradplan, **H)
    with pytest.raises(StoreError, match="no plan 'r'; it holds p, q"):
        read_plan(pyradplan, name="r", **H)
    field = read_plan(pyradplan, name="q", **H)
    assert list(field.volumes) == ["dose_to_water"]
    assert field.let_definitions == {}


def test_a_folder_must_be_of_one_system(pyradplan, tmp_path_factory):
    own_mhd(DOSE, pyradplan / "Dose.mhd")
    with pytest.raises(FormatError, match="of pyRadPlan and of MCsquare"):
        recognise_plan(pyradplan)
    empty = tmp_path_factory.mktemp("empty")
    assert recognise_plan(empty) is None
    with pytest.raises(FormatError, match="neither a dose of pyRadPlan"):
        read_plan(empty, **H)
    with pytest.raises(StoreError, match="no folder"):
        read_plan(empty / "absent", **H)


def test_values_that_cannot_be_are_refused(pyradplan):
    for value in (-1.0, np.nan, np.inf):
        wrong = DOSE.copy()
        wrong[1, 2, 3] = value
        save(wrong, pyradplan / "p_dosegrid_physical_dose.mha")
        (pyradplan / "p_summary.json").unlink(missing_ok=True)
        with pytest.raises(ValueRangeError, match=r"dose of p: 1 voxels .* the first at \(1, 2, 3\)"):
            read_plan(pyradplan, **H)
    save(np.zeros(SHAPE, np.float32), pyradplan / "p_dosegrid_physical_dose.mha")
    with pytest.raises(ValueRangeError, match="0 everywhere"):
        read_plan(pyradplan, **H)
    save(DOSE, pyradplan / "p_dosegrid_physical_dose.mha")
    for value in (-1.0, np.nan):
        wrong = LET.copy()
        wrong[1, 2, 3] = value
        save(wrong, pyradplan / "p_dosegrid_let.mha")
        with pytest.raises(ValueRangeError, match=r"LET of p: 1 voxels .* the first at \(1, 2, 3\)"):
            read_plan(pyradplan, **H)
    save(LET, pyradplan / "p_dosegrid_let.mha", (-80.0, 10.0, 6.0))
    with pytest.raises(GridMismatchError, match="LET of p"):
        read_plan(pyradplan, **H)


def test_a_plan_of_mcsquare_is_in_arbitrary_scale(mcsquare):
    assert recognise_plan(mcsquare) == "mcsquare"
    own_mhd(100 * DOSE, mcsquare / "CT.mhd", "Offset = -80 10 5")
    field = read_plan(mcsquare, primary="H", dose_medium="medium")
    assert field.prescription is None
    assert (field.grid.shape, field.grid.spacing_mm, field.grid.origin_mm) == (SHAPE, SPACING, ORIGIN)
    np.testing.assert_array_equal(field.dose, DOSE)
    np.testing.assert_array_equal(field.volumes["HU"].values, 100 * DOSE)
    assert "not divided by its density" in field.let_definitions["LET_d"].medium
    notes = " ".join(field.provenance["notes"])
    assert all(words in notes for words in ("eV/g", "counts x and y against", "no TransformMatrix"))
    names = {file["name"] for file in field.provenance["runs"][0]["files"]}
    assert names == {f"{stem}.{end}" for stem in ("Dose", "LET", "CT") for end in ("mhd", "raw")}


def test_an_output_without_a_position_is_placed_by_the_user(mcsquare):
    for name, values in (("Dose.mhd", DOSE), ("LET.mhd", LET)):
        own_mhd(values, mcsquare / name)
    with pytest.raises(GeometryError, match="does not say where it is"):
        read_plan(mcsquare, **H)
    against = ((-1.0, 0.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0))
    field = read_plan(mcsquare, given=Given(origin_mm=(3.0, 2.0, 1.0), direction=against), **H)
    np.testing.assert_allclose(field.grid.position_mm((3, 2, 4)), (3.0 - 6.0, 2.0 - 6.0, 1.0 + 10.0))
    assert field.provenance["given"]["origin_mm"] == [3.0, 2.0, 1.0]


def test_an_origin_or_a_name_that_means_nothing_is_refused(pyradplan, mcsquare, tmp_path_factory):
    folder = tmp_path_factory.mktemp("mc")
    for name in ("Dose.mhd", "Dose.raw"):
        shutil.move(mcsquare / name, folder / name)
    with pytest.raises(GeometryError, match="leave the origin out"):
        read_plan(pyradplan, given=Given(origin_mm=(0.0, 0.0, 0.0)), **H)
    with pytest.raises(QuantityError, match="leave the name 'p' out"):
        read_plan(folder, name="p", **H)


def test_beams_of_mcsquare_add_and_their_let_is_weighted_by_dose(tmp_path):
    second, its_LET = DOSE[::-1].copy(), LET[::-1].copy()
    for number, (dose, let) in enumerate(((DOSE, LET), (second, its_LET)), 1):
        own_mhd(dose, tmp_path / f"Dose_Beam{number}.mhd", "Offset = 0 0 0")
        own_mhd(let, tmp_path / f"LET_Beam{number}.mhd", "Offset = 0 0 0")
    field = read_plan(tmp_path, **H)
    np.testing.assert_allclose(field.dose, DOSE + second, rtol=1e-6)
    assert [beam.name for beam in field.beams] == ["Dose_Beam1", "Dose_Beam2"]
    np.testing.assert_array_equal(field.beams_dose[1], second)
    i = (2, 1, 1)
    expected = (DOSE[i] * LET[i] + second[i] * its_LET[i]) / (DOSE[i] + second[i])
    np.testing.assert_allclose(field.volumes["LET_d"].values[i], expected, rtol=1e-6)
    assert np.isnan(field.volumes["LET_d"].values[1, 0, 0]), "the first beam has dose there, and no LET"
    assert field.volumes["LET_d"].values[0, 1, 1] == pytest.approx(its_LET[0, 1, 1]), "only the second has dose"
    (tmp_path / "LET_Beam2.mhd").unlink()
    with pytest.raises(FormatError, match="keep all or none"):
        read_plan(tmp_path, **H)
    own_mhd(DOSE, tmp_path / "Dose.mhd", "Offset = 0 0 0")
    with pytest.raises(FormatError, match="not both"):
        read_plan(tmp_path, **H)


def test_a_ct_on_another_grid_is_left_out_and_said(mcsquare):
    save(np.zeros((2, 2, 2), np.float32), mcsquare / "ct.mhd")
    field = read_plan(mcsquare, **H)
    assert "HU" not in field.volumes
    assert "ct.mhd is not read: it is on another grid" in field.provenance["notes"]
    own_mhd(DOSE, mcsquare / "ct.mhd", "Offset = 0 0 0")
    with pytest.raises(GridMismatchError, match=r"ct\.mhd"):
        read_plan(mcsquare, **H)


def test_rounding_below_a_thousandth_of_the_dose_is_no_let(mcsquare):
    dose, let = DOSE.copy(), LET.copy()
    dose[2, 0, 0], let[2, 0, 0] = 1e-4, -0.01
    own_mhd(dose, mcsquare / "Dose.mhd", "Offset = -80 10 5")
    own_mhd(let, mcsquare / "LET.mhd", "Offset = -80 10 5")
    field = read_plan(mcsquare, **H)
    assert np.isnan(field.volumes["LET_d"].values[2, 0, 0])
    assert "negative by rounding in 1" in field.provenance["notes"][-1]


def test_the_real_plans_are_read(plans):
    protons = read_plan(plans / "pyradplan", name="protons", **H)
    summary = json.loads((plans / "pyradplan" / "protons_summary.json").read_text())["quantities"]
    assert float(protons.dose.max()) == pytest.approx(summary["dosegrid_physical_dose"][3])
    assert float(np.nanmax(protons.volumes["LET_d"].values)) == pytest.approx(summary["dosegrid_let"][3])
    assert protons.grid.origin_mm == (-250.0, -250.0, -160.75), "as its header says"
    with pytest.raises(QuantityError, match="holds the plans carbon, protons"):
        read_plan(plans / "pyradplan", **H)
    assert list(read_plan(plans / "pyradplan", name="carbon", primary="C", dose_medium="water").volumes) == [
        "dose_to_water"
    ]
    water = read_plan(plans / "mcsquare", **H)
    raw = np.fromfile(plans / "mcsquare" / "dose.raw", "<f4").reshape(60, 60, 80)
    np.testing.assert_array_equal(water.dose, raw.transpose(2, 1, 0))
    assert water.grid.origin_mm == (-80.0, -60.0, -60.0)
