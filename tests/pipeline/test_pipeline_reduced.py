"""A planning system's dose and LET as a store without spectra: what is recognised, kept, scaled and refused."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from dicom_objects import beam_dose, rtdose, rtstruct
from synthetic import make_field, prescribed

from surrogate3d.errors import (
    FormatError,
    GeometryError,
    GridMismatchError,
    PrescriptionError,
    QuantityError,
    StoreError,
    UnsupportedError,
    ValueRangeError,
)
from surrogate3d.grid import DoseField, Volume, quantity, turned_to
from surrogate3d.inference.maps import Fractionation
from surrogate3d.io.field_store import read_dose_field, write_field
from surrogate3d.io.given import Given
from surrogate3d.io.images import read_image, write_image
from surrogate3d.io.prescribe import PrescribeRequest
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.rbe import PUBLISHED_MODELS
from surrogate3d.pipeline.any_input import convert_any, grid_of_any
from surrogate3d.pipeline.cell_line_assignment import parse_assignment
from surrogate3d.pipeline.conversion import info
from surrogate3d.pipeline.dicom_files import masks
from surrogate3d.pipeline.fields import combine_stores, crop_store, resample_store
from surrogate3d.pipeline.prediction import MapOutput, Structures, predict_store
from surrogate3d.pipeline.predictors import MapRequest
from surrogate3d.pipeline.reduced import REDUCED, PlanFacts, convert_reduced, definition_of, is_reduced, read_reduced

SAID = "weighting=dose; particles=protons; medium=water; restricted=no"
WATER = PlanFacts(primary="H", medium="water")
SHAPE = (4, 3, 5)
ASKED, V79_ALONE = MapRequest(Fractionation(2.0)), Structures(parse_assignment("V79"))
rng = np.random.default_rng(5)
STORED = rng.integers(500, 2000, (5, 3, 4)).astype(np.uint16)  # frame, row, column
STORED[0] = 0
DOSE = 0.001 * STORED.transpose(2, 1, 0)
LET = rng.uniform(1.0, 9.0, SHAPE).astype(np.float32)


@pytest.fixture
def dose(tmp_path):
    return rtdose(tmp_path / "dose.dcm", STORED)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "plan.field.zarr"


def folder(path, dose_name="Dose", let_name="LET"):
    """Dose and LET as MetaImages, by MCsquare's names if no others are given."""
    path.mkdir()
    for name, values in ((dose_name, DOSE), (let_name, LET)):
        image = SimpleITK.GetImageFromArray(np.asarray(values, np.float32).transpose(2, 1, 0))
        image.SetOrigin((-10.0, 20.0, 30.0))
        image.SetSpacing((1.5, 2.0, 3.0))
        SimpleITK.WriteImage(image, str(path / f"{name}{'.mhd' if dose_name == 'Dose' else '.mha'}"))
    return path


def with_let(dose, values=LET, suffix=".mha", **changes):
    """What a user says who has an image of LET beside an RT Dose."""
    image = dose.with_name(f"let{suffix}")
    grid = read_reduced([dose], WATER).grid
    write_image(Volume(replace(grid, **changes), np.asarray(values, np.float32), quantity("LET_d")), image, True)
    return replace(WATER, let=image, let_definition=definition_of(SAID))


def test_what_a_planning_system_wrote_is_recognised(tmp_path, dose):
    pyradplan = folder(tmp_path / "pyradplan", "p_dosegrid_physical_dose", "p_dosegrid_let")
    mcsquare = folder(tmp_path / "mcsquare")
    assert is_reduced([dose])
    assert is_reduced([dose, rtdose(tmp_path / "other.dcm", STORED)])
    assert is_reduced([pyradplan])
    assert is_reduced([mcsquare])
    (tmp_path / "run").mkdir()
    (tmp_path / "short.bin").write_bytes(b"no DICOM")
    for paths in ([], [tmp_path / "run"], [tmp_path / "none.dcm"], [pyradplan, mcsquare], [dose, mcsquare]):
        assert not is_reduced(paths)
    assert not is_reduced([tmp_path / "short.bin"])


