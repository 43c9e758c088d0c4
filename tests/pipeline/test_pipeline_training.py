"""From pairs of runs to a model that says what it is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from synthetic import AXES, LET_DEFINITION, LINE, make_field, reoriented, table_responses

from surrogate3d.errors import BundleError, QuantityError, StoreError, ValueRangeError
from surrogate3d.grid import Beam, SpectrumAxes, Volume, VolumeSet, quantity
from surrogate3d.grid.combine import combine
from surrogate3d.grid.resample import crop_field, regridded, resample_field
from surrogate3d.inference.curves import predict_curves
from surrogate3d.inference.domain import require_fit
from surrogate3d.model.bundle import load_bundle, save_bundle
from surrogate3d.model.channels import channel_names
from surrogate3d.model.mask_text import mask_from_text
from surrogate3d.physics.cell_line import cell_line
from surrogate3d.physics.mixing import mono_table
from surrogate3d.pipeline.plan_pairs import PlanPair, TrainingLine
from surrogate3d.pipeline.training import scored_runs, train, trained_on
from surrogate3d.training.settings import TrainConfig

CONFIG = TrainConfig(
    steps=4,
    members=2,
    width=3,
    blocks=1,
    neighbourhood=(3, 1, 1),
    head_steps=2,
    voxels_per_step=32,
    threads=1,
    copies=1,
    tracks_levels=(50.0,),
    calibration_fraction=0.25,
)
ONE = replace(CONFIG, members=1, tracks_levels=(), steps=2)
LOW = make_field(seed=1, tracks=60, files=("low",))
HIGH = make_field(seed=2, tracks=4000, files=("high", "shared"))
VOXELS = [(4, 5, 2), (3, 4, 7), (5, 3, 4), (4, 4, 6), (2, 4, 3), (3, 5, 5), (4, 6, 4), (5, 5, 3)]


def pair(low=LOW, high=HIGH, voxels=VOXELS, name="one", within=None):
    return PlanPair(f"{name} low", low, f"{name} high", high, table_responses(high, voxels, f"{name} high"), within)


def learnt(card):
    """Mask of the voxels of the only plan that taught a model."""
    (plan,) = card.training["plans"]
    return mask_from_text(plan["learnt"])


def weights(model):
    return torch.cat([v.flatten() for network in model.networks for v in network.state_dict().values()])


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
    assert len(surrogate.networks) == card.members == CONFIG.members
    assert card.network["neighbourhood"] == CONFIG.neighbourhood
    (plan,) = card.training["plans"]
    assert (plan["low"], plan["high"]) == ("one low", "one high")
    assert plan["files"] == ["high", "low", "shared"]
    assert plan["voxels"] == sorted(VOXELS)
    assert card.training["seed"] == 1
    assert card.training["config"]["steps"] == CONFIG.steps
    assert card.training["steps"] == [CONFIG.steps] * CONFIG.members
    assert card.training["backend"] == ["made_up/1"]
    assert card.training["lines"] == [[LINE.name, LINE.alpha_x, LINE.beta_x]]
    assert len(card.training["final_loss"]) == CONFIG.members
    assert {"factors", "levels", "residual_std"} <= set(card.calibration)


def test_some_voxels_are_kept_out_and_the_card_says_which_were_not(surrogate):
    enough = pair().learnt
    np.testing.assert_array_equal(enough, HIGH.dose > 0.02 * HIGH.dose.max())
    known = learnt(surrogate.card)
    assert not (known & ~enough).any()
    assert (enough & ~known).sum() / enough.sum() == pytest.approx(CONFIG.calibration_fraction, abs=0.05)


def test_only_what_may_be_learnt_from_is_learnt_and_nothing_from_what_is_kept_out():
    """Labels of other voxels change no weight."""
    within = np.zeros(HIGH.grid.shape, bool)
    within[..., :6] = True
    config = replace(ONE, calibration_fraction=0.4)
    plan = pair(within=within)
    straight = train([plan], ["HSG"], config, seed=2)
    known = learnt(straight.card)
    assert not (known & ~within).any()
    assert {known[v] for v in VOXELS if within[v]} == {True, False}
    nonsense = [r if known[r.voxel] else table_responses(HIGH, [r.voxel], "one high", 3.0)[0] for r in plan.responses]
    spoiled = train([replace(plan, responses=nonsense)], ["HSG"], config, seed=2)
    assert torch.equal(weights(straight), weights(spoiled))


def test_it_accepts_its_own_fields_and_most_voxels_are_in_its_domain(surrogate):
    require_fit(LOW, surrogate.card, LINE)
    found = predict_curves(LOW, surrogate, LINE)
    assert found.out_of_domain[found.mask].mean() < 0.05
    assert (found.half_width > 0).all()


def test_members_differ_and_the_seed_decides(surrogate):
    again = train([pair()], ["HSG"], CONFIG, seed=1)
    first, second = (n.weights.weight for n in surrogate.networks)
    assert not torch.equal(first, second)
    assert torch.equal(weights(again), weights(surrogate))
    assert again.card == surrogate.card
    for name, values in surrogate.domain.items():
        np.testing.assert_array_equal(again.domain[name], values)
    other = train([pair()], ["HSG"], ONE, seed=2)
    assert not torch.equal(other.networks[0].weights.weight, first)


def test_a_trained_model_survives_the_disk(tmp_path, surrogate):
    save_bundle(surrogate, tmp_path / "model")
    found = load_bundle(tmp_path / "model")
    first, second = (predict_curves(LOW, s, LINE) for s in (found, surrogate))
    for name in ("effect", "relative_std", "half_width", "out_of_domain"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
    np.testing.assert_array_equal(trained_on(found.card, HIGH), learnt(surrogate.card))


def test_a_training_that_was_stopped_goes_on_to_identical_weights(tmp_path, surrogate):
    def stop_in_the_second_member(done, of):
        if done == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train([pair()], ["HSG"], CONFIG, 1, stop_in_the_second_member, state=tmp_path / "state")
    told = []
    resumed = train([pair()], ["HSG"], CONFIG, 1, lambda n, _: told.append(n), state=tmp_path / "state")
    assert told == [5, 6, 7, 8]  # the first is not trained again
    assert torch.equal(weights(resumed), weights(surrogate))
    assert resumed.card == surrogate.card
    with pytest.raises(StoreError, match="of another training"):
        train([pair()], ["HSG"], CONFIG, seed=2, state=tmp_path / "state")


def test_further_lines_teach_the_head_and_are_on_the_card():
    """Their table is not kept: the model answers for them as for any line with a table."""
    line, table = cell_line("V79"), mono_table("V79")
    plan = pair()
    both = replace(plan, responses=[r for x in plan.responses for r in (x, replace(x, cell_line="V79"))])
    model = train([both], ["HSG"], ONE, seed=1, others=[TrainingLine(line, table)])
    assert model.card.line_names == ("HSG",)
    assert [t.cell_line for t in model.tables] == ["HSG"]
    assert model.card.training["lines"] == [["HSG", LINE.alpha_x, LINE.beta_x], ["V79", line.alpha_x, line.beta_x]]
    alone = train([plan], ["HSG"], ONE, seed=1)
    kernels = [
        [v for name, v in m.networks[0].state_dict().items() if not name.startswith("head.")] for m in (model, alone)
    ]
    assert all(torch.equal(a, b) for a, b in zip(*kernels, strict=True))
    assert not torch.equal(weights(model), weights(alone))
    assert np.isfinite(predict_curves(LOW, model, line, table=table).effect).all()
    with pytest.raises(QuantityError, match="for some of"):
        train([plan], ["HSG"], ONE, seed=1, others=[TrainingLine(line, table)])


def test_a_model_of_conditions_says_so_and_needs_them():
    around = {"one high": {"oxygen": np.random.default_rng(1).random(HIGH.grid.shape)}}
    model = train([pair()], ["HSG"], ONE, seed=1, conditions=around)
    assert model.card.network["conditions"] == ("oxygen",)
    assert not model.card.calibration
    found = predict_curves(LOW, model, LINE, conditions=around["one high"])
    assert np.isfinite(found.effect).all()
    with pytest.raises(BundleError, match="the conditions oxygen, given are those of the calibration"):
        predict_curves(LOW, model, LINE)
    for given in ({"another": around["one high"]}, {**around, "other high": {"timing": around["one high"]["oxygen"]}}):
        with pytest.raises(QuantityError, match="every training plan needs the same conditions"):
            train([pair(), pair(name="other")], ["HSG"], ONE, seed=1, conditions=given)


def test_several_plans_beams_and_cell_lines():
    (low, _), (high, _) = (reoriented(f, (2, 0, 1), -1) for f in (LOW, HIGH))
    lines = ["V79", "HSG"]
    responses = [
        replace(r, cell_line=name, voxel=v)
        for v in ((4, 4, 4), (5, 3, 3), (6, 4, 5), (5, 4, 4))
        for name in lines
        for r in table_responses(high, [v], "h")
    ]
    flat = [replace(r, cell_line=name) for name in lines for r in table_responses(HIGH, VOXELS, "one high")]
    pairs = [replace(pair(), responses=flat), PlanPair("l", low, "h", high, responses)]
    told = []
    model = train(pairs, lines, ONE, 1, lambda done, of: told.append((done, of)))
    assert model.card.line_names == ("V79", "HSG")
    assert model.card.spacing_mm == ((2.0, 2.0, 2.5),)  # the same along the beam, wherever it runs
    assert [t.cell_line for t in model.tables] == lines
    assert len(model.card.training["plans"]) == 2
    assert told == [(1, 2), (2, 2)]
    for name in lines:
        assert np.isfinite(predict_curves(low, model, cell_line(name)).effect).all()


def test_progress_counts_the_steps_of_all_members():
    told = []
    config = replace(ONE, members=2)
    train([pair()], ["HSG"], config, 1, lambda done, of: told.append((done, of)))
    assert told == [(n, 4) for n in range(1, 5)]


@pytest.mark.parametrize(
    ("files", "expected"),
    [(("low",), True), (("new", "shared"), True), (("new",), False), ((), False)],
)
def test_a_run_is_recognised_by_its_files(surrogate, files, expected):
    found = trained_on(surrogate.card, make_field(seed=9, files=files))
    assert (found is not None) == expected
    if expected:
        np.testing.assert_array_equal(found, learnt(surrogate.card))


def test_what_several_plans_of_one_run_learnt_adds_up():
    halves = [np.indices(HIGH.grid.shape)[2] % 2 == n for n in range(2)]
    pairs = [pair(name=str(n), within=half) for n, half in enumerate(halves)]
    card = train(pairs, ["HSG"], replace(ONE, calibration_fraction=0.0), seed=1).card
    np.testing.assert_array_equal(trained_on(card, HIGH), HIGH.dose > 0.02 * HIGH.dose.max())


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
        train(pairs, ["HSG"], ONE, seed=1)


def test_where_a_let_was_defined_makes_no_difference_and_not_all_need_one():
    pairs = [pair(), pair(with_let(LOW, source="another file")), pair(replace(LOW, let_definitions={}))]
    card = train(pairs, ["HSG"], ONE, seed=1).card
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
    for known in (run(("a.binheader", "new"), ("a.bin", "high")), run(("a.csv", "high"))):
        np.testing.assert_array_equal(trained_on(surrogate.card, known), learnt(surrogate.card))
    labelled = pair(run(("a.binheader", "head"), ("a.csv", "values")), HIGH)
    card = train([labelled], ["HSG"], ONE, seed=1).card
    assert card.training["plans"][0]["files"] == ["high", "shared", "values"]


def test_all_voxels_of_a_known_run_on_another_grid_count_as_trained_on(surrogate):
    """A known run may have been converted to a smaller grid: its voxels have other indices."""
    for shape in ((5, 8, 7), (2, 2, 2)):
        assert trained_on(surrogate.card, make_field(shape=shape, files=("high",))).tolist() == np.ones(shape).tolist()


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
    np.testing.assert_array_equal(trained_on(surrogate.card, field), np.ones(field.grid.shape, bool))
    strange = change(make_field(seed=9, files=("strange",)))
    assert trained_on(surrogate.card, strange) is None


def test_all_voxels_count_where_the_training_was_on_a_part_of_the_run():
    """Indices on the card are then those of the cropped field, not those of the run that is judged."""
    low, high = (crop_field(field, ((1, 1, 1), (9, 8, 12))) for field in (LOW, HIGH))
    card = train([pair(low, high, [(3, 3, 4), (4, 4, 3)])], ["HSG"], ONE, seed=1).card
    assert card.training["plans"][0]["changed"]
    for field in (HIGH, LOW, high):
        np.testing.assert_array_equal(trained_on(card, field), np.ones(field.grid.shape, bool))
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
    wild = replace(ONE, steps=12, learning_rate=1e30)
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
