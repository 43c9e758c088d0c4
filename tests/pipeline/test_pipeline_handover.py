"""The folder for 3D Slicer and planning systems, as pynrrd, SimpleITK, nibabel and pydicom read it."""

import hashlib
import json
from dataclasses import replace

import nibabel
import nrrd
import numpy as np
import pydicom
import pytest
import SimpleITK
from synthetic import LINE, make_field, make_surrogate, prescribed

from surrogate3d.errors import GridMismatchError, QuantityError, StoreError
from surrogate3d.grid import Grid, Volume, quantity
from surrogate3d.grid.regions import regions
from surrogate3d.inference.maps import Fractionation
from surrogate3d.io.field_store import field_id, read_field, write_field
from surrogate3d.io.images import write_image
from surrogate3d.pipeline.handover import HandoverOptions, hand_over
from surrogate3d.pipeline.map_output import MapOutput
from surrogate3d.pipeline.prediction import write_prediction
from surrogate3d.pipeline.predictors import MapRequest, surrogate_predictor

FIELD = make_field(seed=5)
GRID = FIELD.grid


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A plan, maps of it with and without D_RBE, and three structures: two that overlap and an empty one."""
    folder = tmp_path_factory.mktemp("handover")
    store = folder / "plan.field.zarr"
    write_field(prescribed(FIELD, 6.0), store)
    surrogate = replace(make_surrogate(FIELD, networks=()), bundle_id="0123456789ab")
    for name, wanted in (("maps", None), ("bare", ("RBE", "mask"))):
        request = MapRequest(Fractionation(2.0, 3), wanted)
        predictor = surrogate_predictor(read_field(store), field_id(store), surrogate, request)
        write_prediction(predictor, LINE, MapOutput(folder / name, ("nifti",)))
    for name, part in (("Tumour", slice(1, 4)), ("Body", slice(0, None)), ("Lens", slice(0, 0))):
        mask = np.zeros(GRID.shape, np.float32)
        mask[part] = 1
        write_image(Volume(GRID, mask, quantity("structure")), folder / "structures" / f"{name}.nii.gz")
    return folder


def give(made, out, maps="maps", plan="plan.field.zarr", overwrite=False, **given):
    return hand_over(made / plan, made / maps, out, HandoverOptions(**given), overwrite)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_every_map_is_a_nrrd_with_the_values_and_the_place_of_the_nifti(made, tmp_path):
    give(made, tmp_path / "out")
    listed = json.loads((made / "maps" / "maps.json").read_text())["maps"]
    assert {path.stem for path in (tmp_path / "out" / "maps").glob("*.nrrd")} == set(listed)
    for name in listed:
        values, header = nrrd.read(str(tmp_path / "out" / "maps" / f"{name}.nrrd"))
        nifti = nibabel.load(made / "maps" / f"{name}.nii.gz")
        np.testing.assert_array_equal(values, nifti.get_fdata(dtype=np.float32))
        affine = np.eye(4)
        affine[:3, :3], affine[:3, 3] = header["space directions"].T, header["space origin"]
        np.testing.assert_allclose(np.diag([-1, -1, 1, 1]) @ affine, nifti.affine, atol=1e-4)  # LPS and RAS
        assert header["unit"] == quantity(name).unit


def test_the_doses_are_rt_dose_in_one_study_and_of_the_right_type(made, tmp_path):
    give(made, tmp_path / "out")
    types = {"D_RBE": "EFFECTIVE", "BED": "EFFECTIVE", "EQD2": "EFFECTIVE", "dose_to_water": "PHYSICAL"}
    files = {path.stem: pydicom.dcmread(path) for path in (tmp_path / "out").rglob("*.dcm")}
    assert {name: file.DoseType for name, file in files.items()} == types
    assert len({file.StudyInstanceUID for file in files.values()}) == 1
    assert len({file.FrameOfReferenceUID for file in files.values()}) == 1
    assert len({file.SOPInstanceUID for file in files.values()}) == 4
    assert "HSG" in files["D_RBE"].DoseComment
    assert "HSG" not in files["dose_to_water"].DoseComment, "a physical dose has no cell line"
    values, step = files["D_RBE"].pixel_array.T, float(files["D_RBE"].DoseGridScaling)
    expected = np.nan_to_num(nibabel.load(made / "maps" / "D_RBE.nii.gz").get_fdata())
    np.testing.assert_allclose(values * step, expected, atol=step)
    assert list(files["D_RBE"].ImagePositionPatient) == pytest.approx(GRID.origin_mm)


def test_the_segmentation_has_regions_masks_and_structures_with_names_and_colours(made, tmp_path):
    index = give(made, tmp_path / "out", structures=made / "structures")
    values, header = nrrd.read(str(tmp_path / "out" / "labels.seg.nrrd"))
    parts = regions(FIELD.dose, FIELD.beam_axis, FIELD.beam_sign, GRID.spacing_mm)
    answered = nibabel.load(made / "maps" / "mask.nii.gz").get_fdata() > 0
    expected = {f"region {name}": mask for name, mask in parts.items() if mask.any()} | {"answered": answered}
    body, tumour = np.ones(GRID.shape, bool), np.zeros(GRID.shape, bool)
    tumour[1:4] = True
    expected |= {"Body": body, "Tumour": tumour}
    assert {each["name"] for each in index["segments"]} == set(expected)
    for number, each in enumerate(index["segments"]):
        mask = values[each["layer"]] == each["label"]
        np.testing.assert_array_equal(mask, expected[each["name"]])
        assert header[f"Segment{number}_Name"] == each["name"]
        colour = [round(255 * float(part)) for part in header[f"Segment{number}_Color"].split()]
        assert "#" + bytes(colour).hex() == each["colour"]
        assert each["voxels"] == mask.sum()
        assert each["volume_cm3"] == pytest.approx(mask.sum() * np.prod(GRID.spacing_mm) / 1000)
    assert len({each["colour"] for each in index["segments"]}) == len(index["segments"])
    image = SimpleITK.ReadImage(str(tmp_path / "out" / "labels.seg.nrrd"))
    np.testing.assert_allclose(image.GetOrigin()[-3:], GRID.origin_mm)


def test_an_empty_structure_is_named_and_the_rest_is_written(made, tmp_path):
    index = give(made, tmp_path / "out", structures=made / "structures")
    (problem,) = index["problems"]
    assert (problem["kind"], problem["where"]) == ("empty_structure", "structure 'Lens'")
    assert "'Lens'" in (tmp_path / "out" / "README.txt").read_text()


def test_a_structure_that_fills_no_voxel_by_half_is_named(made, tmp_path):
    thin = np.zeros(GRID.shape, np.float32)
    thin[2, 2, 2] = 0.4
    write_image(Volume(GRID, thin, quantity("structure")), tmp_path / "Nerve.nii.gz")
    index = give(made, tmp_path / "out", structures=tmp_path / "Nerve.nii.gz")
    assert index["problems"][0]["sentence"] == "structure 'Nerve' fills no voxel by half; it has no segment"


def test_the_index_lists_every_file_with_its_checksum_and_meaning(made, tmp_path):
    index = give(made, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "index.json").read_text()) == index
    found = contents(tmp_path / "out")
    assert {each["file"] for each in index["files"]} | {"index.json", "README.txt"} == set(found)
    for each in index["files"]:
        assert each["sha256"] == hashlib.sha256(found[each["file"]]).hexdigest()
        assert each["bytes"] == len(found[each["file"]])
        assert each["what"]
    (own,) = (each for each in index["files"] if each["file"] == "maps/D_RBE.dcm")
    assert (own["quantity"], own["unit"]) == ("D_RBE", "Gy (RBE)")
    assert index["field_id"] == field_id(made / "plan.field.zarr")
    readme = found["README.txt"].decode()
    assert all(each["file"] in readme for each in index["files"])
    assert "3 x 2 Gy" in readme


def test_the_same_inputs_are_the_same_bytes(made, tmp_path):
    give(made, tmp_path / "one", structures=made / "structures")
    give(made, tmp_path / "two", structures=made / "structures")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_voxels_without_an_answer_become_zero_on_request_and_are_still_counted(made, tmp_path):
    index = give(made, tmp_path / "out", nan_as=0.0)
    missing = int(np.isnan(nibabel.load(made / "maps" / "D_RBE.nii.gz").get_fdata()).sum())
    values, _ = nrrd.read(str(tmp_path / "out" / "maps" / "D_RBE.nrrd"))
    assert np.isfinite(values).all()
    assert missing > 0
    assert f"outside=0 ({missing} voxels)" in pydicom.dcmread(tmp_path / "out" / "maps" / "D_RBE.dcm").DoseComment
    assert index["outside"] == "0"


@pytest.mark.parametrize(
    ("maps", "error", "words"),
    [
        ("bare", QuantityError, "has no D_RBE, only RBE, mask; predict it as well"),
        ("structures", StoreError, r"is no folder of maps \(maps\.json\)"),
    ],
)
def test_maps_without_a_dose_and_other_folders_are_refused(made, tmp_path, maps, error, words):
    with pytest.raises(error, match=words):
        give(made, tmp_path / "out", maps)
    assert list(tmp_path.iterdir()) == []


def test_maps_of_another_grid_or_another_field_are_refused(made, tmp_path):
    moved = Grid(GRID.shape, GRID.spacing_mm, tuple(np.add(GRID.origin_mm, (0, 0, 5))), GRID.direction)
    other = prescribed(FIELD, 6.0)
    volumes = {name: Volume(moved, each.values, each.quantity) for name, each in other.volumes.items()}
    write_field(replace(other, grid=moved, volumes=type(other.volumes)(moved, volumes)), tmp_path / "moved.field.zarr")
    with pytest.raises(GridMismatchError, match="differ in position by up to 5 mm; give the plan that the maps"):
        hand_over(tmp_path / "moved.field.zarr", made / "maps", tmp_path / "out")
    write_field(prescribed(FIELD, 5.0), tmp_path / "other.field.zarr")
    with pytest.raises(QuantityError, match="was made of the field"):
        hand_over(tmp_path / "other.field.zarr", made / "maps", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_only_a_folder_of_this_kind_is_replaced(made, tmp_path):
    give(made, tmp_path / "out")
    with pytest.raises(StoreError, match="exists already"):
        give(made, tmp_path / "out")
    give(made, tmp_path / "out", overwrite=True)
    (tmp_path / "mine").mkdir()
    with pytest.raises(StoreError, match="is not a handed-over folder"):
        give(made, tmp_path / "mine", overwrite=True)
