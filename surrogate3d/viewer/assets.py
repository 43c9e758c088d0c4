"""The viewer's program and style, as a page carries them; the order of files is that in which they use each other."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

STYLES = ("viewer.css", "charts.css")
PAGE_STYLES = (*STYLES, "page.css")
"""Of the served page, which has nothing around the viewer."""

SHOWN = (
    "csv.js",
    "charts.js",
    "tables.js",
    "plot.js",
    "survival.js",
    "histogram_statistics.js",
    "histogram_chart.js",
    "profile_chart.js",
    "survival_chart.js",
    "spectrum_chart.js",
    "voxel_panel.js",
    "geometry.js",
    "colours.js",
    "contours.js",
    "marks.js",
    "colour_bar.js",
    "values.js",
    "planes.js",
    "controls.js",
    "viewer.js",
)
"""Of every page."""

EMBEDDED = (*SHOWN, "source_embedded.js", "start.js")
"""Of a page that holds its scene."""

SERVED = (*SHOWN, "source_served.js", "recompute.js", "start.js")
"""Of a page that asks the server."""


@cache
def style(names: tuple[str, ...] = STYLES) -> str:
    """Style sheets in their order; nothing in them can end the element that they stand in."""
    return "\n".join(_text(name) for name in names).replace("</style", "<\\/style")


@cache
def program(names: tuple[str, ...] = EMBEDDED) -> str:
    """Scripts in their order; nothing in them can end the element that they stand in."""
    return "\n".join(_text(name) for name in names).replace("</script", "<\\/script")


def _text(name: str) -> str:
    return (files("surrogate3d.viewer") / "web" / name).read_text(encoding="utf-8")
