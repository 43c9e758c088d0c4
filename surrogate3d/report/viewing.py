"""The viewer inside a report, and the list of what is in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from surrogate3d.report.markup import Html, element
from surrogate3d.viewer.assets import program, style
from surrogate3d.viewer.embed import embed
from surrogate3d.viewer.scene import Scene

_WITHOUT = "The viewer needs scripts, which are off or not allowed here. The still pictures and tables below need none."

_NEEDED = "scripts-needed"
"""Of the sentence that the first script takes away; `noscript` is not shown by every browser without scripts."""


def viewer_parts(scene: Scene | None) -> Iterator[Html]:
    """The viewer's place and its data; nothing without a scene."""
    if scene is None:
        return
    yield element("p", _WITHOUT, class_="notice", id=_NEEDED)
    yield Html('<div class="s3d" data-s3d-root></div>')
    yield Html(embed(scene).html())


def viewer_style(scene: Scene | None) -> str:
    """Its style sheets."""
    return "" if scene is None else style()


def viewer_program(scene: Scene | None) -> str:
    """Its scripts; tables of the page get a button that saves them as CSV."""
    if scene is None:
        return ""
    return f'document.getElementById("{_NEEDED}").remove();\n{program()}\nS3D.tables.enhance(document);\n'


def contents(sections: Iterable[str]) -> Html:
    """Links to the sections."""
    found = re.findall(r'^<section id="([^"]+)"><h2>(.*?)</h2>', "\n".join(sections), re.MULTILINE)
    links = [element("li", element("a", Html(heading), href=f"#{anchor}")) for anchor, heading in found]
    return element("nav", element("ul", *links), aria_label="Contents", class_="contents")
