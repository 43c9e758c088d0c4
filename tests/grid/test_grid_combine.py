"""Fields of one plan, added."""

from dataclasses import replace

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, PrescriptionError, QuantityError
from surrogate3d.grid import (
    Beam,
    DoseField,
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
from surrogate3d.grid.combine import combine, dose_integral
from surrogate3d.grid.resample import resample_field

GRID = Grid((4, 5, 6), (2.0, 2.0, 2.5), (0.0, 0.0, 0.0))
AXES = SpectrumAxes.logarithmic(("H", "He"), n_bins=3)
CARBON = SpectrumAxes.logarithmic(("H", "C"), n_bins=3)
LET = {
    "LET_d": LetDefinition("dose", "protons", "water", False, None, "run a"),
    "LET_t": LetDefinition("track", "all", "water", False, None, "run a"),
}
NAMES = ("a", "b")


def values(seed, grid=GRID):
    return np.random.default_rng(seed).uniform(0.5, 2.0, grid.shape)


def spectra(seed, grid=GRID, axes=AXES):
    rng = np.random.default_rng(seed)
    return Spectra(
        axes, rng.uniform(0, 1, (2, 3, *grid.shape)), *(rng.uniform(0, 1, (2, *grid.shape)) for _ in range(2))
    )


def make_field(seed=0, grid=GRID, beam=(2, 1), axes=AXES, halves=True, prescription=None, extra=None):
    names = ("dose_to_water", "LET_d", "LET_t", "dose_std")
    volumes = {n: Volume(grid, values(seed + m, grid), quantity(n)) for m, n in enumerate(names)}
    volumes |= {n: Volume(grid, values(seed + 5, grid), quantity(n)) for n in extra or ()}
    return Field(
        grid=grid,
        volumes=VolumeSet(grid, volumes),
        spectra=spectra(seed + 10, grid, axes),
        beam_axis=beam[0],
        beam_sign=beam[1],
        histories=1000 + seed,
        halves=(spectra(seed + 11, grid, axes), spectra(seed + 12, grid, axes)) if halves else (),
        halves_dose=(values(seed + 13, grid), values(seed + 14, grid)) if halves else (),
        let_definitions=LET,
        primary="H",
        prescription=prescription,
        provenance={"topas_version": "4.2", "runs": [{"name": f"run {seed}", "files": []}]},
    )


def bare(field, **changes):
    names = ("volumes", "primary", "beams", "beams_dose", "let_definitions", "prescription", "provenance", "grid")
    return DoseField(**{name: getattr(field, name) for name in names} | changes)


def without(field, *names):
    kept = {name: volume for name, volume in field.volumes.items() if name not in names}
    return replace(field, volumes=VolumeSet(field.grid, kept))


A, B = make_field(0), make_field(100, beam=(2, -1))


def test_what_adds_adds_with_the_weights():
    found = combine([A, B], [1.0, 3.0], names=NAMES)
    assert isinstance(found, Field)
    for get in (
        lambda f: f.dose,
        lambda f: f.spectra.fluence,
        lambda f: f.spectra.underflow,
        lambda f: f.spectra.overflow,
        lambda f: f.halves[0].fluence,
        lambda f: f.halves[1].overflow,
        lambda f: f.halves_dose[1],
    ):
        np.testing.assert_allclose(get(found), get(A) + 3 * get(B), rtol=1e-14)
    std = [f.volumes["dose_std"].values for f in (A, B)]
    np.testing.assert_allclose(found.volumes["dose_std"].values, np.sqrt(std[0] ** 2 + 9 * std[1] ** 2), rtol=1e-14)
    np.testing.assert_allclose(found.tracks, A.tracks + B.tracks, rtol=1e-14)  # histories, whatever their weight
    np.testing.assert_allclose(found.beams_dose[1], 3 * B.dose, rtol=1e-14)
    assert found.histories == A.histories + B.histories
    assert (found.primary, found.prescription) == ("H", None)
    assert found.provenance["changes"] == [{"change": "combine", "remarks": []}]


def test_let_is_weighted_by_dose_and_by_fluence():
    """pytrip's formula for the dose-averaged LET of several fields: sum(D_i L_i) / sum(D_i)."""
    found = combine([A, B], [1.0, 3.0], names=NAMES)
    D = [A.dose, 3 * B.dose]
    L = [f.volumes["LET_d"].values for f in (A, B)]
    np.testing.assert_allclose(found.volumes["LET_d"].values, (D[0] * L[0] + D[1] * L[1]) / (D[0] + D[1]), rtol=1e-13)
    Phi = [
        w * (s.fluence.sum(axis=(0, 1)) + s.underflow.sum(axis=0) + s.overflow.sum(axis=0))
        for w, s in ((1.0, A.spectra), (3.0, B.spectra))
    ]
    L = [f.volumes["LET_t"].values for f in (A, B)]
    np.testing.assert_allclose(
        found.volumes["LET_t"].values, (Phi[0] * L[0] + Phi[1] * L[1]) / (Phi[0] + Phi[1]), rtol=1e-13
    )
    for name in ("LET_d", "LET_t"):
        both = np.stack([f.volumes[name].values for f in (A, B)])
        assert (found.volumes[name].values >= both.min(axis=0)).all()
        assert (found.volumes[name].values <= both.max(axis=0)).all()
    assert found.let_definitions == LET


def test_opposing_beams_of_one_plan_give_a_symmetrical_field():
    def mirrored(values):
        return np.flip(values, -1)

    s = A.spectra
    turned = replace(
        without(A, "LET_t"),
        volumes=VolumeSet(
            GRID, {n: replace(v, values=mirrored(v.values)) for n, v in A.volumes.items() if n != "LET_t"}
        ),
        spectra=Spectra(AXES, *(mirrored(x) for x in (s.fluence, s.underflow, s.overflow))),
        beam_sign=-1,
    )
    found = combine([A, turned], [1.0, 1.0], names=NAMES)
    for each in (found.dose, found.spectra.fluence, found.volumes["LET_d"].values, found.tracks):
        np.testing.assert_allclose(each, mirrored(each), rtol=1e-14)
    assert not found.several_directions  # up and down one axis
    assert [beam.direction for beam in found.beams] == [(0.0, 0.0, 1.0), (0.0, 0.0, -1.0)]


def test_the_two_halves_of_a_run_give_the_run():
    halves = [
        replace(
            without(A, "LET_d", "LET_t", "dose_std"),
            volumes=VolumeSet(GRID, {"dose_to_water": Volume(GRID, dose, quantity("dose_to_water"))}),
            spectra=half,
            halves=(),
            halves_dose=(),
        )
        for half, dose in zip(A.halves, A.halves_dose, strict=True)
    ]
    found = combine(halves, [0.5, 0.5], names=NAMES)
    np.testing.assert_allclose(found.dose, (A.halves_dose[0] + A.halves_dose[1]) / 2, rtol=1e-14)
    np.testing.assert_allclose(found.spectra.fluence, (A.halves[0].fluence + A.halves[1].fluence) / 2, rtol=1e-14)
    assert found.halves == ()


def test_fields_on_permuted_and_coarser_grids_meet_on_the_finest():
    # Axes i, j, k of the coarse grid are y, z, x: 15 mm of y, 20 mm of z, 12 mm of x, around the fine one.
    coarse = Grid((3, 4, 2), (5.0, 5.0, 6.0), (-1.0, -1.5, 0.0), ((0, 0, 1.0), (1.0, 0, 0), (0, 1.0, 0)))
    field = make_field(200, coarse, beam=(2, 1))  # along x
    inside = resample_field(field, GRID, "zero")
    whole = Grid((8, 10, 10), GRID.spacing_mm, (-4.0, -4.0, -5.0))
    found = combine([A, field], [1.0, 2.0], names=NAMES, grid=whole)
    assert dose_integral(found) == pytest.approx(dose_integral(A) + 2 * dose_integral(field), rel=1e-12)
    bins = [f.spectra.fluence.sum(axis=(2, 3, 4)) * f.grid.voxel_volume_mm3 for f in (A, field, found)]
    np.testing.assert_allclose(bins[2], bins[0] + 2 * bins[1], rtol=1e-12)
    np.testing.assert_allclose(found.dose[2:6, 2:7, 2:8], A.dose + 2 * inside.dose, rtol=1e-12)
    assert found.several_directions
    assert found.provenance["parts"][0]["border"] > 0.5  # a 4 x 5 x 6 grid is mostly border
    assert found.provenance["parts"][0]["lost"] == 0.0
    assert (found.beam_axis, found.beam_sign) == (0, 1)  # the second has most dose
    np.testing.assert_allclose(found.tracks[2:6, 2:7, 2:8], A.tracks + inside.tracks, rtol=1e-12)


def test_a_field_of_an_oblique_grid_is_added_nearly_exactly():
    c, s = np.cos(np.radians(25.0)), np.sin(np.radians(25.0))
    oblique = Grid((12, 4, 12), (2.0, 2.5, 2.0), (-14.0, 0.0, -4.0), ((c, 0, s), (0, 1.0, 0), (-s, 0, c)))
    whole = Grid((40, 6, 40), (1.5, 2.0, 1.5), (-30.0, -0.25, -25.0))
    field, straight = make_field(200, oblique), make_field(0, Grid((4, 4, 4), (2.0, 2.0, 2.5), (0.0, 1.0, 0.0)))
    found = combine([straight, field], [1.0, 1.0], names=NAMES, grid=whole)
    assert dose_integral(found) == pytest.approx(dose_integral(straight) + dose_integral(field), rel=2e-3)
    parts = found.provenance["parts"]
    assert [part["exact"] for part in parts] == [True, False]
    assert [part["lost"] for part in parts] == pytest.approx([0.0, 0.0], abs=1e-12)
    np.testing.assert_allclose(found.beams[1].direction, (s, 0.0, c), atol=1e-12)
    assert found.several_directions


def test_dose_outside_the_grid_of_the_sum_is_not_lost_silently():
    beyond = make_field(100, replace(GRID, origin_mm=(0.0, 0.0, 2.5)))
    share = beyond.dose[:, :, -1].sum() / beyond.dose.sum()
    with pytest.raises(GridMismatchError, match=rf"{100 * share:.3g} % of the dose of field b lies outside .*--like"):
        combine([A, beyond], [1.0, 1.0], names=NAMES)
    faint = beyond.dose.copy()
    faint[:, :, -1] *= 1e-5
    volumes = {**beyond.volumes, "dose_to_water": Volume(beyond.grid, faint, quantity("dose_to_water"))}
    found = combine([A, replace(beyond, volumes=VolumeSet(beyond.grid, volumes))], [1.0, 1.0], names=NAMES)
    assert 0 < found.provenance["parts"][1]["lost"] < 1e-3


def test_a_species_that_a_field_lacks_counts_as_none():
    carbon = make_field(100, axes=CARBON)
    found = combine([A, carbon], [1.0, 1.0], names=NAMES)
    assert found.spectra.axes.species == ("H", "He", "C")
    np.testing.assert_allclose(found.spectra.fluence[0], A.spectra.fluence[0] + carbon.spectra.fluence[0], rtol=1e-14)
    np.testing.assert_array_equal(found.spectra.fluence[1], A.spectra.fluence[1])
    np.testing.assert_array_equal(found.spectra.fluence[2], carbon.spectra.fluence[1])
    assert any("counts as none" in remark for remark in found.provenance["changes"][0]["remarks"])


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (SpectrumAxes.logarithmic(("H", "He"), n_bins=3, low_mev_u=0.2), "energy bins of H from 0.1 to 500"),
        (SpectrumAxes(("H", "He"), np.array([[1.0, 2.0], [1.0, 2.0]])), "3 and 1 energy bins"),
    ],
)
def test_other_energy_bins_are_refused(axes, message):
    rng = np.random.default_rng(1)
    fluence = rng.uniform(0, 1, (2, axes.n_bins, *GRID.shape))
    other = replace(B, spectra=Spectra(axes, fluence, fluence[:, 0], fluence[:, 0]), halves=(), halves_dose=())
    with pytest.raises(GridMismatchError, match=message):
        combine([A, other], [1.0, 1.0], names=NAMES)


