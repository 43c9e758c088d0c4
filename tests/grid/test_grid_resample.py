"""Fields on other grids: conservation, orientation, cropping."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from surrogate3d.errors import GeometryError, GridMismatchError, QuantityError, ValueRangeError
from surrogate3d.grid import (
    QUANTITIES,
    Beam,
    DoseField,
    Field,
    Grid,
    LetDefinition,
    Quantity,
    Spectra,
    SpectrumAxes,
    Volume,
    VolumeSet,
    quantity,
)
from surrogate3d.grid.overlap import overlap
from surrogate3d.grid.resample import box_above, crop_field, regridded, resample_field
from surrogate3d.grid.summed import DOSES, FROM_SPECTRA, PATIENT, RESPONSES

AXES = SpectrumAxes.logarithmic(("H", "He"), n_bins=3)
SOURCE = Grid((5, 4, 6), (2.0, 3.0, 2.5), (-10.0, 4.0, 7.0))
COARSE = Grid((2, 2, 2), (4.0, 4.0, 4.0), (-8.0, 6.0, 9.0))
PROTONS = {"LET_d": LetDefinition("dose", "all", "water", False, None, "made up")} | {
    "LET_t": LetDefinition("track", "all", "water", False, None, "made up")
}


def random_volume(seed, grid=SOURCE):
    return np.random.default_rng(seed).uniform(0.1, 2.0, grid.shape)


def random_spectra(seed, grid=SOURCE, dtype=float):
    rng = np.random.default_rng(seed)
    shapes = [(2, 3, *grid.shape), (2, *grid.shape), (2, *grid.shape)]
    return Spectra(AXES, *(rng.uniform(0.0, 1.0, shape).astype(dtype) for shape in shapes))


def make_field(seed=0, grid=SOURCE, beam=(2, 1), dtype=float, **changes):
    names = ("dose_to_water", "dose_to_medium", "LET_d", "LET_t", "dose_std", "density")
    volumes = {n: Volume(grid, random_volume(seed + m, grid).astype(dtype), quantity(n)) for m, n in enumerate(names)}
    field = Field(
        grid=grid,
        volumes=VolumeSet(grid, volumes),
        spectra=random_spectra(seed + 10, grid, dtype),
        beam_axis=beam[0],
        beam_sign=beam[1],
        histories=1000,
        halves=(random_spectra(seed + 11, grid, dtype), random_spectra(seed + 12, grid, dtype)),
        halves_dose=(random_volume(seed + 13, grid), random_volume(seed + 14, grid)),
        let_definitions=PROTONS,
        primary="H",
    )
    return replace(field, **changes)


def integral(values, grid):
    return values.sum(axis=(-3, -2, -1)) * grid.voxel_volume_mm3


def turned(grid, permutation, flips):
    """The same box of voxels with permuted and flipped index axes."""
    shape, spacing = (tuple(x[a] for a in permutation) for x in (grid.shape, grid.spacing_mm))
    columns = np.asarray(grid.direction)[:, list(permutation)] * np.where(flips, -1.0, 1.0)
    first = np.zeros(3)
    for axis, (source, flip) in enumerate(zip(permutation, flips, strict=True)):
        first[source] = shape[axis] - 1 if flip else 0
    return Grid(shape, spacing, tuple(grid.position_mm(first)), tuple(map(tuple, columns)))


def rotated(grid, degrees):
    """The grid turned around the k axis through its own middle."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    R = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
    middle = grid.position_mm((np.array(grid.shape) - 1) / 2)
    origin = middle + R @ (np.array(grid.origin_mm) - middle)
    return replace(grid, origin_mm=tuple(origin), direction=tuple(map(tuple, R @ np.asarray(grid.direction))))


def twin(values, source, target, n):
    """Mean over n^3 points of each target voxel of the source voxel that holds them; zero outside."""
    found = np.zeros(target.shape)
    ticks = (np.arange(n) + 0.5) / n - 0.5
    offsets = np.array([(a, b, c) for a in ticks for b in ticks for c in ticks])
    for voxel in np.ndindex(target.shape):
        index = np.floor(source.index(target.position_mm(np.array(voxel) + offsets)) + 0.5).astype(int)
        inside = ((index >= 0) & (index < source.shape)).all(axis=1)
        found[voxel] = values[tuple(index[inside].T)].sum() / len(offsets)
    return found


