"""Published models on dose and LET_d: the papers' closed forms, and what they must not be asked."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from surrogate3d.direct import let_backends
from surrogate3d.errors import (
    PrescriptionError,
    QuantityError,
    UnknownNameError,
    UnsupportedError,
    ValueRangeError,
)
from surrogate3d.grid import DoseField, Grid, LetDefinition, Prescription, Volume, VolumeSet, quantity
from surrogate3d.inference.maps import PRESCRIBED as MAPS_PRESCRIBED
from surrogate3d.inference.maps import Fractionation
from surrogate3d.inference.published import (
    ALWAYS,
    LARGEST_DOSE_GY,
    LARGEST_LET_D,
    MIN_DOSE_FRACTION,
    PRESCRIBED,
    PUBLICATIONS,
    answered,
    doubts,
    predict_published,
    reduced_metadata,
)
from surrogate3d.io.plans import read_plan
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.rbe import PUBLISHED_MODELS

LINE = cell_line("HSG")
AB = LINE.alpha_x / LINE.beta_x
GRID = Grid((3, 2, 2), (2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
PROTONS = LetDefinition("dose", "protons, primary and secondary", "water", False, None, "made up")
ABSOLUTE = Prescription(1.0, "absolute")
PLANS = Path(__file__).parents[2].parent / "shared" / "data" / "plans"

D = np.linspace(1.0, 6.5, 12).reshape(GRID.shape)
D[0, 0, 0] = 0.01
L = np.linspace(1.0, 12.0, 12).reshape(GRID.shape)
L[0, 0, 1] = np.nan


def make_field(primary="H", definition=PROTONS, prescription=ABSOLUTE, LET=L):
    volumes = {"dose_to_water": D} | ({"LET_d": LET} if LET is not None else {})
    return DoseField(
        grid=GRID,
        volumes=VolumeSet(GRID, {name: Volume(GRID, values, quantity(name)) for name, values in volumes.items()}),
        primary=primary,
        let_definitions={"LET_d": definition} if definition else {},
        prescription=prescription,
    )


def photon_dose(dose, LET, model):
    """Positive root of beta_x X^2 + alpha_x X = E with the alpha and beta of the papers."""
    alpha, beta = {
        "wedenberg": (LINE.alpha_x * (1 + 0.434 * LET / AB), LINE.beta_x),
        "mcnamara": (
            LINE.alpha_x * (0.99064 + 0.35605 * LET / AB),
            LINE.beta_x * (1.1012 - 0.0038703 * np.sqrt(AB) * LET) ** 2,
        ),
        "carabe": (LINE.alpha_x * (0.843 + 0.413644 * LET / AB), LINE.beta_x * (1.09 + 0.01612 * LET / AB) ** 2),
    }[model]
    E = alpha * dose + beta * dose**2
    return (-LINE.alpha_x + np.sqrt(LINE.alpha_x**2 + 4 * LINE.beta_x * E)) / (2 * LINE.beta_x), E


@pytest.mark.parametrize("model", ["wedenberg", "mcnamara", "carabe"])
def test_maps_are_those_of_the_papers(model):
    maps = predict_published(make_field(), model, LINE, Fractionation(2.0, 3))
    assert tuple(maps) == ALWAYS + PRESCRIBED
    mask = maps["mask"].values == 1
    assert not mask[0, 0, 0], "too little dose"
    assert not mask[0, 0, 1], "no LET"
    assert mask.sum() == 10
    d, LET = D[mask] / 3, L[mask]
    X, E = photon_dose(d, LET, model)
    expected = {
        "RBE_ref": photon_dose(2.0, LET, model)[0] / 2,
        "RBE": X / d,
        "D_RBE": 3 * X,
        "BED": 3 * X * (1 + X / AB),
        "EQD2": 3 * X * (1 + X / AB) / (1 + 2 / AB),
        "effect": 3 * E,
        "survival": np.exp(-3 * E),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(maps[name].values[mask], values, rtol=2e-6, err_msg=name)
        assert np.isnan(maps[name].values[~mask]).all()
        assert maps[name].values.dtype == np.float32


def test_a_hand_calculated_voxel():
    # Wedenberg, alpha/beta 5.0894 Gy, LET_d 12 keV/um, 2 Gy: sqrt(ab^2 + 8 ab RBEmax + 16) with RBEmax 2.02330
    found = predict_published(make_field(), "wedenberg", LINE, Fractionation(2.0))["RBE_ref"].values[-1, -1, -1]
    expected = (np.sqrt(25.9023 + 40.71544 * 2.02330 + 16) - 5.08943) / 4
    assert found == pytest.approx(expected, rel=1e-5)


def test_voxels_outside_the_validity_of_the_model_are_flagged_in_a_map():
    back_ends = {"H": let_backends.PROTONS, "He": let_backends.HELIUM}  # of the same models, on spectra
    assert {ion: validity.largest_LET_d for ion, validity in back_ends.items()} == LARGEST_LET_D
    assert {validity.largest_dose for validity in back_ends.values()} == {LARGEST_DOSE_GY}
    field = make_field(LET=np.where(np.isnan(L), np.nan, L + 9.0))
    maps = predict_published(field, "wedenberg", LINE, Fractionation(2.0))
    mask, outside = maps["mask"].values == 1, maps["outside"].values
    np.testing.assert_array_equal(outside[mask], (L[mask] + 9.0 > 20) | (D[mask] > 10))
    assert 0 < outside[mask].sum() < mask.sum()
    assert np.isnan(outside[~mask]).all()


def test_constant_needs_no_let():
    maps = predict_published(make_field(LET=None, definition=None), "constant", LINE, Fractionation(2.0))
    mask = maps["mask"].values == 1
    assert mask.sum() == 11
    np.testing.assert_allclose(maps["D_RBE"].values[mask], 1.1 * D[mask], rtol=1e-6)
    assert doubts(make_field(LET=None, definition=None), "constant", LINE) == ()


def test_maps_are_those_of_the_other_path():
    assert PRESCRIBED == MAPS_PRESCRIBED
    assert set(PUBLICATIONS) == set(PUBLISHED_MODELS)
    assert all("doi" in about.source for name, about in PUBLICATIONS.items() if name != "constant")


def test_without_a_prescription_only_the_reference_dose_is_answered():
    field = make_field(prescription=None)
    assert tuple(predict_published(field, "wedenberg", LINE, Fractionation(2.0))) == ALWAYS
    with pytest.raises(PrescriptionError, match="arbitrary scale"):
        predict_published(field, "wedenberg", LINE, Fractionation(2.0), ("D_RBE",))
    prescribed = make_field(prescription=Prescription(1.0, "6 Gy", 6.0))
    with pytest.raises(PrescriptionError, match="prescribed 6 Gy"):
        predict_published(prescribed, "wedenberg", LINE, Fractionation(2.0))
    assert tuple(predict_published(prescribed, "wedenberg", LINE, Fractionation(2.0, 3), ("BED",))) == ("BED",)


def test_unknown_names_are_refused():
    with pytest.raises(UnknownNameError, match="unknown published model 'mcnamarra'; known: constant"):
        predict_published(make_field(), "mcnamarra", LINE, Fractionation(2.0))
    with pytest.raises(UnknownNameError, match="no map 'alpha' from a published model"):
        predict_published(make_field(), "wedenberg", LINE, Fractionation(2.0), ("alpha",))


def test_a_model_answers_only_for_its_ion():
    with pytest.raises(UnsupportedError, match="LET_d alone says little"):
        predict_published(make_field("C"), "wedenberg", LINE, Fractionation(2.0))
    with pytest.raises(UnsupportedError, match="for protons, the beam is of C"):
        predict_published(make_field("C"), "constant", LINE, Fractionation(2.0))
    with pytest.raises(UnsupportedError, match="for helium, the beam is of H"):
        predict_published(make_field(), "mairani", LINE, Fractionation(2.0))
    with pytest.raises(UnsupportedError, match="does not say which particles"):
        predict_published(make_field(None), "wedenberg", LINE, Fractionation(2.0))
    helium = make_field("He", replace(PROTONS, particles="helium ions"))
    assert "fitted to LET_d of helium" in doubts(helium, "mairani", LINE)[0]
    with pytest.raises(QuantityError, match="LET is of protons"):
        predict_published(make_field("He"), "mairani", LINE, Fractionation(2.0))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weighting": "track"}, "track-averaged"),
        ({"restricted": True}, "restricted"),
        ({"particles": "all charged particles"}, "of all charged particles"),
        ({"particles": "H, He, all isotopes, primary and secondary"}, "of H, He"),
    ],
)
def test_another_let_is_refused(change, words):
    with pytest.raises(QuantityError, match=words):
        predict_published(make_field(definition=replace(PROTONS, **change)), "wedenberg", LINE, Fractionation(2.0))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"particles": "protons with deuterons and alphas where they were simulated"}, "deuterons and alphas"),
        ({"particles": "those of the base data"}, "of those of the base data"),
        ({"medium": "local medium, linear"}, "in bone and lung"),
        ({"source": "tool; the cut it does not state"}, "does not state"),
    ],
)
def test_a_let_that_may_differ_is_remarked_on(change, words):
    assert doubts(make_field(), "wedenberg", LINE) == ()
    (remark,) = doubts(make_field(definition=replace(PROTONS, **change)), "wedenberg", LINE)
    assert words in remark


def test_protons_of_every_isotope_are_protons_enough():
    definition = replace(PROTONS, particles="H, all isotopes, primary and secondary")
    assert doubts(make_field(definition=definition), "wedenberg", LINE) == ()


def test_a_let_beyond_the_data_is_remarked_on():
    (remark,) = doubts(make_field(LET=3 * L), "wedenberg", LINE)
    assert "6 of 10 voxels have LET_d above 20 keV/um, up to 36" in remark


def test_a_dose_beyond_any_model_is_a_wrong_scale():
    field = make_field()
    scaled = replace(field.volumes["dose_to_water"], values=100 * D)
    volumes = VolumeSet(GRID, {**field.volumes, "dose_to_water": scaled})
    with pytest.raises(ValueRangeError, match=r"largest dose is 650 Gy per fraction.*check the dose scale"):
        predict_published(replace(field, volumes=volumes), "wedenberg", LINE, Fractionation(2.0, 1))


def test_what_is_missing_is_refused():
    with pytest.raises(QuantityError, match="needs LET_d"):
        predict_published(make_field(LET=None), "wedenberg", LINE, Fractionation(2.0))
    with pytest.raises(QuantityError, match="needs LET_d with its definition"):
        predict_published(make_field(definition=None), "wedenberg", LINE, Fractionation(2.0))
    with pytest.raises(ValueRangeError, match="beta_x = 0"):
        predict_published(make_field(), "wedenberg", replace(LINE, beta_x=0.0), Fractionation(2.0))
    with pytest.raises(ValueRangeError, match="nothing to predict"):
        predict_published(make_field(LET=np.full(GRID.shape, np.nan)), "wedenberg", LINE, Fractionation(2.0))


def test_the_maps_stand_under_their_inputs():
    about = reduced_metadata(make_field(), "wedenberg", LINE)
    assert about["inputs"] == "dose and LET_d (reduced input, no spectra)"
    assert "10.3109/0284186X.2012.705892" in about["model"]["source"]
    assert about["let_definition"]["particles"] == PROTONS.particles
    assert reduced_metadata(make_field(), "constant", LINE)["let_definition"] is None


def test_no_network_library_is_loaded_for_a_formula():
    program = "import sys, surrogate3d.inference.published; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_the_real_plan_of_protons():
    if not PLANS.is_dir():
        pytest.skip("the plans of other systems are not beside the repository")
    field = read_plan(PLANS / "pyradplan", name="protons", primary="H", dose_medium="water")
    maps = predict_published(field, "wedenberg", LINE, Fractionation(2.0))
    mask = answered(field, "wedenberg")
    assert mask.sum() == (field.dose >= MIN_DOSE_FRACTION * field.dose.max()).sum()
    ratio = maps["D_RBE"].values[mask] / field.dose[mask]
    assert ratio.min() > 1.0
    assert ratio.max() < 2.0
    LET = field.volumes["LET_d"].values[mask].astype(float)
    X, _ = photon_dose(field.dose[mask].astype(float), LET, "wedenberg")
    np.testing.assert_allclose(maps["D_RBE"].values[mask], X, rtol=2e-6)
    fixed = predict_published(field, "constant", LINE, Fractionation(2.0), ("D_RBE",))["D_RBE"].values
    inside = np.isfinite(fixed)
    np.testing.assert_allclose(fixed[inside], 1.1 * field.dose[inside], rtol=1e-6)
