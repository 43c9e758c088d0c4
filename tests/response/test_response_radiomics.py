"""Radiomic features against the reference values of the Image Biomarker Standardisation Initiative (IBSI)."""

import csv
import logging
import sys
from pathlib import Path

import numpy as np
import pytest

from surrogate3d.errors import UnknownNameError, UnsupportedError, ValueRangeError
from surrogate3d.grid import Cohort, Grid, Lesion, Volume, quantity
from surrogate3d.response.normalisation import normalised_image
from surrogate3d.response.radiomics import ibsi_features, radiomic_features

pytest.importorskip("mirp", reason="radiomic features need MIRP (extra 'response')")

REFERENCE = Path(__file__).parent.parent / "fixtures" / "literature" / "ibsi_digital_phantom.csv"

# The digital phantom of IBSI (github.com/theibsi/data_sets, CC BY 4.0, original design by Alex Zwanenburg): z, y, x.
PHANTOM = """
14411 14611 41641 44641
14411 11611 11311 44611
14411 11111 11911 11611
14411 11111 11111 11611
"""
NOT_IN_THE_REGION = ((0, 2, 1), (3, 0, 2), (4, 0, 2), (2, 2, 2), (3, 0, 3), (4, 0, 3))  # x, y, z


def phantom():
    slices = [[[float(level) for level in row] for row in line.split()] for line in PHANTOM.strip().splitlines()]
    values = np.array(slices).transpose(2, 1, 0)
    mask = np.ones(values.shape, dtype=bool)
    mask[tuple(np.transpose(NOT_IN_THE_REGION))] = False
    return values, mask


def ball(radius_mm, grid, gain=1.0, seed=0):
    """A lesion with a textured image and a dose that rises along x."""
    rng = np.random.default_rng(seed)
    centre = grid.position_mm((np.array(grid.shape) - 1) / 2)
    offset = grid.position_mm(np.moveaxis(np.indices(grid.shape), 0, -1)) - centre
    mask = np.linalg.norm(offset, axis=-1) <= radius_mm
    image = gain * (np.where(mask, 1.6, 1.0) + 0.1 * rng.standard_normal(grid.shape))
    dose = 20.0 + offset[..., 0]
    return Lesion(
        "P1",
        "L1",
        Volume(grid, image, quantity("image_signal")),
        mask,
        {"dose": Volume(grid, dose, quantity("dose_to_water"))},
    )


CUBE = Grid((21, 23, 25), (1.0, 1.0, 1.0), (-3.0, 5.0, 40.0))


def reference():
    with REFERENCE.open() as lines:
        return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def test_all_features_of_the_digital_phantom_are_those_of_ibsi():
    values, mask = phantom()
    found = ibsi_features(values, mask, (2.0, 2.0, 2.0), spacing_mm=2.0, levels=6)
    rows = reference()
    assert list(found) == [row["feature"] for row in rows]
    for row in rows:
        printed = row["value"].split("e")[0].lstrip("-")
        last_digit = 10.0 ** (np.floor(np.log10(abs(float(row["value"])) or 1.0)) - 2) if len(printed) > 1 else 1e-6
        tolerance = float(row["tolerance"] or 0.0) or 0.5001 * last_digit
        assert abs(found[row["feature"]] - float(row["value"])) <= tolerance, row


def test_intensities_of_a_lesion_are_those_of_its_normalised_image():
    lesion = ball(6.0, CUBE)
    table = radiomic_features(Cohort([lesion]), ("image", "dose"))
    found = dict(zip(table.names, table.values[0], strict=True))
    inside = normalised_image(lesion)[lesion.mask]
    for channel, values in (("image", inside), ("dose", lesion.delivered["dose"].values[lesion.mask])):
        assert found[f"{channel} stat_mean"] == pytest.approx(values.mean(), rel=1e-5)
        assert found[f"{channel} stat_var"] == pytest.approx(values.var(), rel=1e-4)
        assert found[f"{channel} stat_p90"] == pytest.approx(np.percentile(values, 90), rel=1e-3)
    assert found["image morph_vol_approx"] == lesion.volume_mm3


