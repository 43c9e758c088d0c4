"""What parts of lesions got, against numbers by hand, sorted lists of small cubes, and formulas written out."""

import json
import math

import numpy as np
import pytest

from surrogate3d.errors import GridMismatchError, QuantityError, ValueRangeError
from surrogate3d.grid import Grid, Lesion, Volume, quantity
from surrogate3d.response.delivered import delivered, delivered_to_all
from surrogate3d.response.lesion_part import PhotonCurve

IMAGE = Grid((12, 12, 12), (1.0, 1.0, 1.0), (0.5, 0.5, 0.5))
DOSE = Grid((6, 6, 6), (2.0, 2.0, 2.0), (1.0, 1.0, 1.0))
NAMES = {"dose": "dose_to_water", "D_RBE": "D_RBE", "LET_d": "LET_d", "survival": "survival"}


def lesion_of(mask, image=IMAGE, grid=DOSE, name="L1", transform=None, **values):
    volumes = {key: Volume(grid, np.asarray(each, float), quantity(NAMES[key])) for key, each in values.items()}
    signal = Volume(image, np.zeros(image.shape), quantity("image_signal"))
    return Lesion("P1", name, signal, mask, volumes, image_to_dose=transform)


def box(*parts):
    mask = np.zeros(IMAGE.shape, dtype=bool)
    mask[tuple(slice(*part) for part in parts)] = True
    return mask


WHOLE, HALF = box((2, 10), (2, 10), (2, 10)), box((2, 6), (2, 10), (2, 10))


def test_a_lesion_of_two_halves_has_the_doses_of_both():
    dose = np.where(np.arange(6) < 3, 20.0, 12.0)[:, None, None] * np.ones((1, 6, 6))
    found = delivered(lesion_of(WHOLE, dose=dose), HALF)
    assert (found.inside.voxels, found.inside.volume_cm3, found.inside.dose_voxels) == (256, 0.256, 32)
    assert (found.whole.voxels, found.whole.known) == (512, pytest.approx(1))
    assert vars(found.inside.dose) == pytest.approx({"mean": 20, "D2": 20, "D50": 20, "D98": 20})
    assert vars(found.outside.dose) == pytest.approx({"mean": 12, "D2": 12, "D50": 12, "D98": 12})
    assert vars(found.whole.dose) == pytest.approx({"mean": 16, "D2": 20, "D50": 20, "D98": 12})
    assert found.difference["dose"] == pytest.approx({"mean": 8, "D2": 8, "D50": 8, "D98": 8})
    assert found.notes == ()


def test_voxels_count_by_the_fraction_that_lies_in_the_part():
    """Twin: the dose of each image voxel, all of one size, sorted from the highest."""
    rng = np.random.default_rng(1)
    dose, mask = rng.uniform(5, 30, DOSE.shape), rng.random(IMAGE.shape) < 0.4
    region = mask & (rng.random(IMAGE.shape) < 0.5)
    found = delivered(lesion_of(mask, dose=dose), region)
    fine = dose.repeat(2, 0).repeat(2, 1).repeat(2, 2)
    for part, voxels in ((found.inside, region), (found.outside, mask & ~region), (found.whole, mask)):
        sorted_dose = np.sort(fine[voxels])[::-1]
        assert part.dose.mean == pytest.approx(sorted_dose.mean())
        for percent in (2, 50, 98):
            reached = sorted_dose[math.ceil(percent / 100 * sorted_dose.size) - 1]
            assert getattr(part.dose, f"D{percent}") == pytest.approx(reached)


def test_LET_is_weighted_by_dose():
    rng = np.random.default_rng(2)
    dose, LET = rng.uniform(1, 20, DOSE.shape), rng.uniform(1, 12, DOSE.shape)
    found = delivered(lesion_of(WHOLE, dose=dose, LET_d=LET), HALF)
    inside = np.s_[1:3, 1:5, 1:5]
    assert found.inside.LET_d == pytest.approx((dose * LET)[inside].sum() / dose[inside].sum())
    assert math.isnan(delivered(lesion_of(WHOLE, D_RBE=dose, LET_d=LET), HALF).inside.LET_d)


