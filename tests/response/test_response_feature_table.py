import numpy as np
import pytest

from surrogate3d.errors import ValueRangeError
from surrogate3d.response.feature_table import Table, table_of


def test_rows_become_a_table_and_what_is_infinite_is_not_defined():
    table = table_of([{"a": 1.0, "b": np.inf}, {"a": 2.0, "b": 3.0}])
    assert table.names == ("a", "b")
    np.testing.assert_array_equal(table.values, [[1.0, np.nan], [2.0, 3.0]])


def test_tables_of_the_same_lesions_stand_beside_each_other():
    both = Table(("a",), np.zeros((3, 1))).beside(Table(("b", "c"), np.ones((3, 2))))
    assert both.names == ("a", "b", "c")
    np.testing.assert_array_equal(both.values, [[0.0, 1.0, 1.0]] * 3)
    with pytest.raises(ValueRangeError, match="tables of 3 and 2 lesions"):
        both.beside(Table(("d",), np.zeros((2, 1))))


def test_tables_that_contradict_themselves_are_refused():
    with pytest.raises(ValueRangeError, match=r"a table of 2 features needs values \(n, 2\), found \(3, 1\)"):
        Table(("a", "b"), np.zeros((3, 1)))
    with pytest.raises(ValueRangeError, match="there twice: a"):
        Table(("a", "a"), np.zeros((3, 2)))
    with pytest.raises(ValueRangeError, match="row 1, b: infinite"):
        Table(("a", "b"), np.array([[0.0, 1.0], [2.0, np.inf]]))
    with pytest.raises(ValueRangeError, match="row 1 has 1 features that are not the 2 of row 0"):
        table_of([{"a": 1.0, "b": 2.0}, {"a": 1.0}])
    with pytest.raises(ValueRangeError, match="at least one lesion"):
        table_of([])
