"""A writer of maps that is killed: a program, and the maps that it writes.

`python map_writer_killed.py FOLDER POINT...`: for each point `module:function:n[:late]` a process of its own writes the
maps into FOLDER/<number of the point> and kills itself at the n-th call of that function, or, `late`, after half of
what the call was to write. A point `after:SECONDS` is killed by its parent.
"""

import importlib
import os
import signal
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from surrogate3d.grid import Grid, quantity
from surrogate3d.io.map_writer import MapWriter

GRID = Grid((13, 9, 70), (1.5, 2.0, 2.5), (-30.0, 7.0, 101.0))
QUANTITIES = {name: quantity(name) for name in ("RBE", "mask")}
FORMATS = ("nifti", "nii", "mha", "nrrd", "zarr")


def maps():
    rng = np.random.default_rng(8)
    mask = rng.random(GRID.shape) < 0.4
    rbe = np.where(mask, rng.random(GRID.shape), np.nan).astype(np.float32)
    return {"RBE": rbe, "mask": mask.astype(np.float32)}


def write(out, cuts, fingerprint="field 1, line HSG", formats=FORMATS, wait=0.0, **options):
    """Write what is not there yet; returns the planes that were."""
    values = maps()
    with MapWriter(out, GRID, QUANTITIES, formats, fingerprint=fingerprint, **options) as writer:
        done = writer.done
        for first, last in pairwise((done, *(k for k in cuts if k > done))):
            planes = {name: each[:, :, first:last] for name, each in values.items()}
            writer.put(first, planes, {"inside": int(planes["mask"].sum())})
            time.sleep(wait)
        writer.finish({"line": "HSG"})
        assert writer.counts == {"inside": int(values["mask"].sum())}, "each plane counted once"
    return done


def die_at(module, name, count, late):
    """Replace a function by one that ends this process as a kill does."""
    owner = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        owner = getattr(owner, part)
    real, calls = getattr(owner, last), []

    def deadly(*args):
        calls.append(1)
        if len(calls) < count:
            return real(*args)
        if late:
            real(args[0], args[1][: len(args[1]) // 2], *args[2:])
        os.kill(os.getpid(), signal.SIGKILL)
        return time.sleep(10)

    setattr(owner, last, deadly)


def begun(out, point):
    """The number of a process that writes and does not end well."""
    words = point.split(":")
    child = os.fork()
    if not child:
        if words[0] != "after":
            die_at(words[0], words[1], int(words[2]), words[3:] == ["late"])
        write(out, range(0, 71, 5), wait=0.01)
        os._exit(0)
    if words[0] == "after":
        time.sleep(float(words[1]))
        os.kill(child, signal.SIGKILL)
    return child


if __name__ == "__main__":
    children = [begun(Path(sys.argv[1]) / str(number), point) for number, point in enumerate(sys.argv[2:])]
    for child in children:
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])} ")
