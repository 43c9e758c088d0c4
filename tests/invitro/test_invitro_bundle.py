import json

import numpy as np
import pytest
from invitro_examples import made_data

from surrogate3d.errors import BundleError
from surrogate3d.invitro.bundle import load_invitro, save_invitro
from surrogate3d.invitro.network import NetworkConfig
from surrogate3d.invitro.training import InVitroConfig, train_invitro
from surrogate3d.io import manifest

DATA = made_data(40)


@pytest.fixture(scope="module")
def model():
    config = InVitroConfig(network=NetworkConfig(width=4, n_steps=2), steps=3, folds=2, repeats=1)
    return train_invitro(DATA, config, seed=1)


@pytest.fixture
def folder(model, tmp_path):
    save_invitro(model, tmp_path / "model")
    return tmp_path / "model"


def test_a_model_comes_back_identical(model, tmp_path):
    mark = save_invitro(model, tmp_path / "model")
    back = load_invitro(tmp_path / "model")
    rows = (DATA.features, DATA.photon)
    first, second = model.predict(*rows), back.predict(*rows)
    for name in ("alpha", "beta", "log_std", "spread", "importance", "masks"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
    assert back.bundle_id == mark
    assert back.intervals == model.intervals
    assert np.array_equal(back.low, model.low, equal_nan=True)
    assert np.array_equal(back.high, model.high, equal_nan=True)
    assert back.training["seed"] == 1
    assert back.training["publications"] == 12


def test_a_model_of_other_features_is_refused(folder):
    card = json.loads((folder / "card.json").read_text())
    card["features"][0] = "M9_2nm"
    (folder / "card.json").write_text(json.dumps(card))
    (folder / "manifest.json").unlink()
    manifest.write_manifest(folder, "surrogate3d.invitro/1")
    with pytest.raises(BundleError, match="other features"):
        load_invitro(folder)


def test_what_is_no_model_is_named(tmp_path):
    with pytest.raises(BundleError, match="not a usable in-vitro model"):
        load_invitro(tmp_path)
