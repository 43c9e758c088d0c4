"""What a notebook shows of volumes and fields."""

import base64
import io
import re

import numpy as np
from PIL import Image

from surrogate3d.grid import Beam, DoseField, Field, Grid, Quantity, Spectra, SpectrumAxes, Volume, VolumeSet, quantity
from surrogate3d.grid.colours import NO_VALUE
from surrogate3d.grid.display import LONGEST_PX, png, printed_unit

GRID = Grid((4, 5, 6), (1.0, 2.0, 3.0), (-1.5, 0.0, 10.0))


def ramp(grid=GRID):
    return np.arange(grid.n_voxels, dtype=float).reshape(grid.shape)


def pictures(html):
    found = re.findall(r"data:image/png;base64,([^\"]+)", html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(text)))) for text in found]


def test_an_image_is_read_back_by_another_program():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    assert (np.asarray(Image.open(io.BytesIO(png(pixels)))) == pixels).all()


def test_units_are_printed_with_their_signs():
    units = ["keV/um", "1/Gy^2", "g/cm3", "Gy (RBE)", "1/Gy/Gbp"]
    assert [printed_unit(unit) for unit in units] == ["keV/µm", "1/Gy²", "g/cm³", "Gy (RBE)", "1/Gy/Gbp"]


def test_a_volume_says_its_grid_unit_and_range():
    html = Volume(GRID, ramp(), quantity("LET_d"))._repr_html_()
    for text in ("4 × 5 × 6", "1 × 2 × 3 mm", "-1.5, 0, 10 mm (LPS)", "keV/µm", "0 to 119", "LET<sub>d</sub>"):
        assert text in html


def test_voxels_without_a_value_are_counted_and_grey():
    values = ramp()
    values[:, :, 3] = np.nan
    html = Volume(GRID, values, quantity("RBE"))._repr_html_()
    assert "20 of 120 voxels without a value" in html
    assert (pictures(html)[0] == NO_VALUE).all()  # the slice k = 3


def test_slices_have_the_lower_axis_to_the_right_and_the_other_upwards():
    values = np.zeros(GRID.shape)
    values[3, 0, 3] = 1.0  # last along x, first along y
    transverse = pictures(Volume(GRID, values, quantity("RBE"))._repr_html_())[0].astype(int).sum(axis=2)
    assert transverse.shape == (5, 4)
    assert np.argwhere(transverse != transverse[0, 0]).tolist() == [[4, 3]]


def test_slices_are_in_millimetres():
    html = Volume(GRID, ramp(), quantity("RBE"))._repr_html_()
    sizes = [tuple(map(int, size)) for size in re.findall(r"width:(\d+)px;height:(\d+)px", html)]
    longest = 6 * 3.0
    expected = [(4.0, 10.0), (4.0, 18.0), (10.0, 18.0)]
    assert sizes == [tuple(round(LONGEST_PX / longest * mm) for mm in size) for size in expected]


def test_large_slices_are_thinned_and_say_so():
    grid = Grid((1000, 3, 3), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    html = Volume(grid, ramp(grid), quantity("RBE"))._repr_html_()
    assert "every 3th voxel" not in html
    assert "one voxel of 3 along each axis" in html
    assert pictures(html)[0].shape == (1, 334, 3)


def test_a_volume_without_any_value_is_shown():
    assert "no finite value" in Volume(GRID, np.full(GRID.shape, np.nan), quantity("RBE"))._repr_html_()


def test_text_of_others_is_escaped():
    meaning = Quantity("<b>", "<script>alert(1)</script>", "<i>", 'say "<hello>"')
    volume = Volume(GRID, ramp(), meaning)
    html = volume._repr_html_() + VolumeSet(GRID, {"<u>": volume})._repr_html_()
    for tag in ("<script", "<b>", "<i>", "<u>", "<hello"):
        assert tag not in html


def test_a_set_lists_its_volumes():
    volumes = VolumeSet(GRID, {name: Volume(GRID, ramp(), quantity(name)) for name in ("alpha", "RBE")})
    html = volumes._repr_html_()
    assert "<code>alpha</code>" in html
    assert "<code>RBE</code>" in html
    assert html.count("0 to 119") == 2


def field():
    axes = SpectrumAxes(("H",), np.array([[1.0, 10.0, 100.0]]))
    volumes = VolumeSet(GRID, {"dose_to_water": Volume(GRID, ramp(), quantity("dose_to_water"))})
    spectra = Spectra(axes, np.ones((1, 2, *GRID.shape)), np.zeros((1, *GRID.shape)), np.zeros((1, *GRID.shape)))
    beams = (Beam(name="<front>"),)
    return Field(grid=GRID, volumes=volumes, beams=beams, spectra=spectra, beam_axis=2, beam_sign=-1, histories=12000)


def test_a_field_says_what_is_known_of_the_plan():
    html = field()._repr_html_()
    for text in (
        "H, 2 energy bins each",
        "towards smaller k",
        "12,000",
        "none: dose in arbitrary scale",
        "&lt;front&gt;",
    ):
        assert text in html
    assert len(pictures(html)) == 3


def test_representations_are_short():
    whole = field()
    assert repr(whole.volumes["dose_to_water"]) == "Volume(D_w / Gy, 4 × 5 × 6)"
    assert repr(whole.volumes) == "VolumeSet(dose_to_water; 4 × 5 × 6)"
    assert repr(whole) == "Field(dose_to_water; 4 × 5 × 6)"
    assert repr(DoseField(grid=GRID, volumes=whole.volumes)) == "DoseField(dose_to_water; 4 × 5 × 6)"
