import pytest

from surrogate3d.errors import FormatError, QuantityError, StoreError, UnknownNameError, ValueRangeError
from surrogate3d.io.response_table import read_response_csv, read_response_topas

GOOD = """# alpha_x = 0.313
# beta_x = 0.0615
# cell_line = HSG
# source = made by hand
# any other comment
ion,energy_mev_u,alpha,beta
C,10,1.2,0.04
C,100,0.6,0.06
H,1,0.9,0.05
H,100,0.33,0.06
"""

TOPAS = """
d:Sc/Mine/Alphax = 0.0722 /Gy
d:Sc/Mine/Betax = 0.0502 /Gy2
sv:Sc/Mine/First/ParticleName = 2 "Carbon" "Proton"
iv:Sc/Mine/First/ParticleZ = 2 6 1
dv:Sc/Mine/First/KineticEnergyPerNucleon = 3 0 1000 20000 keV
dv:Sc/Mine/First/Proton/Alpha = 3 0.9 0.8 0.7 /Gy
dv:Sc/Mine/First/Proton/Beta = 3 0.05 0.06 0.07 /Gy2
dv:Sc/Mine/First/Carbon/Alpha = 3 1.9 1.8 1.7 /Gy
dv:Sc/Mine/First/Carbon/Beta = 3 0.01 0.02 0.03 /Gy2
"""


@pytest.fixture
def csv(tmp_path):
    def read(text, encoding="utf-8"):
        path = tmp_path / "mine.csv"
        path.write_bytes(text.encode(encoding))
        return read_response_csv(path)

    return read


@pytest.fixture
def topas(tmp_path):
    def read(text, model=""):
        path = tmp_path / "cells.txt"
        path.write_text(text)
        return read_response_topas(path, model)

    return read


def test_a_csv_is_read_as_it_stands(csv):
    table = csv(GOOD)
    assert [(ion.Z, ion.energy_mev_u, ion.alpha, ion.beta) for ion in table.ions] == [
        (1, (1.0, 100.0), (0.9, 0.33), (0.05, 0.06)),
        (6, (10.0, 100.0), (1.2, 0.6), (0.04, 0.06)),
    ]
    assert (table.name, table.linear_in) == ("mine", "log energy")
    assert (table.alpha_x, table.beta_x, table.cell_line, table.source) == (0.313, 0.0615, "HSG", "made by hand")


def test_a_csv_without_notes_states_no_reference(csv):
    table = csv(GOOD[GOOD.index("ion,") :])
    assert (table.alpha_x, table.beta_x, table.cell_line, table.source) == (None, None, "", "")


def test_byte_order_mark_and_line_ends_of_other_systems_do_no_harm(csv):
    assert csv("\ufeff" + GOOD.replace("\n", "\r\n")) == csv(GOOD)


