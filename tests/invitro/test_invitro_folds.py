import numpy as np
import pytest
from invitro_cases import folder_data

from surrogate3d.errors import UnknownNameError
from surrogate3d.invitro.folds import groups, spelling_free
from surrogate3d.training.grouped_folds import grouped_folds


def test_publications_and_cell_lines_of_a_data_set_stay_whole():
    data = folder_data()
    for split, names in (("publication", data.publication), ("cell line", data.cells)):
        fold = grouped_folds(groups(data, split), 4, 1)
        assert all(len(np.unique(fold[names == name])) == 1 for name in np.unique(names))
    assert len(np.unique(groups(data, "random"))) == len(data)


def test_spellings_of_a_cell_line_are_one_line_and_sublines_are_not():
    assert spelling_free("U-87") == spelling_free("u87")
    assert spelling_free("V79-4") != spelling_free("V79")
    assert spelling_free("+") == "+"
    data = folder_data()
    together = groups(data, "cell line")
    assert {str(name) for name in together[np.isin(data.cells, ["Delta-7", "Delta.7"])]} == {"delta7"}


def test_a_split_that_is_not_known_is_refused():
    with pytest.raises(UnknownNameError, match="unknown split 'cells'; known: random, publication, cell line"):
        groups(folder_data(), "cells")
