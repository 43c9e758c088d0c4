import numpy as np
import pytest
from scipy.stats import t as student

from surrogate3d.errors import GridMismatchError, QuantityError, ValueRangeError
from surrogate3d.sampling.selection import SelectedVoxel
from surrogate3d.validation.design_weighted import (
    SampleDesign,
    simple_random,
    stratified,
    volume_error,
    with_probabilities,
)

SIZES = {"low": 6000, "mid": 3000, "high": 1000}
SAMPLED = {"low": 20, "mid": 30, "high": 50}


def strata_of(rng, skewed=True):
    """Errors of a volume in three strata that differ in mean and spread."""
    draw = rng.exponential if skewed else rng.standard_normal
    return {name: n + (1 + n) * draw(size=size) for n, (name, size) in enumerate(SIZES.items())}


def drawn(volume, rng):
    """Errors of the sampled voxels, and their design."""
    errors = np.concatenate([rng.choice(volume[name], n, replace=False) for name, n in SAMPLED.items()])
    return errors, stratified([name for name, n in SAMPLED.items() for _ in range(n)], SIZES)


def test_a_simple_random_sample_has_the_textbook_interval_with_its_finite_population_correction():
    errors = np.random.default_rng(1).normal(2, 3, 40)
    found = volume_error(errors, simple_random(40, 160))
    reach = student.ppf(0.975, 39) * errors.std(ddof=1) / np.sqrt(40) * np.sqrt(1 - 40 / 160)
    assert (found.n, found.N, found.n_missing) == (40, pytest.approx(160), 0)
    assert found.mean == pytest.approx(errors.mean())
    assert (found.mean_low, found.mean_high) == pytest.approx((errors.mean() - reach, errors.mean() + reach))
    assert found.rms == pytest.approx(np.sqrt((errors**2).mean()))
    assert found.rms_low < found.rms < found.rms_high
    assert "simple random sample" in found.method


def test_a_stratified_sample_has_cochrans_mean_variance_and_degrees_of_freedom():
    rng = np.random.default_rng(2)
    errors, design = drawn(strata_of(rng), rng)
    found = volume_error(errors, design)
    parts = list(zip(SIZES.values(), np.split(errors, np.cumsum(list(SAMPLED.values()))[:-1]), strict=True))
    total = sum(SIZES.values())
    mean = sum(size * y.mean() for size, y in parts) / total
    g = [size * (size - len(y)) / len(y) * y.var(ddof=1) for size, y in parts]  # Cochran 1977, eq. 5.16
    freedom = sum(g) ** 2 / sum(part**2 / (len(y) - 1) for part, (_, y) in zip(g, parts, strict=True))
    reach = student.ppf(0.975, freedom) * np.sqrt(sum(g)) / total
    assert pytest.approx(total) == found.N
    assert (found.mean, found.mean_low, found.mean_high) == pytest.approx((mean, mean - reach, mean + reach))
    squares = sum(size * (y**2).mean() for size, y in parts) / total
    assert found.rms == pytest.approx(np.sqrt(squares))
    assert "3 strata" in found.method


def test_equal_probabilities_are_a_simple_random_sample():
    errors = np.random.default_rng(3).exponential(size=25)
    voxels = [SelectedVoxel("plan", (n, 0, 0), "random", 0.125) for n in range(25)]
    one = volume_error(errors, with_probabilities([voxel.inclusion_probability for voxel in voxels]))
    assert one == volume_error(errors, simple_random(25, 200))


def test_unequal_probabilities_weigh_by_their_inverse_with_hajeks_variance():
    rng = np.random.default_rng(4)
    errors, probability = rng.normal(1, 2, 12), rng.uniform(0.05, 0.9, 12)
    found = volume_error(errors, with_probabilities(probability))
    weight = 1 / probability
    mean = (weight * errors).sum() / weight.sum()
    part = weight * (errors - mean) / weight.sum()
    centre = ((1 - probability) * part).sum() / (1 - probability).sum()
    variance = 12 / 11 * ((1 - probability) * (part - centre) ** 2).sum()
    assert pytest.approx(weight.sum()) == found.N
    assert found.mean == pytest.approx(mean)
    assert found.mean_high - found.mean == pytest.approx(student.ppf(0.975, 11) * np.sqrt(variance))
    assert found.rms == pytest.approx(np.sqrt((weight * errors**2).sum() / weight.sum()))
    assert "unequal probabilities" in found.method


