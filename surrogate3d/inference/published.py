"""Maps by a published RBE model from dose and LET_d alone: the reduced input, for plans without spectra.

These models were fitted to cell data of one ion, with LET_d of that ion in water. What does not fit is refused, what is
not known is said. Their biology is not the engine's, and LET_d is only a summary of the spectrum.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import QuantityError, UnknownNameError, UnsupportedError, ValueRangeError
from surrogate3d.grid import DoseField, LetDefinition, Volume, VolumeSet, quantity
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.linear_quadratic import BED, EQD2, effect
from surrogate3d.physics.rbe import PUBLISHED_MODELS

if TYPE_CHECKING:
    from surrogate3d.inference.maps import Fractionation

Floats = npt.NDArray[np.float64]

ALWAYS = ("RBE_ref", "mask", "outside")
"""Maps that need no absolute dose."""

PRESCRIBED = ("RBE", "D_RBE", "BED", "EQD2", "survival", "effect")
"""Maps at the voxel's own dose, as in `inference.maps`."""

INPUTS = "dose and LET_d (reduced input, no spectra)"
MIN_DOSE_FRACTION = 0.05
"""Voxels with less of the field's largest dose are left out, as by `inference.curves`."""

MAX_PROTON_LET_D = 20.0
"""keV/um; above it proton cell data are scarce, and the fits are extrapolations."""

LARGEST_LET_D = {"H": MAX_PROTON_LET_D, "He": 200.0}
"""keV/um, by ion, beyond which a voxel is outside the validity of its models, as of `direct.let_backends`."""

LARGEST_DOSE_GY = 10.0
"""Of a fraction, beyond which it is, too."""


class Publication(NamedTuple):
    """Where a model of `PUBLISHED_MODELS` comes from, and for which ion.

    Attributes:
        ion: species of the primary beam.
        uses_LET: whether the answer depends on LET_d.
        source: with DOI.
    """

    ion: str
    uses_LET: bool
    source: str


PUBLICATIONS = {
    "constant": Publication("H", False, "RBE 1.1, the clinical convention for protons"),
    "mcnamara": Publication("H", True, "McNamara et al. 2015, doi 10.1088/0031-9155/60/21/8399"),
    "wedenberg": Publication("H", True, "Wedenberg et al. 2013, doi 10.3109/0284186X.2012.705892"),
    "carabe": Publication("H", True, "Carabe et al. 2012, doi 10.1088/0031-9155/57/5/1159"),
    "rorvik": Publication("H", True, "Rorvik et al. 2017, linear fit, as in doi 10.1259/bjr.20190334 Table 1"),
    "mairani": Publication("He", True, "Mairani et al. 2016, doi 10.1088/0031-9155/61/2/888"),
}

_ION_NAMES = {"H": "protons", "He": "helium"}


MOST_GY = 50.0
"""Dose per fraction beyond which a dose scale is taken for a mistake: no LQ model was fitted anywhere near it."""


