import dataclasses

import numpy as np
import pytest

from surrogate3d.grid.geometry import Grid
from surrogate3d.grid.quantity import quantity
from surrogate3d.grid.volume import Volume
from surrogate3d.report import Conditions, DirectPoints, Fact, ReportContent
from surrogate3d.validation.table import compare


@pytest.fixture(scope="session")
def content() -> ReportContent:
    """A small field whose RBE is 1.1 + 0.001 x depth index; the prediction is 1 % too high, a baseline 2 % too low."""
    grid = Grid((6, 8, 16), (2.0, 2.0, 2.5), (-5.0, -7.0, 10.0))
    i, j, k = np.meshgrid(*(np.arange(n) for n in grid.shape), indexing="ij")
    truth = 1.1 + 0.001 * k
    dose = 2.0 * np.exp(-(((i - 2.5) / 2.5) ** 2) - ((j - 3.5) / 3.5) ** 2) * (k < 14)
    mask = dose > 0.4
    index = np.argwhere(mask)[::9]
    methods = {"surrogate": 1.01 * truth, "zr_table": 0.98 * truth, "McNamara": 1.06 * truth}
    kinds = {"surrogate": "surrogate", "zr_table": "baseline", "McNamara": "model_difference"}
    shallow = mask & (k < 8)
    regions = {"entrance": shallow, "distal_edge": mask & ~shallow}
    table = compare({name: {"RBE": values} for name, values in methods.items()}, {"RBE": truth}, regions, kinds)

    def volume(name: str, values: np.ndarray) -> Volume:
        return Volume(grid, values, quantity(name))

    return ReportContent(
        title="A <slab> & its RBE",
        verdict=("One per cent too high everywhere.", "By construction."),
        conditions=Conditions(
            "HSG", 1, "the voxel's own dose", "2 Gy at the axis", "It answers above 0.4 Gy.", "dose-averaged, protons"
        ),
        maps={
            "dose_to_water": volume("dose_to_water", dose),
            "LET_d": volume("LET_d", np.where(dose > 0, 1.0 + 0.1 * k, np.nan)),
            "RBE": volume("RBE", methods["surrogate"]),
            "D_RBE": volume("D_RBE", methods["surrogate"] * dose),
            "RBE_std": volume("RBE_std", np.full(grid.shape, 0.01)),
        },
        mask=mask,
        beam_axis=2,
        beam_sign=1,
        summary=(Fact("RBE error", "1.00", "%", "rms"),),
        prescription_gy=2.0,
        points=DirectPoints(index, truth[tuple(index.T)], np.full(len(index), 0.005), np.arange(len(index)) % 3 == 0),
        methods={"zr_table": methods["zr_table"]},
        published_models={"McNamara": methods["McNamara"]},
        reference=truth,
        reference_origin="high statistics",
        regions=regions,
        validation=table.to_json(),
        provenance={"surrogate3d": "0.1.0", "files": [{"name": "a</script>.bin"}]},
        timings_s={"predict": 0.25},
        notes=("Nothing below the micrometre.",),
    )


@pytest.fixture(scope="session")
def sparse(content: ReportContent) -> ReportContent:
    """The same field, its reference known at the directly simulated voxels only: one in nine of the mask."""
    assert content.points is not None
    reference = np.full(content.grid.shape, np.nan)
    reference[tuple(content.points.index.T)] = content.points.RBE
    return dataclasses.replace(content, reference=reference)
