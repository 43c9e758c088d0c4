"""A field that was stored is read back exactly, or refused."""

import dataclasses
import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import zarr

from surrogate3d.errors import GridMismatchError, QuantityError, StoreError
from surrogate3d.grid import (
    Field,
    Grid,
    LetDefinition,
    Prescription,
    Spectra,
    SpectrumAxes,
    Volume,
    VolumeSet,
    quantity,
)
from surrogate3d.io import field_store
from surrogate3d.io.field_store import describe, field_id, read_field, write_field

COSINE, SINE = np.cos(0.3), np.sin(0.3)
GRID = Grid(
    shape=(35, 3, 4),  # one axis is longer than a chunk
    spacing_mm=(1 / 3, 2.0, 2.5),
    origin_mm=(-10.1, 0.2, 1e3),
    direction=((COSINE, -SINE, 0.0), (SINE, COSINE, 0.0), (0.0, 0.0, 1.0)),
)
AXES = SpectrumAxes(("H", "C"), np.stack([np.linspace(0, 250, 6), np.geomspace(0.1, 430, 6)]))


def spectra(rng, axes=AXES):
    noisy = [rng.poisson(2.0, (2, *lead, *GRID.shape)) * np.float32(0.123) for lead in ((5,), (), ())]
    return Spectra(axes, *(part.astype(np.float32) for part in noisy))


def make_field(seed=1, halves=True):
    rng = np.random.default_rng(seed)
    dose = rng.random(GRID.shape)
    LET_d = rng.random(GRID.shape, dtype=np.float32)
    LET_d[3, 1, 2] = np.nan
    values = {"dose_to_water": dose, "LET_d": LET_d}
    return Field(
        grid=GRID,
        volumes=VolumeSet(GRID, {name: Volume(GRID, array, quantity(name)) for name, array in values.items()}),
        spectra=spectra(rng),
        beam_axis=2,
        beam_sign=-1,
        histories=123_456_789_012,
        halves=(spectra(rng), spectra(rng)) if halves else (),
        halves_dose=(dose * 0.9, dose * 1.1) if halves else (),
        let_definitions={"LET_d": LetDefinition("dose", "protons", "local medium", False, 100.0, "run.txt")},
        prescription=Prescription(1.7e-9, "2 Gy at p50 of the box (0, 0, 0)-(20, 20, 64)"),
        provenance={"files": [{"name": "Dose.bin", "sha256": "00"}], "topas": "4.2.p1"},
    )


