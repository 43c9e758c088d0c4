import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from invitro_cases import folder_data
from invitro_folder import write_pide_like

from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.invitro.baseline_protocol import Curves, FoldMethod
from surrogate3d.invitro.baselines import method
from surrogate3d.invitro.evaluation import HeldOut, differences, held_out, scores, weighted_median
from surrogate3d.invitro.evaluation_floor import repeat_floor, repeat_pairs
from surrogate3d.invitro.features import FEATURES
from surrogate3d.io.pide import read_pide, write_experiments
from surrogate3d.training.grouped_folds import grouped_folds

LET = [feature.name for feature in FEATURES].index("LET_d")
ROOT = Path(__file__).parents[2]


def exact_data(n=60):
    """Rows whose points lie on the curve of their alpha and beta, and that curve by LET."""
    data = folder_data().subset(np.arange(n))
    rng = np.random.default_rng(0)
    pair = np.stack([rng.uniform(0.2, 1.5, n), rng.uniform(0.01, 0.06, n)])
    dose = np.tile([1.0, 2.0, 4.0], (n, 1))
    effect = pair[0][:, None] * dose + pair[1][:, None] * dose**2
    features = data.features.copy()
    features[:, LET] = np.arange(n) + 1.0
    weight = np.full((n, 3), 1 / 3)
    return replace(
        data, features=features, dose=dose, log_survival=-effect, weight=weight, RBE10=1.0 + 0.05 * np.arange(n)
    ), pair


def method_of(answer):
    """A method that answers by LET, which numbers the rows of `exact_data`."""
    model = SimpleNamespace(predict=lambda features, photon, species: answer(features[:, LET].astype(int) - 1))
    return SimpleNamespace(fit=lambda data, seed: model)


def rows(n=40, publications=8, **columns):
    """Held-out rows."""
    zero = np.zeros(n)
    plain = {
        "publication": np.array([f"p{k % publications}" for k in range(n)]),
        "species": np.array(["C"] * n),
        "measured": np.linspace(1.0, 4.0, n),
        "RBE10": np.linspace(1.0, 4.0, n),
        "squared": zero,
        "RBE10_inside": zero + np.nan,
        "log_survival_inside": zero + np.nan,
    }
    return HeldOut(**(plain | columns))


def test_weighted_medians_are_those_of_repeated_values():
    rng = np.random.default_rng(1)
    values, counts = rng.normal(size=31), rng.integers(0, 4, (50, 31)).astype(float)
    slow = [np.median(np.repeat(values, count.astype(int))) for count in counts]
    np.testing.assert_allclose(weighted_median(values, counts), slow, rtol=1e-12)


def test_scores_by_hand():
    data, (alpha, beta) = exact_data()
    folds = [grouped_folds(data.publication, 4, seed) for seed in (0, 1)]
    found = held_out(method_of(lambda n: Curves(1.1 * alpha[n], beta[n], 1.1 * data.RBE10[n])), data, folds)
    assert len(found) == 2 * len(data)
    np.testing.assert_array_equal(found.measured, np.tile(data.RBE10, 2))
    score = scores(found)
    assert score.experiments == 120
    assert score.unanswered == 0
    assert score.RBE10_error.value == pytest.approx(0.1, rel=1e-9)
    expected = 1 - 0.01 * (data.RBE10**2).sum() / ((data.RBE10 - data.RBE10.mean()) ** 2).sum()
    assert score.RBE10_R2.value == pytest.approx(expected, rel=1e-9)
    # ln S is off by 0.1 alpha D at 1, 2 and 4 Gy: mean square 0.01 alpha^2 (1 + 4 + 16) / 3
    assert score.log_survival_rms.value == pytest.approx(np.sqrt(0.07 * np.mean(alpha**2)), rel=1e-9)
    assert score.log_survival_rms.low < score.log_survival_rms.value < score.log_survival_rms.high
    assert score.RBE10_coverage is None
    assert score.log_survival_coverage is None


