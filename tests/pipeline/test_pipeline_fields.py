"""Stores to stores: several fields to a plan, another grid, a box."""

from dataclasses import replace

import numpy as np
import pytest
from dicom_objects import rtdose
from synthetic import LINE, make_field, make_surrogate, prescribed, reoriented

from surrogate3d.errors import GeometryError, GridMismatchError, QuantityError, StoreError
from surrogate3d.grid import Beam, DoseField, Grid, Volume, VolumeSet, quantity
from surrogate3d.inference.curves import predict_curves
from surrogate3d.inference.domain import SEVERAL_BEAMS
from surrogate3d.io.convert import convert
from surrogate3d.io.field_store import field_id, read_dose_field, read_field, write_field
from surrogate3d.io.images import write_image
from surrogate3d.physics.let import dose_from_spectra
from surrogate3d.pipeline.fields import combine_stores, crop_store, resample_store


def with_let(field, value):
    LET = Volume(field.grid, np.full(field.grid.shape, value), quantity("LET_d"))
    return replace(field, volumes=VolumeSet(field.grid, {**field.volumes, "LET_d": LET}))


def bare(field):
    return DoseField(grid=field.grid, volumes=field.volumes, let_definitions=field.let_definitions)


def store(folder, name, field):
    path = folder / f"{name}.field.zarr"
    write_field(field, path)
    return path


@pytest.fixture
def two(tmp_path):
    fields = [make_field(seed=n, halves=True, files=(str(n),)) for n in (1, 2)]
    return fields, [store(tmp_path, f"beam_{n}", f) for n, f in enumerate(fields)]


def test_the_sum_is_stored_with_its_parts_and_what_was_kept(two, tmp_path):
    (a, b), paths = two
    found = combine_stores(paths, tmp_path / "plan.field.zarr", weights=[1.0, 2.0], times=[(0.0, 60.0), (120.0, 60.0)])
    plan = read_field(tmp_path / "plan.field.zarr")
    np.testing.assert_allclose(plan.dose, a.dose + 2 * b.dose, rtol=1e-14)
    assert [(beam.name, beam.start_s) for beam in plan.beams] == [("beam_0", 0.0), ("beam_1", 120.0)]
    np.testing.assert_allclose(plan.beams_dose[1], 2 * b.dose, rtol=1e-14)
    assert [part["field_id"] for part in plan.provenance["parts"]] == [field_id(path) for path in paths]
    assert [part["field_id"] for part in found["parts"]] == [field_id(path) for path in paths]
    before = [part["dose_integral_gy_mm3"] for part in found["parts"]]
    assert found["dose_integral_gy_mm3"] == pytest.approx(before[0] + 2 * before[1], rel=1e-12)
    assert before[0] == pytest.approx(float(a.dose.sum()) * 10.0, rel=1e-12)  # voxels of 2 x 2 x 2.5 mm
    energy = [float(dose_from_spectra(f.spectra.axes, f.spectra.fluence).sum()) * 10.0 for f in (a, b)]
    assert found["spectra_integral_gy_mm3"] == pytest.approx(energy[0] + 2 * energy[1], rel=1e-6)
    assert found["field_id"] == field_id(tmp_path / "plan.field.zarr")
    assert not found["several_directions"]


def test_the_same_field_twice_is_refused_whatever_it_is_called(two, tmp_path):
    (a, _), paths = two
    copy = store(tmp_path, "copy", a)
    scaled = store(tmp_path, "scaled", prescribed(a, 2.0))
    prescribed_too = store(tmp_path, "other", prescribed(a, 3.0))
    for pair in ([paths[0], paths[0]], [paths[0], copy], [scaled, prescribed_too]):
        with pytest.raises(QuantityError, match="hold the same histories"):
            combine_stores(pair, tmp_path / "plan.field.zarr", weights=[1.0, 1.0], names=("a", "b"))
    assert not (tmp_path / "plan.field.zarr").exists()


def test_a_sum_and_one_of_its_parts_are_refused(two, tmp_path):
    """One run would count twice, and its noise with it."""
    _, paths = two
    combine_stores(paths, tmp_path / "plan.field.zarr", weights=[1.0, 1.0])
    for pair in ([tmp_path / "plan.field.zarr", paths[1]], [paths[0], tmp_path / "plan.field.zarr"]):
        with pytest.raises(QuantityError, match="hold the same histories"):
            combine_stores(pair, tmp_path / "more.field.zarr", weights=[1.0, 1.0], names=("a", "b"))


