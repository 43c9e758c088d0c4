import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from surrogate3d.errors import FormatError, GeometryError
from surrogate3d.grid import Grid
from surrogate3d.io.given import Given
from surrogate3d.io.topas_geometry import (
    component_grid,
    curved_shape,
    energy_edges,
    given_grid,
    placement,
)
from surrogate3d.io.topas_header import parse_header, read_header
from surrogate3d.io.topas_parameters import read_parameters

FIXTURE = Path(__file__).parents[1] / "fixtures" / "topas"


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


ANGLES = st.tuples(*[st.integers(-360, 360)] * 3)
SHIFTS = st.tuples(*[st.integers(-300, 300)] * 3)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chain=st.lists(st.tuples(ANGLES, SHIFTS, st.sampled_from(["Group", "TsBox"])), min_size=1, max_size=5))
def test_random_chains_against_an_independent_composition(tmp_path, chain):
    """4 x 4 matrices of scipy rotations, from the child outwards: position in parent = M^-1 x + Trans."""
    text, to_world = "", np.eye(4)
    for level, (angles, shift, kind) in enumerate(chain):
        parent = "World" if level == 0 else f"C{level - 1}"
        text += f's:Ge/C{level}/Parent = "{parent}"\ns:Ge/C{level}/Type = "{kind}"\n'
        text += "".join(f"d:Ge/C{level}/Rot{a} = {v} deg\n" for a, v in zip("XYZ", angles, strict=True))
        text += "".join(f"d:Ge/C{level}/Trans{a} = {v} mm\n" for a, v in zip("XYZ", shift, strict=True))
        step = np.eye(4)
        step[:3, :3] = Rotation.from_euler("xyz", angles, degrees=True).inv().as_matrix()
        step[:3, 3] = shift
        to_world = to_world @ step
    (tmp_path / "run.txt").write_text(text)
    placed = placement(read_parameters(tmp_path / "run.txt"), f"c{len(chain) - 1}")
    np.testing.assert_allclose(placed.axes, to_world[:3, :3], atol=1e-10)
    np.testing.assert_allclose(placed.centre_mm, to_world[:3, 3], atol=1e-9)


def test_a_box_in_a_parallel_world_lies_where_its_parent_puts_it(read):
    # TsVGeometryComponent::CalculatePlacement treats parallel components as any others.
    text = (FIXTURE / "fixture.txt").read_text().replace('Ge/Grid/Parent = "World"', 'Ge/Grid/Parent = "Couch"')
    text += '\nb:Ge/Grid/IsParallel = "True"\n' if "Ge/Grid/IsParallel" not in text else "\n"
    text += 's:Ge/Grid/ParallelWorldName = "Scoring"\ns:Ge/Couch/Type = "Group"\nd:Ge/Couch/TransX = 5 mm\n'
    header = read_header(FIXTURE / "fixture_DoseToWater.binheader")
    assert component_grid(read(text), header) == Grid((6, 5, 12), (4.0, 4.0, 4.0), (-3.0, -8.0, -76.0))


def test_a_component_with_a_path_and_expressions(read):
    """Half lengths and positions relative to another component, as plans write them."""
    text = """
s:Ge/WaterPhantom/Type = "TsBox"
d:Ge/WaterPhantom/HLZ = 10 cm
d:Ge/WaterPhantom/TransZ = Ge/WaterPhantom/HLZ + 5 mm
s:Ge/WaterPhantom/Target/Type = "TsBox"
s:Ge/WaterPhantom/Target/Parent = "WaterPhantom"
d:Ge/WaterPhantom/Target/HLX = 0.1 * Ge/WaterPhantom/HLZ mm
d:Ge/WaterPhantom/Target/HLY = Ge/WaterPhantom/Target/HLX mm
d:Ge/WaterPhantom/Target/HLZ = Ge/WaterPhantom/HLZ mm * 0.2
d:Ge/WaterPhantom/Target/TransZ = Ge/WaterPhantom/Target/HLZ - Ge/WaterPhantom/HLZ mm
i:Ge/WaterPhantom/Target/XBins = 10
i:Ge/WaterPhantom/Target/YBins = Ge/WaterPhantom/Target/XBins
i:Ge/WaterPhantom/Target/ZBins = 2 * Ge/WaterPhantom/Target/XBins
"""
    grid = component_grid(read(text), box_header("WaterPhantom/Target", (10, 10, 20), (0.2, 0.2, 0.2)))
    # Centre at 105 + (20 - 100) = 25 mm, half length 20 mm, voxels of 2 mm.
    assert grid == Grid((10, 10, 20), (2.0, 2.0, 2.0), (-9.0, -9.0, 6.0))


def box_header(component, bins, widths_cm, scorer="D"):
    lines = ["# TOPAS Version: 4.2", "# Parameter File: run.txt", f"# Results for scorer: {scorer}"]
    lines.append(f"# Scored in component: {component}")
    if np.prod(bins) > 1:
        axes = zip("XYZ", bins, widths_cm, strict=True)
        lines += [f"# {a} in {n} {'bin ' if n == 1 else 'bins'} of {w:.6g} cm" for a, n, w in axes]
    return parse_header([*lines, "# DoseToWater ( Gy ) : Sum   "], "D.csv")


def test_a_run_without_parameter_file_is_placed_as_given():
    header = box_header("Box", (2, 3, 4), (0.1, 0.2, 0.25))
    assert given_grid(header, Given(origin_mm=(1, 2, 3))) == Grid((2, 3, 4), (1.0, 2.0, 2.5), (1, 2, 3))
    turned = ((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0))
    assert given_grid(header, Given(origin_mm=(1, 2, 3), direction=turned)).direction == turned
    with pytest.raises(GeometryError, match="--origin, and --direction"):
        given_grid(header, Given())
    with pytest.raises(GeometryError, match="expected bins in X, Y, Z in the header, found none"):
        given_grid(box_header("Box", (1, 1, 1), (1, 1, 1)), Given(origin_mm=(1, 2, 3)))


