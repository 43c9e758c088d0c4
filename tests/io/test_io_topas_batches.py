"""Batches of histories that are known one by one: the combined statistics must be those of all of them."""

from pathlib import Path

import numpy as np
import pytest
from topas_writer import header as head_text
from topas_writer import write_bin

from surrogate3d.errors import FormatError, GridMismatchError, QuantityError, UnsupportedError
from surrogate3d.io.topas_batches import HISTORIES, merge_batches
from surrogate3d.io.topas_grid import read_values
from surrogate3d.io.topas_header import read_header

SHAPE = (2, 3, 4)
ALL = ("Sum", "Mean", HISTORIES, "Count_in_Bin", "Second_Moment", "Variance", "Standard_Deviation", "Min", "Max")
LET = "ProtonLET ( MeV/mm/(g/cm3) )"
REAL = Path(__file__).parents[2].parent / "shared" / "data" / "topas" / "topas2numpy" / "Dose.binheader"


def statistics(hits):
    """What TOPAS reports of (history, i, j, k) hits."""
    n, mean = len(hits), hits.mean(axis=0)
    second = ((hits - mean) ** 2).sum(axis=0)
    return {
        "Sum": hits.sum(axis=0),
        "Mean": mean,
        HISTORIES: np.full(mean.shape, float(n)),
        "Count_in_Bin": (hits > 0).sum(axis=0).astype(float),
        "Second_Moment": second,
        "Variance": second / (n - 1),
        "Standard_Deviation": np.sqrt(second / (n - 1)),
        "Min": hits.min(axis=0),
        "Max": hits.max(axis=0),
    }


def batch(folder, values, columns=ALL, quantity="DoseToWater ( Gy )", scorer="Dose", **settings):
    """A `.bin` of one batch; `values` by statistic, or an array for all of them."""
    number = len(list(folder.glob("*.bin")))
    path = folder / f"{scorer}_{number}.binheader"
    stack = [values[name] for name in columns] if isinstance(values, dict) else [values] * len(columns)
    head = head_text(scorer, quantity, stack[0].shape, columns=columns, **settings)
    write_bin(path, head, np.stack(stack, axis=-1)[..., None, :])
    return read_values(path, read_header(path))


@pytest.fixture
def hits():
    rng = np.random.default_rng(3)
    values = rng.exponential(size=(60, *SHAPE)) * (rng.random((60, *SHAPE)) < 0.7)
    return np.split(values, [10, 25])  # 10, 15 and 35 histories


def of(folder, hits, columns=ALL, **settings):
    return [batch(folder, statistics(part), columns, **settings) for part in hits]


def test_every_statistic_is_that_of_all_histories(tmp_path, hits):
    merged = merge_batches(of(tmp_path, hits))
    expected = statistics(np.concatenate(hits))
    assert tuple(merged.columns) == ALL
    for name in ALL:
        np.testing.assert_allclose(merged.columns[name][..., 0], expected[name], rtol=1e-12)
    assert not merged.left_out
    assert merged.n_batches == 3
    assert merged.error_source == "reported deviations"
    np.testing.assert_allclose(
        merged.standard_error[..., 0], np.sqrt(60) * np.concatenate(hits).std(axis=0, ddof=1), rtol=1e-12
    )


@pytest.mark.parametrize("reported", ["Second_Moment", "Variance", "Standard_Deviation"])
@pytest.mark.parametrize("first", ["Sum", "Mean"])
def test_any_of_the_deviations_will_do(tmp_path, hits, reported, first):
    merged = merge_batches(of(tmp_path, hits, (reported, HISTORIES, first)))
    expected = statistics(np.concatenate(hits))
    np.testing.assert_allclose(merged.columns[reported][..., 0], expected[reported], rtol=1e-12)
    np.testing.assert_allclose(merged.columns[first][..., 0], expected[first], rtol=1e-12)
    assert merged.error_source == "reported deviations"


def test_second_moment_of_a_real_file_is_about_its_mean():
    """Why second moments do not add: TOPAS's is Variance x (histories - 1)."""
    if not REAL.is_file():
        pytest.skip("topas2numpy is not beside the repository")
    real = read_values(REAL, read_header(REAL))
    second, variance, n = (real.column(name) for name in ("Second_Moment", "Variance", HISTORIES))
    np.testing.assert_allclose(second, variance * (n - 1), rtol=1e-12)


