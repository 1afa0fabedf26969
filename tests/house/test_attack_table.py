"""What `make attack` tells of its rows: figures on their way, what counts as broken, and the page."""

from __future__ import annotations

import re

import pytest

from tests.attack import __main__ as attack
from tests.attack import table
from tests.attack.figures import ROW, Figure
from tests.attack.rows import ROWS
from tests.run import TESTS, Tally

pytestmark = pytest.mark.once
ROW_OF = re.compile(r"\"(F\d\d|fuzz)\"")
FIGURE = Figure("F16", "healthy calls' 99th percentile", 1.5, "×", most=2.0)


def tallied(*properties: tuple[str, str], passed: bool = True) -> Tally:
    tally = Tally(noted={"a::test": list(properties)})
    if passed:
        tally.passed["a::test"] += 1
    return tally


def test_a_figure_arrives_as_it_was_noted():
    assert Figure.decoded(FIGURE.encoded()) == FIGURE
    assert str(FIGURE) == "healthy calls' 99th percentile: 1.5 × (at most 2 ×)"
    assert str(Figure("F18", "held", 1_200_000, "bytes")) == "held: 1,200,000 bytes"
    assert str(Figure("F18", "held", 3, least=4)) == "held: 3 (at least 4), **missed**"


def test_the_fixture_hands_it_to_the_report(figure, request):
    figure("F16", "healthy calls", 3, least=1)
    (told,) = [value for name, value in request.node.user_properties if name == Figure.PROPERTY]
    assert Figure.decoded(told) == Figure("F16", "healthy calls", 3, least=1)


@pytest.mark.parametrize("beyond", [{"most": 1.0}, {"least": 2.0}])
def test_a_figure_beyond_its_bound_is_a_fault(beyond):
    figure = Figure("F16", "ratio", 1.5, **beyond)
    results = table.Results(tallied((ROW, "F16"), (Figure.PROPERTY, figure.encoded())))
    assert [fault for fault in results.faults(["F16"]) if "ratio: 1.5" in fault]
    good = table.Results(tallied((ROW, "F16"), (Figure.PROPERTY, FIGURE.encoded())))
    assert not list(good.faults(["F16"]))


def test_a_row_that_no_test_proves_is_a_fault():
    failed = table.Results(tallied((ROW, "F16"), passed=False))
    assert list(failed.faults(["F16"])) == ["F16: no test has passed"]
    strange = table.Results(tallied((ROW, "F99")))
    assert "F99 is no row of tests/attack/rows.py" in list(strange.faults([]))


def test_the_table_takes_its_place_on_the_page(tmp_path):
    page = tmp_path / "security.md"
    page.write_text(f"before\n{table.BEGIN}\nan older table\n{table.END}\nafter\n")
    text = table.Results(tallied((ROW, "F16"), (Figure.PROPERTY, FIGURE.encoded()))).table()
    table.write(text, page)
    written = page.read_text()
    assert (written[:7], written[-7:]) == ("before\n", "\nafter\n")
    assert "an older table" not in written
    assert f"| 1 | {FIGURE} |" in written
    assert all(f"\n| {row} |" in written for row in ROWS)
    page.write_text("nothing")
    with pytest.raises(ValueError, match="has no"):
        table.write(text, page)


def test_every_row_is_proved_by_a_test():
    marked = {row for name in attack.marked() for row in ROW_OF.findall((TESTS / name).read_text(encoding="utf-8"))}
    assert not ROWS.keys() - marked
