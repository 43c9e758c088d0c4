"""Results of TsYScorer as numbers of events: a real spectrum, and what may be wrong with one."""

import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest

from surrogate3d.errors import FormatError
from surrogate3d.io.topas_job_results import read_events

REAL = Path(__file__).parents[1] / "fixtures" / "tepc"
STAND_IN = runpy.run_path(str(Path(__file__).parents[1] / "direct" / "stand_in_topas.py"))


@pytest.fixture
def folder(tmp_path):
    """A copy of the real spectrum."""
    return Path(shutil.copytree(REAL, tmp_path / "run"))


def change(folder, name, edit):
    (folder / name).write_text(edit((folder / name).read_text()))


def test_the_bins_of_a_real_spectrum_hold_whole_numbers_of_its_events(folder):
    events = read_events(folder)
    assert events.n_events == 3718  # what Scorer.header states
    assert events.counts[8:12].tolist() == [0, 10, 16, 12]
    f = events.counts / 3718 / np.diff(10.0 ** (-1 + np.arange(101) / 20))
    assert f[9] == pytest.approx(7.8211e-02, rel=1e-4)  # as printed
    assert events.y_kev_um @ events.counts / 3718 == pytest.approx(1.7516e01, rel=1e-4)  # yF as printed


def test_any_numbers_of_events_come_back_as_they_were(tmp_path):
    counts = np.random.default_rng(1).poisson(np.geomspace(3000, 0.01, 100))
    STAND_IN["write_results"](tmp_path, counts)
    assert read_events(tmp_path).counts.tolist() == counts.tolist()


def test_more_events_than_printed_digits_come_back_within_them(tmp_path):
    counts = np.random.default_rng(1).poisson(np.geomspace(3e6, 0.01, 100))
    STAND_IN["write_results"](tmp_path, counts)
    assert read_events(tmp_path).counts == pytest.approx(counts, rel=1e-4, abs=1)


@pytest.mark.parametrize("part", [0.2, 0.5, 0.999])
def test_a_cut_spectrum_is_refused(part, folder):
    change(folder, "ySpecfile.txt", lambda text: text[: int(part * len(text))])
    with pytest.raises(FormatError, match="cut"):
        read_events(folder)


def test_a_spectrum_cut_after_a_whole_row_is_refused(folder):
    change(folder, "ySpecfile.txt", lambda text: "".join(text.splitlines(True)[:-7]))
    with pytest.raises(FormatError, match="100 bins"):
        read_events(folder)


def test_a_number_that_lost_its_exponent_is_refused(folder):
    change(folder, "ySpecfile.txt", lambda text: text.replace("1.3097e-01", "1.3097e+01"))
    with pytest.raises(FormatError, match="cut or not whole"):
        read_events(folder)


def test_a_spectrum_of_nothing_is_refused(tmp_path):
    STAND_IN["write_results"](tmp_path, np.zeros(100, int))
    assert "nan" in (tmp_path / "ySpecfile.txt").read_text()
    with pytest.raises(FormatError, match="nan"):
        read_events(tmp_path)


def test_a_header_of_another_run_is_refused(folder):
    change(folder, "Scorer.header", lambda text: text.replace("3718", "3719"))
    with pytest.raises(FormatError, match="different runs"):
        read_events(folder)


@pytest.mark.parametrize("name", ["ySpecfile.txt", "Scorer.header"])
def test_a_missing_file_is_named(name, folder):
    (folder / name).unlink()
    with pytest.raises(FormatError, match=f"no {name} was written"):
        read_events(folder)


@pytest.mark.parametrize("stated", ["", "Number of Scored Entries: many", "Number of Scored Entries: -3"])
def test_a_header_without_a_number_is_refused(stated, folder):
    change(folder, "Scorer.header", lambda text: stated)
    with pytest.raises(FormatError, match="Number of Scored Entries: N"):
        read_events(folder)


def test_another_file_under_this_name_is_refused(folder):
    shutil.copy(folder / "ydy.txt", folder / "ySpecfile.txt")
    with pytest.raises(FormatError, match="TsYScorer"):
        read_events(folder)