def test_without_spectra_in_one_there_are_none_in_the_sum():
    found = combine([A, bare(B)], [1.0, 1.0], names=NAMES)
    assert type(found) is DoseField
    np.testing.assert_allclose(found.dose, A.dose + B.dose, rtol=1e-14)
    remarks = " ".join(found.provenance["changes"][0]["remarks"])
    assert "only 1 of 2 fields have spectra" in remarks
    assert "LET_t is left out" in remarks
    assert set(found.let_definitions) == {"LET_d", "LET_t"}
    assert found.beams[1].direction is None


def test_halves_and_volumes_that_some_lack_are_left_out_and_said():
    found = combine([A, without(make_field(100, halves=False), "LET_d", "dose_std")], [1.0, 1.0], names=NAMES)
    assert found.halves == found.halves_dose == ()
    assert set(found.volumes) == {"dose_to_water", "LET_t", "tracks"}
    remarks = " ".join(found.provenance["changes"][0]["remarks"])
    for said in ("only 1 of 2 fields have halves", "LET_d is left out: only 1 of 2", "dose_std is left out"):
        assert said in remarks


def test_what_is_of_the_patient_does_not_add():
    found = combine([make_field(0, extra=["density"]), B], [1.0, 1.0], names=NAMES)
    np.testing.assert_array_equal(found.volumes["density"].values, values(5))


