"""What `validate` works on: read once, judged, summarised, reported."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import surrogate3d
from surrogate3d.cli.console import Progress
from surrogate3d.grid import Field
from surrogate3d.inference.maps import Fractionation
from surrogate3d.io.field_store import field_id, read_field
from surrogate3d.model.bundle import Surrogate, load_bundle
from surrogate3d.physics.cell_line import CellLine, cell_line
from surrogate3d.pipeline.in_memory import table_for
from surrogate3d.pipeline.models import resolve
from surrogate3d.pipeline.validation import Validation, ValidationSettings, headline, validate


@dataclass(frozen=True, eq=False)
class Judgement:
    """The parties of a validation.

    Attributes:
        low_id: field id of `low`.
        low: the input.
        high_id: field id of the run that gives the truth.
        high: that run; None when it is `low` itself.
        surrogate: the model.
        line: cell line.
        settings: how to judge.
    """

    low_id: str
    low: Field
    high_id: str
    high: Field | None
    surrogate: Surrogate
    line: CellLine
    settings: ValidationSettings

    @staticmethod
    def read(low: Path, reference: Path | None, model: str, line: str, settings: ValidationSettings) -> Judgement:
        """Read everything.

        Raises:
            Surrogate3dError: something is missing, damaged or unknown.
        """
        cells, surrogate = cell_line(line), load_bundle(resolve(model))
        high = None if reference is None else read_field(reference)
        low_id = field_id(low)
        high_id = low_id if reference is None else field_id(reference)
        return Judgement(low_id, read_field(low), high_id, high, surrogate, cells, settings)

    def validate(self, ledger: Path, progress: Progress) -> Validation:
        """Judge; arguments as in `pipeline.validation.validate`."""
        table = table_for(self.surrogate, self.line)
        return validate(
            self.low, self.high, self.high_id, self.surrogate, self.line, table, self.settings, ledger, progress
        )

    def require_fractions(self, fractions: int) -> None:
        """Refuse fractions that contradict the prescription of a report before anything is computed for it.

        Raises:
            PrescriptionError: the field is prescribed, and not that dose.
        """
        if self.low.prescription is not None:
            Fractionation(self.settings.fraction_dose_gy, fractions).require_prescription(self.low)

    def provenance(self) -> dict[str, Any]:
        """What the numbers stand under."""
        return {
            "low": self.low_id,
            "reference": self.high_id,
            "bundle_id": self.surrogate.bundle_id,
            "cell_line": self.line.name,
            **asdict(self.settings),
            "surrogate3d_version": surrogate3d.__version__,
        }

    def summary(self, validation: Validation) -> dict[str, Any]:
        """The result as plain data."""
        return {
            **self.provenance(),
            "self_consistency": validation.self_consistency,
            "plan_was_trained_on": validation.plan_was_trained_on,
            "voxels_answered": int(validation.curves.mask.sum()),
            "voxels_out_of_domain": int(validation.curves.out_of_domain.sum()),
            "truth_seconds": validation.seconds,
            "headline": headline(validation),
            "table": validation.table.to_json(),
        }

    def report(self, validation: Validation, path: Path, fractions: int, survival_model: str | None = None) -> None:
        """Write the HTML report, with a model of in-vitro survival beside; equal fractions of a prescription."""
        from surrogate3d.pipeline.invitro_training import load_model
        from surrogate3d.pipeline.reporting import write_validation_report

        write_validation_report(
            path,
            self.low,
            self.high,
            validation,
            self.surrogate,
            self.line,
            self.settings,
            provenance={
                **self.provenance(),
                "runs of the input": self.low.provenance,
                "runs of the reference": self.high.provenance if self.high else "those of the input",
            },
            timings_s={"truth": validation.seconds},
            fractions=fractions,
            in_vitro=None if survival_model is None else load_model(survival_model),
        )
