"""The code of a page of docs/howto-*.md, and how it runs: block by block, in order, in one folder.

Python blocks share their names. Shell blocks of our own commands alone go through the command line's `main`, so that
Python starts once; any other shell block goes to bash. A comment "exit code N" behind a command says what it
ends with. `surrogate3d view` serves until Ctrl-C: here its page is fetched, then it is interrupted.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from surrogate3d.cli import main

_BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_EXIT_CODE = re.compile(r"# exit code (\d+)")
_PATIENCE_S = 600
OURS = "surrogate3d "
Look = Callable[[str], None]


@dataclass(frozen=True)
class Block:
    """One block of a page.

    Attributes:
        language: sh or python.
        code: its lines.
        where: page and line, for messages.
    """

    language: str
    code: str
    where: str


def blocks(page: Path, smaller: Mapping[str, str] | None = None) -> list[Block]:
    """The blocks of a page that are run, in order.

    Args:
        page: the file.
        smaller: text of the page to be replaced, and by what.

    Raises:
        ValueError: the code lacks such a text.
    """
    text = page.read_text(encoding="utf-8")
    for old, new in (smaller or {}).items():
        if not any(old in found.group(2) for found in _BLOCK.finditer(text)):
            raise ValueError(f"{page.name} has no {old!r} in its code")
        text = text.replace(old, new)
    return [
        Block(found.group(1), found.group(2), f"{page.name}, line {text.count(chr(10), 0, found.start()) + 1}")
        for found in _BLOCK.finditer(text)
    ]


def run_blocks(found: list[Block], folder: Path, look: Look = lambda address: None) -> None:
    """Run them all.

    Args:
        found: of one page.
        folder: where; empty at first.
        look: is called with the address of what `view` serves while it does.

    Raises:
        RuntimeError: a command ended with another code than the page says.
    """
    names: dict[str, Any] = {"__name__": "__main__"}
    with chdir(folder):
        for block in found:
            if block.language == "python":  # of our own pages, which are code to be run; nothing that a user hands in
                exec(compile(block.code, block.where, "exec"), names)
            elif all(line.startswith(OURS) for line in _lines(block.code)):
                for line in _lines(block.code):
                    _command(line, block.where, look)
            else:
                _expect(_bash(block.code), 0, block.where)


def _lines(code: str) -> list[str]:
    """Commands, with continued lines joined."""
    return [line for line in code.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]


def _command(line: str, where: str, look: Look) -> None:
    words = shlex.split(line, comments=True)
    said = _EXIT_CODE.search(line)
    if words[1] == "view":
        _view(words, look)
        return
    with patch.object(sys, "argv", words):
        _expect(main(words[1:]), int(said.group(1)) if said else 0, f"{where}: {line}")


def _expect(code: int, said: int, where: str) -> None:
    if code != said:
        raise RuntimeError(f"{where}: exit code {code}, and the page says {said}")


def _environment() -> dict[str, str]:
    """The commands of this interpreter come first."""
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def _bash(code: str) -> int:
    """Exit code; whatever the block leaves running is ended."""
    with subprocess.Popen(["bash", "-e", "-c", code], env=_environment(), start_new_session=True) as shell:
        try:
            return shell.wait(_PATIENCE_S)
        finally:
            _end(shell.pid)


def _end(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return  # all of it has ended by itself


def _view(words: list[str], look: Look) -> None:
    with _served(words) as server:
        assert server.stdout is not None
        address = json.loads(server.stdout.readline())["url"]
        with urllib.request.urlopen(address.partition("#")[0], timeout=60) as page:
            if b"data-s3d-root" not in page.read():
                raise RuntimeError(f"{shlex.join(words)} serves another page")
        look(address)
        server.send_signal(signal.SIGINT)
        server.wait(60)


@contextmanager
def _served(words: list[str]) -> Iterator[subprocess.Popen[str]]:
    command = [*words, "--no-browser", "--json"]
    with subprocess.Popen(command, env=_environment(), stdout=subprocess.PIPE, text=True) as server:
        try:
            yield server
        finally:
            server.kill()
