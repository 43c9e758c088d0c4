"""A self-contained HTML page: its head with all styles in it, and its writing."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path

from surrogate3d.io.atomic import atomic_file
from surrogate3d.report.markup import Html, element, join

_POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""A page asks nothing of any other file or machine, and its browser holds it to that."""


def page(
    title: str, parts: Iterable[str], styles: tuple[str, ...] = ("report.css",), style: str = "", script: str = ""
) -> str:
    """The text of a page.

    Args:
        title: of the window.
        parts: of the body; empty ones leave no trace.
        styles: names of style sheets of this package, in order.
        style: further rules.
        script: program of the page, which runs when all of it is there.
    """
    folder = files("surrogate3d.report")
    rules = "".join(folder.joinpath(name).read_text(encoding="utf-8") for name in styles) + style
    head = element(
        "head",
        Html('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        Html('<meta name="color-scheme" content="light dark">'),
        Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
        element("title", title),
        element("style", Html(rules)),
    )
    program = element("script", Html(script)) if script else Html("")
    body = element("body", element("main", join(part for part in parts if part)), program)
    return f'<!doctype html>\n<html lang="en">{head}{body}</html>\n'


def write_page(text: str, path: str | Path, overwrite: bool) -> Path:
    """Write a page, whole or not at all.

    Raises:
        StoreError: the file exists and shall not be replaced, or it cannot be written.
    """
    with atomic_file(path, overwrite=overwrite, expected_bytes=len(text)) as scratch:
        scratch.write_text(text, encoding="utf-8")
    return Path(path)
