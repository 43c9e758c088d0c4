"""Light on purpose: the processes beside import this file."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from surrogate3d.errors import UnusableError
from surrogate3d.response.side_by_side import run_each


def multiplied(by, task):
    return by * task


def ended(by, task):
    os._exit(1)


def refused(by, task):
    raise ValueError(f"task {task}")


@pytest.mark.parametrize("processes", [1, 2])
def test_results_come_in_the_order_of_the_tasks(processes):
    told = []
    assert run_each(multiplied, [3, 1, 2], 10, processes, lambda *each: told.append(each)) == [30, 10, 20]
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_nothing_to_do_is_done():
    assert run_each(multiplied, [], 10, processes=2) == []


def test_a_process_that_ends_early_is_told():
    with pytest.raises(UnusableError, match="fewer processes"):
        run_each(ended, [1, 2], 10, processes=2)


def test_what_a_task_refuses_comes_through():
    with pytest.raises(ValueError, match="task 1"):
        run_each(refused, [1, 1], 10, processes=2)


def waiting(folder, task):
    (Path(folder) / f"{os.getpid()}").touch()
    time.sleep(120)


def there(pid):
    """Whether a process runs; one that has ended and was not asked for its status does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent was killed")
def test_nobody_works_for_one_who_was_killed(tmp_path):
    code = f"""if __name__ == "__main__":
        import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
        from test_response_side_by_side import waiting
        from surrogate3d.response.side_by_side import run_each
        run_each(waiting, [1, 2], {str(tmp_path)!r}, 2)"""
    asked = subprocess.Popen([sys.executable, "-c", code])
    until = time.monotonic() + 60
    while len(list(tmp_path.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    asked.kill()
    asked.wait()
    pids = [int(each.name) for each in tmp_path.iterdir()]
    while any(map(there, pids)) and time.monotonic() < until:
        time.sleep(0.05)
    assert len(pids) == 2
    assert not any(map(there, pids))
