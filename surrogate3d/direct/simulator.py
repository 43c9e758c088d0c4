"""The one table of the back ends of direct simulation."""

from __future__ import annotations

from pathlib import Path

from surrogate3d.direct.gsm2_cuda import Gsm2Cuda
from surrogate3d.direct.gsm2_fft import Gsm2Fft
from surrogate3d.direct.gsm2_mc import Gsm2MonteCarlo
from surrogate3d.direct.let_backends import LetModel
from surrogate3d.direct.osmk import Osmk
from surrogate3d.direct.protocol import Simulator
from surrogate3d.direct.smkm_mc import SmkMonteCarlo
from surrogate3d.direct.table_backends import LemOne, Mkm, Smk, ZaiderRossiTable
from surrogate3d.direct.tabulated import tabulated
from surrogate3d.direct.topas_job import TopasJob
from surrogate3d.direct.zr_over import zr_over
from surrogate3d.errors import UnknownNameError

__all__ = ["BACKENDS", "Simulator", "simulator"]


BACKENDS: dict[str, Simulator] = {
    "gsm2_mc": Gsm2MonteCarlo(),
    "gsm2_cuda": Gsm2Cuda(),
    "gsm2_fft": Gsm2Fft(),
    "topas_job": TopasJob(),
    "smkm_mc": SmkMonteCarlo(),
    "zr_table": ZaiderRossiTable(),
    "smk": Smk(),
    "osmk": Osmk(),
    "mkm": Mkm(),
    "lem1": LemOne(),
    "constant": LetModel(name="constant"),
    "mcnamara": LetModel(name="mcnamara"),
    "wedenberg": LetModel(name="wedenberg"),
    "carabe": LetModel(name="carabe"),
    "rorvik": LetModel(name="rorvik"),
    "mairani": LetModel(name="mairani"),
    "wilkens": LetModel(name="wilkens"),
    "chen": LetModel(name="chen"),
    "unkelbach": LetModel(name="unkelbach"),
}
"""Back ends with their default settings; `dataclasses.replace` changes them. Source, validity and cost are in the
docstring of each class."""


def simulator(name: str) -> Simulator:
    """Look a back end up.

    Args:
        name: in the table; "zr_table:NAME" for `zr_table` over another back end; or the path of a user's own table of
            alpha and beta, as of `tabulated.tabulated`.

    Raises:
        UnknownNameError: the name is not in the table, nor is there such a file.
        StoreError, FormatError, QuantityError, ValueRangeError: the file is no such table.
        UnusableError: as `zr_over.zr_over`.
    """
    if name in BACKENDS:
        return BACKENDS[name]
    if name.startswith("zr_table:"):
        return zr_over(simulator(name.removeprefix("zr_table:")))
    if Path(name).is_file() or Path(name.partition("#")[0]).is_file():
        return tabulated(name)
    raise UnknownNameError(f"unknown back end {name!r}, nor a file; known: {', '.join(BACKENDS)}")
