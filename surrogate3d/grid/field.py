"""The converted radiation field of a plan, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from surrogate3d.errors import GridMismatchError, QuantityError
from surrogate3d.grid.geometry import Grid
from surrogate3d.grid.spectrum import Spectra
from surrogate3d.grid.volume import VolumeSet

SAME_DOSE, SAME_SHAPE = 0.1, 0.1
"""How far two runs of one plan may differ, see `Field.require_same_plan`."""


@dataclass(frozen=True)
class LetDefinition:
    """What exactly a LET means; values of different definitions are never mixed.

    Attributes:
        weighting: "dose" or "track".
        particles: e.g. "protons, primary and secondary, with their delta electrons".
        medium: e.g. "local medium per its density (mass stopping power)".
        restricted: whether energy transfer is cut.
        max_scored_kev_um: largest step LET that was scored, keV/um at unit density; None if there is no such limit.
        source: where the definition was read.
    """

    weighting: str
    particles: str
    medium: str
    restricted: bool
    max_scored_kev_um: float | None
    source: str

    def __post_init__(self) -> None:
        if self.weighting not in ("dose", "track"):
            raise QuantityError(f"LET weighting must be 'dose' or 'track', found {self.weighting!r}")


@dataclass(frozen=True)
class Prescription:
    """How simulated histories became dose.

    Attributes:
        dose_scale: factor from the simulated sum to the stored dose and fluence.
        statement: in words, e.g. "2 Gy at p50 of the box (0, 0, 0)-(20, 20, 64)".
        dose_gy: the prescribed dose of the whole treatment, Gy; None when only a scale was given.
    """

    dose_scale: float
    statement: str
    dose_gy: float | None = None


@dataclass(frozen=True, eq=False)
class Field:
    """Dose, LET and spectra of one plan on one grid.

    All values are scaled to the prescription when there is one; else they are sums over the simulated histories in
    arbitrary scale (`prescription is None`).

    Attributes:
        grid: geometry, shared by everything.
        volumes: by quantity name: `dose_to_water` and/or `dose_to_medium`, `LET_d`, `LET_t`, `dose_std` where scored.
        spectra: fluence spectra per species.
        halves: spectra of two independent halves of the histories, each scaled to the whole's expectation (so that
            their mean, weighted by histories, is `spectra`); empty when there was a single run.
        halves_dose: `dose_to_water` of the same halves, (i, j, k) each.
        beam_axis: index axis (0, 1 or 2) nearest to the beam's direction.
        beam_sign: +1 when the beam travels towards larger indices, else -1.
        histories: simulated primary histories, all runs.
        let_definitions: by volume name (`LET_d`, `LET_t`).
        prescription: the scale, or None.
        provenance: plain data: files with SHA-256, TOPAS version, command, our version.
    """

    grid: Grid
    volumes: VolumeSet
    spectra: Spectra
    beam_axis: int
    beam_sign: int
    histories: int
    halves: tuple[Spectra, ...] = ()
    halves_dose: tuple[npt.NDArray[np.floating], ...] = ()
    let_definitions: dict[str, LetDefinition] = field(default_factory=dict)
    prescription: Prescription | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.grid.require_same(self.volumes.grid, "volumes")
        for spectra in (self.spectra, *self.halves):
            if not spectra.axes.matches(self.spectra.axes):
                raise GridMismatchError("the halves have other spectrum axes than the whole")
            if spectra.shape != self.grid.shape:
                raise GridMismatchError(f"spectra have shape {spectra.shape}, the grid {self.grid.shape}")
        if self.beam_axis not in (0, 1, 2) or self.beam_sign not in (-1, 1):
            raise QuantityError(f"beam must run along +-axis 0, 1 or 2; found {self.beam_sign} x {self.beam_axis}")
        if len(self.halves) not in (0, 2) or len(self.halves) != len(self.halves_dose):
            raise QuantityError("a field keeps either no halves or two, each with its dose")
        if any(dose.shape != self.grid.shape for dose in self.halves_dose):
            raise GridMismatchError(f"the doses of the halves are not on the grid {self.grid.shape}")
        if self.dose_name not in self.volumes:
            raise QuantityError("a field needs dose_to_water or dose_to_medium")

    def require_same_plan(self, other: Field, what: str) -> None:
        """Refuse two fields that are not runs of one plan.

        Grid, beam, bins and kind of dose must agree; dose per history must agree within `SAME_DOSE`, and the
        distribution of the smoothed dose within `SAME_SHAPE`, half the sum of absolute differences of the normalised
        doses. That leaves room for noise down to a few tracks a voxel, and none for a shift by two voxels.

        Raises:
            GridMismatchError: other grid or spectrum axes.
            QuantityError: other beam, or another dose.
        """
        self.grid.require_same(other.grid, what)
        if not self.spectra.axes.matches(other.spectra.axes):
            raise GridMismatchError(f"{what}: the spectrum axes differ")
        if (self.beam_axis, self.beam_sign) != (other.beam_axis, other.beam_sign):
            raise QuantityError(f"{what}: the beam directions differ")
        totals = [float(np.nansum(f.dose)) / f.dose_scale / max(f.histories, 1) for f in (self, other)]
        if self.dose_name != other.dose_name or min(totals) <= 0:
            raise QuantityError(f"{what}: both need the same kind of dose, and some of it; score dose to water in both")
        if abs(totals[0] / totals[1] - 1) > SAME_DOSE:
            raise QuantityError(
                f"{what}: the doses summed per history are {totals[0]:.4g} and {totals[1]:.4g} Gy; "
                "give two runs of the same plan"
            )
        shapes = [gaussian_filter(np.nan_to_num(f.dose).astype(float), 1.5, mode="constant") for f in (self, other)]
        apart = 0.5 * float(np.abs(shapes[0] / shapes[0].sum() - shapes[1] / shapes[1].sum()).sum())
        if apart > SAME_SHAPE:
            raise QuantityError(
                f"{what}: {100 * apart:.0f} % of the dose is elsewhere in the other run; give two runs of the same plan"
            )

    @property
    def dose_name(self) -> str:
        """Which dose the engine uses: to water when it was scored, else to medium."""
        return "dose_to_water" if "dose_to_water" in self.volumes else "dose_to_medium"

    @property
    def dose(self) -> npt.NDArray[np.floating]:
        """(i, j, k) dose of `dose_name`, Gy (arbitrary scale without prescription)."""
        return self.volumes[self.dose_name].values

    @property
    def dose_scale(self) -> float:
        """Stored value over simulated sum; 1 without prescription."""
        return self.prescription.dose_scale if self.prescription else 1.0

    @property
    def tracks(self) -> npt.NDArray[np.float64]:
        """(i, j, k) tracks scored in each voxel: summed fluence of the histories times the face across the beam."""
        fluence = self.spectra.fluence.sum(axis=(0, 1), dtype=float)
        return np.asarray(fluence / self.dose_scale * self.grid.face_area_mm2(self.beam_axis), dtype=float)
