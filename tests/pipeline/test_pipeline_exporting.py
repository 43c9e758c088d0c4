"""Exported graphs are run by onnxruntime against the networks; what cannot be exported is refused."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from synthetic import LINE, N_DOSES, TABLE, make_field, make_surrogate

from surrogate3d.errors import BundleError, StoreError, UnknownNameError, UnsupportedError, ValueRangeError
from surrogate3d.io.convert import convert
from surrogate3d.model.bundle import save_bundle
from surrogate3d.model.ensemble_network import EnsembleNetwork
from surrogate3d.model.groups import field_inputs
from surrogate3d.model.network import KernelNetwork, NetworkConfig
from surrogate3d.model.onnx_export import OUTPUT_AXES, example_inputs, run_graph
from surrogate3d.pipeline import exporting
from surrogate3d.pipeline.exporting import export_model

FIELD = make_field(seed=3)
SPECIES = ("H", "He")
CONDITIONS = ("log_alpha_factor", "log_sqrt_beta_factor")
CONFIG = NetworkConfig(4, 1, (3, 1, 1), (1, 3, 1), 3, head_width=4, n_doses=N_DOSES, conditions=CONDITIONS)


def network(seed):
    torch.manual_seed(seed)
    made = KernelNetwork(CONFIG).eval()
    with torch.no_grad():
        made.head.correction[-1].weight.normal_(0, 0.5)
        made.head.spread[-1].weight.normal_(0, 0.5)
        made.prior.normal_(0, 1.0)
    return made


SURROGATE = make_surrogate(FIELD, (network(1), network(2)))
SURROGATE = replace(SURROGATE, card=replace(SURROGATE.card, network=asdict(CONFIG)))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.bundle"
    save_bundle(SURROGATE, path)
    return path


@pytest.fixture(scope="module")
def exported(bundle, tmp_path_factory):
    """Traced once, as that takes most of the time here."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is not installed (the extra `export`)")
    folder = tmp_path_factory.mktemp("export") / "onnx"
    return folder, export_model(str(bundle), folder, "onnx")


def agree(graph, inputs):
    with torch.no_grad():
        wanted = EnsembleNetwork.of(SURROGATE)(*inputs.values())
    found = run_graph(graph, {name: tensor.numpy() for name, tensor in inputs.items()})
    assert list(found) == list(OUTPUT_AXES)
    for name, tensor in wanted._asdict().items():
        assert found[name].dtype == np.float32
        relative = {"rtol": 1e-4} if name.endswith("effect") else {"rtol": 0, "atol": 1e-4}  # the others are logarithms
        np.testing.assert_allclose(found[name], tensor.numpy(), **relative, err_msg=name)


@pytest.mark.parametrize(("shape", "n_voxels"), [((5, 6, 7), 8), ((13, 2, 9), 40), ((4, 11, 3), 1)])
def test_a_graph_answers_as_the_networks_for_any_grid_and_number_of_voxels(exported, shape, n_voxels):
    agree(exported[0] / "H_He.onnx", example_inputs(SURROGATE.card, SPECIES, shape, n_voxels, seed=9))


def test_a_graph_answers_as_the_networks_on_a_real_plan(exported, topas_data):
    field, _ = convert([topas_data("proton_shallow_low")])
    voxels = torch.from_numpy(np.argwhere(field.dose > 0.05 * field.dose.max()))
    inputs = {
        "accumulators": torch.from_numpy(field_inputs(field, (TABLE, TABLE))),
        "voxels": voxels,
        "charge": torch.from_numpy(field.spectra.axes.Z),
        "photon": torch.tensor([LINE.alpha_x, LINE.beta_x]),
        "conditions": torch.linspace(-0.3, 0.0, 2 * len(voxels)).reshape(2, -1),
    }
    agree(exported[0] / "H_He.onnx", inputs)


def test_a_graph_is_valid_leaves_its_sizes_open_and_says_what_its_numbers_are(exported):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(exported[0] / "H_He.onnx")
    onnx.checker.check_model(model, full_check=True)
    sizes = {v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.input}  # 0 is open
    assert sizes == {
        "accumulators": [2, 4, 6, 0, 0, 0],
        "voxels": [0, 3],
        "charge": [2],
        "photon": [2],
        "conditions": [2, 0],
    }
    assert [value.name for value in model.graph.output] == list(OUTPUT_AXES)
    notes = {entry.key: entry.value for entry in model.metadata_props}
    assert notes["bundle_id"] == exported[1]["bundle_id"]
    assert json.loads(notes["conditions"]) == list(CONDITIONS)


def test_the_export_says_what_it_is(exported, bundle):
    folder, about = exported
    assert json.loads((folder / "export.json").read_text()) == about
    assert {file.name for file in folder.iterdir()} == set(about["files"]) == {"H_He.onnx", "export.json"}
    assert about["graphs"]["H_He.onnx"]["largest_difference"] < exporting.TOLERANCE
    assert list(about["inputs"]) == ["accumulators", "voxels", "charge", "photon", "conditions"]


def test_a_graph_that_answers_otherwise_is_not_given_away(bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "require_packages", lambda what, modules: None)
    monkeypatch.setattr(exporting, "export_onnx", lambda surrogate, species, path: path.write_bytes(b""))
    for apart in (2e-4, float("nan")):
        monkeypatch.setattr(exporting, "largest_difference", lambda *given, apart=apart: apart)
        with pytest.raises(ValueRangeError, match=r"H\+He answers .* away from the networks"):
            export_model(str(bundle), tmp_path / "onnx", "onnx")
    assert not (tmp_path / "onnx").exists()


def test_only_an_older_export_is_replaced(bundle, tmp_path):
    (tmp_path / "mine").mkdir()
    with pytest.raises(StoreError, match="is no export, so it is not replaced"):
        export_model(str(bundle), tmp_path / "mine", "onnx", overwrite=True)
    assert not list((tmp_path / "mine").iterdir())


def test_what_has_no_networks_on_spectra_is_refused(tmp_path):
    with pytest.raises(UnsupportedError, match="let-only predicts from dose and LET"):
        export_model("let-only", tmp_path / "out", "onnx")
    with pytest.raises(UnknownNameError, match="no model bundle at nowhere"):
        export_model("nowhere", tmp_path / "out", "onnx")
    with pytest.raises(UnknownNameError, match="unknown format 'tensorrt'; known: onnx, monai"):
        export_model("proton", tmp_path / "out", "tensorrt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match="not a usable model bundle"):
        export_model(str(tmp_path / "empty"), tmp_path / "out", "onnx")
    assert not (tmp_path / "out").exists()
