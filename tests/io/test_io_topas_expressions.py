import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from surrogate3d.errors import FormatError, QuantityError, UnsupportedError
from surrogate3d.io.topas_parameters import read_parameters

NAMES = """
d:L = 3 cm
d:M = 4 mm
d:E = 5 MeV
u:U = 0.5
i:I = 3
b:Yes = "True"
b:No = "f"
s:S = "abc"
dv:V = 3 1. 2. 3. cm
uv:W = 3 1 10 100
iv:K = 3 1 2 3
sv:T = 2 "x" "y"
"""


@pytest.fixture
def read(tmp_path):
    def write_and_read(text, **others):
        for name, content in others.items():
            (tmp_path / f"{name}.txt").write_text(content)
        (tmp_path / "run.txt").write_text(NAMES + text)
        return read_parameters(tmp_path / "run.txt")

    return write_and_read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # The forms listed in TsParameterFile.cc for type d, in its order; the unit of a reference is no scale.
        ("2.5 * L mm", 75),
        ("1 mm + L", 31),
        ("1 cm - M", 6),
        ("2 mm * U", 1),
        ("2 mm * I", 6),
        ("7 mm", 7),
        ("L + 2 mm", 32),
        ("L + M mm", 34),
        ("L - 3. mm", 27),
        ("L - M cm", 26),
        ("U * 4 cm", 20),
        ("I * 4 mm", 12),
        ("L cm * -0.5", -15),
        ("L m * U", 15),
        ("L mm * I", 90),
        ("L m", 30),
        ("-1 * l cm", -30),
    ],
)
def test_every_form_of_a_dimensioned_number(read, text, value):
    assert read(f"d:X = {text}\n").number("X", "length") == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + U", 1.5),
        ("1 - I", -2),
        ("4 * U", 2),
        ("U + 2", 2.5),
        ("U - I", -2.5),
        ("I * U", 1.5),
        ("I", 3),
        ("2e1", 20),
    ],
)
def test_every_form_of_a_unitless_number(read, text, value):
    assert read(f"u:X = {text}\n").unitless("X") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2 + I", 5),
        ("2 - I", -1),
        ("2 * I", 6),
        ("5 * U", 3),  # 2.5 is rounded as by C, away from zero
        ("-5 * U", -3),
        ("I + 1", 4),
        ("I - I", 0),
        ("I * 4", 12),
        ("I * U", 2),
        ("U", 1),
        ("I", 3),
    ],
)
def test_every_form_of_an_integer(read, text, value):
    assert read(f"i:X = {text}\n").integer("X") == value


@pytest.mark.parametrize(
    ("text", "value"), [("Yes", True), ("No", False), ("Yes * No", False), ("Yes * Yes", True), ('"1"', True)]
)
def test_every_form_of_a_boolean(read, text, value):
    assert read(f"b:X = {text}\n").boolean("X", not value) is value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('"a b"', "a b"),
        ("S", "abc"),
        ('"d/" + S', "d/abc"),
        ('S + "/e.dcm"', "abc/e.dcm"),
        ("S + I", "abc3"),
        ("I", "3"),
    ],
)
def test_every_form_of_a_string(read, text, value):
    assert read(f"s:X = {text}\n").string("X") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3 1. 2. 3. cm", (10, 20, 30)),
        ("2 * V mm", (20, 40, 60)),
        ("2 1 2 * L mm", (30, 60)),
        ("2 1 2 mm + M", (5, 6)),
        ("3 1 2 3 mm - V", (-9, -18, -27)),
        ("3 1 2 3 mm * W", (1, 20, 300)),
        ("2 1 2 mm * I", (3, 6)),
        ("U * V mm", (5, 10, 15)),
        ("V cm", (10, 20, 30)),
        ("2 L 2 mm", (30, 2)),
    ],
)
def test_every_form_of_a_dimensioned_vector(read, text, value):
    assert read(f"dv:X = {text}\n").numbers("X", "length") == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize(
    ("text", "value"),
    [("2 1 2", (1, 2)), ("2 * K", (2, 4, 6)), ("K", (1, 2, 3)), ("2 5 6 + I", (8, 9)), ("3 1 1 1 * K", (1, 2, 3))],
)
def test_every_form_of_an_integer_vector(read, text, value):
    assert read(f"iv:X = {text}\n").counts("X") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("T", ("x", "y")),
        ('2 "a" S + I', ("a3", "abc3")),
        ('2 "a" "b" + S', ("aabc", "babc")),
        ('2 "a" "b" + T', ("ax", "by")),
        ('3 "a" "b" "c" + K', ("a1", "b2", "c3")),
    ],
)
def test_every_form_of_a_string_vector(read, text, value):
    assert read(f"sv:X = {text}\n").strings("X") == value


