"""What a finished run of TsYScorer counted: whole events by lineal energy, or why the files are no result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from surrogate3d.errors import FormatError
from surrogate3d.io.topas_microdosimetry import EDGES_KEV_UM, read_spectrum

SPECTRUM_FILE, HEADER_FILE = "ySpecfile.txt", "Scorer.header"

_WIDTH = np.diff(EDGES_KEV_UM)
_ENTRIES = "Number of Scored Entries"


@dataclass(frozen=True, eq=False)
class CountedEvents:
    """Events of one run.

    Attributes:
        counts: (100,) events by bin of `topas_microdosimetry.EDGES_KEV_UM`.
        y_kev_um: (100,) arithmetic mids of the bins, keV/um.
    """

    counts: npt.NDArray[np.int64]
    y_kev_um: npt.NDArray[np.float64]

    @property
    def n_events(self) -> int:
        """Events in all."""
        return int(self.counts.sum())


def read_events(folder: Path) -> CountedEvents:
    """Read the spectrum of a run, and turn it back into numbers of events.

    f(y) is printed as counts / (width x events), and the header of the scorer's ntuple, which OpenTOPAS writes last,
    says how many events there are: so every bin must hold a whole number of them.

    Raises:
        FormatError: a file is missing, cut or foreign; NaN; no event; columns that contradict each other; bins that do
            not hold whole numbers of the header's events.
    """
    path, n_events = folder / SPECTRUM_FILE, _n_events(folder)
    if not path.is_file():
        raise FormatError(f"{folder.name}: no {SPECTRUM_FILE} was written")
    if not path.read_bytes().endswith(b"\n"):
        raise FormatError(f"{folder.name}/{SPECTRUM_FILE}: the last line is cut")
    spectrum = read_spectrum(path)
    if not np.isfinite([spectrum.f_y, spectrum.yf_y, spectrum.d_y, spectrum.yd_y]).all():
        raise FormatError(f"{folder.name}/{SPECTRUM_FILE}: it holds nan: no event was counted, or it is broken")
    # Notes on the particles' columns are left aside: nothing here uses them, and real ones hold memory never set.
    contradictions = [note for note in spectrum.notes if "Particle" not in note]
    if contradictions:
        raise FormatError(f"{folder.name}/{SPECTRUM_FILE}: {contradictions[0]}; it is cut or not whole")
    counts = spectrum.f_y * _WIDTH * n_events
    tolerance = 1e-6 + 0.5001 * 10.0 ** (np.floor(np.log10(np.maximum(spectrum.f_y, 1e-99))) - 4) * _WIDTH * n_events
    whole = np.rint(counts)
    if (np.abs(counts - whole) > tolerance).any() or abs(whole.sum() - n_events) > 0.5 + tolerance.sum():
        raise FormatError(
            f"{folder.name}/{SPECTRUM_FILE} is not of the {n_events} events that {HEADER_FILE} states; "
            f"they are of different runs"
        )
    return CountedEvents(whole.astype(np.int64), spectrum.y_kev_um)


def _n_events(folder: Path) -> int:
    path = folder / HEADER_FILE
    if not path.is_file():
        raise FormatError(
            f"{folder.name}: no {HEADER_FILE} was written, which a run writes last; it broke off, or still runs"
        )
    # The records beside it are not read, and may be deleted.
    found = [line.partition(":")[2] for line in path.read_text(errors="replace").splitlines() if _ENTRIES in line]
    if len(found) != 1 or not found[0].strip().isascii() or not found[0].strip().isdigit():
        raise FormatError(f"{folder.name}/{HEADER_FILE}: expected one line '{_ENTRIES}: N', found {found or 'none'}")
    return int(found[0])
