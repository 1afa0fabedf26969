"""Checkov on what is applied: rendered manifests, and Terraform. What it is not asked for is waived with a reason."""

from __future__ import annotations

import collections
import functools
import json
import shutil
from pathlib import Path

import pytest
import yaml

from tests.deploy import manifests, tools

WAIVERS = yaml.safe_load((Path(__file__).parent / "waivers.yaml").read_text())
TERRAFORM = tools.ROOT / "deploy" / "terraform"


@functools.cache
def failed() -> dict[str, dict[str, set[str]]]:
    """Framework -> check -> what failed it. One run: to begin takes checkov longer than to judge."""
    options = ("--framework", *WAIVERS, "--skip-download", "--quiet", "--compact", "--output", "json")
    reports = json.loads(tools.run("checkov", "--directory", applied(), *options, timeout=300).output)
    found: dict[str, dict[str, set[str]]] = {name: collections.defaultdict(set) for name in WAIVERS}
    for report in reports:
        assert report["summary"]["parsing_errors"] == 0
        assert report["summary"]["passed"] > 100
        for check in report["results"]["failed_checks"]:
            found[report["check_type"]][check["check_id"]].add(check["resource"])
    assert len(reports) == len(WAIVERS)
    return found


@functools.cache
def applied() -> Path:
    """A folder with what overlays and components come to, each object once, and Terraform's files."""
    folder = tools.FOLDER / "applied"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(TERRAFORM, folder / "terraform")
    core = [it for it in manifests.distinct() if manifests.is_core(it)]
    named = {manifests.named(it): it for it in core}  # of what several have, one's will do
    (folder / "all.yaml").write_text("---\n".join(yaml.safe_dump(it) for it in named.values()))
    return folder


@pytest.mark.parametrize("framework", ["kubernetes", "terraform"])
def test_nothing_fails_but_what_is_waived_and_waivers_are_needed(framework):
    found = failed()[framework]
    unwaived = {check: sorted(resources) for check, resources in found.items() if check not in WAIVERS[framework]}
    assert unwaived == {}
    assert set(WAIVERS[framework]) - found.keys() == set()


def test_what_is_waived_for_others_does_not_hold_for_weir():
    """A password in the environment, a low uid: stores of the dev overlay may, our own pods may not."""
    for folder in manifests.OVERLAYS:
        for workload in manifests.workloads(manifests.rendered(folder)):
            pod = manifests.template(workload)["spec"]
            if pod["containers"][0]["image"].startswith(manifests.IMAGE):
                assert pod["securityContext"].get("runAsUser", 10001) == 10001
                for entry in pod["containers"][0].get("env", ()):
                    assert "secretKeyRef" not in entry.get("valueFrom", {})


def test_every_waiver_has_a_reason():
    for checks in WAIVERS.values():
        assert all(len(reason) > 40 for reason in checks.values())
