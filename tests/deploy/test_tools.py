"""The judges themselves: those of the locks are there, and one that is missing is told."""

from __future__ import annotations

import re

import pytest

from tests.deploy import tools


@pytest.mark.parametrize("name", ["hadolint", "kubectl", "shellcheck", "yamllint", "zizmor"])
def test_a_locked_judge_is_the_one_of_its_lock(name):
    (command,) = tools.find(name)
    if not command.startswith(str(tools.FOLDER)):
        tools.lacks("pypi", "needs a package index")
    asked = ("version", "--client") if name == "kubectl" else ("--version",)
    assert tools.run(name, *asked).status == 0


@pytest.mark.parametrize(
    ("variables", "outcome"),
    [
        ({}, pytest.skip),
        ({"CI": "true"}, pytest.fail),
        ({"CI": "true", "WEIR_TEST_WITHOUT": "another"}, pytest.fail),
        ({"CI": "true", "WEIR_TEST_WITHOUT": "another,no-such-judge"}, pytest.skip),
    ],
)
def test_a_judge_that_is_not_there_is_told_and_in_ci_is_a_failure_unless_it_cannot_be_had(
    monkeypatch, variables, outcome
):
    for name in ("CI", tools.WITHOUT):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(outcome.Exception, match="needs no-such-judge"):
        tools.find("no-such-judge")


def test_tests_of_what_is_deployed_leave_nothing_out_by_themselves():
    """A bare `pytest.skip` would be silent in CI. Rounds of chaos for which the time is over are counted as that."""
    tests, folders = tools.ROOT / "tests", "deploy faults outbound sdk topology"
    paths = [path for name in folders.split() for path in (tests / name).glob("*.py")]
    paths += (tests / "control").glob("test_events*.py")
    bare = [path for path in paths if re.search(r"pytest\.(skip\(|importorskip|mark\.skip)", path.read_text())]
    assert {path.relative_to(tests).as_posix() for path in bare} == {"deploy/tools.py", "faults/conftest.py"}


def test_a_lock_that_cannot_be_installed_gives_its_reason(monkeypatch, tmp_path):
    (tmp_path / "broken.txt").write_text("no-such-package==1.0 \\\n    --hash=sha256:00\n")
    monkeypatch.setattr(tools, "LOCKS", tmp_path)
    monkeypatch.setattr(tools, "FOLDER", tmp_path)
    _, reason = tools._environment("broken")
    assert reason.startswith("requirements/broken.txt could not be installed: ")