CUBE = """
s:Ge/XCAT/Type = "TsImageCube"
i:Ge/XCAT/NumberOfVoxelsX = 10
i:Ge/XCAT/NumberOfVoxelsY = 20
iv:Ge/XCAT/NumberOfVoxelsZ = 1 30
d:Ge/XCAT/VoxelSizeX = 2 mm
d:Ge/XCAT/VoxelSizeY = 2 mm
dv:Ge/XCAT/VoxelSizeZ = 1 3 mm
d:Ge/XCAT/TransZ = 5 mm
"""


def test_an_image_cube_is_centred_on_its_position(read):
    header = box_header("XCAT", (10, 20, 30), (0.2, 0.2, 0.3))
    expected = Grid((10, 20, 30), (2.0, 2.0, 3.0), (-9.0, -19.0, -38.5))
    assert component_grid(read(CUBE), header) == expected
    plain = CUBE.replace("iv:", "i:").replace("= 1 30", "= 30").replace("dv:", "d:").replace("= 1 3 mm", "= 3 mm")
    assert component_grid(read(plain), header) == expected
    with pytest.raises(GeometryError, match="2 sections of slices"):
        component_grid(read(CUBE.replace("= 1 30", "= 2 10 20").replace("= 1 3 mm", "= 2 3 4 mm")), header)
    with pytest.raises(GeometryError, match="RestrictVoxelsXMin, which is not read"):
        component_grid(read(CUBE + "i:Ge/XCAT/RestrictVoxelsXMin = 2\n"), header)


def test_curved_shapes_with_the_defaults_of_topas(read):
    p = read(
        's:Ge/C/Type = "TsCylinder"\nd:Ge/C/RMax = 5 cm\nd:Ge/C/HL = 3 cm\nd:Ge/C/TransX = 1 cm\nd:Ge/C/RotY = 90 deg\n'
        's:Ge/S/Type = "TsSphere"\nd:Ge/S/RMin = 1 mm\nd:Ge/S/RMax = 2 mm\n'
        "d:Ge/S/SPhi = 90 deg\nd:Ge/S/DTheta = 90 deg\n"
    )
    c, s = curved_shape(p, "C"), curved_shape(p, "S")
    assert (c.kind, c.r_min_mm, c.r_max_mm, c.half_length_mm) == ("cylinder", 0, 50, 30)
    assert (c.phi_start_rad, c.phi_span_rad, c.theta_span_rad) == (0, 2 * math.pi, 0)
    np.testing.assert_allclose(c.placed.centre_mm, [10, 0, 0])
    np.testing.assert_allclose(
        c.placed.axes[:, 2], [-1, 0, 0], atol=1e-12
    )  # as the oblique beam, RotY > 0 is towards -X
    assert (s.kind, s.r_min_mm, s.half_length_mm, s.theta_start_rad) == ("sphere", 1, 0, 0)
    assert (s.phi_start_rad, s.theta_span_rad) == pytest.approx((math.pi / 2, math.pi / 2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('s:Ge/C/Type = "TsBox"\n', "expected TsCylinder or TsSphere, found C of Type 'tsbox'"),
        ("i:N = 1\n", "of Type 'none'"),
        ('s:Ge/C/Type = "TsSphere"\nd:Ge/C/RMin = 2 mm\nd:Ge/C/RMax = 2 mm\n', "is empty"),
        ('s:Ge/C/Type = "TsCylinder"\nd:Ge/C/RMax = 2 mm\nd:Ge/C/HL = 0 mm\n', "is empty"),
    ],
)
def test_curved_shapes_that_are_refused(read, text, message):
    with pytest.raises(GeometryError, match=message):
        curved_shape(read(text), "C")


def test_rotated_box_turns_about_its_own_centre(read):
    header = read_header(FIXTURE / "fixture_DoseToWater.binheader")
    text = (FIXTURE / "fixture.txt").read_text() + "\nd:Ge/Grid/RotZ = 90 deg\n"
    grid = component_grid(read(text), header)
    # From parent to child by +90 deg about z: the box's own x axis points along -y of the world.
    np.testing.assert_allclose(np.array(grid.direction)[:, 0], [0, -1, 0], atol=1e-12)
    np.testing.assert_allclose(grid.position_mm([2.5, 2, 5.5]), [2, 0, -54], atol=1e-12)


def test_parents_in_a_circle(read):
    with pytest.raises(GeometryError, match="circle"):
        placement(read('s:Ge/A/Parent = "B"\ns:Ge/B/Parent = "A"\n'), "A")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Ge/Grid/HLX = 12.0 mm", "Ge/Grid/HLX = 12.1 mm", "24 mm long by the header, 24.2 mm"),
        ("Ge/Grid/HLX = 12.0 mm", "Ge/Grid/HLX = 12.0002 mm", "not of the same run"),
        ("Ge/Grid/ZBins = 12", "Ge/Grid/ZBins = 24", "Z has 12 bins in the header, 24"),
        ('Ge/Grid/Type = "TsBox"', 'Ge/Grid/Type = "TsCylinder"', "TsCylinder"),
        ('Ge/Grid/Type = "TsBox"', 'Ge/Grid/Type = "TsDicomPatient"', "the CT of Grid .* is not there.*--dicom-dir"),
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