def test_without_deviations_the_scatter_of_the_batches_tells_the_error(tmp_path, hits):
    merged = merge_batches(of(tmp_path, hits, ("Sum", HISTORIES)))
    sums = [part.sum(axis=0) for part in hits]
    mean = sum(sums) / 60
    squares = sum(n * (s / n - mean) ** 2 for s, n in zip(sums, (10, 15, 35), strict=True))
    np.testing.assert_allclose(merged.standard_error[..., 0], np.sqrt(60 * squares / 2), rtol=1e-12)
    assert merged.error_source == "scatter of the batches"


def test_equal_batches_scatter_as_their_sums(tmp_path):
    sums = np.random.default_rng(1).random((4, *SHAPE))
    merged = merge_batches([batch(tmp_path, s, ("Sum",)) for s in sums], histories=[100] * 4)
    np.testing.assert_allclose(merged.standard_error[..., 0], np.sqrt(4) * sums.std(axis=0, ddof=1), rtol=1e-12)


def test_without_histories_there_is_no_error_and_no_mean(tmp_path, hits):
    merged = merge_batches(of(tmp_path, hits, ("Sum", "Mean", "Standard_Deviation")))
    assert tuple(merged.columns) == ("Sum",)
    assert set(merged.left_out) == {"Mean", "Standard_Deviation"}
    assert "add Histories to Report" in merged.left_out["Mean"]
    assert (merged.standard_error, merged.error_source) == (None, "none")
    given = merge_batches(
        of(tmp_path, hits, ("Sum", "Mean", "Standard_Deviation"), scorer="Again"), histories=[10, 15, 35]
    )
    np.testing.assert_allclose(given.columns["Mean"][..., 0], np.concatenate(hits).mean(axis=0), rtol=1e-12)


def test_a_deviation_alone_is_left_out(tmp_path, hits):
    merged = merge_batches(of(tmp_path, hits, ("Standard_Deviation", HISTORIES)))
    assert merged.left_out == {"Standard_Deviation": "needs Sum or Mean beside it"}


def test_one_batch_is_itself(tmp_path, hits):
    merged = merge_batches(of(tmp_path, hits[:1]))
    np.testing.assert_allclose(merged.columns["Variance"][..., 0], statistics(hits[0])["Variance"], rtol=1e-12)
    assert merge_batches(of(tmp_path, hits[:1], ("Sum", HISTORIES), scorer="B")).standard_error is None


def let(folder, values, doses):
    lets = [batch(folder, np.asarray(v, float), ("Sum",), LET, "LETd") for v in values]
    return lets, [batch(folder, np.asarray(d, float), ("Sum",)) for d in doses]


def test_let_is_weighted_by_the_dose_of_its_batch(tmp_path):
    rng = np.random.default_rng(2)
    values, doses = 1 + rng.random((3, *SHAPE)), rng.random((3, *SHAPE))
    lets, dose = let(tmp_path, values, doses)
    merged = merge_batches(lets, dose, weighting="dose")
    np.testing.assert_allclose(merged.columns["Sum"][..., 0], (doses * values).sum(0) / doses.sum(0), rtol=1e-12)
    assert merged.error_source == "scatter of the batches"


def test_batches_without_a_denominator_do_not_pull_let_down(tmp_path):
    values = np.full((2, *SHAPE), 4.0)
    values[1] = 8.0
    values[0, 0, 0, 0] = 0.0  # no proton there in the first batch
    values[:, 1, 1, 1] = 0.0  # nor ever there
    doses = np.ones((2, *SHAPE))
    doses[1] = 3.0
    merged = merge_batches(*let(tmp_path, values, doses), weighting="dose").columns["Sum"][..., 0]
    assert merged[0, 0, 0] == 8.0
    assert np.isnan(merged[1, 1, 1])
    assert merged[1, 0, 0] == (4 + 3 * 8) / 4


def test_the_error_of_let_is_that_of_equal_batches(tmp_path):
    values = np.random.default_rng(4).random((5, *SHAPE)) + 1
    merged = merge_batches(*let(tmp_path, values, [np.full(SHAPE, 2.0 + 1e-9 * n) for n in range(5)]), weighting="dose")
    expected = values.std(axis=0, ddof=1) / np.sqrt(5)
    np.testing.assert_allclose(merged.standard_error[..., 0], expected, rtol=1e-6)


