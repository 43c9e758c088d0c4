"""A model that was saved is read back exactly, or refused in one line."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic import LINE, TABLE, make_field, make_surrogate, random_network

from surrogate3d.errors import BundleError, StoreError, UnknownNameError
from surrogate3d.io import manifest
from surrogate3d.model.bundle import SCHEMA, load_bundle, save_bundle
from surrogate3d.model.groups import field_inputs
from surrogate3d.model.network import KernelNetwork, NetworkConfig
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.mixing import mono_table

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
    inputs = torch.from_numpy(field_inputs(FIELD, surrogate.tables[:1]))
    voxels, charge = torch.ones(FIELD.grid.shape).nonzero(), torch.from_numpy(FIELD.spectra.axes.Z)
    photon, doses = torch.tensor([[LINE.alpha_x], [LINE.beta_x**0.5]]), torch.tensor(surrogate.card.doses)
    with torch.no_grad():
        fields = [n(inputs, voxels, charge, torch.tensor(surrogate.guide_alpha_x)) for n in surrogate.networks]
        found = [n.answer(field, photon) for n, field in zip(surrogate.networks, fields, strict=True)]
    return [torch.cat([a.effect(doses).flatten(), a.log_std.flatten()]) for a in found]


def test_the_round_trip_keeps_every_digit(tmp_path, surrogate):
    bundle_id = save_bundle(surrogate, tmp_path / "model")
    found = load_bundle(tmp_path / "model")
    assert found.card == surrogate.card
    assert found.bundle_id == bundle_id == manifest.sha256_file(tmp_path / "model" / "manifest.json")
    for mine, theirs in zip(answers(found), answers(surrogate), strict=True):
        assert torch.equal(mine, theirs)
    for name in ("energy_mev_u", "alpha", "alpha_se", "beta", "beta_se"):
        np.testing.assert_array_equal(getattr(found.guide, name), getattr(TABLE, name))
    assert set(found.domain) == set(surrogate.domain)
    for name, values in surrogate.domain.items():
        assert found.domain[name].dtype == values.dtype
        np.testing.assert_array_equal(found.domain[name], values)
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


@pytest.mark.parametrize("name", ["member_1.safetensors", "domain.safetensors", "card.json", "table_HSG.json"])
def test_a_damaged_file_is_refused(path, name):
    content = bytearray((path / name).read_bytes())
    content[-5] ^= 1
    (path / name).write_bytes(content)
    assert name in refusal(path)


@pytest.mark.parametrize("name", ["member_1.safetensors", "domain.safetensors", "card.json", "table_HSG.json"])
@pytest.mark.parametrize("content", [b"", b"\0" * 64, b"{", b"[]"])
def test_a_file_that_is_something_else_is_refused_even_with_its_hash(path, name, content):
    (path / name).write_bytes(content)
    manifest.write_manifest(path, SCHEMA)
    refusal(path)


@pytest.mark.parametrize("size", ["wide", "narrow"])
def test_the_round_trip_keeps_networks_of_any_form(tmp_path, size):
    """The numbers of the card are enough to make them again: neighbourhoods, conditions, bounds."""
    form = {
        "wide": NetworkConfig(7, 3, (3, 5, 1), (1, 1, 3), 2, 5, 4, ("oxygen", "timing"), 2.0),
        "narrow": NetworkConfig(2, 0, (1, 1, 1), (0, 0, 0), 1, 3, 11),
    }[size]
    torch.manual_seed(1)
    made = make_surrogate(FIELD, (KernelNetwork(form).eval(),), doses=tuple(float(n + 1) for n in range(form.n_doses)))
    save_bundle(made, tmp_path / "model")
    (found,) = load_bundle(tmp_path / "model").networks
    assert found.config == form
    weights = found.state_dict()
    assert weights.keys() == made.networks[0].state_dict().keys()
    assert all(torch.equal(weights[name], value) for name, value in made.networks[0].state_dict().items())


@pytest.mark.parametrize(
    "name", ["member_0.safetensors", "card.json", "table_HSG.json", "domain.safetensors", "manifest.json"]
)
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
    (path / "manifest.json").write_text(json.dumps({**about, "schema": "surrogate3d.bundle/1"}))
    assert "surrogate3d.bundle/1" in refusal(path)


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
        lambda card: card.update(cell_lines=[["V79", 0.1, 0.05]]),
        lambda card: card["network"].update(depth=3),
    ],
)
def test_a_card_that_does_not_fit_its_bundle_is_refused(path, change):
    rewritten(path, change)
    refusal(path)


@pytest.mark.parametrize("members", [1, 3])
def test_a_card_of_another_number_of_networks_is_refused(path, members):
    """With one network fewer the answer and its spread would be another model's."""
    rewritten(path, lambda card: card.update(members=members))
    assert "expected weights of domain, member_0" in refusal(path)


