import math

import pytest

from surrogate3d.errors import FormatError, StoreError, ValueRangeError
from surrogate3d.io.survival_data import read_survival

PLAIN = "dose_gy,survival\n0,1\n1,0.7\n2,0.4\n4,0.1\n"
STATED = "dose_gy,survival,survival_se\n0,1,0\n1,0.7,0.07\n2,0.4,0.02\n"
COUNTS = "experiment,dose_gy,colonies,cells_seeded\na,0,100,200\na,2,50,400\nb,0,81,200\nb,2,36,400\n"
IONS = (
    "radiation,energy_mev_u,LET_kev_um,dose_gy,survival\n"
    "photon,,,1,0.7\nC,100,,1,0.5\nC,,50,1,0.3\nHe,10,18,1,0.4\n,,,0,1\n"
)


@pytest.fixture
def read(tmp_path):
    def write_and_read(text):
        (tmp_path / "survival.csv").write_text(text)
        return read_survival(tmp_path / "survival.csv")

    return write_and_read


def test_plain_survival_is_of_photons_and_of_one_experiment(read):
    data = read(PLAIN)
    assert [point.dose_gy for point in data.points] == [0, 1, 2, 4]
    assert [math.exp(point.log_survival) for point in data.points] == pytest.approx([1, 0.7, 0.4, 0.1])
    assert {(point.radiation, point.experiment, point.sd) for point in data.points} == {("photon", "", None)}
    assert (data.file, data.errors, data.raw, len(data.sha256)) == ("survival.csv", "unknown", False, 64)


def test_a_stated_error_becomes_that_of_the_logarithm(read):
    data = read(STATED)
    assert [point.sd for point in data.points] == pytest.approx([0, 0.1, 0.05])
    assert data.errors == "stated"


def test_counts_have_the_error_of_poisson_and_hold_the_plating_efficiency(read):
    data = read(COUNTS)
    assert [math.exp(point.log_survival) for point in data.points] == pytest.approx([0.5, 0.125, 0.405, 0.09])
    assert [point.sd for point in data.points] == pytest.approx([0.1, 50**-0.5, 1 / 9, 1 / 6])
    assert [point.experiment for point in data.points] == ["a", "a", "b", "b"]
    assert (data.errors, data.raw) == ("counted", True)


def test_ions_have_energy_or_let(read):
    data = read(IONS)
    found = [(point.radiation, point.energy_mev_u, point.LET) for point in data.points]
    assert found == [
        ("photon", None, None), ("C", 100, None), ("C", None, 50), ("He", 10, 18), ("", None, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (PLAIN.replace("dose_gy", "dose"), FormatError, "line 1: unknown column 'dose'; write the dose in Gy"),
        (PLAIN.replace("survival", "S"), FormatError, "unknown column 'S'"),
        (PLAIN.replace("dose_gy,survival", "survival,survival"), FormatError, "there twice"),
        (PLAIN.replace("survival", "survival,energy_mev"), FormatError, "per nucleon"),
        ("dose_gy,experiment\n1,a\n", FormatError, "needs a column 'survival', or the columns 'colonies' and"),
        ("dose_gy,colonies\n1,5\n", FormatError, "needs a column 'survival', or the columns 'colonies' and"),
        ("dose_gy,survival,colonies\n1,0.5,5\n", FormatError, "not both; found colonies, survival"),
        ("survival\n0.5\n", FormatError, "column 'dose_gy' is missing"),
        (PLAIN.replace("2,0.4", "-2,0.4"), ValueRangeError, "line 4: dose_gy"),
        (
            PLAIN.replace("2,0.4", "200,0.4"),
            ValueRangeError,
            "line 4: dose_gy .*100 Gy, found 200; check .* in Gy",
        ),
        (PLAIN.replace("2,0.4", "2,0"), ValueRangeError, "line 4: survival must be above 0; no colony is a bound"),
        (PLAIN.replace("2,0.4", "2,-0.4"), ValueRangeError, "line 4: survival"),
        (PLAIN.replace("2,0.4", "2,40"), ValueRangeError, "line 4: survival must be a fraction, at most 1.2, found 40"),
        (PLAIN.replace("2,0.4", "2,1.21"), ValueRangeError, "at most 1.2"),
        (PLAIN.replace("2,0.4", "2,nan"), FormatError, "line 4: survival must be a number"),
        (PLAIN.replace("0,1\n", "0,0.5\n"), ValueRangeError, "line 2: the control at 0 Gy.*plating efficiency"),
        (STATED.replace("0.02", "0.5"), ValueRangeError, "line 4: survival_se must be above 0 and below.*found 0.5"),
        (STATED.replace("0.02", "0"), ValueRangeError, "line 4: survival_se must be above 0"),
        (STATED.replace("0.02", ""), FormatError, "line 4: survival_se is empty, but 2 other rows have one"),
        (COUNTS.replace("50,400", "0,400"), ValueRangeError, "line 3: colonies and cells_seeded.*found 0 and 400"),
        (COUNTS.replace("50,400", "50.5,400"), ValueRangeError, "line 3: .*whole numbers"),
        (COUNTS.replace("50,400", "500,400"), ValueRangeError, "line 3: .*colonies <= cells_seeded"),
        (COUNTS.replace("b,0,81,200\n", ""), FormatError, "line 4: experiment 'b' has no row of 0 Gy"),
        ("dose_gy,colonies,cells_seeded\n1,5,10\n", FormatError, "line 2: the file has no row of 0 Gy"),
        (COUNTS.replace("a,2,", ",2,"), FormatError, "line 3: experiment is empty"),
        (IONS.replace("C,100", "carbon,100"), FormatError, "line 3: radiation must be 'photon' or an element symbol"),
        (IONS.replace("photon,,,1", ",,,1"), FormatError, "line 2: radiation must be"),
        (IONS.replace("C,100", "C,"), FormatError, "line 3: ions of C need energy_mev_u or LET_kev_um"),
        (IONS.replace("C,100", "C,0"), ValueRangeError, "line 3: energy_mev_u and LET_kev_um of ions must be above 0"),
        (IONS.replace("photon,,", "photon,6,"), FormatError, "line 2: leave energy_mev_u and LET_kev_um of photons"),
    ],
)
def test_data_that_are_not_sure_are_refused(read, text, error, words):
    with pytest.raises(error, match=words):
        read(text)


def test_a_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(StoreError, match="no file at"):
        read_survival(tmp_path / "survival.csv")
