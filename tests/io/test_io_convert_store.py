"""A store that is written slab by slab is the field in memory, and survives what interrupts it."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from topas_writer import three_runs, write_run

from surrogate3d.errors import StoreError, ValueRangeError
from surrogate3d.grid import LetDefinition
from surrogate3d.io import topas_merge, zarr_group
from surrogate3d.io.atomic import resumable_directory
from surrogate3d.io.convert import convert, open_plan
from surrogate3d.io.convert_store import convert_to_store
from surrogate3d.io.field_store import describe, field_id, outside_bins, read_field
from surrogate3d.io.given import Given
from surrogate3d.io.manifest import verify
from surrogate3d.io.topas_run import TopasRun

FIXTURE = Path(__file__).parents[1] / "fixtures" / "topas"
SHAPE = (5, 3, 7)
SLABS = 4  # of two planes each, the last of one


@pytest.fixture(autouse=True)
def no_sync(monkeypatch):
    """Waiting for the disk is most of the time; that it happens is shown for `io.atomic`."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def small_pieces(monkeypatch):
    """Two planes a slab, one plane a reading, four voxels a chunk: neither divides the grid."""
    monkeypatch.setattr(zarr_group, "PLANES_BYTES", 2 * 4 * 2 * SHAPE[0] * SHAPE[1])
    monkeypatch.setattr(topas_merge, "READ_BYTES", 1)
    monkeypatch.setattr(zarr_group, "CHUNK_VOXELS", 4)


class Interrupted:
    """A progress that presses Ctrl-C after so many slabs, and counts."""

    def __init__(self, after):
        self.after, self.seen = after, []

    def __call__(self, done, of):
        self.seen.append((done, of))
        if done == self.after:
            raise KeyboardInterrupt


def left_in(folder):
    return sorted(path.name for path in folder.iterdir() if path.name.startswith(".partial-"))


def require_same(store, field):
    """Array for array and word for word."""
    found = read_field(store)
    assert found.grid == field.grid
    assert set(found.volumes) == set(field.volumes)
    for name, volume in field.volumes.items():
        np.testing.assert_array_equal(found.volumes[name].values, volume.values, name)
        assert found.volumes[name].quantity == volume.quantity
    assert len(found.halves) == len(field.halves)
    for ours, theirs in zip((found.spectra, *found.halves), (field.spectra, *field.halves), strict=True):
        for part in ("fluence", "underflow", "overflow"):
            np.testing.assert_array_equal(getattr(ours, part), getattr(theirs, part), part)
        assert ours.axes.matches(theirs.axes, rtol=0)
    np.testing.assert_array_equal(found.halves_dose, field.halves_dose)
    for name in ("beam_axis", "beam_sign", "histories", "primary", "let_definitions", "prescription", "provenance"):
        assert getattr(found, name) == getattr(field, name), name
    assert [vars(beam) for beam in found.beams] == [vars(beam) for beam in field.beams]
    outside = describe(store)["outside_bins"]
    assert outside.keys() == outside_bins(field.spectra).keys()
    for species, parts in outside_bins(field.spectra).items():
        assert outside[species] == pytest.approx(parts)


def test_one_real_run(tmp_path):
    field, expected = convert([FIXTURE], dose_scale=3.0)
    report = convert_to_store(open_plan([FIXTURE], dose_scale=3.0), tmp_path / "plan.field.zarr")
    require_same(tmp_path / "plan.field.zarr", field)
    assert {**report.to_json(), "outside": 0} == {**expected.to_json(), "outside": 0}
    assert report.outside["H"] == pytest.approx(expected.outside["H"])


@pytest.mark.parametrize("n", [1, 2, 3])
def test_many_slabs_of_merged_runs(tmp_path, small_pieces, n):
    folders, progress = three_runs(tmp_path, SHAPE)[:n], Interrupted(None)
    field, _ = convert(folders, dose_scale=0.7)
    convert_to_store(open_plan(folders, dose_scale=0.7), tmp_path / "plan.field.zarr", progress=progress)
    assert progress.seen == [(done, SLABS) for done in (1, 2, 3, 4)]
    assert len(list((tmp_path / "plan.field.zarr" / "spectra" / "fluence" / "c").rglob("*/*/*/*"))) > SLABS
    require_same(tmp_path / "plan.field.zarr", field)
    assert len(field.halves) == (2 if n > 1 else 0)


def test_several_species_without_hydrogen(tmp_path, small_pieces):
    rng = np.random.default_rng(0)
    folders = [
        write_run(
            tmp_path / name,
            seed=seed,
            shape=SHAPE,
            fluence={z: rng.random((*SHAPE, 4)) for z in (2, 6)},
            DoseToMedium=1 + rng.random(SHAPE),
            LETt=1 + rng.random(SHAPE),
        )
        for seed, name in enumerate(("a", "b"))
    ]
    convert_to_store(open_plan(folders), tmp_path / "plan.field.zarr")
    require_same(tmp_path / "plan.field.zarr", convert(folders)[0])


