"""What of a folder in the format of PIDE 3.x is refused, what is left out, and what is kept with a note."""

import copy
import zipfile
from pathlib import Path

import numpy as np
import pytest
from invitro_folder import HEADER, Made, make, write, write_xlsx

from surrogate3d.errors import FormatError, StoreError, UnsupportedError
from surrogate3d.io.pide import Experiments, read_pide

MADE = make(np.random.default_rng(62), publications=4, per_publication=4)
CURVED = next(n for n, points in MADE.ion.items() if points)  # an ExpID with ion points
ROW = MADE.rows[CURVED - 1]
PHOTON = next(key for key, points in MADE.photon.items() if points)
USERS = tuple(row["#ExpID"] for row in MADE.rows if (row["#Publication"], row["#PhotonExp"]) == PHOTON)


@pytest.fixture
def made() -> Made:
    """A copy that a test may damage."""
    return copy.deepcopy(MADE)


def read(folder: Path, made: Made) -> Experiments:
    write(folder, made)
    return read_pide(folder)


def refusal(folder: Path, made: Made, forms: tuple[str, ...] = ("xlsx",)) -> str:
    write(folder, made, forms)
    return refused(folder)


def refused(folder: Path, error: type[Exception] = FormatError) -> str:
    with pytest.raises(error) as caught:
        read_pide(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_bytes().decode()
    assert old in text
    path.write_bytes(text.replace(old, new, 1).encode())


def notes(found: Experiments) -> dict[str, tuple[int, ...]]:
    return {note.what: note.numbers for note in found.notes}


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("#ExpID", "one", "expected a whole number, found 'one'"),
        ("#Publication", "N/A", "expected a whole number, found 'N/A'"),
        ("#PhotonExp", 1.5, "expected a whole number, found '1.5'"),
        ("PublicationName", "N/A", "expected a text, found 'N/A'"),
        ("Cells", "", "expected a text, found ''"),
        ("CellClass", "x", "expected 'n' (normal), 't' (tumour); found 'x'"),
        ("CellOrigin", "human", "expected 'h' (human), 'r' (rodent); found 'human'"),
        ("IrradiationConditions", "N/A", "expected 'm' (monoenergetic), 's' (spread out); found 'N/A'"),
        ("Ion", "carbon", "expected mass number and symbol such as 12C, found 'carbon'"),
        ("Ion", "12Q", "found '12Q'"),
        ("LET", "13,4", "expected a number such as 0.25, or N/A, found '13,4'"),
        ("Energy", "fast", "found 'fast'"),
        ("ai_fit", "nan", "found 'nan'"),
        ("bx_paper", "1e999", "found '1e999'"),
    ],
)
def test_a_damaged_cell_is_refused_with_file_line_and_column(tmp_path, made, column, value, said):
    made.rows[4][column] = value
    write(tmp_path, MADE, ())
    write_xlsx(tmp_path / "PIDE3.4.xlsx", [list(HEADER), *([row[k] for k in HEADER] for row in made.rows)])
    name, letter = column.lstrip("#"), "ABCDEFGHIJKLMNOPQRSTUVWX"[HEADER.index(column)]
    message = refused(tmp_path)
    assert message.startswith(f"PIDE3.4.xlsx, line 6, column {name} ({letter}): ")
    assert said in message


def test_a_missing_column_is_named(tmp_path, made):
    for row in made.rows:
        del row["LET"], row["bi_fit"]
    write(tmp_path, MADE)
    table = [list(made.rows[0]), *(list(row.values()) for row in made.rows)]
    write_xlsx(tmp_path / "PIDE3.4.xlsx", table)
    assert "PIDE3.4.xlsx, line 1: 2 columns of PIDE 3.x are missing: LET, bi_fit; found #ExpID" in refused(tmp_path)


