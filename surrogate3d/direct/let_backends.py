"""Back ends of the published RBE models: survival of the photon dose with the same effect, from LET_d alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from surrogate3d.direct.closed_form import ClosedForm, no_answer
from surrogate3d.direct.task import VoxelTask
from surrogate3d.direct.validity import LET_d_of, Validity
from surrogate3d.errors import UnsupportedError
from surrogate3d.physics.cell_line import CellLine
from surrogate3d.physics.linear_quadratic import effect
from surrogate3d.physics.rbe import OWN_REFERENCE_MODELS, PUBLISHED_MODELS, UNCONFIRMED_MODELS

Floats = npt.NDArray[np.float64]

LET_MODELS = {**PUBLISHED_MODELS, **OWN_REFERENCE_MODELS, **UNCONFIRMED_MODELS}
"""Every model of `physics.rbe` by name."""

PROTONS = Validity(("H",), largest_LET_d=20.0, largest_dose=10.0)
"""Cell data of the proton models: above 20 keV/um they are scarce, above 10 Gy there are none."""

HELIUM = Validity(("He",), largest_LET_d=200.0, largest_dose=10.0)
"""Cell data of the helium model."""


@dataclass(frozen=True)
class LetModel(ClosedForm):
    """A back end with the name of a published model: `constant`, `mcnamara`, `wedenberg`, ..., `unkelbach`.

    Source: the docstring of the function of that name in `physics.rbe`. Protons (`mairani`: helium). LET_d is that of
    the model's own ion in the spectrum, at the bins' energies; dose of other ions is taken to act like it, and flagged
    above 5 %. Valid up to 20 keV/um (helium 200) and 10 Gy. Without that ion there is no answer, except of `constant`.
    Cost: about 1 ms.
    """

    def parameters(self, line: CellLine) -> list[float]:
        """Nothing but the photon pair, which must be one that the model takes."""
        if not line.beta_x > 0:
            raise UnsupportedError(f"{self.name} needs alpha_x / beta_x, but cell line {line.name} has beta_x = 0")
        LET_MODELS[self.name](1.0, 1.0, line.alpha_x, line.beta_x)  # refuses another photon reference than its own
        return []

    def effects(self, task: VoxelTask, line: CellLine) -> Floats:
        """-ln S of the photon dose RBE D."""
        LET = 0.0 if self.name == "constant" else LET_d_of(task, self._validity.species)
        if math.isnan(LET):
            raise no_answer(task, self.name, self._validity.species)
        RBE = LET_MODELS[self.name](self.doses, LET, line.alpha_x, line.beta_x)
        return effect(RBE * np.array(self.doses), line.alpha_x, line.beta_x)

    def outside(self, task: VoxelTask, line: CellLine) -> str:
        """Another ion, a higher LET_d or a higher dose than the model was fitted to."""
        return self._validity.outside(task, self.doses)

    @property
    def _validity(self) -> Validity:
        return HELIUM if self.name == "mairani" else PROTONS
