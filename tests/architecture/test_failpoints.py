"""Every failpoint that is listed is passed somewhere, once, and none is passed that is not listed."""

from __future__ import annotations

import ast
import collections
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from apps.runtime import failpoints
from tests.architecture import tree


def passed(paths: Iterable[Path]) -> collections.Counter[str]:
    """Names by how many calls pass them; a name that is no literal counts as `?`."""
    found: collections.Counter[str] = collections.Counter()
    for path in paths:
        for node in ast.walk(tree.parse(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "failpoint":
                argument = node.args[0] if node.args else None
                found[str(argument.value) if isinstance(argument, ast.Constant) else "?"] += 1
    return found


def test_each_listed_name_is_passed_at_exactly_one_place():
    assert passed(tree.python_files(*tree.SOURCES)) == collections.Counter(failpoints.NAMES)


def test_a_second_place_and_an_unlisted_name_are_found(tmp_path):
    (tmp_path / "a.py").write_text('failpoint("a")\nfailpoint("a")\nfailpoint(b)\n')
    assert passed(tmp_path.glob("*.py")) == {"a": 2, "?": 1}


@pytest.mark.parametrize(
    "text", ["nowhere:kill", "relay.begun:explode", "relay.begun:kill:x", "relay.begun:sleep", "relay.begun:kill=3"]
)
def test_what_cannot_be_read_is_refused(text):
    with pytest.raises(ImproperlyConfigured, match=r"name:action\[:nth\]"):
        failpoints.arm(text)


def test_it_acts_once_at_the_passage_that_was_named():
    failpoints.arm("relay.begun:raise:2")
    try:
        failpoints.failpoint("relay.begun")
        failpoints.failpoint("attempt.intended")
        with pytest.raises(failpoints.Failed):
            failpoints.failpoint("relay.begun")
        failpoints.failpoint("relay.begun")
    finally:
        failpoints.arm("")


@pytest.mark.parametrize(("faults", "told"), [("", "needs WEIR_FAULTS=1"), ("1", "also needs")])
def test_production_does_not_start_with_one_by_accident(tmp_path, faults, told):
    environment = {
        **os.environ,
        "WEIR_PROFILE": "production",
        "WEIR_FAILPOINT": "relay.begun:kill",
        "WEIR_FAULTS": faults,
        "WEIR_VAR": str(tmp_path),
    }
    command = [sys.executable, "-m", "gateway_site.server"]
    done = subprocess.run(command, cwd=tree.ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert told in done.stderr
