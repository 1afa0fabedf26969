"""The page says what the tests hold."""

from tests.matrix import bad, cells, show
from tests.matrix.wishes import FEATURES


def test_the_page_is_the_table():
    assert show.PAGE.read_text(encoding="utf-8") == show.page(), "run: make matrix"


def test_every_loss_and_every_refusal_says_why():
    for cell in cells.cells().values():
        assert (cell.kind == "whole") == (cell.why == "")
        assert cell.blames or cell.kind != "refused"


def test_every_ignored_field_says_what_becomes_of_it():
    assert all(case.told for _, _, rows in bad.TABLES.values() for case in rows if case.names is None)


def test_no_pair_is_left_out():
    assert len(cells.cells()) == 4 * 6 * len(FEATURES)
    assert len(FEATURES) == 19