def test_a_column_that_is_there_twice_is_refused(tmp_path):
    write(tmp_path, MADE)
    write_xlsx(tmp_path / "PIDE3.4.xlsx", [[*HEADER, "ExpID"], *([*row.values(), 1] for row in MADE.rows)])
    assert "column ExpID is there twice, as '#ExpID' and 'ExpID'" in refused(tmp_path)


@pytest.mark.parametrize("rows", [0, 1])
def test_a_table_without_rows_is_refused(tmp_path, rows):
    write(tmp_path, MADE)
    write_xlsx(tmp_path / "PIDE3.4.xlsx", [list(HEADER)][:rows])
    assert f"expected a header and rows below it, found {rows} lines" in refused(tmp_path)


@pytest.mark.parametrize("kept", [100, 3000])
def test_a_cut_workbook_is_refused(tmp_path, kept):
    write(tmp_path, MADE)
    table = tmp_path / "PIDE3.4.xlsx"
    table.write_bytes(table.read_bytes()[:kept])
    assert "PIDE3.4.xlsx: not a whole Excel workbook" in refused(tmp_path)


def test_a_workbook_with_damaged_bytes_is_refused(tmp_path):
    write(tmp_path, MADE)
    table = tmp_path / "PIDE3.4.xlsx"
    with zipfile.ZipFile(table) as book:
        start = book.getinfo("xl/worksheets/sheet1.xml").header_offset + 30 + len("xl/worksheets/sheet1.xml")
    content = bytearray(table.read_bytes())
    for value in (0x00, 0xFF):
        content[start : start + 60] = bytes([value]) * 60
        table.write_bytes(content)
        assert "PIDE3.4.xlsx: not a whole Excel workbook" in refused(tmp_path)


@pytest.mark.parametrize(
    ("part", "old", "new", "said"),
    [
        ("xl/workbook.xml", "<sheet ", "<chart ", "no sheet in it"),
        ("xl/workbook.xml", "rId7", "rId8", "rId8"),
        ("xl/worksheets/sheet1.xml", "</sheetData>", "", "mismatched tag"),
        (
            "xl/worksheets/sheet1.xml",
            '<c r="A1" t="s"><v>0<',
            '<c r="A1" t="s"><v>9999<',
            "row 1, cell A1: shared text",
        ),
        ("xl/worksheets/sheet1.xml", '<c r="A1"', "<c", "a cell without position"),
    ],
)
def test_a_damaged_workbook_is_refused(tmp_path, part, old, new, said):
    write(tmp_path, MADE)
    table = tmp_path / "PIDE3.4.xlsx"
    with zipfile.ZipFile(table) as book:
        parts = {name: book.read(name).decode() for name in book.namelist()}
    assert old in parts[part]
    parts[part] = parts[part].replace(old, new, 1)
    with zipfile.ZipFile(table, "w") as book:
        for name, text in parts.items():
            book.writestr(name, text)
    assert said in refused(tmp_path)