def test_a_store_of_an_rtdose_keeps_dose_let_meaning_and_files(dose, store):
    facts = with_let(dose)
    found = convert_any([dose], store, facts, Given())
    field = read_dose_field(store)
    assert type(field) is DoseField
    np.testing.assert_allclose(field.dose, DOSE, rtol=1e-6)
    np.testing.assert_array_equal(field.volumes["LET_d"].values, np.where(DOSE > 0, LET, np.nan))
    assert field.grid.spacing_mm == (1.5, 2.0, 3.0)
    assert field.grid.origin_mm == (-10.0, 20.0, 30.0)
    assert (field.primary, field.prescription.dose_scale, field.prescription.dose_gy) == ("H", 1.0, None)
    definition = field.let_definitions["LET_d"]
    assert (definition.weighting, definition.particles, definition.medium) == ("dose", "protons", "water")
    assert (definition.restricted, definition.source) == (False, "given by the user")
    files = {file["name"]: file["sha256"] for file in field.provenance["files"]}
    assert files == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (dose, facts.let)}
    assert [file["name"] for file in found["conversion"]["files_read"]] == ["dose.dcm", "let.mha"]
    assert found["conversion"]["notes"] == [REDUCED]
    assert found["field_id"] == info(store)["field_id"]
    assert info(store)["axes"] is None
    assert info(store)["provenance"]["surrogate3d_version"]


def test_a_let_image_may_count_its_axes_otherwise(dose):
    """The voxels of an image in RAS are those of the dose, from the other end."""
    facts = with_let(dose)
    expected = read_reduced([dose], facts).volumes["LET_d"].values
    image = SimpleITK.ReadImage(str(facts.let))
    turned = SimpleITK.PermuteAxes(SimpleITK.Flip(image, [True, True, False]), [2, 0, 1])
    assert turned.GetSize() != image.GetSize()
    SimpleITK.WriteImage(turned, str(facts.let))
    np.testing.assert_array_equal(read_reduced([dose], facts).volumes["LET_d"].values, expected)


def test_turning_keeps_every_voxel_where_it_is(dose):
    volume = read_reduced([dose], WATER).volumes["dose_to_water"]
    away = replace(volume.grid, direction=((0.0, 0.0, -1.0), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0)))
    turned = turned_to(volume, away)
    np.testing.assert_array_equal(turned.grid.direction, away.direction)
    for index in ((0, 0, 0), (1, 2, 0), (0, 1, 3)):
        own = np.rint(volume.grid.index(turned.grid.position_mm(index))).astype(int)
        assert turned.values[index] == volume.values[tuple(own)]
    back = turned_to(turned, volume.grid)
    assert back.grid == volume.grid
    np.testing.assert_array_equal(back.values, volume.values)


def test_folders_of_pyradplan_and_mcsquare_become_stores(tmp_path, store):
    pyradplan = folder(tmp_path / "pyradplan", "p_dosegrid_physical_dose", "p_dosegrid_let")
    found = convert_any([pyradplan], store, WATER, Given())
    assert found["conversion"]["notes"][0] == REDUCED
    assert found["conversion"]["files_read"][0]["name"] == "p_dosegrid_physical_dose.mha"
    assert read_dose_field(store).prescription.dose_scale == 1
    other = tmp_path / "m.field.zarr"
    found = convert_any([folder(tmp_path / "mcsquare")], other, WATER, Given())
    assert any("eV/g per simulated proton" in note for note in found["conversion"]["notes"])
    field = read_dose_field(other)
    assert field.prescription is None
    np.testing.assert_array_equal(field.volumes["LET_d"].values, np.where(DOSE > 0, LET, np.nan))
    assert grid_of_any([pyradplan], WATER, Given()) == field.grid


