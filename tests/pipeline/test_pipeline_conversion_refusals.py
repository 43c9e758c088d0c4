"""Runs that convert without an error of any reader, and cannot be right."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from surrogate3d.errors import QuantityError
from surrogate3d.pipeline.conversion import convert

FIXTURE = Path(__file__).parents[1] / "fixtures" / "topas"


@pytest.fixture
def real(tmp_path):
    return shutil.copytree(FIXTURE, tmp_path / "run")


def rewrite_dose(run, change):
    """Sum of DoseToWater: (k, j, i) changed in place."""
    values = np.fromfile(run / "fixture_DoseToWater.bin").reshape(12, 5, 6, 3)
    change(values[..., 0])
    values.tofile(run / "fixture_DoseToWater.bin")


def refused(run, folder, message):
    with pytest.raises(QuantityError, match=message):
        convert([run], folder / "plan.field.zarr")
    assert [path.name for path in folder.iterdir()] == ["run"]


def test_a_run_without_any_dose(real, tmp_path):
    rewrite_dose(real, lambda dose: dose.fill(0.0))
    refused(real, tmp_path, "no voxel has a dose_to_water above 0")


def test_a_run_whose_structure_is_empty(real, tmp_path):
    head = real / "fixture_DoseToWater.binheader"
    text = head.read_text().replace("# Scored in", '# Filtered by: OnlyIncludeIfInRTStructure = 1 "PTV"\n# Scored in')
    head.write_text(text)
    values = np.fromfile(real / "fixture_DoseToWater.bin").reshape(12, 5, 6, 3)
    values[..., :2] = -1
    values.tofile(real / "fixture_DoseToWater.bin")
    refused(real, tmp_path, "no voxel has a dose_to_water above 0")


def test_spectra_in_another_order_than_the_dose(real, tmp_path):
    rewrite_dose(real, lambda dose: np.copyto(dose, dose[::-1].copy()))
    refused(real, tmp_path, r"over 1\.5 times the scored dose in \d+ % of the irradiated voxels, which cannot be")


def test_spectra_where_there_is_no_dose(real, tmp_path):
    rewrite_dose(real, lambda dose: dose[1:].fill(0.0))
    refused(real, tmp_path, "which cannot be")


def test_spectra_that_explain_hardly_any_dose(real, tmp_path):
    rewrite_dose(real, lambda dose: np.multiply(dose, 5.0, out=dose))
    refused(real, tmp_path, r"less than 0\.3 of the scored dose in \d+ % of the irradiated voxels")
