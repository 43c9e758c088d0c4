"""A report that was written: where it is, and what it says in short, for a terminal and for a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from pathlib import Path

from surrogate3d.grid.display import printed_unit
from surrogate3d.report.content import Fact


@dataclass(frozen=True)
class Report:
    """A report on disk. It can be given wherever a path is wanted.

    Attributes:
        path: of the HTML file.
        verdict: sentences, the first the most important.
        summary: the few numbers to read first.
    """

    path: Path
    verdict: tuple[str, ...]
    summary: tuple[Fact, ...] = ()

    def __fspath__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Report({str(self.path)!r})"

    def __str__(self) -> str:
        numbers = [f"  {fact.label}: {_value(fact)}" for fact in self.summary]
        return "\n".join([*self.verdict, *numbers, str(self.path)])

    def _repr_html_(self) -> str:
        """What a notebook shows: the verdict, the numbers, and a link to the page."""
        cells = ((fact.label, _value(fact), fact.note) for fact in self.summary)
        rows = "".join(f"<tr>{''.join(f'{_CELL}{escape(cell)}</td>' for cell in row)}</tr>" for row in cells)
        table = f"<table><tbody>{rows}</tbody></table>" if rows else ""
        said = "".join(f"<p>{escape(sentence)}</p>" for sentence in self.verdict)
        where = escape(self.path.as_posix(), quote=True)
        return f'<div>{said}{table}<p><a href="{where}" target="_blank" rel="noopener">{where}</a></p></div>'

    def _repr_markdown_(self) -> str:
        """The same for what shows Markdown."""
        said = "\n\n".join(_plain(sentence) for sentence in self.verdict)
        rows = [f"| {_plain(fact.label)} | {_plain(_value(fact))} | {_plain(fact.note)} |" for fact in self.summary]
        table = "\n".join(["| | | |", "|---|---|---|", *rows]) if rows else ""
        return "\n\n".join(part for part in (said, table, f"[{self.path.name}](<{self.path.as_posix()}>)") if part)


_CELL = '<td style="text-align:left">'


def _value(fact: Fact) -> str:
    return f"{fact.value} {printed_unit(fact.unit)}".strip()


def _plain(text: str) -> str:
    """Text in which Markdown and HTML find nothing of theirs."""
    for sign in "\\`*_{}[]<>#|":
        text = text.replace(sign, "\\" + sign)
    return " ".join(text.split())
