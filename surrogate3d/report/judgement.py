"""The verdict of a report as tables: limits that are met or not, problems, the volume's error, sigmas, coverage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from surrogate3d.report.markup import Html, element, join, table
from surrogate3d.validation.acceptance import OUTCOMES, Finding
from surrogate3d.validation.coverage import Coverage
from surrogate3d.validation.design_weighted import VolumeError
from surrogate3d.validation.problems import Problem
from surrogate3d.validation.sigma_errors import EXPECTED_RMS, SigmaErrors

UNKNOWN = "\N{EN DASH}"


def findings_table(findings: Sequence[Finding]) -> Html:
    """Every limit that something was measured for; the others are named below it."""
    measured = sorted((f for f in findings if f.measured is not None), key=lambda f: list(OUTCOMES).index(f.outcome))
    rest = sorted({f.limit.name for f in findings if f.measured is None})
    parts = []
    if measured:
        head = ("limit", "outcome", "of", "value", "limit value", "n", "source")
        parts.append(table("Acceptance limits", head, map(_finding, measured)))
    if rest:
        why = "not compared here, below a tenth of the largest value, or of other voxels than the reference"
        parts.append(element("p", f"Nothing to judge for: {', '.join(rest)} ({why}).", class_="quiet"))
    return join(parts)


def _finding(finding: Finding) -> tuple[str, ...]:
    limit, found = finding.limit, finding.measured
    assert found is not None
    what = " ".join(part for part in (limit.criterion, limit.quantity, "in", limit.group) if part)
    value = f"{_number(found.value)} {limit.unit}"
    if found.low is not None and found.high is not None:
        value += f" ({_number(found.low)} to {_number(found.high)})"
    badge = element("span", finding.outcome, class_=f"outcome {finding.outcome.replace(' ', '-')}")
    return limit.name, badge, what, value, limit.words, f"{found.n:,}", element("small", limit.source)


def problems_list(problems: Sequence[Problem]) -> Html:
    """What is wrong with maps or structures; empty when nothing is."""
    if not problems:
        return Html("")
    items = [element("li", element("strong", problem.where), f": {problem.sentence}.") for problem in problems]
    heading = element("h3", f"{len(problems)} problem{'s' * (len(problems) != 1)} in what was compared")
    return element("div", heading, element("ul", *items), class_="notice problems")


def volume_error_table(errors: Mapping[str, VolumeError]) -> Iterator[Html]:
    """What the drawn voxels say of all voxels."""
    if not errors:
        return
    first = next(iter(errors.values()))
    head = ("method", "n", "stands for", "bias / %", "95 % interval", "rms / %", "95 % interval")
    rows = [
        (
            name,
            f"{each.n:,}",
            f"{each.N:,.0f} voxels",
            _number(each.mean),
            f"{_number(each.mean_low)} to {_number(each.mean_high)}",
            _number(each.rms),
            f"{_number(each.rms_low)} to {_number(each.rms_high)}",
        )
        for name, each in errors.items()
    ]
    yield table("RBE: error of the whole volume, estimated from the voxels that were drawn", head, rows)
    yield element("p", f"{first.method[:1].upper()}{first.method[1:]}. Noise of the truth is part of the rms.")


def sigma_table(errors: Mapping[str, SigmaErrors]) -> Iterator[Html]:
    """Errors in units of the truth's Monte Carlo noise."""
    known = {name: each for name, each in errors.items() if each.n}
    if not known:
        return
    expected = next(iter(known.values())).expected_share
    head = ("method", "n", "rms", "median of |error|", *(f"within {k} sigma / %" for k in expected))
    rows = [
        (name, f"{each.n:,}", _number(each.rms), _number(each.median_abs), *map(_share, each.share_within.values()))
        for name, each in known.items()
    ]
    exact = (
        "an exact map",
        UNKNOWN,
        f"{EXPECTED_RMS:g}",
        "0.67",
        *(f"{100 * share:.1f}" for share in expected.values()),
    )
    caption = "RBE: error in units of the truth's Monte Carlo noise (sigma)"
    yield table(caption, head, (*rows, exact))
    yield element(
        "p",
        "Sigma is the truth's own Monte Carlo noise: that of the direct simulation, and where the reference has two "
        "halves that of its spectra, too, by region.",
    )


def coverage_table(found: Sequence[Coverage]) -> Iterator[Html]:
    """How often the surrogate's intervals hold the truth."""
    if not found:
        return
    head = ("region", "n", "promised / %", "observed / %", "truth's noise taken out / %", "95 % interval")
    rows = [
        (
            each.region.replace("_", " "),
            f"{each.voxels:,}",
            f"{100 * each.level:.0f}",
            f"{100 * each.observed:.1f}",
            f"{100 * each.covered:.1f}",
            f"{100 * each.low:.1f} to {100 * each.high:.1f}",
        )
        for each in found
    ]
    yield table("Coverage: how often the surrogate's interval of RBE holds the truth", head, rows)


def _share(found: tuple[float, float, float]) -> str:
    share, low, high = (100 * part for part in found)
    return f"{share:.1f} ({low:.1f} to {high:.1f})"


def _number(value: float) -> str:
    return UNKNOWN if not np.isfinite(value) else f"{value:.3g}".replace("-", "\N{MINUS SIGN}")
