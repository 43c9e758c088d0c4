"""Made-up proton plans without noise: a broad beam in water by closed forms, to learn from beside simulated plans.

Range and residual range in the continuous-slowing-down approximation, straggling 0.012 R^0.935 (cm) with 1 % spread of
the energy, fluence lost 1.2 % a cm, secondary protons of 6 % of the dose with a build-up of 3 cm (Bortfeld 1997, doi
10.1118/1.598116), multiple scattering by Highland. Water only, no helium, no halo: it trains, and proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import nnls
from scipy.special import erf, ndtr

from surrogate3d.grid import Field, Grid, Spectra, SpectrumAxes, Volume, VolumeSet, quantity
from surrogate3d.physics.let import bin_dose, dose_from_spectra
from surrogate3d.physics.mixing import MonoTable
from surrogate3d.physics.stopping_power import csda_range_mm
from surrogate3d.training.dataset import Example
from surrogate3d.training.realisations import LEAST_DOSE, grouped_error, irradiated_box, thinned

Floats = npt.NDArray[np.float64]

ENERGY_SPREAD, LOST_PER_MM, SECONDARY_DOSE, BUILD_UP_MM = 0.01, 0.0012, 0.06, 30.0
SECONDARY_MEV = 100.0
"""Mean of the exponential spectrum of secondary protons: LET_d is then 0.7 keV/um at the entrance and 1 to 1.6 up to
the target, where the simulated `proton_slab` has 1.1 and 1.2 to 1.3."""

TRACKS = 300_000.0
"""Per voxel of the field, of which runs of few histories are thinned."""

_FINE_MM, _LAYER_MM = 0.5, 4.0
_PROTON_MEV, _RADIATION_LENGTH_MM, _HIGHLAND_MEV = 938.272, 361.0, 14.1


@dataclass(frozen=True)
class BroadBeam:
    """A spread-out field.

    Attributes:
        energy_mev: of its deepest layer.
        modulation_mm: depth over which the layers are spread.
        half_width_mm: of the field, across and across.
        spot_mm: standard deviation of the penumbra at the surface.
        slope: extra depth in water, mm per mm across and across: an oblique entrance.
        step_mm: extra depth in water on one side of `step_at_mm`, along the first axis.
        step_at_mm: from the middle of the field.
    """

    energy_mev: float
    modulation_mm: float
    half_width_mm: tuple[float, float]
    spot_mm: float
    slope: tuple[float, float]
    step_mm: float
    step_at_mm: float

    @staticmethod
    def draw(rng: np.random.Generator) -> BroadBeam:
        """A random one of 75 to 150 MeV."""
        widths, slopes = rng.uniform(8, 18, size=2).tolist(), rng.uniform(-0.2, 0.2, size=2).tolist()
        return BroadBeam(
            float(rng.uniform(75, 150)), float(rng.uniform(8, 60)), (widths[0], widths[1]), float(rng.uniform(0.5, 4)),
            (slopes[0], slopes[1]), float(rng.uniform(-12, 12)), float(rng.uniform(-8, 8)),
        )  # fmt: skip


def layer_spectra(axes: SpectrumAxes, energy_mev: float, depth_mm: Floats) -> Floats:
    """(bin, depth) fluence of the protons of one layer, per proton that enters."""
    edges = csda_range_mm(1, 1, axes.edges_mev_u[0])
    here, more = csda_range_mm(1, 1, np.array([energy_mev, energy_mev * (1 + ENERGY_SPREAD)]))
    sigma = np.hypot(0.12 * (here / 10) ** 0.935, more - here)
    left = here - depth_mm
    primary = np.diff(ndtr((edges[:, None] - left) / sigma), axis=0)
    primary *= (1 + LOST_PER_MM * np.maximum(left, 0)) / (1 + LOST_PER_MM * here)
    energy, width = axes.energy_mev_u[0], np.diff(axes.edges_mev_u[0])
    below = np.searchsorted(edges, np.maximum(left, 0)) >= np.arange(len(energy))[:, None]
    secondary = (np.exp(-energy / SECONDARY_MEV) * width)[:, None] * below
    dose = bin_dose(SpectrumAxes(("H",), axes.edges_mev_u[:1]), np.ones((1, len(energy), 1)))[0]
    share = SECONDARY_DOSE * (1 - np.exp(-depth_mm / BUILD_UP_MM)) / (1 - SECONDARY_DOSE)
    return np.asarray(primary + secondary * share * (dose * primary).sum(axis=0) / (dose * secondary).sum(axis=0))


def depth_spectra(axes: SpectrumAxes, beam: BroadBeam, depth_mm: Floats) -> Floats:
    """(bin, depth) fluence of all layers, weighted for a flat dose over the modulation."""
    deepest = float(csda_range_mm(1, 1, beam.energy_mev))
    ladder = np.linspace(5.0, beam.energy_mev, 4000)
    ranges = np.arange(deepest, max(deepest - beam.modulation_mm, 10.0), -_LAYER_MM)
    energies = np.interp(ranges, csda_range_mm(1, 1, ladder), ladder)
    layers = np.stack([layer_spectra(axes, energy, depth_mm) for energy in energies])
    of_bins = bin_dose(SpectrumAxes(("H",), axes.edges_mev_u[:1]), np.ones((1, layers.shape[1], 1)))[0]
    doses = np.einsum("lbz,b->zl", layers, of_bins[:, 0])
    flat = (depth_mm > ranges[-1] - _LAYER_MM) & (depth_mm < deepest - 1.0)
    weights, _ = nnls(doses[flat] / doses.max(), np.ones(int(flat.sum())))
    return np.asarray(np.einsum("l,lbz->bz", weights / weights.sum(), layers))


def scattered_mm(energy_mev: float, depth_mm: Floats) -> Floats:
    """(depth,) standard deviation across the beam by multiple scattering in water."""
    ladder = np.linspace(1.0, energy_mev, 4000)
    left = np.maximum(float(csda_range_mm(1, 1, energy_mev)) - depth_mm, 0.5)
    energy = np.interp(left, csda_range_mm(1, 1, ladder), ladder)
    momentum_velocity = energy * (energy + 2 * _PROTON_MEV) / (energy + _PROTON_MEV)
    power = (_HIGHLAND_MEV / momentum_velocity) ** 2 / _RADIATION_LENGTH_MM * np.gradient(depth_mm)
    arm = np.maximum(depth_mm[:, None] - depth_mm, 0.0)
    thick = 1 + np.log10(np.maximum(depth_mm, 1.0) / _RADIATION_LENGTH_MM) / 9
    return np.asarray(thick * np.sqrt((arm**2 * power).sum(axis=1)))


def synthetic_field(axes: SpectrumAxes, grid: Grid, beam: BroadBeam) -> Field:
    """The expected field of a plan, the beam along the last axis; all species but hydrogen are empty."""
    x, y, z = ((np.arange(n) - (n - 1) / 2) * s for n, s in zip(grid.shape, grid.spacing_mm, strict=True))
    z = z - z[0]
    extra = beam.slope[0] * x[:, None] + beam.slope[1] * y[None] + beam.step_mm * (x[:, None] > beam.step_at_mm)
    depth = z + (extra - extra.min())[..., None]  # (i, j, k) of the upper face, in water
    fine = np.arange(0.0, depth.max() + 2 * grid.spacing_mm[2], _FINE_MM) + _FINE_MM / 2
    per_voxel = round(grid.spacing_mm[2] / _FINE_MM)
    total = np.cumsum(np.pad(depth_spectra(axes, beam, fine), ((0, 0), (1, 0))), axis=1)
    spectra = (total[:, per_voxel:] - total[:, :-per_voxel]) / per_voxel
    sigma = np.hypot(beam.spot_mm, scattered_mm(beam.energy_mev, fine))
    at = np.rint(depth / _FINE_MM).astype(int)
    wide = np.sqrt(2) * sigma[at]
    profile = _edge(x[:, None, None], beam.half_width_mm[0], wide) * _edge(
        y[None, :, None], beam.half_width_mm[1], wide
    )
    fluence = np.zeros((len(axes.species), axes.edges_mev_u.shape[1] - 1, *grid.shape), dtype=np.float32)
    fluence[0] = TRACKS / grid.face_area_mm2(2) * spectra[:, at] * profile
    dose, outside = dose_from_spectra(axes, fluence), np.zeros((len(axes.species), *grid.shape), np.float32)
    volumes = VolumeSet(grid, {"dose_to_water": Volume(grid, dose, quantity("dose_to_water"))})
    return Field(
        grid=grid, volumes=volumes, spectra=Spectra(axes, fluence, outside, outside), beam_axis=2, beam_sign=1,
        histories=1, provenance={"made_by": repr(beam)},
    )  # fmt: skip


def _edge(across_mm: npt.NDArray[np.floating], half_mm: float, wide: Floats) -> Floats:
    return np.asarray(0.5 * (erf((across_mm + half_mm) / wide) - erf((across_mm - half_mm) / wide)))


def synthetic_example(
    field: Field, table: MonoTable, levels: tuple[float, ...], copies: int, rng: np.random.Generator
) -> Example:
    """The plan as an example for the kernels: no simulated voxel, and targets without noise."""
    pairs = thinned(field, [table], levels, copies, rng)
    inputs, targets = zip(*pairs, strict=True)
    learnt = np.asarray(field.dose > LEAST_DOSE * field.dose.max())
    species, box = field.spectra.axes.species, irradiated_box(inputs[0])
    weight = tuple(1 / max(grouped_error(x, species, t, learnt), 2e-3) ** 2 for x, t in pairs)
    inside = torch.from_numpy(np.ascontiguousarray(learnt[box]))
    nothing = torch.full((1, 1, *inside.shape), torch.nan)
    return Example(
        tuple(torch.from_numpy(np.ascontiguousarray(x[box])) for x in inputs),
        tuple(torch.from_numpy(np.ascontiguousarray(t[box])) for t in targets),
        weight, inside, torch.zeros_like(inside), torch.tensor(field.spectra.axes.Z), nothing, nothing,
    )  # fmt: skip