def test_a_scale_or_a_prescription_multiplies_every_dose_and_no_let(dose, store, tmp_path):
    facts = with_let(dose)
    convert_reduced([dose], store, facts, dose_scale=30.0)
    field = read_dose_field(store)
    np.testing.assert_allclose(field.dose, 30 * DOSE, rtol=1e-6)
    np.testing.assert_array_equal(field.volumes["LET_d"].values, np.where(DOSE > 0, LET, np.nan))
    assert (field.dose_scale, field.prescription.dose_gy) == (30.0, None)
    beams = [beam_dose(tmp_path / f"b{n}.dcm", STORED // n, n) for n in (1, 2)]
    box = (0, 0, 1), (4, 3, 5)
    convert_reduced(
        beams, tmp_path / "sum.field.zarr", WATER, prescribe=PrescribeRequest(2.0, "mean", box), overwrite=True
    )
    field = read_dose_field(tmp_path / "sum.field.zarr")
    whole = 0.001 * (STORED.astype(int) + STORED // 2).transpose(2, 1, 0)
    scale = 2.0 / whole[:, :, 1:].mean()
    assert field.dose_scale == pytest.approx(scale, rel=1e-6)
    np.testing.assert_allclose(field.dose, scale * whole, rtol=1e-6)
    np.testing.assert_allclose(np.sum(field.beams_dose, axis=0), field.dose, rtol=1e-6)
    assert [beam.name for beam in field.beams] == ["beam 1", "beam 2"]
    assert field.prescription.dose_gy == 2


def test_doubts_about_a_prescription_come_first(dose, store):
    one_low_voxel = np.zeros(SHAPE, dtype=bool)
    one_low_voxel[np.unravel_index(np.where(DOSE > 0, DOSE, np.inf).argmin(), SHAPE)] = True
    found = convert_reduced([dose], store, WATER, prescribe=PrescribeRequest(2.0, "mean", one_low_voxel))
    assert "times the prescribed one" in found["conversion"]["notes"][0]


def test_the_dose_of_one_beam_is_said_to_be_no_more(tmp_path, store):
    found = convert_reduced([beam_dose(tmp_path / "b.dcm", STORED, 2)], store, WATER)
    assert "b.dcm is the dose of beam 2 only, not of the whole plan" in found["conversion"]["notes"]


def test_an_effective_dose_needs_the_constant_that_weighted_it(tmp_path, store):
    path = rtdose(tmp_path / "e.dcm", STORED, DoseType="EFFECTIVE")
    with pytest.raises(QuantityError, match=r"RBE-weighted dose .*--constant-rbe 1\.1"):
        convert_reduced([path], store, WATER)
    found = convert_reduced([path], store, replace(WATER, constant_rbe=1.1))
    np.testing.assert_allclose(read_dose_field(store).dose, DOSE / 1.1, rtol=1e-6)
    assert "divided by the constant RBE 1.1, as given" in found["conversion"]["notes"]
    ours = rtdose(
        tmp_path / "o.dcm",
        STORED,
        DoseType="EFFECTIVE",
        SeriesDescription="surrogate3d D_RBE [Gy (RBE)]",
        DoseComment="D_RBE HSG model wedenberg",
    )
    with pytest.raises(QuantityError, match="an RBE that varies"):
        read_reduced([ours], replace(WATER, constant_rbe=1.1))


@pytest.mark.parametrize(
    ("facts", "given", "message"),
    [
        (PlanFacts(), Given(), "--medium water or medium"),
        (replace(WATER, name="p"), Given(), "leave --origin and --plan out"),
        (WATER, Given(origin_mm=(0.0, 0.0, 0.0)), "leave --origin and --plan out"),
        (WATER, Given(row_order="x_fastest"), "leave these options out"),
        (WATER, Given(histories=5), "leave these options out"),
        (replace(WATER, let=Path("let.mha")), Given(), "give --let and --let-definition, or neither"),
        (replace(WATER, let_definition=definition_of(SAID)), Given(), "give --let and --let-definition, or neither"),
    ],
)
def test_what_does_not_belong_to_an_rtdose_is_refused(dose, facts, given, message):
    with pytest.raises(QuantityError, match=message):
        read_reduced([dose], facts, given)


@pytest.mark.parametrize("facts", [replace(WATER, let=Path("let.mha")), replace(WATER, constant_rbe=1.1)])
def test_what_belongs_to_an_rtdose_is_refused_beside_a_folder(tmp_path, facts):
    with pytest.raises(QuantityError, match="go with RT Dose files"):
        read_reduced([folder(tmp_path / "mcsquare")], facts)


def test_what_belongs_to_a_planning_system_is_refused_beside_a_run(tmp_path, store):
    for facts in (WATER, PlanFacts(name="p"), PlanFacts(let=Path("let.mha")), PlanFacts(constant_rbe=1.1)):
        with pytest.raises(QuantityError, match=r"none\.dcm is none: expected RT Dose files"):
            convert_any([tmp_path / "none.dcm"], store, facts, Given())


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda LET: np.where(LET - LET.max() == 0, np.inf, LET), ValueRangeError, "1 voxels have a LET"),
        (lambda LET: -LET, ValueRangeError, "48 voxels have a LET that is negative"),
        (lambda LET: 0 * LET, ValueRangeError, "is 0 wherever there is dose"),
        (lambda LET: np.full_like(LET, np.nan), ValueRangeError, "is 0 wherever there is dose"),
    ],
)
def test_a_let_that_can_be_none_is_refused(dose, store, change, error, message):
    facts = with_let(dose, change(LET))
    with pytest.raises(error, match=message):
        convert_reduced([dose], store, facts)
    assert not store.exists()


