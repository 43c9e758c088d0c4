"""What a notebook shows of maps that are computed when they are looked at: it computes nothing."""

import numpy as np
import pytest
from synthetic import make_field, make_surrogate, prescribed

from surrogate3d.inference.tile_networks import TileNetworks
from surrogate3d.io.field_store import write_field
from surrogate3d.model.bundle import save_bundle
from surrogate3d.pipeline.surrogate import Surrogate

FIELD = prescribed(make_field(seed=5), 2.0)


@pytest.fixture
def maps(tmp_path):
    write_field(FIELD, tmp_path / "a.field.zarr")
    save_bundle(make_surrogate(FIELD), tmp_path / "model.bundle")
    with Surrogate.load(tmp_path / "model.bundle", precision="float32") as surrogate:
        yield surrogate.predict(tmp_path / "a.field.zarr", "HSG", maps=["RBE", "D_RBE"])


def test_to_show_them_computes_nothing(maps, monkeypatch):
    monkeypatch.setattr(TileNetworks, "told", lambda *_: pytest.fail("computed"))
    html = maps._repr_html_() + maps["RBE"]._repr_html_()
    assert html.count("not computed yet") == 3
    assert "<img" not in html
    assert repr(maps) == "PredictedVolumes(RBE, D_RBE; 9 × 8 × 12, computed when looked at)"


def test_computed_maps_are_shown_as_volumes(maps):
    values = maps["RBE"].values
    assert maps["RBE"]._repr_html_() == maps.load()["RBE"]._repr_html_()
    assert f"{np.nanmin(values):.4g} to {np.nanmax(values):.4g}" in maps._repr_html_()
