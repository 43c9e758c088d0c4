"""Maps by every method: the formulas of the linear-quadratic model, and no answer where there is none."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import AXES, LINE, SHAPE, TABLE, make_field, prescribed

from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.errors import UnknownNameError, ValueRangeError
from surrogate3d.grid import Volume, VolumeSet, quantity
from surrogate3d.inference.curves import CurveMap
from surrogate3d.inference.maps import Fractionation
from surrogate3d.physics.mixing import zr_table
from surrogate3d.pipeline.method_maps import method_maps, of_table
from surrogate3d.validation.baselines import Baseline

FIELD = prescribed(make_field(tracks=400), 4.0)
MASK = FIELD.dose >= 0.3
LADDER = np.array(DOSE_LADDER)
ALPHA = 0.3 + 0.05 * np.indices(SHAPE)[0]
BETA = 0.02 + 0.004 * np.indices(SHAPE)[2]
CHEAP = {"lq": Baseline(ALPHA, BETA, "baseline", 0.0)}


def lq_curves(mask=MASK, alpha=ALPHA, beta=BETA):
    """A surrogate whose survival curves are linear-quadratic."""
    effect = alpha[mask][:, None] * LADDER + beta[mask][:, None] * LADDER**2
    return CurveMap(mask, LADDER, effect, np.full(len(effect), 0.01), np.zeros(mask.shape, bool))


def photon_dose(effect):
    """The root of alpha_x D + beta_x D^2 = effect."""
    return (-LINE.alpha_x + np.sqrt(LINE.alpha_x**2 + 4 * LINE.beta_x * effect)) / (2 * LINE.beta_x)


def by_formula(fractions, fraction_dose):
    d, ratio = FIELD.dose.astype(float) / fractions, LINE.alpha_x / LINE.beta_x
    own = ALPHA * d + BETA * d**2
    x = photon_dose(own)
    reference = photon_dose(ALPHA * fraction_dose + BETA * fraction_dose**2)
    BED = fractions * x * (1 + x / ratio)
    return {
        "D_RBE": fractions * x,
        "RBE": x / d,
        "BED": BED,
        "EQD2": BED / (1 + 2 / ratio),
        "effect": fractions * own,
        "survival": np.exp(-fractions * own),
        "RBE_ref": reference / fraction_dose,
        "alpha": ALPHA,
        "beta": BETA,
    }


@pytest.mark.parametrize(("fractions", "fraction_dose"), [(1, 4.0), (2, 2.0)])
def test_maps_of_linear_quadratic_curves_are_those_of_the_formulas(fractions, fraction_dose):
    """4 Gy at once, or in two fractions; the surrogate's curves and alpha and beta of a cheap method are the same."""
    how, known = Fractionation(fraction_dose, fractions), by_formula(fractions, fraction_dose)
    for name, expected in known.items():
        maps = method_maps(lq_curves(), CHEAP, FIELD, LINE, how, name)
        assert list(maps) == ["surrogate", "lq"]
        for values in maps.values():
            np.testing.assert_allclose(values[MASK], expected[MASK], rtol=2e-6)
            assert np.isnan(values[~MASK]).all()
            assert values.dtype == np.float32


def test_RBE10_of_linear_quadratic_curves_is_that_of_the_formula():
    effect = np.log(10.0)
    dose = (-ALPHA + np.sqrt(ALPHA**2 + 4 * BETA * effect)) / (2 * BETA)
    for values in method_maps(lq_curves(), CHEAP, FIELD, LINE, Fractionation(2.0), "RBE10").values():
        np.testing.assert_allclose(values[MASK], (photon_dose(effect) / dose)[MASK], rtol=1e-5)


def test_the_radiation_of_the_reference_has_an_RBE_of_one_everywhere():
    alpha, beta = np.full(SHAPE, LINE.alpha_x), np.full(SHAPE, LINE.beta_x)
    photons = {"photons": Baseline(alpha, beta, "baseline", 0.0)}
    maps = method_maps(lq_curves(alpha=alpha, beta=beta), photons, FIELD, LINE, Fractionation(4.0), "D_RBE")
    for values in maps.values():
        np.testing.assert_allclose(values[MASK], FIELD.dose[MASK], rtol=2e-6)


def test_a_method_without_an_answer_has_none_and_the_others_keep_theirs():
    holed = ALPHA.copy()
    holed[4, 4, 4] = np.nan
    cheap = {**CHEAP, "holed": Baseline(holed, BETA, "baseline", 0.0)}
    maps = method_maps(lq_curves(), cheap, FIELD, LINE, Fractionation(4.0), "D_RBE")
    assert MASK[4, 4, 4]
    assert np.isnan(maps["holed"][4, 4, 4])
    assert np.isfinite(maps["lq"][4, 4, 4])
    assert np.isfinite(maps["holed"]).sum() == MASK.sum() - 1


def test_a_dose_that_is_not_known_gives_no_weighted_dose():
    dose = FIELD.dose.copy()
    dose[4, 4, 4] = np.nan
    field = replace(
        FIELD, volumes=VolumeSet(FIELD.grid, {"dose_to_water": Volume(FIELD.grid, dose, quantity("dose_to_water"))})
    )
    for values in method_maps(lq_curves(), CHEAP, field, LINE, Fractionation(4.0), "D_RBE").values():
        assert np.isnan(values[4, 4, 4])
        assert np.isfinite(values).sum() == MASK.sum() - 1


def test_maps_at_one_dose_need_no_prescription():
    loose = make_field(tracks=400)
    for name in ("alpha", "RBE_ref"):
        maps = method_maps(lq_curves(), CHEAP, loose, LINE, Fractionation(2.0), name)
        np.testing.assert_allclose(maps["surrogate"][MASK], by_formula(1, 2.0)[name][MASK], rtol=2e-6)


def test_the_table_answers_on_the_spectra_of_its_field_at_its_own_dose():
    alpha, beta = zr_table(AXES, FIELD.spectra.fluence, TABLE)
    dose = FIELD.dose.astype(float)
    weighted = of_table(FIELD, TABLE, MASK, LINE, Fractionation(4.0), "D_RBE")
    np.testing.assert_allclose(weighted[MASK], photon_dose(alpha * dose + beta * dose**2)[MASK], rtol=2e-6)
    np.testing.assert_allclose(
        of_table(FIELD, TABLE, MASK, LINE, Fractionation(4.0), "alpha")[MASK], alpha[MASK], rtol=1e-5
    )
    assert np.isnan(weighted[~MASK]).all()


def test_doses_beyond_the_simulated_ones_are_refused():
    hot = prescribed(make_field(tracks=400), 7.0)  # the ladder ends at 6 Gy
    with pytest.raises(ValueRangeError, match="up to 7 Gy per fraction"):
        method_maps(lq_curves(), CHEAP, hot, LINE, Fractionation(6.0), "D_RBE")
    with pytest.raises(ValueRangeError, match="not at 7 Gy"):
        method_maps(lq_curves(), CHEAP, FIELD, LINE, Fractionation(7.0), "RBE_ref")


def test_what_curves_do_not_tell_is_refused():
    for name in ("mask", "LET_d"):
        with pytest.raises(UnknownNameError, match="unknown map"):
            method_maps(lq_curves(), CHEAP, FIELD, LINE, Fractionation(2.0), name)