def test_a_let_known_in_part_is_nan_elsewhere_and_that_is_said(dose, store):
    values = LET.copy()
    values[0, 0, 1:3] = 0, np.nan
    found = convert_reduced([dose], store, with_let(dose, values))
    kept = read_dose_field(store).volumes["LET_d"].values
    assert np.isnan(kept[0, 0, 1:3]).all()
    assert np.isfinite(kept[:, :, 1:]).sum() == 46
    assert any("2 of 48 voxels with dose have no LET" in note for note in found["conversion"]["notes"])


def test_a_let_on_another_grid_is_refused(dose):
    for changes in ({"origin_mm": (-9.0, 20.0, 30.0)}, {"spacing_mm": (1.5, 2.0, 3.1)}):
        with pytest.raises(GridMismatchError, match=r"let\.mha must be on the grid of the dose"):
            read_reduced([dose], with_let(dose, **changes))


def test_a_track_averaged_let_is_kept_as_such(dose):
    track = definition_of(SAID.replace("dose", "track"))
    field = read_reduced([dose], replace(with_let(dose), let_definition=track))
    assert list(field.volumes) == ["dose_to_water", "LET_t"]
    assert list(field.let_definitions) == ["LET_t"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "weighting=dose",
        SAID + "; cut=none",
        SAID.replace("no", "maybe"),
        SAID.replace("particles", "particle"),
        SAID.replace("weighting=dose", "weighting=mean"),
    ],
)
def test_a_let_definition_says_four_things(text):
    with pytest.raises(QuantityError, match=r"LET definition needs|LET weighting must be"):
        definition_of(text)
    assert definition_of(SAID.replace("no", "yes")).restricted


def test_scale_and_prescription_exclude_each_other(dose, store):
    with pytest.raises(PrescriptionError, match="exclude each other"):
        convert_reduced([dose], store, WATER, dose_scale=2.0, prescribe=PrescribeRequest(2.0))
    for scale in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(PrescriptionError, match="positive number"):
            convert_reduced([dose], store, WATER, dose_scale=scale)
    with pytest.raises(PrescriptionError, match="only max is taken on the whole grid"):
        convert_reduced([dose], store, WATER, prescribe=PrescribeRequest(2.0, "p50"))
    assert not store.exists()


def test_an_older_store_is_only_replaced_on_request(dose, store):
    convert_reduced([dose], store, WATER)
    with pytest.raises(StoreError, match="exists already"):
        convert_reduced([dose], store, WATER, dose_scale=2.0)
    assert read_dose_field(store).dose_scale == 1
    convert_reduced([dose], store, WATER, dose_scale=2.0, overwrite=True)
    assert read_dose_field(store).dose_scale == 2


