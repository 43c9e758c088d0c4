"""Whether the header of a scorer says what the parameter file of its run asked for.

Quantity, bins and particle filter stand in both. A header that was damaged or edited would otherwise make another field
of the same numbers, or one without a species.
"""

from __future__ import annotations

from surrogate3d.errors import QuantityError
from surrogate3d.io.topas_header import ScorerHeader
from surrogate3d.io.topas_parameters import Parameters

_PARTICLES = ("OnlyIncludeParticlesOfAtomicNumber", "OnlyIncludeParticlesNamed")


def require_as_stated(header: ScorerHeader, parameters: Parameters) -> None:
    """Refuse a header of another quantity, of other particles, or without the energy bins of the parameter file.

    Scorers that the parameter file does not name are not compared: a header tells more than nothing.

    Raises:
        QuantityError: with what both say.
    """
    prefix, where = f"Sc/{header.scorer}", parameters.files[0].name
    if f"{prefix}/Quantity" in parameters:
        stated = parameters.string(f"{prefix}/Quantity")
        if stated.lower() != header.quantity.lower():
            raise _contradiction(header, header.quantity, stated, where)
    if f"{prefix}/EBins" in parameters and header.binning is None:
        raise _contradiction(header, "no energy bins", f"{parameters.integer(f'{prefix}/EBins')} EBins", where)
    printed = dict(header.filters)
    for name in _PARTICLES:
        parameter = parameters.by_name.get(f"{prefix}/{name}".lower())
        if parameter is None and (name not in printed or f"{prefix}/Quantity" not in parameters):
            continue
        stated = parameter.text if parameter else "no such filter"
        if not _is_written_out(stated):
            continue
        if _words(printed.get(name, "no such filter")) != _words(stated):
            raise _contradiction(header, f"{name} = {printed.get(name, 'nothing')}", stated, where)


def _is_written_out(text: str) -> bool:
    """Whether a value is no reference or expression, which would have to be evaluated first."""
    return "/" not in text and not any(f" {sign} " in text for sign in "+-*")


def _words(text: str) -> list[str]:
    return text.replace('"', " ").lower().split()


def _contradiction(header: ScorerHeader, found: str, stated: str, where: str) -> QuantityError:
    return QuantityError(
        f"{header.scorer}: its header says {found}, {where} says {stated}; the header was edited or is of another run"
    )