def test_beams_keep_what_is_known_of_them():
    beam = Beam(name="old", direction=(0.6, 0.0, 0.8), histories=5, weight=2.0, duration_s=30.0)
    found = combine([replace(A, beams=(beam,)), B], [1.0, 3.0], names=NAMES, times=[(10.0, 60.0), (130.0, 50.0)])
    assert [b.name for b in found.beams] == ["a", "b"]
    assert [b.weight for b in found.beams] == [2.0, 3.0]
    assert [b.histories for b in found.beams] == [5, 1100]
    assert [(b.start_s, b.duration_s) for b in found.beams] == [(0.0, 60.0), (120.0, 50.0)]
    assert found.beams[0].direction == (0.6, 0.0, 0.8)
    untimed = combine([replace(A, beams=(beam,)), B], [1.0, 3.0], names=NAMES)
    assert [(b.start_s, b.duration_s) for b in untimed.beams] == [(None, 30.0), (None, None)]


def test_a_sum_adds_to_another_field_with_all_its_beams():
    both = combine([A, B], [1.0, 2.0], names=NAMES)
    third = make_field(300, beam=(0, 1))
    found = combine([both, third], [0.5, 1.0], names=("both", "c"))
    assert [b.name for b in found.beams] == ["both: a", "both: b", "c"]
    assert [b.weight for b in found.beams] == [0.5, 1.0, 1.0]
    np.testing.assert_allclose(found.beams_dose[1], B.dose, rtol=1e-14)
    np.testing.assert_allclose(found.dose, 0.5 * A.dose + B.dose + third.dose, rtol=1e-14)
    np.testing.assert_allclose(found.tracks, A.tracks + B.tracks + third.tracks, rtol=1e-14)
    with pytest.raises(QuantityError, match="field both has several beams; give times when those"):
        combine([both, third], [1.0, 1.0], names=("both", "c"), times=[(0.0, 1.0), (2.0, 1.0)])
    unknown = replace(both, beams_dose=())
    assert combine([unknown, third], [1.0, 1.0], names=("both", "c")).beams_dose == ()


