"""Back ends that weight what single ions do by their share of the dose: `zr_table`, `mkm`, `smk` and `lem1`.

They are exact to first order in dose, and approximate beyond: tracks of different ions meet in one nucleus. All take
about a millisecond a voxel, most of it for what all back ends do, beside a table over the bins that is made once in
tenths of a second.

Delivery in time multiplies the quadratic coefficient of `zr_table`, `mkm` and `lem1` by G of Lea and Catcheside
(`closed_form.protraction`); `smk`, whose correction for the spread of dose over nuclei is that of acute delivery, takes
none. Of oxygen they know nothing.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.closed_form import WEAK_AT_LOW_LET, ClosedForm, bin_moments, protraction, require_most, required
from surrogate3d.direct.conditions import ACUTE
from surrogate3d.direct.nucleus import known_line
from surrogate3d.direct.task import REFERENCE_DOSE, VoxelTask
from surrogate3d.direct.validity import ALL_SPECIES, Validity, dose_share
from surrogate3d.errors import UnsupportedError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics import smk
from surrogate3d.physics.cell_line import CellLine, cell_lines
from surrogate3d.physics.lem import LemParameters, lem1
from surrogate3d.physics.linear_quadratic import effect
from surrogate3d.physics.mixing import MonoTable, mix, mono_table, zr_table
from surrogate3d.physics.mkm import MkmParameters, mkm
from surrogate3d.physics.oxygen import OsmkParameters

Floats = npt.NDArray[np.float64]

LEAST_COVERAGE = 0.95
"""Share of the dose that must lie within a mono-energetic table."""

LARGEST_SMK_CORRECTION = 1.25
"""Nuclear correction of the SMK at 2 Gy beyond which its series of two terms is too short."""

LARGEST_SMK_LOSS = 0.05
"""Part of the effect at 2 Gy that mixing may take away from the quadratic term of the SMK."""

SmkSet = MkmParameters | OsmkParameters
"""Parameter sets whose radii and z0 decide the moments of an ion."""

LEM_SPECIES = ("He", "Li", "Be", "B", "C", "N", "O")
"""Ions that LEM I was made for."""

_MICRODOSIMETRIC = Validity(ALL_SPECIES, largest_dose=6.0)


@dataclass(frozen=True)
class ZaiderRossiTable(ClosedForm):
    """The back end `zr_table`: alpha and beta of the shipped mono-energetic `gsm2_mc` table, mixed by dose.

    Source: Zaider and Rossi, Radiat. Res. 1980; table and rule in `physics.mixing`. Valid for the ions and energies of
    the table (H to C, 0.1 to 470 MeV/u) and for the doses of its fit, 0.25 to 3 Gy; above, the linear-quadratic curve
    is continued, which the direct simulation stays below. Other ions are taken to act like the rest. Cost: about 1 ms.

    In time an approximation of `gsm2_mc`: the pair is fitted to acute survival, and where single tracks leave pairs of
    lesions, or few tracks hit a nucleus, its beta is not what time takes away. For HSG and seven spectra along SOBPs of
    protons and carbon ions, -ln S at 2 Gy and D10 were within 0.6 % of `gsm2_mc`, acutely and for 0.25 to 8 h.
    """

    name: str = "zr_table"

    follows: ClassVar[dict[str, bool]] = {"oxygen": False, "time": True}

    def parameters(self, line: CellLine) -> str:
        """A digest of the table.

        Raises:
            UnsupportedError: the line has the name of a shipped one, but another photon reference or nucleus.
        """
        shipped = known_line(line.name) if line.name in _shipped() else line
        if (line.alpha_x, line.beta_x, line.gsm2) != (shipped.alpha_x, shipped.beta_x, shipped.gsm2):
            raise UnsupportedError(
                f"the table of {line.name} was made for alpha_x = {shipped.alpha_x:g}, beta_x = {shipped.beta_x:g}, "
                f"found a cell line of that name with {line.alpha_x:g}, {line.beta_x:g} or another nucleus; give it "
                "another name"
            )
        return _table_digest(line.name)

    def effects(self, task: VoxelTask, line: CellLine) -> Floats:
        """-ln S of the mixed alpha and beta."""
        table = self.table(task, line)
        require_most(task, self._covered(task, line), f"the table of {line.name}", table.species)
        alpha, beta = self.mixed(task, line)
        return effect(self.doses, alpha, protraction(task, line) * beta)

    def mixed(self, task: VoxelTask, line: CellLine) -> tuple[Floats, Floats]:
        """Alpha (1/Gy) and beta (1/Gy^2) of the ions that the table has."""
        known = self._known(task, line)
        return zr_table(_part(task.axes, known), task.fluence_per_gy[known], self.table(task, line))

    def outside(self, task: VoxelTask, line: CellLine) -> str:
        """Ions that the table lacks, or energies beyond it."""
        reason = f"more than {100 * (1 - LEAST_COVERAGE):.0f} % of the dose from ions or energies that the table lacks"
        return reason if self._covered(task, line) < LEAST_COVERAGE else ""

    def table(self, task: VoxelTask, line: CellLine) -> MonoTable:
        """Alpha and beta of ions of one energy."""
        return _table(line.name)

    def _known(self, task: VoxelTask, line: CellLine) -> npt.NDArray[np.bool_]:
        """(species,) whether the table has them."""
        return np.isin(task.axes.species, self.table(task, line).species)

    def _covered(self, task: VoxelTask, line: CellLine) -> float:
        """Share of the dose that is of ions and energies of the table."""
        share, known = dose_share(task), self._known(task, line)
        if not share[known].any():
            return 0.0
        return float(self.table(task, line).coverage(_part(task.axes, known), share[known]) * share[known].sum())


@dataclass(frozen=True)
class Mkm(ClosedForm):
    """The back end `mkm`: the classic microdosimetric kinetic model.

    Source: Inaniwa et al., Phys. Med. Biol. 2010;55:6721, doi 10.1088/0031-9155/55/22/008; alpha = alpha0 + beta0 z*,
    with the dose mean of z* over the spectrum, beta = beta0. Compared in the paper with data of He, C and Ne up to 800
    keV/um; beta does not fall with LET, as it does in later models. Doses up to 6 Gy. Cost: about 1 ms.

    In time exact for this form: beta0 D^2 is of pairs of lesions from two tracks, beta0 z* D of pairs from one, which
    no delivery parts. The repair rate is not the model's own.
    """

    name: str = "mkm"

    follows: ClassVar[dict[str, bool]] = {"oxygen": False, "time": True}

    def parameters(self, line: CellLine) -> dict[str, Any]:
        """The `[mkm]` set."""
        return asdict(required(line.mkm, line, "mkm"))

    def effects(self, task: VoxelTask, line: CellLine) -> Floats:
        """-ln S."""
        parameters = required(line.mkm, line, "mkm")
        moments = bin_moments(task.axes, parameters.r_d, parameters.z0)
        alpha, beta = mkm((dose_share(task) * moments.z_star).sum(), parameters)
        return effect(self.doses, alpha, protraction(task, line) * beta)

    def outside(self, task: VoxelTask, line: CellLine) -> str:
        """Ions too slow for a stopping power, or an alpha below that of photons."""
        parameters = required(line.mkm, line, "mkm")
        moments = bin_moments(task.axes, parameters.r_d, parameters.z0)
        alpha, _ = mkm((dose_share(task) * moments.z_star).sum(), parameters)
        weak = WEAK_AT_LOW_LET if alpha < line.alpha_x else ""
        return "; ".join(filter(None, [_MICRODOSIMETRIC.outside(task, self.doses), weak]))


@dataclass(frozen=True)
class Smk(ClosedForm):
    """The back end `smk`: the stochastic microdosimetric kinetic model in closed form.

    Source: Inaniwa and Kanematsu, Phys. Med. Biol. 2018;63:095011, doi 10.1088/1361-6560/aabede; dose means of three
    specific energies over the spectrum. H to Ne, doses up to 6 Gy. Its series in the spread of dose over nuclei has two
    terms: a voxel is outside where the correction at 2 Gy is more than 25 %, which carbon reaches at 87 keV/um and
    helium at 66. Against `smkm_mc` the effect of carbon at 2 Gy is there 4 % too large, at 140 keV/um 5 %, and D10 is
    3 % too small. In mixed fields z_D is that of all ions together, and a few of high LET take away the quadratic term
    of the many of low LET, as recoils do in voxels of few histories: D10 of protons is then up to 11 % too large. A
    voxel is outside where that costs more than 5 % of the effect at 2 Gy. Cost: about 1 ms.
    """

    name: str = "smk"

    def parameters(self, line: CellLine) -> dict[str, Any]:
        """The `[smk]` set."""
        return asdict(self.parameter_set(line))

    def parameter_set(self, line: CellLine) -> SmkSet:
        """The cell line's parameter set."""
        return required(line.smk, line, "smk")

    def coefficients(self, moments: smk.SmkMoments, task: VoxelTask, line: CellLine) -> tuple[Floats, Floats]:
        """Coefficients a and b of -ln S before the nuclear correction, 1/Gy and 1/Gy^2, in the shape of the moments."""
        return smk.coefficients(moments.z_star, moments.z_D, required(line.smk, line, "smk"))

    def effects(self, task: VoxelTask, line: CellLine) -> Floats:
        """-ln S."""
        D, moments = np.array(self.doses), self._moments(task, line)
        a, b = self.coefficients(moments, task, line)
        return np.asarray(-np.log(np.exp(-a * D - b * D * D) * _nuclear_factor(D, a, b, moments.z_nD)))

    def outside(self, task: VoxelTask, line: CellLine) -> str:
        """Ions too slow for a stopping power, a series too short, a spectrum too mixed, alpha below that of photons."""
        moments = self._moments(task, line)
        correction = _nuclear_factor(REFERENCE_DOSE, *self.coefficients(moments, task, line), moments.z_nD)
        limit = f"at 2 Gy above {LARGEST_SMK_CORRECTION:g}"
        short = f"nuclear correction of the {self.name.upper()} {limit}: its series is too short"
        lost = "a few ions of high LET take away the quadratic term of all"
        slope, _ = self.coefficients(moments, replace(task, conditions=ACUTE), line)
        reasons = [
            _MICRODOSIMETRIC.outside(task, self.doses),
            WEAK_AT_LOW_LET if slope < line.alpha_x else "",
            short if correction > LARGEST_SMK_CORRECTION else "",
            lost if self._lost(task, line) > LARGEST_SMK_LOSS else "",
        ]
        return "; ".join(filter(None, reasons))

    def _moments(self, task: VoxelTask, line: CellLine) -> smk.SmkMoments:
        """Dose means over the spectrum."""
        share, each = dose_share(task), self._bins(task, line)
        return smk.SmkMoments(*((share * moment).sum() for moment in each))

    def _bins(self, task: VoxelTask, line: CellLine) -> smk.SmkMoments:
        """(species, bin) moments."""
        parameters = self.parameter_set(line)
        domain = bin_moments(task.axes, parameters.r_d, parameters.z0)
        return smk.SmkMoments(domain.z_star, domain.z_D, bin_moments(task.axes, parameters.R_n).z_D)

    def _lost(self, task: VoxelTask, line: CellLine) -> float:
        """Part of the effect at 2 Gy by which the mixed quadratic term falls short of that of the single ions."""
        _, alone = self.coefficients(self._bins(task, line), task, line)
        a, b = self.coefficients(self._moments(task, line), task, line)
        lost = float((dose_share(task) * alone).sum()) - b
        return float(lost * REFERENCE_DOSE / (a + b * REFERENCE_DOSE))


