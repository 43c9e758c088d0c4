"""Whether the header of a scorer says what the parameter file of its run asked for.

Quantity, bins and particle filter stand in both. A header that was damaged or edited would otherwise make another field
of the same numbers, or one without a species.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from surrogate3d.errors import FormatError, QuantityError, UnsupportedError
from surrogate3d.io.topas_header import ScorerHeader
from surrogate3d.io.topas_parameters import Parameters

_COLUMNS = {"histories": "Histories_with_Scorer_Active"}
"""Statistics that the header prints under another name than Report, which ignores case."""

_PARTICLES = ("OnlyIncludeParticlesOfAtomicNumber", "OnlyIncludeParticlesNamed")


def require_as_stated(header: ScorerHeader, parameters: Parameters) -> None:
    """Refuse a header of another quantity, of other particles or statistics, or without the energy bins asked for.

    Scorers that the parameter file does not name are not compared: a header tells more than nothing.

    Raises:
        QuantityError: with what both say.
        FormatError: the parameter file says it in no form that TOPAS reads.
    """
    prefix, where = f"Sc/{header.scorer}", parameters.files[0].name
    for said, stated in _statements(header, parameters, prefix):
        if said.lower() != stated.lower():
            raise QuantityError(
                f"{header.scorer}: its header says {said or 'nothing'}, {where} says {stated}; the header was edited, "
                "or is of another run"
            )


def require_all_spectra(headers: Iterable[ScorerHeader], left_out: Iterable[str], parameters: Parameters) -> None:
    """Refuse a folder from which the output of a spectrum is gone: its species would be missing without a word.

    Args:
        headers: of the outputs that are used.
        left_out: names of the files that are there and not read.
        parameters: of the run.

    Raises:
        FormatError: the parameter file asks for a fluence spectrum of which there is no output.
    """
    there = {name.lower() for header in headers for name in (header.scorer, header.scorer.partition("-")[0])}
    stems = {Path(name).stem.lower() for name in left_out}
    for parameter in parameters:
        parts = parameter.name.split("/")
        if [part.lower() for part in parts[::2]] != ["sc", "quantity"] or parts[1].lower() in there:
            continue
        scorer = parts[1]
        spectrum = parameter.text.strip('" ').lower() == "fluence" and f"Sc/{scorer}/EBins" in parameters
        output = Path(parameters.string(f"Sc/{scorer}/OutputFile", scorer)).name.lower() if spectrum else ""
        if spectrum and output not in stems and parameters.boolean(f"Sc/{scorer}/Active", True):
            raise FormatError(
                f"{parameter.where}: {scorer} scores a spectrum, and the folder holds no output of it; copy it there, "
                "or set its Active to False in the parameter file, knowing what is missing"
            )


def _statements(header: ScorerHeader, parameters: Parameters, prefix: str) -> Iterator[tuple[str, str]]:
    """What the header says and what the parameter file says, where both say it."""
    try:
        if f"{prefix}/Quantity" in parameters:
            yield header.quantity, parameters.string(f"{prefix}/Quantity")
        if f"{prefix}/Report" in parameters:
            reported = parameters.strings(f"{prefix}/Report")
            yield " ".join(header.columns), " ".join(_COLUMNS.get(name.lower(), name) for name in reported)
        elif f"{prefix}/Quantity" in parameters and "Sum" not in header.columns:
            yield " ".join(header.columns), "Sum"
        if f"{prefix}/EBins" in parameters and header.binning is None:
            yield "no energy bins", f"{parameters.integer(f'{prefix}/EBins')} energy bins"
    except UnsupportedError as error:
        raise FormatError(str(error)) from error
    printed = dict(header.filters)
    for name in _PARTICLES:
        parameter = parameters.by_name.get(f"{prefix}/{name}".lower())
        if parameter is not None and _is_written_out(parameter.text):
            yield f"{name} = {_words(printed.get(name, ''))}", f"{name} = {_words(parameter.text)}"


def _is_written_out(text: str) -> bool:
    """Whether a value is no reference or expression, which would have to be evaluated first."""
    return "/" not in text and not any(f" {sign} " in text for sign in "+-*")


def _words(text: str) -> str:
    return " ".join(text.replace('"', " ").split())
