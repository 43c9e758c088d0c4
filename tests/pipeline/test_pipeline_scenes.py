"""Scenes of plans: what is shown is what the files hold, and what is left on disk is read there."""

import json

import numpy as np
import pytest
from viewed_plans import SHAPE, viewed_plan

from surrogate3d.errors import ConfigError, FormatError, GridMismatchError, StoreError, UnsupportedError
from surrogate3d.grid import Grid, Volume, VolumeSet, quantity
from surrogate3d.io.field_store import read_field
from surrogate3d.io.images import write_image, write_maps
from surrogate3d.io.stored_array import StoredArray
from surrogate3d.pipeline.scene_maps import MapOnDisk
from surrogate3d.pipeline.scenes import SceneRequest, plan_scene
from surrogate3d.viewer.embed import embed


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return viewed_plan(tmp_path_factory.mktemp("viewed"))


@pytest.fixture(scope="module")
def unscaled(tmp_path_factory):
    return viewed_plan(tmp_path_factory.mktemp("unscaled"), None)


def test_a_store_alone_shows_its_volumes_and_leaves_them_on_disk(plan):
    scene, recomputer = plan_scene(SceneRequest(plan.store))
    field = read_field(plan.store)
    assert recomputer is None
    assert [layer.name for layer in scene.layers] == list(field.volumes)
    for layer in scene.layers:
        assert np.array_equal(layer.values[:, 3, 2:7], field.volumes[layer.name].values[:, 3, 2:7], equal_nan=True)
        assert isinstance(layer.values, StoredArray) == (layer.name != field.dose_name)
    assert scene.beam == (2, 1)
    assert field.dose[scene.focus] >= 0.8 * field.dose.max()
    assert (scene.isodose.base, scene.isodose.unit) == (2.0, "Gy")


def test_dose_without_a_prescription_is_relative(unscaled):
    scene, _ = plan_scene(SceneRequest(unscaled.store))
    dose = scene.layer("dose_to_water")
    assert (dose.unit, dose.range) == ("of maximum", (pytest.approx(0, abs=0.1), 1.0))
    assert np.allclose(dose.values, unscaled.field.dose / unscaled.field.dose.max())
    assert (scene.isodose.base, scene.isodose.unit) == (1.0, "of maximum")
    recomputer = plan_scene(SceneRequest(unscaled.store, (unscaled.maps,))).recomputer
    made = recomputer(scene, "HSG", 3.0, 2)
    assert made.changed == {"dose_to_water", "RBE_ref"}
    assert not recomputer.manifest()["prescribed"]


def test_maps_stay_on_disk_and_answer_for_voxels(plan):
    scene, recomputer = plan_scene(SceneRequest(plan.store, (plan.maps,)))
    alpha = scene.layer("alpha")
    assert isinstance(alpha.values, MapOnDisk)
    assert np.array_equal(alpha.values[2:5, 3], plan.alpha[2:5, 3], equal_nan=True)
    assert "HSG, 1 x 2 Gy; maps" in alpha.definition
    found = scene.voxels.at(scene.focus)
    doses = np.array(scene.voxels.manifest()["doses"])
    a, b = float(plan.alpha[scene.focus]), float(plan.beta[scene.focus])
    assert np.allclose(found["effect"], a * doses + b * doses**2)
    i, j, k = scene.focus
    assert np.array_equal(found["spectrum"], plan.field.spectra.fluence[:, :, i, j, k])
    assert scene.voxels.at((0, 0, SHAPE[2] - 1)) is None
    assert [line["name"] for line in recomputer.manifest()["lines"]] == ["HSG"]


def test_maps_of_images_and_of_a_second_folder_are_told_apart(plan, tmp_path):
    other = {"alpha": Volume(plan.field.grid, plan.alpha * 2, quantity("alpha"))}
    write_maps(VolumeSet(plan.field.grid, other), tmp_path / "second", ("nifti",), {})
    write_image(Volume(plan.field.grid, plan.inside, quantity("RBE")), tmp_path / "RBE.nii.gz")
    asked = SceneRequest(plan.store, (plan.maps, tmp_path / "second", tmp_path / "RBE.nii.gz"))
    scene, _ = plan_scene(asked)
    assert np.array_equal(scene.layer("alpha@second").values, plan.alpha * 2, equal_nan=True)
    assert scene.layer("alpha@second").title == "alpha (second)"
    assert np.array_equal(scene.layer("RBE").values, plan.inside)
    assert "taken as RBE" in scene.layer("RBE").definition


