"""What `view` prints before it serves."""

from __future__ import annotations

from typing import Any

from surrogate3d.cli.console import show, warn


def served(data: dict[str, Any]) -> None:
    """The address, what is there, and what a reader must know."""
    for note in data["notes"]:
        warn(note)
    shape = " x ".join(map(str, data["shape"]))
    show(f"{data['title']}: {shape} voxels; layers {', '.join(data['layers'])}")
    if data["structures"]:
        show(f"structures: {', '.join(data['structures'])}")
    lines = ", ".join(data["recompute"])
    show(f"recompute for: {lines}" if lines else "nothing to recompute: give --cell-line, or maps of alpha and beta")
    show(f"open {data['url']}", "Ctrl-C ends it")
