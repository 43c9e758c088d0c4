"""A folder in the format of PIDE 3.x from physics: made-up cells and publications, seeded noise, nothing of PIDE.

alpha = alpha_x + gain LET / (1 + (LET / peak)^2), beta = beta_x / (1 + LET / 100): alpha rises and falls again
(overkill), beta falls, and both are those of photons at LET 0. Fits are made as the Information sheet of PIDE says.
"""

import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt

from surrogate3d.io.pide_sheet import column_letters
from surrogate3d.physics.stopping_power import stopping_power

HEADER = (
    "#ExpID", "#Publication", "PublicationName", "#IonExp", "Cells", "CellClass", "CellOrigin", "CellCycle",
    "DNAcontent", "PhotonRadiation", "#PhotonExp", "Ion", "Charge", "IrradiationConditions", "LET", "Energy",
    "ax_paper", "bx_paper", "ai_paper", "bi_paper", "ax_fit", "bx_fit", "ai_fit", "bi_fit",
)  # fmt: skip
AUTHORS = ("alder", "birch", "cedar", "dogwood", "elm", "fir", "gorse", "hazel", "ivy", "juniper", "larch", "maple")
LINES = (
    ("Alpha-1", "t", "h", 0.25, 0.04), ("Beta2", "n", "h", 0.45, 0.03), ("Gamma", "n", "r", 0.15, 0.025),
    ("Delta-7", "t", "r", 0.30, 0.05), ("Delta.7", "t", "r", 0.28, 0.05), ("Omega", "t", "h", 0.08, 0.03),
)  # fmt: skip
"""Name, class, origin, alpha_x (1/Gy), beta_x (1/Gy^2)."""

IONS = (
    ("1H", 1, (1.5, 4.0, 15.0, 100.0)), ("4He", 2, (3.0, 20.0, 120.0)), ("12C", 6, (8.0, 25.0, 90.0, 270.0)),
    ("2H", 1, (6.0, 30.0)), ("3He", 2, (5.0, 40.0)), ("13C", 6, (12.0, 60.0)), ("20Ne", 10, (30.0, 300.0)),
)  # fmt: skip
"""Symbol, atomic number, energies in MeV/u."""

HEAVY = ("56Fe", 26, 150.0, 400.0)
"""Symbol, atomic number, LET (keV/um) and energy (MeV/u) of an ion without tables; round numbers."""

CYCLES = ("a", "a", "a", "a", "G1", "G0/G1", "Sl", "G1/S", "M")
PHOTONS = ("200kVp", "60Co", "6MV", "N/A")

Values = dict[str, Any]
Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Made:
    """What a folder was made from.

    Attributes:
        rows: values by column, in the order of the table.
        photon: points by (publication, photon experiment).
        ion: points by ExpID.
        truth: alpha, beta, alpha_x, beta_x without noise, by ExpID.
    """

    rows: list[Values]
    photon: dict[tuple[int, int], Points]
    ion: dict[int, Points]
    truth: dict[int, tuple[float, float, float, float]]


def write_pide_like(
    folder: Path,
    rng: np.random.Generator,
    publications: int = 10,
    per_publication: int = 5,
    noise: float = 0.08,
    forms: tuple[str, ...] = ("xlsx",),
    version: str = "3.4",
) -> Made:
    """Make a folder.

    Args:
        folder: is made where it does not exist.
        rng: decides everything.
        publications: number of them; each has one or two cell lines, and photon curves of its own.
        per_publication: ion experiments of each.
        noise: standard deviation of ln S of a point.
        forms: of the table, "xlsx" and "csv".
        version: in the file names.
    """
    made = make(rng, publications, per_publication, noise)
    write(folder, made, forms, version)
    return made


