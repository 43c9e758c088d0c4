"""Back ends of the published RBE models: survival of the photon dose with the same effect, from LET_d alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.closed_form import ClosedForm, protraction, require_most
from surrogate3d.direct.conditions import require_known
from surrogate3d.direct.task import VoxelResponse, VoxelTask
from surrogate3d.direct.validity import LET_d_of, Validity, dose_share
from surrogate3d.errors import UnsupportedError
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.linear_quadratic import effect
from surrogate3d.physics.rbe import OWN_REFERENCE_MODELS, PUBLISHED_MODELS, UNCONFIRMED_MODELS

Floats = npt.NDArray[np.float64]

LET_MODELS = {**PUBLISHED_MODELS, **OWN_REFERENCE_MODELS, **UNCONFIRMED_MODELS}
"""Every model of `physics.rbe` by name."""

PROTONS = Validity(("H",), largest_LET_d=20.0, largest_dose=10.0)
"""Cell data of the proton models: above 20 keV/um they are scarce, above 10 Gy there are none."""

WITHOUT_DOSE = ("constant", "unkelbach")
"""Models whose RBE is the same at every dose."""

HELIUM = Validity(("He",), largest_LET_d=200.0, largest_dose=10.0)
"""Cell data of the helium model."""


@dataclass(frozen=True)
class LetModel(ClosedForm):
    """A back end with the name of a published model: `constant`, `mcnamara`, `wedenberg`, ..., `unkelbach`.

    Source: the docstring of the function of that name in `physics.rbe`. Protons (`mairani`: helium). LET_d is that of
    the model's own ion in the spectrum, at the bins' energies; dose of other ions is taken to act like it, and flagged
    above 5 %. Valid up to 20 keV/um (helium 200) and 10 Gy. Where that ion has less than half of the dose there is no
    answer, except of `constant`.
    Cost: about 1 ms.

    In time the models of the form RBE(D; RBE_max, RBE_min) have alpha = RBE_max alpha_x and beta = RBE_min^2 beta_x,
    and beta becomes G beta (`closed_form.protraction`): an approximation, as they were fitted to acute survival alone.
    `constant` and `unkelbach` refuse times. Their RBE holds at any dose, so by their own words it holds at any G too,
    with photons delivered in the same times; against acute photons, as here, it would no longer be the RBE they state.
    """

    follows: ClassVar[dict[str, bool]] = {"oxygen": False, "time": True}

    def simulate(self, tasks: Sequence[VoxelTask], seed: int = 0, target_se: float = 0.01) -> list[VoxelResponse]:
        """As `ClosedForm.simulate`; `constant` and `unkelbach` moreover refuse delivery in time."""
        if self.name in WITHOUT_DOSE:
            for task in tasks:
                require_known(task.where, task.conditions, self.name)
        return super().simulate(tasks, seed, target_se)

    def parameters(self, line: CellLine) -> list[float]:
        """Nothing but the photon pair, which must be one that the model takes."""
        if not line.beta_x > 0:
            raise UnsupportedError(f"{self.name} needs alpha_x / beta_x, but cell line {line.name} has beta_x = 0")
        LET_MODELS[self.name](1.0, 1.0, line.alpha_x, line.beta_x)  # refuses another photon reference than its own
        return []

    def effects(self, task: VoxelTask, line: CellLine) -> Floats:
        """-ln S of the photon dose RBE D."""
        LET, ions = 0.0, self._validity.species
        if self.name != "constant":
            share = float(dose_share(task)[np.isin(task.axes.species, ions)].sum())
            require_most(task, share, self.name, ions)
            LET = LET_d_of(task, ions)
        RBE = LET_MODELS[self.name](self.doses, LET, line.alpha_x, line.beta_x)
        effects = effect(RBE * np.array(self.doses), line.alpha_x, line.beta_x)
        if not task.conditions.in_time:
            return effects
        D, slopes = np.array(self.doses), effects / np.array(self.doses)
        beta = (slopes[-1] - slopes[0]) / (D[-1] - D[0])  # of these models -ln S / D is exactly linear in D
        return effect(D, slopes[0] - beta * D[0], protraction(task, line) * beta)

    def outside(self, task: VoxelTask, line: CellLine) -> str:
        """Another ion, a higher LET_d or a higher dose than the model was fitted to."""
        return self._validity.outside(task, self.doses)

    @property
    def _validity(self) -> Validity:
        return HELIUM if self.name == "mairani" else PROTONS
