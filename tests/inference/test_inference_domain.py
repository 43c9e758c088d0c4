"""Whether a model may answer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic import AXES, LET_DEFINITION, LINE, SHAPE, TABLE, make_card, make_field, make_surrogate

from surrogate3d.errors import BundleError
from surrogate3d.grid import Beam, Grid, SpectrumAxes, Volume, VolumeSet, quantity
from surrogate3d.inference.curves import predict_curves
from surrogate3d.inference.domain import CHANNEL_MARGIN, SEVERAL_BEAMS, out_of_domain, require_fit, strangest
from surrogate3d.model.channels import channel_names, channels
from surrogate3d.model.groups import field_inputs

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


def range_of(surrogate, field):
    """(group, channel, i, j, k) channels as the first network sees them."""
    network = surrogate.networks[0]
    found = channels(torch.from_numpy(field_inputs(field, (TABLE,))), surrogate.photon[0, 0])
    mean, std = (x.reshape(1, -1, 1, 1, 1) for x in (network.channel_mean, network.channel_std))
    return (found - mean) / std


def test_the_field_of_the_training_is_in_its_own_domain_and_a_strange_voxel_is_not():
    surrogate = make_surrogate(FIELD)
    z = range_of(surrogate, FIELD).transpose(0, 1).flatten(1)
    low, high = z.amin(dim=1), z.amax(dim=1)
    own = replace(
        surrogate, card=replace(surrogate.card, channel_low=tuple(low.tolist()), channel_high=tuple(high.tolist()))
    )
    inputs = field_inputs(FIELD, (TABLE,))
    assert not out_of_domain(own, inputs, ("H", "He")).any()
    strange = inputs.copy()
    strange[:, 1, 4, 5, 3] *= 1e9  # tracks that no training field had
    found = out_of_domain(own, strange, ("H", "He"))
    assert found[4, 5, 3]
    assert not found[0, 0, 11]
    # What is seen is local: with one channel confined, exactly the voxels beyond its range and margin are flagged.
    n = channel_names().index("log_alpha_total@voxel")
    values = range_of(surrogate, FIELD)[0, n]
    cut = float(values.median())
    confined = tuple(cut if m == n else h for m, h in enumerate(own.card.channel_high))
    flagged = out_of_domain(replace(own, card=replace(own.card, channel_high=confined)), inputs, ("H", "He"))
    np.testing.assert_array_equal(flagged, (values > cut + CHANNEL_MARGIN).numpy())
    assert 0 < flagged.sum() < flagged.size


def test_a_group_of_little_dose_raises_no_alarm():
    surrogate = make_surrogate(FIELD)
    n = channel_names().index("log_fraction@voxel")
    low = tuple(float(range_of(surrogate, FIELD)[0, n].min()) - 0.1 if m == n else -1e6 for m in range(19))
    inputs = field_inputs(FIELD, (TABLE,))
    flagged = out_of_domain(replace(surrogate, card=replace(surrogate.card, channel_low=low)), inputs, ("H", "He"))
    share = inputs[1, 0] / inputs[:, 0].sum(axis=0)
    assert not flagged[share < 0.0099].any()


@pytest.mark.parametrize("primaries", [("C",), ("He", "C")])
def test_a_beam_of_an_unseen_ion_is_out_of_domain_everywhere(primaries):
    surrogate = make_surrogate(FIELD, primaries=primaries)
    assert out_of_domain(surrogate, field_inputs(FIELD, (TABLE,)), ("H", "He")).all()
    found = predict_curves(FIELD, surrogate, LINE)
    np.testing.assert_array_equal(found.out_of_domain, found.mask)


ALONG, ACROSS = Beam(name="a", direction=(0.0, 0.0, 1.0)), Beam(name="b", direction=(0.6, 0.0, 0.8))


def test_where_beams_cross_every_voxel_is_out_of_domain():
    surrogate, inputs = make_surrogate(FIELD), field_inputs(FIELD, (TABLE,))
    assert not out_of_domain(surrogate, inputs, ("H", "He")).any()
    assert out_of_domain(surrogate, inputs, ("H", "He"), several_directions=True).all()
    everywhere = np.ones(inputs.shape[2:], dtype=bool)
    assert strangest(surrogate, inputs, ("H", "He"), everywhere, several_directions=True) == SEVERAL_BEAMS
    assert strangest(surrogate, inputs, ("H", "He"), everywhere) == ""


def test_the_voxel_size_does_not_matter_where_the_network_does_not_answer():
    wide = with_spacing((4.0, 4.0, 4.0))
    require_fit(replace(wide, beams=(ALONG, ACROSS)), CARD, LINE)
    with pytest.raises(BundleError, match="voxels are"):
        require_fit(replace(wide, beams=(ALONG, replace(ALONG, direction=(0.0, 0.0, -1.0)))), CARD, LINE)
