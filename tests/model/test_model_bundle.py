"""A model that was saved is read back exactly, or refused in one line."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic import TABLE, make_field, make_surrogate, random_network

from surrogate3d.errors import BundleError, StoreError, UnknownNameError
from surrogate3d.io import manifest
from surrogate3d.model.bundle import SCHEMA, load_bundle, save_bundle
from surrogate3d.model.groups import field_inputs

FIELD = make_field(seed=5)


@pytest.fixture(scope="module")
def surrogate():
    return make_surrogate(FIELD, training={"plans": [{"low": "a", "voxels": [[1, 2, 3]]}], "seed": 7})


@pytest.fixture(autouse=True)
def no_sync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def path(tmp_path, surrogate):
    save_bundle(surrogate, tmp_path / "model")
    return tmp_path / "model"


def answers(surrogate):
    inputs = torch.from_numpy(field_inputs(FIELD, surrogate.tables))
    voxels = torch.ones(FIELD.grid.shape).nonzero()
    with torch.no_grad():
        found = [network(inputs, voxels, surrogate.photon) for network in surrogate.networks]
    return [torch.cat([a.effect(torch.tensor(surrogate.card.doses)).flatten(), a.log_std.flatten()]) for a in found]


def test_the_round_trip_keeps_every_digit(tmp_path, surrogate):
    bundle_id = save_bundle(surrogate, tmp_path / "model")
    found = load_bundle(tmp_path / "model")
    assert found.card == surrogate.card
    assert found.bundle_id == bundle_id == manifest.sha256_file(tmp_path / "model" / "manifest.json")
    for mine, theirs in zip(answers(found), answers(surrogate), strict=True):
        assert torch.equal(mine, theirs)
    np.testing.assert_array_equal(found.tables[0].alpha, TABLE.alpha)
    assert not any(network.training for network in found.networks)


def test_nothing_in_a_bundle_is_executable(path):
    assert {entry.suffix for entry in path.iterdir()} == {".json", ".safetensors"}
    for entry in path.glob("*.safetensors"):
        content = entry.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        assert all({"dtype", "shape", "data_offsets"} == set(t) for n, t in header.items() if n != "__metadata__")
    assert not any(entry.read_bytes()[:2] in (b"PK", b"\x80\x02") for entry in path.iterdir())


def refusal(path):
    with pytest.raises(BundleError) as caught:
        load_bundle(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


def test_a_damaged_weight_file_is_refused(path):
    member = path / "member_1.safetensors"
    content = bytearray(member.read_bytes())
    content[-5] ^= 1
    member.write_bytes(content)
    assert "member_1.safetensors" in refusal(path)


@pytest.mark.parametrize("name", ["member_0.safetensors", "card.json", "table_HSG.json", "manifest.json"])
def test_a_missing_file_is_refused(path, name):
    (path / name).unlink()
    assert name in refusal(path)


def test_a_file_too_many_is_refused(path):
    (path / "extra.pkl").write_bytes(b"")
    assert "extra.pkl" in refusal(path)


def test_a_foreign_folder_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("no model")
    refusal(tmp_path)
    refusal(tmp_path / "nowhere")


def test_another_schema_is_refused(path):
    about = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**about, "schema": "surrogate3d.bundle/2"}))
    assert "surrogate3d.bundle/2" in refusal(path)


def test_a_field_store_is_no_bundle(path):
    manifest.write_manifest(path)
    assert "surrogate3d.field/1" in refusal(path)


def rewritten(path, change):
    card = json.loads((path / "card.json").read_text())
    change(card)
    (path / "card.json").write_text(json.dumps(card))
    manifest.write_manifest(path, SCHEMA)


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card.pop("doses"),
        lambda card: card.update(colour="red"),
        lambda card: card.update(std_scale=[1.0] * 3),
        lambda card: card.update(cell_lines=[["V79", 0.1, 0.05]]),
        lambda card: card["network"].update(depth=3),
    ],
)
def test_a_card_that_does_not_fit_its_bundle_is_refused(path, change):
    rewritten(path, change)
    refusal(path)


def test_weights_of_another_size_are_refused(path):
    rewritten(path, lambda card: card["network"].update(width=9))
    refusal(path)


def test_other_channels_are_refused(path):
    rewritten(path, lambda card: card.update(channels=card["channels"][:-1]))
    assert "channels" in refusal(path)


def test_an_existing_bundle_is_replaced_only_when_asked(path, surrogate):
    with pytest.raises(StoreError, match="exists"):
        save_bundle(surrogate, path)
    other = replace(surrogate, networks=(random_network(8), random_network(9)))
    save_bundle(other, path, overwrite=True)
    assert torch.equal(answers(load_bundle(path))[0], answers(other)[0])


def test_what_is_no_bundle_is_never_replaced(tmp_path, surrogate):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(StoreError, match="not a model bundle"):
        save_bundle(surrogate, tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


def test_a_field_store_is_never_replaced_by_a_bundle(path, surrogate):
    manifest.write_manifest(path)  # now it says that it is a field
    with pytest.raises(StoreError, match="not a model bundle"):
        save_bundle(surrogate, path, overwrite=True)


def test_a_moved_bundle_is_the_same_bundle(tmp_path, path):
    bundle_id = load_bundle(path).bundle_id
    shutil.move(path, tmp_path / "moved")
    assert load_bundle(tmp_path / "moved").bundle_id == bundle_id


def test_an_unknown_cell_line_is_named_with_the_known_ones(surrogate):
    assert surrogate.line_index("HSG") == 0
    with pytest.raises(UnknownNameError, match="'V79'; it was trained for HSG"):
        surrogate.line_index("V79")


def test_photon_parameters_are_alpha_and_the_root_of_beta(surrogate):
    _, alpha_x, beta_x = surrogate.card.cell_lines[0]
    np.testing.assert_allclose(surrogate.photon.numpy(), [[alpha_x], [np.sqrt(beta_x)]], rtol=1e-6)
