"""Writes TOPAS run folders from the specification of the formats, to be read by the tests."""

from pathlib import Path

import numpy as np

PARAMETERS = """\
s:Ge/World/Material = "Vacuum"
s:Ge/Grid/Type = "TsBox"
s:Ge/Grid/Parent = "World"
d:Ge/Grid/HLX = {hlx} mm
d:Ge/Grid/HLY = {hly} mm
d:Ge/Grid/HLZ = {hlz} mm
i:Ge/Grid/XBins = {nx}
i:Ge/Grid/YBins = {ny}
i:Ge/Grid/ZBins = {nz}
s:Ge/BeamPosition/Type = "Group"
s:So/Beam/Type = "Beam"
s:So/Beam/Component = "BeamPosition"
i:So/Beam/NumberOfHistoriesInRun = {histories}
i:Ts/Seed = {seed}
s:Sc/LETd/Quantity = "ProtonLET"
s:Sc/LETt/Quantity = "ProtonLET"
s:Sc/LETt/WeightBy = "Track"
"""

SCORER = """\
i:Sc/{scorer}/EBins = {n}
d:Sc/{scorer}/EBinMin = {low} MeV
d:Sc/{scorer}/EBinMax = {high} MeV
s:Sc/{scorer}/EBinEnergy = "PreStep"
"""


BOX = (("X", "cm"), ("Y", "cm"), ("Z", "cm"))
CYLINDER = (("R", "cm"), ("Phi", "deg"), ("Z", "cm"))
SPHERE = (("R", "cm"), ("Phi", "deg"), ("Theta", "deg"))


def header(
    scorer,
    quantity,
    shape,
    *,
    columns=("Sum",),
    version="4.2.p1",
    filters=(),
    binning=(),
    tail=(),
    scored="in component: Grid",
    axes=BOX,
    warnings=(),
):
    """Header lines in the order of TsVBinnedScorer::PrintHeader; bins are 0.2 wide (voxels 2 mm)."""
    colon = "" if version.startswith(("1.", "2.", "3.2")) else ":"  # since 3.9 at the latest
    lines = [f"TOPAS Version: {version}", "Parameter File: run.txt", f"Results for scorer{colon} {scorer}"]
    lines += [f"Filtered by: {text}" for text in filters] + [f"Scored {scored}", *warnings]
    if np.prod(shape) > 1:
        lines += [
            f"{axis} in {n} {'bin ' if n == 1 else 'bins'} of 0.2 {unit}"
            for (axis, unit), n in zip(axes, shape, strict=True)
        ]
    lines += [f"{quantity} : " + "".join(f"{c}   " for c in columns), *binning, *tail]
    return "".join(f"# {line}\n" for line in lines)


def rows(values, order):
    """CSV lines (indices, then values) of values (i, j, k, column) in one of the two loop orders."""
    voxels = list(np.ndindex(values.shape[:3]))
    if order == "x_fastest":
        voxels.sort(key=lambda v: v[::-1])
    return [(v, ", ".join(repr(float(x)) for x in values[v])) for v in voxels]


def write_csv(path, head, values, *, order="x_fastest", index=True):
    """A CSV body; `values` is (i, j, k, column)."""
    body = [f"{i}, {j}, {k}, {text}" if index else text for (i, j, k), text in rows(values, order)]
    path.write_text(head + "\n".join(body) + "\n")


def write_bin(path, head, values):
    """`.binheader` and `.bin`; `values` is (i, j, k, energy, statistic), written with explicit loops, Z outermost."""
    path.with_suffix(".binheader").write_text(head)
    ni, nj, nk = values.shape[:3]
    flat = [values[i, j, k].ravel() for k in range(nk) for j in range(nj) for i in range(ni)]
    path.with_suffix(".bin").write_bytes(np.concatenate(flat).astype("<f8").tobytes())


def write_run(
    folder: Path, *, seed=1, histories=100, shape=(2, 3, 4), fluence=None, parameters="", std=None, **volumes
) -> Path:
    """A run folder: `volumes` by scorer name (DoseToWater, DoseToMedium, LETd, LETt), `fluence` (i, j, k, 4) by Z."""
    folder.mkdir(parents=True)
    nx, ny, nz = shape
    text = PARAMETERS.format(hlx=nx, hly=ny, hlz=nz, nx=nx, ny=ny, nz=nz, histories=histories, seed=seed)
    rng = np.random.default_rng(seed)
    for z, values in (fluence or {1: rng.random((*shape, 4))}).items():
        scorer, low, high = f"Fluence_Z{z}", 0, 20 * z
        text += SCORER.format(scorer=scorer, n=2, low=low, high=high)
        binning = (
            f"Binned by pre-step energy in 2 bins of {high / 2:g} MeV from {low} MeV to {high} MeV",
            "First bin is underflow, last bin is overflow.",
        )
        filters = (f"OnlyIncludeParticlesOfAtomicNumber = {z}",)
        head = header(scorer, "Fluence ( /mm2 )", shape, filters=filters, binning=binning)
        write_bin(folder / scorer, head, np.asarray(values)[..., None])
    volumes = volumes or {"DoseToWater": 1 + rng.random(shape)}
    for scorer, values in volumes.items():
        quantity = "ProtonLET ( MeV/mm/(g/cm3) )" if scorer.startswith("LET") else f"{scorer} ( Gy )"
        stack, columns = [np.asarray(values, dtype=float)], ["Sum"]
        if std is not None and scorer == "DoseToWater":
            stack, columns = [*stack, std], ["Sum", "Standard_Deviation"]
        head = header(scorer, quantity, shape, columns=columns)
        write_csv(folder / f"{scorer}.csv", head, np.stack(stack, axis=-1))
    (folder / "run.txt").write_text(text + parameters)
    return folder


def three_runs(folder, shape):
    """Three runs of one plan with random values, of 100, 300 and 250 histories."""
    rng = np.random.default_rng(5)
    return [
        write_run(
            folder / f"run{n}",
            seed=n,
            histories=histories,
            shape=shape,
            fluence={1: rng.random((*shape, 4))},
            DoseToWater=rng.random(shape),
            LETd=1 + rng.random(shape),
            LETt=1 + rng.random(shape),
            std=rng.random(shape),
        )
        for n, histories in enumerate((100, 300, 250))
    ]