def test_what_is_no_dose_of_a_plan_is_refused(tmp_path, dose, store):
    structures = rtstruct(tmp_path / "s.dcm", {"PTV": []})
    with pytest.raises(UnsupportedError, match="expected RT Dose Storage"):
        convert_reduced([structures], store, WATER)
    with pytest.raises(QuantityError, match="must all be doses of beams"):
        convert_reduced([dose, dose], store, WATER)
    (tmp_path / "empty.dcm").write_bytes(b"")
    with pytest.raises(FormatError):
        convert_reduced([tmp_path / "empty.dcm"], store, WATER)


def test_a_published_model_predicts_from_the_store_and_a_bundle_does_not(dose, store, tmp_path):
    convert_reduced([dose], store, with_let(dose), prescribe=PrescribeRequest(2.0))
    line, scale = cell_line("V79"), 2.0 / DOSE.max()
    found = predict_store(store, "wedenberg", V79_ALONE, ASKED, MapOutput(tmp_path / "maps", ("mha",)))
    assert found["voxels_answered"] == 48
    D_RBE = read_image(tmp_path / "maps" / "D_RBE.mha", quantity("D_RBE")).values
    inside, D = DOSE > 0, scale * DOSE
    RBE = PUBLISHED_MODELS["wedenberg"](D[inside], LET[inside].astype(float), line.alpha_x, line.beta_x)
    np.testing.assert_allclose(D_RBE[inside], RBE * D[inside], rtol=1e-5)
    assert np.isnan(D_RBE[~inside]).all()
    with pytest.raises(QuantityError, match="without spectra"):
        predict_store(store, "proton", V79_ALONE, ASKED, MapOutput(tmp_path / "none"))


@pytest.mark.parametrize(
    ("said", "error", "message"),
    [
        (SAID.replace("=dose", "=track"), QuantityError, "needs LET_d"),
        (SAID.replace("protons", "all particles"), QuantityError, "LET is of all particles"),
        (SAID.replace("=no", "=yes"), QuantityError, "LET is restricted"),
    ],
)
def test_a_let_that_a_model_was_not_fitted_to_is_refused(dose, store, tmp_path, said, error, message):
    convert_reduced([dose], store, replace(with_let(dose), let_definition=definition_of(said)))
    with pytest.raises(error, match=message):
        predict_store(store, "wedenberg", V79_ALONE, ASKED, MapOutput(tmp_path / "maps"))


def test_a_beam_of_unknown_particles_is_not_predicted(dose, store, tmp_path):
    convert_reduced([dose], store, PlanFacts(medium="water"))
    with pytest.raises(UnsupportedError, match="does not say which particles"):
        predict_store(store, "constant", V79_ALONE, ASKED, MapOutput(tmp_path / "maps"))