def test_coverage_is_the_share_inside_the_intervals():
    data, (alpha, beta) = exact_data()

    def answer(n):
        wide = np.where(n % 4 > 0, 0.2, 0.0)  # three rows of four

        def ends(dose):
            middle = -alpha[n][:, None] * dose - beta[n][:, None] * dose**2
            return middle - 1e-6, middle + np.where(dose > 1.5, 1e-6, -1e-7)  # two points of three

        RBE10 = 1.1 * data.RBE10[n]
        return Curves(alpha[n], beta[n], RBE10, (RBE10 * (1 - wide), RBE10 * (1 + wide)), ends)

    score = scores(held_out(method_of(answer), data, [grouped_folds(data.publication, 4, 0)]))
    assert score.RBE10_coverage.value == pytest.approx(0.75)
    assert score.log_survival_coverage.value == pytest.approx(2 / 3)


def test_the_interval_of_a_coverage_is_that_of_publications_and_not_of_experiments():
    # publications of 20 rows each, all inside or all outside: the share has the deviation of 40 draws, not of 800
    publications, each = 40, 20
    inside = np.repeat((np.arange(publications) % 5 > 0).astype(float), each)
    n = publications * each
    names = np.repeat([f"p{k}" for k in range(publications)], each)
    found = rows(n, publication=names, RBE10_inside=inside, measured=np.linspace(1, 4, n), RBE10=np.linspace(1, 4, n))
    coverage = scores(found).RBE10_coverage
    assert coverage.value == pytest.approx(0.8)
    assert (coverage.high - coverage.low) / 2 == pytest.approx(1.96 * np.sqrt(0.16 / publications), rel=0.1)


def test_a_method_is_fitted_without_the_fold_that_it_answers_for():
    data, (alpha, beta) = exact_data()
    seen = []

    def fit(part, seed):
        def predict(features, photon, species):
            number = features[:, LET].astype(int) - 1
            seen.append((set(part.publication.tolist()), set(data.publication[number].tolist())))
            return Curves(alpha[number], beta[number], data.RBE10[number])

        return SimpleNamespace(predict=predict)

    found = held_out(SimpleNamespace(fit=fit), data, [grouped_folds(data.publication, 4, 0)])
    assert len(seen) == 4
    for learnt, asked in seen:
        assert not learnt & asked
        assert learnt | asked == set(data.publication.tolist())
    np.testing.assert_array_equal(found.RBE10, data.RBE10)  # rows come back in their order
    np.testing.assert_array_equal(found.publication, data.publication)


def test_folds_that_are_fitted_at_once_give_the_same():
    data = folder_data()
    folds = [grouped_folds(data.publication, 3, 0)]
    one = method("MKM")
    at_once = SimpleNamespace(
        fit_folds=lambda data, learnt, seed: [one.fit(data.subset(row), seed) for row in learnt], fit=None
    )
    assert isinstance(at_once, FoldMethod)
    a, b = held_out(one, data, folds), held_out(at_once, data, folds)
    np.testing.assert_array_equal(a.RBE10, b.RBE10)
    np.testing.assert_array_equal(a.squared, b.squared)


def test_rows_without_an_answer_are_counted_and_left_out():
    silent = np.arange(40) % 4 == 0
    measured = rows().measured
    unknown = np.where(np.arange(40) == 1, np.nan, measured)
    found = rows(RBE10=np.where(silent, np.nan, 1.2 * measured), measured=unknown)
    score = scores(found)
    assert (score.experiments, score.unanswered) == (29, 10)
    assert score.RBE10_error.value == pytest.approx(0.2)
    with pytest.raises(ValueRangeError, match="nothing was answered of H, He"):
        scores(found, ("H", "He"))


