"""Files of checked lines: ledgers of the first schema, and the parts that workers of a cluster leave.

Each line is `<checksum> <JSON>`, the checksum being the first 16 digits of the SHA-256 of the JSON text; the first line
names the schema.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from surrogate3d.direct.ledger_records import VoxelFailure
from surrogate3d.direct.task import VoxelResponse
from surrogate3d.errors import StoreError
from surrogate3d.io.atomic import atomic_file

LEDGER_SCHEMA = "surrogate3d.ledger/1"
PART_SCHEMA = "surrogate3d.ledger-part/1"
PART_PATTERN = "part-*.jsonl"

Records = tuple[dict[str, VoxelResponse], dict[str, VoxelFailure]]


def part_path(directory: Path, name: str) -> Path:
    """Where the part of that name is."""
    return directory / f"part-{name}.jsonl"


def line(content: object) -> bytes:
    """One checked line."""
    text = json.dumps(content, allow_nan=False, separators=(",", ":")).encode()
    return _checksum(text) + b" " + text + b"\n"


def write_part(path: Path, responses: Mapping[str, VoxelResponse], failures: Mapping[str, VoxelFailure]) -> None:
    """Write a part, whole or not at all; it is on disk when this returns.

    Raises:
        StoreError: the disk is full or not writable.
    """
    lines = [line({"schema": PART_SCHEMA})]
    lines += [line({"key": key, "response": value.to_json()}) for key, value in responses.items()]
    lines += [line({"key": key, "failure": asdict(value)}) for key, value in failures.items()]
    with atomic_file(path, overwrite=True) as scratch:
        scratch.write_bytes(b"".join(lines))


def read_part(path: Path) -> Records:
    """Responses and failures of a part, by key.

    Raises:
        StoreError: the part is damaged.
        FileNotFoundError: there is none.
    """
    responses: dict[str, VoxelResponse] = {}
    failures: dict[str, VoxelFailure] = {}
    for content in _contents(path, PART_SCHEMA, may_be_torn=False):
        if "failure" in content:
            failures[content["key"]] = VoxelFailure(
                **content["failure"] | {"voxel": tuple(content["failure"]["voxel"])}
            )
        else:
            responses[content["key"]] = VoxelResponse.from_json(content["response"])
    return responses, failures


def read_ledger_lines(path: Path) -> Iterator[tuple[str, VoxelResponse]]:
    """Keys and responses of a ledger of the first schema. A torn line at its end was never reported; it is left out.

    Raises:
        StoreError: the file is no such ledger, or it is damaged.
    """
    for content in _contents(path, LEDGER_SCHEMA, may_be_torn=True):
        yield content["key"], VoxelResponse.from_json(content["response"])


def _contents(path: Path, schema: str, may_be_torn: bool) -> Iterator[dict[str, Any]]:
    header, position = line({"schema": schema}), 0
    with path.open("rb") as file:
        for text in file:
            whole = text.endswith(b"\n") and text[:17] == _checksum(text[17:-1]) + b" "
            if not whole and may_be_torn and (position or header.startswith(text)) and not file.read(1):
                return
            if (position == 0 and text != header) or not whole:
                raise StoreError(_complaint(path, schema, position, text))
            if position:
                yield json.loads(text[17:-1])
            position += len(text)
    if position == 0 and not may_be_torn:
        raise StoreError(_complaint(path, schema, 0, b""))


def _complaint(path: Path, schema: str, position: int, text: bytes) -> str:
    if position == 0:
        return f"{path} is not a ledger of schema {schema!r}: it begins with {text[:60]!r}; use another path"
    return f"{path} is damaged at byte {position}: not a line of a ledger; restore it, or move it away"


def _checksum(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest()[:16].encode()