def test_the_digest_is_of_the_numbers_and_of_nothing_else(csv):
    table = csv(GOOD)
    assert table.digest == csv(GOOD.replace("made by hand", "found").replace("0.9,", "0.90,")).digest
    assert table.digest != csv(GOOD.replace("0.9,", "0.91,")).digest
    assert table.digest != csv(GOOD.replace("0.313", "0.314")).digest


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (GOOD.replace("energy_mev_u", "energy_mev"), FormatError, "line 6.*per nucleon.*'energy_mev_u'"),
        (GOOD.replace("energy_mev_u", "E_kin"), FormatError, "per nucleon"),
        (
            GOOD.replace("alpha,", "alpha_Gy,"),
            FormatError,
            "unknown column 'alpha_Gy'; the nearest known one is 'alpha'",
        ),
        (GOOD.replace("ion,", "particle,"), FormatError, "unknown column 'particle'"),
        (GOOD.replace("alpha,beta", "alpha,alpha"), FormatError, "'alpha' is there twice"),
        (GOOD.replace(",beta", ""), FormatError, "line 6: column 'beta' is missing"),
        (GOOD.replace("C,10,1.2,0.04", "C,10,1.2"), FormatError, "line 7: expected 4 values"),
        (GOOD.replace("C,10,1.2,0.04", "C,10,,0.04"), FormatError, "line 7: alpha must be a number"),
        (GOOD.replace("C,10,1.2,0.04", "C,10,nan,0.04"), FormatError, "line 7: alpha.*'nan'"),
        (GOOD.replace("C,10,1.2,0.04", "C,10,1e999,0.04"), ValueRangeError, "line 7: alpha must be finite"),
        (GOOD.replace("C,10,1.2,0.04", "C,10,-1.2,0.04"), ValueRangeError, "line 7: alpha.*not below 0, found -1.2"),
        (GOOD.replace("C,10,1.2,0.04", "C,10,1.2,-0.04"), ValueRangeError, "line 7: beta"),
        (GOOD.replace("C,10,", "C,0,"), ValueRangeError, "line 7: energy_mev_u must be above 0"),
        (
            GOOD.replace("C,100,", "C,4800,"),
            ValueRangeError,
            "line 8: .*MeV per nucleon.*found 4800; divide .* A",
        ),
        (GOOD.replace("1.2,", "60,"), ValueRangeError, "line 7: expected alpha in 1/Gy, at most 20, found 60"),
        (GOOD.replace("1.2,0.04", "1.2,6"), ValueRangeError, "line 7: expected beta in 1/Gy\\^2, at most 5, found 6"),
        (
            GOOD.replace("0.33,", "0.95,"),
            ValueRangeError,
            r"mine.csv: alpha .*Z = 1\) at 100 MeV/u.*0.313.*found 0.95",
        ),
        (GOOD.replace("0.33,", "0.1,"), ValueRangeError, "0.33 to 3 times alpha_x = 0.313 1/Gy, found 0.1"),
        (GOOD.replace("0.313", "31.3"), ValueRangeError, "0.33 to 3 times alpha_x = 31.3 1/Gy, found 0.33"),
        (GOOD.replace("C,10,", "C,1_0,"), FormatError, "line 7: energy_mev_u must be a number"),
        (GOOD.replace("C,10,", "C,100,"), FormatError, "line 8: 100 MeV/u of Z = 6 is there twice, first at .*line 7"),
        (GOOD.replace("C,10,", "C,101,"), FormatError, "line 8: energies of Z = 6 must ascend, found 100 after 101"),
        (GOOD.replace("C,10,1.2,0.04\n", ""), FormatError, "line 7: Z = 6 has one energy only"),
        (
            GOOD.replace("C,10,", "proton,10,"),
            FormatError,
            "line 7: ion must be an element symbol.*'proton', write 'H'",
        ),
        (GOOD.replace("C,10,", "GenericIon,10,"), FormatError, "line 7: ion must be an element symbol"),
        (GOOD.replace("C,10,", ",10,"), FormatError, "line 7: ion is empty"),
        (GOOD.replace(",", ";").replace(".", ","), FormatError, "line 6: separate columns by commas"),
        (GOOD.replace("# beta_x", "# betax"), FormatError, "line 2: unknown note 'betax'; did you mean 'beta_x'"),
        (GOOD.replace("# beta_x", "# alpha_x"), FormatError, "line 2: note 'alpha_x' is there twice"),
        (GOOD.replace("# beta_x = 0.0615", "# beta_x = none"), FormatError, "note beta_x must be a number"),
        (GOOD[: GOOD.index("C,10")], FormatError, "expected a header line and rows"),
        (GOOD.replace("C,10,1.2,0.04", 'C,10,"1.2,0.04'), FormatError, "line 7: not a line of CSV"),
    ],
)
def test_a_csv_that_is_not_sure_is_refused(csv, text, error, words):
    with pytest.raises(error, match=words):
        csv(text)


def test_tables_of_slow_or_heavier_ions_may_be_far_from_photons(csv):
    notes = "# alpha_x = 0.1\nion,energy_mev_u,alpha,beta\n"
    csv(notes + "H,1,0.9,0.05\nH,99,0.5,0.05\n")  # not yet fast
    # LEM I with the parameters of `chordoma` has 3.55 times alpha_x for helium of 100 MeV/u, 6.75 for carbon
    csv(notes + "He,1,2,0.05\nHe,100,0.355,0.05\n")
    csv(notes + "C,1,2,0.05\nC,100,0.675,0.05\n")
    for alpha in ("0.03", "1.1"):
        with pytest.raises(ValueRangeError, match=r"0\.33 to 10 times alpha_x"):
            csv(notes + f"C,1,2,0.05\nC,100,{alpha},0.05\n")


def test_the_last_node_of_published_tables_is_within_the_limit(topas):
    # CellLineV79.txt of OpenTOPAS-RBE, MKM_Kase: protons of 1000 MeV/u, alpha 0.185489, Alphax 0.0722
    own = TOPAS.replace("1000 20000 keV", "1 1000 MeV").replace("0.9 0.8 0.7", "0.9 0.8 0.185489")
    assert topas(own).ions[0].energy_mev_u[-1] == 1000