def test_the_whole_volume_leaves_nothing_uncertain():
    errors = np.random.default_rng(5).normal(size=30)
    found = volume_error(errors, simple_random(30, 30))
    rms = pytest.approx(np.sqrt((errors**2).mean()))
    assert found.mean_low == found.mean == found.mean_high == pytest.approx(errors.mean())
    assert (found.rms_low, found.rms, found.rms_high) == (rms, rms, rms)


def test_a_stratum_that_was_taken_whole_may_have_one_voxel_and_adds_no_variance():
    rng = np.random.default_rng(6)
    errors = rng.normal(size=21)
    alone = volume_error(errors[1:], simple_random(20, 199))
    both = volume_error(errors, stratified(["chosen"] + ["rest"] * 20, {"chosen": 1, "rest": 199}))
    assert both.mean == pytest.approx((errors[0] + 199 * alone.mean) / 200)
    assert both.mean_high - both.mean == pytest.approx((alone.mean_high - alone.mean) * 199 / 200)


def test_voxels_without_an_answer_are_left_out_with_what_they_stand_for():
    errors = np.array([1.0, 3.0, np.nan, 5.0, np.nan])
    found = volume_error(errors, simple_random(5, 100))
    assert (found.n, found.n_missing, found.N, found.mean) == (3, 2, pytest.approx(60), pytest.approx(3.0))
    u = np.array([-2.0, 0, 0, 2, 0])  # Sarndal et al. 1992, section 5.8: residuals are 0 outside the domain
    reach = student.ppf(0.975, 4) * np.sqrt((1 - 0.05) * u.var(ddof=1) * 5) / 3
    assert found.mean_high - found.mean == pytest.approx(reach)


def test_a_shift_moves_the_mean_and_a_scale_both_in_their_whole_intervals():
    errors, design = np.random.default_rng(7).exponential(size=40), simple_random(40, 4000)
    one, moved, scaled = (volume_error(values, design) for values in (errors, errors + 2, -3 * errors))
    assert (moved.mean_low - 2, moved.mean_high - 2) == pytest.approx((one.mean_low, one.mean_high))
    assert (scaled.mean_high, scaled.mean_low) == pytest.approx((-3 * one.mean_low, -3 * one.mean_high))
    assert (scaled.rms_low, scaled.rms, scaled.rms_high) == pytest.approx(
        (3 * one.rms_low, 3 * one.rms, 3 * one.rms_high)
    )


def slow_skew_free_interval(squares, size, level=0.95):
    """Hall's interval of a simple random sample, by bisection on his transformation of every trial mean."""
    n, f = len(squares), len(squares) / size
    mean, spread = squares.mean(), squares.std(ddof=1)
    third = ((squares - mean) ** 3).sum() * n / (n - 1) / (n - 2) / spread**3 / np.sqrt(n)
    skew, lean = third * (1 - 2 * f) / np.sqrt(1 - f), third * np.sqrt(1 - f)
    a, b, reach = (3 * lean - skew) / 6, skew / 6, student.ppf(0.5 + level / 2, n - 1)
    ends = []
    for wanted in (reach, -reach):
        low, high = mean - 60 * spread, mean + 60 * spread
        for _ in range(200):
            middle = 0.5 * (low + high)
            t = (mean - middle) / (spread * np.sqrt((1 - f) / n))
            above = t + a * t**2 + a**2 * t**3 / 3 + b > wanted
            low, high = (middle, high) if above else (low, middle)
        ends.append(middle)
    return ends


@pytest.mark.parametrize("size", [20_000, 120])
def test_the_interval_of_the_rms_is_that_of_its_slow_twin(size):
    errors = np.random.default_rng(8).exponential(size=60) - 0.5
    found = volume_error(errors, simple_random(60, size))
    low, high = slow_skew_free_interval(errors**2, size)
    assert (found.rms_low**2, found.rms_high**2) == pytest.approx((low, high), rel=1e-9)


def test_an_interval_holds_its_estimate_even_where_nearly_all_of_a_very_skewed_volume_was_drawn():
    errors = np.r_[np.full(398, 0.01), 50.0]
    found = volume_error(errors, simple_random(399, 400))
    assert found.mean_low <= found.mean <= found.mean_high
    assert found.rms_low <= found.rms <= found.rms_high


def coverage(draw, mean, rms, repeats):
    """Shares of the intervals that hold the volume's mean and rms, and the mean of the estimates."""
    held, means = np.zeros(2), 0.0
    for _ in range(repeats):
        found = draw()
        held += [found.mean_low <= mean <= found.mean_high, found.rms_low <= rms <= found.rms_high]
        means += found.mean / repeats
    return (*held / repeats, means)


