"""Several runs of one plan become one field."""

from pathlib import Path

import numpy as np
import pytest
from topas_writer import three_runs, write_run

from surrogate3d.errors import (
    GridMismatchError,
    QuantityError,
)
from surrogate3d.io.convert import convert, read_run
from surrogate3d.io.topas_merge import balanced_halves

FIXTURE = Path(__file__).parents[1] / "fixtures" / "topas"
SHAPE = (2, 3, 4)
ONES = np.ones(SHAPE)


def test_sums_add_errors_add_in_quadrature_let_is_weighted(tmp_path):
    folders = three_runs(tmp_path, SHAPE)
    runs = [read_run(folder) for folder in folders]
    field, _ = convert(folders)
    dose = np.stack([r.dose for r in runs])
    h_only = [(r.spectra.fluence[0].sum(axis=0), r.spectra.underflow[0], r.spectra.overflow[0]) for r in runs]
    tracks = np.stack([np.sum(parts, axis=0, dtype=float) for parts in h_only])
    assert field.histories == 650
    np.testing.assert_allclose(field.dose, dose.sum(axis=0))
    np.testing.assert_allclose(field.spectra.fluence[0], sum(r.spectra.fluence[0] for r in runs), rtol=1e-6)
    std = np.stack([r.volumes["dose_std"].values for r in runs])
    np.testing.assert_allclose(field.volumes["dose_std"].values, np.linalg.norm(std, axis=0))
    for name, weights in (("LET_d", dose), ("LET_t", tracks)):
        values = np.stack([r.volumes[name].values for r in runs])
        np.testing.assert_allclose(field.volumes[name].values, np.average(values, axis=0, weights=weights), rtol=1e-6)


def test_a_run_without_let_in_a_voxel_does_not_dilute_it(tmp_path):
    let = np.full(SHAPE, 4.0)
    hole = let.copy()
    hole[0, 0, 0] = 0
    folders = [
        write_run(tmp_path / "a", seed=1, DoseToWater=ONES, LETd=let),
        write_run(tmp_path / "b", seed=2, DoseToWater=2 * ONES, LETd=hole),
    ]
    field, _ = convert(folders)
    np.testing.assert_allclose(field.volumes["LET_d"].values, 4)


def test_halves_are_balanced_and_their_weighted_mean_is_the_whole(tmp_path):
    field, _ = convert(three_runs(tmp_path, SHAPE))
    # 300 against 250 + 100; each half is scaled to all 650 histories.
    weights = [300 / 650, 350 / 650]
    halves = dict(zip(weights, field.halves, strict=True))
    mean = sum(w * h.fluence for w, h in halves.items())
    np.testing.assert_allclose(mean, field.spectra.fluence, rtol=1e-6)
    np.testing.assert_allclose(sum(w * d for w, d in zip(weights, field.halves_dose, strict=True)), field.dose)


@pytest.mark.parametrize(
    ("histories", "expected"),
    [([5, 5], (5, 5)), ([100, 300, 250], (300, 350)), ([4, 3, 2, 2, 1], (6, 6)), ([9, 1, 1], (9, 2))],
)
def test_balance(histories, expected):
    sums = tuple(sum(histories[n] for n in half) for half in balanced_halves(histories))
    assert sorted(sums) == sorted(expected)


def test_real_runs_merge(topas_data):
    a, b = topas_data("proton_shallow_high"), topas_data("proton_shallow_highB")
    field, report = convert([a, b])
    assert field.histories == report.histories == 4_000_000
    first, second = (read_run(run) for run in (a, b))
    np.testing.assert_allclose(field.dose, first.dose + second.dose)
    np.testing.assert_allclose(field.halves_dose[0], 2 * first.dose)
    np.testing.assert_allclose(field.halves[1].fluence, 2 * second.spectra.fluence, rtol=1e-6)
    lower, upper = np.fmin(*lets(first, second)), np.fmax(*lets(first, second))
    merged = field.volumes["LET_d"].values
    known = np.isfinite(merged)
    assert (merged >= lower - 1e-9)[known].all()
    assert (merged <= upper + 1e-9)[known].all()


def lets(*fields):
    return [f.volumes["LET_d"].values for f in fields]


def test_the_same_seed_twice(tmp_path):
    folders = [write_run(tmp_path / name, seed=7, histories=n) for name, n in (("a", 100), ("b", 200))]
    with pytest.raises(QuantityError, match="runs a and b: Ts/Seed is 7 and 7"):
        convert(folders)


def test_the_same_run_under_another_seed(tmp_path):
    folders = [write_run(tmp_path / name, seed=seed, DoseToWater=ONES) for name, seed in (("a", 1), ("b", 2))]
    with pytest.raises(QuantityError, match="counted twice"):
        convert(folders)


@pytest.mark.parametrize(
    ("change", "error", "name"),
    [
        ("d:Ge/BeamPosition/TransX = 1 mm\n", GridMismatchError, "Ge/BeamPosition/TransX"),
        ("d:Sc/LETd/MaxScoredLET = 25 MeV/mm/(g/cm3)\n", QuantityError, "Sc/LETd/MaxScoredLET"),
        ("d:Ph/Default/Cut = 1 mm\n", QuantityError, "Ph/Default/Cut"),
        ("d:So/Beam/BeamEnergy = 70 MeV\n", QuantityError, "So/Beam/BeamEnergy"),
    ],
)
def test_runs_of_different_plans_name_the_parameter(tmp_path, change, error, name):
    folders = [write_run(tmp_path / "a", seed=1), write_run(tmp_path / "b", seed=2, parameters=change)]
    with pytest.raises(error, match=f"{name} is (not set|0. m) and"):
        convert(folders)


def test_output_names_threads_and_histories_may_differ(tmp_path):
    more = 's:Sc/LETd/OutputFile = "b"\ni:Ts/NumberOfThreads = 4\n'
    folders = [write_run(tmp_path / "a", seed=1), write_run(tmp_path / "b", seed=2, histories=900, parameters=more)]
    assert convert(folders)[0].histories == 1000


SECOND = 's:So/Second/Type = "Beam"\ns:So/Second/Component = "BeamPosition"\n'


def test_two_sources_in_another_proportion_are_another_plan(tmp_path):
    def run(name, seed, histories, second):
        more = SECOND + f"i:So/Second/NumberOfHistoriesInRun = {second}\n"
        return write_run(tmp_path / name, seed=seed, histories=histories, parameters=more)

    one, double, other = run("a", 1, 333, 667), run("b", 2, 667, 1333), run("c", 3, 333, 333)
    assert convert([one, double])[0].histories == 667 + 1333  # both shoot in every event
    with pytest.raises(QuantityError, match=r"source beam has 33.3 % and 50 % of the histories"):
        convert([one, other])


def test_runs_on_different_grids(tmp_path):
    folders = [write_run(tmp_path / "a", seed=1), write_run(tmp_path / "b", seed=2, shape=(2, 3, 5))]
    with pytest.raises(GridMismatchError, match="Ge/Grid/HLZ is 4 mm and 5 mm"):
        convert(folders)


def test_runs_with_different_quantities(tmp_path):
    folders = [
        write_run(tmp_path / "a", seed=1),
        write_run(tmp_path / "b", seed=2, DoseToWater=ONES, LETd=ONES),
    ]
    with pytest.raises(QuantityError, match="do not hold the same quantities"):
        convert(folders)


def test_no_runs():
    with pytest.raises(QuantityError, match="one or more run folders"):
        convert([])
