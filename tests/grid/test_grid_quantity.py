"""The table of names and units."""

import pytest

from surrogate3d.errors import UnknownNameError
from surrogate3d.grid import QUANTITIES, quantity


def test_a_quantity_is_found_by_name_with_its_unit():
    assert quantity("LET_d").unit == "keV/um"
    assert quantity("LET_d").label == "LET_d / keV/um"
    assert quantity("RBE10").label == "RBE10", "a pure number has no unit to print"


def test_weighted_dose_is_never_printed_in_plain_gray():
    # ICRU report 78: RBE-weighted dose is reported as "Gy (RBE)", with the space.
    assert quantity("D_RBE").unit == "Gy (RBE)"


def test_an_unknown_quantity_is_refused_with_the_known_names():
    with pytest.raises(UnknownNameError, match=r"'biological_dose'; known: .*D_RBE"):
        quantity("biological_dose")


def test_every_entry_is_complete_and_can_be_a_file_name():
    for name, entry in QUANTITIES.items():
        assert entry.name == name
        assert name.isidentifier()
        assert all((entry.symbol, entry.unit, entry.definition))
