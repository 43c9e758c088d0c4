import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from surrogate3d.errors import FormatError, GeometryError, UnsupportedError
from surrogate3d.grid import Grid
from surrogate3d.io.topas_geometry import (
    beam_axis,
    beam_direction,
    component_grid,
    energy_edges,
    histories,
    placement,
    seed,
)
from surrogate3d.io.topas_header import parse_header, read_header
from surrogate3d.io.topas_parameters import read_parameters

FIXTURE = Path(__file__).parents[1] / "fixtures" / "topas"

OBLIQUE = """
s:Ge/BeamPosition/Type = "Group"
d:Ge/BeamPosition/TransX = 20.9643 mm
d:Ge/BeamPosition/TransZ = -78.24 mm
d:Ge/BeamPosition/RotY = 15.0 deg
s:So/Beam/Type = "Beam"
s:So/Beam/Component = "BeamPosition"
i:So/Beam/NumberOfHistoriesInRun = 2000000
i:So/Demo/NumberOfHistoriesInRun = 0
"""


@pytest.fixture
def read(tmp_path):
    def write_and_read(text):
        (tmp_path / "run.txt").write_text(text)
        return read_parameters(tmp_path / "run.txt")

    return write_and_read


@pytest.fixture
def real():
    return read_parameters(FIXTURE / "fixture.txt")


def test_real_off_centre_grid(real):
    # Box of 24 x 20 x 48 mm around (2, 0, -54) in voxels of 4 mm: first centre = centre - half length + half voxel.
    grid = component_grid(real, read_header(FIXTURE / "fixture_DoseToWater.binheader"))
    assert grid == Grid((6, 5, 12), (4.0, 4.0, 4.0), (-8.0, -8.0, -76.0))


def test_real_beam_histories_and_seed(real):
    grid = component_grid(real, read_header(FIXTURE / "fixture_DoseToWater.binheader"))
    assert beam_axis(grid, beam_direction(real)) == (2, 1)
    assert histories(real) == 4000
    assert seed(real) == 301


def test_oblique_beam_meets_the_isocentre(read):
    p = read(OBLIQUE)
    direction = beam_direction(p)
    np.testing.assert_allclose(direction, [-math.sin(math.radians(15)), 0, math.cos(math.radians(15))], atol=1e-12)
    np.testing.assert_allclose(placement(p, "BeamPosition").centre_mm + 81 * direction, 0, atol=1e-2)


def test_oblique_dose_lies_in_the_slab_that_the_placement_predicts(topas_data):
    """Real run with RotY = 15 deg and a field of 24 x 24 mm: the other sign would put the beam elsewhere."""
    from surrogate3d.io.convert import read_run

    run = topas_data("proton_shallow_low")
    field = read_run(run)
    placed = placement(read_parameters(run / "proton_shallow_low.txt"), "BeamPosition")
    positions = field.grid.position_mm(np.stack(np.indices(field.grid.shape), axis=-1))

    def share_inside(axes):
        lateral = (positions - placed.centre_mm) @ axes
        inside = np.abs(lateral[..., :2]).max(axis=-1) < 16
        return field.dose[inside].sum() / field.dose.sum()

    assert share_inside(placed.axes) > 0.98
    assert share_inside(placed.axes.T) < 0.8
    assert (field.beam_axis, field.beam_sign) == (2, 1)


def test_nested_rotations_against_scipy(read):
    # OpenTOPAS: rotation = R_Z R_Y R_X from parent to child; scipy: extrinsic "xyz" is the same product.
    angles = {"Outer": (20, -35, 50), "Inner": (-10, 75, 5)}
    shifts = {"Outer": (1, 2, 3), "Inner": (-4, 5, 6)}
    text = 's:Ge/Outer/Parent = "World"\ns:Ge/Inner/Parent = "Outer"\n'
    for name in angles:
        for axis, angle, shift in zip("XYZ", angles[name], shifts[name], strict=True):
            text += f"d:Ge/{name}/Rot{axis} = {angle} deg\nd:Ge/{name}/Trans{axis} = {shift} mm\n"
    to_child = {name: Rotation.from_euler("xyz", a, degrees=True) for name, a in angles.items()}
    placed = placement(read(text), "Inner")
    outer, inner = to_child["Outer"].inv(), to_child["Inner"].inv()
    np.testing.assert_allclose(placed.axes, (outer * inner).as_matrix(), atol=1e-12)
    np.testing.assert_allclose(placed.centre_mm, np.array(shifts["Outer"]) + outer.apply(shifts["Inner"]), atol=1e-12)


