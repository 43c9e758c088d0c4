"""Histories become dose only when asked, and where asked."""

from pathlib import Path

import numpy as np
import pytest
from topas_writer import three_runs

from surrogate3d.errors import (
    GridMismatchError,
    PrescriptionError,
)
from surrogate3d.io.convert import convert
from surrogate3d.io.prescribe import PrescribeRequest

FIXTURE = Path(__file__).parents[1] / "fixtures" / "topas"
SHAPE = (2, 3, 4)
ONES = np.ones(SHAPE)


def test_dose_scale_reaches_dose_its_error_fluence_and_halves_but_not_let(tmp_path):
    folders = three_runs(tmp_path, SHAPE)
    plain, _ = convert(folders)
    scaled, report = convert(folders, dose_scale=2.5)
    assert scaled.prescription is not None
    assert scaled.dose_scale == report.dose_scale == 2.5
    for name in ("dose_to_water", "dose_std"):
        np.testing.assert_allclose(scaled.volumes[name].values, 2.5 * plain.volumes[name].values)
    np.testing.assert_array_equal(scaled.volumes["LET_d"].values, plain.volumes["LET_d"].values)
    np.testing.assert_allclose(scaled.spectra.fluence, 2.5 * plain.spectra.fluence, rtol=1e-6)
    np.testing.assert_allclose(scaled.spectra.overflow, 2.5 * plain.spectra.overflow, rtol=1e-6)
    np.testing.assert_allclose(scaled.halves[0].fluence, 2.5 * plain.halves[0].fluence, rtol=1e-6)
    np.testing.assert_allclose(scaled.halves_dose[1], 2.5 * plain.halves_dose[1])
    np.testing.assert_allclose(scaled.tracks, plain.tracks, rtol=1e-6)


BOX = ((1, 1, 2), (5, 4, 6))


@pytest.mark.parametrize(
    ("at", "box", "statistic"),
    [
        ("max", None, np.max),
        ("max", BOX, np.max),
        ("mean", BOX, np.mean),
        ("p50", BOX, np.median),
        ("p95", BOX, lambda d: np.quantile(d, 0.95)),
    ],
)
def test_prescription_is_met_where_it_is_given(at, box, statistic):
    field, _ = convert([FIXTURE], prescribe=PrescribeRequest(2.0, at, box))
    inside = field.dose if box is None else field.dose[1:5, 1:4, 2:6]
    assert statistic(inside) == pytest.approx(2.0)
    assert field.prescription is not None
    assert field.prescription.statement.startswith(f"2 Gy at {at} of the ")


def test_prescription_on_a_mask():
    mask = np.zeros((6, 5, 12), dtype=bool)
    mask[2, 2, 1:4] = True
    field, _ = convert([FIXTURE], prescribe=PrescribeRequest(1.8, "mean", mask))
    assert field.dose[mask].mean() == pytest.approx(1.8)
    assert "a mask of 3 voxels" in field.prescription.statement


@pytest.mark.parametrize(
    ("request_", "error", "message"),
    [
        (PrescribeRequest(2, "mean"), PrescriptionError, "needs a mask or a box"),
        (PrescribeRequest(2, "p50"), PrescriptionError, "needs a mask or a box"),
        (PrescribeRequest(0), PrescriptionError, "must be positive"),
        (PrescribeRequest(2, "D95", BOX), PrescriptionError, "not known"),
        (PrescribeRequest(2, "mean", ((0, 0, 0), (6, 5, 13))), PrescriptionError, "leaves the grid"),
        (PrescribeRequest(2, "mean", ((0, 0, 0), (0, 5, 12))), PrescriptionError, "is empty"),
        (PrescribeRequest(2, "max", ((0, 0, 9), (1, 1, 10))), PrescriptionError, "no dose to scale"),
        (PrescribeRequest(2, "max", np.zeros((6, 5, 12), dtype=bool)), PrescriptionError, "holds no voxel"),
        (PrescribeRequest(2, "max", np.ones((6, 5, 11), dtype=bool)), GridMismatchError, "mask has shape"),
    ],
)
def test_prescriptions_that_cannot_be_applied(request_, error, message):
    with pytest.raises(error, match=message):
        convert([FIXTURE], prescribe=request_)


@pytest.mark.parametrize("scale", [0, -1, np.nan, np.inf])
def test_impossible_dose_scale(scale):
    with pytest.raises(PrescriptionError, match="positive number"):
        convert([FIXTURE], dose_scale=scale)


def test_scale_and_prescription_exclude_each_other():
    with pytest.raises(PrescriptionError, match="exclude each other"):
        convert([FIXTURE], dose_scale=1, prescribe=PrescribeRequest(2))