def test_what_is_no_text_is_refused(csv, tmp_path):
    with pytest.raises(FormatError, match="not text in UTF-8"):
        csv(GOOD.replace("by hand", "für HSG"), encoding="latin-1")
    with pytest.raises(FormatError, match="not a text file"):
        csv(GOOD.replace("hand", "ha\0nd"))
    with pytest.raises(StoreError, match="no file at"):
        read_response_csv(tmp_path / "other.csv")


def test_a_topas_table_is_read_with_its_units(topas):
    table = topas(TOPAS)
    assert [(ion.Z, ion.energy_mev_u) for ion in table.ions] == [(1, (0.0, 1.0, 20.0)), (6, (0.0, 1.0, 20.0))]
    assert table.ions[0].alpha == (0.9, 0.8, 0.7)
    assert table.ions[1].beta == (0.01, 0.02, 0.03)
    assert (table.name, table.linear_in, table.alpha_x, table.beta_x) == ("cells#First", "energy", 0.0722, 0.0502)


def test_the_reference_beta_serves_all_ions_where_topas_says_so(topas):
    without = "\n".join(line for line in TOPAS.splitlines() if "/Beta =" not in line)
    table = topas(without + '\nb:Sc/Mine/First/UseReferenceBeta = "True"\n')
    assert {ion.beta for ion in table.ions} == {(0.0502,) * 3}


def test_one_of_several_tables_must_be_named(topas):
    second = TOPAS[TOPAS.index("sv:") :].replace("First", "Second").replace("1.9 1.8", "2.9 2.8")
    assert topas(TOPAS + second, "second").ions[1].alpha == (2.9, 2.8, 1.7)
    with pytest.raises(UnknownNameError, match=r"2 tables; it has First, Second; name one, as in cells\.txt#First"):
        topas(TOPAS + second)
    with pytest.raises(UnknownNameError, match="no table 'Third'; it has First, Second"):
        topas(TOPAS + second, "Third")


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("d:Sc/Mine/Alphax = 0.1 /Gy\n", UnknownNameError, "no table of alpha and beta"),
        (TOPAS.replace("2 6 1", "2 6 6"), FormatError, "line 5: .*one atomic number >= 1 for each.*none twice"),
        (TOPAS.replace("2 6 1", "2 6 0"), FormatError, "one atomic number >= 1"),
        (TOPAS.replace("2 6 1", "1 6"), FormatError, "one atomic number >= 1 for each of the 2 names"),
        (TOPAS.replace("3 0.9 0.8 0.7", "2 0.9 0.8"), FormatError, "line 7: Proton/Alpha has 2 values for 3 energies"),
        (TOPAS.replace("3 0.05 0.06 0.07", "2 0.05 0.06"), FormatError, "line 8: Proton/Beta has 2 values for 3"),
        (TOPAS.replace("0.9 0.8 0.7", "0.9 -0.8 0.7"), ValueRangeError, "line 7: value 2 of Proton/Alpha.*found -0.8"),
        (TOPAS.replace("3 0 1000", "3 -1 1000"), ValueRangeError, "line 6: value 1 of KineticEnergyPerNucleon"),
        (TOPAS.replace("3 0 1000", "3 0 0"), FormatError, "line 6, value 2: 0 MeV/u of Z = 1 is there twice"),
        (TOPAS.replace("1000 20000", "20000 1000"), FormatError, "line 6, value 3: energies of Z = 1 must ascend"),
        (TOPAS.replace("1000 20000 keV", "1 1001 MeV"), ValueRangeError, "line 6, value 3: expected MeV per nucleon"),
        (TOPAS.replace("1.8", "21"), ValueRangeError, "line 6, value 2: expected alpha in 1/Gy, at most 20, found 21"),
        (TOPAS.replace("20000 keV", "100000 keV"), ValueRangeError, "cells.txt, First: alpha of the lightest ion"),
        (TOPAS.replace("20000 keV", "20000 mm"), QuantityError, "line 6.*needs a unit of energy"),
        (TOPAS.replace("0.7 /Gy", "0.7 /mGy"), QuantityError, "line 7.*found '/mGy'; TOPAS takes /Gy"),
        (TOPAS.replace("dv:Sc/Mine/First/Carbon/Beta", "dv:Sc/Mine/First/Iron/Beta"), FormatError, "Carbon/Beta"),
    ],
)
def test_a_topas_table_that_is_not_sure_is_refused(topas, text, error, words):
    with pytest.raises(error, match=words):
        topas(text)


def test_a_topas_file_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(StoreError, match="no file at"):
        read_response_topas(tmp_path / "cells.txt")
