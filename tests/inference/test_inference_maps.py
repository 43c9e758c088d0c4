"""Derived maps, by hand from curves that are known."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import LINE, SHAPE, make_field, prescribed

from surrogate3d.direct.curve import effect_at
from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.errors import PrescriptionError, UnknownNameError, ValueRangeError
from surrogate3d.grid import Prescription
from surrogate3d.inference.curves import CurveMap
from surrogate3d.inference.maps import (
    ALWAYS,
    PRESCRIBED,
    Fractionation,
    derive_maps,
    effect_at_each,
    photon_sensitivity,
)

FIELD = make_field(seed=5)
PRESCRIBED_FIELD = prescribed(FIELD, 6.0)
D = np.array(DOSE_LADDER)
MASK = FIELD.dose > 0.1 * FIELD.dose.max()
N = int(MASK.sum())
ALPHA = np.linspace(0.35, 0.9, N)
BETA = np.linspace(0.06, 0.03, N)
STD = np.linspace(0.01, 0.05, N)


@pytest.fixture(scope="module")
def curves():
    strange = np.zeros(SHAPE, bool)
    strange[tuple(np.argwhere(MASK)[3])] = True
    return CurveMap(MASK, D, ALPHA[:, None] * D + BETA[:, None] * D**2, STD, strange)


def photon_dose(effect):
    """Positive root of beta D^2 + alpha D = E."""
    return (-LINE.alpha_x + np.sqrt(LINE.alpha_x**2 + 4 * LINE.beta_x * effect)) / (2 * LINE.beta_x)


def test_reference_maps_by_hand(curves):
    maps = derive_maps(curves, FIELD, LINE, Fractionation(1.8))
    assert tuple(maps) == ALWAYS
    photon = photon_dose(1.8 * ALPHA + 1.8**2 * BETA)
    D10 = (-ALPHA + np.sqrt(ALPHA**2 + 4 * BETA * np.log(10))) / (2 * BETA)
    expected = {
        "alpha": ALPHA,
        "beta": BETA,
        "RBE_ref": photon / 1.8,
        "RBE10": photon_dose(np.log(10)) / D10,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(maps[name].values[MASK], values, rtol=1e-4, err_msg=name)


def test_the_deviation_of_RBE_is_that_of_the_effect_through_the_photon_curve(curves):
    RBE_std = derive_maps(curves, FIELD, LINE, Fractionation(2.0))["RBE_std"].values[MASK]
    effect = 2 * ALPHA + 4 * BETA
    step = 1e-4
    numeric = (photon_dose(effect * (1 + step)) - photon_dose(effect * (1 - step))) / (2 * step) / 2.0
    np.testing.assert_allclose(RBE_std, numeric * STD, rtol=1e-4)


def test_photon_sensitivity_is_the_slope_of_the_photon_curve():
    dose = np.array([0.1, 1.0, 3.0, 20.0])
    effect = LINE.alpha_x * dose + LINE.beta_x * dose**2
    step = 1e-5
    numeric = np.log(photon_dose(effect * (1 + step)) / photon_dose(effect * (1 - step))) / (2 * step)
    np.testing.assert_allclose(photon_sensitivity(dose, LINE), numeric, rtol=1e-5)
    np.testing.assert_allclose(photon_sensitivity(dose, replace(LINE, beta_x=0.0)), 1.0)


@pytest.mark.parametrize("fractions", [1, 3])
def test_maps_at_the_own_dose_by_hand(curves, fractions):
    maps = derive_maps(curves, PRESCRIBED_FIELD, LINE, Fractionation(6.0 / fractions, fractions))
    assert tuple(maps) == ALWAYS + PRESCRIBED
    d = PRESCRIBED_FIELD.dose[MASK] / fractions  # the field's dose is that of all fractions
    effect = fractions * (ALPHA * d + BETA * d**2)
    photon = fractions * photon_dose(ALPHA * d + BETA * d**2)
    np.testing.assert_allclose(maps["effect"].values[MASK], effect, rtol=1e-5)
    np.testing.assert_allclose(maps["survival"].values[MASK], np.exp(-effect), rtol=1e-5)
    np.testing.assert_allclose(maps["D_RBE"].values[MASK], photon, rtol=1e-5)
    np.testing.assert_allclose(maps["RBE"].values[MASK], photon / (fractions * d), rtol=1e-5)


@pytest.mark.parametrize("fractions", [1, 3])
def test_BED_is_the_effect_over_alpha_x_and_EQD2_follows(curves, fractions):
    maps = derive_maps(curves, PRESCRIBED_FIELD, LINE, Fractionation(6.0 / fractions, fractions))
    BED = maps["effect"].values[MASK].astype(float) / LINE.alpha_x
    np.testing.assert_allclose(maps["BED"].values[MASK], BED, rtol=1e-5)
    two_gray = 2 * LINE.alpha_x + 4 * LINE.beta_x  # effect of one fraction of 2 Gy
    np.testing.assert_allclose(maps["EQD2"].values[MASK], 2 * BED * LINE.alpha_x / two_gray, rtol=1e-5)


def test_outside_the_mask_there_is_no_answer(curves):
    maps = derive_maps(curves, PRESCRIBED_FIELD, LINE, Fractionation(6.0))
    for name, volume in maps.items():
        assert volume.values.dtype == np.float32
        assert volume.quantity.name == name
        if name in ("mask", "out_of_domain"):
            assert np.isfinite(volume.values).all()
        else:
            np.testing.assert_array_equal(np.isnan(volume.values), ~MASK, err_msg=name)
    np.testing.assert_array_equal(maps["mask"].values, MASK)
    np.testing.assert_array_equal(maps["out_of_domain"].values, curves.out_of_domain)


def test_one_map_can_be_asked_for(curves):
    assert tuple(derive_maps(curves, FIELD, LINE, Fractionation(2.0), ("RBE_ref",))) == ("RBE_ref",)
    with pytest.raises(UnknownNameError, match="unknown map 'RBE2'; known: alpha"):
        derive_maps(curves, FIELD, LINE, Fractionation(2.0), ("RBE2",))


@pytest.mark.parametrize("name", PRESCRIBED)
def test_without_prescription_maps_at_the_own_dose_are_refused(curves, name):
    with pytest.raises(PrescriptionError, match=r"arbitrary scale.*--prescribe"):
        derive_maps(curves, FIELD, LINE, Fractionation(2.0), (name,))


@pytest.mark.parametrize("fractionation", [Fractionation(2.0), Fractionation(6.0, 3), Fractionation(2.0, 4)])
def test_fractions_that_contradict_the_prescription_are_refused(curves, fractionation):
    with pytest.raises(PrescriptionError, match=r"prescribed 6 Gy, but \d x "):
        derive_maps(curves, PRESCRIBED_FIELD, LINE, fractionation)
    derive_maps(curves, PRESCRIBED_FIELD, LINE, fractionation, ALWAYS)  # these do not need it


def test_with_a_bare_scale_any_fractionation_goes(curves):
    scaled = replace(PRESCRIBED_FIELD, prescription=Prescription(1.0, "a scale"))
    assert "RBE" in derive_maps(curves, scaled, LINE, Fractionation(2.0, 7))


@pytest.mark.parametrize(("dose", "fractions"), [(0.0, 1), (-1.0, 1), (float("nan"), 1), (2.0, 0)])
def test_impossible_fractionations_are_refused(dose, fractions):
    with pytest.raises(ValueRangeError, match="fraction dose must be positive"):
        Fractionation(dose, fractions)


def test_the_effect_at_each_dose_is_the_effect_at_that_dose():
    """One by one by `direct.curve`, inside, on and beyond the rungs of the ladder, for curves that are not LQ."""
    rng = np.random.default_rng(1)
    effects = np.cumsum(rng.random((60, len(D))), axis=1)
    dose = np.concatenate([rng.uniform(0.01, 9.0, 60 - len(D)), D])
    expected = [effect_at(float(d), D, e) for d, e in zip(dose, effects, strict=True)]
    np.testing.assert_allclose(effect_at_each(dose, D, effects), expected, rtol=1e-12)
    np.testing.assert_allclose(effect_at_each(D, D, effects[-len(D) :]), np.diag(effects[-len(D) :]), rtol=1e-12)