def test_fields_without_spectra_combine_and_resample_too(two, tmp_path):
    (_, b), paths = two
    dose_only = store(tmp_path, "tps", bare(with_let(b, 4.0)))
    found = combine_stores([paths[0], dose_only], tmp_path / "plan.field.zarr", weights=[1.0, 1.0])
    assert not found["spectra"]
    assert found["spectra_integral_gy_mm3"] is None
    assert "LET_d is left out: only 1 of 2 fields have it" in found["remarks"]
    coarse = resample_store(dose_only, tmp_path / "coarse.field.zarr", spacing_mm=(3.0, 4.0, 5.0))
    assert coarse["grid"]["shape"] == [6, 4, 6]
    assert coarse["LET_d_kev_um"] == [4.0, 4.0]
    assert type(read_dose_field(tmp_path / "coarse.field.zarr")) is DoseField
    assert coarse["dose_integral_gy_mm3"] == pytest.approx(coarse["from"]["dose_integral_gy_mm3"], rel=1e-12)


def test_resampling_like_a_store_or_an_image(two, tmp_path):
    _, paths = two
    grid = Grid((4, 4, 5), (3.0, 3.5, 4.0), (2.0, 2.0, 3.0))
    image = tmp_path / "ct.nii.gz"
    write_image(Volume(grid, np.zeros(grid.shape), quantity("HU")), image)
    found = resample_store(paths[0], tmp_path / "ct.field.zarr", like=image)
    np.testing.assert_allclose(found["grid"]["origin_mm"], grid.origin_mm, atol=1e-5)
    assert found["from"]["field_id"] == field_id(paths[0])
    again = resample_store(paths[1], tmp_path / "again.field.zarr", like=tmp_path / "ct.field.zarr")
    assert again["grid"] == found["grid"]
    assert read_field(tmp_path / "again.field.zarr").provenance["source"]["name"] == "beam_1.field.zarr"
    wide = tmp_path / "wide.nii.gz"
    write_image(Volume(replace(grid, shape=(9, 9, 9)), np.zeros((9, 9, 9)), quantity("HU")), wide)
    with pytest.raises(GridMismatchError, match="dose is not known"):
        resample_store(paths[0], tmp_path / "wide.field.zarr", like=wide)
    kept = resample_store(paths[0], tmp_path / "wide.field.zarr", like=wide, outside="nan")
    assert np.isnan(read_field(tmp_path / "wide.field.zarr").dose).any()
    assert kept["dose_integral_gy_mm3"] < kept["from"]["dose_integral_gy_mm3"]


def test_resampling_like_the_dose_of_a_planning_system(two, tmp_path):
    _, paths = two
    stored = np.ones((3, 4, 5), np.uint16)
    like = rtdose(tmp_path / "tps.dcm", stored, ImagePositionPatient=[2.0, 3.0, 4.0])
    found = resample_store(paths[0], tmp_path / "tps.field.zarr", like=like)
    assert found["grid"]["shape"] == [5, 4, 3]
    assert found["grid"]["spacing_mm"] == [1.5, 2.0, 3.0]
    assert found["grid"]["origin_mm"] == [2.0, 3.0, 4.0]
    renamed = paths[1].rename(tmp_path / "a store by another name")
    assert resample_store(paths[0], tmp_path / "same.field.zarr", like=renamed)["grid"] == found["from"]["grid"]


def test_cropping_a_store(two, tmp_path):
    (a, _), paths = two
    found = crop_store(paths[0], tmp_path / "box.field.zarr", box=((1, 2, 3), (4, 5, 6)))
    assert found["box"] == [[1, 2, 3], [4, 5, 6]]
    np.testing.assert_array_equal(read_field(tmp_path / "box.field.zarr").dose, a.dose[1:4, 2:5, 3:6])
    above = crop_store(paths[0], tmp_path / "above.field.zarr", above=0.5, margin_mm=2.0)
    inside = tuple(slice(*ends) for ends in zip(*above["box"], strict=True))
    outside = a.dose.copy()
    outside[inside] = 0.0
    assert outside.max() < 0.5 * a.dose.max()