grids = st.builds(
    lambda shape, spacing, shift: (shape, spacing, shift),
    st.tuples(*[st.integers(1, 7)] * 3),
    st.tuples(*[st.floats(0.5, 6.0)] * 3),
    st.tuples(*[st.floats(-20.0, 20.0)] * 3),
)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(grids, st.permutations([0, 1, 2]), st.tuples(*[st.booleans()] * 3), st.integers(0, 99))
def test_the_integral_over_a_covering_grid_is_kept_exactly_and_the_bounds_hold(spec, permutation, flips, seed):
    (shape, spacing, _) = spec
    extent = np.array(SOURCE.shape) * SOURCE.spacing_mm
    around = np.random.default_rng(seed).uniform(0, 1, 3)
    shape = tuple(int(n) for n in np.ceil(extent / spacing) + 1 + np.array(shape) % 2)
    low = SOURCE.position_mm((-0.5, -0.5, -0.5)) - around * (np.array(shape) * spacing - extent)
    target = turned(Grid(shape, spacing, tuple(low + np.array(spacing) / 2)), tuple(permutation), flips)
    values, way = random_volume(seed), overlap(SOURCE, target)
    found = way.mean(values)
    assert way.exact
    assert integral(found, target) == pytest.approx(integral(values, SOURCE), rel=1e-12)
    assert (found >= 0).all()
    inside = way.coverage > 1e-6
    mean = found[inside] / way.coverage[inside]
    assert values.min() * (1 - 1e-9) <= mean.min()
    assert mean.max() <= values.max() * (1 + 1e-9)
    assert way.coverage.sum() * target.voxel_volume_mm3 == pytest.approx(SOURCE.n_voxels * 15.0, rel=1e-9)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(grids, st.integers(0, 99))
def test_a_target_anywhere_agrees_with_integrals_of_the_cumulated_source(spec, seed):
    """The twin: the source's integral up to a corner, interpolated, is exact; a box is eight corners."""
    shape, spacing, shift = spec
    target = Grid(shape, spacing, tuple(np.array(SOURCE.origin_mm) + shift))
    values = random_volume(seed)
    cumulated = np.zeros(tuple(n + 1 for n in SOURCE.shape))
    cumulated[1:, 1:, 1:] = values.cumsum(0).cumsum(1).cumsum(2)
    for axis in range(3):
        edges = SOURCE.origin_mm[axis] + SOURCE.spacing_mm[axis] * (np.arange(SOURCE.shape[axis] + 1) - 0.5)
        wanted = target.origin_mm[axis] + target.spacing_mm[axis] * (np.arange(target.shape[axis] + 1) - 0.5)
        cumulated = np.diff(
            np.apply_along_axis(lambda v, e=edges, w=wanted: np.interp(w, e, v), axis, cumulated), axis=axis
        )
    expected = cumulated * SOURCE.voxel_volume_mm3 / target.voxel_volume_mm3
    np.testing.assert_allclose(overlap(SOURCE, target).mean(values), expected, rtol=1e-9, atol=1e-11)


def test_probing_points_is_exact_on_integer_refinements():
    """Source voxels of 2 x 3 x 2.5 mm, targets of twice that, half a voxel off: four points an edge hit no border."""
    target = Grid((3, 3, 3), (4.0, 6.0, 5.0), tuple(SOURCE.position_mm((0.0, -0.5, 1.5))))
    values = random_volume(3)
    np.testing.assert_allclose(overlap(SOURCE, target).mean(values), twin(values, SOURCE, target, 4), rtol=1e-12)
    probed = overlap(SOURCE, rotated(target, 17.0))
    assert not probed.exact
    # 8 x 12 x 10 points in 4 x 6 x 5 mm; of random values within 0.1 to 2, each mean has about 0.5 / 10 / 960^(1/3).
    expected = twin(values, SOURCE, rotated(target, 17.0), 24)
    np.testing.assert_allclose(probed.mean(values), expected, atol=0.02)
    np.testing.assert_array_equal(overlap(SOURCE, rotated(target, 17.0)).mean(values), probed.mean(values))


