"""The threat model: each threat is proved by tests that exist, OWASP's lists are whole, and no row of attacks is left
out."""

from __future__ import annotations

import re

import pytest

from tests.architecture import tree
from tests.attack.rows import ROWS

PAGE = tree.ROOT / "docs" / "security.md"
NOT_OURS = ("LLM09:2025",)  # nothing that Weir does has to do with it
LISTS = {"API": (10, "API{}:2023"), "LLM": (10, "LLM{:02}:2025")}


def cells(text: str, heading: str) -> list[list[str]]:
    """Of the first table under a heading, without its own."""
    after = text.split(f"\n{heading}\n", 1)[1]
    table = re.search(r"(?:^\|.*\n)+", after, re.MULTILINE)
    assert table is not None, heading
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[0].splitlines()[2:]]


def unproved(rows: list[list[str]], *, but: tuple[str, ...] = ()) -> list[str]:
    """Rows whose last cell names no test, or one that is not there, or a row of attacks that is none."""
    found = []
    for row in rows:
        files = re.findall(r"`(tests/[\w/.]+)`", row[-1])
        attacks = re.findall(r"\bF\d+\b", row[-1])
        is_proved = bool(files) or row[0].startswith(but or "\0")
        if not is_proved or not all((tree.ROOT / name).is_file() for name in files) or set(attacks) - ROWS.keys():
            found.append(" | ".join(row))
    return found


def text() -> str:
    return PAGE.read_text(encoding="utf-8")


def test_each_threat_is_proved_by_tests():
    threats = cells(text(), "## Threats")
    assert len(threats) > 20
    assert {row[0] for row in threats} - {""} == {
        *("Spoofing", "Tampering", "Repudiation", "Information disclosure", "Denial of service"),
        "Elevation of privilege",
    }
    assert unproved(threats) == []


@pytest.mark.parametrize(
    ("heading", "name"),
    [("### API security, 2023", "API"), ("### Applications of large language models, 2025", "LLM")],
)
def test_each_of_owasps_risks_is_answered_by_tests(heading, name):
    rows = cells(text(), heading)
    count, called = LISTS[name]
    assert [row[0].split()[0] for row in rows] == [called.format(number) for number in range(1, count + 1)]
    assert unproved(rows, but=NOT_OURS) == []


def test_each_row_of_attacks_is_somebodys_threat():
    assert set(ROWS) - set(re.findall(r"\b(F\d+|fuzz)\b", text().split("## What was tried")[0])) == set()


def test_there_is_a_place_for_what_came_of_it():
    _, _, told = text().partition("\n## What was tried, and what came of it\n")
    assert re.search(r"^<!-- attack:begin -->$", told, re.MULTILINE)
    assert "\n#" not in told
    assert told.rstrip().endswith("<!-- attack:end -->")


def test_a_threat_without_a_test_would_be_found():
    rows = [["A", "`tests/architecture/test_threats.py`, F20"], ["B", ""], ["C", "`tests/gone.py`"], ["D", "F99"]]
    assert [row.split()[0] for row in unproved(rows, but=("D",))] == ["B", "C", "D"]