def test_the_table_of_another_line_under_its_name_is_refused(path):
    table = json.loads((path / "table_HSG.json").read_text())
    (path / "table_HSG.json").write_text(json.dumps({**table, "cell_line": "V79"}))
    manifest.write_manifest(path, SCHEMA)
    assert "expected the tables of HSG, found those of V79" in refusal(path)


def test_a_model_that_its_card_does_not_fit_is_not_saved(tmp_path, surrogate):
    with pytest.raises(BundleError, match="the card is of 2 networks, the model has 1"):
        save_bundle(replace(surrogate, networks=surrogate.networks[:1]), tmp_path / "model")
    with pytest.raises(BundleError, match="expected the tables of HSG, found those of V79"):
        save_bundle(replace(surrogate, tables=(mono_table("V79"),)), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_what_is_not_known_of_the_training_is_kept_as_null(tmp_path, surrogate):
    """As the loss of kernels whose first steps had no voxel to learn from."""
    story = {"final_loss": [0.5, float("nan")], "plans": [{"voxels": ((1, 2, 3),), "rms": float("nan")}]}
    save_bundle(replace(surrogate, card=replace(surrogate.card, training=story)), tmp_path / "model")
    kept = {"final_loss": [0.5, None], "plans": [{"voxels": [[1, 2, 3]], "rms": None}]}
    assert load_bundle(tmp_path / "model").card.training == kept


@pytest.mark.parametrize(
    "change",
    [{"training": {"loss": float("inf")}}, {"doses": (1.0, float("nan"))}, {"calibration": {"levels": [float("nan")]}}],
)
def test_a_number_that_is_not_finite_is_not_saved_where_it_decides(tmp_path, surrogate, change):
    with pytest.raises(BundleError, match="not finite"):
        save_bundle(replace(surrogate, card=replace(surrogate.card, **change)), tmp_path / "model")
    assert not (tmp_path / "model").exists()


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
    with pytest.raises(StoreError, match="holds no model bundle"):
        save_bundle(surrogate, tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


def test_a_field_store_is_never_replaced_by_a_bundle(path, surrogate):
    manifest.write_manifest(path)  # now it says that it is a field
    with pytest.raises(StoreError, match="holds no model bundle"):
        save_bundle(surrogate, path, overwrite=True)


def test_a_moved_bundle_is_the_same_bundle(tmp_path, path):
    bundle_id = load_bundle(path).bundle_id
    shutil.move(path, tmp_path / "moved")
    assert load_bundle(tmp_path / "moved").bundle_id == bundle_id


def test_tables_are_found_by_the_name_of_the_line_and_its_photon_reference(surrogate):
    v79 = cell_line("V79")
    lines = ((LINE.name, LINE.alpha_x, LINE.beta_x), (v79.name, v79.alpha_x, v79.beta_x))
    both = make_surrogate(FIELD, tables=(TABLE, mono_table("V79")), cell_lines=lines)
    assert both.guide is TABLE
    assert both.guide_alpha_x == LINE.alpha_x
    assert both.table_of(LINE) is TABLE
    assert both.table_of(v79).cell_line == "V79"
    with pytest.raises(UnknownNameError, match="'V79'; it has those of HSG; give one"):
        surrogate.table_of(v79)
    with pytest.raises(BundleError, match="another photon reference"):
        surrogate.table_of(replace(LINE, alpha_x=1.01 * LINE.alpha_x))