def test_absolute_fields_give_an_absolute_sum_without_a_prescribed_dose():
    first, second = Prescription(2e-3, "1 Gy at max of the grid", 1.0), Prescription(4e-3, "dose scale 0.004 given")
    fields = [replace(A, prescription=first), replace(B, prescription=second)]
    found = combine(fields, names=NAMES).prescription
    assert found.statement == "sum of a x 1 (1 Gy at max of the grid) and b x 1 (dose scale 0.004 given)"
    assert found.dose_gy is None
    D = [A.dose.sum(), B.dose.sum()]
    assert found.dose_scale == pytest.approx((2e-3 * D[0] + 4e-3 * D[1]) / sum(D), rel=1e-12)
    same = combine([replace(A, prescription=first), replace(B, prescription=first)], names=NAMES)
    assert same.prescription.dose_scale == pytest.approx(2e-3, rel=1e-14)
    np.testing.assert_allclose(same.tracks, (A.tracks + B.tracks) / 2e-3, rtol=1e-12)


def test_fields_of_different_primaries_name_none():
    assert combine([A, replace(B, primary="C")], [1.0, 1.0], names=NAMES).primary is None


def test_the_provenance_lists_the_parts_and_all_runs():
    found = combine([A, B], [1.0, 2.0], names=NAMES).provenance
    assert [run["name"] for run in found["runs"]] == ["run 0", "run 100"]
    assert [part["name"] for part in found["parts"]] == ["a", "b"]
    assert found["parts"][1]["provenance"] == B.provenance
    assert found["parts"][1]["weight"] == 2.0
    assert found["topas_version"] == "4.2"