@pytest.fixture(autouse=True)
def no_sync(monkeypatch):
    """Waiting for the disk is most of the time; that it happens is shown for `atomic`."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def field():
    return make_field()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "plan.field.zarr"


def assert_same_array(found, expected):
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def assert_same_spectra(found, expected):
    assert found.axes.species == expected.axes.species
    assert_same_array(found.axes.edges_mev_u, expected.axes.edges_mev_u)
    for part in ("fluence", "underflow", "overflow"):
        assert_same_array(getattr(found, part), getattr(expected, part))


@pytest.mark.parametrize("halves", [True, False])
def test_what_was_written_is_read_back_exactly(path, halves):
    field = make_field(halves=halves)
    write_field(field, path)
    found = read_field(path)
    assert found.grid == field.grid
    assert list(found.volumes) == list(field.volumes)
    for name, volume in field.volumes.items():
        assert found.volumes[name].quantity == volume.quantity
        assert_same_array(found.volumes[name].values, volume.values)
    assert_same_spectra(found.spectra, field.spectra)
    assert len(found.halves) == len(field.halves)
    for mine, theirs in zip(found.halves, field.halves, strict=True):
        assert_same_spectra(mine, theirs)
    for mine, theirs in zip(found.halves_dose, field.halves_dose, strict=True):
        assert_same_array(mine, theirs)
    for name in ("beam_axis", "beam_sign", "histories", "let_definitions", "prescription", "provenance"):
        assert getattr(found, name) == getattr(field, name)


def test_a_field_without_prescription_stays_without(path, field):
    write_field(dataclasses.replace(field, prescription=None, let_definitions={}), path)
    assert read_field(path).prescription is None


def test_the_id_follows_the_content(tmp_path, field):
    first = write_field(field, tmp_path / "a.field.zarr")
    assert field_id(tmp_path / "a.field.zarr") == first
    assert write_field(make_field(), tmp_path / "b.field.zarr") == first
    assert write_field(make_field(seed=2), tmp_path / "c.field.zarr") != first
    assert write_field(dataclasses.replace(field, beam_sign=1), tmp_path / "d.field.zarr") != first


def test_zarr_alone_tells_what_the_arrays_are(path, field):
    write_field(field, path)
    group = zarr.open_group(path, mode="r", use_consolidated=False)
    fluence = group["spectra/fluence"]
    assert fluence.metadata.dimension_names == ("species", "bin", "i", "j", "k")
    assert fluence.chunks == (1, 5, 35, 3, 4), "all energy bins of a voxel in one chunk"
    assert fluence.dtype == np.float32
    assert fluence.attrs["unit"] == "1/mm^2"
    assert np.isnan(fluence.fill_value)
    assert group["dose_to_water"].metadata.dimension_names == ("i", "j", "k")
    assert group["LET_d"].attrs["unit"] == "keV/um"
    assert group["LET_d"].attrs["definition"] == quantity("LET_d").definition
    assert set(group["halves/1"].array_keys()) == {"fluence", "underflow", "overflow", "dose"}
    assert group.attrs["surrogate3d"]["schema"] == "surrogate3d.field/1"


def test_numpy_scalars_in_the_description_are_stored_as_numbers(path, field):
    counted = dataclasses.replace(field, histories=np.int64(7), provenance={"n": np.int32(3)})
    write_field(counted, path)
    assert describe(path)["histories"] == 7
    assert describe(path)["provenance"] == {"n": 3}


def test_describe_is_plain_data_with_units_and_ranges(path, field):
    identity = write_field(field, path)
    about = json.loads(json.dumps(describe(path), allow_nan=False))
    assert about["field_id"] == identity
    assert about["grid"]["shape"] == [35, 3, 4]
    assert about["axes"]["species"] == ["H", "C"]
    assert about["n_halves"] == 2
    assert about["prescription"]["dose_scale"] == 1.7e-9
    assert about["let_definitions"]["LET_d"]["particles"] == "protons"
    LET_d = about["volumes"]["LET_d"]
    assert (LET_d["unit"], LET_d["n_nan"]) == ("keV/um", 1)
    assert LET_d["minimum"] == np.nanmin(field.volumes["LET_d"].values)
    assert LET_d["maximum"] == np.nanmax(field.volumes["LET_d"].values)


def test_describe_tells_the_fluence_outside_the_bins(path, field):
    one, none = np.ones((1, *GRID.shape), np.float32), np.zeros((1, *GRID.shape), np.float32)
    # H: 5 in the bins, 3 below, 2 above a voxel. C: nothing at all.
    fluence = np.concatenate([np.repeat(one, 5, axis=0)[None], np.repeat(none, 5, axis=0)[None]])
    outside = Spectra(AXES, fluence, np.concatenate([3 * one, none]), np.concatenate([2 * one, none]))
    write_field(dataclasses.replace(field, spectra=outside), path)
    assert describe(path)["outside_bins"] == {
        "H": {"underflow": 0.3, "overflow": 0.2},
        "C": {"underflow": 0.0, "overflow": 0.0},
    }


def test_an_existing_store_is_replaced_only_when_asked(path, field):
    first = write_field(field, path)
    with pytest.raises(StoreError, match="exists already"):
        write_field(make_field(seed=2), path)
    assert field_id(path) == first
    assert write_field(make_field(seed=2), path, overwrite=True) == field_id(path) != first


def test_a_folder_that_is_no_store_is_never_replaced(tmp_path, field):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.txt").write_text("all my work")
    with pytest.raises(StoreError, match="thesis exists and is not a field store"):
        write_field(field, tmp_path / "thesis", overwrite=True)
    assert (tmp_path / "thesis" / "chapter1.txt").read_text() == "all my work"


def test_a_damaged_store_is_refused_and_the_file_named(path, field):
    write_field(field, path)
    chunk = next(entry for entry in (path / "spectra" / "fluence" / "c").rglob("*") if entry.is_file())
    content = bytearray(chunk.read_bytes())
    content[100] ^= 1
    chunk.write_bytes(content)
    with pytest.raises(StoreError, match=chunk.relative_to(path).as_posix()):
        read_field(path)


def test_a_lost_chunk_is_refused_even_without_verification(path, field):
    write_field(field, path)
    chunk = next(entry for entry in (path / "LET_d" / "c").rglob("*") if entry.is_file())
    chunk.unlink()
    with pytest.raises(StoreError, match=r"LET_d/c/.* is missing"):
        read_field(path, verify=False)


def test_an_undecodable_chunk_is_refused_without_verification(path, field):
    write_field(field, path)
    chunk = next(entry for entry in (path / "LET_d" / "c").rglob("*") if entry.is_file())
    chunk.write_bytes(b"\xff" * chunk.stat().st_size)
    with pytest.raises(StoreError, match="LET_d is damaged"):
        read_field(path, verify=False)


def test_an_unfinished_store_is_refused(path, field):
    write_field(field, path)
    (path / "manifest.json").unlink()
    for reader in (read_field, field_id, describe):
        with pytest.raises(StoreError, match=r"has no manifest.json"):
            reader(path)


def test_halves_on_other_axes_are_refused(field):
    other = spectra(np.random.default_rng(3), SpectrumAxes(("H", "C"), AXES.edges_mev_u * 1.01))
    with pytest.raises(GridMismatchError, match="halves have other spectrum axes"):
        dataclasses.replace(field, halves=(other, other))


def test_halves_whose_axes_match_but_are_not_the_same_are_not_stored(path, field):
    other = spectra(np.random.default_rng(3), SpectrumAxes(("H", "C"), AXES.edges_mev_u * (1 + 1e-6)))
    with pytest.raises(GridMismatchError, match="axes of the whole"):
        write_field(dataclasses.replace(field, halves=(other, other)), path)
    assert not path.exists()


@pytest.mark.parametrize("name", ["spectra", "halves", "../dose", "a b", ""])
def test_a_volume_name_that_would_leave_its_place_is_refused(path, field, name):
    volumes = VolumeSet(GRID, {**field.volumes, name: field.volumes["LET_d"]})
    with pytest.raises(QuantityError, match="cannot be stored under the name"):
        write_field(dataclasses.replace(field, volumes=volumes), path)
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("files_before", [0, 1, 10])
def test_a_disk_that_fills_up_leaves_nothing(path, field, monkeypatch, files_before):
    countdown = iter(range(files_before))
    write_bytes = Path.write_bytes

    def until_full(file, content):
        if next(countdown, None) is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write_bytes(file, content)

    monkeypatch.setattr(Path, "write_bytes", until_full)
    with pytest.raises(StoreError, match=r"^disk full while writing .*: free \d+ MB and run again; nothing was kept$"):
        write_field(field, path)
    assert os.listdir(path.parent) == []


def test_an_interrupt_while_spectra_are_packed_leaves_nothing(path, field, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(field_store, "_put_spectra", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_field(field, path)
    assert os.listdir(path.parent) == []


def test_provenance_must_be_plain_data(path, field):
    with pytest.raises(TypeError, match="must be plain data; found PosixPath"):
        write_field(dataclasses.replace(field, provenance={"file": path}), path)
    assert os.listdir(path.parent) == []


PROGRAM = """
import resource, sys
from pathlib import Path
import numpy as np
from surrogate3d.errors import StoreError
from surrogate3d.grid import *
from surrogate3d.io.field_store import write_field
from surrogate3d.io.images import write_image, write_maps
grid = Grid((32, 32, 32), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
volumes = VolumeSet(grid, {"dose_to_water": Volume(grid, np.random.default_rng(0).random(grid.shape), quantity("dose_to_water"))})
axes = SpectrumAxes.logarithmic(("H",), 4)
zeros = np.zeros((1, *grid.shape), np.float32)
spectra = Spectra(axes, np.zeros((1, 4, *grid.shape), np.float32), zeros, zeros)
field = Field(grid=grid, volumes=volumes, spectra=spectra, beam_axis=2, beam_sign=1, histories=1)
out = Path(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
for write in (
    lambda: write_field(field, out / "a.field.zarr"),
    lambda: write_image(volumes["dose_to_water"], out / "a.nii.gz"),
    lambda: write_image(volumes["dose_to_water"], out / "a.mha"),
    lambda: write_maps(volumes, out / "maps", ("zarr",)),
):
    try:
        write()
    except StoreError as error:
        sys.stdout.write(f"{error}\\n")
"""  # noqa: E501 - a program in one string


def test_a_real_limit_on_file_size_leaves_nothing(tmp_path):
    ran = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=True)
    lines = ran.stdout.splitlines()
    for line, name in zip(lines, ("a.field.zarr", "a.nii.gz", "a.mha", "maps"), strict=True):
        assert line == (
            "file-size limit of the system or session (ulimit -f) reached while writing "
            f"{tmp_path / name}: raise it and run again; nothing was kept"
        )
    assert os.listdir(tmp_path) == []


def test_volumes_that_are_not_asked_for_are_not_read(tmp_path):
    field = make_field()
    write_field(field, tmp_path / "a.field.zarr")
    wanted, *others = field.volumes
    assert others
    for chunk in (tmp_path / "a.field.zarr" / others[0] / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(bytes(chunk.stat().st_size))
    found = read_field(tmp_path / "a.field.zarr", volumes=(wanted, "nothing"))
    assert list(found.volumes) == [wanted]
    np.testing.assert_array_equal(found.volumes[wanted].values, field.volumes[wanted].values)
    with pytest.raises(StoreError, match=others[0]):
        read_field(tmp_path / "a.field.zarr")
