"""docs/quickstart.md runs as it stands, on a smaller cut with smaller numbers, and what it shows is true."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "quickstart.md"

SCRIPTS = PAGE.parents[1] / "scripts"

CUT = """
from cut_demo_data import cut_run

def smaller(runs):
    for name, folder in runs.items():
        box = ((3, 13), (3, 13), (0, 54)) if "slab" in name else ((0, 18), (0, 13), (0, 24))
        for file, content in cut_run(folder, box).items():
            (folder / file).write_bytes(content)
    return runs

"""

CHECK = """
import numpy as np
rms = {m: found.table.row(m, "RBE").summary.rms for m in ("surrogate", "zr_table")}
assert rms["surrogate"] < rms["zr_table"], rms
inside = maps.curves.mask
assert np.isfinite(maps.volumes["D_RBE"].values[inside]).all() and np.isnan(maps.volumes["D_RBE"].values[~inside]).all()
assert (maps.volumes["D_RBE"].values[inside] > fields["plan-low"].dose[inside]).mean() > 0.99
assert report.path.stat().st_size < 15e6
"""


def test_the_quickstart_page_runs(tmp_path: Path) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL))
    small, n = re.subn(r"budget, steps, voxels = 200, 400, 300", "budget, steps, voxels = 50, 60, 30", code)
    assert n == 1
    small, n = re.subn(r"unpack_runs\(work / \"runs\"\)", 'smaller(unpack_runs(work / "runs"))', small)
    assert n == 1
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SCRIPTS)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CUT + small + CHECK],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert "surrogate:" in done.stdout
