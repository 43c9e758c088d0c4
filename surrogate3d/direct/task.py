"""What is asked of a direct simulation, and what it answers."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.conditions import ACUTE, Conditions
from surrogate3d.errors import GridMismatchError, ValueRangeError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.constants import K_GY, MM2_PER_UM2
from surrogate3d.physics.let import bin_LET

DOSE_LADDER = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0)
"""Doses of the simulated survival curve, Gy."""

REFERENCE_DOSE = 2.0
"""Dose at which `RBE_ref` is given, Gy."""


@dataclass(frozen=True, eq=False)
class VoxelTask:
    """One voxel to be simulated.

    Only the shape of the spectrum enters the simulation: it is rescaled so that its own dose, K sum(Phi LET), equals
    each dose of the ladder. Dose that the spectrum does not explain (electrons set free elsewhere, neutron recoils,
    particles below the first bin) is thereby treated like the part that it does explain; `explained` says how much.

    Attributes:
        fluence: (species, bin) fluence of the voxel, 1/mm^2.
        axes: species and energy bins.
        dose_gy: absorbed dose of the voxel, Gy; NaN if not known.
        cell_lines: names of the cell lines to answer for.
        voxel: index (i, j, k) in the field.
        field_id: which field.
        conditions: of the cells: oxygen, delivery in time.

    Raises:
        GridMismatchError: `fluence` does not have the shape of the axes.
        ValueRangeError: a fluence is negative or not finite, or all are zero.
    """

    fluence: npt.NDArray[np.floating]
    axes: SpectrumAxes
    dose_gy: float
    cell_lines: tuple[str, ...]
    voxel: tuple[int, int, int] = (0, 0, 0)
    field_id: str = ""
    conditions: Conditions = ACUTE

    def __post_init__(self) -> None:
        shape, where = (len(self.axes.species), self.axes.n_bins), self.where
        if self.fluence.shape != shape:
            raise GridMismatchError(f"{where}: fluence must be (species, bin) = {shape}, found {self.fluence.shape}")
        if not (np.isfinite(self.fluence) & (self.fluence >= 0)).all():
            raise ValueRangeError(f"{where}: fluence must be finite and not negative")
        if not self.fluence.any():
            raise ValueRangeError(f"{where}: no fluence; leave voxels without radiation out of the campaign")

    @property
    def where(self) -> str:
        """Which voxel, in words for messages."""
        return f"voxel {self.voxel} of field {self.field_id!r}"

    @cached_property
    def spectrum_dose(self) -> float:
        """Dose that the spectrum itself explains, Gy."""
        return K_GY * MM2_PER_UM2 * float(np.sum(self.fluence * bin_LET(self.axes), dtype=float))

    @property
    def explained(self) -> float:
        """Dose explained by the spectrum over the voxel's dose."""
        return self.spectrum_dose / self.dose_gy if self.dose_gy else float("nan")

    @cached_property
    def fluence_per_gy(self) -> npt.NDArray[np.float32]:
        """(species, bin) fluence per Gy of the spectrum's own dose, 1/um^2.

        Rounded to float32 before anything else happens, so that key, random numbers and result belong together.
        """
        return np.asarray(self.fluence * (MM2_PER_UM2 / self.spectrum_dose), dtype=np.float32)

    @cached_property
    def spectrum_key(self) -> str:
        """SHA-256 of axes and `fluence_per_gy`; independent of cell line, position and dose."""
        digest = hashlib.sha256(" ".join(self.axes.species).encode())
        digest.update(np.asarray(self.axes.edges_mev_u.shape, dtype="<i8").tobytes())
        digest.update(self.axes.edges_mev_u.astype("<f8").tobytes())
        digest.update(self.fluence_per_gy.astype("<f4").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class VoxelResponse:
    """Survival of one cell line in the radiation of one voxel. A field ending in `_se` is a Monte Carlo standard error.

    Attributes:
        cell_line: name.
        voxel: index (i, j, k) in the field.
        field_id: which field.
        doses: the ladder, Gy.
        survival: surviving fraction at those doses.
        effect: -ln S at those doses.
        alpha: linear coefficient, 1/Gy; see `curve.analyse` for the fit.
        beta: quadratic coefficient, 1/Gy^2.
        D10: dose for 10 % survival, Gy.
        RBE10: photon over ion dose for 10 % survival.
        RBE_ref: photon over ion dose at the survival of 2 Gy of ions.
        explained: dose explained by the spectrum over the voxel's dose (see `VoxelTask`).
        n_nuclei: simulated nuclei, or counted events of `topas_job`; 0 for a deterministic back end.
        seed: of the campaign.
        backend: name and version of the back end, e.g. "gsm2_mc/2", and what the cells' conditions were about, e.g.
            "gsm2_mc/2 (oxygen)".
        outside: why the voxel lies outside the validity of the back end (`direct.validity`); empty when it does not.
    """

    cell_line: str
    voxel: tuple[int, int, int]
    field_id: str
    doses: tuple[float, ...]
    survival: tuple[float, ...]
    survival_se: tuple[float, ...]
    effect: tuple[float, ...]
    effect_se: tuple[float, ...]
    alpha: float
    alpha_se: float
    beta: float
    beta_se: float
    D10: float
    D10_se: float
    RBE10: float
    RBE10_se: float
    RBE_ref: float
    RBE_ref_se: float
    explained: float
    n_nuclei: int
    seed: int
    backend: str
    outside: str = ""

    def effect_at(self, dose: float) -> float:
        """-ln S at any dose: -ln S / D is linear between the ladder's doses and beyond them, exact for an LQ curve."""
        slopes = np.divide(self.effect, self.doses)
        right = int(np.clip(np.searchsorted(self.doses, dose), 1, len(slopes) - 1))
        t = (dose - self.doses[right - 1]) / (self.doses[right] - self.doses[right - 1])
        return float((1 - t) * slopes[right - 1] + t * slopes[right]) * dose

    def to_json(self) -> dict[str, Any]:
        """Plain data of standard JSON (an unknown `explained` is null); floats survive the round trip exactly.

        An empty `outside` is left out, so that the row is that of versions which did not have it.
        """
        data = asdict(self) | {"explained": None if math.isnan(self.explained) else self.explained}
        return data if self.outside else {name: value for name, value in data.items() if name != "outside"}

    @staticmethod
    def from_json(data: dict[str, Any]) -> VoxelResponse:
        """The inverse of `to_json`; rows of versions without `outside` are read too.

        Raises:
            TypeError: a field is missing or unknown.
            KeyError: `explained` is missing.
        """
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
        return VoxelResponse(**values | {"explained": float("nan") if data["explained"] is None else data["explained"]})
