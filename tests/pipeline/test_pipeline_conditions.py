"""Conditions of a voxel's cells from a field's beams and what the user says of oxygen."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic import make_field

from surrogate3d.errors import GridMismatchError, QuantityError, StoreError, ValueRangeError
from surrogate3d.grid import Beam, Grid, Volume
from surrogate3d.io.images import write_image
from surrogate3d.pipeline.conditions import OXYGEN, conditions_of, oxygen_note, read_oxygen

FIELD = make_field()
VOXEL = (4, 5, 2)
FIRST, SECOND = (Beam(name=n, start_s=s, duration_s=60.0) for n, s in (("first", 0.0), ("second", 360.0)))


def several(*doses, beams=(FIRST, SECOND)):
    return replace(FIELD, beams=beams, beams_dose=tuple(np.full(FIELD.grid.shape, dose) for dose in doses))


def oxygen_map(value, grid=FIELD.grid):
    return Volume(grid, np.full(grid.shape, value, dtype=np.float32), OXYGEN)


def test_nothing_said_is_the_calibration():
    assert conditions_of(FIELD, VOXEL).settings() == {}


def test_one_number_serves_all_voxels_and_a_map_each_its_own():
    values = np.arange(FIELD.grid.n_voxels, dtype=np.float32).reshape(FIELD.grid.shape)
    assert conditions_of(FIELD, VOXEL, pO2=2.5).pO2_mmHg == 2.5
    found = conditions_of(FIELD, VOXEL, pO2=Volume(FIELD.grid, values, OXYGEN))
    assert found.pO2_mmHg == values[VOXEL]
    assert not found.in_time


def test_beams_bring_their_share_when_they_are_on():
    found = conditions_of(several(0.5, 1.5), VOXEL, in_time=True)
    assert found.start_h == (0.0, 0.1)
    assert found.duration_h == pytest.approx((1 / 60, 1 / 60), rel=1e-12)
    assert found.dose_share == (0.25, 0.75)


def test_a_single_beam_brings_all():
    found = conditions_of(replace(FIELD, beams=(SECOND,)), VOXEL, pO2=1.0, in_time=True)
    assert (found.start_h, found.dose_share, found.pO2_mmHg) == ((0.0,), (1.0,), 1.0)


def test_time_begins_with_the_first_beam_that_brings_anything():
    found = conditions_of(several(0.0, 2.0), VOXEL, in_time=True)
    assert (found.start_h, found.dose_share) == ((0.0,), (1.0,))


@pytest.mark.parametrize("value", [np.nan, -0.1, np.inf])
def test_a_voxel_without_a_pressure_is_refused_by_its_index(value):
    for pO2 in (float(value), oxygen_map(value)):
        with pytest.raises(ValueRangeError, match=r"voxel \(4, 5, 2\): the oxygen pressure is"):
            conditions_of(FIELD, VOXEL, pO2=pO2)


def test_a_map_on_another_grid_is_refused():
    other = Grid(FIELD.grid.shape, FIELD.grid.spacing_mm, (1.0, 0.0, 0.0))
    with pytest.raises(GridMismatchError, match="oxygen map"):
        conditions_of(FIELD, VOXEL, pO2=oxygen_map(5.0, other))


def test_times_that_are_not_known_are_refused():
    with pytest.raises(QuantityError, match="beam b: protraction needs start_s"):
        conditions_of(replace(FIELD, beams=(Beam(name="b"),)), VOXEL, in_time=True)
    with pytest.raises(QuantityError, match="nothing is known of the field's beams"):
        conditions_of(replace(FIELD, beams=()), VOXEL, in_time=True)
    with pytest.raises(QuantityError, match="2 beams, but not the dose of each; combine them again"):
        conditions_of(several(), VOXEL, in_time=True)
    with pytest.raises(ValueRangeError, match=r"voxel \(4, 5, 2\): the beams bring doses of \[0.0, 0.0\]"):
        conditions_of(several(0.0, 0.0), VOXEL, in_time=True)


@pytest.mark.parametrize("suffix", [".nii.gz", ".mha", ".nrrd"])
def test_a_map_is_read_onto_the_field(suffix, tmp_path):
    values = np.random.default_rng(1).uniform(0, 60, FIELD.grid.shape).astype(np.float32)
    write_image(Volume(FIELD.grid, values, OXYGEN), tmp_path / f"pO2{suffix}")
    found = read_oxygen(str(tmp_path / f"pO2{suffix}"), FIELD)
    assert isinstance(found, Volume)
    np.testing.assert_array_equal(found.values, values)
    assert conditions_of(FIELD, VOXEL, pO2=found).pO2_mmHg == values[VOXEL]


def test_a_map_of_another_plan_is_refused(tmp_path):
    other = Grid(FIELD.grid.shape, FIELD.grid.spacing_mm, (1.0, 0.0, 0.0))
    write_image(oxygen_map(5.0, other), tmp_path / "pO2.mha")
    with pytest.raises(GridMismatchError, match=r"oxygen map .*pO2\.mha: grids differ"):
        read_oxygen(str(tmp_path / "pO2.mha"), FIELD)


def test_a_number_is_mmhg():
    assert read_oxygen("7.6", FIELD) == 7.6
    for text in ("-1", "nan", "inf", "21000"):
        with pytest.raises(ValueRangeError, match=f"an oxygen pressure of {text} is none: expected mmHg"):
            read_oxygen(text, FIELD)
    with pytest.raises(StoreError, match="oxygen 5%: neither a number in mmHg nor an image"):
        read_oxygen("5%", FIELD)


def test_a_map_in_a_larger_unit_is_refused_and_a_hypoxic_one_is_not(tmp_path):
    write_image(oxygen_map(5000.0), tmp_path / "pascal.mha")
    with pytest.raises(ValueRangeError, match="its largest value is 5000: expected mmHg"):
        read_oxygen(str(tmp_path / "pascal.mha"), FIELD)
    write_image(oxygen_map(0.4), tmp_path / "hypoxic.mha")
    assert conditions_of(FIELD, VOXEL, pO2=read_oxygen(str(tmp_path / "hypoxic.mha"), FIELD)).pO2_mmHg < 1


def test_the_unit_is_said_aloud():
    assert oxygen_note(2.0) == "oxygen pressure 2 mmHg, not per cent: 1 % of O2 is 7.6 mmHg"
    assert oxygen_note(oxygen_map(3.0)) == ("oxygen map of 3 to 3, median 3 mmHg, not per cent: 1 % of O2 is 7.6 mmHg")
    assert oxygen_note(oxygen_map(np.nan)) == "the oxygen map has no value"