def test_orders_that_say_too_little_or_too_much_are_refused(two, tmp_path):
    _, (path, _) = two
    for options in ({}, {"box": ((0, 0, 0), (1, 1, 1)), "above": 0.5}):
        with pytest.raises(GeometryError, match="either the box or the fraction"):
            crop_store(path, tmp_path / "x.field.zarr", **options)
    for options in ({}, {"spacing_mm": (1.0, 1.0, 1.0), "like": path}):
        with pytest.raises(GeometryError, match="either the voxel spacing or"):
            resample_store(path, tmp_path / "x.field.zarr", **options)
    with pytest.raises(StoreError, match="is an input"):
        crop_store(path, path, above=0.5)


def test_crossing_beams_are_answered_by_the_table_alone(two, tmp_path):
    """A field across another is combined, stored, read and predicted: nowhere does the network answer."""
    (a, b), paths = two
    across, _ = reoriented(replace(b, halves=(), halves_dose=()), (2, 1, 0), 1)
    across = store(tmp_path, "across", across)
    like = tmp_path / "whole.nii.gz"
    whole = Grid((17, 8, 12), a.grid.spacing_mm, (-2.0, 0.0, 0.0))  # -3 to 31 mm in x
    write_image(Volume(whole, np.zeros(whole.shape), quantity("HU")), like)
    found = combine_stores([paths[0], across], tmp_path / "plan.field.zarr", weights=[1.0, 1.0], like=like)
    assert found["several_directions"]
    plan = read_field(tmp_path / "plan.field.zarr")
    curves = predict_curves(plan, make_surrogate(a), LINE)
    np.testing.assert_array_equal(curves.out_of_domain, curves.mask)
    assert curves.strangest == SEVERAL_BEAMS


def test_two_runs_of_one_beam_combine_to_what_converting_them_together_gives(topas_data, tmp_path):
    runs = [topas_data(f"proton_slab_high{letter}") for letter in "AB"]
    together, _ = convert(runs)
    paths = [store(tmp_path, run.name, convert([run])[0]) for run in runs]
    found = combine_stores(paths, tmp_path / "plan.field.zarr", weights=[1.0, 1.0])
    plan = read_field(tmp_path / "plan.field.zarr")
    for name in ("dose_to_water", "dose_to_medium", "dose_std", "LET_d", "LET_t"):
        np.testing.assert_allclose(plan.volumes[name].values, together.volumes[name].values, rtol=1e-12)
    np.testing.assert_allclose(plan.spectra.fluence, together.spectra.fluence, rtol=1e-6)
    np.testing.assert_allclose(plan.tracks, together.tracks, rtol=1e-6)
    assert plan.histories == together.histories == 8_000_000
    assert len(plan.provenance["runs"]) == 2
    assert found["remarks"] == []


def test_a_real_field_keeps_its_integrals_on_a_coarser_grid(topas_data, tmp_path):
    path = store(tmp_path, "slab", convert([topas_data("proton_slab_low")])[0])
    found = resample_store(path, tmp_path / "coarse.field.zarr", spacing_mm=(5.0, 5.0, 10.0))
    before = found["from"]
    assert found["dose_integral_gy_mm3"] == pytest.approx(before["dose_integral_gy_mm3"], rel=1e-12)
    assert found["spectra_integral_gy_mm3"] == pytest.approx(before["spectra_integral_gy_mm3"], rel=1e-6)
    assert before["LET_d_kev_um"][0] <= found["LET_d_kev_um"][0]
    assert found["LET_d_kev_um"][1] <= before["LET_d_kev_um"][1]


def test_beams_of_a_sum_survive_the_store(two, tmp_path):
    _, paths = two
    combine_stores(paths, tmp_path / "plan.field.zarr", weights=[1.0, 1.0], names=("left", "right"))
    beams = read_field(tmp_path / "plan.field.zarr").beams
    assert [type(beam) for beam in beams] == [Beam, Beam]
    assert beams[0].direction == (0.0, 0.0, 1.0)


def test_a_result_does_not_replace_its_source(tmp_path):
    store = tmp_path / "plan.field.zarr"
    name = write_field(make_field(seed=1), store)
    for change in (
        lambda: crop_store(store, store, box=((0, 0, 0), (2, 2, 2)), overwrite=True),
        lambda: resample_store(store, store, spacing_mm=(5.0, 5.0, 5.0), outside="zero", overwrite=True),
        lambda: combine_stores([store, tmp_path / "other.field.zarr"], store, overwrite=True),
    ):
        with pytest.raises(StoreError, match="is an input"):
            change()
    assert field_id(store) == name
