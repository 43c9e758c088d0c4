"""Stands in for OpenTOPAS with the microdosimetry extension: reads a parameter file, writes what TsYScorer writes.

    python stand_in_topas.py parameters.txt

The spectrum is a real one (tests/fixtures/tepc). It refuses parameters that OpenTOPAS would stop at. The variable
STAND_IN_TOPAS names a JSON file that says by seed how to go wrong: "crash", "half", "row", "nan", "hang", "nothing",
"foreign", "loud", "child". Written from the sources TsYScorer.cc and TsVGenerator.cc, not from the code under test.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

REAL = Path(__file__).parents[1] / "fixtures" / "tepc"
EDGES = [10.0 ** (-1 + n / 20) for n in range(101)]
NEEDED = (
    "s:Ge/World/Material", "s:Ge/Counter/Type", "d:Ge/Counter/RMax", "s:So/Ion/Type", "s:So/Ion/Component",
    "s:So/Ion/BeamParticle", "s:So/Ion/BeamEnergySpectrumType", "dv:So/Ion/BeamEnergySpectrumValues",
    "uv:So/Ion/BeamEnergySpectrumWeights", "s:So/Ion/BeamPositionDistribution", "s:So/Ion/BeamPositionCutoffShape",
    "d:So/Ion/BeamPositionCutoffX", "d:So/Ion/BeamPositionCutoffY", "s:So/Ion/BeamAngularDistribution",
    "i:So/Ion/NumberOfHistoriesInRun", "s:Sc/Scorer/Quantity", "s:Sc/Scorer/Component",
    "i:Sc/Scorer/NumberOfHistoriesInRun", "i:Sc/Scorer/GeometryNumber", "d:Sc/Scorer/SensitiveVolumeRadius",
    "d:Sc/Scorer/TissueEquivalentRadius", "d:Sc/Scorer/TransX", "d:Sc/Scorer/TransY", "d:Sc/Scorer/TransZ",
    "s:Sc/Scorer/OutputType", "sv:Ph/Default/Modules", "i:Ts/Seed",
)  # fmt: skip


def read(path):
    """The parameters; a name that is set twice stops OpenTOPAS, too."""
    lines = [line.split("#")[0].strip() for line in Path(path).read_text().splitlines()]
    pairs = [re.split(r"\s*=\s*", line, maxsplit=1) for line in lines if line]
    assert len({name.lower() for name, _ in pairs}) == len(pairs), "a parameter is set twice"
    return dict(pairs)


def check(parameters):
    """What OpenTOPAS stops at."""
    missing = [name for name in NEEDED if name not in parameters]
    assert not missing, f"Required parameter not found: {', '.join(missing)}"
    assert parameters["s:Sc/Scorer/Quantity"] == '"TsYScorer"', "no TsYScorer"
    assert [name for name in parameters if re.fullmatch(r"s:So/\w+/Type", name)] == ["s:So/Ion/Type"], "one source"
    energies, weights = (
        parameters[name].split()
        for name in ("dv:So/Ion/BeamEnergySpectrumValues", "uv:So/Ion/BeamEnergySpectrumWeights")
    )
    assert energies.pop() == "MeV", "energies need a unit"
    assert int(energies[0]) == len(energies) - 1 == int(weights[0]) == len(weights) - 1, "wrong length"
    total = sum(map(float, weights[1:]))
    assert 1.0 <= total < 1.001, f"Sum of weights needs to be exactly 1 but instead is: {total}"


def write_results(folder, counts):
    """The files of TsYScorer for numbers of events by bin, in its formats, as `TsYScorer::OutputResult` prints them."""
    import numpy as np

    n, edges = int(np.sum(counts)), np.array(EDGES)
    with np.errstate(all="ignore"):
        y, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
        f = np.asarray(counts) / (width * np.float64(n))
        y_F = np.sum(y * f * width)
        d = y * f / y_F
        y_D = np.sum(y * y * f / y_F * width)
    pairs = [(b, a * b, c, a * c) for a, b, c in zip(y, f, d, strict=True)]
    columns = ["".join(f"    {value:.4e}  0.0000e+00 " for value in values) for values in pairs]
    rows = [f"{a:.4e} {text}\n" for a, text in zip(y, columns, strict=True)]
    head = "y (keV/um)     f(y)(std)                  yf(y)(std)                 d(y)(std)                  "
    head += "yd(y)(std)  \n"
    means = f"yF = {y_F:.4e} (std: 0.0000e+00) keV/um\nyD = {y_D:.4e} (std: 0.0000e+00) keV/um\n"
    (folder / "ySpecfile.txt").write_text(means + head + "".join(rows))
    (folder / "ydy.txt").write_text("".join(f"{a:.4e} keV/um   {a * c:.4e} \n" for a, c in zip(y, d, strict=True)))
    header = (REAL / "Scorer.header").read_text().replace("Entries: 3718", f"Entries: {n}")
    (folder / "Scorer.header").write_text(header)


def main(path):
    parameters = read(path)
    check(parameters)
    plan = json.loads(Path(os.environ["STAND_IN_TOPAS"]).read_text()) if "STAND_IN_TOPAS" in os.environ else {}
    mode, here = plan.get(parameters["i:Ts/Seed"], "ok"), Path.cwd()
    assert not (here / "ySpecfile.txt").exists(), "the working directory is not clean"
    sys.stdout.write("Detector type : spherical TEPC\n")
    sys.stdout.flush()
    whole = (REAL / "ySpecfile.txt").read_text()
    if mode == "hang":
        time.sleep(600)
    if mode == "child":
        left = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        (here / "child.pid").write_text(str(left.pid))
        time.sleep(600)
    if mode in ("crash", "half", "row"):  # cut in a number, in the middle of the file, or after a whole row
        cuts = {"crash": whole[: len(whole) // 2], "half": whole[: whole.index("1.3097e-01") + 6]}
        cut = cuts.get(mode, "".join(whole.splitlines(True)[:-7]))
        (here / "ySpecfile.txt").write_text(cut)
        if mode == "crash":
            sys.exit("G4Exception : segmentation violation")
        shutil.copy(REAL / "Scorer.header", here)
        return
    if mode == "nan":
        write_results(here, [0] * 100)
        return
    if mode == "foreign":
        shutil.copy(REAL / "ydy.txt", here / "ySpecfile.txt")
        shutil.copy(REAL / "Scorer.header", here)
        return
    if mode == "nothing":
        return
    if mode == "loud":
        sys.stderr.write("-------- WWWW ------- G4Exception-START -------- WWWW -------\n" * 60_000)
        sys.exit("too many anomalous histories")
    for name in ("ySpecfile.txt", "ySpecfile_Particle.txt", "ydy.txt", "Scorer.header"):
        shutil.copy(REAL / name, here)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except AssertionError as error:
        sys.exit(f"TOPAS is exiting due to a serious error: {error}")
