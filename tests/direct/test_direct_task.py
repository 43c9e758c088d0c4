import json
from dataclasses import replace

import numpy as np
import pytest

from surrogate3d.direct.curve import effect_at
from surrogate3d.direct.gsm2_fft import Gsm2Fft
from surrogate3d.direct.simulator import BACKENDS, simulator
from surrogate3d.direct.task import VoxelResponse, VoxelTask
from surrogate3d.errors import GridMismatchError, UnknownNameError, ValueRangeError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.let import dose_from_spectra

AXES = SpectrumAxes.logarithmic(("H", "C"), n_bins=8)


def test_fluence_per_gy_carries_one_gray(mixed):
    task = mixed()
    per_mm2 = task.fluence_per_gy[:, :, None, None, None] * 1e6
    assert float(dose_from_spectra(task.axes, per_mm2).item()) == pytest.approx(1.0, rel=1e-5)


def test_explained_dose_is_that_of_the_spectrum_over_that_of_the_voxel(mixed):
    task = mixed()
    dose = float(dose_from_spectra(task.axes, task.fluence[:, :, None, None, None]).item())
    assert replace(task, dose_gy=1.25 * dose).explained == pytest.approx(0.8)
    assert np.isnan(replace(task, dose_gy=0.0).explained)


def test_key_depends_on_the_spectrum_and_the_axes_only(mixed):
    task = mixed()
    moved = replace(task, voxel=(1, 2, 3), dose_gy=9.0, cell_lines=("V79",))
    assert moved.spectrum_key == task.spectrum_key
    assert mixed(0.01).spectrum_key != task.spectrum_key
    stretched = SpectrumAxes(task.axes.species, task.axes.edges_mev_u * 1.01)
    assert replace(task, axes=stretched).spectrum_key != task.spectrum_key


def test_response_survives_json_exactly(mixed):
    (found,) = Gsm2Fft().simulate([mixed(1 / 3)])
    assert VoxelResponse.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found
    unknown = VoxelResponse.from_json(replace(found, explained=float("nan")).to_json())
    assert np.isnan(unknown.explained)


def test_rows_of_versions_without_validity_are_read(mixed):
    (found,) = Gsm2Fft().simulate([mixed()])
    row = found.to_json()
    assert "outside" not in row  # and rows of voxels inside are what they were
    assert VoxelResponse.from_json(row).outside == ""
    flagged = replace(found, outside="too slow")
    assert VoxelResponse.from_json(json.loads(json.dumps(flagged.to_json(), allow_nan=False))) == flagged


def test_effect_between_the_doses_of_the_ladder(mixed):
    (found,) = Gsm2Fft().simulate([mixed()])
    assert found.effect_at(2.0) == pytest.approx(found.effect[found.doses.index(2.0)])
    assert found.effect[5] < found.effect_at(2.2) < found.effect[6]


@pytest.mark.parametrize("dose", [0.01, 0.1, 0.24, 2.2, 9.9, 15.0, 30.0])
def test_effect_beyond_the_doses_of_the_ladder(mixed, dose):
    """As `curve.effect_at` has it, and without error where the curve is linear-quadratic."""
    (found,) = Gsm2Fft().simulate([mixed()])
    D = np.array(found.doses)
    assert found.effect_at(dose) == pytest.approx(float(effect_at(dose, D, np.array(found.effect))), rel=1e-12)
    exact = replace(found, effect=tuple(0.4 * D + 0.05 * D**2))
    assert exact.effect_at(dose) == pytest.approx(0.4 * dose + 0.05 * dose**2, rel=1e-12)


@pytest.mark.parametrize(
    ("fluence", "error"),
    [
        (np.ones((8, 2)), GridMismatchError),
        (np.zeros((2, 8)), ValueRangeError),
        (np.full((2, 8), np.nan), ValueRangeError),
        (np.full((2, 8), -1.0), ValueRangeError),
    ],
)
def test_refused_voxels_are_named(fluence, error):
    with pytest.raises(error, match=r"voxel \(4, 5, 6\) of field 'F1'"):
        VoxelTask(fluence, AXES, 1.0, ("HSG",), (4, 5, 6), "F1")


def test_back_ends_by_name():
    assert {name: backend.name for name, backend in BACKENDS.items()} == {name: name for name in BACKENDS}
    with pytest.raises(UnknownNameError, match="gsm2_fft"):
        simulator("gsm2")