@pytest.mark.parametrize("degrees", [5.0, 17.0, 30.0, 45.0])
def test_oblique_grids_nearly_conserve_and_never_leave_the_bounds(degrees):
    grid = Grid((20, 20, 4), (2.0, 2.0, 3.0), (0.0, 0.0, 0.0))
    x, y, _ = np.meshgrid(*(np.linspace(-2, 2, n) for n in grid.shape), indexing="ij")
    values = np.exp(-4 * (x**2 + y**2))
    way = overlap(grid, rotated(replace(grid, shape=(40, 40, 4), origin_mm=(-20.0, -20.0, 0.0)), degrees))
    found = way.mean(values)
    assert integral(found, way.target) == pytest.approx(integral(values, grid), rel=3e-3)
    assert found.min() >= 0
    assert found.max() <= values.max()


@pytest.mark.parametrize("permutation", [(0, 1, 2), (2, 0, 1), (1, 0, 2), (2, 1, 0)])
@pytest.mark.parametrize("flips", [(False, False, False), (True, False, True), (False, True, False)])
def test_permuted_and_flipped_grids_hold_the_same_values(permutation, flips):
    field, grid = make_field(), turned(SOURCE, permutation, flips)
    found = resample_field(field, grid)

    def turn(values):
        lead = values.ndim - 3
        out = values.transpose(*range(lead), *(lead + a for a in permutation))
        return np.flip(out, [lead + a for a in range(3) if flips[a]])

    for name, volume in field.volumes.items():
        np.testing.assert_allclose(found.volumes[name].values, turn(volume.values), rtol=1e-14)
    np.testing.assert_array_equal(found.spectra.fluence, turn(field.spectra.fluence))
    np.testing.assert_array_equal(found.halves[1].overflow, turn(field.halves[1].overflow))
    np.testing.assert_array_equal(found.halves_dose[0], turn(field.halves_dose[0]))
    np.testing.assert_allclose(found.tracks, turn(field.tracks), rtol=1e-14)
    old, new = (np.asarray(f.grid.direction)[:, f.beam_axis] * f.beam_sign for f in (field, found))
    np.testing.assert_array_equal(old, new)


def test_the_same_grid_gives_the_same_field():
    field = make_field(dtype=np.float32)
    moved = replace(SOURCE, origin_mm=tuple(x * (1 + 1e-15) for x in SOURCE.origin_mm))
    assert resample_field(field, moved) is field


def test_everything_that_adds_is_kept_and_let_stays_within_its_bounds():
    field = make_field(beams=(Beam(name="a"), Beam(name="b")), beams_dose=(random_volume(70), random_volume(71)))
    grid = Grid((4, 3, 4), (3.0, 5.0, 4.5), (-10.5, 3.0, 6.0))  # covers the source
    found = resample_field(field, grid, outside="zero")
    for get in (
        lambda f: f.dose,
        lambda f: f.volumes["dose_to_medium"].values,
        lambda f: f.volumes["LET_d"].values * f.dose,
        lambda f: f.spectra.fluence,
        lambda f: f.spectra.underflow,
        lambda f: f.spectra.overflow,
        lambda f: f.halves[0].fluence,
        lambda f: f.halves_dose[1],
        lambda f: np.stack(f.beams_dose),
    ):
        np.testing.assert_allclose(integral(get(found), grid), integral(get(field), SOURCE), rtol=1e-12)

    def track_let(f):
        fluence = f.spectra.fluence.sum(axis=(0, 1)) + f.spectra.underflow.sum(axis=0) + f.spectra.overflow.sum(axis=0)
        return f.volumes["LET_t"].values * fluence

    assert integral(track_let(found), grid) == pytest.approx(integral(track_let(field), SOURCE), rel=1e-12)
    for name in ("LET_d", "LET_t"):
        old, new = field.volumes[name].values, found.volumes[name].values
        assert old.min() <= new.min() < new.max() <= old.max()
    assert found.volumes["dose_to_water"].quantity == quantity("dose_to_water")


