"""Whether a model may answer."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import AXES, LET_DEFINITION, LINE, SHAPE, make_card, make_field, prescribed

from surrogate3d.errors import BundleError
from surrogate3d.grid import Beam, Grid, SpectrumAxes, Volume, VolumeSet, quantity
from surrogate3d.inference.domain import (
    SEVERAL_BEAMS,
    UNKNOWN_BEAM,
    line_outside,
    require_fit,
    unknown_because,
)
from surrogate3d.inference.spectrum_distance import field_features
from surrogate3d.inference.spectrum_domain import SpectrumDomain

FIELD = make_field(seed=5)
CARD = make_card(FIELD)


def with_spacing(spacing_mm, beam_axis=2):
    grid = Grid(SHAPE, spacing_mm, (0.0, 0.0, 0.0))
    dose = Volume(grid, FIELD.dose, quantity("dose_to_water"))
    return replace(FIELD, grid=grid, volumes=VolumeSet(grid, {"dose_to_water": dose}), beam_axis=beam_axis)


def to_medium():
    return replace(
        FIELD,
        volumes=VolumeSet(FIELD.grid, {"dose_to_medium": Volume(FIELD.grid, FIELD.dose, quantity("dose_to_medium"))}),
    )


def test_the_field_of_the_training_fits():
    require_fit(FIELD, CARD, LINE)


@pytest.mark.parametrize(
    ("field", "message"),
    [
        (make_field(axes=SpectrumAxes(("H", "He", "C"), AXES.edges_mev_u[[0, 0, 0]])), r"H\+He\+C, .* on H\+He$"),
        (
            make_field(axes=SpectrumAxes(("H", "He"), AXES.edges_mev_u * 1.01)),
            "12 logarithmic ones from 0.5 to 250 MeV/u",
        ),
        (make_field(axes=SpectrumAxes(("H", "He"), AXES.edges_mev_u[:, ::2])), "energy bins"),
        (with_spacing((1.0, 2.0, 2.5)), r"\[1.0, 2.0, 2.5\] mm"),
        (with_spacing((2.0, 2.0, 5.0)), r"\[2.0, 2.0, 5.0\] mm .*along the beam"),
        (with_spacing((2.0, 2.0, 4.0), beam_axis=0), r"\[2.0, 4.0, 2.0\] mm"),
        (to_medium(), "has dose_to_medium, the model was trained with dose_to_water"),
        *(
            (replace(FIELD, let_definitions={"LET_d": replace(LET_DEFINITION, **{key: value})}), f"LET_d .*{key} = ")
            for key, value in {
                "weighting": "track",
                "particles": "all",
                "medium": "local",
                "restricted": True,
                "max_scored_kev_um": 100.0,
            }.items()
        ),
    ],
)
def test_a_field_that_does_not_fit_is_refused_in_one_line(field, message):
    with pytest.raises(BundleError, match=message) as caught:
        require_fit(field, CARD, LINE)
    assert "\n" not in str(caught.value)


def scaled(field, factor):
    """The same spectra in another scale, without a record of it."""
    return replace(field, spectra=replace(field.spectra, fluence=field.spectra.fluence * np.float32(factor)))


@pytest.mark.parametrize(
    ("factor", "message"),
    [
        (1 / FIELD.histories, r"busiest voxel has 0\.\d+ tracks .* per history"),
        (1e3, "tracks of 4,000 histories: the fluence was scaled"),
    ],
)
def test_fluence_that_is_no_sum_over_the_histories_is_refused(factor, message):
    with pytest.raises(BundleError, match=message) as caught:
        require_fit(scaled(FIELD, factor), CARD, LINE)
    assert "\n" not in str(caught.value)


def test_a_recorded_scale_and_unknown_histories_are_no_fault():
    require_fit(prescribed(FIELD, 2.0), CARD, LINE)
    require_fit(scaled(replace(FIELD, histories=0), 1e3), CARD, LINE)


TRAINED_LINES = (("HSG", 0.3, 0.06), ("V79", 0.1, 0.05))


@pytest.mark.parametrize(
    ("alpha_x", "beta_x", "reason"),
    [
        (0.2, 0.055, ""),
        (0.3, 0.06, ""),  # one that was trained on
        (0.1, 0.05, ""),
        (0.4, 0.06, "alpha_x of new is 0.4 1/Gy, outside 0.1 to 0.3 1/Gy of the cell lines trained on (HSG, V79)"),
        (0.2, 0.03, "beta_x of new is 0.03 1/Gy^2, outside 0.05 to 0.06 1/Gy^2"),
        (0.1, 0.06, "alpha_x / beta_x of new is 1.667 Gy, outside 2 to 5 Gy"),
        (0.2, 0.0, "beta_x of new is 0 1/Gy^2"),
    ],
)
def test_a_line_beyond_those_trained_on_is_told_with_the_reason(alpha_x, beta_x, reason):
    line = replace(LINE, name="new", alpha_x=alpha_x, beta_x=beta_x)
    found = line_outside(TRAINED_LINES, line)
    assert found.startswith(reason)
    assert bool(found) == bool(reason)


def test_of_one_trained_line_every_other_is_outside():
    assert line_outside(TRAINED_LINES[:1], replace(LINE, alpha_x=0.3, beta_x=0.06)) == ""
    assert line_outside(TRAINED_LINES[:1], replace(LINE, alpha_x=0.31, beta_x=0.06))
    assert line_outside((("other", 0.3, 0.0),), replace(LINE, alpha_x=0.3, beta_x=0.06)).startswith("beta_x")


EVERYWHERE = np.ones(SHAPE, dtype=bool)
KNOWN = FIELD.spectra.fluence.any(axis=(0, 1))
SPECTRA = SpectrumDomain.fit([field_features(make_field(), EVERYWHERE)], [field_features(FIELD, KNOWN)])


def test_spectra_of_the_training_are_inside_and_others_are_not():
    assert (SPECTRA.score(FIELD, KNOWN)[KNOWN] > SPECTRA.threshold).mean() < 0.05
    fluence = FIELD.spectra.fluence.copy()
    fluence[0, :, 2:7, 2:7, 3] = np.roll(fluence[0, :, 2:7, 2:7, 3], -4, axis=0)
    strange = replace(FIELD, spectra=replace(FIELD.spectra, fluence=fluence))
    outside = KNOWN & (SPECTRA.score(strange, KNOWN) > SPECTRA.threshold)
    assert outside[4, 4, 3]
    assert SPECTRA.strangest(strange, outside) == "H"


def test_only_voxels_that_are_asked_for_are_judged_and_one_without_a_spectrum_has_no_score():
    fluence = FIELD.spectra.fluence.copy()
    fluence[:, :, 1, 1, 1] = 0
    mask = np.zeros(SHAPE, dtype=bool)
    mask[1, 1, :3] = True
    score = SPECTRA.score(replace(FIELD, spectra=replace(FIELD.spectra, fluence=fluence)), mask)
    assert np.isnan(score[1, 1, 1])
    assert np.isnan(score[~mask]).all()


def test_why_networks_know_nothing_of_a_field():
    assert unknown_because(FIELD, ("H",), "H") == ""
    assert unknown_because(FIELD, ("He", "C"), "H") == UNKNOWN_BEAM
    assert unknown_because(replace(FIELD, beams=(ALONG, ACROSS)), ("H",), "H") == SEVERAL_BEAMS


@pytest.mark.parametrize("change", [{"alpha_x": 0.2}, {"beta_x": 0.1}])
def test_another_photon_reference_is_refused(change):
    with pytest.raises(BundleError, match="photon reference"):
        require_fit(FIELD, CARD, replace(LINE, **change))


@pytest.mark.parametrize(
    "field",
    [
        with_spacing((2.4, 1.6, 2.0)),  # within a quarter
        with_spacing((2.0, 2.5, 2.0), beam_axis=1),  # the beam runs along the other spacing
        replace(FIELD, let_definitions={"LET_d": replace(LET_DEFINITION, source="another file")}),
        replace(FIELD, let_definitions={}),
        make_field(axes=SpectrumAxes(("H", "He"), AXES.edges_mev_u * (1 + 1e-6))),
    ],
)
def test_what_makes_no_difference_is_accepted(field):
    require_fit(field, CARD, LINE)


def test_any_of_several_training_sets_will_do():
    card = replace(CARD, species_sets=(("C",), ("H", "He")), spacing_mm=((9.0, 9.0, 9.0), *CARD.spacing_mm))
    require_fit(FIELD, card, LINE)


ALONG, ACROSS = Beam(name="a", direction=(0.0, 0.0, 1.0)), Beam(name="b", direction=(0.6, 0.0, 0.8))


def test_the_voxel_size_does_not_matter_where_the_network_does_not_answer():
    wide = with_spacing((4.0, 4.0, 4.0))
    require_fit(replace(wide, beams=(ALONG, ACROSS)), CARD, LINE)
    with pytest.raises(BundleError, match="voxels are"):
        require_fit(replace(wide, beams=(ALONG, replace(ALONG, direction=(0.0, 0.0, -1.0)))), CARD, LINE)
