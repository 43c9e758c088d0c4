"""Damage that needs no knowledge of the format: of bytes, of lines, numbers and words of text, and of folders."""

from __future__ import annotations

import re
from collections.abc import Callable

import numpy as np

from benchmarks.fuzz.case import Files, Mutation

Rng = np.random.Generator
_NUMBER = re.compile(rb"(?<![\w.])[-+]?\d+(?:\.\d*)?(?:[eE][-+]?\d+)?")
_WORD = re.compile(rb"[^\s,;=\"()\[\]{}:]+")

NUMBERS = (
    *(b"0 -1 1 2 3 -0 1e400 -1e400 nan NaN -nan inf -inf Infinity 1e-400 1e308 -1e308 5e-324 1000000 65535".split()),
    *(b"2147483647 2147483648 4294967296 9223372036854775808 99999999999999999999 0x10 1_000 1,5 1.5 .5 5.".split()),
    b"",
    "\u0663".encode(),  # a digit, but not of ours
    "\u00bd".encode(),
)
TOKENS = tuple(
    tuple(group.split())
    for group in (
        b"mm cm m km um nm in",
        b"MeV keV GeV eV J",
        b"Gy mGy /Gy /Gy2 /mm2 /cm2 MeV/mm/(g/cm3) keV/um 1",
        b"deg rad",
        b"s ms ns",
        b"X Y Z R Phi Theta",
        b"Sum Mean Histories_with_Scorer_Active Count_in_Bin Second_Moment Variance Standard_Deviation Min Max",
        b"DoseToWater DoseToMedium Fluence ProtonLET EnergyDeposit RBE_McNamara SurfaceTrackCount",
        b"4.2.p1 4.2 4.1.p1 4.1 4.0 3.9 3.2 2.0_expanded 5.0",
        b"pre-step incident primary deosited",
        b"bins bin",
        b"component: surface: Surface:",
        b"Dose Track Fluence",
        b"True False 1 0 t f",
        b"TsBox TsCylinder TsSphere Group TsDicomPatient",
        b"proton alpha electron gamma GenericIon(6,12,6)",
        b"PreStep IncidentTrack DepositedInStep PrimaryTrack",
        b"d: u: i: b: s: dv: iv: dc: q: :",
    )
)


def _somewhere(content: bytes, rng: Rng) -> int:
    """A place in a file; every second one near its start, where headers are."""
    n = min(len(content), 600) if rng.random() < 0.5 else len(content)
    return int(rng.integers(0, max(n, 1)))


def _on_bytes(change: Callable[[bytearray, Rng], str]) -> Mutation:
    def mutation(files: Files, name: str, rng: Rng) -> str:
        content = bytearray(files[name])
        words = change(content, rng)
        files[name] = bytes(content)
        return words

    return mutation


def _flip_bit(content: bytearray, rng: Rng) -> str:
    if not content:
        return "nothing to flip"
    at, bit = _somewhere(content, rng), int(rng.integers(8))
    content[at] ^= 1 << bit
    return f"flip bit {bit} of byte {at}"


def _flip_several(content: bytearray, rng: Rng) -> str:
    return "; ".join(_flip_bit(content, rng) for _ in range(int(rng.integers(2, 9))))


def _set_byte(content: bytearray, rng: Rng) -> str:
    if not content:
        return "nothing to set"
    at, value = _somewhere(content, rng), int(rng.choice([0, 1, 9, 10, 13, 32, 35, 44, 48, 127, 128, 255]))
    content[at] = value
    return f"set byte {at} to {value}"


def _delete(content: bytearray, rng: Rng) -> str:
    at, n = _somewhere(content, rng), int(2 ** rng.integers(0, 10))
    del content[at : at + n]
    return f"delete {n} bytes at {at}"


def _insert(content: bytearray, rng: Rng) -> str:
    at, n = _somewhere(content, rng), int(2 ** rng.integers(0, 7))
    content[at:at] = rng.bytes(n)
    return f"insert {n} random bytes at {at}"


def _double(content: bytearray, rng: Rng) -> str:
    at, n = _somewhere(content, rng), int(2 ** rng.integers(0, 12))
    content[at:at] = content[at : at + n]
    return f"double {n} bytes at {at}"


