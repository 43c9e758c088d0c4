"""The Python API: maps that are computed when they are looked at."""

import numpy as np
import pytest
from synthetic import LINE, make_field, make_surrogate, prescribed

import surrogate3d
from surrogate3d.errors import PrescriptionError, UnknownNameError, UnsupportedError
from surrogate3d.inference.maps import Fractionation
from surrogate3d.inference.tile_networks import TileNetworks
from surrogate3d.io.field_store import read_field, write_field
from surrogate3d.io.images import read_maps
from surrogate3d.model.bundle import save_bundle
from surrogate3d.pipeline.in_memory import predict

FIELD = prescribed(make_field(shape=(50, 5, 30), seed=5), 2.0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("api")
    write_field(FIELD, where / "a.field.zarr")
    save_bundle(make_surrogate(FIELD), where / "model.bundle")
    return where


@pytest.fixture(scope="module")
def expected(folder):
    model = surrogate3d.load_bundle(folder / "model.bundle")
    return predict(FIELD, model, LINE, Fractionation(2.0)).volumes


@pytest.fixture
def maps(folder):
    with surrogate3d.Surrogate.load(folder / "model.bundle", precision="float32") as surrogate:
        assert "H beams, 2 networks" in repr(surrogate)
        yield surrogate.predict(folder / "a.field.zarr", "HSG")


def test_it_is_what_predict_says(maps, expected):
    assert list(maps) == list(expected)
    loaded = maps.load()
    for name in expected:
        np.testing.assert_allclose(maps[name].values, expected[name].values, rtol=1e-5)
        np.testing.assert_array_equal(loaded[name].values, maps[name].values)
        assert maps[name].quantity == expected[name].quantity
    assert np.asarray(maps["RBE"]).shape == maps["RBE"].shape == FIELD.grid.shape
    assert np.asarray(maps["RBE"], dtype=float).dtype == float


@pytest.mark.parametrize(
    "part",
    [
        np.s_[:, :, 12],
        np.s_[3:40:5, 2, ::-1],
        np.s_[25],
        np.s_[..., -1],
        np.s_[-8:, ..., 4:9],
        np.s_[7:7],
        np.s_[20, 2, 10],
    ],
)
def test_a_slice_is_that_of_the_whole(maps, expected, part):
    np.testing.assert_allclose(maps["RBE"][part], expected["RBE"].values[part], rtol=1e-5)
    np.testing.assert_array_equal(maps["mask"][part], expected["mask"].values[part])


def test_only_what_is_looked_at_is_computed(maps, monkeypatch):
    told, sizes = TileNetworks.told, []

    def counted(self, tile, lines):
        sizes.append(len(tile.voxels))
        return told(self, tile, lines)

    monkeypatch.setattr(TileNetworks, "told", counted)
    assert sizes == []
    maps["RBE"][25, :, 12]
    assert sizes == [int(maps["mask"][25, :, 12].sum())]
    maps["D_RBE"][25, :, 12]  # another map of the same place
    assert len(sizes) == 1


def test_maps_are_written_as_they_are(maps, tmp_path):
    said = maps.write(tmp_path / "maps", ("zarr",))
    np.testing.assert_array_equal(read_maps(tmp_path / "maps")["RBE"].values, maps["RBE"].values)
    assert said["voxels_answered"] == int(maps["mask"].values.sum())


def test_a_field_in_memory_is_taken_too(folder, maps):
    surrogate = surrogate3d.Surrogate.load(folder / "model.bundle", precision="float32")
    found = surrogate.predict(read_field(folder / "a.field.zarr"), LINE, maps=["RBE_ref"])
    assert list(found) == ["RBE_ref"]
    np.testing.assert_array_equal(found["RBE_ref"].values, maps["RBE_ref"].values)


def test_xarray_has_the_positions(maps):
    pytest.importorskip("xarray", reason="xarray is not installed")
    data = maps.to_xarray()
    assert set(data.data_vars) == set(maps)
    first = data["RBE"].isel(x=3, y=1, z=4)
    np.testing.assert_allclose([first.x, first.y, first.z], FIELD.grid.position_mm((3, 1, 4)))
    np.testing.assert_array_equal(data["RBE"].values, maps["RBE"].values)
    assert data["D_RBE"].attrs["units"] == "Gy (RBE)"


def test_what_cannot_be_is_refused(folder, maps):
    surrogate = surrogate3d.Surrogate.load(folder / "model.bundle")
    with pytest.raises(UnknownNameError, match="unknown map"):
        surrogate.predict(FIELD, maps=["RBEE"])
    with pytest.raises(PrescriptionError, match="prescribed 2 Gy"):
        surrogate.predict(FIELD, fraction_dose_gy=3.0)
    with pytest.raises(KeyError):
        maps["nothing"]
    for part in (np.array([1, 2]), (1, 2, 3, 4)):
        with pytest.raises(UnsupportedError, match="sliced by integers"):
            maps["RBE"][part]
    with pytest.raises(IndexError):
        maps["RBE"][99]