def test_a_row_of_another_length_is_refused(tmp_path):
    write(tmp_path, MADE, ("csv",))
    lines = (tmp_path / "PIDE3.4.csv").read_text().split("\n")
    for line in (lines[3].rsplit(",", 2)[0], lines[3] + ",1"):
        (tmp_path / "PIDE3.4.csv").write_text("\n".join([*lines[:3], line, *lines[4:]]))
        assert "PIDE3.4.csv, line 4: expected 24 values, found 2" in refused(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe", "not text in UTF-8"),
        (b"a,b\0", "not a text file"),
        (b'a,"b\n', "not a line of CSV"),
        (b"a;b\n1;2", "columns of PIDE 3.x are missing"),
    ],
)
def test_a_table_that_is_no_csv_is_refused(tmp_path, content, said):
    write(tmp_path, MADE, ())
    (tmp_path / "PIDE3.4.csv").write_bytes(content)
    message = refused(tmp_path)
    assert message.startswith("PIDE3.4.csv")
    assert said in message


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("\t\r\n", "\t0.5\t\r\n", "doses and survival must come in pairs, found"),
        ("\tN/A\tN/A", "", "and pairs of dose and survival, found 5 values"),
        ("\tN/A\tN/A", "\tN/A\t0.5", "column 6: expected a number such as 0.25, or N/A, found 'N/A'"),
        ("1\t1\talder01", "x\t1\talder01", "line 1, ExpID: expected a whole number, found 'x'"),
        ("2\t1\talder01", "1\t1\talder01", "line 2: the ion curve (1,) is there twice, first at"),
        ("alder01", "birch01", "line 1, PublicationName: expected 'alder01' as in PIDE3.4.xlsx, line 2"),
        ("1\t1\talder01\t1", "1\t1\talder01\t7", "line 1, IonExp: expected '1' as in"),
    ],
)
def test_a_damaged_file_of_points_is_refused_with_its_line(tmp_path, made, old, new, said):
    made.ion[2] = []
    write(tmp_path, made)
    edit(tmp_path / "PIDE3.4_IonRawData.dat", old, new)
    message = refused(tmp_path)
    assert message.startswith("PIDE3.4_IonRawData.dat, line ")
    assert said in message


def test_a_file_of_points_of_another_version_is_refused(tmp_path):
    write(tmp_path, MADE)
    edit(tmp_path / "PIDE3.4_PhotonRawData.dat", "alder01", "aspen99")
    assert "expected 'alder01'" in (message := refused(tmp_path))
    assert "are the files of one version?" in message


def test_missing_files_and_other_versions_are_refused(tmp_path):
    assert "no folder at" in refused(tmp_path / "none", StoreError)
    assert "no table PIDE3.x.xlsx" in refused(tmp_path, StoreError)
    write(tmp_path, MADE)
    (tmp_path / "PIDE3.4_IonRawData.dat").rename(tmp_path / "PIDE3.2_IonRawData.dat")
    assert "no file PIDE3.4_IonRawData.dat" in refused(tmp_path, StoreError)
    write(tmp_path, MADE, version="3.2")
    assert "holds PIDE 3.2 and 3.4" in refused(tmp_path, UnsupportedError)
    write(tmp_path / "old", MADE, version="2.0")
    assert "holds PIDE 2.0; this reads 3.x" in refused(tmp_path / "old", UnsupportedError)


@pytest.mark.parametrize(
    ("column", "value", "said"),
    [
        ("LET", 0.0, "LET of 0 keV/um is not above 0"),
        ("LET", 4e4, "LET of 40000 keV/um is not above 0 and at most 30000"),
        ("Energy", -3.0, "Energy of -3 MeV/u"),
        ("DNAcontent", 6e9, "DNAcontent of 6e+09"),
        ("ai_fit", 25.0, "ai_fit of 25 is beyond 20"),
        ("bx_paper", -11.0, "bx_paper of -11 is beyond 10"),
        ("Ion", "5C", "no nucleus of C has mass number 5"),
        ("Ion", "19C", "no nucleus of C has mass number 19"),
    ],
)
def test_an_impossible_value_leaves_its_experiment_out_and_the_rest_is_used(tmp_path, made, column, value, said):
    made.rows[4][column] = value
    found = read(tmp_path, made)
    ((number, reason),) = found.left_out
    assert number == 5
    assert said in reason
    assert f"PIDE3.4.xlsx, line 6, column {column}" in reason
    assert [one.number for one in found.experiments] == [n for n in range(1, 17) if n != 5]


def test_neither_LET_nor_energy_is_too_little_but_one_is_enough(tmp_path, made):
    made.rows[4] |= {"LET": "N/A", "Energy": "N/A"}
    made.rows[5]["LET"] = "N/A"
    made.rows[6]["Energy"] = "N/A"
    found = read(tmp_path, made)
    assert [number for number, _ in found.left_out] == [5]
    assert np.isnan([found.experiments[4].LET, found.experiments[5].energy_mev_u]).all()
    assert notes(found)["LET is not known"] == (6,)
    assert notes(found)["energy is not known"] == (7,)


