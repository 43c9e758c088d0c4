"""Maps for another cell line or fractionation at once, by physics from what was predicted; no network runs.

Curves of a prediction answer for each of its cell lines. Maps of alpha and beta alone answer for their own line, by the
linear-quadratic model. Where the field is prescribed, other settings scale its dose: to fractions x fraction dose at
the prescription. The dose of a field that is only scaled, and not prescribed, stays, and is divided into the fractions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import UnknownNameError
from surrogate3d.grid import DoseField, Quantity, quantity
from surrogate3d.inference.maps import (
    ALWAYS,
    EVERYWHERE,
    PRESCRIBED,
    Fractionation,
    VoxelCurves,
    derive_values,
    on_grid,
)
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.linear_quadratic import BED, EQD2, RBE_at_dose, effect
from surrogate3d.physics.mixing import MonoTable
from surrogate3d.pipeline.scene_charts import histograms_of, profiles_of
from surrogate3d.pipeline.scene_layers import Computed, layer_of, stated
from surrogate3d.pipeline.scene_voxels import curve_voxels, lq_voxels
from surrogate3d.viewer.scene import Layer, Scene, Sliceable
from surrogate3d.viewer.session import Recomputed
from surrogate3d.viewer.voxels import VoxelSource

if TYPE_CHECKING:
    from surrogate3d.inference.curves import CurveMap  # which loads the networks

Floats = npt.NDArray[np.floating[Any]]

FITTED_UP_TO_GY = 3.0
"""Dose per fraction up to which alpha and beta of maps were fitted (`direct.curve.FIT_DOSE_MAX`)."""


class Maker(Protocol):
    """Layers and voxels of one source of survival."""

    @property
    def how(self) -> str:
        """In a sentence, how they are derived."""

    @property
    def lines(self) -> Mapping[str, tuple[float, float]]:
        """alpha_x (1/Gy) and beta_x (1/Gy^2) by name of the cell lines that can be asked."""

    def layers(self, line: str, how: Fractionation, dose: Floats | None) -> list[Layer]:
        """Layers; `dose` is (i, j, k) of all fractions together, None where it is not absolute."""

    def voxels(self, line: str, fractions: int) -> VoxelSource:
        """Answers of single voxels."""


class PlanRecomputer:
    """Recomputes the scene of a plan."""

    def __init__(self, field: DoseField, maker: Maker, line: str, how: Fractionation, doses: Sequence[Layer]) -> None:
        """Remember what is shown first.

        Args:
            field: for dose and prescription.
            maker: what survival is derived from.
            line: name of the cell line that is shown.
            how: fractionation that is shown.
            doses: the field's other layers in Gy, as they are stored; they are scaled with the dose.
        """
        self._field, self._maker, self._line, self._how, self._doses = field, maker, line, how, tuple(doses)

    def manifest(self) -> dict[str, Any]:
        """What can be asked, and what is shown."""
        lines = [{"name": name, "alpha_x": a, "beta_x": b} for name, (a, b) in self._maker.lines.items()]
        shown = {"line": self._line, "fraction_dose": self._how.fraction_dose_gy, "fractions": self._how.fractions}
        return {"lines": lines, **shown, "prescribed": self._field.prescription is not None, "how": self._maker.how}

    def __call__(self, scene: Scene, line: str, fraction_dose_gy: float, fractions: int) -> Recomputed:
        """The scene for other settings.

        Raises:
            UnknownNameError: the line was not predicted.
            ValueRangeError: the settings are no fractionation, or a dose is beyond what was simulated.
        """
        if line not in self._maker.lines:
            known = ", ".join(self._maker.lines)
            raise UnknownNameError(f"cell line {line!r} was not predicted; there are {known}; predict with it as well")
        how = Fractionation(fraction_dose_gy, fractions)
        factor, dose = scale(self._field, how), None
        if self._field.prescription is not None:
            dose = self._field.dose * np.float32(factor)
        layers = [*dose_layers(self._field, how), *(_scaled(layer, factor) for layer in self._doses)]
        layers += self._maker.layers(line, how, dose)
        changed = {layer.name: layer for layer in layers}
        kept = [changed.pop(layer.name, layer) for layer in scene.layers]
        made = replace(scene, layers=(*kept, *changed.values()), voxels=self._maker.voxels(line, fractions))
        if scene.isodose is not None and self._field.prescription is not None and self._field.prescription.dose_gy:
            made = replace(made, isodose=replace(scene.isodose, base=fraction_dose_gy * fractions))
        self._line, self._how = line, how
        said = f"{line}, {_words(how)}; {self._maker.how}"
        return Recomputed(with_charts(made, self._field, how), frozenset(layer.name for layer in layers), said)


def scale(field: DoseField, how: Fractionation) -> float:
    """Factor on the field's dose: fractions x fraction dose over the prescribed dose; 1 where none is known."""
    prescribed = field.prescription.dose_gy if field.prescription is not None else None
    return 1.0 if prescribed is None else how.fractions * how.fraction_dose_gy / prescribed


