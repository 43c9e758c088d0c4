"""What a closed loop of choosing, simulating, training and judging has done so far: a folder that survives any kill.

```
STATE/
  asked.json                 what was asked for, and a fingerprint of all that decides the result
  held_out.json              the held-out voxels, a selection
  round_001.selection.json   chosen voxels of all rounds so far, with the held-out ones: for `train` and `validate`
  round_001.bundle           the model that was trained on them
  rounds.json                every finished round: labels, errors, bounds, cost
  cost.json                  CPU time by stage
  ledger/                    every simulated response
  training/                  checkpoints and learning curves
```

Everything is written whole, and every stage can be done again with the same result. So whatever is there is taken, and
the first thing that is missing is done next.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from surrogate3d.errors import StoreError
from surrogate3d.io.atomic import atomic_file
from surrogate3d.io.manifest import MANIFEST_NAME, sha256_file
from surrogate3d.model.bundle import Surrogate, load_bundle, save_bundle
from surrogate3d.sampling import Selection

SCHEMA = "surrogate3d.active/1"

_COST_EVERY_S = 2.0


class State:
    """The folder of one loop; open it with `opened`.

    Args:
        folder: the folder.

    Attributes:
        folder: likewise.
        ledger: directory of the responses.
        training: directory of checkpoints and learning curves, one for all rounds.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger, self.training = folder / "ledger", folder / "training"
        self._cost: dict[str, float] = self._read("cost.json", {})
        self._next_cost = 0.0

    @property
    def rounds(self) -> list[dict[str, Any]]:
        """Finished rounds, the first one first."""
        return list(self._read("rounds.json", {"rounds": []})["rounds"])

    def add_round(self, done: Mapping[str, Any]) -> None:
        """Note a finished round."""
        self._write("rounds.json", {"schema": SCHEMA, "rounds": [*self.rounds, dict(done)]})

    def selection(self, name: str, make: Callable[[], Selection | None]) -> Selection | None:
        """A selection that is there, or is made now; None if none can be made."""
        path = f"{name}.json"
        if not (self.folder / path).exists():
            made = make()
            if made is None:
                return None
            self._write(path, made.to_json())
        return Selection.from_json(self._read(path, {}))

    def model(self, number: int, make: Callable[[], Surrogate]) -> tuple[Surrogate, str]:
        """The model of a round and the id of its bundle, which is there or is trained now."""
        path = self.bundle(number)
        if not path.exists():
            save_bundle(make(), path)
        surrogate = load_bundle(path)
        return surrogate, surrogate.bundle_id

    def bundle(self, number: int) -> Path:
        """Where the model of a round is."""
        return self.folder / f"round_{number:03d}.bundle"

    def owns(self, path: Path) -> bool:
        """Whether a bundle is a copy of one of this loop's."""
        own = {sha256_file(each / MANIFEST_NAME) for each in self.folder.glob("round_*.bundle")}
        return (path / MANIFEST_NAME).is_file() and sha256_file(path / MANIFEST_NAME) in own

    def cost(self, stage: str) -> float:
        """CPU time of a stage so far, s; with what interrupted runs spent."""
        return self._cost.get(stage, 0.0)

    @property
    def core_seconds(self) -> float:
        """CPU time of all stages so far, s."""
        return sum(self._cost.values())

    def spent(self, stage: str, core_seconds: float, whole: bool = True) -> None:
        """Set the CPU time of a stage; on disk at once if the stage is done, else every few seconds."""
        self._cost[stage] = core_seconds
        now = time.monotonic()
        if whole or now >= self._next_cost:
            self._write("cost.json", self._cost)
            self._next_cost = now + _COST_EVERY_S

    def _read(self, name: str, otherwise: Any) -> Any:
        path = self.folder / name
        if not path.exists():
            return otherwise
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise StoreError(f"{path} is damaged ({error}); restore it, or begin in another state folder") from error

    def _write(self, name: str, data: Mapping[str, Any]) -> None:
        with atomic_file(self.folder / name, overwrite=True) as scratch:
            scratch.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")

    def require_same(self, asked: Mapping[str, Any], fingerprint: str) -> None:
        """Begin here, or go on with what was begun. A ledger of earlier campaigns may be there before: it is paid for.

        Raises:
            StoreError: the folder has the state of another loop, or other files and no state.
        """
        begun = self._read("asked.json", None)
        if begun is None:
            names = (path.name for path in self.folder.iterdir())
            strange = [name for name in names if name != self.ledger.name and not name.startswith(".partial-")]
            if strange:
                raise StoreError(
                    f"{self.folder} has files and no state ({strange[0]}); give a new folder, or one with a "
                    f"{self.ledger.name} alone"
                )
            self._write("asked.json", {"schema": SCHEMA, "fingerprint": fingerprint, **asked})
        elif begun.get("schema") != SCHEMA or begun.get("fingerprint") != fingerprint:
            changed = sorted(k for k in asked if begun.get(k) != json.loads(json.dumps(asked[k])))
            raise StoreError(
                f"{self.folder} has the state of another loop; {', '.join(changed) or 'something'} changed; give the "
                "same fields and options (target, budget and CPU hours may change), or another state folder"
            )


@contextmanager
def opened(folder: Path) -> Iterator[State]:
    """The state of a folder, which is made if missing; no other process can have it open.

    Raises:
        StoreError: another process has it open, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise StoreError(f"cannot use {folder} as state folder: {error.strerror}; choose another") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for left in folder.glob(".partial-*"):
            if left.is_file():
                left.unlink(missing_ok=True)
        yield State(folder)
    except BlockingIOError as error:
        raise StoreError(f"{folder} is in use by another process; wait for it") from error
    finally:
        os.close(descriptor)
