import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest

from surrogate3d.direct.allotment import FIRST_NUCLEI, Allotment
from surrogate3d.direct.conditions import Conditions
from surrogate3d.direct.gsm2_cuda import Gsm2Cuda, transport
from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.nucleus_sampler import NucleusSampler
from surrogate3d.direct.task import VoxelResponse, VoxelTask
from surrogate3d.errors import UnsupportedError, ValueRangeError
from surrogate3d.grid import SpectrumAxes
from surrogate3d.physics.cell_line import cell_line

LADDER = (0.25, 0.5)
TARGET = 0.02
SPECTRA = {  # fluence of H at 2 MeV, C at 10 MeV/u, and C at 50 MeV/u: tracks few and many, one kind and several
    "carbon": [[0.0, 0.0], [1.0, 0.0]],
    "protons": [[1.0, 0.0], [0.0, 0.0]],
    "mixed": [[8.0, 0.0], [1.0, 1.0]],
}
EDGES = [[1.9, 2.1, 9.0], [9.9, 10.1, 250.0]]

TWIN = """
import json, sys
import numpy as np
from surrogate3d.direct import cuda_transport, gsm2_cuda
from surrogate3d.direct.conditions import Conditions
from surrogate3d.direct.task import VoxelTask
from surrogate3d.errors import UnsupportedError
from surrogate3d.grid import SpectrumAxes
given = json.load(sys.stdin)
cuda_transport.LAUNCH = 600  # several launches a round
axes = SpectrumAxes(("H", "C"), np.array(given["edges"]))
tasks = [
    VoxelTask(np.array(fluence), axes, 1.0, tuple(lines), (n, 0, 0), "", Conditions(pO2_mmHg=pO2))
    for n, (fluence, lines, pO2) in enumerate(given["voxels"])
]
simulator = gsm2_cuda.Gsm2Cuda(doses=tuple(given["doses"]), max_nuclei=400)
answers = simulator.simulate(tasks, given["seed"], given["target_se"])
alone = simulator.simulate(tasks[1:2], given["seed"], given["target_se"])
try:
    simulator.simulate([VoxelTask(tasks[0].fluence, axes, 1.0, (given["many_domains"],))], 1, 1.0)
except UnsupportedError as error:
    refusal = str(error)
print(json.dumps([*([a.to_json() for a in found] for found in (answers, alone)), refusal]))
"""

VOXELS = [("carbon", ("HSG", "V79"), None), ("protons", ("V79",), None), ("mixed", ("HSG",), 5.0)]


def tasks(voxels, doses=LADDER):
    axes = SpectrumAxes(("H", "C"), np.array(EDGES))
    return [
        VoxelTask(np.array(SPECTRA[name]), axes, 1.0, lines, (n, 0, 0), "", Conditions(pO2_mmHg=pO2))
        for n, (name, lines, pO2) in enumerate(voxels)
    ]


def small_domains(folder):
    text = """
        name = "small domains"
        species = "none"
        tissue = "none"
        alpha_x = 0.313
        beta_x = 0.0615
        source = "none"
        [gsm2]
        r_d = 0.3
        R_n = 4.5
        r = 2.5
        genome_gbp = 6.2
        source = "none"
    """
    path = folder / "small.toml"
    path.write_text(text, encoding="utf-8")
    return path


def gpu_here():
    try:
        return bool(import_module("numba.cuda").is_available())
    except ImportError:
        return False


def test_the_simulated_gpu_has_the_nuclei_of_the_processor(tmp_path):
    # numba's simulator of CUDA runs the very kernel, thread by thread, in plain Python: no compiled code, no GPU
    given = {
        "voxels": [(SPECTRA[name], lines, pO2) for name, lines, pO2 in VOXELS],
        "edges": EDGES, "doses": LADDER, "seed": 5, "target_se": TARGET,
        "many_domains": str(small_domains(tmp_path)),
    }  # fmt: skip
    environment = {**os.environ, "NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", TWIN],  # numpy tells of every wrapped 64-bit word
        env=environment, input=json.dumps(given), capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    *rows, refusal = json.loads(done.stdout)
    together, alone = ([VoxelResponse.from_json(row) for row in some] for some in rows)
    expected = Gsm2MonteCarlo(doses=LADDER, max_nuclei=400).simulate(tasks(VOXELS), 5, TARGET)
    assert len({answer.n_nuclei for answer in together}) > 1
    for found, wanted in zip(together, expected, strict=True):
        assert found.backend.partition(" ")[::2] == ("gsm2_cuda/1", wanted.backend.partition(" ")[2])
        assert (found.cell_line, found.voxel, found.n_nuclei) == (wanted.cell_line, wanted.voxel, wanted.n_nuclei)
        for name in ("survival", "survival_se", "alpha", "D10", "RBE_ref"):
            assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=1e-9, abs=1e-12)
    assert alone == [answer for answer in together if answer.voxel == (1, 0, 0)]
    assert "room for 192 domains across a nucleus, found 225 for r_d 0.3 and R_n 4.5 um; use gsm2_mc" in refusal


