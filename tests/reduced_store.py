"""Dose and LET of a planning system, made up, for tests of stores without spectra."""

from dataclasses import replace

import numpy as np
import SimpleITK

from surrogate3d.grid import Volume, quantity
from surrogate3d.io.images import write_image
from surrogate3d.pipeline.reduced import PlanFacts, definition_of, read_reduced

SAID = "weighting=dose; particles=protons; medium=water; restricted=no"
WATER = PlanFacts(primary="H", medium="water")
SHAPE = (4, 3, 5)
rng = np.random.default_rng(5)
STORED = rng.integers(500, 2000, (5, 3, 4)).astype(np.uint16)  # frame, row, column
STORED[0] = 0
DOSE = 0.001 * STORED.transpose(2, 1, 0)
LET = rng.uniform(1.0, 9.0, SHAPE).astype(np.float32)


def folder(path, dose_name="Dose", let_name="LET"):
    """Dose and LET as MetaImages, by MCsquare's names if no others are given."""
    path.mkdir()
    for name, values in ((dose_name, DOSE), (let_name, LET)):
        image = SimpleITK.GetImageFromArray(np.asarray(values, np.float32).transpose(2, 1, 0))
        image.SetOrigin((-10.0, 20.0, 30.0))
        image.SetSpacing((1.5, 2.0, 3.0))
        SimpleITK.WriteImage(image, str(path / f"{name}{'.mhd' if dose_name == 'Dose' else '.mha'}"))
    return path


def with_let(dose, values=LET, suffix=".mha", **changes):
    """What a user says who has an image of LET beside an RT Dose."""
    image = dose.with_name(f"let{suffix}")
    grid = read_reduced([dose], WATER).grid
    write_image(Volume(replace(grid, **changes), np.asarray(values, np.float32), quantity("LET_d")), image, True)
    return replace(WATER, let=image, let_definition=definition_of(SAID))
