"""What `validate` works on: read once, judged, summarised, reported."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import surrogate3d
from surrogate3d.cli.console import Progress
from surrogate3d.cli.machine import facts
from surrogate3d.errors import ConfigError
from surrogate3d.grid import Field, Volume
from surrogate3d.inference.maps import Fractionation
from surrogate3d.io.field_store import field_id, read_field
from surrogate3d.model.bundle import Surrogate, load_bundle
from surrogate3d.physics.cell_line import CellLine, cell_line
from surrogate3d.pipeline.any_map import ReferenceMap
from surrogate3d.pipeline.appraisal import Appraisal, Judged, appraise
from surrogate3d.pipeline.comparison_context import Context
from surrogate3d.pipeline.in_memory import table_for
from surrogate3d.pipeline.judged_structures import structures_on
from surrogate3d.pipeline.map_validation import MapValidation, validate_by_map, write_map_report
from surrogate3d.pipeline.models import resolve
from surrogate3d.pipeline.reference_maps import read_reference
from surrogate3d.pipeline.scenes import ct_on
from surrogate3d.pipeline.validation import Validation, ValidationSettings, headline, validate
from surrogate3d.validation.acceptance import Limit, read_limits
from surrogate3d.validation.problems import Problem


@dataclass(frozen=True)
class Against:
    """What the surrogate is judged by.

    Attributes:
        path: a run of the plan with many histories, or a map; None takes the input itself.
        quantity: what the map holds; None when it is a run.
        resample: whether the map is interpolated onto the grid of the input.
    """

    path: Path | None = None
    quantity: str | None = None
    resample: bool = False


@dataclass(frozen=True)
class Beside:
    """What is looked at beside the maps.

    Attributes:
        structures: an RT Structure Set, a folder of masks or a mask image.
        limits: file of acceptance limits; None takes the shipped ones.
        ct: an image, or the folder of a CT series, for the report.
        survival_model: a model of in-vitro survival, for the report.
    """

    structures: Path | None = None
    limits: Path | None = None
    ct: Path | None = None
    survival_model: str | None = None


@dataclass(frozen=True, eq=False)
class Judgement:
    """The parties of a validation.

    Attributes:
        low_id: field id of `low`.
        low: the input.
        high_id: field id of the run that gives the truth, or SHA-256 of the map that is the reference.
        high: that run; None when it is `low` itself, or a map.
        reference: the map of another engine that is the reference; None when there is none.
        surrogate: the model.
        line: cell line.
        settings: how to judge.
        fractions: number of equal fractions.
        limits: acceptance limits.
        structures: (i, j, k) fraction of each voxel that is inside, by name; None where none are given.
        problems: what was wrong with them.
        ct: on the grid of `low`; None where none is given.
        against: what the reference was read from.
        beside: what was asked for beside the maps.
    """

    low_id: str
    low: Field
    high_id: str
    high: Field | None
    reference: ReferenceMap | None
    surrogate: Surrogate
    line: CellLine
    settings: ValidationSettings
    fractions: int
    limits: tuple[Limit, ...]
    structures: Mapping[str, npt.NDArray[np.floating]] | None
    problems: tuple[Problem, ...]
    ct: Volume | None
    against: Against
    beside: Beside

    @staticmethod
    def read(
        low: Path,
        against: Against,
        model: str,
        line: str,
        settings: ValidationSettings,
        fractions: int,
        beside: Beside,
    ) -> Judgement:
        """Read everything.

        Raises:
            ConfigError: a quantity without a map.
            Surrogate3dError: something is missing, damaged or unknown.
        """
        if against.quantity is not None and against.path is None:
            raise ConfigError(f"--quantity {against.quantity} says what a map of --reference holds, and none was given")
        cells, surrogate, limits = cell_line(line), load_bundle(resolve(model)), read_limits(beside.limits)
        field = read_field(low)
        high, by_map, name = _reference(against, field)
        found, problems = structures_on(beside.structures, field.grid, frame=by_map.frame if by_map else "")
        return Judgement(
            low_id=field_id(low),
            low=field,
            high_id=name or field_id(low),
            high=high,
            reference=by_map,
            surrogate=surrogate,
            line=cells,
            settings=settings,
            fractions=fractions,
            limits=limits,
            structures=None if beside.structures is None else found,
            problems=problems,
            ct=None if beside.ct is None else ct_on(beside.ct, field.grid).volume,
            against=against,
            beside=beside,
        )

    @property
    def how(self) -> Fractionation:
        """Fraction dose and number."""
        return Fractionation(self.settings.fraction_dose_gy, self.fractions)

    def validate(self, ledger: Path, progress: Progress) -> tuple[Validation, Appraisal]:
        """Judge by direct simulation; arguments as in `pipeline.validation.validate`."""
        table = table_for(self.surrogate, self.line)
        found = validate(
            self.low, self.high, self.high_id, self.surrogate, self.line, table, self.settings, ledger, progress
        )
        judged = Judged(
            low=self.low,
            high=self.high,
            high_id=self.high_id,
            line=self.line,
            table=table,
            settings=self.settings,
            fractions=self.fractions,
            structures=self.structures,
            problems=self.problems,
        )
        return found, appraise(found, judged, self.limits)

    def validate_by_map(self) -> MapValidation:
        """Judge by the map of another engine."""
        assert self.reference is not None
        told = Context(
            structures=self.structures or {},
            base=self.low.prescription.dose_gy if self.low.prescription else None,
            problems=self.problems,
        )
        return validate_by_map(self.low, self.surrogate, self.line, self.how, self.reference, told, limits=self.limits)

    def require_fractions(self) -> None:
        """Refuse fractions that contradict the prescription before anything is computed.

        Raises:
            PrescriptionError: the field, or its reference, is prescribed, and not that dose.
            ValueRangeError: there are less than one.
        """
        how = self.how
        if self.low.prescription is not None:
            how.require_prescription(self.low)
            if self.high is not None and self.high.prescription is not None:
                how.require_prescription(self.high)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """What the numbers stand under."""
        return {
            "low": self.low_id,
            "reference": self.high_id,
            "bundle_id": self.surrogate.bundle_id,
            "cell_line": self.line.name,
            **asdict(self.settings),
            "fractions": self.fractions,
            "surrogate3d_version": surrogate3d.__version__,
        }

    def summary(self, found: Validation, appraisal: Appraisal) -> dict[str, Any]:
        """The result as plain data."""
        return {
            **self.provenance,
            "self_consistency": found.self_consistency,
            "plan_was_trained_on": found.plan_was_trained_on,
            "voxels_answered": int(found.curves.mask.sum()),
            "voxels_out_of_domain": int(found.curves.out_of_domain.sum()),
            "truth_seconds": found.seconds,
            "headline": headline(found),
            "table": found.table.to_json(),
            **appraisal.to_json(),
        }

    def summary_by_map(self, found: MapValidation) -> dict[str, Any]:
        """The result as plain data."""
        told = found.comparison.to_json()
        return {
            **self.provenance,
            "voxels_answered": int(found.curves.mask.sum()),
            "voxels_out_of_domain": int(found.curves.out_of_domain.sum()),
            "comparison": {**told, "reference": {"path": str(self.against.path), **told["reference"]}},
            "problems": [each.to_json() for each in found.comparison.problems],
        }

    def report(self, found: Validation, appraisal: Appraisal, path: Path) -> None:
        """Write the HTML report."""
        from surrogate3d.pipeline.invitro_training import load_model
        from surrogate3d.pipeline.reporting import write_validation_report

        model = self.beside.survival_model
        write_validation_report(
            path,
            self.low,
            self.high,
            found,
            self.surrogate,
            self.line,
            self.settings,
            provenance=self._whole_provenance(),
            timings_s={"truth": found.seconds},
            fractions=self.fractions,
            in_vitro=None if model is None else load_model(model),
            appraisal=appraisal,
            structures=self.structures,
            ct=self.ct,
        )

    def report_by_map(self, found: MapValidation, path: Path) -> None:
        """Write the HTML report."""
        write_map_report(
            path,
            found,
            self.surrogate,
            self.line,
            self.how,
            provenance=self._whole_provenance(),
            structures=self.structures,
            ct=self.ct,
        )

    def _whole_provenance(self) -> dict[str, Any]:
        return {
            "command": shlex.join(["surrogate3d", *sys.argv[1:]]),
            **self.provenance,
            "runs of the input": self.low.provenance,
            "runs of the reference": self.high.provenance if self.high else "those of the input",
            "machine": facts(),
        }


def _reference(against: Against, field: Field) -> tuple[Field | None, ReferenceMap | None, str]:
    """A run of the plan, or a map, and its identity; neither where nothing was given."""
    if against.path is None:
        return None, None, ""
    if against.quantity is None:
        if against.path.is_file():
            raise ConfigError(f"{against.path} is a file and no field store; say what map it holds: --quantity D_RBE")
        return read_field(against.path), None, field_id(against.path)
    found = read_reference(against.path, against.quantity, field.grid, against.resample)
    return None, found, found.sha256