@pytest.mark.parametrize(
    "text",
    [
        "L",
        "5",
        "2 * L",
        "L + 2",
        "L / 2 mm",
        "1 mm + 2 mm",
        "L + M + M mm",
        "sqrt(L) mm",
        "2 * 3 mm",
        "L * M mm2",
        "V mm",
    ],
)
def test_what_topas_does_not_evaluate_is_refused_with_name_and_line(read, text):
    with pytest.raises((UnsupportedError, FormatError, QuantityError), match=r"run\.txt, line \d+: "):
        read(f"d:X = {text}\n").number("X", "length")


def test_the_refusal_says_what_is_read_and_what_to_do(read):
    message = r"run\.txt, line 14: X = 'L \+ M - M mm' is none of the forms that are read.*write the value out"
    with pytest.raises(UnsupportedError, match=message):
        read("d:X = L + M - M mm\n").number("X", "length")


@pytest.mark.parametrize(
    ("line", "ask"),
    [
        ("b:X = not Yes", lambda p: p.boolean("X", False)),
        ("i:X = 2 * 3", lambda p: p.integer("X")),
        ("i:X = 2.5", lambda p: p.integer("X")),
        ('s:X = "a" + "b"', lambda p: p.string("X")),
        ("u:X = 1 + 2", lambda p: p.unitless("X")),
        ("dv:X = 3 1 2 mm", lambda p: p.numbers("X", "length")),
        ("dv:X = L mm mm mm", lambda p: p.numbers("X", "length")),
        ("iv:X = 2 1 2 3 4", lambda p: p.counts("X")),
        ('sv:X = 1 "a" "b" "c"', lambda p: p.strings("X")),
    ],
)
def test_other_types_are_refused_too(read, line, ask):
    with pytest.raises(UnsupportedError, match=r"line 14: X"):
        ask(read(line + "\n"))


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("d:X = E mm", QuantityError, "needs E in a unit like 'mm', found 'MeV'"),
        ("d:X = L + E mm", QuantityError, "needs E in a unit like 'mm'"),
        ("d:X = E MeV", QuantityError, "X needs a unit of length"),
        ("d:X = Nowhere mm", FormatError, "X refers to Nowhere, which is not set"),
        ("d:X = inheritedValue mm", FormatError, "no included file sets it"),
        ("d:X = X mm", FormatError, "no included file sets it"),
        ("dv:X = 3 1 2", FormatError, "announces 3 values"),
        ("dv:X = 2 1 2 mm + V", FormatError, r"line 14: X combines vectors of 2 and 3"),
    ],
)
def test_wrong_references(read, line, error, message):
    ask = "numbers" if line.startswith("dv") else "number"
    with pytest.raises(error, match=message):
        getattr(read(line + "\n"), ask)("X", "length")


def test_vectors_of_wrong_kind_or_value(read):
    with pytest.raises(QuantityError, match="needs a unit of energy"):
        read("").numbers("V", "energy")
    with pytest.raises(FormatError, match="X combines 2 and 3 strings"):
        read('sv:X = 2 "a" "b" + K\n').strings("X")
    with pytest.raises(FormatError, match="must hold integers"):
        read("uv:X = 1 0.5\n").counts("X")


def test_inherited_values_come_from_the_next_file_of_the_chain(read):
    p = read(
        "includeFile = mid.txt\nd:A = inheritedValue m * -0.5\nd:B = 1 mm + B\n",
        mid="includeFile = low.txt\nd:A = inheritedValue + 5 mm\nd:Half = 0.5 * A mm\n",
        low="d:A = 1 cm\nd:B = 2 mm\n",
    )
    assert p.number("A", "length") == -7.5
    assert p.number("B", "length") == 3
    assert p.number("Half", "length") == -3.75  # references go to the final value, not to that of their own file


def test_an_inherited_value_of_two_chains_is_refused(read):
    with pytest.raises(FormatError, match=r"A inherits two values, of one\.txt, line 1 and two\.txt, line 1"):
        read("includeFile = one.txt two.txt\nd:A = 2 * inheritedValue mm\n", one="d:A = 1 mm\n", two="d:A = 2 mm\n")