def test_LET_on_a_grid_of_its_own_takes_the_mean_dose_of_its_voxels():
    rng = np.random.default_rng(3)
    coarse = Grid((3, 3, 3), (4.0, 4.0, 4.0), (2.0, 2.0, 2.0))
    dose, LET = rng.uniform(1, 20, DOSE.shape), rng.uniform(1, 12, coarse.shape)
    lesion = lesion_of(np.ones(IMAGE.shape, bool), dose=dose)
    volumes = {**lesion.delivered, "LET_d": Volume(coarse, LET, quantity("LET_d"))}
    lesion = Lesion("P1", "L1", lesion.image, lesion.mask, volumes)
    mean_dose = dose.reshape(3, 2, 3, 2, 3, 2).mean(axis=(1, 3, 5))
    found = delivered(lesion, box((0, 4), (0, 12), (0, 12)))
    assert found.inside.LET_d == pytest.approx((mean_dose * LET)[0].sum() / mean_dose[0].sum())


def test_survival_follows_from_D_RBE_in_equal_fractions():
    """S = exp(-n (alpha_x d + beta_x d^2)) of d = D_RBE / n, averaged over the voxels."""
    D_RBE = np.random.default_rng(4).uniform(4, 12, DOSE.shape)
    found = delivered(lesion_of(WHOLE, D_RBE=D_RBE), HALF, PhotonCurve(0.2, 0.03, 4))
    d = D_RBE / 4
    expected = (np.exp(-(0.2 * d + 0.03 * d**2)) ** 4)[1:3, 1:5, 1:5].mean()
    assert found.inside.survival == pytest.approx(expected)
    assert found.inside.log10_survival == pytest.approx(math.log10(expected))
    assert math.isnan(delivered(lesion_of(WHOLE, D_RBE=D_RBE), HALF).inside.survival)


def test_survival_of_a_map_is_its_mean_and_comes_before_that_of_D_RBE():
    S = np.random.default_rng(5).uniform(1e-6, 1e-2, DOSE.shape)
    found = delivered(lesion_of(WHOLE, D_RBE=np.full(DOSE.shape, 9.0), survival=S), HALF, PhotonCurve(0.2, 0.03, 4))
    assert found.inside.survival == pytest.approx(S[1:3, 1:5, 1:5].mean())


def test_survival_too_small_for_a_number_keeps_its_logarithm():
    """40 fractions of 20 Gy: -ln S = 40 (0.3 20 + 0.05 400) = 1040."""
    found = delivered(lesion_of(WHOLE, D_RBE=np.full(DOSE.shape, 800.0)), HALF, PhotonCurve(0.3, 0.05, 40))
    assert found.inside.survival == 0
    assert found.inside.log10_survival == pytest.approx(-1040 / math.log(10))
    assert found.difference["log10_survival"] == pytest.approx(0)


def test_what_is_not_known_is_left_out_and_said():
    dose = np.full(DOSE.shape, 10.0)
    dose[1] = np.nan
    found = delivered(lesion_of(WHOLE, dose=dose), HALF)
    assert found.inside.dose.mean == pytest.approx(10)
    assert (found.inside.known, found.whole.known, found.inside.dose_voxels) == (0.5, 0.75, 16)
    assert found.notes == ("dose is not known in 25 % of the lesion, which is left out of its numbers",)


def test_a_lesion_that_reaches_beyond_its_dose_is_said():
    grid = Grid((3, 6, 6), (2.0, 2.0, 2.0), (1.0, 1.0, 1.0))
    found = delivered(lesion_of(WHOLE, grid=grid, dose=np.full(grid.shape, 10.0)), HALF)
    assert (found.inside.known, found.outside.known) == (pytest.approx(1), pytest.approx(0))
    assert math.isnan(found.outside.dose.mean)
    assert "50 %" in found.notes[0]
    assert found.difference["dose"]["mean"] is None