@pytest.mark.parametrize(("size", "name"), [(20_000, "normal"), (20_000, "exponential"), (300, "exponential")])
def test_intervals_of_100_voxels_cover_the_truth_of_the_volume(size, name):
    # 1500 draws: a coverage of 0.93 has a standard error of 0.007; 0.93 - 2.3 of them is 0.915
    rng = np.random.default_rng(9)
    volume = rng.exponential(size=size) - 0.7 if name == "exponential" else rng.normal(0.5, 1, size)
    design = simple_random(100, size)
    mean, rms, centre = coverage(
        lambda: volume_error(rng.choice(volume, 100, replace=False), design),
        volume.mean(), np.sqrt((volume**2).mean()), 1500,
    )  # fmt: skip
    assert mean > 0.915
    assert rms > 0.915
    assert abs(centre - volume.mean()) < 4 * volume.std() / np.sqrt(100 * 1500)


@pytest.mark.parametrize("skewed", [False, True])
def test_intervals_of_strata_cover_and_their_mean_is_unbiased(skewed):
    rng = np.random.default_rng(10)
    volume = strata_of(rng, skewed)
    whole = np.concatenate(list(volume.values()))
    mean, rms, centre = coverage(
        lambda: volume_error(*drawn(volume, rng)), whole.mean(), np.sqrt((whole**2).mean()), 1000
    )
    assert mean > 0.91
    assert rms > 0.91
    assert abs(centre - whole.mean()) < 4 * whole.std() / np.sqrt(100 * 1000)


def test_intervals_of_unequal_probabilities_cover():
    rng = np.random.default_rng(11)
    errors = rng.exponential(size=5000) - 0.5
    chance = 100 * (size := np.abs(errors) + 0.3) / size.sum()

    def draw():  # systematic along a random order: probabilities are exactly those asked for
        order = rng.permutation(5000)
        taken = order[np.searchsorted(np.cumsum(chance[order]), rng.random() + np.arange(100))]
        return volume_error(errors[taken], with_probabilities(chance[taken]))

    mean, rms, centre = coverage(draw, errors.mean(), np.sqrt((errors**2).mean()), 600)
    assert mean > 0.91
    assert rms > 0.91
    assert abs(centre - errors.mean()) < 0.03


@pytest.mark.parametrize("wrong", [0.0, -0.1, 1.1, np.nan, None])
def test_probabilities_that_are_none_are_refused_with_their_voxel(wrong):
    with pytest.raises(ValueRangeError, match=r"in \(0, 1\]; 1 of 3 are not, .* of sampled voxel 1"):
        with_probabilities([0.5, wrong, 0.5])


def test_strata_with_fewer_than_two_voxels_are_refused_by_name():
    with pytest.raises(ValueRangeError, match="stratum penumbra has 1 of 50, stratum tail has 0 of 9; merge"):
        stratified(["core", "core", "penumbra"], {"core": 20, "penumbra": 50, "tail": 9})
    with pytest.raises(ValueRangeError, match="stratum 0 has 1 of 9"):
        simple_random(1, 9)


def test_designs_without_sense_are_refused():
    with pytest.raises(ValueRangeError, match="stratum 0 has 10 sampled voxels of 9"):
        simple_random(10, 9)
    with pytest.raises(ValueRangeError, match="there must be some"):
        simple_random(0, 9)
    with pytest.raises(QuantityError, match="no size is given for the stratum 'b'"):
        stratified(["a", "b"], {"a": 5})
    with pytest.raises(ValueRangeError, match="one of the 1 strata"):
        SampleDesign(np.array([0, 1]), np.array([5.0]))
    with pytest.raises(GridMismatchError, match="need 2 inclusion probabilities"):
        SampleDesign(np.array([0, 0]), np.array([5.0]), np.array([0.5]))
    with pytest.raises(GridMismatchError, match="sizes and names"):
        SampleDesign(np.array([0, 0]), np.array([5.0]), None, ("a", "b"))


def test_errors_that_do_not_fit_the_design_are_refused():
    design = simple_random(3, 9)
    with pytest.raises(GridMismatchError, match="the design has 3 voxels"):
        volume_error(np.zeros(4), design)
    for errors in ([1.0, np.inf, 2.0], [1.0, np.nan, np.nan]):
        with pytest.raises(ValueRangeError, match="at least two finite errors"):
            volume_error(np.array(errors), design)
    with pytest.raises(ValueRangeError, match=r"level 1\.0"):
        volume_error(np.zeros(3), design, level=1.0)