def _zero(content: bytearray, rng: Rng) -> str:
    at, n = _somewhere(content, rng), int(2 ** rng.integers(0, 10))
    n = len(content[at : at + n])
    content[at : at + n] = bytes(n)
    return f"zero {n} bytes at {at}"


def _swap(content: bytearray, rng: Rng) -> str:
    n, (a, b) = int(2 ** rng.integers(0, 8)), sorted(_somewhere(content, rng) for _ in range(2))
    n = min(n, b - a, len(content) - b)
    content[a : a + n], content[b : b + n] = content[b : b + n], content[a : a + n]
    return f"swap {n} bytes at {a} and {b}"


def _truncate(content: bytearray, rng: Rng) -> str:
    at = _somewhere(content, rng) if rng.random() < 0.7 else max(0, len(content) - int(rng.integers(1, 20)))
    del content[at:]
    return f"truncate to {at} bytes"


def _append(content: bytearray, rng: Rng) -> str:
    n = int(2 ** rng.integers(0, 10))
    content += rng.bytes(n) if rng.random() < 0.5 else bytes(n)
    return f"append {n} bytes"


BYTES = tuple(
    _on_bytes(change)
    for change in (_flip_bit, _flip_several, _set_byte, _delete, _insert, _double, _zero, _swap, _truncate, _append)
)


def _on_lines(change: Callable[[list[bytes], int, Rng], str]) -> Mutation:
    """Of lines with their ends; half of the damage goes to the first thirty."""

    def mutation(files: Files, name: str, rng: Rng) -> str:
        lines = files[name].splitlines(keepends=True)
        if not lines:
            return "nothing to change"
        n = min(len(lines), 30) if rng.random() < 0.5 else len(lines)
        words = change(lines, int(rng.integers(n)), rng)
        files[name] = b"".join(lines)
        return words

    return mutation


def _delete_lines(lines: list[bytes], at: int, rng: Rng) -> str:
    n = int(rng.choice([1, 1, 1, 2, 5]))
    del lines[at : at + n]
    return f"delete {n} lines at {at + 1}"


def _double_lines(lines: list[bytes], at: int, rng: Rng) -> str:
    n = int(rng.choice([1, 1, 1, 2, 50]))
    lines[at:at] = lines[at : at + n]
    return f"double {n} lines at {at + 1}"


def _swap_lines(lines: list[bytes], at: int, rng: Rng) -> str:
    other = min(at + 1, len(lines) - 1) if rng.random() < 0.5 else int(rng.integers(len(lines)))
    lines[at], lines[other] = lines[other], lines[at]
    return f"swap lines {at + 1} and {other + 1}"


def _reorder_lines(lines: list[bytes], at: int, rng: Rng) -> str:
    n = len(lines[at : at + 20])
    lines[at : at + n] = [lines[at + int(m)] for m in rng.permutation(n)]
    return f"reorder {n} lines at {at + 1}"


def _cut_line(lines: list[bytes], at: int, rng: Rng) -> str:
    column = int(rng.integers(len(lines[at])))
    end = b"\n" if rng.random() < 0.5 else b""
    lines[at] = lines[at][:column] + end
    return f"cut line {at + 1} at column {column}{'' if end else ' and join it to the next'}"


def _add_line(lines: list[bytes], at: int, rng: Rng) -> str:
    texts = (
        b"",
        b" ",
        b"#",
        b"# ",
        b"# note",
        b"0",
        b"0, 0, 0, 1",
        b"nan",
        b"\0",
        b"# Sparsified",
        b"includeFile = x.txt",
    )
    text = texts[int(rng.integers(len(texts)))]
    lines.insert(at, text + b"\n")
    return f"insert line {text!r} before {at + 1}"


def _number(lines: list[bytes], at: int, rng: Rng) -> str:
    found = list(_NUMBER.finditer(lines[at]))
    if not found:
        return _delete_lines(lines, at, rng)
    old = found[int(rng.integers(len(found)))]
    new = _edited_number(old[0], rng)
    lines[at] = lines[at][: old.start()] + new + lines[at][old.end() :]
    return f"line {at + 1}: {old[0].decode()} becomes {new!r}"