def predict_published(
    field: DoseField,
    model_name: str,
    line: CellLine,
    fractionation: Fractionation,
    names: tuple[str, ...] | None = None,
) -> VolumeSet:
    """Maps of RBE and what follows from it, by a published model.

    Args:
        field: dose and LET_d; spectra are not used.
        model_name: of `PUBLISHED_MODELS`.
        line: photon reference.
        fractionation: fraction dose and number.
        names: which maps; None makes all that the field allows: those of `PRESCRIBED` only with a prescription.

    Returns:
        Volumes by name, float32, NaN outside the mask: where there is less than `MIN_DOSE_FRACTION` of the largest
        dose, or no LET_d that the model needs.

    Raises:
        UnknownNameError: no such model, or no such map.
        UnsupportedError: the beam is not of the model's ion.
        QuantityError: there is no LET_d, or one of another definition; see `doubts`.
        PrescriptionError: a map of `PRESCRIBED` is asked for, or the field is prescribed, and the doses do not fit.
        ValueRangeError: the cell line has no quadratic term, or no voxel has dose and LET_d.
    """
    doubts(field, model_name, line)
    names = _wanted(field, fractionation, names)
    LET, mask = _LET(field, model_name), answered(field, model_name)
    if not mask.any():
        raise ValueRangeError("no voxel of the field has enough dose and a LET_d; there is nothing to predict")
    D = np.asarray(field.dose, dtype=float)[mask] / fractionation.fractions
    if field.prescription is not None and D.max() > MOST_GY:
        raise ValueRangeError(
            f"the largest dose is {D.max():.3g} Gy per fraction, and no LQ model holds beyond {MOST_GY:g} Gy; "
            "check the dose scale and the number of fractions"
        )
    doses = {"RBE_ref": np.full_like(D, fractionation.fraction_dose_gy), "RBE": D}
    model = PUBLISHED_MODELS[model_name]
    RBE = {name: model(dose, LET[mask], line.alpha_x, line.beta_x) for name, dose in doses.items()}
    values = {**RBE, **_consequences(RBE["RBE"] * D, line, fractionation.fractions)}
    volumes = {name: _spread(values[name], mask) for name in names if name not in ("mask", "outside")}
    if "mask" in names:
        volumes["mask"] = mask.astype(np.float32)
    if "outside" in names:
        far = LET[mask] > LARGEST_LET_D[PUBLICATIONS[model_name].ion]
        far |= (field.prescription is not None) & (D > LARGEST_DOSE_GY)
        volumes["outside"] = _spread(far.astype(float), mask)
    return VolumeSet(field.grid, {name: Volume(field.grid, volumes[name], quantity(name)) for name in names})


def doubts(field: DoseField, model_name: str, line: CellLine) -> tuple[str, ...]:
    """What must be known about the answer of a model to a field; refuses what cannot be answered.

    Raises:
        UnknownNameError, UnsupportedError, QuantityError, ValueRangeError: as for `predict_published`.
    """
    if model_name not in PUBLICATIONS:
        raise UnknownNameError(f"unknown published model {model_name!r}; known: {', '.join(PUBLICATIONS)}")
    about = PUBLICATIONS[model_name]
    _require_ion(field, model_name, about.ion)
    if not about.uses_LET:
        return ()
    if not line.beta_x > 0:
        raise ValueRangeError(
            f"{model_name} needs alpha_x / beta_x, but {line.name} has beta_x = 0; choose another cell line"
        )
    _require_LET(field, model_name)
    return (*_about_definition(field.let_definitions["LET_d"], model_name, about.ion), *_about_range(field, model_name))


def reduced_metadata(field: DoseField, model_name: str, line: CellLine) -> dict[str, Any]:
    """What every map of a published model stands under, besides field, cell line and fractionation."""
    about, definition = PUBLICATIONS[model_name], field.let_definitions.get("LET_d")
    return {
        "inputs": INPUTS if about.uses_LET else "dose (reduced input, no spectra)",
        "model": {"name": model_name, "ion": about.ion, "source": about.source},
        "let_definition": asdict(definition) if definition and about.uses_LET else None,
        "warnings": list(doubts(field, model_name, line)),
    }


def answered(field: DoseField, model_name: str) -> npt.NDArray[np.bool_]:
    """(i, j, k) where a model answers: enough dose, and a LET_d where it needs one."""
    enough = field.dose >= MIN_DOSE_FRACTION * np.nanmax(field.dose)
    return np.asarray(enough & (field.dose > 0) & np.isfinite(_LET(field, model_name)))


def _require_ion(field: DoseField, model_name: str, ion: str) -> None:
    if field.primary is None:
        raise UnsupportedError(
            f"{model_name} is for {_ION_NAMES[ion]}, and the field does not say which particles its beam is of; "
            "convert it again and say so"
        )
    if field.primary != ion:
        reason = "LET_d alone says little of the effect: fields of one LET_d have different spectra"
        raise UnsupportedError(
            f"{model_name} is for {_ION_NAMES[ion]}, the beam is of {field.primary}"
            + (f", where {reason}; convert a run with spectra" if field.primary not in _ION_NAMES else "")
        )


