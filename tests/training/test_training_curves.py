"""Learning curves: rows are appended whole, and a training that goes on writes the same file as an undisturbed one."""

import math
import sys

import pytest

from surrogate3d.errors import ConfigError, FormatError, UnsupportedError, ValueRangeError
from surrogate3d.training.curves import LearningCurves, read_curves

COLUMNS = ("loss", "learning_rate", "validation_error")


def write(path, steps, start=0):
    curves = LearningCurves(path, COLUMNS, start)
    for step in steps:
        judged = {"validation_error": 1 / 3} if step % 20 == 0 else {}
        curves.append(step, loss=1 / step, learning_rate=1e-3 / 7, **judged)
    curves.sync()
    return path.read_text()


def test_rows_are_plain_csv_with_empty_cells_for_what_is_not_known(tmp_path):
    text = write(tmp_path / "a" / "curves.csv", [10, 20])
    assert text.splitlines() == [
        "step,loss,learning_rate,validation_error",
        "10,0.1,0.00014285714285714287,",
        "20,0.05,0.00014285714285714287,0.3333333333333333",
    ]


def test_a_row_can_be_read_as_soon_as_it_is_appended(tmp_path):
    path = tmp_path / "curves.csv"
    curves = LearningCurves(path, COLUMNS)
    curves.append(1, loss=0.5)
    (row,) = read_curves(path)
    assert (row["step"], row["loss"]) == (1, 0.5)
    assert math.isnan(row["validation_error"])


@pytest.mark.parametrize("checkpoint", [0, 5, 10, 35, 60])
def test_rows_after_the_checkpoint_are_written_again(tmp_path, checkpoint):
    whole = write(tmp_path / "whole.csv", range(10, 101, 10))
    path = tmp_path / "resumed.csv"
    write(path, range(10, 61, 10))
    assert write(path, [n for n in range(10, 101, 10) if n > checkpoint], checkpoint) == whole


def test_a_torn_row_is_dropped(tmp_path):
    path = tmp_path / "curves.csv"
    whole = write(path, [10, 20])
    path.write_text(whole + "30,0.0")
    assert len(read_curves(path)) == 2
    assert write(path, [], start=30) == whole


def test_a_training_that_begins_anew_drops_what_was_there(tmp_path):
    path = tmp_path / "curves.csv"
    write(path, [10, 20])
    assert write(path, []) == "step,loss,learning_rate,validation_error\n"


@pytest.mark.parametrize("step", [0, 10])
def test_a_file_of_other_columns_is_left_as_it_is(tmp_path, step):
    path = tmp_path / "curves.csv"
    path.write_text("step,dose\n1,2.0\n")
    with pytest.raises(FormatError, match=r"expected the columns step,loss.*, found step,dose; move the file away"):
        LearningCurves(path, COLUMNS, step)
    assert path.read_text() == "step,dose\n1,2.0\n"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("10,1.0\n", "line 2: expected 4 numbers"),
        ("10,1.0,a,\n", "line 2: expected 4 numbers"),
        ("1.5,1.0,1.0,\n", "line 2: expected 4 numbers"),
        ("10,1.0,1.0,\n\n20,1.0,1.0,\n", "line 3: expected 4 numbers"),
        ("10,1.0,1.0,\n10,1.0,1.0,\n", "line 3: step 10 does not come after step 10"),
    ],
)
def test_a_damaged_file_is_refused_with_its_line(tmp_path, rows, message):
    path = tmp_path / "curves.csv"
    path.write_text("step,loss,learning_rate,validation_error\n" + rows)
    with pytest.raises(FormatError, match=message):
        LearningCurves(path, COLUMNS, step=20)


def test_steps_ascend_also_after_a_resume(tmp_path):
    path = tmp_path / "curves.csv"
    write(path, [10, 20])
    curves = LearningCurves(path, COLUMNS, step=10)
    with pytest.raises(ValueRangeError, match="at step 10; expected a later one, found 10"):
        curves.append(10, loss=1.0)


def test_a_number_without_a_column_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no column 'lost'; they have loss, learning_rate"):
        LearningCurves(tmp_path / "curves.csv", COLUMNS).append(1, lost=1.0)


@pytest.mark.parametrize("columns", [(), ("loss", "loss"), ("step",)])
def test_impossible_columns_are_refused(tmp_path, columns):
    with pytest.raises(ConfigError, match="distinct columns"):
        LearningCurves(tmp_path / "curves.csv", columns)


def test_without_tensorboard_asking_for_it_is_refused_in_one_line(tmp_path, monkeypatch):
    for name in ("tensorboard", "torch.utils.tensorboard"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed, wherever this runs
    with pytest.raises(UnsupportedError, match="pip install tensorboard"):
        LearningCurves(tmp_path / "curves.csv", COLUMNS, tensorboard=tmp_path / "events")