@pytest.mark.parametrize(("region", "empty"), [(np.zeros(IMAGE.shape, bool), "inside"), (WHOLE, "outside")])
def test_a_side_without_voxels_has_no_numbers(region, empty):
    found = delivered(lesion_of(WHOLE, dose=np.full(DOSE.shape, 10.0)), region)
    assert getattr(found, empty).voxels == 0
    assert math.isnan(getattr(found, empty).dose.mean)
    assert found.notes == (f"no voxels {empty}, so there is nothing to compare",)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))[empty]["dose"]["mean"] is None


def test_a_stated_transform_leads_from_the_image_to_the_dose():
    """A quarter turn about z and a shift: the same numbers as for a dose that was turned by hand."""
    dose = np.random.default_rng(6).uniform(5, 30, DOSE.shape)
    turn = np.array([[0, -1, 0, 100], [1, 0, 0, -20], [0, 0, 1, 7], [0, 0, 0, 1]], dtype=float)
    corner = turn @ [*DOSE.origin_mm, 1]
    rows = tuple(tuple(float(x) for x in row[:3]) for row in turn[:3])
    elsewhere = Grid(DOSE.shape, DOSE.spacing_mm, tuple(corner[:3]), rows)
    there = delivered(lesion_of(WHOLE, grid=elsewhere, transform=turn, dose=dose), HALF)
    here = delivered(lesion_of(WHOLE, dose=dose), HALF)
    assert vars(there.inside.dose) == pytest.approx(vars(here.inside.dose))


def test_lesions_without_a_dose_are_left_out_by_name_and_the_others_go_on():
    good = lesion_of(WHOLE, dose=np.full(DOSE.shape, 10.0))
    bare = lesion_of(WHOLE, name="L2", LET_d=np.full(DOSE.shape, 3.0))
    blank = lesion_of(WHOLE, name="L3", dose=np.full(DOSE.shape, np.nan))
    far = Grid((6, 6, 6), (2.0, 2.0, 2.0), (900.0, 0.0, 0.0))
    away = lesion_of(WHOLE, name="L4", grid=far, dose=np.full(DOSE.shape, 10.0))
    found, notes = delivered_to_all([bare, good, blank, away], [HALF] * 4)
    assert [each.lesion for each in found] == ["L1"]
    assert [note.split(" is left out: ")[0] for note in notes] == [
        f"patient P1, lesion {name}" for name in ("L2", "L3", "L4")
    ]
    assert "neither dose nor D_RBE" in notes[0]
    assert "not known in any" in notes[1]
    assert "do not touch" in notes[2]


def test_a_lesion_without_a_dose_is_refused():
    with pytest.raises(QuantityError, match="patient P1, lesion L1: neither dose nor D_RBE"):
        delivered(lesion_of(WHOLE), HALF)


@pytest.mark.parametrize(
    ("region", "dose", "error", "words"),
    [
        (np.zeros((2, 2, 2), bool), 1.0, GridMismatchError, "shape"),
        (np.ones(IMAGE.shape, bool), 1.0, ValueRangeError, "1216 voxels of the region lie outside"),
        (HALF, -1.0, ValueRangeError, "negative"),
    ],
)
def test_regions_and_doses_that_cannot_be_are_refused(region, dose, error, words):
    with pytest.raises(error, match=words):
        delivered(lesion_of(WHOLE, dose=np.full(DOSE.shape, dose)), region)


@pytest.mark.parametrize("curve", [(-0.1, 0.02, 5), (0, 0, 5), (0.1, math.nan, 5), (0.1, 0.02, 0)])
def test_a_curve_that_cannot_be_is_refused(curve):
    with pytest.raises(ValueRangeError, match="survival needs"):
        PhotonCurve(*curve)
