"""What a report says, as plain data: no files, no plotting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError
from surrogate3d.grid.geometry import Grid
from surrogate3d.grid.volume import Volume
from surrogate3d.validation.acceptance import Finding
from surrogate3d.validation.coverage import Coverage
from surrogate3d.validation.design_weighted import VolumeError
from surrogate3d.validation.map_errors import MapErrorRow
from surrogate3d.validation.problems import Problem
from surrogate3d.validation.sigma_errors import SigmaErrors
from surrogate3d.validation.table import ComparisonTable
from surrogate3d.viewer.scene import Scene

FloatArray = npt.NDArray[np.floating]
BoolArray = npt.NDArray[np.bool_]

DOSES = ("dose_to_water", "dose_to_medium")


@dataclass(frozen=True)
class Fact:
    """One number of the summary, already rounded as it is to be read.

    Attributes:
        label: what it is, in words.
        value: as printed.
        unit: as printed; empty for a pure number.
        note: what qualifies it (n, spread, baseline in the same run).
    """

    label: str
    value: str
    unit: str = ""
    note: str = ""


@dataclass(frozen=True)
class Conditions:
    """What every number of the report stands under.

    Attributes:
        cell_line: name and photon parameters, e.g. "HSG (alpha_x 0.313 /Gy, beta_x 0.0615 /Gy^2)".
        fractions: number of equal fractions.
        fraction_dose: in words, e.g. "2 Gy, median of the target", or "the voxel's own dose over 1 fraction".
        prescription: how simulated histories became dose, or that they did not.
        mask_meaning: when the surrogate answers and when it does not.
        LET: definition of the LET that is shown.
        model: which trained model answered, with the start of its hash.
    """

    cell_line: str
    fractions: int
    fraction_dose: str
    prescription: str
    mask_meaning: str
    LET: str = ""
    model: str = ""


@dataclass(frozen=True, eq=False)
class DirectPoints:
    """Voxels that were simulated directly.

    Attributes:
        index: (point, 3) voxel indices.
        RBE: (point,) RBE, at the same dose as the map of RBE.
        standard_error: (point,) Monte Carlo standard error of `RBE`.
        held_out: (point,) whether the surrogate never saw the voxel in training.

    Raises:
        GridMismatchError: the lengths differ.
    """

    index: npt.NDArray[np.integer]
    RBE: FloatArray
    standard_error: FloatArray
    held_out: BoolArray

    def __post_init__(self) -> None:
        n = len(self.index)
        if self.index.shape != (n, 3) or any(a.shape != (n,) for a in (self.RBE, self.standard_error, self.held_out)):
            raise GridMismatchError(f"direct points need index (n, 3), three arrays (n,); index is {self.index.shape}")


@dataclass(frozen=True, eq=False)
class Judgement:
    """What a validation says beside its table; everything may be missing.

    Attributes:
        findings: what came of the acceptance limits.
        problems: what is wrong with maps and structures.
        errors: by method, kind of group and group.
        volume_errors: of RBE in %, estimated from drawn voxels, by method.
        sigmas: errors of RBE in units of the truth's noise, by method.
        coverage: of the surrogate's intervals.
        comparisons: of whole maps by quantity: plain data of schema "surrogate3d.comparison/1".
        histograms: plain data of volume histograms.
        notes: what could not be told, in sentences.
    """

    findings: tuple[Finding, ...] = ()
    problems: tuple[Problem, ...] = ()
    errors: tuple[MapErrorRow, ...] = ()
    volume_errors: Mapping[str, VolumeError] = field(default_factory=dict)
    sigmas: Mapping[str, SigmaErrors] = field(default_factory=dict)
    coverage: tuple[Coverage, ...] = ()
    comparisons: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    histograms: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ReportContent:
    """Everything that a report shows.

    Attributes:
        title: headline.
        verdict: sentences, the first the most important.
        conditions: dose, cell line, fractionation, mask.
        summary: the few numbers to read first.
        maps: volumes on one grid by quantity name: `dose_to_water` or `dose_to_medium`, `RBE`, and as available
            `LET_d`, `D_RBE`, `RBE_std`, `alpha`, `beta`, `survival`.
        mask: (i, j, k) where the surrogate answers.
        beam_axis: index axis nearest to the beam's direction.
        beam_sign: +1 when the beam travels towards larger indices, else -1.
        prescription_gy: the dose of 100 % for isodose lines and of the field's own scale; None takes the maximum.
        points: directly simulated voxels, if any.
        methods: (i, j, k) RBE by other methods from the same input, by name.
        published_models: (i, j, k) RBE of published LET models, by name: other biology, not errors.
        in_vitro: (i, j, k) RBE by a model of survival measured in vitro, NaN where unknown; None when there is none.
        reference: (i, j, k) RBE truth from high statistics, NaN where unknown; None when none was given.
        reference_origin: what the reference is, in words.
        regions: (i, j, k) masks by name.
        validation: table with schema "surrogate3d.validation/1", or None.
        judgement: limits, problems, errors by group, whole-map comparisons.
        scene: what the viewer shows; None leaves it out.
        provenance: plain nested data.
        timings_s: seconds by step.
        notes: further sentences.

    Raises:
        QuantityError: there is no dose or no RBE.
        GridMismatchError: something is not on the maps' grid.
        FormatError: the validation table has another schema.
    """

    title: str
    verdict: tuple[str, ...]
    conditions: Conditions
    maps: Mapping[str, Volume]
    mask: BoolArray
    beam_axis: int
    beam_sign: int
    summary: tuple[Fact, ...] = ()
    prescription_gy: float | None = None
    points: DirectPoints | None = None
    methods: Mapping[str, FloatArray] = field(default_factory=dict)
    published_models: Mapping[str, FloatArray] = field(default_factory=dict)
    in_vitro: FloatArray | None = None
    reference: FloatArray | None = None
    reference_origin: str = ""
    regions: Mapping[str, BoolArray] = field(default_factory=dict)
    validation: Mapping[str, Any] | None = None
    judgement: Judgement = field(default_factory=Judgement)
    scene: Scene | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    timings_s: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not any(name in self.maps for name in DOSES) or "RBE" not in self.maps:
            raise QuantityError(f"a report needs one of {DOSES} and RBE among its maps; found {tuple(self.maps)}")
        if self.beam_axis not in (0, 1, 2) or self.beam_sign not in (-1, 1):
            raise QuantityError(f"beam must run along +-axis 0, 1 or 2; found {self.beam_sign} x {self.beam_axis}")
        if self.validation is not None:
            ComparisonTable.from_json(dict(self.validation))
        for name, volume in self.maps.items():
            self.grid.require_same(volume.grid, name)
        arrays = {"mask": self.mask, **self.methods, **self.published_models, **self.regions}
        single = {"in_vitro": self.in_vitro, "reference": self.reference}
        arrays |= {name: values for name, values in single.items() if values is not None}
        for name, values in arrays.items():
            if values.shape != self.grid.shape:
                raise GridMismatchError(f"{name}: values have shape {values.shape}, the maps {self.grid.shape}")

    @property
    def grid(self) -> Grid:
        """Geometry of everything that is shown."""
        return self.maps["RBE"].grid

    @property
    def dose(self) -> Volume:
        """To water when it is there, else to medium."""
        return self.maps[next(name for name in DOSES if name in self.maps)]

    @property
    def RBE(self) -> FloatArray:
        """(i, j, k) predicted RBE, NaN where the surrogate does not answer."""
        return np.where(self.mask, self.maps["RBE"].values, np.nan)

    @property
    def isodose_base_gy(self) -> float:
        """The dose that is called 100 %."""
        return self.prescription_gy or float(np.nanmax(self.dose.values))

    @property
    def focus(self) -> tuple[int, int, int]:
        """Voxel that the slices and profiles cross: the centroid of the 80 % isodose."""
        dose = np.nan_to_num(self.dose.values)
        high = np.argwhere(dose >= 0.8 * min(self.isodose_base_gy, float(dose.max())))
        i, j, k = np.rint(high.mean(axis=0)).astype(int)
        return (int(i), int(j), int(k))

    @property
    def known_reference(self) -> BoolArray:
        """(i, j, k) voxels of the mask with a finite reference."""
        if self.reference is None:
            return np.zeros(self.grid.shape, dtype=bool)
        return np.asarray(self.mask & np.isfinite(self.reference))

    @property
    def sparse_reference(self) -> bool:
        """Whether fewer than half of the mask's voxels have a reference: too few for a line or a slice."""
        return bool(2 * self.known_reference.sum() < self.mask.sum())

    def errors_percent(self) -> dict[str, FloatArray]:
        """(i, j, k) relative RBE error of the prediction and of the other methods, %; empty without reference.

        NaN where the reference is not known, or 0.
        """
        if self.reference is None:
            return {}
        known = np.where(self.known_reference & (self.reference != 0), self.reference, np.nan)
        methods = {"surrogate": self.maps["RBE"].values, **self.methods}
        return {name: 100.0 * (values / known - 1.0) for name, values in methods.items()}