def with_charts(scene: Scene, field: DoseField, how: Fractionation | None) -> Scene:
    """The scene with histograms and profiles of its layers."""
    known = field.prescription is not None and field.prescription.dose_gy is not None and how is not None
    base = how.fractions * how.fraction_dose_gy if known and how is not None else None
    histograms, wrong = histograms_of(scene.layers, scene.structures, scene.grid, base, "predicted")
    notes = tuple(dict.fromkeys((*scene.notes, *wrong)))
    return replace(scene, histograms=histograms, profiles=profiles_of(scene), notes=notes)


def dose_layers(field: DoseField, how: Fractionation | None) -> list[Layer]:
    """The field's dose, scaled to a fractionation; relative to its maximum where it is not absolute."""
    meaning, dose = quantity(field.dose_name), field.dose
    if field.prescription is None:
        largest = float(np.nanmax(dose))
        said = f"{meaning.definition}; relative, no prescription was given"
        return [layer_of(Quantity(meaning.name, meaning.symbol, "of maximum", said), dose / np.float32(largest or 1.0))]
    factor, words = 1.0 if how is None else scale(field, how), field.prescription.statement
    if how is not None and abs(factor - 1) > 1e-6:
        words = f"{words}; scaled by {factor:g} to {_words(how)}"
    return [layer_of(replace(meaning, definition=f"{meaning.definition}; {words}"), dose * np.float32(factor))]


def _scaled(layer: Layer, factor: float) -> Layer:
    """A layer in Gy, times a factor."""
    low, high = (factor * end for end in layer.window)
    ends = None if layer.range is None else (factor * layer.range[0], factor * layer.range[1])
    values = layer.values if factor == 1 else Computed((layer.values,), lambda stored: stored * np.float32(factor))
    return replace(layer, values=values, window=(low, high), range=ends)


def _words(how: Fractionation) -> str:
    return f"{how.fractions} x {how.fraction_dose_gy:g} Gy"


