"""Light on purpose: the processes beside import this file."""

import os

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
