"""Pieces that are packed on their own are one stream to every reader; zlib and gzip are the judges."""

import gzip
import random
import subprocess
import sys
import zlib

import pytest

from surrogate3d.io import fast_gzip
from surrogate3d.io.fast_gzip import Stream, pack
from surrogate3d.io.image_payload import GZIP, RAW, ZLIB

RNG = random.Random(4)
PAYLOADS = {
    "nothing": [],
    "one": [b"abc" * 1000],
    "an empty one between": [b"abc", b"", b"\0"],
    "of many lengths": [RNG.randbytes(RNG.randrange(1, 5000)) * RNG.randrange(1, 4) for _ in range(50)],
    "long": [bytes(3_000_001), RNG.randbytes(700_001)],
}

CRC_OF_4100_MIB = 0x7F74208B


def stream(payloads, packing):
    whole, content = Stream(packing), b""
    for payload in payloads:
        piece = pack(payload, [packing])[packing]
        whole.take(piece.mark)
        content += piece.content
    assert whole.stored == len(content)
    return whole.head + content + whole.tail


@pytest.fixture(params=["as installed", "zlib"], autouse=True)
def deflater(request, monkeypatch):
    if request.param == "zlib":
        monkeypatch.setattr(fast_gzip, "_deflater", zlib)


@pytest.mark.parametrize("name", PAYLOADS)
def test_a_stream_is_one_member_with_its_checksum(name):
    payload = b"".join(PAYLOADS[name])
    for packing in (GZIP, ZLIB):
        inflate = zlib.decompressobj(packing)  # it compares the checksum, and ends with the first member
        assert inflate.decompress(stream(PAYLOADS[name], packing)) == payload
        assert inflate.eof
        assert inflate.unused_data == b""
    assert gzip.decompress(stream(PAYLOADS[name], GZIP)) == payload
    assert stream(PAYLOADS[name], RAW) == payload


def test_gzip_has_no_time_and_no_name():
    assert stream([b"abc"], GZIP)[:10] == b"\x1f\x8b\x08\0" + bytes(4) + b"\0\xff"


def test_the_marks_are_those_of_zlib():
    payload = RNG.randbytes(100_000)
    pieces = pack(memoryview(payload), [RAW, ZLIB, GZIP])
    for packing, check in ((RAW, zlib.crc32), (ZLIB, zlib.adler32), (GZIP, zlib.crc32)):
        content, mark = pieces[packing].content, pieces[packing].mark
        assert mark == (len(content), zlib.crc32(content), len(payload), check(payload))
    assert pieces[ZLIB].content is pieces[GZIP].content, "deflated once"


def test_lengths_beyond_four_gigabytes_are_reckoned():
    whole, piece = Stream(GZIP), pack(bytes(1 << 20), [GZIP])[GZIP].mark
    for _ in range(4100):
        whole.take(piece)
    # zlib.crc32 of 4100 MiB of zeros, part by part
    assert whole.tail[-8:] == CRC_OF_4100_MIB.to_bytes(4, "little") + (4 << 20).to_bytes(4, "little")


def test_without_isal_zlib_packs():
    program = (
        "import sys; sys.modules['isal'] = None\n"
        "from surrogate3d.io import fast_gzip; import gzip\n"
        "piece = fast_gzip.pack(b'abc', [31])[31]; whole = fast_gzip.Stream(31); whole.take(piece.mark)\n"
        "print(fast_gzip.PACKER, gzip.decompress(whole.head + piece.content + whole.tail))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout == f"zlib {zlib.ZLIB_RUNTIME_VERSION} b'abc'\n"