@pytest.mark.parametrize("after", [1, 3, SLABS])
def test_an_interrupted_conversion_goes_on_and_ends_the_same(tmp_path, small_pieces, monkeypatch, after):
    folders = three_runs(tmp_path, SHAPE)[:2]
    whole, resumed = tmp_path / "whole" / "plan.field.zarr", tmp_path / "resumed" / "plan.field.zarr"
    convert_to_store(open_plan(folders), whole)
    with pytest.raises(KeyboardInterrupt):
        convert_to_store(open_plan(folders), resumed, progress=Interrupted(after))
    assert not resumed.exists()
    assert len(left_in(resumed.parent)) == 1
    read, fluence = [], TopasRun.fluence
    monkeypatch.setattr(
        TopasRun, "fluence", lambda run, species, k0, k1: read.append(k0) or fluence(run, species, k0, k1)
    )
    convert_to_store(open_plan(folders), resumed)
    assert sorted(set(read)) == list(range(2 * after, SHAPE[2]))
    assert field_id(resumed) == field_id(whole)  # the SHA-256 of the list of all files with their SHA-256
    verify(resumed)
    assert left_in(resumed.parent) == []


def test_a_journal_that_was_cut_or_lost_a_file_is_mended(tmp_path, small_pieces):
    (folder,), store = three_runs(tmp_path, SHAPE)[:1], tmp_path / "out" / "plan.field.zarr"
    whole = tmp_path / "whole.field.zarr"
    convert_to_store(open_plan([folder]), whole)
    for damage in ("cut", "lost"):
        with pytest.raises(KeyboardInterrupt):
            convert_to_store(open_plan([folder]), store, progress=Interrupted(3))
        (name,) = left_in(store.parent)
        journal = store.parent / name / ".journal"
        if damage == "cut":
            journal.write_bytes(journal.read_bytes()[:-20])
        else:
            (store.parent / name / "dose_to_water" / "c" / "0" / "0" / "1").unlink()
    # The first slab is left of the three: the second is made again, and Ctrl-C comes once more.
    with pytest.raises(KeyboardInterrupt):
        convert_to_store(open_plan([folder]), store, progress=Interrupted(2))
    progress = Interrupted(None)
    convert_to_store(open_plan([folder]), store, progress=progress)
    assert field_id(store) == field_id(whole)


@pytest.mark.parametrize("change", ["time", "size", "scale", "order of runs", "histories", "beam", "weighting"])
def test_what_was_made_otherwise_is_not_taken_up(tmp_path, small_pieces, change):
    folders, store = three_runs(tmp_path, SHAPE)[:2], tmp_path / "out" / "plan.field.zarr"
    given = dict.fromkeys(("before", "after"), Given())
    scale = {"before": 1.0, "after": 1.0}
    if change in ("histories", "beam", "weighting"):
        for folder in folders:
            (folder / "run.txt").unlink()
        asked = {
            "origin_mm": (0.0, 0.0, 0.0),
            "beam_direction": (0.0, 0.0, 1.0),
            "histories": 100,
            "let_weighting": {"LETd": "dose", "LETt": "track"},
        }
        other = {
            "histories": {"histories": 200},
            "beam": {"beam_direction": (0.0, 0.0, -1.0)},
            "weighting": {"let_weighting": {"LETd": "track", "LETt": "dose"}},
        }
        given = {"before": Given(**asked), "after": Given(**{**asked, **other[change]})}
    with pytest.raises(KeyboardInterrupt):
        convert_to_store(open_plan(folders, dose_scale=1.0, given=given["before"]), store, progress=Interrupted(1))
    dose = folders[0] / "DoseToWater.csv"
    if change == "time":
        os.utime(dose, ns=(1, 1))
    elif change == "size":
        dose.write_text(dose.read_text() + "\n")
    elif change == "scale":
        scale["after"] = 2.0
    elif change == "order of runs":
        folders.reverse()
    progress = Interrupted(None)
    convert_to_store(open_plan(folders, dose_scale=scale["after"], given=given["after"]), store, progress=progress)
    require_same(store, convert(folders, dose_scale=scale["after"], given=given["after"])[0])
    assert left_in(store.parent) == []  # what the other conversion left is taken away, too


def test_what_interrupted_conversions_to_other_stores_left_is_kept(tmp_path, small_pieces):
    folders = three_runs(tmp_path, SHAPE)
    with pytest.raises(KeyboardInterrupt):
        convert_to_store(open_plan(folders[:1]), tmp_path / "one.field.zarr", progress=Interrupted(1))
    (left,) = left_in(tmp_path)
    convert_to_store(open_plan(folders[1:2]), tmp_path / "two.field.zarr")
    assert left_in(tmp_path) == [left]