def test_coarsening_a_refined_field_gives_it_back():
    field = make_field()
    fine = Grid((10, 8, 18), (1.0, 1.5, 2.5 / 3), tuple(SOURCE.position_mm((-0.25, -0.25, -1 / 3))))
    back = resample_field(resample_field(field, fine), SOURCE)
    for name in ("dose_to_water", "LET_d", "LET_t", "density"):
        np.testing.assert_allclose(back.volumes[name].values, field.volumes[name].values, rtol=1e-12)
    np.testing.assert_allclose(back.spectra.fluence, field.spectra.fluence, rtol=1e-12)
    # Tracks cross two voxels along the beam, and a face of a quarter of the area sees a quarter of them.
    np.testing.assert_allclose(resample_field(field, fine).tracks[::2, ::2, ::3], field.tracks / 4, rtol=1e-12)


def test_the_error_of_a_mean_of_independent_voxels():
    grid = Grid((2, 2, 2), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    std = np.arange(1.0, 9.0).reshape(2, 2, 2)
    volumes = {"dose_to_water": np.ones((2, 2, 2)), "dose_std": std}
    field = DoseField(grid=grid, volumes=VolumeSet(grid, {n: Volume(grid, v, quantity(n)) for n, v in volumes.items()}))
    found = resample_field(field, Grid((1, 1, 1), (2.0, 2.0, 2.0), (0.5, 0.5, 0.5)))
    assert found.volumes["dose_std"].values[0, 0, 0] == pytest.approx(np.sqrt(sum(n**2 for n in range(1, 9))) / 8)
    assert "independent voxels" in found.provenance["changes"][0]["remarks"][0]


def test_dose_without_a_let_does_not_dilute_it():
    grid = Grid((2, 1, 1), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    volumes = {"dose_to_water": [3.0, 1.0], "LET_d": [np.nan, 8.0]}
    volumes = {n: Volume(grid, np.array(v).reshape(2, 1, 1), quantity(n)) for n, v in volumes.items()}
    field = DoseField(grid=grid, volumes=VolumeSet(grid, volumes))
    found = resample_field(field, Grid((1, 1, 1), (2.0, 1.0, 1.0), (0.5, 0.0, 0.0)))
    assert found.dose[0, 0, 0] == 2.0
    assert found.volumes["LET_d"].values[0, 0, 0] == 8.0
    assert type(found) is DoseField


def test_let_of_protons_is_weighted_by_the_fluence_of_protons():
    definition = LetDefinition("track", "protons, primary and secondary", "water", False, None, "made up")
    field = make_field(let_definitions={"LET_t": definition})
    pair = Grid((1, 1, 1), (4.0, 3.0, 2.5), tuple(SOURCE.position_mm((0.5, 0, 0))))
    s, LET = field.spectra, field.volumes["LET_t"].values[:2, 0, 0]
    fluence = s.fluence[0, :, :2, 0, 0].sum(axis=0) + s.underflow[0, :2, 0, 0] + s.overflow[0, :2, 0, 0]
    expected = (LET * fluence).sum() / fluence.sum()
    assert resample_field(field, pair).volumes["LET_t"].values[0, 0, 0] == pytest.approx(expected, rel=1e-12)


def test_outside_the_grid_the_dose_is_refused_unknown_or_none_as_asked():
    field = make_field()
    wider = Grid((6, 4, 6), SOURCE.spacing_mm, tuple(SOURCE.position_mm((-0.5, 0, 0))))
    with pytest.raises(GridMismatchError, match=r"48 of 144 voxels .* outside the field's grid, where its dose is not"):
        resample_field(field, wider)
    unknown, none = (resample_field(field, wider, outside) for outside in ("nan", "zero"))
    assert np.isnan(unknown.dose[[0, -1]]).all()
    assert np.isnan(unknown.volumes["LET_d"].values[[0, -1]]).all()
    assert (unknown.spectra.fluence[:, :, [0, -1]] == 0).all()
    np.testing.assert_allclose(none.dose[0], field.dose[0] / 2, rtol=1e-14)
    np.testing.assert_allclose(none.volumes["LET_d"].values[0], field.volumes["LET_d"].values[0], rtol=1e-14)
    np.testing.assert_allclose(unknown.dose[1:-1], none.dose[1:-1], rtol=1e-14)
    assert none.provenance["changes"][0]["coverage"] == pytest.approx(5 / 6)
    far = replace(SOURCE, origin_mm=(1000.0, 0.0, 0.0))
    with pytest.raises(GridMismatchError, match="do not touch"):
        resample_field(field, far, "zero")


def test_a_grid_off_by_a_ten_thousandth_of_a_voxel_counts_as_covered():
    moved = replace(SOURCE, origin_mm=tuple(SOURCE.position_mm((1e-4, 0, 0))))
    found = resample_field(make_field(), moved)
    np.testing.assert_allclose(found.dose[-1], make_field().dose[-1], rtol=1e-12)


def test_the_beam_keeps_its_direction_in_space():
    field = make_field(beam=(0, -1))
    oblique = resample_field(field, rotated(SOURCE, 80.0), "zero")
    assert (oblique.beam_axis, oblique.beam_sign) == (1, 1)  # i turned to y, j to -x: -x lies along +j
    known = make_field(beam=(0, -1), beams=(Beam(name="a", direction=(-0.6, 0.0, 0.8)),))
    tilted = Grid((4, 4, 4), (1.0, 1.0, 1.0), (-6.0, 8.0, 12.0), turned(SOURCE, (2, 0, 1), (False,) * 3).direction)
    assert resample_field(known, tilted).beam_axis == 0  # the true direction is nearer to z, now the first axis


def test_single_precision_stays_single():
    field = make_field(dtype=np.float32)
    found = resample_field(field, Grid((2, 2, 2), (4.0, 4.0, 4.0), (-8.0, 6.0, 9.0)))
    assert found.dose.dtype == found.spectra.fluence.dtype == found.volumes["LET_d"].values.dtype == np.float32


def test_tracks_of_several_beams_are_carried_with_the_face_of_each():
    beams = (Beam(name="a", direction=(0.0, 0.0, 1.0)), Beam(name="b", direction=(1.0, 0.0, 0.0)))
    tracks = Volume(SOURCE, np.full(SOURCE.shape, 100.0), quantity("tracks"))
    field = make_field(beams=beams, beams_dose=(np.full(SOURCE.shape, 3.0), np.full(SOURCE.shape, 1.0)))
    field = replace(field, volumes=VolumeSet(SOURCE, {**field.volumes, "tracks": tracks}))
    half = Grid((5, 4, 3), (2.0, 3.0, 5.0), tuple(SOURCE.position_mm((0, 0, 0.5))))
    # Twice as long along z: the face of the beam along z stays, that of the beam along x doubles: (3 x 1 + 1 x 2) / 4.
    np.testing.assert_allclose(resample_field(field, half).volumes["tracks"].values, 125.0, rtol=1e-12)


@pytest.mark.parametrize("name", ["RBE", "alpha", "D_RBE", "EQD2", "out_of_domain"])
def test_responses_are_not_carried(name):
    field = make_field()
    extra = {**field.volumes, name: Volume(SOURCE, field.dose, quantity(name))}
    with pytest.raises(QuantityError, match=f"holds {name}: .* do not add"):
        resample_field(replace(field, volumes=VolumeSet(SOURCE, extra)), SOURCE)


def test_what_is_made_from_spectra_is_not_carried():
    field = make_field()
    names = ("explained", "explained_corrected", "spectrum_fault", "LET_d_spectra", "LET_t_spectra")
    extra = {**field.volumes, **{name: Volume(SOURCE, field.dose, quantity(name)) for name in names}}
    words = {**PROTONS, "LET_d_spectra": PROTONS["LET_d"]}
    found = resample_field(replace(field, volumes=VolumeSet(SOURCE, extra), let_definitions=words), COARSE)
    assert set(found.volumes) == set(field.volumes)
    assert found.let_definitions == PROTONS


def test_what_cannot_be_carried_is_left_out_and_said():
    bare = DoseField(grid=SOURCE, volumes=make_field().volumes)
    found = resample_field(bare, COARSE)
    assert "LET_t" not in found.volumes
    remarks = found.provenance["changes"][0]["remarks"]
    assert any("LET_t is left out: its weight is the fluence" in remark for remark in remarks)


def test_a_quantity_of_unknown_kind_is_refused():
    dose = make_field().volumes["dose_to_water"]
    odd = replace(dose, quantity=Quantity("charm", "c", "1", "not in the table"))
    with pytest.raises(QuantityError, match="holds charm, of which is not known how it adds"):
        resample_field(DoseField(grid=SOURCE, volumes=VolumeSet(SOURCE, {"dose_to_water": dose, "charm": odd})), COARSE)


def test_the_largest_grid_of_other_voxels_inside_a_grid():
    grid = Grid((20, 20, 64), (2.5, 2.5, 2.5), (0.0, 0.0, 0.0))
    assert regridded(grid, (5.0, 5.0, 5.0)) == Grid((10, 10, 32), (5.0, 5.0, 5.0), (1.25, 1.25, 1.25))
    found = regridded(grid, (3.0, 2.5, 2.0))
    assert found.shape == (16, 20, 80)
    assert found.origin_mm == pytest.approx((-1.25 + 1.0 + 1.5, 0.0, -0.25))  # 50 - 48 mm are left, 1 mm a side
    with pytest.raises(GeometryError, match="do not fit"):
        regridded(grid, (60.0, 2.5, 2.5))
    with pytest.raises(GeometryError, match="positive lengths"):
        regridded(grid, (0.0, 2.5, 2.5))


def test_cropping_cuts_everything_and_moves_the_origin():
    field = make_field(beams=(Beam(name="a"), Beam(name="b")), beams_dose=(random_volume(70), random_volume(71)))
    found = crop_field(field, ((1, 0, 2), (4, 3, 6)))
    inside = (slice(1, 4), slice(0, 3), slice(2, 6))
    assert found.grid == Grid((3, 3, 4), SOURCE.spacing_mm, (-8.0, 4.0, 12.0))
    for name, volume in field.volumes.items():
        np.testing.assert_array_equal(found.volumes[name].values, volume.values[inside])
    np.testing.assert_array_equal(found.spectra.fluence, field.spectra.fluence[(..., *inside)])
    np.testing.assert_array_equal(found.halves[1].underflow, field.halves[1].underflow[(..., *inside)])
    np.testing.assert_array_equal(found.halves_dose[0], field.halves_dose[0][inside])
    np.testing.assert_array_equal(found.beams_dose[1], field.beams_dose[1][inside])
    # Resampling to the same box is the same, by another way.
    resampled = resample_field(field, found.grid)
    np.testing.assert_allclose(resampled.spectra.fluence, found.spectra.fluence, rtol=1e-14)
    assert found.provenance["changes"][0]["box"] == [[1, 0, 2], [4, 3, 6]]


@pytest.mark.parametrize("box", [((0, 0, 0), (6, 4, 6)), ((2, 0, 0), (2, 4, 6)), ((-1, 0, 0), (5, 4, 6))])
def test_a_box_that_is_empty_or_leaves_the_grid_is_refused(box):
    with pytest.raises(GeometryError, match=r"empty or leaves the grid \(5, 4, 6\)"):
        crop_field(make_field(), box)


def test_the_box_above_a_dose_with_a_margin():
    dose = np.zeros(SOURCE.shape)
    dose[2, 1, 3], dose[3, 2, 3], dose[0, 0, 0] = 10.0, 1.0, 0.9
    field = DoseField(
        grid=SOURCE, volumes=VolumeSet(SOURCE, {"dose_to_water": Volume(SOURCE, dose, quantity("dose_to_water"))})
    )
    assert box_above(field, 0.1) == ((2, 1, 3), (4, 3, 4))
    assert box_above(field, 0.1, 3.0) == ((0, 0, 1), (5, 4, 6))  # 2, 1 and 2 voxels, as far as the grid goes
    with pytest.raises(ValueRangeError, match="fraction"):
        box_above(field, 0.0)
    with pytest.raises(ValueRangeError, match="margin"):
        box_above(field, 0.5, -1.0)
    empty = replace(
        field, volumes=VolumeSet(SOURCE, {"dose_to_water": replace(field.volumes["dose_to_water"], values=0 * dose)})
    )
    with pytest.raises(ValueRangeError, match="no dose"):
        box_above(empty, 0.5)


def test_of_every_quantity_is_known_whether_it_adds():
    known = {*DOSES, *PATIENT, *RESPONSES, *FROM_SPECTRA, "LET_d", "LET_t", "dose_std", "tracks"}
    assert set(QUANTITIES) <= known
