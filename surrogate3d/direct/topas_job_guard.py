"""Runs a command that must not outlive who asked for it. A script of its own: `python topas_job_guard.py COMMAND ...`.

It leads a session, and so a group of processes, with all that the command starts. Standard input is a pipe whose other
end the asker holds: when the asker dies, even by kill -9, the system closes it, and the whole group is killed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading


def _watch() -> None:
    while os.read(0, 4096):
        pass
    os.killpg(0, signal.SIGKILL)


def main(command: list[str]) -> int:
    """Run the command; the exit status is its own, 128 + N when signal N ended it, or 127 when it cannot start."""
    try:
        child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return 127
    threading.Thread(target=_watch, daemon=True).start()
    status = child.wait()
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stderr.flush()
    os._exit(status)  # the thread that watches is never done