def test_an_error_leaves_nothing_behind(tmp_path, small_pieces):
    fluence = np.ones((*SHAPE, 4))
    fluence[2, 1, 5, 2] = np.nan
    run = write_run(tmp_path / "run", shape=SHAPE, fluence={1: fluence})
    with pytest.raises(ValueRangeError, match=r"at voxel \(2, 1, 5\), energy column 2"):
        convert_to_store(open_plan([run]), tmp_path / "plan.field.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_store_that_is_not_accepted_leaves_nothing_behind(tmp_path):
    def refuse(volumes):
        assert set(volumes) == {"dose_to_water", "dose_to_medium", "dose_std", "LET_d", "LET_t"}
        raise ValueRangeError("no")

    with pytest.raises(ValueRangeError, match="no"):
        convert_to_store(open_plan([FIXTURE]), tmp_path / "plan.field.zarr", accept=refuse)
    assert list(tmp_path.iterdir()) == []


def test_a_second_process_is_refused(tmp_path, small_pieces):
    folder, store = three_runs(tmp_path, SHAPE)[0], tmp_path / "out" / "plan.field.zarr"

    def meanwhile(done, of):
        with pytest.raises(StoreError, match="being written by another process"):
            convert_to_store(open_plan([folder]), store)

    convert_to_store(open_plan([folder]), store, progress=meanwhile)
    require_same(store, convert([folder])[0])


def test_a_lock_of_a_living_process_protects_what_it_writes(tmp_path):
    store = tmp_path / "plan.field.zarr"
    with resumable_directory(store, "a" * 64) as first:
        (first / "a").write_text("a")
        with resumable_directory(tmp_path / "other", "b" * 64) as second:
            (second / "b").write_text("b")
        assert (first / "a").is_file()
    assert (store / "a").is_file()


class Sums:
    """An observer that counts what it is shown."""

    def __init__(self):
        self.names = ("tracks",)
        self.let_definitions = {"LET_x": LetDefinition("dose", "all", "water", False, None, "test")}
        self.provenance = {"made": "by a test"}

    def begin(self, shape):
        self.sum = np.zeros(shape)

    def spectrum(self, species, columns):
        self.sum += columns.sum(axis=-1, dtype=float).transpose(2, 1, 0)

    def volumes(self, dose):
        assert dose.shape == self.sum.shape
        return {"tracks": self.sum}


def test_an_observer_sees_every_slab_and_its_volumes_are_kept(tmp_path, small_pieces):
    folders, store = three_runs(tmp_path, SHAPE), tmp_path / "plan.field.zarr"
    with pytest.raises(KeyboardInterrupt):
        convert_to_store(open_plan(folders), store, Sums(), progress=Interrupted(2))
    convert_to_store(open_plan(folders), store, Sums())
    field, found = convert(folders)[0], read_field(store)
    spectra = field.spectra
    expected = spectra.fluence[0].sum(axis=0, dtype=float) + spectra.underflow[0] + spectra.overflow[0]
    np.testing.assert_allclose(found.volumes["tracks"].values, expected, rtol=1e-6)
    assert found.let_definitions["LET_x"].source == "test"
    assert found.provenance["made"] == "by a test"


KILLED = """
import os, signal, sys
from pathlib import Path
from surrogate3d.io import zarr_group
from surrogate3d.io.convert import open_plan
from surrogate3d.io.convert_store import convert_to_store
zarr_group.PLANES_BYTES = 1
def progress(done, of):
    if done == 5:
        os.kill(os.getpid(), signal.SIGKILL)
convert_to_store(open_plan([Path(sys.argv[1])]), Path(sys.argv[2]), progress=progress)
"""


def test_a_killed_conversion_goes_on(tmp_path, monkeypatch):
    store = tmp_path / "plan.field.zarr"
    done = subprocess.run([sys.executable, "-c", KILLED, FIXTURE, store], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert not store.exists()
    monkeypatch.setattr(zarr_group, "PLANES_BYTES", 1)
    read, fluence = [], TopasRun.fluence
    monkeypatch.setattr(
        TopasRun, "fluence", lambda run, species, k0, k1: read.append(k0) or fluence(run, species, k0, k1)
    )
    convert_to_store(open_plan([FIXTURE]), store)
    assert read == list(range(5, 12))
    verify(store)
    require_same(store, convert([FIXTURE])[0])
    assert left_in(tmp_path) == []


def test_a_flipped_bit_is_found(tmp_path):
    store = tmp_path / "plan.field.zarr"
    convert_to_store(open_plan([FIXTURE]), store)
    verify(store)
    chunk = store / "dose_to_water" / "c" / "0" / "0" / "0"
    raw = bytearray(chunk.read_bytes())
    raw[len(raw) // 2] ^= 1
    chunk.write_bytes(raw)
    with pytest.raises(StoreError, match="dose_to_water/c/0/0/0 differs from its SHA-256"):
        verify(store)


def test_an_input_that_cannot_be_written_to_and_a_store_inside_it(tmp_path):
    run = shutil.copytree(FIXTURE, tmp_path / "run")
    convert_to_store(open_plan([run]), run / "plan.field.zarr")
    before = field_id(run / "plan.field.zarr")
    convert_to_store(open_plan([run]), run / "plan.field.zarr", overwrite=True)
    assert field_id(run / "plan.field.zarr") == before