def test_differences_are_paired():
    measured = rows().measured
    rng = np.random.default_rng(2)
    noise = np.exp(rng.normal(0, 0.3, 40))
    worse, better = rows(RBE10=measured * noise, squared=noise), rows(RBE10=measured * noise**0.9, squared=noise * 0.81)
    error, ratio = differences(better, worse)
    assert ratio.value == pytest.approx(-0.1)
    assert ratio.low == pytest.approx(-0.1)  # 10 % in every publication, whichever are drawn
    assert ratio.high == pytest.approx(-0.1)
    assert error.value == pytest.approx(np.median(abs(noise**0.9 - 1)) - np.median(abs(noise - 1)), rel=1e-9)
    assert error.high - error.low < scores(worse).RBE10_error.high - scores(worse).RBE10_error.low
    same = differences(worse, worse)
    assert [one.value for one in same] == [0, 0]


def test_methods_that_were_judged_on_different_rows_are_not_compared():
    with pytest.raises(GridMismatchError, match="not judged on the same experiments and folds"):
        differences(rows(), rows(20))
    silent = rows(RBE10=np.full(40, np.nan))
    with pytest.raises(ValueRangeError, match="no experiment that both methods answered"):
        differences(rows(), silent)
    data = folder_data()
    with pytest.raises(GridMismatchError, match="expected the folds of"):
        held_out(method("MKM"), data, [np.zeros(3, dtype=np.int64)])


def test_repeated_experiments_are_found_as_by_two_loops():
    data = folder_data()
    slow = []
    for i in range(len(data)):
        for j in range(i + 1, len(data)):
            alike = data.cells[i].replace("-", ".") == data.cells[j].replace("-", ".")
            near = abs(np.log(data.features[i, LET] / data.features[j, LET])) <= np.log(1.1)
            other = data.publication[i] != data.publication[j] and data.species[i] == data.species[j]
            if alike and near and other and np.isfinite(data.RBE10[[i, j]]).all():
                slow.append((i, j))
    assert len(slow) > 5
    np.testing.assert_array_equal(repeat_pairs(data), slow)


def test_the_floor_is_the_median_error_of_what_scatters():
    # 60 publications repeat one experiment with a normal scatter of 15 %: median |error| 0.6745 * 0.15
    data = folder_data()
    many = data.subset(np.zeros(60, dtype=int))
    scatter = np.exp(0.15 * np.random.default_rng(5).normal(size=60))
    repeated = replace(many, publication=np.arange(60).astype(str), RBE10=2.0 * scatter)
    floor = repeat_floor(repeated)
    assert floor.pairs == 60 * 59 // 2
    assert floor.publications == 60
    assert floor.median_error.value == pytest.approx(0.6745 * 0.15, rel=0.25)
    assert floor.median_error.low < 0.6745 * 0.15 < floor.median_error.high
    assert floor.rms_error == pytest.approx(0.15, rel=0.25)


def test_a_floor_needs_repeated_experiments():
    with pytest.raises(ValueRangeError, match="no experiment was repeated by others"):
        repeat_floor(folder_data().subset(np.arange(1)))


def test_the_benchmark_prints_one_table_of_scores(tmp_path):
    write_pide_like(tmp_path / "folder", np.random.default_rng(3), 12, 6)
    write_experiments(read_pide(tmp_path / "folder"), tmp_path / "store.json", overwrite=False)
    words = ["store.json", "--methods", "MKM", "McNamara", "--splits", "publication", "--folds", "3", "--seeds", "0"]
    run = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / "invitro.py"), *words, "--reference", "MKM", "--json"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    report = json.loads(run.stdout)
    MKM, mcnamara = (report["splits"]["publication"][name] for name in ("MKM", "McNamara"))
    assert set(MKM["sets"]) == {"H + C", "H", "C", "all"}
    assert set(mcnamara["sets"]) == {"H + C", "H", "all"}
    assert mcnamara["sets"]["H"]["experiments"] == mcnamara["sets"]["all"]["experiments"]
    assert "MKM" in mcnamara["against"]
    assert report["floor"]["all"]["pairs"] > 0
