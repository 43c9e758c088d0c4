"""A model without spectra that was saved is read back exactly, or refused in one line."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
from dose_plans import field_with_LET, make_model

from surrogate3d.errors import BundleError, StoreError, UnknownNameError
from surrogate3d.io import manifest
from surrogate3d.model.dose_channels import CHANNEL_SETS, ChannelSet
from surrogate3d.model.reduced_bundle import (
    REDUCED_SCHEMA,
    ReducedModel,
    is_reduced_bundle,
    load_reduced_bundle,
    save_reduced_bundle,
)

MODEL = make_model(field_with_LET(), training={"seed": 7, "plans": [{"name": "a", "fields": ["x"]}]})


@pytest.fixture(autouse=True)
def no_sync(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def path(tmp_path):
    save_reduced_bundle(MODEL, tmp_path / "model")
    return tmp_path / "model"


def test_the_round_trip_keeps_every_digit(tmp_path):
    bundle_id = save_reduced_bundle(MODEL, tmp_path / "model")
    found = load_reduced_bundle(tmp_path / "model")
    assert found.card == MODEL.card
    assert found.bundle_id == bundle_id == manifest.sha256_file(tmp_path / "model" / "manifest.json")
    for mine, theirs in zip(found.networks, MODEL.networks, strict=True):
        assert not mine.training
        for name, value in theirs.state_dict().items():
            assert torch.equal(mine.state_dict()[name], value)


def test_a_bundle_holds_json_and_weights_and_nothing_that_runs(path):
    names = {entry.name for entry in path.iterdir()}
    assert names == {"manifest.json", "card.json", *(f"{each.name}.safetensors" for each in CHANNEL_SETS)}
    for entry in path.glob("*.safetensors"):
        content = entry.read_bytes()
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        assert all({"dtype", "shape", "data_offsets"} == set(t) for n, t in header.items() if n != "__metadata__")


def refusal(path):
    with pytest.raises(BundleError) as caught:
        load_reduced_bundle(path)
    text = str(caught.value)
    assert "\n" not in text
    assert str(path) in text
    return text


@pytest.mark.parametrize("name", ["LET_d.safetensors", "card.json", "manifest.json"])
def test_a_missing_file_is_refused(path, name):
    (path / name).unlink()
    assert name in refusal(path)


def test_a_damaged_weight_file_is_refused(path):
    content = bytearray((path / "LET_d.safetensors").read_bytes())
    content[-3] ^= 1
    (path / "LET_d.safetensors").write_bytes(content)
    assert "LET_d.safetensors" in refusal(path)


def test_a_file_too_many_is_refused(path):
    (path / "extra.pkl").write_bytes(b"")
    assert "extra.pkl" in refusal(path)


def test_another_schema_is_refused(path):
    about = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps({**about, "schema": "surrogate3d.reduced_bundle/2"}))
    assert "surrogate3d.reduced_bundle/2" in refusal(path)
    assert is_reduced_bundle(path)


def test_a_bundle_with_spectra_is_none_without(tmp_path):
    (tmp_path / "card.json").write_text("{}")
    manifest.write_manifest(tmp_path, "surrogate3d.bundle/1")
    assert "surrogate3d.bundle/1" in refusal(tmp_path)
    assert not is_reduced_bundle(tmp_path)
    assert not is_reduced_bundle(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "change",
    [
        lambda card: card.pop("doses"),
        lambda card: card.update(colour="red"),
        lambda card: card["variants"][0].update(width=9),
        lambda card: card["variants"][0].update(channels=["dose"]),
        lambda card: card["variants"][0].pop("prior"),
        lambda card: card["variants"][0]["channel_set"].update(axis=False),
    ],
)
def test_a_card_that_does_not_fit_its_bundle_is_refused(path, change):
    card = json.loads((path / "card.json").read_text())
    change(card)
    (path / "card.json").write_text(json.dumps(card))
    manifest.write_manifest(path, REDUCED_SCHEMA)
    refusal(path)


def test_a_card_of_fewer_networks_than_there_are_is_refused(path):
    card = json.loads((path / "card.json").read_text())
    gone = card["variants"].pop()
    (path / "card.json").write_text(json.dumps(card))
    manifest.write_manifest(path, REDUCED_SCHEMA)
    assert ChannelSet(**gone["channel_set"]).name in refusal(path)


def test_a_model_that_its_card_does_not_fit_is_not_saved(tmp_path):
    with pytest.raises(BundleError, match=r"the card is of \d networks, the model has 1"):
        save_reduced_bundle(replace(MODEL, networks=MODEL.networks[:1]), tmp_path / "model")
    deep = replace(MODEL.card, doses=(1.0, float("nan")))
    with pytest.raises(BundleError, match="not finite"):
        save_reduced_bundle(replace(MODEL, card=deep), tmp_path / "model")
    assert not (tmp_path / "model").exists()


def test_what_is_not_known_of_the_training_is_kept_as_null(tmp_path):
    save_reduced_bundle(replace(MODEL, card=replace(MODEL.card, training={"loss": float("nan")})), tmp_path / "model")
    assert load_reduced_bundle(tmp_path / "model").card.training == {"loss": None}


def test_an_existing_bundle_is_replaced_only_when_asked(path):
    with pytest.raises(StoreError, match="exists"):
        save_reduced_bundle(MODEL, path)
    save_reduced_bundle(MODEL, path, overwrite=True)
    assert load_reduced_bundle(path).card == MODEL.card


def test_what_is_no_such_bundle_is_never_replaced(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(StoreError, match="holds no model without spectra"):
        save_reduced_bundle(MODEL, tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


def test_a_set_of_channels_without_a_network_is_named_with_the_known_ones():
    only = ReducedModel(MODEL.networks[:1], make_model(field_with_LET(), variants=MODEL.card.variants[:1]).card)
    assert only.variant(CHANNEL_SETS[0])[0] is MODEL.networks[0]
    with pytest.raises(UnknownNameError, match=r"no network for LET_d_without_axis; it has LET_d\+LET_t"):
        only.variant(ChannelSet(False, False))


def test_the_ranges_of_the_photon_parameters_are_those_of_the_lines():
    assert MODEL.card.alpha_x_range == (0.184, 0.313)
    np.testing.assert_allclose(MODEL.card.alpha_beta_range, (0.313 / 0.0615, 0.184 / 0.020))
