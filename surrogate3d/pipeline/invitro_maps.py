"""Maps of a field by a model of in-vitro survival: what measured cells would show, and which scale the model looked at.

The maps have the names and endpoints of the mechanistic prediction (`inference.maps`), so that the two can be compared.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.task import DOSE_LADDER
from surrogate3d.errors import BundleError, ValueRangeError
from surrogate3d.grid import Field, Volume, VolumeSet, quantity
from surrogate3d.inference.answerable import faulty, irradiated
from surrogate3d.inference.curves import CurveMap
from surrogate3d.inference.maps import Fractionation, derive_maps, photon_sensitivity, wanted
from surrogate3d.invitro.features import FEATURES, GROUPS, SCALE_OF_GROUP, SCALES, biology_features
from surrogate3d.invitro.model import InVitroModel, InVitroPrediction
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.let import largest_species
from surrogate3d.physics.linear_quadratic import isoeffective_dose
from surrogate3d.pipeline.invitro_domain import IrradiationDomain
from surrogate3d.pipeline.invitro_spectra import voxel_features
from surrogate3d.pipeline.map_summary import PredictedMaps

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

RADIATION_SCALES = tuple(scale for scale in SCALES if scale != "biology")
IMPORTANCE = tuple(f"importance_{scale}" for scale in RADIATION_SCALES)
"""Maps of the share of each scale in what the model looked at; they sum to 1."""

LEVEL = 0.9
"""Of the interval whose half width is a map."""

BEAM = "the ion of the beam"
SPECTRUM = "the spectrum as a whole"


@dataclass(frozen=True, eq=False)
class VoxelAnswers:
    """What a model says of the voxels of a mask, in the order of `np.argwhere(mask)`.

    Attributes:
        mask: (i, j, k).
        prediction: (voxel,).
        outside: (voxel,) whether something is unlike all experiments of the training.
        strangest: what is so in most of these voxels; "" if there are none.
    """

    mask: Flags
    prediction: InVitroPrediction
    outside: Flags
    strangest: str


def predict_in_vitro(
    field: Field,
    model: InVitroModel,
    line: CellLine,
    fractionation: Fractionation,
    names: tuple[str, ...] | None = None,
) -> PredictedMaps:
    """Predict the maps of a field in memory.

    Args:
        field: with spectra.
        model: the model.
        line: cell line; its photon pair and what is known of its biology.
        fractionation: fraction dose and number.
        names: which maps, those of `inference.maps` and of `IMPORTANCE`; None makes all that the field allows.

    Returns:
        Maps, float32, NaN where there is no answer. RBE_std and RBE_half_width are of a measurement by another
        laboratory at the fraction dose; the noise of the spectra is not in them.

    Raises:
        PrescriptionError, UnknownNameError, ValueRangeError: as of `inference.maps.derive_maps`.
        ValueRangeError: no voxel has enough dose and a spectrum.
    """
    shares = IMPORTANCE if names is None else tuple(name for name in names if name in IMPORTANCE)
    others = None if names is None else tuple(name for name in names if name not in IMPORTANCE)
    others = wanted(field, fractionation, others)
    start = time.perf_counter()
    answers = voxel_answers(field, model, line)
    curves = _curves(answers, line, fractionation.fraction_dose_gy)
    maps = dict(derive_maps(curves, field, line, fractionation, others))
    importance = scale_importance(answers.prediction.importance)
    for name in shares:
        values = curves.volume(importance[:, IMPORTANCE.index(name)])
        maps[name] = Volume(field.grid, values.astype(np.float32), quantity(name))
    return PredictedMaps(VolumeSet(field.grid, maps), curves, time.perf_counter() - start)


def voxel_answers(field: Field, model: InVitroModel, line: CellLine) -> VoxelAnswers:
    """What the model says of all voxels with enough dose and a spectrum that can explain it.

    Raises:
        ValueRangeError: there are none.
        BundleError: the model has no domain; it was not trained by `invitro_training`.
    """
    mask = irradiated(field) & (field.spectra.fluence.sum(axis=(0, 1)) > 0) & ~faulty(field)
    if not mask.any():
        raise ValueRangeError("no voxel of the field has enough dose and a spectrum; there is nothing to predict")
    radiation = voxel_features(field, mask)
    biology = np.broadcast_to(biology_features(line), (len(radiation), len(FEATURES) - radiation.shape[1]))
    features = np.concatenate([radiation, biology], axis=1)
    prediction = model.predict(features, np.array([line.alpha_x, line.beta_x]))
    beam = largest_species(field.spectra.axes, field.spectra.fluence)
    if beam not in model.training["species"]:
        return VoxelAnswers(mask, prediction, np.ones(len(features), dtype=bool), BEAM)
    if "domain" not in model.training:
        raise BundleError(
            "the in-vitro model does not say what it was trained on; train it with `surrogate3d invitro train`"
        )
    far = IrradiationDomain.from_json(model.training["domain"]).outside(features)
    beyond = ~model.in_domain(features)
    strangest = SPECTRUM if far.sum() > beyond.sum() else _strangest(model, features[beyond])
    return VoxelAnswers(mask, prediction, far | beyond, strangest)


def scale_importance(importance: Floats) -> Floats:
    """Share of each scale of the irradiation, biology apart.

    Args:
        importance: (n, group) in the order of `GROUPS`, of sum 1.

    Returns:
        (n, scale) in the order of `RADIATION_SCALES`, of sum 1; NaN where only biology was looked at.
    """
    member = np.array([[SCALE_OF_GROUP[group] == scale for scale in RADIATION_SCALES] for group in GROUPS])
    shares = importance @ member
    total = shares.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(shares, total, out=np.full_like(shares, np.nan), where=total > 0))


def line_doubt(model: InVitroModel, line: CellLine) -> str:
    """Why a cell line is unlike those of the training, or what is not known of it; "" if there is nothing to say."""
    own = np.concatenate([np.full(len(FEATURES) - len(biology_features(line)), np.nan), biology_features(line)])
    named = zip(FEATURES, own, model.low, model.high, strict=True)
    said = [
        f"{feature.name} of {line.name} is {value:.4g}, outside {low:.4g} to {high:.4g} ({feature.unit}) of the cells "
        "trained on"
        for feature, value, low, high in named
        if value < low or value > high
    ]
    unknown = [f.name for f, value in zip(FEATURES, own, strict=True) if f.group == "biology" and np.isnan(value)]
    return "; ".join(said + ([f"not known of {line.name}: {', '.join(unknown)}"] if unknown else []))


def _curves(answers: VoxelAnswers, line: CellLine, dose_gy: float) -> CurveMap:
    """Survival curves on the ladder of the mechanistic prediction, and their deviation at one dose."""
    found = answers.prediction
    effect = -found.log_survival(dose_gy)
    doses = np.array(DOSE_LADDER)
    outside = answers.mask.copy()
    outside[answers.mask] = answers.outside
    half_width = _half_width(found, line, dose_gy) if is_calibrated(found) else None
    return CurveMap(
        answers.mask,
        doses,
        found.alpha[:, None] * doses + found.beta[:, None] * doses**2,
        found.log_survival_std(dose_gy) / effect,
        outside,
        answers.strangest,
        half_width=half_width,
    )


def _half_width(found: InVitroPrediction, line: CellLine, dose_gy: float) -> Floats:
    """(voxel,) relative half width about the effect at a dose: the wider of two calibrated intervals.

    One is that of ln S at the dose, the other that of RBE10 taken over to the dose. Of 788 experiments of PIDE 3.4 (H,
    He, C; each answered by the members that had not seen its publication) the first covers 87 % of RBE at 2 Gy (86 %
    above 50 keV/um), the second 91 % (80 % from 2 to 10 keV/um, where clinical protons are), the wider one 93 %
    (90 to 100 % in four bands of LET).
    """
    effect = -found.log_survival(dose_gy)
    low, high = found.log_survival_interval(dose_gy, LEVEL)
    least, most = found.interval(LEVEL)
    slope = photon_sensitivity(isoeffective_dose(effect, line.alpha_x, line.beta_x), line)
    return np.maximum(0.5 * (high - low) / effect, 0.5 * np.log(most / least) / slope)


def is_calibrated(model: InVitroModel | InVitroPrediction) -> bool:
    """Whether there are intervals of `LEVEL`; few publications cannot tell such a level."""
    return model.intervals is not None and any(np.isclose(model.intervals.levels, LEVEL))


def _strangest(model: InVitroModel, features: Floats) -> str:
    """The feature that lies outside of the training in most of some voxels (n, feature)."""
    if not len(features):
        return ""
    count = ((features < model.low) | (features > model.high)).sum(axis=0)
    return FEATURES[int(count.argmax())].name
