"""A real browser for the tests of the pages: the system's Chromium, driven by Playwright, without any network.

`browser` lives as long as one module: Playwright keeps an event loop running in its thread, and later tests of other
rooms want their own. `open_page` opens a file or a loopback address; a page that writes an error to its console,
throws, or asks for anything else than file:// and 127.0.0.1 fails its test when the test ends.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--font-render-hinting=none",
)
DESKTOP = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}
OpenPage = Callable[..., Any]


def _chromium() -> str:
    for name in CHROMIUM:
        if found := shutil.which(name):
            return found
    pytest.skip("no Chromium on the path: browser tests need one")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Chromium without a window; skips where Playwright or Chromium is missing."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: browser tests need it")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=_chromium(), args=list(ARGUMENTS))
        yield chromium
        chromium.close()


def _is_local(url: str) -> bool:
    parts = urlsplit(url)
    return parts.scheme in ("file", "data", "blob", "about") or parts.hostname == "127.0.0.1"


def _watch(context: Any, complaints: list[str]) -> None:
    """Write every console error, exception and foreign address of a context into `complaints`."""

    def route(route: Any) -> None:
        if _is_local(route.request.url):
            route.continue_()
            return
        complaints.append(f"asked for {route.request.url}")
        route.abort()

    context.route("**/*", route)
    context.on("console", lambda m: complaints.append(f"console: {m.text}") if m.type in ("error", "warning") else None)
    context.on("weberror", lambda error: complaints.append(f"thrown: {error.error}"))


@pytest.fixture
def complaints() -> list[str]:
    """What the pages of this test complained of; a test that expects complaints clears it."""
    return []


@pytest.fixture
def open_page(browser: Any, complaints: list[str]) -> Iterator[OpenPage]:
    """A function that opens a `Path` or an address; its keywords are Playwright's of a context (viewport, ...)."""
    contexts: list[Any] = []

    def open_one(where: Path | str, **keywords: Any) -> Any:
        context = browser.new_context(
            **{"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"} | keywords
        )
        contexts.append(context)
        _watch(context, complaints)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.goto(where.resolve().as_uri() if isinstance(where, Path) else where)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert not complaints
