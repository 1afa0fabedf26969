"""The judges themselves: those of the locks are there, and one that is missing is told."""

from __future__ import annotations

import pytest

from tests.deploy import tools


@pytest.mark.parametrize("name", ["hadolint", "kubectl", "shellcheck", "yamllint", "zizmor"])
def test_a_locked_judge_is_the_one_of_its_lock(name):
    (command,) = tools.find(name)
    if not command.startswith(str(tools.FOLDER)):
        pytest.skip("needs a package index")
    asked = ("version", "--client") if name == "kubectl" else ("--version",)
    assert tools.run(name, *asked).status == 0


@pytest.mark.parametrize(("variables", "outcome"), [({}, pytest.skip), ({"CI": "true"}, pytest.fail)])
def test_a_judge_that_is_not_there_is_told_and_in_ci_is_a_failure(monkeypatch, variables, outcome):
    monkeypatch.delenv("CI", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(outcome.Exception, match="needs no-such-judge"):
        tools.find("no-such-judge")


def test_a_lock_that_cannot_be_installed_gives_its_reason(monkeypatch, tmp_path):
    (tmp_path / "broken.txt").write_text("no-such-package==1.0 \\\n    --hash=sha256:00\n")
    monkeypatch.setattr(tools, "LOCKS", tmp_path)
    monkeypatch.setattr(tools, "FOLDER", tmp_path)
    _, reason = tools._environment("broken")
    assert reason.startswith("requirements/broken.txt could not be installed: ")
