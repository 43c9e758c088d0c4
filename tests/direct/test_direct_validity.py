from dataclasses import replace

import numpy as np
import pytest

from surrogate3d.direct.simulator import BACKENDS
from surrogate3d.direct.task import DOSE_LADDER, VoxelTask
from surrogate3d.direct.validity import ALL_SPECIES, LESION_SPECIES, LET_d_of, Validity, dose_share
from surrogate3d.errors import UnsupportedError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.stopping_power import stopping_power


def test_a_voxel_inside_is_not_flagged(mixed):
    assert Validity().outside(mixed(), DOSE_LADDER) == ""


def test_every_reason_is_named(mixed):
    task = mixed()
    share = dose_share(task)
    assert share.sum() == pytest.approx(1.0)
    assert share[1:].sum() > 0.05
    other = "more than 5 % of the dose from ions other than H"
    assert Validity(("H",)).outside(task, DOSE_LADDER) == other
    slow = Validity(energy_mev_u=(100.0, 1000.0)).outside(task, DOSE_LADDER)
    assert slow == "more than 5 % of the dose from ions outside 100-1000 MeV/u"
    assert Validity(largest_LET_d=1.0).outside(task, DOSE_LADDER) == "LET_d above 1 keV/um"
    assert Validity(largest_dose=5.0).outside(task, DOSE_LADDER) == "doses above 5 Gy"
    several = Validity(("H",), largest_dose=5.0).outside(task, DOSE_LADDER)
    assert several == f"{other}; doses above 5 Gy"


def test_a_little_of_other_ions_is_tolerated():
    axes = SpectrumAxes(("H", "He"), np.array([[99.0, 101.0], [99.0, 101.0]]))
    task = VoxelTask(np.array([[1.0], [0.01]]), axes, 1.0, ("HSG",))
    assert 0.03 < dose_share(task)[1].sum() < 0.05
    assert Validity(("H",)).outside(task, DOSE_LADDER) == ""
    assert Validity(("H",), tolerated=0.03).outside(task, DOSE_LADDER) != ""


def test_LET_d_is_that_of_the_wanted_ions(mixed, mono):
    assert LET_d_of(mono(1, 10.0), ("H",)) == pytest.approx(float(stopping_power(1, 10.0)), rel=1e-6)
    assert np.isnan(LET_d_of(mono(6, 10.0), ("H",)))
    assert LET_d_of(mixed(), ("H",)) < LET_d_of(mixed(), ("H", "He", "C"))


def test_only_the_shape_of_the_spectrum_counts(mixed):
    strict = Validity(("H",), largest_LET_d=1.0)
    elsewhere = replace(mixed(scale=3.0), dose_gy=77.0, voxel=(1, 2, 3))
    assert strict.outside(mixed(), DOSE_LADDER) == strict.outside(elsewhere, DOSE_LADDER)


@pytest.mark.parametrize("Z", [9, 10])
def test_fluorine_and_neon_are_flagged_only_where_lesion_yields_enter(Z, mono):
    assert LESION_SPECIES == ("H", "He", "Li", "Be", "B", "C", "N", "O")
    assert set(ALL_SPECIES) - set(LESION_SPECIES) == {"F", "Ne"}
    unknown = "more than 5 % of the dose from ions other than H, He, Li, Be, B, C, N, O"
    for name in ("gsm2_mc", "gsm2_fft", "smkm_mc", "mkm", "smk"):
        (found,) = BACKENDS[name].simulate([mono(Z, 200.0)], 1, 0.05)
        assert (found.outside == unknown) == name.startswith("gsm2"), (name, found.outside)
        assert 2 < found.D10 < 4
    with pytest.raises(UnsupportedError, match="is for H, He, Li, Be, B, C, and only 0 %"):
        BACKENDS["zr_table"].simulate([mono(Z, 200.0)], 1, 0.05)


def test_ions_below_the_stopping_powers_are_flagged():
    slow = VoxelTask(np.ones((1, 1)), SpectrumAxes(("H",), np.array([[0.0, 0.15]])), 1.0, ("HSG",))
    assert Validity().outside(slow, DOSE_LADDER) == "more than 5 % of the dose from ions outside 0.1-1000 MeV/u"
