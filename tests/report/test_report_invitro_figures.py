import subprocess
import sys

import numpy as np
import pytest
from matplotlib import image

from surrogate3d.errors import GridMismatchError
from surrogate3d.invitro.importance import ByLET, MethodImportance
from surrogate3d.invitro.scales import GROUPS, SCALES
from surrogate3d.report.invitro_figures import COLOURS, importance_methods, importance_over_LET, write_png


def curve(ion, bins=4, models=3):
    rng = np.random.default_rng(len(ion))
    share = rng.dirichlet(np.ones(len(SCALES)), (models, bins))
    return ByLET(ion, np.geomspace(2.0, 150.0, bins), np.full(bins, 20), share)


def method(name, unit="share / %"):
    value = np.linspace(-1.0, 20.0, len(GROUPS))
    return MethodImportance(name, unit, value, value - 1, value + 1, "range of 3 models")


def test_every_ion_has_a_panel_with_its_unit_and_number():
    drawn = importance_over_LET([curve(ion) for ion in ("H", "He", "C", "other ions")])
    panels = [axes for axes in drawn.figure.axes if axes.get_title(loc="left")]
    assert [axes.get_title(loc="left") for axes in panels] == [
        f"{ion} (n = 80)" for ion in ("H", "He", "C", "other ions")
    ]
    assert all("keV/\N{MICRO SIGN}m" in axes.get_xlabel() and axes.get_xscale() == "log" for axes in panels)
    assert "H from 2 to 150 keV/um: nanometre" in drawn.alt


def test_stacked_shares_fill_the_panel_and_bars_stand_at_their_borders():
    one = curve("C")
    drawn = importance_over_LET([one])
    axes = drawn.figure.axes[0]
    bands = axes.collections[: len(SCALES)]
    borders_of = [band.get_paths()[0].vertices[:, 1] for band in bands]
    assert min(borders_of[0]) == 0
    assert max(borders_of[-1]) == pytest.approx(100)
    borders = 100 * one.share.mean(axis=0).cumsum(axis=-1)[:, :-1]
    deviation = 100 * one.share.cumsum(axis=-1).std(axis=0, ddof=1)[:, :-1]
    segments = np.array([bar.get_segments() for bar in axes.collections[len(SCALES) :]])  # (border, bin, end, xy)
    assert np.allclose(segments[:, :, 0, 1].T, borders - deviation)
    assert np.allclose(segments[:, :, 1, 1].T, borders + deviation)


def test_an_ion_of_one_bin_and_a_single_model_can_be_drawn():
    drawn = importance_over_LET([curve("He", bins=1, models=1), curve("H"), curve("C")])
    assert len([axes for axes in drawn.figure.axes if axes.axison]) == 3


def test_scales_differ_in_colour_and_in_lightness_or_hatch():
    """For all forms of colour vision: Okabe and Ito's colours, and hatches besides."""
    assert len(set(COLOURS.values())) == len(SCALES)


def test_methods_stand_side_by_side_smallest_site_on_top():
    drawn = importance_methods([method("masks"), method("retraining", "growth / points of %")])
    first, second = drawn.figure.axes
    assert [label.get_text() for label in first.get_yticklabels()] == [
        "2 and 10 nm", "0.1 \N{MICRO SIGN}m", "0.3 \N{MICRO SIGN}m", "1 \N{MICRO SIGN}m", "3 \N{MICRO SIGN}m",
        "10 \N{MICRO SIGN}m", "LET", "biology",
    ]  # fmt: skip
    assert first.yaxis_inverted()
    assert (first.get_xlabel(), second.get_xlabel()) == ("share / %", "growth / points of %")
    assert [bar.get_width() for bar in first.patches] == pytest.approx(np.linspace(-1, 20, 8).tolist())
    assert "masks: largest biology, 20" in drawn.alt


def test_a_drawing_is_a_picture_for_light_and_dark_pages_and_a_file(tmp_path):
    drawn = importance_methods([method("masks")])
    picture = drawn.picture()
    assert picture.alt == drawn.alt
    assert picture.light.startswith("<?xml")
    assert picture.light != picture.dark
    write_png(drawn, tmp_path / "a.png", dpi=40)
    write_png(drawn, tmp_path / "a.png", dpi=40)
    pixels = image.imread(tmp_path / "a.png")
    assert pixels[0, 0].tolist() == [1, 1, 1, 1]


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(GridMismatchError, match="ions"):
        importance_over_LET([])
    with pytest.raises(GridMismatchError, match="one bin for each LET"):
        importance_over_LET([ByLET("H", np.ones(3), np.ones(3, dtype=int), np.ones((2, 4, 4)))])
    with pytest.raises(GridMismatchError, match="8 values"):
        importance_methods([])
    with pytest.raises(GridMismatchError, match="8 values"):
        importance_methods([MethodImportance("masks", "%", np.ones(3), np.ones(3), np.ones(3), "")])


def test_pictures_need_no_torch():
    code = "import sys, surrogate3d.report.invitro_figures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
