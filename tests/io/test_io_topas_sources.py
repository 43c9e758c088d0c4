import math
from pathlib import Path

import numpy as np
import pytest

from surrogate3d.errors import GeometryError, UnsupportedError
from surrogate3d.grid import Grid
from surrogate3d.io.given import Given
from surrogate3d.io.topas_geometry import (
    beam_axis,
    beam_direction,
    component_grid,
    histories,
    placement,
    seed,
    sources,
)
from surrogate3d.io.topas_header import read_header
from surrogate3d.io.topas_parameters import read_parameters

FIXTURE = Path(__file__).parents[1] / "fixtures" / "topas"

OBLIQUE = """
s:Ge/BeamPosition/Type = "Group"
d:Ge/BeamPosition/TransX = 20.9643 mm
d:Ge/BeamPosition/TransZ = -78.24 mm
d:Ge/BeamPosition/RotX = 0 deg
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


@pytest.mark.parametrize(("angle", "expected"), [(0, (2, 1)), (80, (0, -1)), (-80, (0, 1)), (180, (2, -1))])
def test_beam_axis(read, angle, expected):
    grid = Grid((2, 2, 2), (1.0, 1.0, 1.0), (0.0, 0.0, 0.0))
    p = read(OBLIQUE.replace("15.0 deg", f"{angle} deg"))
    assert beam_axis(grid, beam_direction(p)) == expected


def test_a_beam_that_says_nothing_of_its_rotation_goes_down(read):
    """BeamPosition of the built-in defaults is turned by RotX = 180 deg."""
    direction = beam_direction(
        read(OBLIQUE.replace("d:Ge/BeamPosition/RotX = 0 deg\n", "").replace("15.0 deg", "0 deg"))
    )
    np.testing.assert_allclose(direction, [0, 0, -1], atol=1e-12)


def test_histories_are_events_of_all_sources_over_all_times(read):
    # Sources share events (TsSourceManager::GetNumberOfHistoriesInRun), and scorers count events.
    more = 's:So/Two/Type = "Beam"\ns:So/Two/Component = "BeamPosition"\ni:So/Two/NumberOfHistoriesInRun = 5\n'
    assert histories(read(OBLIQUE + more)) == 2000000
    assert histories(read(OBLIQUE + more + "i:Tf/NumberOfSequentialTimes = 3\n")) == 6000000
    assert seed(read(OBLIQUE)) == 1  # what TOPAS takes


SPOTS = """
i:So/Beam/NumberOfHistoriesInRun = Tf/Spots/Value
s:Tf/Spots/Function = "Step"
dv:Tf/Spots/Times = 3 10 20 30 ms
iv:Tf/Spots/Values = 3 0 70 500
d:Tf/TimelineEnd = 30 ms
i:Tf/NumberOfSequentialTimes = {}
"""


@pytest.mark.parametrize(("runs", "expected"), [(1, 0), (2, 0 + 70), (3, 0 + 70 + 500), (6, 2 * 570)])
def test_histories_that_change_with_time_are_summed_over_the_runs(read, runs, expected):
    """Runs start at equal shares of 30 ms: 0; 0, 15; 0, 10, 20; 0, 5, 10, ... 25 ms."""
    text = OBLIQUE.replace("i:So/Beam/NumberOfHistoriesInRun = 2000000\n", SPOTS.format(runs))
    assert histories(read(text)) == expected if expected else sources(read(text)) == []


def test_a_gantry_that_turns_during_the_run_is_refused(read):
    turning = (
        "dv:Tf/G/Times = 2 1 2 s\ndv:Tf/G/Values = 2 {} deg\nd:Tf/TimelineEnd = 2 s\ni:Tf/NumberOfSequentialTimes = 2\n"
    )
    text = OBLIQUE.replace("RotY = 15.0 deg", "RotY = Tf/G/Value deg")
    with pytest.raises(UnsupportedError, match="Ge/BeamPosition/RotY changes during the run with time feature Tf/G"):
        beam_direction(read(text + turning.format("15 30")))
    np.testing.assert_allclose(
        beam_direction(read(text + turning.format("15 15"))), beam_direction(read(OBLIQUE)), atol=1e-12
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('Type = "Beam"', 'Type = "PhaseSpace"'), "takes its histories from a file"),
        (("i:So/Demo", 'b:Ts/RestoreResultsFromFile = "True"\ni:So/Demo'), "results of another run"),
        (("i:So/Demo", "d:Sc/D/RepeatSequenceUntilSumGreaterThan = 1 Gy\ni:So/Demo"), "repeats the run"),
        (
            (
                "i:So/Demo",
                'b:Tf/RandomizeTimeDistribution = "True"\ni:So/Beam/NumberOfHistoriesInRandomJob = 9\ni:So/Demo',
            ),
            "times of single histories",
        ),
    ],
)
def test_histories_that_no_parameter_says_must_be_given(read, change, message):
    p = read(OBLIQUE.replace(*change))
    with pytest.raises(UnsupportedError, match=f"{message}.*--histories"):
        histories(p)
    assert histories(p, Given(histories=17)) == 17


@pytest.mark.parametrize("kind", ["PhaseSpace", "Volumetric", "Environment", "Distributed", "Isotropic"])
def test_sources_without_a_direction_ask_for_it(read, kind):
    p = read(OBLIQUE.replace('Type = "Beam"', f'Type = "{kind}"'))
    with pytest.raises(UnsupportedError, match=f"source Beam has Type '{kind}'.*--beam"):
        beam_direction(p)
    np.testing.assert_allclose(beam_direction(p, Given(beam_direction=(0, 3, 4))), [0, 0.6, 0.8])


def test_a_phase_space_shoots_without_a_number_of_histories(read):
    p = read('s:So/Head/Type = "PhaseSpace"\ns:So/Head/Component = "World"\n')
    assert sources(p) == ["Head"]


def test_an_emittance_source_goes_along_its_component(read):
    p = read(OBLIQUE.replace('Type = "Beam"', 'Type = "emittance"'))
    np.testing.assert_allclose(beam_direction(p), beam_direction(read(OBLIQUE)))


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