def test_let_is_refused_without_dose_or_weighting(tmp_path):
    lets, dose = let(
        tmp_path, np.random.default_rng(1).random((2, *SHAPE)), np.random.default_rng(2).random((2, *SHAPE))
    )
    with pytest.raises(QuantityError, match="give weighting"):
        merge_batches(lets, dose)
    with pytest.raises(QuantityError, match=r"sum\(D LET\) / sum\(D\); give the dose"):
        merge_batches(lets, weighting="dose")
    with pytest.raises(UnsupportedError, match="track length"):
        merge_batches(lets, dose, weighting="track")
    with pytest.raises(GridMismatchError, match="dose of each of 2 batches"):
        merge_batches(lets, dose[:1], weighting="dose")
    with pytest.raises(QuantityError, match="expected one of DoseToMedium"):
        merge_batches(lets, lets, weighting="dose")


def test_dose_on_other_voxels_is_refused(tmp_path):
    lets, _ = let(tmp_path, np.random.default_rng(1).random((2, *SHAPE)), [])
    other = [batch(tmp_path, np.random.default_rng(n).random((2, 3, 5)), ("Sum",)) for n in range(2)]
    with pytest.raises(GridMismatchError, match="not scored on the voxels of LETd"):
        merge_batches(lets, other, weighting="dose")


def test_let_in_energy_bins_and_rbe_are_refused(tmp_path):
    rbe = [batch(tmp_path, np.full(SHAPE, 1.0 + n), ("Sum",), "RBE_McNamara", "RBE") for n in range(2)]
    with pytest.raises(UnsupportedError, match="does not average"):
        merge_batches(rbe)
    binned = head_text("L", LET, SHAPE, binning=("Binned by pre-step energy in 2 bins of 5 MeV from 0 MeV to 10 MeV",))
    write_bin(tmp_path / "L", binned, np.ones((*SHAPE, 4, 1)))
    path = tmp_path / "L.binheader"
    with pytest.raises(UnsupportedError, match="never divided"):
        merge_batches([read_values(path, read_header(path))], weighting="dose")


def test_one_batch_twice_is_refused(tmp_path, hits):
    first, second = of(tmp_path, [hits[0], hits[0]])
    with pytest.raises(FormatError, match="count twice"):
        merge_batches([first, second])
    with pytest.raises(FormatError, match="count twice"):
        merge_batches([first, first])


def test_two_batches_that_hit_nothing_are_no_copies(tmp_path):
    empty = {name: np.zeros(SHAPE) for name in ALL} | {HISTORIES: np.full(SHAPE, 5.0)}
    merged = merge_batches([batch(tmp_path, empty), batch(tmp_path, empty)])
    assert (merged.columns[HISTORIES] == 10).all()
    assert (merged.standard_error == 0).all()


def test_batches_of_other_scorers_are_refused(tmp_path, hits):
    one = batch(tmp_path, statistics(hits[0]))
    for other in (
        batch(tmp_path, statistics(hits[1]), quantity="DoseToMedium ( Gy )"),
        batch(tmp_path, statistics(hits[1]), filters=("OnlyIncludeParticlesCharged = 1",)),
        batch(tmp_path, statistics(hits[1]), ALL[:3]),
        batch(tmp_path, statistics(np.ones((5, 2, 3, 5)))),
    ):
        with pytest.raises(GridMismatchError, match="they differ in"):
            merge_batches([one, other])
    with pytest.raises(FormatError, match="at least one batch"):
        merge_batches([])


def test_other_masks_are_refused(tmp_path):
    filters = ("OnlyIncludeIfInRTStructure = 1",)
    values = [np.random.default_rng(n).random(SHAPE) for n in range(2)]
    values[0][0, 0, 0] = -1.0
    parts = [batch(tmp_path, v, ("Sum",), filters=filters) for v in values]
    with pytest.raises(GridMismatchError, match="masks of the batches"):
        merge_batches(parts)
    values[1] = np.where(values[0] == -1, -1, values[1])
    merged = merge_batches([parts[0], batch(tmp_path, values[1], ("Sum",), filters=filters)])
    assert np.isnan(merged.columns["Sum"]).sum() == 1


def test_given_histories_must_fit(tmp_path, hits):
    parts = of(tmp_path, hits)
    with pytest.raises(QuantityError, match="expected positive histories of 3 batches"):
        merge_batches(parts, histories=[10, 15])
    with pytest.raises(QuantityError, match="more histories than the 9"):
        merge_batches(parts, histories=[9, 15, 35])
