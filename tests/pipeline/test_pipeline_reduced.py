"""A planning system's dose and LET as a store without spectra: what is recognised, kept, scaled and refused."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK
from dicom_objects import beam_dose, rtdose, rtstruct
from reduced_store import DOSE, LET, SAID, SHAPE, STORED, WATER, folder, with_let

from surrogate3d.errors import (
    FormatError,
    GridMismatchError,
    PrescriptionError,
    QuantityError,
    StoreError,
    UnsupportedError,
    ValueRangeError,
)
from surrogate3d.grid import DoseField, turned_to
from surrogate3d.io.field_store import read_dose_field
from surrogate3d.io.given import Given
from surrogate3d.io.prescribe import PrescribeRequest
from surrogate3d.pipeline.any_input import convert_any, grid_of_any
from surrogate3d.pipeline.conversion import info
from surrogate3d.pipeline.reduced import REDUCED, PlanFacts, convert_reduced, definition_of, is_reduced, read_reduced


@pytest.fixture
def dose(tmp_path):
    return rtdose(tmp_path / "dose.dcm", STORED)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "plan.field.zarr"


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
