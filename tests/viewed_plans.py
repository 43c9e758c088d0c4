"""A small plan to look at: a store, maps of alpha and beta in closed form, a structure and a CT; no physics truth."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from synthetic import LINE, make_field, make_surrogate, prescribed

from surrogate3d.grid import Field, Grid, Volume, VolumeSet, quantity
from surrogate3d.io.field_store import field_id, write_field
from surrogate3d.io.images import write_image, write_maps
from surrogate3d.model.bundle import save_bundle

SHAPE = (10, 8, 24)


@dataclass(frozen=True)
class ViewedPlan:
    """Where it lies, and what is in it."""

    folder: Path
    field: Field
    alpha: np.ndarray
    beta: np.ndarray
    inside: np.ndarray

    @property
    def store(self):
        return self.folder / "plan.field.zarr"

    @property
    def maps(self):
        return self.folder / "maps"

    @property
    def structures(self):
        return self.folder / "masks"

    @property
    def ct(self):
        return self.folder / "ct.nii.gz"

    @property
    def model(self):
        return self.folder / "model.bundle"

    def dose(self, total_gy):
        """(i, j, k) dose in float64 where 2 Gy were prescribed, for another prescription."""
        return self.field.dose.astype(float) * total_gy / 2.0


def viewed_plan(folder, dose_gy=2.0):
    """Write the plan; `dose_gy` None leaves the dose in arbitrary scale."""
    plain = make_field(shape=SHAPE, seed=5)
    field = plain if dose_gy is None else prescribed(plain, dose_gy)
    i, j, k = np.indices(SHAPE)
    answered = field.dose > 0.05 * field.dose.max()
    answered[9, 7, 23] = False
    alpha = np.where(answered, 0.3 + 0.01 * k + 0.001 * i, np.nan).astype(np.float32)
    beta = np.where(answered, 0.05 + 0.0005 * j, np.nan).astype(np.float32)
    inside = np.zeros(SHAPE, dtype=np.float32)
    inside[3:7, 3:6, 4:9] = 1.0
    inside[3, 3:6, 4:9] = 0.5
    inside[9, 7, 23] = 1.0  # where the maps have no answer
    plan = ViewedPlan(folder, field, alpha, beta, inside)
    write_field(field, plan.store)
    maps = {name: Volume(field.grid, each, quantity(name)) for name, each in (("alpha", alpha), ("beta", beta))}
    line = {"name": LINE.name, "alpha_x": LINE.alpha_x, "beta_x": LINE.beta_x, "source": LINE.source}
    about = {"cell_line": line, "fraction_dose_gy": 2.0, "fractions": 1, "field_id": field_id(plan.store)}
    write_maps(VolumeSet(field.grid, maps), plan.maps, ("zarr",), about)
    plan.structures.mkdir()
    write_image(Volume(field.grid, inside, quantity("structure")), plan.structures / "PTV.nii.gz")
    write_image(_ct(field.grid), plan.ct)
    save_bundle(make_surrogate(field), plan.model)
    return plan


def _ct(grid):
    """CT numbers that rise evenly along z, on a finer and larger grid."""
    x, y, z = grid.origin_mm
    finer = Grid((30, 28, 70), (1.0, 1.0, 1.0), (x - 4, y - 4, z - 3), grid.direction)
    values = np.broadcast_to(np.arange(70, dtype=np.float32) * 10 - 100, finer.shape)
    return Volume(finer, np.ascontiguousarray(values), quantity("HU"))
