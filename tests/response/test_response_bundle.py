import json
from dataclasses import replace

import numpy as np
import pytest
from response_examples import SMALL, made_patches

from surrogate3d.errors import BundleError
from surrogate3d.io import manifest
from surrogate3d.response.bundle import SCHEMA, load_response, save_response
from surrogate3d.response.training import train_response

PATCHES = made_patches(5)


@pytest.fixture(scope="module")
def model():
    return train_response(PATCHES, PATCHES.volume_change < -0.2, replace(SMALL, epochs=1), seed=1)


@pytest.fixture
def folder(model, tmp_path):
    save_response(model, tmp_path / "model")
    return tmp_path / "model"


def with_card(folder, **changes):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, **changes}))
    (folder / "manifest.json").unlink()
    manifest.write_manifest(folder, SCHEMA)


def test_a_model_comes_back_identical(model, tmp_path):
    mark = save_response(model, tmp_path / "model")
    back = load_response(tmp_path / "model")
    first, second = model.predict(PATCHES), back.predict(PATCHES)
    assert np.array_equal(first.logit, second.logit)
    assert np.array_equal(first.spread, second.spread)
    assert (back.config, back.calibration, back.bundle_id) == (model.config, model.calibration, mark)
    assert back.training["seed"] == 1
    assert back.training["lesions"] == 10


def test_the_card_says_that_it_is_for_research(folder):
    assert "RESEARCH ONLY" in json.loads((folder / "card.json").read_text())["use"]


def test_a_card_that_does_not_fit_its_weights_is_refused(folder):
    config = json.loads((folder / "card.json").read_text())["config"]
    with_card(folder, config={**config, "widths": [width + 1 for width in config["widths"]]})
    with pytest.raises(BundleError, match="size mismatch"):
        load_response(folder)
    with_card(folder, config={**config, "channels": ["image", "T2"]})
    with pytest.raises(BundleError, match="channels must be"):
        load_response(folder)
    with_card(folder, config=config, calibration={"slope": -1.0, "intercept": 0.0})
    with pytest.raises(BundleError, match="slope above 0"):
        load_response(folder)


def test_what_is_no_model_is_named(tmp_path):
    with pytest.raises(BundleError, match="not a usable model of response"):
        load_response(tmp_path)
