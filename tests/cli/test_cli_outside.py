import numpy as np

from surrogate3d.cli import show_design
from surrogate3d.direct.simulator import simulator
from surrogate3d.direct.task import VoxelTask
from surrogate3d.grid import SpectrumAxes
from surrogate3d.pipeline.design import SimulationSettings


def test_voxels_outside_the_validity_of_a_back_end_are_counted_and_shown(capsys):
    tasks = [
        VoxelTask(np.ones((1, 1)), SpectrumAxes(("H",), np.array([[energy, 1.01 * energy]])), 1.0, ("HSG",))
        for energy in (1.0, 1.1, 50.0)
    ]
    settings = SimulationSettings("mcnamara", ("HSG",))
    shown = show_design.simulated(settings, simulator("mcnamara").simulate(tasks, 0), len(tasks))
    assert shown["outside"] == {"LET_d above 20 keV/um": 2}
    show_design.simulation({**shown, "seconds": 1.0, "ledger": "ledger"})
    said = " ".join(capsys.readouterr().out.split())
    assert "2 responses outside the validity of mcnamara: LET_d above 20 keV/um" in said
