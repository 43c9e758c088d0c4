"""From pairs of runs to a model that says what it is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic import AXES, LET_DEFINITION, LINE, make_field, reoriented, table_responses

from surrogate3d.errors import QuantityError, ValueRangeError
from surrogate3d.grid import Beam, SpectrumAxes, Volume, VolumeSet, quantity
from surrogate3d.grid.combine import combine
from surrogate3d.grid.resample import crop_field, regridded, resample_field
from surrogate3d.inference.curves import predict_curves
from surrogate3d.inference.domain import require_fit
from surrogate3d.model.bundle import load_bundle, save_bundle
from surrogate3d.model.channels import channel_names
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.pipeline.training import PlanPair, scored_runs, train, trained_on
from surrogate3d.training.loop import TrainConfig

CONFIG = TrainConfig(steps=4, members=2, width=4, blocks=1, threads=1, copies=1, tracks_levels=(50.0,))
LOW = make_field(seed=1, tracks=60, files=("low",))
HIGH = make_field(seed=2, tracks=4000, files=("high", "shared"))
VOXELS = [(4, 5, 2), (3, 4, 7), (5, 3, 4), (4, 4, 6), (2, 4, 3)]


def pair(low=LOW, high=HIGH, voxels=VOXELS, name="one"):
    return PlanPair(f"{name} low", low, f"{name} high", high, table_responses(high, voxels, f"{name} high"))


def with_dose(field, name):
    return replace(field, volumes=VolumeSet(field.grid, {name: Volume(field.grid, field.dose, quantity(name))}))


def with_let(field, **changes):
    return replace(field, let_definitions={"LET_d": replace(LET_DEFINITION, **changes)})


@pytest.fixture(scope="module")
def surrogate():
    return train([pair()], ["HSG"], CONFIG, seed=1)


def test_the_card_says_what_the_model_was_made_from(surrogate):
    card = surrogate.card
    assert card.cell_lines == ((LINE.name, LINE.alpha_x, LINE.beta_x),)
    assert card.species_sets == (("H", "He"),)
    assert card.primaries == ("H",)
    assert card.spacing_mm == ((2.0, 2.0, 2.5),)
    assert card.dose_name == "dose_to_water"
    assert card.channels == channel_names()
    np.testing.assert_allclose(card.edges_mev_u["He"], AXES.edges_mev_u[1])
    assert len(surrogate.networks) == len(card.std_scale) == CONFIG.members
    (plan,) = card.training["plans"]
    assert (plan["low"], plan["high"]) == ("one low", "one high")
    assert plan["files"] == ["high", "low", "shared"]
    assert plan["voxels"] == sorted(VOXELS)
    assert card.training["seed"] == 1
    assert card.training["config"]["steps"] == CONFIG.steps
    assert card.training["backend"] == ["made_up/1"]


def test_it_accepts_its_own_fields_and_the_voxels_trained_on_are_in_its_domain(surrogate):
    require_fit(LOW, surrogate.card, LINE)
    found = predict_curves(LOW, surrogate, LINE)
    assert not any(found.out_of_domain[v] for v in VOXELS)
    assert found.out_of_domain.any()  # five voxels do not stand for the beam's whole range
    assert (np.array(surrogate.card.channel_low) <= np.array(surrogate.card.channel_high)).all()


def test_members_differ_and_the_seed_decides(surrogate):
    again, other = (train([pair()], ["HSG"], CONFIG, seed=seed) for seed in (1, 2))

    def weights(model):
        return [n.weights.weight for n in model.networks]

    first, second = weights(surrogate)
    assert not torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(weights(again), weights(surrogate), strict=True))
    assert again.card == surrogate.card
    assert not torch.equal(weights(other)[0], first)


def test_a_trained_model_survives_the_disk(tmp_path, surrogate):
    save_bundle(surrogate, tmp_path / "model")
    found = load_bundle(tmp_path / "model")
    effects = [predict_curves(LOW, s, LINE).effect for s in (found, surrogate)]
    np.testing.assert_array_equal(*effects)
    assert trained_on(found.card, HIGH) == sorted(VOXELS)


def test_several_plans_beams_and_cell_lines():
    (low, _), (high, _) = (reoriented(f, (2, 0, 1), -1) for f in (LOW, HIGH))
    lines = ["V79", "HSG"]
    responses = [
        replace(r, cell_line=name, voxel=v)
        for v in ((4, 4, 4), (5, 3, 3), (6, 4, 5))
        for name in lines
        for r in table_responses(high, [v], "h")
    ]
    flat = [replace(r, cell_line=name) for name in lines for r in table_responses(HIGH, VOXELS, "one high")]
    pairs = [replace(pair(), responses=flat), PlanPair("l", low, "h", high, responses)]
    told = []
    model = train(pairs, lines, replace(CONFIG, members=1), 1, lambda done, of: told.append((done, of)))
    assert model.card.line_names == ("V79", "HSG")
    assert model.card.spacing_mm == ((2.0, 2.0, 2.5),)  # the same along the beam, wherever it runs
    assert [t.cell_line for t in model.tables] == lines
    assert len(model.card.training["plans"]) == 2
    assert told == [(n, 4) for n in range(1, 5)]
    for name in lines:
        assert np.isfinite(predict_curves(low, model, cell_line(name)).effect).all()


def test_progress_counts_the_steps_of_all_members():
    told = []
    train([pair()], ["HSG"], CONFIG, 1, lambda done, of: told.append((done, of)))
    assert told == [(n, 8) for n in range(1, 9)]


@pytest.mark.parametrize(
    ("files", "expected"),
    [(("low",), sorted(VOXELS)), (("new", "shared"), sorted(VOXELS)), (("new",), None), ((), None)],
)
def test_a_run_is_recognised_by_its_files(surrogate, files, expected):
    assert trained_on(surrogate.card, make_field(seed=9, files=files)) == expected


@pytest.mark.parametrize(
    ("pairs", "error", "message"),
    [
        ([], QuantityError, "ladder of doses, found 0"),
        ([replace(pair(), responses=())], QuantityError, "ladder of doses, found 0"),
        (
            [pair(), replace(pair(), responses=[replace(r, doses=(1.0, 2.0)) for r in pair().responses])],
            QuantityError,
            "found 2; simulate them alike",
        ),
        ([pair(), pair(with_dose(LOW, "dose_to_medium"), HIGH)], QuantityError, "kind of dose"),
        (
            [
                pair(),
                pair(*(make_field(seed=n, axes=SpectrumAxes(("H", "He"), AXES.edges_mev_u * 1.1)) for n in (1, 2))),
            ],
            QuantityError,
            "energy bins of H",
        ),
        *(
            ([pair(), pair(with_let(LOW, **{key: value}))], QuantityError, "definition of LET_d; score it alike")
            for key, value in {
                "weighting": "track",
                "particles": "all",
                "medium": "local",
                "restricted": True,
                "max_scored_kev_um": 100.0,
            }.items()
        ),
        ([pair(LOW, replace(HIGH, histories=HIGH.histories // 2))], QuantityError, "two runs of the same plan"),
    ],
)
def test_plans_that_do_not_go_together_are_refused(pairs, error, message):
    with pytest.raises(error, match=message):
        train(pairs, ["HSG"], CONFIG, seed=1)


def test_where_a_let_was_defined_makes_no_difference_and_not_all_need_one():
    pairs = [pair(), pair(with_let(LOW, source="another file")), pair(replace(LOW, let_definitions={}))]
    card = train(pairs, ["HSG"], replace(CONFIG, members=1), seed=1).card
    require_fit(LOW, card, LINE)
    assert card.let_definitions["LET_d"] == {
        "weighting": "dose",
        "particles": "protons",
        "medium": "water",
        "restricted": False,
        "max_scored_kev_um": None,
        "source": "",
    }


@pytest.mark.parametrize("name", ["one low", "another"])
def test_labels_of_another_field_are_refused(name):
    """Also those simulated from the low-statistics run of the same plan."""
    strange = [*pair().responses[1:], replace(pair().responses[0], field_id=name)]
    with pytest.raises(QuantityError, match=f"responses of field {name} were given as labels of field one high"):
        replace(pair(), responses=strange)


def test_only_scored_values_make_a_run_known(surrogate):
    """Two runs may share a parameter file or a header, and the header of a known run may have changed."""

    def run(*files):
        listed = [{"name": name, "sha256": sha256} for name, sha256 in files]
        return replace(HIGH, provenance={"runs": [{"files": listed}]})

    assert trained_on(surrogate.card, run(("plan.txt", "low"), ("a.binheader", "high"), ("a.bin", "new"))) is None
    assert trained_on(surrogate.card, run(("a.binheader", "new"), ("a.bin", "high"))) == sorted(VOXELS)
    assert trained_on(surrogate.card, run(("a.csv", "high"))) == sorted(VOXELS)
    labelled = pair(run(("a.binheader", "head"), ("a.csv", "values")), HIGH)
    card = train([labelled], ["HSG"], replace(CONFIG, members=1), seed=1).card
    assert card.training["plans"][0]["files"] == ["high", "shared", "values"]


def test_voxels_trained_on_beyond_the_grid_are_left_out(surrogate):
    """A known run may have been converted to a smaller grid."""
    cut = make_field(shape=(5, 8, 7), files=("high",))
    assert trained_on(surrogate.card, cut) == [(2, 4, 3), (4, 4, 6), (4, 5, 2)]
    assert trained_on(surrogate.card, make_field(shape=(2, 2, 2), files=("high",))) == []


def everywhere(field):
    return [tuple(map(int, index)) for index in np.ndindex(field.grid.shape)]


@pytest.mark.parametrize(
    "change",
    [
        lambda field: crop_field(field, ((1, 1, 1), (6, 6, 9))),
        lambda field: resample_field(field, regridded(field.grid, (4.0, 4.0, 5.0))),
        lambda field: combine([make_field(seed=8, files=("new",)), field], [1.0, 1.0], names=("a", "b")),
    ],
)
def test_all_voxels_of_a_known_run_that_was_changed_count_as_trained_on(surrogate, change):
    """The voxels trained on have other indices there, so that none can be said to be new."""
    field = change(HIGH)
    assert trained_on(surrogate.card, field) == everywhere(field)
    strange = change(make_field(seed=9, files=("strange",)))
    assert trained_on(surrogate.card, strange) is None


def test_all_voxels_count_where_the_training_was_on_a_part_of_the_run():
    """Indices on the card are then those of the cropped field, not those of the run that is judged."""
    low, high = (crop_field(field, ((1, 1, 1), (9, 8, 12))) for field in (LOW, HIGH))
    card = train([pair(low, high)], ["HSG"], replace(CONFIG, members=1), seed=1).card
    assert card.training["plans"][0]["changed"]
    for field in (HIGH, LOW, high):
        assert trained_on(card, field) == everywhere(field)
    assert trained_on(card, make_field(seed=9, files=("new",))) is None


def test_crossing_beams_are_not_trained_on():
    """Prediction never asks the network about them, so it must not learn from them either."""
    crossing = [replace(make_field(seed=n, files=(str(n),)), beams=(Beam(name=str(n), direction=d),))
                for n, d in ((8, (1.0, 0.0, 0.0)), (9, (0.0, 0.0, 1.0)))]  # fmt: skip
    both = combine(crossing, [1.0, 1.0], names=("a", "b"))
    with pytest.raises(QuantityError, match="beams from several directions"):
        train([pair(both, both)], ["HSG"], CONFIG, seed=1)


def test_a_run_is_named_by_all_its_scored_files_not_by_one():
    """A species of which two runs have no track gives two equal files, and that makes no run of them."""
    one, two = (make_field(files=(name, "empty")) for name in ("one", "two"))
    assert not scored_runs(one) & scored_runs(two)
    assert scored_runs(combine([one, two], [1.0, 1.0], names=("a", "b"))) == scored_runs(one) | scored_runs(two)
    assert scored_runs(make_field(files=())) == set()


def test_a_training_that_diverges_is_refused():
    wild = replace(CONFIG, members=1, steps=30, learning_rate=1e30)
    with pytest.raises(ValueRangeError, match=r"diverged.*lower learning_rate"):
        train([pair()], ["HSG"], wild, seed=1)


@pytest.mark.parametrize("pairs", [[replace(pair(), responses=())] * 2, [pair(), replace(pair(), responses=())]])
def test_a_plan_without_labels_is_refused(pairs):
    """In one line, without warnings of numpy and without a weight that is no number."""
    with pytest.raises((ValueRangeError, QuantityError)) as caught:
        train(pairs, ["HSG"], CONFIG, seed=1)
    assert "\n" not in str(caught.value)


def test_labels_of_another_cell_line_are_none():
    with pytest.raises(ValueRangeError, match=r"no (labelled|simulated) voxel"):
        train([pair()], ["V79"], CONFIG, seed=1)
