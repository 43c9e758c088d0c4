"""What `convert` is told because the files do not say it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from surrogate3d.io.given import Given

_PANEL = "What the files do not say"

Origin = Annotated[
    str | None,
    typer.Option(metavar="X,Y,Z", help="Centre of voxel (0, 0, 0) in mm (LPS).", rich_help_panel=_PANEL),
]
Direction = Annotated[
    str | None,
    typer.Option(
        metavar="9 NUMBERS",
        help="Direction cosines row by row; column a is index axis a. With --origin; default: along x, y, z.",
        rich_help_panel=_PANEL,
    ),
]
BeamDirection = Annotated[
    str | None, typer.Option("--beam", metavar="X,Y,Z", help="The beam's direction of travel.", rich_help_panel=_PANEL)
]
Histories = Annotated[
    int | None, typer.Option(metavar="N", help="Simulated primaries of each run.", rich_help_panel=_PANEL)
]
LetWeighting = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SCORER=WEIGHT", help="Weighting of a ProtonLET scorer: dose or track.", rich_help_panel=_PANEL
    ),
]
DicomDir = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="CT series of a TsDicomPatient, if it has moved.", rich_help_panel=_PANEL),
]
RowOrderOption = Annotated[
    Literal["x_fastest", "z_fastest"] | None,
    typer.Option(
        "--row-order",
        help="Row order of energy-binned CSV files, where the TOPAS version does not tell.",
        rich_help_panel=_PANEL,
    ),
]

_PLANNING = "Dose and LET of a planning system"

Radiation = Annotated[
    Literal["H", "He", "C"] | None,
    typer.Option(help="Particles of the beam; a LET model asks for it.", rich_help_panel=_PLANNING),
]
Medium = Annotated[
    Literal["water", "medium"] | None,
    typer.Option(help="What the dose is to, which no file says.", rich_help_panel=_PLANNING),
]
PlanName = Annotated[
    str | None,
    typer.Option("--plan", metavar="NAME", help="Which plan, if a folder holds several.", rich_help_panel=_PLANNING),
]
LetImage = Annotated[
    Path | None,
    typer.Option("--let", metavar="IMAGE", help="LET in keV/um beside an RTDOSE.", rich_help_panel=_PLANNING),
]
LetDefinitionText = Annotated[
    str | None,
    typer.Option(
        "--let-definition",
        metavar="TEXT",
        help='Of that LET: "weighting=dose; particles=protons; medium=water; restricted=no".',
        rich_help_panel=_PLANNING,
    ),
]
ConstantRbe = Annotated[
    float | None,
    typer.Option(metavar="FACTOR", help="Divide an EFFECTIVE RTDOSE by this, such as 1.1.", rich_help_panel=_PLANNING),
]


def given_of(
    *,
    origin: str | None,
    direction: str | None,
    beam: str | None,
    histories: int | None,
    let_weighting: list[str] | None,
    dicom_dir: Path | None,
    row_order: Literal["x_fastest", "z_fastest"] | None,
) -> Given:
    """The options as `Given`.

    Raises:
        typer.BadParameter: one cannot be read.
        Surrogate3dError: they contradict each other.
    """
    from surrogate3d.io.given import Given

    return Given(
        row_order=row_order,
        origin_mm=triple("--origin", origin),
        direction=_cosines(direction),
        beam_direction=triple("--beam", beam),
        histories=histories,
        let_weighting=dict(_pair(text) for text in let_weighting or ()),
        dicom_dir=dicom_dir,
    )


def triple(option: str, text: str | None) -> tuple[float, float, float] | None:
    """Three numbers such as -10,0,2.5.

    Raises:
        typer.BadParameter: they are not.
    """
    if text is None:
        return None
    x, y, z = _numbers(option, text, 3)
    return x, y, z


def _cosines(text: str | None) -> tuple[tuple[float, float, float], ...] | None:
    if text is None:
        return None
    n = _numbers("--direction", text, 9)
    return ((n[0], n[1], n[2]), (n[3], n[4], n[5]), (n[6], n[7], n[8]))


def _numbers(option: str, text: str, count: int) -> list[float]:
    words = [word for word in re.split(r"[,\s]+", text.strip()) if word]
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise typer.BadParameter(f"{option} needs {count} numbers with commas between, found {text!r}")
    return numbers


def _pair(text: str) -> tuple[str, str]:
    scorer, equals, weighting = text.rpartition("=")
    if not equals or not scorer:
        raise typer.BadParameter(f"--let-weighting needs SCORER=dose or SCORER=track, found {text!r}")
    return scorer, weighting
