"""Scenes as plain data: their manifest, and what they refuse."""

import json

import numpy as np
import pytest
from scene_examples import GRID, layer, place, scene, voxels

from surrogate3d.errors import GridMismatchError, UnknownNameError, ValueRangeError
from surrogate3d.viewer.scene import Isodose, Point, Structure
from surrogate3d.viewer.windows import known_values, window_of


def test_the_manifest_is_standard_json_with_all_that_is_no_array():
    manifest = scene().manifest()
    assert json.loads(json.dumps(manifest, allow_nan=False)) == manifest
    assert manifest["schema"] == "surrogate3d.scene/1"
    assert manifest["grid"] == GRID.to_json()
    assert (manifest["focus"], manifest["beam"], manifest["stride"]) == ([3, 2, 4], {"axis": 2, "sign": -1}, 1)
    assert [one["range"] for one in manifest["layers"]] == [[0.0, 546.0], [-1.0, pytest.approx(3.46)]]
    assert manifest["points"][0]["values"] == {"RBE": 1.2, "RBE_se": None}
    assert manifest["structures"] == [{"name": "PTV 1/2", "colour": "#bf4a06"}]
    assert set(manifest["palettes"]) == {"viridis", "balance"}
    assert all(np.shape(table) == (256, 3) for table in manifest["palettes"].values())
    assert manifest["voxels"]["bins"]["species"] == ["H", "C"]


def test_a_voxel_is_answered_in_the_order_of_the_mask():
    data = voxels()
    for n, voxel in enumerate(np.argwhere(data.mask)):
        found = data.at(tuple(int(at) for at in voxel))
        assert found["at"] == voxel.tolist()
        assert found["effect"] == data.effect[n].tolist()
        assert found["half_width"] == data.half_width[n]
        assert np.array_equal(found["spectrum"], data.fluence[:, :, n])
    assert data.at((0, 0, 0)) is None


def test_fluence_on_the_grid_gives_the_same_spectra():
    data = voxels()
    whole = np.zeros((2, 3, *data.mask.shape), dtype=np.float32)
    whole[:, :, data.mask] = data.fluence
    other = type(data)(data.doses, data.mask, data.effect, data.half_width, data.photon, whole, data.bins)
    some = np.array([0, 3, 8])
    assert np.array_equal(other.fluence_of(some), data.fluence_of(some))
    assert other.at((2, 3, 4)) == data.at((2, 3, 4))


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        ({"layers": ()}, ValueRangeError, "at least one layer"),
        ({"layers": (layer(), layer())}, ValueRangeError, "'dose' is in the scene twice"),
        ({"layers": (layer(values=np.zeros((6, 5, 8))),)}, GridMismatchError, r"\(6, 5, 8\), the scene's grid \(6, 5"),
        ({"focus": (3, 5, 0)}, GridMismatchError, "focus .* outside the grid, whose i, j, k go 0 to 5, 0 to 4, 0 to 6"),
        ({"points": (Point((-1, 0, 0), {}, False),)}, GridMismatchError, "point .* outside the grid"),
        ({"isodose": Isodose("D_RBE", 2.0, "Gy")}, UnknownNameError, "no layer 'D_RBE'.*there are: dose, error"),
    ],
)
def test_a_scene_that_does_not_hold_together_is_refused(said, error, words):
    with pytest.raises(error, match=words):
        scene(**said)


def test_layers_and_structures_refuse_what_cannot_be_drawn():
    with pytest.raises(UnknownNameError, match="unknown group 'other'"):
        layer(group="other")
    with pytest.raises(UnknownNameError, match="unknown colours 'jet'"):
        layer(colours="jet")
    with pytest.raises(ValueRangeError, match="window of two rising numbers, found 1 to 1"):
        layer(window=(1, 1))
    with pytest.raises(ValueRangeError, match="colour #rrggbb, found 'red'"):
        Structure("PTV", place(), "red")
    data = voxels()
    with pytest.raises(GridMismatchError, match="expected effects of 36 voxels"):
        type(data)(data.doses, data.mask, data.effect[:-1], data.half_width, data.photon)


def test_first_windows_leave_out_the_tails():
    values = place()
    values[0, 0, 0] = 1e6
    low, high = window_of(known_values(values))
    assert 0 < low < 10
    assert 500 < high < 1000
    assert window_of(np.array([-1.0, 2.0, 0.5]), symmetric=True) == pytest.approx((-1.97, 1.97))
    assert window_of(np.array([1.0, 2.0]), from_zero=True) == (0.0, 2.0)
    assert window_of(np.array([3.0, 3.0])) == (2.5, 3.5)
    assert window_of(np.array([])) == (0.0, 1.0)
