"""What the files of a plan do not say, said by the user: never guessed, and recorded as given."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from surrogate3d.errors import GeometryError, QuantityError

RowOrder = Literal["x_fastest", "z_fastest"]
ROW_ORDERS: tuple[RowOrder, ...] = ("x_fastest", "z_fastest")

Cosines = tuple[tuple[float, float, float], ...]


@dataclass(frozen=True)
class Given:
    """Answers to what a TOPAS run folder may leave open.

    Attributes:
        row_order: order of the rows of energy-binned CSV files, where the TOPAS version does not tell.
        origin_mm: centre of voxel (0, 0, 0), mm (LPS), where there is no parameter file.
        direction: direction cosines, column `a` the unit vector of index axis `a`; needs `origin_mm`.
        beam_direction: vector of travel of the beam, where no parameter file says it.
        histories: simulated primaries, where neither a parameter file nor a scorer says it.
        let_weighting: "dose" or "track" by name of a ProtonLET scorer, where no parameter file says it.
        dicom_dir: folder of the CT series of a TsDicomPatient, where the parameter file's path does not lead to it.

    Raises:
        GeometryError: a direction without an origin, or a beam without a direction.
        QuantityError: an unknown weighting, or no histories.
    """

    row_order: RowOrder | None = None
    origin_mm: tuple[float, float, float] | None = None
    direction: Cosines | None = None
    beam_direction: tuple[float, float, float] | None = None
    histories: int | None = None
    let_weighting: Mapping[str, str] = field(default_factory=dict)
    dicom_dir: Path | None = None

    def __post_init__(self) -> None:
        if self.direction is not None and self.origin_mm is None:
            raise GeometryError("a direction without an origin places nothing; give the centre of the first voxel too")
        if self.beam_direction is not None and not 0 < math.hypot(*self.beam_direction) < math.inf:
            raise GeometryError(f"the beam's direction must be a vector of some length, found {self.beam_direction}")
        if self.histories is not None and self.histories < 1:
            raise QuantityError(f"histories must be a positive number, found {self.histories}")
        for scorer, weighting in self.let_weighting.items():
            if weighting not in ("dose", "track"):
                raise QuantityError(f"weighting of {scorer} must be 'dose' or 'track', found {weighting!r}")

    def to_json(self) -> dict[str, Any]:
        """What was said, as plain data; paths by their last part."""
        said = {each.name: getattr(self, each.name) for each in fields(self)}
        said["dicom_dir"] = self.dicom_dir.name if self.dicom_dir else None
        plain: dict[str, Any] = json.loads(
            json.dumps({name: value for name, value in said.items() if value}, default=dict)
        )
        return plain
