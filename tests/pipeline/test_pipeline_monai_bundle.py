"""The exported bundle as MONAI sees it, run by MONAI itself; its maps against those of `predict_store`."""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from synthetic import LINE, make_field, make_surrogate, prescribed, reoriented

from surrogate3d.errors import BundleError, StoreError, UnsupportedError
from surrogate3d.inference.curves import predict_curves
from surrogate3d.inference.maps import Fractionation
from surrogate3d.io.field_store import write_field
from surrogate3d.model.bundle import save_bundle
from surrogate3d.model.groups import turn_downstream
from surrogate3d.pipeline import monai_bundle
from surrogate3d.pipeline.cell_line_assignment import parse_assignment
from surrogate3d.pipeline.exporting import export_model
from surrogate3d.pipeline.map_output import MapOutput
from surrogate3d.pipeline.monai_bundle import licence_text
from surrogate3d.pipeline.monai_network import dense_network, image_channels, network_image
from surrogate3d.pipeline.monai_workflow import FieldEvaluator, FieldInferer, field_stores
from surrogate3d.pipeline.prediction import Structures, predict_store
from surrogate3d.pipeline.predictors import MapRequest

SCHEMA = Path(__file__).parents[1] / "fixtures" / "monai" / "meta_schema_20240725.json"
FIELD = make_field(seed=3)
TURNED, _ = reoriented(FIELD, (2, 0, 1), -1)  # the beam along the first axis, towards smaller indices
SURROGATE = make_surrogate(FIELD)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    pytest.importorskip("yaml", reason="PyYAML is not installed (the extra `export`)")
    folder = tmp_path_factory.mktemp("monai")
    save_bundle(SURROGATE, folder / "model.bundle")
    about = export_model(str(folder / "model.bundle"), folder / "bundle", "monai")
    return folder / "bundle", about


@pytest.fixture(scope="module")
def plans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("plans")
    write_field(prescribed(FIELD, 2.0), folder / "one.field.zarr")
    write_field(TURNED, folder / "two.field.zarr")
    return folder


def affine(grid):
    """Index to LPS mm, homogeneous."""
    columns = np.array(grid.direction, dtype=float).reshape(3, 3) * np.array(grid.spacing_mm)
    return np.vstack([np.column_stack([columns, grid.origin_mm]), [0, 0, 0, 1]])