def test_rotated_box_turns_about_its_own_centre(read):
    header = read_header(FIXTURE / "fixture_DoseToWater.binheader")
    text = (FIXTURE / "fixture.txt").read_text() + "\nd:Ge/Grid/RotZ = 90 deg\n"
    grid = component_grid(read(text), header)
    # From parent to child by +90 deg about z: the box's own x axis points along -y of the world.
    np.testing.assert_allclose(np.array(grid.direction)[:, 0], [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(grid.position_mm([2.5, 2, 5.5]), [2, 0, -54], atol=1e-12)


@pytest.mark.parametrize(("angle", "expected"), [(0, (2, 1)), (80, (0, -1)), (-80, (0, 1)), (180, (2, -1))])
def test_beam_axis(read, angle, expected):
    grid = Grid((2, 2, 2), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    p = read(OBLIQUE.replace("15.0 deg", f"{angle} deg"))
    assert beam_axis(grid, beam_direction(p)) == expected


def test_histories_sum_over_sources_and_sequential_times(read):
    more = 's:So/Two/Type = "Beam"\ns:So/Two/Component = "BeamPosition"\ni:So/Two/NumberOfHistoriesInRun = 5\n'
    assert histories(read(OBLIQUE + more)) == 2000005
    assert histories(read(OBLIQUE + more + "i:Tf/NumberOfSequentialTimes = 3\n")) == 6000015
    assert seed(read(OBLIQUE)) == 1  # what TOPAS takes


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (('"Beam"\n', '"PhaseSpace"\n'), UnsupportedError, "PhaseSpace"),
        (("= 2000000", "= 0"), GeometryError, "no source"),
        (('Component = "BeamPosition"', 'Component = "Nowhere"'), GeometryError, "Nowhere is not defined"),
    ],
)
def test_beams_that_are_refused(read, change, error, message):
    with pytest.raises(error, match=message):
        beam_direction(read(OBLIQUE.replace(*change)))


def test_two_directions_are_refused(read):
    second = OBLIQUE.split("i:So/Demo")[0].replace("BeamPosition", "Second").replace("So/Beam", "So/Beam2")
    with pytest.raises(UnsupportedError, match="different directions"):
        beam_direction(read(OBLIQUE + second.replace("15.0", "75.0")))


def test_parents_in_a_circle(read):
    with pytest.raises(GeometryError, match="circle"):
        placement(read('s:Ge/A/Parent = "B"\ns:Ge/B/Parent = "A"\n'), "A")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Ge/Grid/HLX = 12.0 mm", "Ge/Grid/HLX = 12.1 mm", "24 mm long by the header, 24.2 mm"),
        ("Ge/Grid/HLX = 12.0 mm", "Ge/Grid/HLX = 12.0002 mm", "not of the same run"),
        ("Ge/Grid/ZBins = 12", "Ge/Grid/ZBins = 24", "Z has 12 bins in the header, 24"),
        ('Ge/Grid/Type = "TsBox"', 'Ge/Grid/Type = "TsDicomPatient"', "TsDicomPatient"),
        ("Ge/Grid/", "Ge/Other/", "none"),
    ],
)
def test_header_and_parameters_of_another_run(read, old, new, message):
    header = read_header(FIXTURE / "fixture_DoseToWater.binheader")
    with pytest.raises(GeometryError, match=message):
        component_grid(read((FIXTURE / "fixture.txt").read_text().replace(old, new)), header)


def test_bins_of_the_scorer_come_before_those_of_its_component(read):
    header = read_header(FIXTURE / "fixture_DoseToWater.binheader")
    text = (FIXTURE / "fixture.txt").read_text().replace("Ge/Grid/XBins = 6", "Ge/Grid/XBins = 3")
    assert component_grid(read(text + "\ni:Sc/DoseToWater/XBins = 6\n"), header).shape == (6, 5, 12)


def test_a_width_rounded_to_six_digits_gives_back_the_true_length(read):
    # 7 bins over 100 mm: TOPAS prints 1.42857 cm, and 7 x 1.42857 cm is 99.9999 mm.
    axes = [f"# {a} in 7 bins of 1.42857 cm" for a in "XYZ"]
    top = ["# TOPAS Version: 4.2", "# Parameter File: run.txt", "# Results for scorer: D", "# Scored in component: B"]
    header = parse_header([*top, *axes, "# DoseToWater ( Gy ) : Sum   "], "D.csv")
    box = "".join(f"d:Ge/B/HL{a} = 50 mm\ni:Ge/B/{a}Bins = 7\n" for a in "XYZ")
    grid = component_grid(read('s:Ge/B/Type = "TsBox"\n' + box), header)
    np.testing.assert_allclose(grid.spacing_mm, 100 / 7, rtol=1e-15)


def test_energy_edges_have_the_digits_of_the_parameter_file(read):
    header = read_header(FIXTURE / "fixture_Fluence_H.csv")
    text = (FIXTURE / "fixture.txt").read_text().replace("EBinMax = 500 MeV", "EBinMax = 500.0001 MeV")
    edges = energy_edges(read(text), header)
    np.testing.assert_allclose(edges, np.geomspace(0.1, 500.0001, 65), rtol=1e-14)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("EBinMax = 500 MeV", "EBinMax = 501 MeV"),
        ("EBinMin = 0.1 MeV", "EBinMin = 0.2 MeV"),
        ("EBins = 64", "EBins = 32"),
        ('EBinLog = "True"', 'EBinLog = "False"'),
        ('EBinEnergy = "PreStep"', 'EBinEnergy = "IncidentTrack"'),
    ],
)
def test_energy_bins_of_another_run(read, old, new):
    header = read_header(FIXTURE / "fixture_Fluence_H.csv")
    with pytest.raises(FormatError, match="not of the same run"):
        energy_edges(read((FIXTURE / "fixture.txt").read_text().replace(old, new)), header)


def test_energy_edges_of_a_scorer_without_them(real):
    header = read_header(FIXTURE / "fixture_Fluence_H.csv")
    with pytest.raises(FormatError, match="expected energy bins"):
        energy_edges(real, read_header(FIXTURE / "fixture_DoseToWater.binheader"))
    with pytest.raises(FormatError, match="EBins is not set"):
        energy_edges(real, replace(header, scorer="Renamed"))