def test_shape_stands_once_and_texture_with_each_channel():
    names = radiomic_features(Cohort([ball(4.0, CUBE)]), ("dose", "image")).names
    assert sum("morph_" in name for name in names) == sum(name.startswith("dose morph_") for name in names) == 23
    for family in ("stat_", "ih_", "cm_", "rlm_", "szm_", "dzm_", "ngt_", "ngl_"):
        own = [name.removeprefix("dose ") for name in names if name.startswith(f"dose {family}")]
        assert own == [name.removeprefix("image ") for name in names if name.startswith(f"image {family}")] != []


def test_the_gain_of_a_scanner_does_not_matter():
    one, other = (radiomic_features(Cohort([ball(5.0, CUBE, gain)])).values for gain in (1.0, 730.0))
    np.testing.assert_allclose(one, other, rtol=2e-4, atol=1e-4)


def test_texture_does_not_depend_on_how_the_voxels_are_stored():
    lesion = ball(5.0, CUBE)
    image, mask = normalised_image(lesion), lesion.mask
    one = ibsi_features(image, mask, CUBE.spacing_mm, ("statistics", "glcm", "glrlm", "glszm", "ngldm"))
    turned = (np.flip(each.transpose(2, 0, 1), 1) for each in (image, mask))
    other = ibsi_features(*turned, CUBE.spacing_mm, ("statistics", "glcm", "glrlm", "glszm", "ngldm"))
    np.testing.assert_allclose(list(one.values()), list(other.values()), rtol=1e-5, atol=1e-7)


def test_long_voxels_become_cubes_of_the_same_volume():
    lesion = ball(6.0, Grid((44, 44, 11), (0.5, 0.5, 2.0), (0.0, 0.0, 0.0)))
    found = radiomic_features(Cohort([lesion]))
    volume = dict(zip(found.names, found.values[0], strict=True))["image morph_vol_approx"]
    assert volume == pytest.approx(lesion.volume_mm3, rel=0.05)


def test_what_is_not_known_beside_a_lesion_does_not_reach_into_it():
    values, mask = phantom()
    values, mask = (np.pad(each, 2, mode="edge") for each in (values, mask))
    mask[:2] = mask[-2:] = False
    mask[:, :2] = mask[:, -2:] = False
    mask[..., :2] = mask[..., -2:] = False
    unknown = values.copy()
    unknown[0] = np.nan
    found = ibsi_features(unknown, mask, (2.0, 2.0, 2.0), ("statistics",), 1.0)
    assert found == ibsi_features(values, mask, (2.0, 2.0, 2.0), ("statistics",), 1.0)


def test_what_one_voxel_does_not_define_is_not_a_number():
    lesion = ball(0.5, CUBE)
    table = radiomic_features(Cohort([lesion]))
    found = dict(zip(table.names, table.values[0], strict=True))
    assert np.isnan(found["image cm_joint_max_d1_3d_v_mrg_fbn_n32"])
    assert found["image stat_mean"] == pytest.approx(normalised_image(lesion)[lesion.mask][0], rel=1e-5)


def test_a_lesion_that_is_lost_between_voxels_is_refused_by_name():
    lesion = ball(0.1, Grid((41, 41, 41), (0.3, 0.3, 0.3), (0.0, 0.0, 0.0)))
    with pytest.raises(
        ValueRangeError, match=r"patient P1, lesion L1: nothing is left of the lesion .* on voxels of 1 mm"
    ):
        radiomic_features(Cohort([lesion]))


def test_a_channel_that_is_not_there_is_refused():
    with pytest.raises(UnknownNameError, match="patient P1, lesion L1: asked for LET_d, but there is dose"):
        radiomic_features(Cohort([ball(4.0, CUBE)]), ("LET_d", "image"))
    with pytest.raises(ValueRangeError, match="at least one channel"):
        radiomic_features(Cohort([ball(4.0, CUBE)]), ())


def test_the_root_logger_is_left_as_it_was_and_progress_is_told(capsys):
    before, level, told = list(logging.getLogger().handlers), logging.getLogger().level, []
    radiomic_features(Cohort([ball(3.0, CUBE)]), progress=lambda done, of: told.append((done, of)))
    assert (logging.getLogger().handlers, logging.getLogger().level) == (before, level)
    assert told == [(1, 1)]
    assert capsys.readouterr().out == ""


def test_without_mirp_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mirp.settings.generic", None)
    with pytest.raises(UnsupportedError, match=r"need MIRP; pip install 'surrogate3d\[response\]'"):
        radiomic_features(Cohort([ball(4.0, CUBE)]))