STEP = """
s:Tf/Gantry/Function = "Step"
dv:Tf/Gantry/Times = 3 10 20 30 s
dv:Tf/Gantry/Values = 3 {} mm
d:X = Tf/Gantry/Value mm + 1 mm
d:Y = Tf/Gantry/Value mm
"""


def test_a_constant_time_feature_is_a_value(read):
    p = read(STEP.format("5 5 5") + "d:Tf/TimelineEnd = 30 s\ni:Tf/NumberOfSequentialTimes = 3\n")
    assert p.number("Y", "length") == 5
    p = read(STEP.format("5 6 7"))  # one run, at the start
    assert p.number("Y", "length") == 5
    p = read(STEP.format("5 L 7") + "d:Tf/TimelineStart = 10 s\n")  # a value that is a name
    assert p.number("Y", "length") == 30


def test_a_varying_time_feature_is_refused_with_its_name(read):
    p = read(STEP.format("5 6 7") + "d:Tf/TimelineEnd = 30 s\ni:Tf/NumberOfSequentialTimes = 3\n")
    with pytest.raises(UnsupportedError, match=r"Y changes during the run with time feature Tf/Gantry"):
        p.number("Y", "length")
    assert p.number("L", "length") == 30


def test_the_last_time_of_a_step_feature_is_its_period(read):
    text = "iv:Tf/N/Values = 2 1 100\ndv:Tf/N/Times = 2 1 2 s\ni:X = Tf/N/Value\n"
    p = read(text + "d:Tf/TimelineEnd = 5 s\ni:Tf/NumberOfSequentialTimes = 5\n")
    # Runs at 0, 1, 2, 3, 4 s; a step holds until before its time, and 2 s is 0 s again.
    assert p.integers_over_run("X") == (1, 100, 1, 100, 1)


def test_times_round_as_in_topas(read):
    """0.7 s / 7 is 1e8 ns exactly, but 0.09999... s: in seconds the second run would still be in the first step."""
    text = "iv:Tf/N/Values = 7 1 2 3 4 5 6 7\ndv:Tf/N/Times = 7 100 200 300 400 500 600 700 ms\ni:X = Tf/N/Value\n"
    p = read(text + "d:Tf/TimelineEnd = 0.7 s\ni:Tf/NumberOfSequentialTimes = 7\n")
    assert p.integers_over_run("X") == (1, 2, 3, 4, 5, 6, 7)


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        (
            's:Tf/G/Function = "Linear mm"\nd:X = Tf/G/Value mm\n',
            UnsupportedError,
            "feature Tf/G with function 'Linear mm'",
        ),
        ("d:X = Tf/G/Value mm\n", UnsupportedError, "only Step"),
        ("dv:Tf/G/Values = 1 5 mm\nd:X = Tf/G/Value mm\n", FormatError, "Tf/G has Values and no Times"),
        ("dv:Tf/G/Values = 1 5 mm\ndv:Tf/G/Times = 2 1 2 s\nd:X = Tf/G/Value mm\n", FormatError, "expected 1 times"),
        ("dv:Tf/G/Values = 2 5 6 mm\ndv:Tf/G/Times = 2 3 2 s\nd:X = Tf/G/Value mm\n", FormatError, "must ascend"),
        (
            STEP.format("5 6 7").replace("d:X", "d:Z") + "d:X = Y mm\ni:Tf/NumberOfSequentialTimes = 0\n",
            FormatError,
            "above 0",
        ),
        (
            STEP.format("5 6 7").replace("d:X", "d:Z") + 'd:X = Y mm\nb:Tf/RandomizeTimeDistribution = "True"\n',
            UnsupportedError,
            "drawn at random",
        ),
    ],
)
def test_time_features_that_are_refused(read, text, error, message):
    with pytest.raises(error, match=message):
        read(text).number("X", "length")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    a=st.floats(-1e3, 1e3),
    b=st.floats(-1e3, 1e3),
    sign=st.sampled_from("+-"),
    unit=st.sampled_from(["mm", "cm", "m", "um"]),
)
def test_sums_of_two_lengths_against_python(tmp_path, a, b, sign, unit):
    scale = {"um": 1e-3, "mm": 1, "cm": 10, "m": 1000}[unit]
    (tmp_path / "run.txt").write_text(f"d:A = {a!r} {unit}\nd:B = {b!r} mm\nd:X = A {sign} B {unit}\n")
    expected = a * scale + b if sign == "+" else a * scale - b
    assert read_parameters(tmp_path / "run.txt").number("X", "length") == pytest.approx(expected, rel=1e-12, abs=1e-12)
