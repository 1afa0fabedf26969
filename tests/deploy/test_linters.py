"""Everything that has a linter is clean: shell scripts, the Dockerfile, workflows, and all that is YAML."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.deploy import tools

ROOT = tools.ROOT
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
HERE = Path(__file__).parent


def tracked(*patterns: str) -> list[Path]:
    """Files of the clone, also those that are not committed yet."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    named = subprocess.check_output(command, cwd=ROOT, text=True).splitlines()
    return [ROOT / name for name in named if (ROOT / name).is_file()]


def scripts() -> list[Path]:
    """What is begun by a shell, whatever it is called."""
    named = tracked(":!:static", ":!:docs", ":!:templates", ":!:requirements")
    return [path for path in named if path.read_bytes().startswith((b"#!/bin/sh", b"#!/usr/bin/env bash"))]


def test_shell_scripts_are_sound():
    found = scripts()
    assert {"weir", "build.sh", "run"} <= {path.name for path in found}
    said = tools.run("shellcheck", "--severity=style", *found)
    assert said.status == 0, said.text


def test_the_dockerfile_follows_the_rules():
    said = tools.run("hadolint", "--failure-threshold=style", DOCKERFILE)
    assert said.status == 0, said.text


def test_checkov_finds_nothing_in_the_dockerfile():
    """Workflows are zizmor's: checkov knows an older language than theirs, and passes them over unsaid."""
    options = ("--framework", "dockerfile", "--skip-download", "--compact", "--output", "json")
    summary = json.loads(tools.run("checkov", "--directory", DOCKERFILE.parent, *options, timeout=300).output)[
        "summary"
    ]
    assert (summary["failed"], summary["parsing_errors"], summary["skipped"]) == (0, 0, 0)
    assert summary["passed"] > 50


@pytest.mark.parametrize(
    ("name", "file", "planted"),
    [
        ("shellcheck", "planted.sh", "#!/bin/sh\nrm -r $1/*\n"),
        ("hadolint", "Dockerfile", "FROM python\nRUN cd /tmp && apt-get install curl\n"),
        ("yamllint", "planted.yaml", "a: 1\na: 2\n"),
    ],
)
def test_a_planted_fault_is_found(tmp_path, name, file, planted):
    (tmp_path / file).write_text(planted)
    assert tools.run(name, tmp_path / file).status != 0


def test_yaml_is_written_alike():
    files = tracked("*.yaml", "*.yml", ":!:apps/api/openapi.yaml", ":!:deploy/kubernetes")
    assert files
    said = tools.run("yamllint", "--strict", "--config-file", HERE / "yamllint.yaml", *files)
    assert said.status == 0, said.text