def test_reduced_stores_are_cropped_resampled_and_added(dose, store, tmp_path):
    convert_reduced([dose], store, with_let(dose))
    found = crop_store(store, tmp_path / "box.field.zarr", box=((1, 0, 1), (3, 3, 5)))
    assert found["dose_integral_gy_mm3"] == pytest.approx(9 * DOSE[1:3, :, 1:].sum(), rel=1e-6)
    coarse = resample_store(tmp_path / "box.field.zarr", tmp_path / "c.field.zarr", spacing_mm=(3.0, 6.0, 12.0))
    assert coarse["grid"]["shape"] == [1, 1, 1]
    weight = DOSE[1:3, :, 1:]
    mean = (weight * LET[1:3, :, 1:]).sum() / weight.sum()
    assert coarse["LET_d_kev_um"] == pytest.approx([mean, mean], rel=1e-5)
    half = rtdose(tmp_path / "half.dcm", STORED // 2)
    convert_reduced([half], tmp_path / "half.field.zarr", with_let(half, 2 * LET))
    found = combine_stores([store, tmp_path / "half.field.zarr"], tmp_path / "sum.field.zarr", times=[(0, 60), (90, 5)])
    whole, low = read_dose_field(tmp_path / "sum.field.zarr"), 0.001 * (STORED // 2).transpose(2, 1, 0)
    np.testing.assert_allclose(whole.dose, DOSE + low, rtol=1e-6)
    expected = (DOSE * LET + low * 2 * LET)[:, :, 1:] / (DOSE + low)[:, :, 1:]
    np.testing.assert_allclose(whole.volumes["LET_d"].values[:, :, 1:], expected, rtol=1e-5)
    assert [(beam.name, beam.start_s, beam.duration_s) for beam in whole.beams] == [("plan", 0, 60), ("half", 90, 5)]
    assert found["remarks"] == []


def test_one_dose_is_not_added_twice_whatever_its_scale(dose, store, tmp_path):
    convert_reduced([dose], store, WATER)
    convert_reduced([dose], tmp_path / "twice.field.zarr", with_let(dose), dose_scale=2.0)
    with pytest.raises(QuantityError, match="hold the same histories"):
        combine_stores([store, tmp_path / "twice.field.zarr"], tmp_path / "sum.field.zarr")


def test_a_reduced_and_a_full_field_add_to_a_reduced_one(tmp_path):
    """No spectra of the sum, and no LET: that of one field is not that of the plan."""
    full = prescribed(make_field(), 2.0)
    stored = np.full(full.grid.shape[::-1], 1000, np.uint16)
    path = rtdose(
        tmp_path / "d.dcm",
        stored,
        ImagePositionPatient=[0.0, 0.0, 0.0],
        PixelSpacing=[2.0, 2.0],
        GridFrameOffsetVector=[2.5 * n for n in range(len(stored))],
    )
    convert_reduced([path], tmp_path / "tps.field.zarr", WATER)
    write_field(full, tmp_path / "full.field.zarr")
    output = tmp_path / "sum.field.zarr"
    found = combine_stores([tmp_path / "full.field.zarr", tmp_path / "tps.field.zarr"], output)
    assert not found["spectra"]
    assert "only 1 of 2 fields have spectra, so the sum has none" in found["remarks"]
    assert type(read_dose_field(output)) is DoseField
    np.testing.assert_allclose(read_dose_field(output).dose, full.dose + 1.0, rtol=1e-6)
    assert info(output)["axes"] is None
    convert_reduced([path], tmp_path / "loose.field.zarr", WATER, dose_scale=2.0)
    write_field(make_field(), tmp_path / "loose_full.field.zarr")
    with pytest.raises(PrescriptionError, match="prescribe all of them, or none"):
        combine_stores(
            [tmp_path / "loose_full.field.zarr", path.with_name("loose.field.zarr")], tmp_path / "x.field.zarr"
        )


def test_masks_lie_on_the_store_of_an_rtdose_in_its_frame_of_reference(dose, store, tmp_path):
    """The store remembers the frame of reference of its RT Dose, as a TOPAS run cannot."""
    convert_reduced([dose], store, WATER)
    rings = [np.array([[-11, 19, z], [-7.75, 19, z], [-7.75, 25, z], [-11, 25, z]], float) for z in (33, 36, 39)]
    structures = rtstruct(tmp_path / "s.dcm", {"PTV": rings})
    made = masks(structures, tmp_path / "masks", like=store)["masks"][0]
    inside = read_image(made["file"], quantity("mask")).values > 0
    assert np.argwhere(inside).min(axis=0).tolist() == [0, 0, 1]
    assert np.argwhere(inside).max(axis=0).tolist() == [1, 2, 3]
    found = convert_reduced([dose], store, WATER, prescribe=PrescribeRequest(3.0, "p50", inside), overwrite=True)
    assert np.median(read_dose_field(store).dose[inside]) == pytest.approx(3.0, rel=1e-6)
    assert "a mask of 18 voxels" in found["prescription"]["statement"]
    other = rtdose(tmp_path / "other.dcm", STORED, FrameOfReferenceUID="1.9")
    convert_reduced([other], store, WATER, overwrite=True)
    with pytest.raises(GeometryError, match="different frames of reference"):
        masks(structures, tmp_path / "no", like=store, names=["PTV"])
