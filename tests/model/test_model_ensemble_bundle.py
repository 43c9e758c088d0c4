"""The folder of an ensemble: what comes back, and what is refused, whatever the model."""

import json
import math

import pytest
import torch
from torch import nn

from surrogate3d.errors import BundleError, StoreError
from surrogate3d.io import manifest
from surrogate3d.model.ensemble_bundle import load_ensemble, save_ensemble, with_weights

SCHEMA, KIND = "surrogate3d.lines/1", "model of lines"
CARD = {"width": 3, "training": {"seed": 1}}


def networks(n=2):
    torch.manual_seed(0)
    return [nn.Linear(3, 2) for _ in range(n)]


def built(card, members, bundle_id):
    return card, [with_weights(nn.Linear(card["width"], 2), weights) for weights in members], bundle_id


def loaded(folder):
    return load_ensemble(folder, SCHEMA, KIND, built)


def with_card(folder, **changes):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **changes}))
    (folder / "manifest.json").unlink()
    manifest.write_manifest(folder, SCHEMA)


@pytest.fixture
def folder(tmp_path):
    save_ensemble(networks(), CARD, tmp_path / "model", SCHEMA, KIND)
    return tmp_path / "model"


def test_an_ensemble_comes_back_with_its_card_and_id(tmp_path):
    mark = save_ensemble(networks(), CARD, tmp_path / "model", SCHEMA, KIND)
    card, members, bundle_id = loaded(tmp_path / "model")
    assert card == {"schema": SCHEMA, **CARD, "members": 2, "licence": "Apache-2.0"}
    assert bundle_id == mark == manifest.sha256_file(tmp_path / "model" / "manifest.json")
    for old, new in zip(networks(), members, strict=True):
        assert torch.equal(old.weight, new.weight)
        assert torch.equal(old.bias, new.bias)
        assert not new.training


def test_what_is_not_known_of_the_training_is_null(tmp_path):
    save_ensemble(networks(), {**CARD, "training": {"loss": [math.nan, 1.0]}}, tmp_path / "model", SCHEMA, KIND)
    assert loaded(tmp_path / "model")[0]["training"] == {"loss": [None, 1.0]}


@pytest.mark.parametrize("card", [{"width": math.nan, "training": {}}, {"training": {"loss": math.inf}}])
def test_a_card_with_a_number_that_is_none_is_not_written(tmp_path, card):
    with pytest.raises(BundleError, match="not finite"):
        save_ensemble(networks(), card, tmp_path / "model", SCHEMA, KIND)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["member_0.safetensors", "card.json"])
def test_a_changed_file_is_refused(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=f"not a usable model of lines.*{name} differs from its SHA-256"):
        loaded(folder)


def test_a_missing_member_is_refused(folder):
    (folder / "member_1.safetensors").unlink()
    with pytest.raises(BundleError, match="member_1"):
        loaded(folder)


@pytest.mark.parametrize("members", [1, 3])
def test_a_card_of_fewer_or_more_members_than_there_are_is_refused(folder, members):
    with_card(folder, members=members)
    with pytest.raises(BundleError, match=r"expected weights of member_0.*, as the card says"):
        loaded(folder)


@pytest.mark.parametrize("card", [{"width": 4}, {"members": None}, {"members": "two"}])
def test_a_card_that_does_not_fit_is_refused_in_one_line(folder, card):
    with_card(folder, **card)
    with pytest.raises(BundleError, match="not a usable model of lines") as refused:
        loaded(folder)
    assert "\n" not in str(refused.value)


def test_a_model_of_another_kind_is_refused(folder):
    with pytest.raises(BundleError, match=r"has schema 'surrogate3d.lines/1', expected 'surrogate3d.curves/1'"):
        load_ensemble(folder, "surrogate3d.curves/1", "model of curves", built)


def test_what_is_no_model_is_neither_read_nor_replaced(tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    with pytest.raises(BundleError, match="letters"):
        loaded(tmp_path / "letters")
    with pytest.raises(StoreError, match="holds no model of lines, so it is not replaced"):
        save_ensemble(networks(), CARD, tmp_path / "letters", SCHEMA, KIND, overwrite=True)
    assert (tmp_path / "letters" / "a.txt").read_text() == "dear"


def test_a_model_is_replaced_only_when_asked(folder):
    with pytest.raises(StoreError, match="exists already"):
        save_ensemble(networks(3), CARD, folder, SCHEMA, KIND)
    save_ensemble(networks(3), CARD, folder, SCHEMA, KIND, overwrite=True)
    assert len(loaded(folder)[1]) == 3
