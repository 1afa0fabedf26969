"""`.importlinter` holds on this tree, and every contract in it can be broken."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.architecture import tree

# One violation a line: the file, what is added to it, the contract that must notice, and what it must say.
PLANTED = [
    ("apps/catalog/services.py", "from apps.keys import selectors", "apps", "apps.catalog.services -> apps.keys"),
    ("apps/status/planted.py", "from apps.gateway import pipeline", "apps", "apps.status.planted -> apps.gateway"),
    ("apps/tenants/services.py", "from gateway_site import settings", "site", "apps.tenants.services -> gateway_site"),
    ("apps/domain/pricing.py", "import time", "pure", "apps.domain.pricing -> time"),
    ("apps/domain/pricing.py", "from apps.domain import keys", "domain", "apps.domain.pricing -> apps.domain.keys"),
    ("apps/gateway/relay.py", "from apps.gateway import dispatch", "corridor", "apps.gateway.relay -> apps.gateway.d"),
    ("apps/gateway/dispatch.py", "from apps.keys import selectors", "doors", "apps.gateway.dispatch -> apps.keys"),
    ("apps/status/views.py", "from apps.keys import models", "no-orm-in-the-interfaces", "apps.status.views -> "),
    (
        "apps/gateway/admit.py",
        "from apps.keys import services",
        "no-writes-from-the-data-plane",
        "apps.gateway.admit -",
    ),
    (
        "apps/keys/selectors.py",
        "from apps.keys import services",
        "selectors-read",
        "apps.keys.selectors -> apps.keys.s",
    ),
    ("apps/keys/services.py", "import httpx2", "one-way-out", "apps.keys.services -> httpx2"),
    (
        "apps/simulator/planted.py",
        "from apps.domain.protocols import contract",
        "independent-judge",
        "apps.simulator.planted -> apps.domain.protocols",
    ),
    ("apps/tenants/selectors.py", "import apps.keys.selectors", "acyclic", "apps"),
]


def lint(folder: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    program = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", program, "--no-cache", "--no-logo", *flags],
        cwd=folder,
        capture_output=True,
        text=True,
        env={"COLUMNS": "300", "PYTHONPATH": str(folder)},
        check=False,
    )


def broken(report: str) -> set[str]:
    """Names of the contracts that did not hold."""
    return set(re.findall(r"^(.+) BROKEN", report, re.MULTILINE))


def test_every_contract_is_kept():
    result = lint(tree.ROOT)
    assert result.returncode == 0, result.stdout + result.stderr


def planted(folder: Path, violations: Iterable[tuple[str, str]]) -> str:
    """What the linter says of a copy of the tree with these lines added to it."""
    for package in tree.SOURCES:
        shutil.copytree(tree.ROOT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(tree.ROOT / ".importlinter", folder)
    for name, line in violations:
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
    result = lint(folder)
    assert result.returncode == 1, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> str:
    return planted(tmp_path_factory.mktemp("planted"), ((name, line) for name, line, _, _ in PLANTED))


@pytest.mark.parametrize(("name", "line", "contract", "told"), PLANTED)
def test_a_planted_violation_breaks_its_contract(report, name, line, contract, told):
    assert tree.contracts()[contract] in broken(report)
    assert told in report


def test_every_contract_has_a_violation_planted_against_it():
    assert {contract for _, _, contract, _ in PLANTED} == set(tree.contracts())


def test_a_file_that_has_no_place_breaks_the_contract_of_its_folder(tmp_path):
    strays = [("apps/stray.py", "x = 1"), ("apps/domain/stray.py", "x = 1"), ("apps/gateway/stray.py", "x = 1")]
    told = planted(tmp_path, strays)
    assert {tree.contracts()[name] for name in ("apps", "domain", "corridor")} <= broken(told)
    assert told.count(".stray\n") == len(strays), told
