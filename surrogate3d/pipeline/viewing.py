"""Serve the viewer of a plan on this machine until it is stopped."""

from __future__ import annotations

import webbrowser
from contextlib import suppress
from typing import Any

from surrogate3d.pipeline.scenes import SceneRequest, plan_scene
from surrogate3d.viewer.server import ViewServer
from surrogate3d.viewer.session import Session


def open_view(asked: SceneRequest, port: int = 0) -> ViewServer:
    """A server of a plan's scene; it listens, and answers once `serve` runs.

    Raises:
        StoreError: the port cannot be had.
        Surrogate3dError: as of `scenes.plan_scene`.
    """
    scene, recomputer = plan_scene(asked)
    return ViewServer(Session(scene, recomputer), port)


def facts(server: ViewServer) -> dict[str, Any]:
    """What is served, and where."""
    manifest = server.session.manifest()
    return {
        "url": server.url,
        "title": manifest["title"],
        "shape": manifest["grid"]["shape"],
        "layers": [layer["name"] for layer in manifest["layers"]],
        "structures": [each["name"] for each in manifest["structures"]],
        "recompute": [each["name"] for each in (manifest["recompute"] or {"lines": []})["lines"]],
        "notes": manifest["notes"],
    }


def serve(server: ViewServer, browser: bool) -> None:
    """Answer until Ctrl-C; `browser` opens the page in the user's own."""
    if browser:
        webbrowser.open(server.url)
    try:
        with suppress(KeyboardInterrupt):  # the usual end
            server.serve_forever()
    finally:
        server.server_close()
