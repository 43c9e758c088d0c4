"""The report on the response of lesions: one HTML file that needs no network, no script and no other file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from surrogate3d.report.markup import Html, definitions, element, section
from surrogate3d.report.page import page, write_page
from surrogate3d.report.response_content import LesionPage, ResponseReport
from surrogate3d.report.response_figures import SATURATED, lesion_picture
from surrogate3d.report.response_slices import MARGIN_MM
from surrogate3d.report.response_tables import (
    delivered_table,
    lesion_table,
    localisation_table,
    method_table,
    number,
    outcome,
    probability,
)

MOST_PICTURES = 100
"""Lesions with pictures; the others are in the tables only, and the report says so."""

RESEARCH_ONLY = (
    "Research only. No part of this page is for the treatment of a patient. A region that is related to the response "
    "is a statement about a model, and what is suggested as a boost was never tested."
)

_MEANING = (
    ("Resistance", "what a voxel adds to the log odds that its lesion does not respond. Red speaks for no response, "
     "blue for response."),
    ("Response-related region", "voxels of the lesion where the map, smoothed and scaled as the model says, is above "
     "the model's threshold."),
    ("Suggested boost", "the region without specks and gaps of a millimetre, and without parts too small to treat; the "
     "files of the prediction hold it as label image and RT Structure Set."),
    ("Probability", "of response. In brackets, where the members of the ensemble are known: one standard deviation of "
     "their log odds to either side. It is no interval that covers a known share of lesions."),
    ("Slices", f"through the largest resistance in the lesion, with {MARGIN_MM:g} mm about it. One pixel is one voxel "
     "of the image. R, L, A, P, S, I are sides of the patient."),
    ("Colours", f"of the image leave out {100 * SATURATED:g} % of the voxels at each end, those of the resistance "
     "nothing; those of what was delivered span the lesion. Grey is not known. The same colour is another value in "
     "another lesion."),
    ("Difference", "in the region minus in the rest of the lesion. D98 is the largest value that at least 98 % of the "
     "volume receives, D2 that of 2 %. Where voxels of the dose are larger than those of the image, differences come "
     "out small."),
)  # fmt: skip

_METHODS = (
    "AUC is the chance that a lesion that responded is put before one that did not. The excess calibration error is "
    "that of the probabilities, less what a perfect model would have with as few lesions."
)

_LOCALISATION = (
    "The largest value of the map lies in the planted region in this share of lesions (pointing accuracy). The "
    "threshold of Dice is chosen on lesions that were learnt from. Planted regions exist in synthetic lesions only: "
    "how well the maps point in patients is not known."
)


def write_response_report(content: ResponseReport, path: str | Path, overwrite: bool = True) -> Path:
    """Write the report as one self-contained HTML file, whole or not at all.

    Args:
        content: what it shows.
        path: where to write.
        overwrite: replace a report that is there.

    Returns:
        `path`.

    Raises:
        StoreError: the file exists and shall not be replaced, or it cannot be written.
    """
    return write_page(render_response(content), path, overwrite)


def render_response(content: ResponseReport) -> str:
    """The report as HTML text."""
    pictured = content.lesions[:MOST_PICTURES]
    anchors = {each.name: f"lesion-{number}" for number, each in enumerate(pictured, start=1)}
    sections = [
        _header(content),
        section("basis", "What this stands on", definitions(content.facts) if content.facts else ""),
        section("methods", "How well the response is predicted", *_judged(content)),
        section("localisation", "Whether the maps point at what resists", *_localised(content)),
        section("lesions", "Lesions", lesion_table(content, anchors) if content.lesions else ""),
        section("maps", "Maps", *_maps(content, anchors)),
        section("notes", "Notes", _list(content.notes)),
        section("run", "Provenance", _provenance(content)),
    ]
    return page(content.title, sections, ("report.css", "response.css"))


def _header(content: ResponseReport) -> Html:
    first, *others = _summary(content)
    return element(
        "header",
        element("p", RESEARCH_ONLY, class_="notice banner", role="note"),
        element("h1", content.title),
        element("p", first, class_="verdict"),
        *(element("p", sentence) for sentence in others),
    )


def _summary(content: ResponseReport) -> Iterator[str]:
    """The report in words."""
    responded = np.array([each.responded for each in content.lesions])
    yes, no = int((responded == 1).sum()), int((responded == 0).sum())
    unknown = len(responded) - yes - no
    regions = sum(bool(each.region.any()) for each in content.lesions)
    yield (
        f"{_count(len(responded), 'lesion')}: {yes} responded, {no} did not, of {unknown} the outcome is not known. "
        f"{regions} of them have a response-related region."
    )
    if content.methods:
        network = content.methods[0]
        told = network.AUC
        yield (
            f"{network.name}: AUC {told.value:.3f} ({told.low:.3f} to {told.high:.3f}) on held-out lesions. "
            f"{_against(content)}"
        )
    if content.localisation:
        best = content.localisation[0]
        yield (
            f"{best.name}: the largest value lies in the planted region in {100 * best.pointing.value:.0f} % of "
            f"held-out lesions, with a Dice of {best.dice.value:.2f} in the lesion."
        )
    elif content.lesions:
        yield "Whether the maps point at what resists was not judged: it can be on planted regions only."
    more = _higher(content)
    if more:
        yield more


def _against(content: ResponseReport) -> str:
    """Whether an interval of a difference leaves out zero, said for each of the other approaches."""
    said = []
    for each in content.methods[1:]:
        low, high = each.AUC_below_network.low, each.AUC_below_network.high
        if np.isfinite((low, high)).all():
            word = "above that of" if low > 0 else "below that of" if high < 0 else "not to be told apart from that of"
            said.append(f"{word} {each.name}")
    return f"Its AUC is {'; '.join(said)}." if said else ""


def _higher(content: ResponseReport) -> str:
    """In how many lesions the region got less than the rest."""
    gaps = [(each.delivered_numbers.get("difference") or {}).get("D_RBE") or {} for each in content.lesions]
    known = [float(gap["mean"]) for gap in gaps if gap.get("mean") is not None]
    if not known:
        return ""
    less = sum(gap < 0 for gap in known)
    return (
        f"In {less} of {_count(len(known), 'lesion')} with D_RBE known on both sides the region got less than the rest "
        f"on average; the median difference is {number(float(np.median(known)), '+#.3g')} Gy (RBE)."
    )


def _judged(content: ResponseReport) -> Iterator[Html]:
    if content.methods:
        yield element("p", f"{_METHODS} In small print: {content.intervals}.")
        yield method_table(content)


def _localised(content: ResponseReport) -> Iterator[Html]:
    if content.localisation:
        yield element("p", f"{_LOCALISATION} In small print: {content.intervals}.")
        yield localisation_table(content)


def _maps(content: ResponseReport, anchors: dict[str, str]) -> Iterator[Html]:
    if not content.lesions:
        return
    yield definitions((("Map", content.map_name), *_MEANING))
    left_out = len(content.lesions) - len(anchors)
    if left_out:
        words = f"Pictures of the first {len(anchors)} lesions follow; the other {left_out} are in the table above."
        yield element("p", words, class_="notice")
    for each in content.lesions[: len(anchors)]:
        yield _lesion(each, anchors[each.name])


def _lesion(page: LesionPage, anchor: str) -> Html:
    x, y, z = page.image.grid.position_mm(page.focus)
    where = f"Slices through ({x:.1f}, {y:.1f}, {z:.1f}) mm (LPS).".replace("-", "\N{MINUS SIGN}")
    words = f"Outcome: {outcome(page)}. Probability of response {probability(page)}. {where}"
    if page.truth is not None and not page.truth.any():
        words += " Nothing resistant was planted in this lesion."
    if not np.allclose(page.image.grid.direction, np.rint(page.image.grid.direction), atol=1e-3):
        words += " The image's axes are tilted against the patient's; slices follow the image."
    caption = [element("h3", page.name), element("p", words)]
    if page.boost:
        caption.append(element("p", f"Boost, research only: {page.boost}"))
    notes = _list(tuple(page.delivered_numbers.get("notes") or ()))
    parts = (element("figcaption", *caption), lesion_picture(page), delivered_table(page), notes)
    return element("figure", *parts, id=anchor, class_="lesion-page")


def _list(sentences: tuple[str, ...]) -> Html:
    return element("ul", *(element("li", each) for each in sentences)) if sentences else Html("")


def _provenance(content: ResponseReport) -> Html:
    if not content.provenance:
        return Html("")
    text = json.dumps(content.provenance, indent=2, default=str, ensure_ascii=False)
    return element("details", element("summary", "Provenance"), element("pre", text))


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}{'s' * (n != 1)}"
