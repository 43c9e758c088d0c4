"""Maps from whatever holds them: values, what is said about them, and what is refused."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dicom_objects import rtdose
from synthetic import make_field, prescribed

from surrogate3d.errors import (
    FormatError,
    GeometryError,
    GridMismatchError,
    QuantityError,
    StoreError,
    UnknownNameError,
)
from surrogate3d.grid import Grid, Volume, VolumeSet, quantity
from surrogate3d.io.dicom_write import RtDoseOptions, write_rtdose
from surrogate3d.io.field_store import field_id, write_field
from surrogate3d.io.images import write_image, write_maps
from surrogate3d.pipeline.any_map import read_any_map
from surrogate3d.pipeline.reference_maps import read_reference

RUN = Path(__file__).parents[1] / "fixtures" / "topas"
GRID = Grid((4, 3, 5), (2.0, 2.0, 3.0), (-3.0, 10.0, 7.0))
VALUES = np.random.default_rng(3).uniform(0.1, 2.0, GRID.shape).astype(np.float32)
VALUES[0, 0, 0] = np.nan
FILLED = np.nan_to_num(VALUES)


def maps(folder, *formats, **names):
    about = {"cell_line": {"name": "HSG"}, "fraction_dose_gy": 2.0, "fractions": 3}
    volumes = {name: Volume(GRID, values, quantity(name)) for name, values in names.items()}
    write_maps(VolumeSet(GRID, volumes), folder, formats, about)
    return folder


def image(path, name="D_RBE", values=VALUES, grid=GRID):
    write_image(Volume(grid, values, quantity(name)), path)
    return path


def stored_rtdose(path, **elements):
    """FILLED as an RT Dose on GRID."""
    place = {"ImagePositionPatient": list(GRID.origin_mm), "PixelSpacing": [2.0, 2.0], "DoseGridScaling": "1e-6"}
    stored = np.round(FILLED.transpose(2, 1, 0) * 1e6).astype("<u4")
    return rtdose(path, stored, **{**place, **elements})


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", ["nifti", "mha", "nrrd"])
def test_a_folder_of_maps_gives_its_map_with_line_fractions_and_digest(tmp_path, kind):
    folder = maps(tmp_path / "maps", kind, D_RBE=VALUES, RBE=2 * VALUES)
    found = read_reference(folder, "D_RBE", GRID)
    np.testing.assert_array_equal(found.volume.values, VALUES)
    assert found.volume.quantity == quantity("D_RBE")
    assert found.origin == "map D_RBE of maps, cell line HSG, 3 x 2 Gy"
    (file,) = folder.glob("D_RBE.*")
    assert found.sha256 == digest(file)


def test_a_zarr_group_gives_the_map_and_a_digest_of_its_own_files_only(tmp_path):
    one = read_any_map(maps(tmp_path / "one", "zarr", D_RBE=VALUES, RBE=VALUES), "D_RBE")
    two = read_any_map(maps(tmp_path / "two", "zarr", D_RBE=VALUES, RBE=2 * VALUES), "D_RBE")
    other = read_any_map(maps(tmp_path / "three", "zarr", D_RBE=2 * VALUES), "D_RBE")
    np.testing.assert_array_equal(one.volume.values, VALUES)
    assert one.sha256 == two.sha256 != other.sha256


def test_a_digest_of_several_files_is_that_of_what_sha256sum_prints(tmp_path):
    found = read_any_map(RUN / "fixture_DoseToWater.bin", "dose_to_water")
    names = ("fixture_DoseToWater.binheader", "fixture_DoseToWater.bin")
    lines = "".join(f"{digest(RUN / name)}  {name}\n" for name in names)
    assert found.sha256 == hashlib.sha256(lines.encode()).hexdigest()


def test_an_image_is_taken_as_what_is_asked_for_and_says_so(tmp_path):
    found = read_any_map(image(tmp_path / "any.nii.gz"), "D_RBE")
    np.testing.assert_array_equal(found.volume.values, VALUES)
    assert "taken as D_RBE in Gy (RBE), as given" in found.origin


def test_an_image_whose_axes_count_the_other_way_is_on_the_same_grid(tmp_path):
    turned = Grid(GRID.shape, GRID.spacing_mm, (3.0, 14.0, 7.0), ((-1.0, 0, 0), (0, -1.0, 0), (0, 0, 1.0)))
    path = image(tmp_path / "turned.mha", values=VALUES[::-1, ::-1], grid=turned)
    found = read_reference(path, "D_RBE", GRID)
    np.testing.assert_array_equal(found.volume.values, VALUES)
    assert found.volume.grid == GRID


def test_maps_that_lost_their_nan_in_int16_say_so(tmp_path):
    from surrogate3d.io.map_writer import MapWriter

    with MapWriter(tmp_path / "m", GRID, {"D_RBE": quantity("D_RBE")}, ("nifti",), {}, dtype="int16", nan_as=0.0) as w:
        w.put(0, {"D_RBE": VALUES})
        w.finish()
    assert "without an answer were stored as 0" in read_any_map(tmp_path / "m", "D_RBE").origin


def test_an_effective_dose_is_D_RBE_and_a_physical_one_the_dose_that_it_is_said_to_be(tmp_path):
    effective = read_reference(stored_rtdose(tmp_path / "e.dcm", DoseType="EFFECTIVE"), "D_RBE", GRID)
    np.testing.assert_allclose(effective.volume.values, FILLED, atol=1e-6)
    assert "DoseType EFFECTIVE" in effective.origin
    physical = stored_rtdose(tmp_path / "p.dcm")
    for name in ("dose_to_water", "dose_to_medium"):
        assert read_any_map(physical, name).volume.quantity.name == name


@pytest.mark.parametrize(
    ("elements", "name", "said"),
    [
        ({}, "D_RBE", "DoseType PHYSICAL is a physical dose, not D_RBE"),
        ({}, "EQD2", "DoseType PHYSICAL is a physical dose, not EQD2"),
        ({"DoseType": "EFFECTIVE"}, "dose_to_water", "weighted by a biological model, not dose_to_water"),
        ({"DoseType": "ERROR"}, "dose_to_water", "ERROR is an uncertainty"),
        ({"DoseType": "EFFECTIVE", "DoseComment": "BED of the plan"}, "D_RBE", "says 'BED'"),
        ({"DoseType": "EFFECTIVE", "DoseComment": "dose-averaged LET"}, "D_RBE", "says 'LET'"),
        ({"DoseType": "EFFECTIVE", "SeriesDescription": "surrogate3d BED"}, "EQD2", "written here as BED, not as EQD2"),
    ],
)
def test_a_dose_that_contradicts_what_is_asked_for_is_refused(tmp_path, elements, name, said):
    with pytest.raises(QuantityError, match=said):
        read_any_map(stored_rtdose(tmp_path / "dose.dcm", **elements), name)


@pytest.mark.parametrize("name", ["D_RBE", "BED", "EQD2"])
def test_our_own_RT_Dose_is_read_back_as_what_it_is(tmp_path, name):
    volume = Volume(GRID, VALUES, quantity(name))
    write_rtdose(volume, tmp_path / "own.dcm", RtDoseOptions(nan_as=0.0), False)
    found = read_reference(tmp_path / "own.dcm", name, GRID)
    np.testing.assert_allclose(found.volume.values, FILLED, atol=1e-6)
    assert found.absolute


def test_a_relative_dose_and_one_of_a_simulation_are_in_no_absolute_scale(tmp_path):
    assert not read_any_map(stored_rtdose(tmp_path / "r.dcm", DoseUnits="RELATIVE"), "dose_to_water").absolute
    assert not read_any_map(RUN / "fixture_DoseDicom.dcm", "dose_to_water").absolute
    found = read_any_map(RUN / "fixture_DoseToMedium.csv", "dose_to_medium")
    assert not found.absolute
    assert "in the scale of the simulated histories" in found.origin


def test_a_field_store_gives_its_volumes_its_id_and_whether_it_is_prescribed(tmp_path):
    field = make_field(seed=1)
    write_field(prescribed(field, 2.0), tmp_path / "p.field.zarr")
    write_field(field, tmp_path / "u.field.zarr")
    found = read_any_map(tmp_path / "p.field.zarr", "dose_to_water")
    np.testing.assert_array_equal(found.volume.values, prescribed(field, 2.0).dose)
    assert found.sha256 == field_id(tmp_path / "p.field.zarr")
    assert found.absolute
    assert not read_any_map(tmp_path / "u.field.zarr", "dose_to_water").absolute
    with pytest.raises(UnknownNameError, match="has no 'RBE'; it has dose_to_water"):
        read_any_map(tmp_path / "u.field.zarr", "RBE")


def rows(path):
    """(i, j, k) of the last column of a TOPAS CSV with indices, by numpy alone."""
    table = np.loadtxt(path, delimiter=",")
    index = table[:, :3].astype(int)
    values = np.zeros(index.max(axis=0) + 1)
    values[tuple(index.T)] = table[:, 3]
    return values


def test_a_TOPAS_scorer_lies_where_its_parameter_file_says_and_LET_without_denominator_is_unknown():
    found = read_any_map(RUN / "fixture_ProtonLETd.csv", "LET_d")
    expected = rows(RUN / "fixture_ProtonLETd.csv")
    np.testing.assert_allclose(found.volume.values, np.where(expected == 0, np.nan, expected), rtol=1e-6)
    assert found.volume.grid.origin_mm == (2 - 12 + 2, 0 - 10 + 2, -54 - 24 + 2)  # Trans - HL + half a voxel of 4 mm
    with pytest.raises(QuantityError, match="ProtonLET is LET_t, not LET_d"):
        read_any_map(RUN / "fixture_ProtonLETt.csv", "LET_d")
    with pytest.raises(QuantityError, match="DoseToMedium is dose_to_medium, not dose_to_water"):
        read_any_map(RUN / "fixture_DoseToMedium.csv", "dose_to_water")


def test_an_RBE_scorer_of_TOPAS_is_RBE_and_no_dose(topas_data):
    path = topas_data("proton_rbe_v79") / "p_sobp_McNamara_RBE.csv"
    expected = rows(path)
    np.testing.assert_allclose(
        read_any_map(path, "RBE").volume.values, np.where(expected == 0, np.nan, expected), rtol=1e-6
    )
    with pytest.raises(QuantityError, match="RBE or surviving fraction, not D_RBE; have TOPAS score rbe_x_dose"):
        read_any_map(path, "D_RBE")


def test_a_scorer_without_its_parameter_file_is_refused(tmp_path):
    shutil.copy(RUN / "fixture_DoseToMedium.csv", tmp_path)
    with pytest.raises(GeometryError, match=r"parameter file fixture.txt, which is not beside it"):
        read_any_map(tmp_path / "fixture_DoseToMedium.csv", "dose_to_medium")


def test_a_plan_of_pyRadPlan_gives_its_RBE_dose(tmp_path):
    image(tmp_path / "carbon_dosegrid_rbe_x_dose.mha")
    image(tmp_path / "carbon_dosegrid_physical_dose.mha", values=VALUES / 3)
    found = read_any_map(tmp_path, "D_RBE")
    np.testing.assert_array_equal(found.volume.values, VALUES)
    assert "does not state of how many fractions" in found.origin
    with pytest.raises(QuantityError, match="is pyRadPlan's 'physical_dose', not D_RBE"):
        read_any_map(tmp_path / "carbon_dosegrid_physical_dose.mha", "D_RBE")
    image(tmp_path / "protons_dosegrid_physical_dose.mha")
    with pytest.raises(StoreError, match="holds 2 maps of dose_to_water"):
        read_any_map(tmp_path, "dose_to_water")
    with pytest.raises(StoreError, match="holds 0 maps of LET_d"):
        read_any_map(tmp_path, "LET_d")
    with pytest.raises(StoreError, match="holds 0 maps of BED"):
        read_any_map(tmp_path, "BED")


def test_another_grid_is_refused_with_the_numbers_of_both(tmp_path):
    other = Grid((4, 3, 6), (2.0, 2.0, 2.5), (-3.0, 10.0, 8.5))
    path = image(tmp_path / "other.mha", values=np.ones(other.shape, np.float32), grid=other)
    with pytest.raises(GridMismatchError) as refused:
        read_reference(path, "D_RBE", GRID)
    told = str(refused.value)
    assert "shape 4 x 3 x 6 against 4 x 3 x 5, spacing 2 x 2 x 2.5 mm against 2 x 2 x 3 mm, origin by 1.5 mm" in told
    assert "found 4 x 3 x 6 voxels of 2 x 2 x 2.5 mm from (-3, 10, 8.5) mm" in told
    assert "expected 4 x 3 x 5 voxels of 2 x 2 x 3 mm from (-3, 10, 7) mm" in told
    assert "--resample" in told


def test_a_turned_grid_is_refused_by_its_cosines(tmp_path):
    c, s = np.cos(0.1), np.sin(0.1)
    turned = replace(GRID, direction=((c, -s, 0.0), (s, c, 0.0), (0.0, 0.0, 1.0)))
    path = image(tmp_path / "turned.mha", grid=turned)
    with pytest.raises(GridMismatchError, match=r"they differ in direction cosines by up to 0.0998;"):
        read_reference(path, "D_RBE", GRID)


def test_resampling_is_exact_on_a_linear_map_and_leaves_what_lies_outside_unknown(tmp_path):
    other = Grid((8, 6, 4), (1.0, 1.0, 3.0), (-3.5, 9.5, 8.5))

    def linear(grid):
        i, j, k = np.indices(grid.shape)
        x, y, z = np.moveaxis(grid.position_mm(np.stack([i, j, k], axis=-1)), -1, 0)
        return (50 + 0.5 * x - 0.25 * y + 0.1 * z).astype(np.float32)

    path = image(tmp_path / "other.mha", values=linear(other), grid=other)
    found = read_reference(path, "D_RBE", GRID, resample=True)
    known = np.isfinite(found.volume.values)
    np.testing.assert_allclose(found.volume.values[1:-1, 1:-1, 1:-1], linear(GRID)[1:-1, 1:-1, 1:-1], rtol=1e-6)
    assert known[1:-1, 1:-1, 1:-1].all()
    assert not known[:, :, 4].any()  # 19 mm is 1.5 mm behind the last plane's centre at 17.5 mm, at its very end
    assert "linear interpolation" in found.origin
    assert f"{int((~known).sum())} of 60 voxels have no value" in found.origin


def test_a_grid_elsewhere_is_not_resampled(tmp_path):
    other = replace(GRID, origin_mm=(500.0, 0.0, 0.0))
    with pytest.raises(GridMismatchError, match="do not touch"):
        read_reference(image(tmp_path / "far.mha", grid=other), "D_RBE", GRID, resample=True)


def test_what_is_not_there_or_not_ours_is_refused(tmp_path):
    with pytest.raises(UnknownNameError, match="unknown quantity 'D_rbe'"):
        read_any_map(tmp_path, "D_rbe")
    with pytest.raises(StoreError, match="there is no map at"):
        read_any_map(tmp_path / "none.mha", "D_RBE")
    with pytest.raises(FormatError, match="is no folder of maps"):
        read_any_map(tmp_path, "D_RBE")
    folder = maps(tmp_path / "maps", "mha", RBE=VALUES)
    with pytest.raises(UnknownNameError, match="has no map 'D_RBE'; it has RBE"):
        read_any_map(folder, "D_RBE")
    with pytest.raises(QuantityError, match="is the map of RBE, not of D_RBE"):
        read_any_map(folder / "RBE.mha", "D_RBE")


def test_maps_in_another_unit_damaged_or_incomplete_are_refused(tmp_path):
    folder = maps(tmp_path / "maps", "mha", D_RBE=VALUES)
    about = json.loads((folder / "maps.json").read_text())
    about["maps"]["D_RBE"]["unit"] = "cGy"
    (folder / "maps.json").write_text(json.dumps(about))
    with pytest.raises(QuantityError, match=r"D_RBE is in cGy, expected Gy \(RBE\)"):
        read_any_map(folder, "D_RBE")
    with pytest.raises(QuantityError, match="D_RBE is in cGy"):
        read_any_map(folder / "D_RBE.mha", "D_RBE")
    about["maps"]["D_RBE"]["unit"], about["files"] = "Gy (RBE)", []
    (folder / "maps.json").write_text(json.dumps(about))
    with pytest.raises(StoreError, match="lists no file of D_RBE"):
        read_any_map(folder, "D_RBE")
    (folder / "maps.json").write_text('{"schema": "another"}')
    with pytest.raises(FormatError, match="does not describe our maps"):
        read_any_map(folder, "D_RBE")
    (folder / "maps.json").write_text("{")
    with pytest.raises(FormatError, match="is not JSON"):
        read_any_map(folder, "D_RBE")