def test_monai_runs_the_bundle_to_the_maps_of_predict(exported, plans, tmp_path):
    pytest.importorskip("fire", reason="fire is not installed (the extra `export`)")
    config = ["--config_file", "configs/inference.yaml", "--meta_file", "configs/metadata.json", "--bundle_root", "."]
    asked = ["--dataset_dir", plans, "--cell_line", "HSG", "--fraction_dose", "2.0", "--output_dir", tmp_path / "maps"]
    command = [sys.executable, "-m", "monai.bundle", "run", *config, *map(str, asked)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=exported[0], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    request = MapRequest(Fractionation(2.0))
    for name, field in (("one", FIELD), ("two", TURNED)):
        output = MapOutput(tmp_path / f"own_{name}")
        about = predict_store(
            plans / f"{name}.field.zarr",
            str(exported[0] / "models" / "surrogate3d"),
            Structures(parse_assignment("HSG")),
            request,
            output,
        )
        assert {f.name for f in (tmp_path / "maps" / name).iterdir()} == set(about["files"])
        lps = affine(field.grid)
        for file in (f for f in about["files"] if f.endswith(".nii.gz")):
            found, own = (nibabel.load(folder / file) for folder in (tmp_path / "maps" / name, output.folder))
            np.testing.assert_allclose(np.asarray(found.dataobj), np.asarray(own.dataobj), rtol=1e-6, atol=1e-7)
            np.testing.assert_allclose(found.affine, np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps, atol=1e-5)


@pytest.mark.filterwarnings("ignore")
def test_monai_finds_the_network_to_have_the_channels_that_the_metadata_say(exported):
    bundle = pytest.importorskip("monai.bundle", reason="MONAI is not installed (the extra `export`)")
    configs, root = exported[0] / "configs", str(exported[0])
    given = {"meta_file": str(configs / "metadata.json"), "config_file": str(configs / "inference.yaml")}
    bundle.verify_net_in_out("network_def", **given, device="cpu", any=6, bundle_root=root)
    given["_meta_#network_data_format#outputs#pred#num_channels"] = 13
    with pytest.raises(ValueError, match="output channel number `12` doesn't match: `13`"):
        bundle.verify_net_in_out("network_def", **given, device="cpu", any=6, bundle_root=root)


@pytest.mark.filterwarnings("ignore")
def test_monai_verifies_the_metadata(exported, tmp_path):
    bundle = pytest.importorskip("monai.bundle", reason="MONAI is not installed (the extra `export`)")
    pytest.importorskip("jsonschema", reason="jsonschema is not installed (the extra `export`)")
    schema = str(shutil.copy(SCHEMA, tmp_path / "schema.json"))  # one that is there is not fetched
    metadata = json.loads((exported[0] / "configs" / "metadata.json").read_text())
    bundle.verify_metadata(str(exported[0] / "configs" / "metadata.json"), schema)
    del metadata["authors"]
    (tmp_path / "wrong.json").write_text(json.dumps(metadata))
    with pytest.raises(ValueError, match="'authors' is a required property"):
        bundle.verify_metadata(str(tmp_path / "wrong.json"), schema)


def test_the_metadata_have_all_that_the_schema_requires(exported):
    schema, found = json.loads(SCHEMA.read_text()), json.loads((exported[0] / "configs" / "metadata.json").read_text())
    assert set(schema["required"]) <= set(found)
    assert found["schema"].endswith(SCHEMA.name)
    image = found["network_data_format"]["inputs"]["image"]
    assert set(schema["$defs"]["tensor"]["required"]) <= set(image)
    assert image["channel_def"]["0"] == "dose@H:below_3"
    assert image["num_channels"] == len(image["channel_def"]) == 2 * 4 * 6 + 1


def test_the_folder_is_a_bundle_with_the_same_weights_twice(exported):
    folder, about = exported
    for name in ("LICENSE", "configs/inference.yaml", "configs/metadata.json", "docs/README.md"):
        assert name in about["files"]
        assert (folder / name).stat().st_size > 300
    state = torch.load(folder / "models" / "model.pt", weights_only=True)
    again = load_file(folder / "models" / "model.safetensors")
    assert state.keys() == again.keys()
    for number, network in enumerate(SURROGATE.networks):
        for name, tensor in network.state_dict().items():
            key = f"ensemble.members.{number}.{name}"
            assert torch.equal(state[key], tensor)
            assert torch.equal(again[key], tensor)
    assert "[" not in (folder / "docs" / "README.md").read_text()  # all places are filled
    assert "Apache License" in (folder / "LICENSE").read_text()


def test_the_network_of_the_bundle_answers_an_image_as_the_engine_answers_the_field(exported):
    network = dense_network(exported[0] / "models" / "surrogate3d", "HSG")
    network.load_state_dict(torch.load(exported[0] / "models" / "model.pt", weights_only=True))
    for field in (FIELD, TURNED):
        image = network_image(field, SURROGATE, LINE)
        assert len(image) == len(image_channels(SURROGATE.card, ("H", "He")))
        found = network(torch.from_numpy(image)[None])[0].numpy()
        curves = predict_curves(field, SURROGATE, LINE)
        turned = turn_downstream(curves.mask, field.beam_axis, field.beam_sign)
        np.testing.assert_array_equal(np.isfinite(found).all(axis=0), turned)
        known = curves.mask & ~curves.out_of_domain
        assert known.sum() > 50
        for number in (0, 10):
            own = turn_downstream(curves.volume(curves.effect[:, number]), field.beam_axis, field.beam_sign)
            inside = turn_downstream(known, field.beam_axis, field.beam_sign)
            np.testing.assert_allclose(found[number][inside], own[inside], rtol=1e-4)


def test_other_weights_are_refused_as_domain_and_calibration_are_not_theirs(exported, plans, tmp_path):
    own = exported[0] / "models" / "surrogate3d"
    network = dense_network(own, "HSG")
    network.load_state_dict(torch.load(exported[0] / "models" / "model.pt", weights_only=True))
    evaluator = FieldEvaluator(field_stores(plans / "one.field.zarr"), network, FieldInferer(own, "HSG", 2.0), tmp_path)
    with torch.no_grad():
        network.ensemble.networks[0].stem.bias[0] += 1e-3
    with pytest.raises(BundleError, match=r"weights of models/model.pt are not those of"):
        evaluator.run()
    assert not list(tmp_path.iterdir())


def test_what_was_answered_is_kept_and_what_a_user_must_know_is_logged(exported, plans, tmp_path, caplog):
    own = exported[0] / "models" / "surrogate3d"
    network = dense_network(own, "HSG")
    network.load_state_dict(torch.load(exported[0] / "models" / "model.pt", weights_only=True))
    inferer = FieldInferer(own, "HSG", 2.0, maps=["RBE_ref"])
    evaluator = FieldEvaluator(field_stores(plans / "two.field.zarr"), network, inferer, tmp_path)
    evaluator.run()
    assert evaluator.summaries["two"]["files"] == ["RBE_ref.nii.gz", "maps.json"]
    assert "no map of D_RBE: the field has no prescription" in caplog.text


def test_species_that_the_model_does_not_accept_are_refused(exported):
    with pytest.raises(BundleError, match=r"does not accept spectra of H\+C"):
        dense_network(exported[0] / "models" / "surrogate3d", "HSG", ("H", "C"))


def test_no_field_store_is_no_silent_success(tmp_path):
    with pytest.raises(StoreError, match="no field store"):
        field_stores(tmp_path)


def test_a_licence_that_is_not_ours_is_named():
    assert "CC-BY-4.0 (an SPDX identifier)" in licence_text("CC-BY-4.0")


def test_without_monai_there_is_no_bundle_of_it(tmp_path, monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(monai_bundle, "version", lambda name: missing(name) if name == "monai" else "1.0")
    with pytest.raises(UnsupportedError, match=r"needs monai; pip install 'surrogate3d\[export\]'"):
        export_model("proton", tmp_path / "out", "monai")
    assert not (tmp_path / "out").exists()