def test_structures_histograms_profiles_and_ct_are_there(plan):
    scene, _ = plan_scene(SceneRequest(plan.store, (plan.maps,), plan.structures, plan.ct))
    assert np.array_equal(scene.structure("PTV").fraction, plan.inside)
    (dose,) = scene.histograms
    assert (dose["structure"], dose["quantity"], dose["base"]) == ("PTV", "dose_to_water", 2.0)
    mean = np.average(plan.field.dose, weights=plan.inside)
    assert dose["statistics"]["mean"] == pytest.approx(mean, rel=1e-5)
    profile = scene.profiles[0]
    i, j, _ = scene.focus
    assert np.allclose(profile["series"][0]["values"], plan.field.dose[i, j])
    assert profile["depth_mm"] == plan.field.grid.axis_mm(2).tolist()
    grid, ct = plan.field.grid, scene.layer("HU")
    expected = (grid.axis_mm(2) + 3) * 10 - 100  # by the position of each plane
    assert np.allclose(ct.values[4, 4], expected, atol=0.01)
    assert any("ct.nii.gz" in note and "resampled" in note for note in scene.notes)


def test_curves_of_a_model_can_be_embedded(plan):
    scene, _ = plan_scene(SceneRequest(plan.store, model=str(plan.model), lines=("HSG",)))
    assert {"RBE", "D_RBE", "alpha", "mask", "out_of_domain"} <= {layer.name for layer in scene.layers}
    found = embed(scene)
    assert found.manifest["stride"] == 1
    assert found.manifest["voxels"]["data"]["n"] == int(scene.voxels.mask.sum())


def test_maps_of_another_store_are_named(plan, unscaled):
    scene, _ = plan_scene(SceneRequest(plan.store, (unscaled.maps,)))
    assert scene.notes == ("The maps of maps were made from another field store on the same grid.",)


def test_maps_on_another_grid_are_refused(plan, tmp_path):
    grid = Grid(SHAPE, plan.field.grid.spacing_mm, (1.0, 0.0, 0.0))
    for kind in ("zarr", "nifti"):
        volumes = VolumeSet(grid, {"alpha": Volume(grid, plan.alpha, quantity("alpha"))})
        write_maps(volumes, tmp_path / kind, (kind,), {})
        with pytest.raises(GridMismatchError, match=f"{kind}.* not on the grid.*1 mm"):
            plan_scene(SceneRequest(plan.store, (tmp_path / kind,)))


def test_damaged_maps_are_refused(plan, tmp_path):
    write_maps(VolumeSet(plan.field.grid, {"alpha": Volume(plan.field.grid, plan.alpha, quantity("alpha"))}),
               tmp_path / "maps", ("zarr",), {})  # fmt: skip
    about = tmp_path / "maps" / "maps.json"
    good = about.read_text()
    odd = json.dumps(json.loads(good) | {"metadata": ["not", "a", "table"]})
    other = json.dumps(json.loads(good) | {"schema": "x/1"})
    for text, words in (("{", "is damaged"), (other, "schema 'x/1'"), (odd, "what cannot be read")):
        about.write_text(text)
        with pytest.raises(FormatError, match=words):
            plan_scene(SceneRequest(plan.store, (tmp_path / "maps",)))
    about.write_text(good)
    for chunk in (tmp_path / "maps" / "maps.zarr" / "alpha" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"damaged")
    with pytest.raises(StoreError, match=r"alpha is damaged.*make the maps again"):
        plan_scene(SceneRequest(plan.store, (tmp_path / "maps",)))


def test_what_cannot_be_derived_is_refused(plan):
    with pytest.raises(ConfigError, match="model proton is given, and no cell line"):
        plan_scene(SceneRequest(plan.store, model="proton"))
    with pytest.raises(ConfigError, match="nothing to derive it from"):
        plan_scene(SceneRequest(plan.store, fraction_dose_gy=2.0))
    with pytest.raises(UnsupportedError, match="only networks on spectra"):
        plan_scene(SceneRequest(plan.store, model="constant", lines=("HSG",)))


def test_two_lines_of_one_name_are_refused(plan, tmp_path):
    from importlib.resources import files

    own = (files("surrogate3d.physics") / "data" / "cell_lines" / "HSG.toml").read_text()
    (tmp_path / "own.toml").write_text(own.replace("alpha_x = 0.313", "alpha_x = 0.3"))
    with pytest.raises(ConfigError, match="have one name"):
        plan_scene(SceneRequest(plan.store, model=str(plan.model), lines=("HSG", str(tmp_path / "own.toml"))))