@dataclass(frozen=True)
class LemOne(ClosedForm):
    """The back end `lem1`: the local effect model, version I, in its rapid form, mixed by Zaider and Rossi.

    Source: Krämer and Scholz, Phys. Med. Biol. 2006;51:1959; see `physics.lem`. Made for carbon ions with their
    fragments; a voxel is outside where other ions than He to O give more than a quarter of the dose (without an answer
    where more than half), or where alpha falls below that of photons (at low LET, by up to 7 %). Doses up to the
    threshold D_t. Cost: about 1 ms.

    In time an approximation: the model has no kinetics, and beta is what is left of that of photons.
    """

    name: str = "lem1"

    follows: ClassVar[dict[str, bool]] = {"oxygen": False, "time": True}

    def parameters(self, line: CellLine) -> dict[str, Any]:
        """The `[lem]` set."""
        return asdict(required(line.lem, line, "lem"))

    def effects(self, task: VoxelTask, line: CellLine) -> Floats:
        """-ln S of the mixed alpha and beta."""
        made_for = np.isin(task.axes.species, LEM_SPECIES)
        require_most(task, float(dose_share(task)[made_for].sum()), "LEM I", LEM_SPECIES)
        alpha, beta = self._mixed(task, line)
        return effect(self.doses, alpha, protraction(task, line) * beta)

    def outside(self, task: VoxelTask, line: CellLine) -> str:
        """Ions that the model was not made for, or an alpha below that of photons."""
        parameters = required(line.lem, line, "lem")
        made_for = Validity(LEM_SPECIES, largest_dose=parameters.D_t, tolerated=0.25)
        alpha, _ = self._mixed(task, line)
        low = "alpha below that of photons"
        reasons = [made_for.outside(task, self.doses), low if alpha < parameters.alpha_x else ""]
        return "; ".join(filter(None, reasons))

    def _mixed(self, task: VoxelTask, line: CellLine) -> tuple[Floats, Floats]:
        parameters = required(line.lem, line, "lem")
        alpha, beta = _lem_table(task.axes.species, task.axes.edges_mev_u.tobytes(), parameters)
        return mix(dose_share(task), alpha, beta)


