"""The converted radiation field of a plan, in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import GridMismatchError, QuantityError
from surrogate3d.grid.display import facts_html, shape_text, slices_html
from surrogate3d.grid.geometry import Grid
from surrogate3d.grid.spectrum import Spectra
from surrogate3d.grid.volume import VolumeSet

SAME_DOSE, SAME_SHAPE = 0.1, 0.1
"""How far two runs of one plan may differ, see `Field.require_same_plan`."""

ONE_AXIS = 0.99
"""Smallest cosine between beams, up or down one axis, that still share the axis."""


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


@dataclass(frozen=True, eq=False, kw_only=True)
class Beam:
    """One treatment field of a plan: a direction from which histories came.

    Attributes:
        name: as the user knows it, e.g. the name of the store that it came from.
        direction: unit vector of travel in space (LPS); None when it is not known.
        histories: simulated primaries; 0 when it is not known.
        weight: factor on its stored dose when fields were combined.
        start_s: when its delivery begins, s after the first beam's; None when it is not known.
        duration_s: how long its delivery takes, s; None when it is not known.
    """

    name: str
    direction: tuple[float, float, float] | None = None
    histories: int = 0
    weight: float = 1.0
    start_s: float | None = None
    duration_s: float | None = None

    def __post_init__(self) -> None:
        if self.direction is not None and abs(float(np.linalg.norm(self.direction)) - 1) > 1e-6:
            raise QuantityError(f"beam {self.name}: direction must be a unit vector, found {self.direction}")
        for name, value in (("weight", self.weight), ("duration_s", self.duration_s)):
            if value is not None and not (np.isfinite(value) and value >= 0):
                raise QuantityError(f"beam {self.name}: {name} must be finite and not negative, found {value}")


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class DoseField:
    """Dose and LET of a plan on one grid, without spectra: what planning systems give (the reduced input).

    All values are scaled to the prescription when there is one; else they are in arbitrary scale
    (`prescription is None`).

    Attributes:
        grid: geometry, shared by everything.
        volumes: by quantity name: `dose_to_water` and/or `dose_to_medium`, `LET_d`, `LET_t`, `dose_std` where scored.
        primary: species of the beam's particles, such as "H"; None when it is not known.
        beams: the treatment fields that are in it; empty when nothing is known about them.
        beams_dose: (i, j, k) dose of each of several beams; empty for one.
        let_definitions: by volume name (`LET_d`, `LET_t`).
        prescription: the scale, or None.
        provenance: plain data: files with SHA-256, TOPAS version, command, our version.

    Raises:
        GridMismatchError: something is not on the grid.
        QuantityError: there is no dose.
    """

    grid: Grid
    volumes: VolumeSet
    primary: str | None = None
    beams: tuple[Beam, ...] = ()
    beams_dose: tuple[npt.NDArray[np.floating], ...] = ()
    let_definitions: dict[str, LetDefinition] = field(default_factory=dict)
    prescription: Prescription | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.grid.require_same(self.volumes.grid, "volumes")
        if self.dose_name not in self.volumes:
            raise QuantityError("a field needs dose_to_water or dose_to_medium")
        if self.beams_dose and len(self.beams_dose) != len(self.beams):
            raise QuantityError(f"{len(self.beams)} beams, but {len(self.beams_dose)} doses of beams")
        if any(dose.shape != self.grid.shape for dose in self.beams_dose):
            raise GridMismatchError(f"the doses of the beams are not on the grid {self.grid.shape}")

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
    def several_directions(self) -> bool:
        """Whether beams cross: then there is no one axis along the beam."""
        known = [np.array(beam.direction) for beam in self.beams if beam.direction is not None]
        return any(abs(float(a @ known[0])) < ONE_AXIS for a in known)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self.volumes)}; {shape_text(self.grid.shape)})"

    def _repr_html_(self) -> str:
        """What a notebook shows: what is known of the plan, its volumes, and three slices of the dose."""
        dose = self.volumes[self.dose_name]
        name = f"<strong>{type(self).__name__}</strong>"
        shown = self.volumes._repr_html_() + slices_html(self.grid, dose.values, dose.quantity)
        return f"<div>{name}{facts_html(self._facts())}{shown}</div>"

    def _facts(self) -> list[tuple[str, str]]:
        prescription = self.prescription.statement if self.prescription else "none: dose in arbitrary scale"
        beams = ", ".join(beam.name for beam in self.beams) or "not known"
        definitions = self.let_definitions.items()
        LET = [(name, f"{each.weighting}-averaged; {each.particles}; {each.medium}") for name, each in definitions]
        return [("beams", beams), ("prescription", prescription), *LET]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Field(DoseField):
    """Dose, LET and spectra of one plan on one grid.

    Attributes:
        spectra: fluence spectra per species.
        beam_axis: index axis (0, 1 or 2) nearest to the direction of the beam (of several: of that with most dose).
        beam_sign: +1 when that beam travels towards larger indices, else -1.
        histories: simulated primary histories, all runs.
        halves: spectra of two independent halves of the histories, each scaled to the whole's expectation (so that
            their mean, weighted by histories, is `spectra`); empty when there was a single run.
        halves_dose: `dose_to_water` of the same halves, (i, j, k) each.
    """

    spectra: Spectra
    beam_axis: int
    beam_sign: int
    histories: int
    halves: tuple[Spectra, ...] = ()
    halves_dose: tuple[npt.NDArray[np.floating], ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
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
        from scipy.ndimage import gaussian_filter  # here, as most programs never compare runs

        shapes = [gaussian_filter(np.nan_to_num(f.dose).astype(float), 1.5, mode="constant") for f in (self, other)]
        apart = 0.5 * float(np.abs(shapes[0] / shapes[0].sum() - shapes[1] / shapes[1].sum()).sum())
        if apart > SAME_SHAPE:
            raise QuantityError(
                f"{what}: {100 * apart:.0f} % of the dose is elsewhere in the other run; give two runs of the same plan"
            )

    def _facts(self) -> list[tuple[str, str]]:
        axes = self.spectra.axes
        bins = f"{'+'.join(axes.species)}, {axes.n_bins} energy bins each"
        beam = f"towards {'larger' if self.beam_sign > 0 else 'smaller'} {'ijk'[self.beam_axis]}"
        halves = "two independent halves are kept" if self.halves else "no halves are kept"
        histories = f"{self.histories:,}; {halves}"
        return [("spectra", bins), ("beam", beam), ("histories", histories), *super()._facts()]

    @property
    def tracks(self) -> npt.NDArray[np.float64]:
        """(i, j, k) tracks scored in each voxel: summed fluence of the histories times the face across the beam.

        Several beams keep them as the volume `tracks`, since each has its own face and scale.
        """
        if len(self.beams) > 1 and "tracks" in self.volumes:
            return np.asarray(self.volumes["tracks"].values, dtype=float)
        fluence = self.spectra.fluence.sum(axis=(0, 1), dtype=float)
        return np.asarray(fluence / self.dose_scale * self.grid.face_area_mm2(self.beam_axis), dtype=float)
