"""Problems as plain data."""

import json

import pytest

from surrogate3d.errors import FormatError, UnknownNameError
from surrogate3d.validation.problems import PROBLEM_KINDS, Problem, voxels


def test_a_problem_comes_back_from_json():
    problem = Problem("nan_in_map", "map 'zr_table', 3 voxels", "three voxels have no value")
    data = json.loads(json.dumps(problem.to_json()))
    assert data["meaning"] == PROBLEM_KINDS["nan_in_map"]
    assert Problem.from_json(data) == problem


def test_an_unknown_kind_and_a_damaged_file_are_refused():
    with pytest.raises(UnknownNameError, match="unknown kind of problem 'odd'"):
        Problem("odd", "", "")
    with pytest.raises(FormatError, match="lacks the key 'where'"):
        Problem.from_json({"kind": "nan_in_map", "sentence": ""})


def test_a_count_reads_as_a_sentence():
    assert [voxels(n) for n in (0, 1, 12000)] == ["0 voxels", "1 voxel", "12,000 voxels"]