def make(rng: np.random.Generator, publications: int = 10, per_publication: int = 5, noise: float = 0.08) -> Made:
    """The content of a folder; arguments as of `write_pide_like`."""
    made = Made([], {}, {}, {})
    for publication in range(1, publications + 1):
        name = f"{AUTHORS[(publication - 1) % len(AUTHORS)]}{publication:02d}"
        lines = [LINES[n] for n in rng.choice(len(LINES), size=2, replace=False)]
        day = [float(np.exp(rng.normal(0, 0.5 * noise))) for _ in lines]  # what differs between laboratories
        references = [_reference(made, rng, publication, n + 1, line, day[n], noise) for n, line in enumerate(lines)]
        for ion_experiment in range(1, per_publication + 1):
            which = int(rng.integers(len(lines)))
            row = dict(references[which])
            row |= {"#ExpID": len(made.rows) + 1, "PublicationName": name, "#IonExp": ion_experiment}
            _irradiate(made, rng, row, lines[which], day[which], noise)
    used = {(row["#Publication"], row["#PhotonExp"]) for row in made.rows}
    return replace(made, photon={key: points for key, points in made.photon.items() if key in used})


def ion_pair(LET: float, alpha_x: float, beta_x: float) -> tuple[float, float]:
    """Alpha and beta of the made-up cells at a LET in keV/um."""
    return alpha_x + 0.012 * LET / (1 + (LET / 150.0) ** 2), beta_x / (1 + LET / 100.0)


def _reference(
    made: Made, rng: np.random.Generator, publication: int, number: int, line: tuple[Any, ...], day: float, noise: float
) -> Values:
    """A photon curve, and the columns that all experiments with it share."""
    cells, kind, origin, alpha_x, beta_x = line
    points = [] if rng.random() < 0.1 else _points(rng, alpha_x * day, beta_x * day, noise)
    made.photon[publication, number] = points
    fit = fitted(points) if points else ("N/A", "N/A")
    paper = (round(alpha_x * day, 3), round(beta_x * day, 4)) if not points or rng.random() < 0.7 else ("N/A", "N/A")
    return {
        "#Publication": publication, "Cells": cells, "CellClass": kind, "CellOrigin": origin,
        "CellCycle": str(rng.choice(CYCLES)), "DNAcontent": 6.0 if origin == "h" else 5.6,
        "PhotonRadiation": str(rng.choice(PHOTONS)), "#PhotonExp": number,
        "ax_paper": paper[0], "bx_paper": paper[1], "ax_fit": fit[0], "bx_fit": fit[1],
    }  # fmt: skip


def _irradiate(
    made: Made, rng: np.random.Generator, row: Values, line: tuple[Any, ...], day: float, noise: float
) -> None:
    """An ion curve."""
    ion, Z, LET, energy = _beam(rng)
    alpha_x, beta_x = line[3] * day, line[4] * day
    alpha, beta = ion_pair(LET, alpha_x, beta_x)
    points = [] if rng.random() < 0.12 else _points(rng, alpha, beta, noise)
    fit = fitted(points) if points else ("N/A", "N/A")
    shown = not points or rng.random() < 0.6
    paper: tuple[Any, Any] = (round(alpha, 3), "N/A" if LET > 100 else round(beta, 4)) if shown else ("N/A", "N/A")
    row |= {
        "Ion": ion,
        "Charge": Z,
        "LET": LET,
        "Energy": energy,
        "IrradiationConditions": str(rng.choice(list("mmms"))),
    }
    row |= {"ai_paper": paper[0], "bi_paper": paper[1], "ai_fit": fit[0], "bi_fit": fit[1]}
    made.rows.append({name: row[name] for name in HEADER})
    made.ion[row["#ExpID"]] = points
    made.truth[row["#ExpID"]] = (alpha, beta, alpha_x, beta_x)


def _beam(rng: np.random.Generator) -> tuple[str, int, float, float]:
    """Ion, atomic number, LET and energy; hydrogen and carbon most often."""
    if rng.random() < 0.04:
        return HEAVY
    share = np.array([4, 2, 4, 1, 1, 1, 1.5])
    ion, Z, energies = IONS[rng.choice(len(IONS), p=share / share.sum())]
    energy = round(float(rng.choice(energies) * rng.uniform(0.8, 1.2)), 2)
    return ion, Z, round(float(stopping_power(Z, energy)), 2), energy


def _points(rng: np.random.Generator, alpha: float, beta: float, noise: float) -> Points:
    """Six doses from a control just beside 0 to 1 % survival."""
    last = 2 * 4.6 / (alpha + np.sqrt(alpha**2 + 4 * beta * 4.6))
    doses = np.round(np.linspace(0, last, 6) + np.where(np.arange(6) == 0, rng.uniform(-0.01, 0.01), 0), 3)
    effect = alpha * doses + beta * doses**2 + rng.normal(0, noise, 6)
    return [(float(dose), round(float(np.exp(-value)), 5)) for dose, value in zip(doses, effect, strict=True)]