@pytest.mark.parametrize(
    ("point", "said"),
    [
        ((1.0, 1.51), "survival 1.51 at 1 Gy is not above 0 and at most 1.5"),
        ((1.0, 0.0), "survival 0 at 1 Gy"),
        ((1.0, -0.1), "survival -0.1 at 1 Gy"),
        ((-0.3, 1.0), "a dose of -0.3 Gy is not between -0.2 and 500 Gy"),
        ((501.0, 0.1), "a dose of 501 Gy"),
    ],
)
def test_impossible_points_leave_out_all_experiments_that_need_them(tmp_path, made, point, said):
    made.ion[CURVED][2] = point
    found = read(tmp_path / "ion", made)
    ((number, reason),) = found.left_out
    assert number == CURVED
    assert said in reason
    assert f"PIDE3.4_IonRawData.dat, line {CURVED})" in reason
    made.ion[CURVED][2] = (1.0, 1.5)
    made.photon[PHOTON][0] = point
    found = read(tmp_path / "photon", made)
    assert tuple(number for number, _ in found.left_out) == USERS
    assert all(said in reason for _, reason in found.left_out)


def test_a_row_that_is_there_twice_counts_once_and_contradicting_rows_not_at_all(tmp_path):
    write(tmp_path, MADE)
    rows = [list(row.values()) for row in MADE.rows]
    other = [*rows[1]]
    other[HEADER.index("LET")] += 1.0
    write_xlsx(tmp_path / "PIDE3.4.xlsx", [list(HEADER), *rows, rows[0], other])
    found = read_pide(tmp_path)
    assert found.left_out == (
        (1, "PIDE3.4.xlsx, line 18 repeats line 2"),
        (2, "PIDE3.4.xlsx, line 3 and line 19 have this ExpID and differ"),
    )
    assert [one.number for one in found.experiments] == [1, *range(3, 17)]


def test_points_without_experiment_and_experiments_without_line_are_noted(tmp_path, made):
    del made.ion[CURVED]
    made.photon[77, 3] = [(1.0, 0.5)]
    write(tmp_path, made)
    points = tmp_path / "PIDE3.4_IonRawData.dat"
    points.write_text(points.read_text() + "99\t9\tmaple09\t1\t1\t1.0\t0.5\n")
    photon = tmp_path / "PIDE3.4_PhotonRawData.dat"
    lines = photon.read_text().split("\n")
    gone = next(n for n, line in enumerate(lines) if line.split("\t")[1::2][:2] == [str(n) for n in PHOTON])
    photon.write_text("\n".join(lines[:gone] + lines[gone + 1 :]))
    found = read_pide(tmp_path)
    assert found.left_out == ()
    assert notes(found)["a line of ion points without an experiment: not used"] == (99,)
    assert notes(found)["no line in the file of ion points: taken as without points"] == (CURVED,)
    assert notes(found)["no line in the file of photon points: taken as without points"] == USERS
    assert "photon curves without an experiment, not used: 3 of publication 77" in notes(found)
    assert found.experiments[CURVED - 1].ion_points == ()
    assert found.experiments[USERS[0] - 1].photon_points == ()


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"ax_paper": -0.02}, "photon alpha below 0"),
        ({"bx_fit": -0.01}, "photon beta below 0: its curve of ln S bends upwards"),
        ({"ai_paper": -0.02}, "ion alpha below 0"),
        ({"bi_fit": -0.4}, "ion beta below 0: its curve of ln S bends upwards"),
        ({"ax_fit": 0.0}, "fitted photon alpha is 0: PIDE took the purely quadratic fit"),
        ({"ai_fit": 0.0}, "fitted ion alpha is 0: PIDE took the purely quadratic fit"),
        ({"ax_paper": 0.2, "bx_paper": "N/A"}, "published photon alpha without beta"),
        ({"ai_paper": 0.2, "bi_paper": "N/A"}, "published ion alpha without beta"),
        ({"ai_fit": "N/A", "bi_fit": "N/A"}, "ion points, but no fit to them"),
        ({"PhotonRadiation": "N/A"}, "photon radiation is not known"),
        ({"CellCycle": "plateau"}, "phase of the cell cycle is not known"),
        ({"Charge": ROW["Charge"] + 1}, "Charge is not that of the nucleus: the ion's symbol was taken"),
        ({"DNAcontent": 5.4}, "DNA content is not 6 (human) or 5.6 (rodent) 10^9 base pairs"),
        ({f"a{k}": "N/A" for k in ("x_fit", "x_paper")} | {f"b{k}": "N/A" for k in ("x_fit", "x_paper")},
         "no photon alpha, neither published nor fitted"),
        ({f"a{k}": "N/A" for k in ("i_fit", "i_paper")} | {f"b{k}": "N/A" for k in ("i_fit", "i_paper")},
         "no ion alpha, neither published nor fitted"),
    ],
)  # fmt: skip
def test_odd_values_are_kept_and_noted(tmp_path, made, change, what):
    made.rows[CURVED - 1] |= change
    found = read(tmp_path, made)
    assert found.left_out == ()
    assert CURVED in notes(found)[what]
    plain = notes(read(tmp_path / "plain", MADE))
    assert len(notes(found)[what]) == len(plain.get(what, ())) + (CURVED not in plain.get(what, ()))


