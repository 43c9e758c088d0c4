"""A real tissue-equivalent counter in a carbon beam (tepc_carbon_350), and spectra built from the definitions."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from surrogate3d.errors import FormatError
from surrogate3d.io.topas_microdosimetry import part_of, read_particles, read_spectrum, read_ydy

REAL = Path(__file__).parents[2].parent / "shared" / "data" / "topas" / "tepc_carbon_350"
FILES = ("ySpecfile.txt", "ySpecfile_Particle.txt", "ydy.txt")
MIDS = [(10 ** (-1 + n / 20) + 10 ** (-1 + (n + 1) / 20)) / 2 for n in range(100)]
WIDTHS = [10 ** (-1 + (n + 1) / 20) - 10 ** (-1 + n / 20) for n in range(100)]


@pytest.fixture
def counter(tmp_path):
    if not REAL.is_dir():
        pytest.skip("tepc_carbon_350 is not beside the repository")
    for name in FILES:
        shutil.copyfile(REAL / name, tmp_path / name)
    return tmp_path


def built(folder, change=None):
    """Two lines of equal frequency at 1 and 10 keV/um, written as TsYScorer does; `change` edits the columns."""
    f = np.zeros(100)
    f[[20, 40]] = 0.5 / np.array(WIDTHS)[[20, 40]]
    y = np.array(MIDS)
    y_F = (y * f * WIDTHS).sum()
    d = y * f / y_F
    columns = {"y": y, "f": f, "yf": y * f, "d": d, "yd": y * d, "yF": y_F, "yD": (y * d * WIDTHS).sum()}
    columns |= change(columns) if change else {}
    text = f"yF = {columns['yF']:.4e} (std: 1.0e-02) keV/um\nyD = {columns['yD']:.4e} (std: 1.0e-02) keV/um\n"
    text += "y (keV/um)     f(y)(std)  yf(y)(std) d(y)(std) yd(y)(std)  \n"
    for n in range(100):
        row = [columns["y"][n]] + [x for name in ("f", "yf", "d", "yd") for x in (columns[name][n], 0.0)]
        text += "  ".join(f"{x:.4e}" for x in row) + " \n"
    (folder / "ySpecfile.txt").write_text(text)
    return folder / "ySpecfile.txt"


def test_the_means_of_the_real_counter_are_the_printed_ones(counter):
    found = read_spectrum(counter / "ySpecfile.txt")
    assert (found.y_F, found.y_F_std, found.y_D, found.y_D_std) == (17.516, 0.5623, 23.650, 1.0316)
    assert found.edges_kev_um[[0, 20, 100]] == pytest.approx([0.1, 1.0, 1e4])
    assert found.y_kev_um == pytest.approx(MIDS)


def test_the_real_spectrum_fulfils_the_definitions_of_icru_36(counter):
    found = read_spectrum(counter / "ySpecfile.txt")
    width = np.diff(found.edges_kev_um)
    assert (found.f_y * width).sum() == pytest.approx(1, abs=5e-5)
    assert (found.y_kev_um * found.f_y * width).sum() == pytest.approx(17.516, rel=5e-5)
    assert (found.y_kev_um * found.d_y * width).sum() == pytest.approx(23.650, rel=5e-5)
    assert not any("spectrum gives" in note or "does not follow" in note for note in found.notes)


def test_values_of_one_bin_are_those_of_its_line(counter):
    found = read_spectrum(counter / "ySpecfile.txt")
    n = int(np.argmax(found.yd_y))
    row = [float(x) for x in (counter / "ySpecfile.txt").read_text().splitlines()[3 + n].split()]
    columns = (found.f_y, found.f_y_std, found.yf_y, found.yf_y_std, found.d_y, found.d_y_std, found.yd_y)
    assert [float(c[n]) for c in columns] == row[1:8]
    assert row[7] == 1.9568


def test_nan_of_the_particle_table_is_kept_and_counted(counter):
    found = read_spectrum(counter / "ySpecfile.txt")
    assert list(found.particles) == ["e-", "H", "He", "Li", "Be", "B", "C", "Other"]
    assert found.n_nan == {"C": 4, "Other": 45}
    assert np.isnan(found.particles["Other"]).sum() == 45
    assert (counter / "ySpecfile_Particle.txt").read_text().count("nan") == 4 + 45


def test_a_particle_column_that_cannot_be_is_told(counter):
    """The real file has 131 in a bin of total 1.4416, and -5.2 in another."""
    found = read_spectrum(counter / "ySpecfile.txt")
    assert max(found.particles["Other"][~np.isnan(found.particles["Other"])]) > 100
    assert any("Other is negative or above the total in 13 bins" in note for note in found.notes)
    assert any("do not add up to the total" in note for note in found.notes)
    # Without that column the rest is right: carbon and its fragments lie between 0 and the total.
    assert np.nan_to_num(found.particles["C"]).sum() < found.yd_y.sum()


def test_the_three_files_are_told_apart_and_agree(counter):
    assert [part_of(counter / name) for name in FILES] == ["spectrum", "particles", "ydy"]
    found = read_spectrum(counter / "ySpecfile.txt")
    assert [path.name for path in found.files] == list(FILES)
    assert (read_ydy(counter / "ydy.txt") == found.yd_y).all()
    assert (read_particles(counter / "ySpecfile_Particle.txt")["Total[yd(y)]"] == found.yd_y).all()


def test_a_built_spectrum_has_no_notes(tmp_path):
    found = read_spectrum(built(tmp_path))
    assert found.notes == ()
    assert found.y_F == pytest.approx((MIDS[20] + MIDS[40]) / 2, rel=1e-4)
    assert found.y_D == pytest.approx((MIDS[20] ** 2 + MIDS[40] ** 2) / (MIDS[20] + MIDS[40]), rel=1e-4)
    assert found.particles == {}


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda c: {"yF": 1.001 * c["yF"]}, "y_F is"),
        (lambda c: {"yD": 0.999 * c["yD"]}, "y_D is"),
        (lambda c: {"f": 1.001 * c["f"]}, "sum of f(y) dy is 1, but the spectrum gives 1.001"),
        (lambda c: {"yf": 1.001 * c["yf"]}, "y f(y) does not follow from the other columns in 2 of 100 bins"),
        (lambda c: {"yd": 1.001 * c["yd"]}, "y d(y) does not follow"),
        (lambda c: {"d": 1.001 * c["d"]}, "sum of d(y) dy is 1"),
    ],
)
def test_a_part_in_a_thousand_off_is_told(tmp_path, change, note):
    assert any(note in text for text in read_spectrum(built(tmp_path, change)).notes)


def test_files_of_another_run_beside_it_are_told(counter):
    built(counter)
    notes = read_spectrum(counter / "ySpecfile.txt").notes
    assert sum("they are of different runs" in note for note in notes) == 2


def edited(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("yF = ", "y_mean = ", "expected 'yF"),
        ("yd(y)(std)", "other", "line 3: expected columns"),
        ("1.0610e-01", "1.0593e-01", "bin 0 is expected at 1.0610e-01"),
        ("1.0610e-01  ", "", "line 4: expected 9 numbers, found 8"),
        ("1.0610e-01", "x", "not a table of numbers"),
    ],
)
def test_other_files_and_other_bins_are_refused(tmp_path, old, new, reason):
    with pytest.raises(FormatError, match=reason):
        read_spectrum(edited(built(tmp_path), old, new))


def test_a_cut_spectrum_is_refused(tmp_path):
    path = built(tmp_path)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:60]))
    with pytest.raises(FormatError, match=r"expected 100 bins .* found 57"):
        read_spectrum(path)


def test_the_files_are_not_taken_for_each_other(counter):
    with pytest.raises(FormatError, match="expected 'yF"):
        read_spectrum(counter / "ydy.txt")
    with pytest.raises(FormatError, match="expected columns"):
        read_particles(counter / "ydy.txt")
    with pytest.raises(FormatError, match="expected 2 numbers"):
        read_ydy(counter / "ySpecfile_Particle.txt")
    (counter / "a.txt").write_text("a text\n")
    assert part_of(counter / "a.txt") is None
