"""A little HTML: text is always escaped, elements nest, tables have headers."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from surrogate3d.report.style import Picture


class Html(str):
    """Finished markup, not to be escaped again."""

    __slots__ = ()


def element(name: str, *children: str, **attributes: str) -> Html:
    """One element; plain strings among the children are escaped. `class_` gives the attribute `class`."""
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"' for key, value in attributes.items())
    inside = "".join(child if isinstance(child, Html) else html.escape(child, quote=False) for child in children)
    return Html(f"<{name}{given}>{inside}</{name}>")


def join(parts: Iterable[str]) -> Html:
    """Several pieces one after the other."""
    return Html("\n".join(part if isinstance(part, Html) else html.escape(part, quote=False) for part in parts))


def section(anchor: str, heading: str, *children: str) -> Html:
    """A section with its heading; empty when there is nothing in it."""
    if not any(children):
        return Html("")
    return element("section", element("h2", heading), *children, id=anchor)


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Html:
    """A table whose first column names the row; the others are numbers or short text."""
    header = element("tr", *(element("th", cell, scope="col") for cell in head))
    body = [
        element("tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:])) for row in rows
    ]
    grid = element("table", element("caption", caption), element("thead", header), element("tbody", *body))
    return element("div", grid, class_="scroll", tabindex="0", role="region", aria_label=caption)


def definitions(pairs: Iterable[tuple[str, str]]) -> Html:
    """Terms with what they mean here."""
    return element("dl", *(element("div", element("dt", term), element("dd", text)) for term, text in pairs if text))


def figure(heading: str, picture: Picture, caption: str) -> Html:
    """A picture that follows the page into its dark form, with caption."""
    light, dark = picture.sources
    alt = html.escape(picture.alt)
    image = Html(
        f'<picture><source media="screen and (prefers-color-scheme: dark)" srcset="{dark}">'
        f'<img src="{light}" alt="{alt}"></picture>'
    )
    return element("figure", element("figcaption", element("h3", heading), element("p", caption)), image)