@pytest.mark.parametrize(
    ("points", "what"),
    [
        ([(-0.05, 1.0), (1.0, 0.6), (2.0, 0.3)], "ion doses below 0, read from a figure"),
        ([(0.0, 1.0), (2.0, 0.3), (1.0, 0.6)], "ion doses do not ascend"),
        ([(0.0, 1.3), (1.0, 0.6), (2.0, 0.3)], "ion survival above 1"),
        ([(1.0, 0.6), (2.0, 0.3)], "fewer than 3 ion points"),
        ([], "an ion fit, but no points"),
    ],
)
def test_odd_points_are_kept_as_they_are_and_noted(tmp_path, made, points, what):
    made.ion[CURVED] = points
    found = read(tmp_path, made)
    assert found.left_out == ()
    assert found.experiments[CURVED - 1].ion_points == tuple(points)
    assert CURVED in notes(found)[what]


def test_names_and_repetitions_are_noted_and_nothing_is_merged(tmp_path, made):
    cells = ("Moss-07", "Moss 7", "Fern", "Fern")
    for row, name, kind in zip(made.rows, cells, "ntnt", strict=False):
        row |= {"Cells": name, "CellClass": kind, "CellOrigin": "h", "DNAcontent": 6.0}
    other = next(key for key in made.photon if key[0] != PHOTON[0] and made.photon[key])
    made.photon[other] = made.photon[PHOTON]
    copied = {
        k: v for k, v in made.rows[8].items() if k not in ("#ExpID", "#IonExp", "#Publication", "PublicationName")
    }
    made.rows[9] |= copied
    made.ion[10] = made.ion[9] = [(1.0, 0.5), (2.0, 0.2), (3.0, 0.1)]
    found = read(tmp_path, made)
    assert len({one.cells for one in found.experiments} & set(cells)) == 3
    assert notes(found)["cell lines spelt Moss 7 and Moss-07: kept apart"] == (1, 2)
    assert notes(found)["cell line Fern is listed as human normal and as human tumour"] == (3, 4)
    names = sorted(row["PublicationName"] for row in made.rows if row["#Publication"] in (PHOTON[0], other[0]))
    assert f"{names[0]} and {names[-1]} have one photon curve in common" in notes(found)
    assert notes(found)["the same ion points under several numbers"] == (9, 10)
    assert notes(found)["experiments that differ in their number only"] == (9, 10)