@dataclass(frozen=True, eq=False)
class CurveMaker:
    """From predicted survival curves.

    Attributes:
        field: in the bins of the model.
        curves: of each cell line that was predicted.
        tables: mono-energetic table of each.
    """

    field: DoseField
    curves: Mapping[CellLine, CurveMap]
    tables: Mapping[CellLine, MonoTable]
    how: str = "derived from the predicted survival curves; nothing was predicted anew"

    @property
    def lines(self) -> Mapping[str, tuple[float, float]]:
        """The lines that were predicted."""
        return {line.name: (line.alpha_x, line.beta_x) for line in self.curves}

    def layers(self, line: str, how: Fractionation, dose: Floats | None) -> list[Layer]:
        """All maps that the curves allow."""
        own = self._line(line)
        curves = self.curves[own]
        names = [name for name in (*ALWAYS, *(PRESCRIBED if dose is not None else ())) if name not in EVERYWHERE]
        doses = None if dose is None else dose[curves.mask]
        given = VoxelCurves(curves.doses, curves.effect, curves.relative_std, curves.interval, doses)
        maps = {name: on_grid(v, curves.mask) for name, v in derive_values(given, own, how, names).items()}
        maps |= {"mask": curves.mask.astype(np.float32), "out_of_domain": curves.out_of_domain.astype(np.float32)}
        return [layer_of(stated(quantity(name), line, how), values) for name, values in maps.items()]

    def voxels(self, line: str, fractions: int) -> VoxelSource:
        """The curves themselves."""
        own = self._line(line)
        photon = (own.alpha_x, own.beta_x)
        return curve_voxels(self.curves[own], self.field, photon, self.tables.get(own), fractions)

    def _line(self, name: str) -> CellLine:
        return next(line for line in self.curves if line.name == name)


@dataclass(frozen=True, eq=False)
class LqMaker:
    """From maps of alpha and beta, which may be on disk: values are computed where they are looked at.

    Attributes:
        field: of the dose.
        alpha: (i, j, k) 1/Gy.
        beta: (i, j, k) 1/Gy^2.
        line: the cell line of the maps.
        photon: its alpha_x and beta_x.
    """

    field: DoseField
    alpha: Sliceable
    beta: Sliceable
    line: str
    photon: tuple[float, float]
    how: str = (
        f"derived by the linear-quadratic model from the maps' alpha and beta, which were fitted up to "
        f"{FITTED_UP_TO_GY:g} Gy per fraction"
    )

    @property
    def lines(self) -> Mapping[str, tuple[float, float]]:
        """The line of the maps."""
        return {self.line: self.photon}

    def layers(self, line: str, how: Fractionation, dose: Floats | None) -> list[Layer]:
        """RBE at the fraction dose, and with an absolute dose the maps at the voxels' own."""
        by = "; linear-quadratic, from alpha and beta"
        at = partial(lq_value, "RBE", photon=self.photon, fractions=1)
        reference = Computed((self.alpha, self.beta), lambda a, b: at(a, b, np.full(a.shape, how.fraction_dose_gy)))
        found = [layer_of(stated(quantity("RBE_ref"), line, how, by), reference)]
        if dose is None:
            return found
        per_fraction = dose / np.float32(how.fractions)
        for name in PRESCRIBED:
            make: Callable[..., Floats] = partial(lq_value, name, photon=self.photon, fractions=how.fractions)
            found.append(
                layer_of(stated(quantity(name), line, how, by), Computed((self.alpha, self.beta, per_fraction), make))
            )
        return found

    def voxels(self, line: str, fractions: int) -> VoxelSource:
        """Linear-quadratic curves."""
        return lq_voxels(self.field, self.alpha, self.beta, line, self.photon, fractions)


def lq_value(
    name: str, alpha: Floats, beta: Floats, per_fraction: Floats, photon: tuple[float, float], fractions: int
) -> Floats:
    """One of the maps of `inference.maps.PRESCRIBED` by the linear-quadratic model.

    Args:
        name: of the map.
        alpha: 1/Gy.
        beta: 1/Gy^2.
        per_fraction: dose of one fraction, Gy.
        photon: alpha_x (1/Gy) and beta_x (1/Gy^2).
        fractions: their number.
    """
    one = effect(per_fraction, alpha, beta)
    if name in ("effect", "survival"):
        return one * fractions if name == "effect" else np.exp(-one * fractions)
    RBE = RBE_at_dose(per_fraction, one, *photon)
    if name == "RBE":
        return RBE
    weighted, ratio = RBE * per_fraction, photon[0] / photon[1] if photon[1] > 0 else np.inf
    if name == "D_RBE":
        return weighted * fractions
    return (BED if name == "BED" else EQD2)(weighted * fractions, weighted, ratio)