def redefined(**changes):
    return {**LET, "LET_d": replace(LET["LET_d"], **changes)}


@pytest.mark.parametrize(
    "change", [{"particles": "all"}, {"medium": "local"}, {"restricted": True}, {"max_scored_kev_um": 100.0}]
)
def test_let_of_different_definitions_is_not_mixed(change):
    with pytest.raises(QuantityError, match=f"LET_d of field b has {next(iter(change))} = .* not mixed"):
        combine([A, replace(B, let_definitions=redefined(**change))], [1.0, 1.0], names=NAMES)
    combine([A, replace(B, let_definitions=redefined(source="run b"))], [1.0, 1.0], names=NAMES)
    with pytest.raises(QuantityError, match="LET_d of field b has no definition"):
        combine([A, replace(B, let_definitions={"LET_t": LET["LET_t"]})], [1.0, 1.0], names=NAMES)


def to_medium(field):
    dose = Volume(GRID, field.dose, quantity("dose_to_medium"))
    return replace(field, volumes=VolumeSet(GRID, {"dose_to_medium": dose}))


def no_dose(field):
    dose = Volume(GRID, 0 * field.dose, quantity("dose_to_water"))
    return replace(field, volumes=VolumeSet(GRID, {"dose_to_water": dose}))


@pytest.mark.parametrize(
    ("fields", "options", "error", "message"),
    [
        ([A], {"weights": [1.0], "names": ("a",)}, QuantityError, "two or more fields to combine, found 1"),
        ([A, B], {"weights": [1.0]}, QuantityError, "as many positive weights"),
        ([A, B], {"weights": [1.0, 0.0]}, QuantityError, "positive weights"),
        ([A, B], {"weights": [1.0, float("nan")]}, QuantityError, "positive weights"),
        ([A, B], {"weights": [1.0, 1.0], "names": ("a", "a")}, QuantityError, "different names"),
        ([A, B], {"weights": [1.0, 1.0], "times": [(0.0, 1.0)]}, QuantityError, "starts and durations"),
        ([A, B], {"weights": [1.0, 1.0], "times": [(0.0, 1.0), (1.0, -1.0)]}, QuantityError, "duration_s must be"),
        ([A, B], {}, PrescriptionError, "arbitrary scale .* give their weights"),
        ([A, replace(B, prescription=Prescription(1.0, "x"))], {}, PrescriptionError, "only b have absolute dose"),
        ([A, to_medium(B)], {"weights": [1.0, 1.0]}, QuantityError, "a has dose_to_water, field b dose_to_medium"),
        ([A, no_dose(B)], {"weights": [1.0, 1.0]}, QuantityError, "field b has no dose"),
        ([A, make_field(100, extra=["RBE"])], {"weights": [1.0, 1.0]}, QuantityError, "field b holds RBE: .* not add"),
        ([A, make_field(100, extra=["alpha"])], {"weights": [1.0, 1.0]}, QuantityError, "field b holds alpha"),
    ],
)
def test_fields_that_do_not_go_together_are_refused_in_one_line(fields, options, error, message):
    with pytest.raises(error, match=message) as caught:
        combine(fields, **{"names": NAMES, **options})
    assert "\n" not in str(caught.value)