@pytest.mark.skipif(not gpu_here(), reason="numba finds no NVIDIA GPU")
def test_a_gpu_agrees_with_the_processor():
    # rounding may let a rare track fall into the next ring, or a rare draw turn out otherwise, hence not bit by bit
    voxels = [("protons", ("HSG", "V79"), None), ("carbon", ("V79", "HSG"), None), ("mixed", ("HSG",), 5.0)]
    found = Gsm2Cuda().simulate(tasks(voxels), 1, 0.01)
    for gpu, cpu in zip(found, Gsm2MonteCarlo().simulate(tasks(voxels), 1, 0.01), strict=True):
        assert np.abs(np.subtract(gpu.survival, cpu.survival)) == pytest.approx(0.0, abs=3 * max(cpu.survival_se))
        assert (np.abs(np.subtract(gpu.survival, cpu.survival)) <= 3 * np.array(cpu.survival_se)).all()
        assert abs(gpu.D10 - cpu.D10) < 3 * cpu.D10_se
        assert gpu.survival == pytest.approx(cpu.survival, rel=1e-3)


@pytest.mark.skipif(not gpu_here(), reason="numba finds no NVIDIA GPU")
def test_a_gpu_gives_the_same_bits_whatever_shares_the_launch():
    (alone,) = Gsm2Cuda().simulate(tasks(VOXELS)[1:2], 1, 0.02)
    assert alone in Gsm2Cuda().simulate(tasks(VOXELS), 1, 0.02)


@pytest.mark.skipif(gpu_here(), reason="there is a GPU")
def test_without_a_gpu_one_line_says_what_to_do():
    with pytest.raises(UnsupportedError, match=r"finds none; pip install 'surrogate3d\[gpu\]', or use .* gsm2_mc$"):
        Gsm2Cuda().simulate(tasks(VOXELS), 1)


def test_without_cuda_in_numba_one_line_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba.cuda", None)
    with pytest.raises(UnsupportedError, match=r"needs numba-cuda, found none .*; pip install 'surrogate3d\[gpu\]'"):
        transport()


def test_importing_the_back_end_does_not_import_the_kernel():
    code = "import sys, surrogate3d.direct.gsm2_cuda; print('surrogate3d.direct.cuda_transport' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_it_cannot_follow_is_refused_before_a_gpu_is_looked_for():
    (task,) = tasks(VOXELS[1:2])
    split = replace(task, conditions=Conditions(None, (0.0, 24.0), (0.0, 0.0), (0.5, 0.5)))
    with pytest.raises(UnsupportedError, match="gsm2_cuda is for acute delivery"):
        Gsm2Cuda().simulate([split], 1)
    with pytest.raises(UnsupportedError, match=r"one nucleus radius, found a spread of 0\.1"):
        Gsm2Cuda(nucleus_spread=0.1).simulate([task], 1)
    with pytest.raises(ValueRangeError, match="target_se"):
        Gsm2Cuda().simulate([task], 1, 0.0)


def test_settings_and_parameters_are_those_of_the_processor():
    ours, theirs = Gsm2Cuda().settings(), Gsm2MonteCarlo().settings()
    assert ours | {"name": "gsm2_mc", "version": theirs["version"]} == theirs
    assert (ours["name"], ours["version"]) == ("gsm2_cuda", 1)
    line = cell_line("HSG")
    assert Gsm2Cuda().parameters(line) == Gsm2MonteCarlo().parameters(line)


def test_the_allotment_is_that_of_the_processor(mono):
    # gsm2_mc decides by its own loop: both must stop each cell line at the same nucleus
    task = mono(6, 30.0, ("V79", "HSG"))
    lines = [cell_line(name) for name in task.cell_lines]
    simulator = Gsm2MonteCarlo()
    sampler = NucleusSampler(task, 0.9, 4.5, 1.0, simulator.doses, 3)
    lot = Allotment(lines, simulator.doses, [sampler.expected_q], 0.02, simulator.max_nuclei)
    found = {}
    while lot.active:
        survival, q = sampler(lot.done, lot.more, [line.gsm2 for line in lot.active])
        lot.add(0, survival, q)
        found |= {line: (S, lot.done) for line, (S, _) in lot.settle().items()}
    for line, answer in zip(lines, simulator.simulate([task], 3, 0.02), strict=True):
        assert answer.n_nuclei == found[line][1]
        assert answer.survival == tuple(found[line][0].tolist())


def test_an_allotment_gives_up_at_its_largest_number(mono):
    line = cell_line("HSG")
    sampler = NucleusSampler(mono(6, 10.0), 0.9, 4.5, 1.0, LADDER, 3)
    lot = Allotment([line], LADDER, [sampler.expected_q], 1e-9, FIRST_NUCLEI + 10)
    lot.add(0, *sampler(lot.done, lot.more, [line.gsm2]))
    assert not lot.settle()
    assert (lot.done, lot.more) == (FIRST_NUCLEI, 16)  # the jackknife wants whole batches
    lot.add(0, *sampler(lot.done, lot.more, [line.gsm2]))
    assert list(lot.settle()) == [line]