def _edited_number(old: bytes, rng: Rng) -> bytes:
    way = int(rng.integers(6))
    if way == 0:
        return old[1:] if old[:1] == b"-" else b"-" + old
    if way == 1:
        return old + b"e" + str(int(rng.integers(-5, 6))).encode()
    if way == 2:
        digits = bytearray(old)
        digits[int(rng.integers(len(digits)))] = 48 + int(rng.integers(10))
        return bytes(digits)
    if way == 3 and old.lstrip(b"+-").isdigit() and len(old) < 18:
        return str(int(old) + int(rng.choice([-1, 1, -int(old), int(old), 10**6]))).encode()
    return NUMBERS[int(rng.integers(len(NUMBERS)))]


def _token(lines: list[bytes], at: int, rng: Rng) -> str:
    """A word becomes another of its kind, or any other word of the file, or goes, or comes twice."""
    found = list(_WORD.finditer(lines[at]))
    if not found:
        return _delete_lines(lines, at, rng)
    kinds = {word: group for group in TOKENS for word in group}
    known = [word for word in found if word[0] in kinds]
    old = (known or found)[int(rng.integers(len(known or found)))]
    way = int(rng.integers(6))
    if known and way < 4:
        new = kinds[old[0]][int(rng.integers(len(kinds[old[0]])))]
    elif way < 3:
        others = _WORD.findall(lines[int(rng.integers(len(lines)))])
        new = others[int(rng.integers(len(others)))] if others else b""
    else:
        new = (b"", old[0] + b" " + old[0], old[0].swapcase(), old[0][:-1])[int(rng.integers(4))]
    lines[at] = lines[at][: old.start()] + new + lines[at][old.end() :]
    return f"line {at + 1}: word {old[0]!r} becomes {new!r}"


def _encoding(files: Files, name: str, rng: Rng) -> str:
    content, way = files[name], int(rng.integers(8))
    at = _somewhere(content, rng)
    ways: tuple[tuple[str, Callable[[], bytes]], ...] = (
        ("byte order mark", lambda: b"\xef\xbb\xbf" + content),
        ("CRLF line ends", lambda: content.replace(b"\n", b"\r\n")),
        ("CR line ends", lambda: content.replace(b"\n", b"\r")),
        (f"NUL at {at}", lambda: content[:at] + b"\0" + content[at:]),
        (f"latin-1 letter at {at}", lambda: content[:at] + b"\xe9" + content[at:]),
        ("UTF-16", lambda: content.decode("latin-1").encode("utf-16")),
        ("tabs for blanks", lambda: content.replace(b" ", b"\t")),
        ("no last line end", lambda: content.rstrip(b"\n")),
    )
    files[name] = ways[way][1]()
    return ways[way][0]


TEXT = (
    *(_on_lines(c) for c in (_delete_lines, _double_lines, _swap_lines, _reorder_lines, _cut_line, _add_line)),
    *(_on_lines(c) for c in (_number, _number, _number, _token, _token)),
    _encoding,
)


def _delete_file(files: Files, name: str, rng: Rng) -> str:
    del files[name]
    return "delete the file"


def _empty_file(files: Files, name: str, rng: Rng) -> str:
    files[name] = b""
    return "empty the file"


def _copy_over(files: Files, name: str, rng: Rng) -> str:
    other = sorted(files)[int(rng.integers(len(files)))]
    files[name] = files[other]
    return f"take the content of {other}"


def _exchange(files: Files, name: str, rng: Rng) -> str:
    other = sorted(files)[int(rng.integers(len(files)))]
    files[name], files[other] = files[other], files[name]
    return f"exchange contents with {other}"


def _copy_beside(files: Files, name: str, rng: Rng) -> str:
    stem, dot, suffix = name.rpartition(".")
    files[f"{stem or name}_copy{dot}{suffix}"] = files[name]
    return "copy the file beside itself"


FOLDER: tuple[Mutation, ...] = (_delete_file, _empty_file, _copy_over, _exchange, _copy_beside)
