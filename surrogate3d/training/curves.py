"""Learning curves as CSV: one row a judgement, readable while the training runs, and without gaps after a kill.

The file can be plotted by anything. If the package `tensorboard` is installed (`pip install tensorboard`; it is no
dependency), the same numbers go to TensorBoard when a folder for its events is given: `tensorboard --logdir FOLDER`.
"""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from surrogate3d.errors import ConfigError, FormatError, UnsupportedError, ValueRangeError
from surrogate3d.io.atomic import atomic_file, sync

STEP = "step"


class LearningCurves:
    """A CSV file that grows by one row at a time.

    A row is written in one call and is then in the hands of the system: a killed process loses none. `sync` before a
    checkpoint makes that true for a machine that loses power, too. A training that goes on from step n drops the rows
    after n, which it will write again, and a last row that is not whole.

    Args:
        path: the file, made if missing.
        columns: names of the numbers of a row, without `step`, which comes first.
        step: of the checkpoint from which the training goes on; 0 begins anew and drops all rows.
        tensorboard: folder for events of TensorBoard; None for none.

    Raises:
        ConfigError: columns are empty, double or contain "step".
        FormatError: there is a file with other columns, or no table of numbers; it is left as it is.
        StoreError: it cannot be written.
        UnsupportedError: TensorBoard is asked for and not installed.
    """

    def __init__(
        self, path: str | Path, columns: Sequence[str], step: int = 0, tensorboard: str | Path | None = None
    ) -> None:
        self.path, self.columns = Path(path), tuple(columns)
        if not self.columns or len({STEP, *self.columns}) <= len(self.columns):
            raise ConfigError(f"learning curves need distinct columns beside {STEP!r}, found {', '.join(columns)}")
        self._events = None if tensorboard is None else _writer(Path(tensorboard), step)
        kept = [row for row in read_curves(self.path, self.columns) if 0 < step >= row[STEP]]
        with atomic_file(self.path, overwrite=True) as scratch:
            rows = [self._line([row[name] for name in (STEP, *self.columns)]) for row in kept]
            scratch.write_text("".join([self._line([STEP, *self.columns]), *rows]), encoding="utf-8", newline="")
        self._last = int(kept[-1][STEP]) if kept else -1

    def append(self, step: int, **values: float) -> None:
        """Add a row; a number that is not given, or is not known (NaN), stays empty.

        Raises:
            ConfigError: a number has no column.
            ValueRangeError: the step is not after the last one.
            OSError: the disk is full or not writable.
        """
        if unknown := sorted(set(values) - set(self.columns)):
            raise ConfigError(f"the learning curves have no column {unknown[0]!r}; they have {', '.join(self.columns)}")
        if step <= self._last:
            raise ValueRangeError(f"the learning curves are at step {self._last}; expected a later one, found {step}")
        line = self._line([int(step), *(float(values.get(name, math.nan)) for name in self.columns)])
        _append(self.path, line.encode())
        self._last = int(step)
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(name, value, step)

    def sync(self) -> None:
        """Wait until all rows are on the disk; call it before a checkpoint is written."""
        sync(self.path)
        if self._events is not None:
            self._events.flush()

    @staticmethod
    def _line(values: Sequence[Any]) -> str:
        stream = io.StringIO()
        empty = ["" if isinstance(value, float) and math.isnan(value) else value for value in values]
        csv.writer(stream, lineterminator="\n").writerow(empty)
        return stream.getvalue()


def read_curves(path: str | Path, columns: Sequence[str] | None = None) -> list[dict[str, float]]:
    """Rows of learning curves; what is empty is NaN, and a last row without its line end is left out.

    Args:
        path: the file; where there is none, there are no rows.
        columns: that it must have beside `step`; None takes what it has.

    Raises:
        FormatError: other columns, a row of another length, something that is no number, or steps that do not ascend.
    """
    path = Path(path)
    if not path.exists():
        return []
    whole = path.read_text(encoding="utf-8", errors="replace").rpartition("\n")[0]
    header, *rows = list(csv.reader(whole.splitlines())) or [[]]
    if header[:1] != [STEP] or (columns is not None and header[1:] != list(columns)):
        wanted = ",".join([STEP, *columns]) if columns is not None else f"{STEP},..."
        raise FormatError(f"{path}: expected the columns {wanted}, found {','.join(header)}; move the file away")
    found: list[dict[str, float]] = []
    for n, row in enumerate(rows, start=2):
        try:
            numbers = [float(cell) if cell else math.nan for cell in row]
            entry = dict(zip(header, numbers, strict=True)) | {STEP: int(row[0])}
        except (ValueError, IndexError) as error:
            raise FormatError(f"{path}, line {n}: expected {len(header)} numbers, found {','.join(row)!r}") from error
        if found and entry[STEP] <= found[-1][STEP]:
            raise FormatError(f"{path}, line {n}: step {entry[STEP]} does not come after step {found[-1][STEP]}")
        found.append(entry)
    return found


def _append(path: Path, line: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    try:
        written = os.write(descriptor, line)
        if written != len(line):  # a full disk: the torn row is dropped when the training goes on
            os.write(descriptor, line[written:])
    finally:
        os.close(descriptor)


def _writer(folder: Path, step: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise UnsupportedError(
            "TensorBoard is not installed; pip install tensorboard, or use the CSV file alone"
        ) from error
    return SummaryWriter(str(folder), purge_step=step + 1 if step else None)