def fitted(points: Points) -> tuple[float, float]:
    """Alpha and beta as PIDE's: LQ, linear or quadratic, each with an offset, whichever has the least reduced chi^2."""
    dose, survival = np.array(points).T
    effect = -np.log(survival)
    best: tuple[float, npt.NDArray[np.float64], npt.NDArray[np.bool_]] | None = None
    for terms in ((True, True), (True, False), (False, True)):
        used = np.array([*terms, True])
        matrix = np.stack([dose, dose**2, np.ones_like(dose)], axis=1)[:, used]
        found = np.linalg.lstsq(matrix, effect, rcond=None)[0]
        chi2 = float(((matrix @ found - effect) ** 2).sum() / (dose.size - used.sum()))
        if best is None or chi2 < best[0]:
            best = (chi2, found, used)
    assert best is not None
    pair = np.zeros(3)
    pair[best[2]] = best[1]
    return float(pair[0]), float(pair[1])


def write(folder: Path, made: Made, forms: tuple[str, ...] = ("xlsx",), version: str = "3.4") -> None:
    """Write what was made, or a changed copy of it."""
    folder.mkdir(parents=True, exist_ok=True)
    table = [list(HEADER), *([row[name] for name in row] for row in made.rows)]
    if made.rows:
        table[0] = list(made.rows[0])
    if "xlsx" in forms:
        write_xlsx(folder / f"PIDE{version}.xlsx", table)
    if "csv" in forms:
        text = "\n".join(",".join("" if value == "N/A" else str(value) for value in row) for row in table)
        (folder / f"PIDE{version}.csv").write_text(text + "\n")
    by_id = {row["#ExpID"]: row for row in made.rows}
    names = {row["#Publication"]: row["PublicationName"] for row in made.rows}
    photon = [
        [n, publication, names.get(publication, "none"), number, *_flat(points)]
        for n, ((publication, number), points) in enumerate(made.photon.items(), start=1)
    ]
    head = ("#Publication", "PublicationName", "#IonExp", "#PhotonExp")
    ion = [[number, *(by_id[number][name] for name in head), *_flat(points)] for number, points in made.ion.items()]
    for part, lines in (("Photon", photon), ("Ion", ion)):
        text = "".join("\t".join(map(str, line)) + "\t\r\n" for line in lines)
        (folder / f"PIDE{version}_{part}RawData.dat").write_bytes(text.encode())


def _flat(points: Points) -> list[Any]:
    return [value for point in points for value in point] or ["N/A", "N/A"]


def write_xlsx(path: Path, table: list[list[Any]], inline: bool = False) -> None:
    """A workbook of one sheet; texts are shared as a spreadsheet program writes them, or `inline`."""
    main = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    shared: dict[str, int] = {}

    def cell(value: Any, place: str) -> str:
        if isinstance(value, int | float):
            return f'<c r="{place}"><v>{value!r}</v></c>'
        if inline:
            return f'<c r="{place}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
        return f'<c r="{place}" t="s"><v>{shared.setdefault(value, len(shared))}</v></c>'

    rows = "".join(
        f'<row r="{n}">{"".join(cell(value, column_letters(k) + str(n)) for k, value in enumerate(row))}</row>'
        for n, row in enumerate(table, start=1)
    )
    strings = "".join(f"<si><t>{escape(text)}</t></si>" for text in shared)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as book:
        sheets = '<sheets><sheet name="Table" sheetId="1" r:id="rId7"/></sheets>'
        book.writestr("xl/workbook.xml", f'<workbook {main} xmlns:r="{office}">{sheets}</workbook>')
        relation = f'<Relationship Id="rId7" Type="{office}/worksheet" Target="worksheets/sheet1.xml"/>'
        book.writestr("xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{package}">{relation}</Relationships>')
        book.writestr("xl/worksheets/sheet1.xml", f"<worksheet {main}><sheetData>{rows}</sheetData></worksheet>")
        if shared:
            book.writestr("xl/sharedStrings.xml", f"<sst {main}>{strings}</sst>")
