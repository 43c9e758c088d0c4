"""What the engine takes each TOPAS scorer for, and what it refuses, by name and with the reason."""

from __future__ import annotations

from collections.abc import Mapping

from surrogate3d.errors import QuantityError, UnsupportedError
from surrogate3d.grid import SPECIES_Z, LetDefinition
from surrogate3d.io.given import Given
from surrogate3d.io.topas_header import ScorerHeader
from surrogate3d.io.topas_parameters import Parameters
from surrogate3d.io.topas_stated import require_as_stated

STRUCTURE_FILTER = "OnlyIncludeIfInRTStructure"
"""The one filter that a dose or LET scorer may have: it masks voxels, it does not take a part of the field."""

DOSE_VOLUMES = {"DoseToWater": "dose_to_water", "DoseToMedium": "dose_to_medium"}
_UNITS = {"DoseToWater": "Gy", "DoseToMedium": "Gy", "ProtonLET": "MeV/mm/(g/cm3)", "Fluence": "/mm2"}
_SPECIES_OF_Z = {z: species for species, z in SPECIES_Z.items()}
_ROLE_OF_PARTICLE = {"proton": "H", "deuteron": "deuteron", "triton": "triton", "alpha": "He"}

ISOTOPES = {"deuteron": ("H", 2), "triton": ("H", 3)}
"""Scored apart, these join their element's spectrum by energy per nucleon: species and mass number."""

SPECTRA = (*SPECIES_Z, *ISOTOPES)
"""Roles of fluence scorers."""


def role_of(header: ScorerHeader, parameters: Parameters | None, given: Given) -> str:
    """What a scorer is for the engine: a volume name ("dose_to_water", "LET_d" ...) or a species ("H" ...).

    Args:
        header: of the scorer.
        parameters: of the run; None where there is no parameter file.
        given: what the user said instead.

    Raises:
        UnsupportedError: the engine has no use for it, or cannot trust it.
        QuantityError: an unexpected unit.
    """
    if parameters is not None:
        require_as_stated(header, parameters)
    quantity = header.quantity
    if quantity.startswith(("RBE_", "DSB")):
        raise UnsupportedError(
            f"{quantity}: RBE and survival fraction look the same here, and are scaled by one voxel; "
            "surrogate3d topas image --as rbe makes an image of it"
        )
    if quantity not in _UNITS:
        raise UnsupportedError(f"quantity {quantity} is not used")
    if header.unit != _UNITS[quantity]:
        raise QuantityError(f"{header.scorer}: {quantity} must be in {_UNITS[quantity]}, found {header.unit}")
    if "Sum" not in header.columns:
        raise UnsupportedError(f"{quantity} reports {', '.join(header.columns)}; Sum is needed")
    if quantity == "Fluence":
        return _fluence_role(header)
    if header.binning:
        raise UnsupportedError(f"{quantity} binned in energy; TOPAS divides no such bins, and the engine needs none")
    foreign = [name for name, _ in header.filters if name != STRUCTURE_FILTER]
    if foreign:
        raise UnsupportedError(f"{quantity} filtered by {', '.join(foreign)} is only a part of the field")
    if quantity == "ProtonLET":
        return "LET_d" if _let_weighting(header, parameters, given) == "dose" else "LET_t"
    return DOSE_VOLUMES[quantity]


def _fluence_role(header: ScorerHeader) -> str:
    if header.binning is None:
        raise UnsupportedError("Fluence without energy bins")
    species = species_of(header)
    if species is None:
        filters = ", ".join(f"{name} = {value}" for name, value in header.filters) or "none"
        raise UnsupportedError(
            f"Fluence with filter {filters}; one filter is read: OnlyIncludeParticlesOfAtomicNumber = Z (1 to 10) or "
            'OnlyIncludeParticlesNamed = 1 "proton" (or "deuteron", "triton", "alpha")'
        )
    if header.binning.mode != "PreStep":
        raise UnsupportedError(
            f"Fluence binned by {header.binning.mode}, which is not the energy in the voxel; set EBinEnergy = PreStep"
        )
    return species


def species_of(header: ScorerHeader) -> str | None:
    """Species or isotope by the only filter of an energy-binned fluence scorer, None for any other scorer."""
    if header.quantity != "Fluence" or header.binning is None or len(header.filters) != 1:
        return None
    name, value = header.filters[0]
    words = value.replace('"', " ").split()
    if name == "OnlyIncludeParticlesOfAtomicNumber" and len(words) == 1 and words[0].isdigit():
        return _SPECIES_OF_Z.get(int(words[0]))
    if name == "OnlyIncludeParticlesNamed" and len(words) == 2 and words[0] == "1":
        return _ROLE_OF_PARTICLE.get(words[1].lower())
    return None


def _let_weighting(header: ScorerHeader, parameters: Parameters | None, given: Given) -> str:
    """The weighting, "dose" or "track", which the header does not say."""
    if parameters is None:
        if header.scorer not in given.let_weighting:
            raise QuantityError(
                f"{header.scorer}: a header does not say whether LET is weighted by dose or by track; give "
                f"--let-weighting {header.scorer}=dose or =track"
            )
        return given.let_weighting[header.scorer]
    weighting = parameters.string(f"Sc/{header.scorer}/WeightBy", "Dose").lower()
    if f"Sc/{header.scorer}/Quantity" not in parameters:
        raise QuantityError(f"{parameters.files[0].name}: scorer {header.scorer} is not there, so WeightBy is unknown")
    known = {"dose": "dose", "track": "track", "fluence": "track"}
    if weighting not in known:
        raise QuantityError(
            f"{parameters.files[0].name}: WeightBy of {header.scorer} is {weighting!r}; known: {list(known)}"
        )
    if given.let_weighting.get(header.scorer, known[weighting]) != known[weighting]:
        raise QuantityError(
            f"{parameters.files[0].name}: {header.scorer} is weighted by {known[weighting]}, and "
            f"{given.let_weighting[header.scorer]} was given; leave out --let-weighting"
        )
    return known[weighting]


def let_definitions(headers: Mapping[str, ScorerHeader], parameters: Parameters | None) -> dict[str, LetDefinition]:
    """What LET_d and LET_t mean, by OpenTOPAS scoring/TsScoreProtonLET.cc.

    Args:
        headers: by role.
        parameters: of the run; None where there is no parameter file.

    Raises:
        QuantityError: an unknown weighting.
    """
    definitions: dict[str, LetDefinition] = {}
    for role in ("LET_d", "LET_t"):
        if role not in headers:
            continue
        if parameters is None:
            definitions[role] = LetDefinition(
                weighting="dose" if role == "LET_d" else "track",
                particles="protons, primary and secondary, delta electrons not known",
                medium="local medium, mass stopping power at unit density",
                restricted=False,
                max_scored_kev_um=None,
                source="TOPAS ProtonLET, weighting given by the user, without parameter file",
            )
            continue
        prefix = f"Sc/{headers[role].scorer}"
        lookup = parameters.boolean(f"{prefix}/UsePreStepLookup", False)
        capped = role == "LET_d" and not lookup
        definitions[role] = LetDefinition(
            weighting="dose" if role == "LET_d" else "track",
            particles="protons, primary and secondary" + ("" if lookup else ", with their delta electrons"),
            medium="local medium, mass stopping power at unit density",
            restricted=False,
            max_scored_kev_um=parameters.number(f"{prefix}/MaxScoredLET", "LET", 100.0) if capped else None,
            source=f"TOPAS ProtonLET, {'pre-step look-up' if lookup else 'step by step'}, "
            f"WeightBy of {parameters.files[0].name}",
        )
    return definitions
