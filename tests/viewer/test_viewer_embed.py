"""Scenes in a page: what is embedded can be read back, and a budget is kept without averaging."""

import json
import re

import numpy as np
import pytest
from scene_examples import GRID, layer, place, scene, voxels
from test_viewer_encode import codes_of

from surrogate3d.errors import UnsupportedError, ValueRangeError
from surrogate3d.viewer.assets import EMBEDDED, PAGE_STYLES, SERVED, program, style
from surrogate3d.viewer.embed import embed


def values_of(embedded, entry):
    block = embedded.blocks[entry["id"]]
    codes = np.array(codes_of(block, entry["bits"]), dtype=float)
    values = np.where(codes > 0, entry["lo"] + (codes - 1) * entry["step"], np.nan)
    return values.reshape([high - low for low, high in entry["box"]]) if "box" in entry else values


def test_layers_structures_and_voxels_come_back():
    given, found = scene(), embed(scene())
    manifest = found.manifest
    dose, error = manifest["layers"]
    assert np.array_equal(values_of(found, dose["data"])[-2:], place()[-2:])  # its corner is 0, and it is exact
    assert dose["step"] == 0.0
    assert error["data"]["box"] == [[1, 6], [0, 5], [0, 7]]
    assert np.abs(values_of(found, error["data"]) - given.layer("error").values[1:]).max() <= error["step"] + 1e-12
    data, mask = manifest["voxels"]["data"], voxels().mask
    assert codes_of(found.blocks[data["index"]["id"]], 32) == np.flatnonzero(mask).tolist()
    effect = np.exp(values_of(found, data["effect"])).reshape(-1, 3)
    assert np.allclose(effect, voxels().effect, rtol=data["effect"]["step"])
    spectrum = np.array(codes_of(found.blocks[data["spectrum"]["id"]], 8)).reshape(-1, 2, 3)
    dose = np.moveaxis(voxels().fluence, 2, 0) * np.asarray(voxels().bins.dose_per_fluence)
    expected = np.sqrt(dose / dose.max(axis=(1, 2), keepdims=True))
    assert np.abs(spectrum / 255 - expected).max() <= 0.5 / 255 + 1e-6


def test_the_page_holds_every_block_and_nothing_ends_its_element():
    found = embed(scene(title="</script><b>", notes=("<!-- & -->",)))
    text = found.html()
    assert text.count("</script>") == 1 + len(found.blocks)
    words = re.search(r'<script type="application/json" id="s3d-scene">(.*?)</script>', text, re.DOTALL)
    assert json.loads(words[1])["title"] == "</script><b>"
    assert found.n_bytes == sum(map(len, re.findall(r'id="s3d-data-\d+">([^<]*)<', text)))


def test_a_smaller_budget_rounds_more_then_keeps_fewer_voxels():
    rough = np.random.default_rng(1).normal(size=GRID.shape).astype(np.float32)
    given = scene(layers=(layer("dose", rough),), voxels=None, structures=())
    full = embed(given)
    fewer_bits = embed(given, full.n_bytes - 1)
    assert (full.manifest["layers"][0]["data"]["bits"], full.manifest["stride"]) == (16, 1)
    assert (fewer_bits.manifest["layers"][0]["data"]["bits"], fewer_bits.manifest["stride"]) == (8, 1)
    strided = embed(given, fewer_bits.n_bytes - 1)
    entry = strided.manifest["layers"][0]
    assert strided.manifest["stride"] == 2
    assert strided.manifest["grid"]["shape"] == list(GRID.shape)
    assert strided.n_bytes < fewer_bits.n_bytes
    assert np.abs(values_of(strided, entry["data"]) - rough[::2, ::2, ::2]).max() <= entry["step"] + 1e-7
    assert entry["step"] <= entry["data"]["step"] / 2 + 1e-7


def test_fewer_voxels_can_be_asked_before_slices_lose_any():
    full = embed(scene())
    rest = sum(len(full.blocks[one["data"]["id"]]) for one in full.manifest["layers"] + full.manifest["structures"])
    found = embed(scene(), rest + 200)
    stride = found.manifest["voxels"]["data"]["stride"]
    assert found.manifest["stride"] == 1
    assert stride > 1
    index = codes_of(found.blocks[found.manifest["voxels"]["data"]["index"]["id"]], 32)
    at = np.array(np.unravel_index(index, GRID.shape)).T
    assert (at % stride == 0).all()
    assert voxels().mask[tuple(at.T)].all()


def test_a_scene_that_cannot_be_embedded_says_what_to_do():
    with pytest.raises(ValueRangeError, match="does not fit into 10 bytes; serve it"):
        embed(scene(), 10)

    class Elsewhere:
        def manifest(self):
            return {}

        def at(self, voxel):
            return None

    with pytest.raises(UnsupportedError, match="only voxels in memory"):
        embed(scene(voxels=Elsewhere()))


def test_every_file_of_the_program_is_in_a_page():
    from importlib.resources import files

    there = {entry.name for entry in (files("surrogate3d.viewer") / "web").iterdir() if entry.is_file()}
    assert there == {*EMBEDDED, *SERVED, *PAGE_STYLES}
    assert len(set(EMBEDDED)) == len(EMBEDDED)
    for text in (program(EMBEDDED), program(SERVED)):
        assert "</script" not in text
        assert "import " not in re.sub(r"/\*.*?\*/|//[^\n]*|[\"'`].*?[\"'`]", "", text, flags=re.DOTALL)
    assert "</style" not in style(PAGE_STYLES)
    assert "http://" not in style(PAGE_STYLES)