def _about_definition(definition: LetDefinition, model_name: str, ion: str) -> tuple[str, ...]:
    """Refuse a LET that the model was not fitted to; remark on what may differ."""
    meant = f"{model_name} was fitted to LET_d of {_ION_NAMES[ion]} in water, unrestricted"
    if definition.weighting != "dose":
        raise QuantityError(f"{meant}; the field's LET is {definition.weighting}-averaged")
    if definition.restricted:
        raise QuantityError(f"{meant}; the field's LET is restricted")
    same = _same_particles(definition.particles, ion)
    if same is False:
        raise QuantityError(f"{meant}; the field's LET is of {definition.particles}")
    differs = []
    if same is None:
        differs.append(f"of {definition.particles}")
    if "water" not in definition.medium:
        differs.append(f"in {definition.medium}, so in bone and lung the answer may be wrong")
    if "not state" in definition.source:
        differs.append(f"from {definition.source}")
    return (f"{meant}; the field's LET is {', '.join(differs)}",) if differs else ()


def _same_particles(particles: str, ion: str) -> bool | None:
    """Whether a LET is of the model's ion; None when that cannot be told."""
    everything = re.search(r"\ball\b(?! isotopes)", particles, re.IGNORECASE)
    protons_only = particles.lower().startswith("proton") or re.match(r"H\b", particles)
    if ion != "H":
        return False if everything or protons_only else None
    if everything or re.search(r"\b(He|Li|Be|B|C|N|O)\b", particles):
        return False
    unsure = re.search(r"deuteron|alpha|not known|not state|unknown", particles, re.IGNORECASE)
    return True if protons_only and not unsure else None


def _about_range(field: DoseField, model_name: str) -> tuple[str, ...]:
    mask, LET = answered(field, model_name), _LET(field, model_name)
    over = int((LET[mask] > MAX_PROTON_LET_D).sum())
    if PUBLICATIONS[model_name].ion != "H" or not over:
        return ()
    return (
        f"{over} of {int(mask.sum())} voxels have LET_d above {MAX_PROTON_LET_D:g} keV/um, up to "
        f"{LET[mask].max():.3g}, where proton cell data are scarce: there the models extrapolate",
    )


def _wanted(field: DoseField, fractionation: Fractionation, names: tuple[str, ...] | None) -> tuple[str, ...]:
    if names is None:
        names = ALWAYS if field.prescription is None else ALWAYS + PRESCRIBED
    unknown = [name for name in names if name not in ALWAYS + PRESCRIBED]
    if unknown:
        raise UnknownNameError(
            f"no map {unknown[0]!r} from a published model; it makes {', '.join(ALWAYS + PRESCRIBED)}"
        )
    if any(name in PRESCRIBED for name in names):
        fractionation.require_prescription(field)
    return names


def _require_LET(field: DoseField, model_name: str) -> None:
    if "LET_d" not in field.volumes or "LET_d" not in field.let_definitions:
        raise QuantityError(
            f"{model_name} needs LET_d with its definition, the field has none; only 'constant' does without"
        )


def _LET(field: DoseField, model_name: str) -> Floats:
    if not PUBLICATIONS[model_name].uses_LET:
        return np.zeros(field.grid.shape)
    _require_LET(field, model_name)
    return np.asarray(field.volumes["LET_d"].values, dtype=float)


def _consequences(photon_dose: Floats, line: CellLine, fractions: int) -> dict[str, Floats]:
    """What follows from the photon dose per fraction of equal effect."""
    total, E = fractions * photon_dose, fractions * effect(photon_dose, line.alpha_x, line.beta_x)
    return {
        "D_RBE": total,
        "BED": BED(total, photon_dose, line.alpha_beta_x),
        "EQD2": EQD2(total, photon_dose, line.alpha_beta_x),
        "survival": np.exp(-E),
        "effect": E,
    }


def _spread(values: Floats, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.float32]:
    grid = np.full(mask.shape, np.nan, dtype=np.float32)
    grid[mask] = values
    return grid
