"""The locks: what is installed is what was tested, wherever it is installed from."""

from __future__ import annotations

import re

import pytest

from tests.architecture import tree

pytestmark = pytest.mark.attack("F35")
FOLDER = tree.ROOT / "requirements"
LOCKS = sorted(path.name for path in FOLDER.glob("*.txt"))
PIN = re.compile(r"^([A-Za-z0-9._-]+(?:\[[^\]]+\])?)==(\S+)((?: ; [^\\]+)?) \\$", re.MULTILINE)
APART = ("focus.txt", "deploy.txt", "checkov.txt")  # each in an environment of its own


def pins(text: str) -> dict[tuple[str, str], str]:
    """(Name, marker) -> version."""
    return {(name, marker): version for name, version, marker in PIN.findall(text)}


def unhashed(text: str) -> list[str]:
    """First lines of requirements that no hash follows."""
    entries = [entry for entry in re.split(r"\n(?=\S)", text) if not entry.startswith("#")]
    return [entry.split("\n")[0] for entry in entries if "--hash=sha256:" not in entry]


@pytest.mark.parametrize("name", LOCKS)
def test_everything_in_a_lock_is_pinned_and_hashed_and_names_no_registry(name):
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert pins(text)
    assert unhashed(text) == []
    assert re.findall(r"https?://\S+|--(?:extra-)?index-url|--find-links", text) == []


@pytest.mark.parametrize("name", [name for name in LOCKS if name not in ("base.txt", *APART)])
def test_a_lock_moves_no_pin_of_the_base_lock(name):
    """So one environment can hold several, and installing the development lock is installing the base lock."""
    base, other = (pins((FOLDER / each).read_text(encoding="utf-8")) for each in ("base.txt", name))
    assert {key: version for key, version in other.items() if key in base and base[key] != version} == {}


def test_the_development_and_production_locks_hold_all_of_the_base_lock():
    base = pins((FOLDER / "base.txt").read_text(encoding="utf-8"))
    assert len(base) > 80
    for name in ("dev.txt", "production.txt"):
        assert base.keys() - pins((FOLDER / name).read_text(encoding="utf-8")).keys() == set()


def test_a_pin_without_a_hash_would_be_found():
    assert unhashed("a==1 \\\n    --hash=sha256:00\nb==2\n# c\nd==4 ; python_version < '3.12'\n") == [
        "b==2",
        "d==4 ; python_version < '3.12'",
    ]