def _nuclear_factor(dose: npt.ArrayLike, a: Floats, b: Floats, z_nD: Floats) -> Floats:
    """Factor of the SMK for the spread of dose over nuclei, as `smk.nuclear_correction`, of any a and b."""
    D = np.asarray(dose, dtype=float)
    return np.asarray(1 + D * z_nD * ((a + 2 * b * D) ** 2 / 2 - b))


def _part(axes: SpectrumAxes, keep: npt.NDArray[np.bool_]) -> SpectrumAxes:
    """The axes of some species."""
    names = tuple(name for name, kept in zip(axes.species, keep, strict=True) if kept)
    return SpectrumAxes(names, axes.edges_mev_u[keep])


@lru_cache(maxsize=1)
def _shipped() -> tuple[str, ...]:
    return cell_lines()


@lru_cache(maxsize=16)
def _table(cell_line: str) -> MonoTable:
    return mono_table(cell_line)


@lru_cache(maxsize=16)
def _table_digest(cell_line: str) -> str:
    return hashlib.sha256(json.dumps(_table(cell_line).to_json(), sort_keys=True).encode()).hexdigest()


@lru_cache(maxsize=16)
def _lem_table(species: tuple[str, ...], edges: bytes, parameters: LemParameters) -> tuple[Floats, Floats]:
    """(species, bin) alpha and beta."""
    axes = SpectrumAxes(species, np.frombuffer(edges).reshape(len(species), -1))
    return lem1(axes.Z[:, None], axes.energy_mev_u, parameters)
