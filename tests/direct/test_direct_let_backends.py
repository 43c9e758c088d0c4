from dataclasses import replace

import numpy as np
import pytest

from surrogate3d.direct.let_backends import LET_MODELS
from surrogate3d.direct.simulator import BACKENDS
from surrogate3d.errors import UnsupportedError
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.linear_quadratic import RBE_at_dose
from surrogate3d.physics.rbe import OWN_REFERENCE_MODELS
from surrogate3d.physics.stopping_power import stopping_power


def of_line(name):
    return "chordoma" if name in OWN_REFERENCE_MODELS else "HSG"  # chordoma has their alpha_x of 0.1 1/Gy


@pytest.mark.parametrize("name", LET_MODELS)
def test_RBE_along_the_curve_is_that_of_the_model(name, mono):
    line, ion = cell_line(of_line(name)), 2 if name == "mairani" else 1
    (found,) = BACKENDS[name].simulate([mono(ion, 10.0, (line.name,))])
    LET = float(stopping_power(ion, 10.0))
    expected = LET_MODELS[name](found.doses, LET, line.alpha_x, line.beta_x)
    RBE = RBE_at_dose(found.doses, found.effect, line.alpha_x, line.beta_x)
    np.testing.assert_allclose(RBE, expected, rtol=1e-6)
    assert found.RBE_ref == pytest.approx(expected[found.doses.index(2.0)], rel=1e-6)
    assert found.outside == ""


@pytest.mark.parametrize(
    ("name", "RBEmax", "RBEmin"),  # functions of L / ab and of sqrt(ab) L, as printed in the papers
    [
        ("mcnamara", lambda x, _: 0.99064 + 0.35605 * x, lambda _, y: 1.1012 - 0.0038703 * y),
        ("wedenberg", lambda x, _: 1 + 0.434 * x, lambda *_: 1.0),
        ("carabe", lambda x, _: 0.843 + 0.154 * 2.686 * x, lambda x, _: 1.09 + 0.006 * 2.686 * x),
        ("rorvik", lambda x, _: 1 + 0.645 * x, lambda *_: 1.0),
    ],
)
def test_alpha_and_beta_are_those_of_the_published_limits(name, RBEmax, RBEmin, mono):
    line, L = cell_line("HSG"), float(stopping_power(1, 10.0))
    ab = line.alpha_x / line.beta_x
    (found,) = BACKENDS[name].simulate([mono(1, 10.0)])
    assert found.alpha == pytest.approx(line.alpha_x * RBEmax(L / ab, np.sqrt(ab) * L), rel=1e-5)
    assert found.beta == pytest.approx(line.beta_x * RBEmin(L / ab, np.sqrt(ab) * L) ** 2, rel=1e-5)


def test_LET_d_of_a_mixed_voxel_is_that_of_the_protons(mixed):
    task = mixed()
    task = replace(task, fluence=task.fluence * np.array([[30.0], [1.0], [1.0]]))  # two thirds of the dose
    protons = replace(task, fluence=task.fluence * np.array([[1.0], [0.0], [0.0]]))
    (all_ions,), (alone,) = (BACKENDS["wedenberg"].simulate([t]) for t in (task, protons))
    assert all_ions.effect == pytest.approx(alone.effect, rel=1e-6)
    assert "ions other than H" in all_ions.outside
    assert alone.outside == ""


def test_high_LET_is_flagged_and_still_answered(mono):
    (found,) = BACKENDS["mcnamara"].simulate([mono(1, 1.0)])
    assert found.outside == "LET_d above 20 keV/um"
    assert np.isfinite(found.RBE_ref)


def test_without_the_ion_of_the_model_there_is_no_answer(mono):
    with pytest.raises(UnsupportedError, match="mcnamara is for H, and only 0 % of the dose is of that"):
        BACKENDS["mcnamara"].simulate([mono(6, 100.0)])
    (found,) = BACKENDS["constant"].simulate([mono(6, 100.0)])
    assert found.RBE_ref == pytest.approx(1.1)
    assert found.outside == "more than 5 % of the dose from ions other than H"


def test_models_with_their_own_photon_reference_refuse_others(mono):
    for name in OWN_REFERENCE_MODELS:
        with pytest.raises(UnsupportedError, match="alpha_x"):
            BACKENDS[name].simulate([mono(1, 10.0)])
    line = replace(cell_line("HSG"), beta_x=0.0)
    with pytest.raises(UnsupportedError, match="beta_x = 0"):
        BACKENDS["mcnamara"].parameters(line)


def test_every_model_is_a_back_end():
    assert set(LET_MODELS) <= set(BACKENDS)
