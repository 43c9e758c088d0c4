"""What goes into the graph of a surrogate, and what is refused; graphs are run in tests/pipeline."""

import pytest
import torch
from synthetic import make_field, make_surrogate

from surrogate3d.errors import UnsupportedError
from surrogate3d.model import onnx_export
from surrogate3d.model.ensemble_network import EnsembleAnswer, EnsembleNetwork
from surrogate3d.model.onnx_export import OUTPUT_AXES, example_inputs, export_onnx, graph_inputs, graph_notes

FIELD = make_field(seed=3)
SURROGATE = make_surrogate(FIELD)
SPECIES = ("H", "He")


def test_the_outputs_are_those_of_the_network_in_its_order_and_shape():
    assert tuple(OUTPUT_AXES) == EnsembleAnswer._fields
    inputs = example_inputs(SURROGATE.card, SPECIES, (4, 3, 5), 6)
    assert tuple(inputs) == graph_inputs(SURROGATE.card) == ("accumulators", "voxels", "charge", "photon")
    with torch.no_grad():
        found = EnsembleNetwork.of(SURROGATE)(*inputs.values())
    sizes = {"dose": 11, "voxel": 6, "member": 2}
    for tensor, axes in zip(found, OUTPUT_AXES.values(), strict=True):
        assert tensor.shape == tuple(sizes[axis] for axis in axes)


def test_example_inputs_are_a_field_of_the_right_scale():
    found = example_inputs(SURROGATE.card, SPECIES, (4, 3, 5), 50)
    assert found["accumulators"][:, :, 0].sum(dim=(0, 1)).max() == pytest.approx(1.0)
    assert found["charge"].tolist() == [1, 2]
    assert (found["voxels"] >= 0).all()
    assert (found["voxels"] < torch.tensor([4, 3, 5])).all()


def test_the_notes_say_what_the_numbers_are():
    notes = graph_notes(SURROGATE, SPECIES)
    assert notes["species"] == '["H", "He"]'
    assert notes["accumulators"].startswith('["dose", "tracks", "dose_alpha:HSG"')
    assert notes["doses_gy"].startswith("[0.25, ")


def test_species_that_the_model_does_not_accept_are_refused(tmp_path):
    for name in ("onnx", "onnxscript"):
        pytest.importorskip(name, reason=f"{name} is not installed (the extra `export`)")
    with pytest.raises(UnsupportedError, match=r"accepts spectra of H\+He, not of H\+C"):
        export_onnx(SURROGATE, ("H", "C"), tmp_path / "graph.onnx")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named_with_the_extra_that_has_it(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None if name == "onnxscript" else object())
    with pytest.raises(UnsupportedError, match=r"needs onnxscript, .* pip install 'surrogate3d\[export\]'"):
        export_onnx(SURROGATE, SPECIES, tmp_path / "graph.onnx")
