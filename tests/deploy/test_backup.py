"""Copies that are made in a cluster, and where a restore of one is rehearsed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests import services
from tests.deploy import manifests
from tests.deploy.test_cluster import container, ours, role, secret_keys

DAY_SECONDS = 24 * 3600


def backup() -> manifests.Object:
    (job,) = manifests.of_kind(manifests.rendered("components/backup"), "CronJob")
    return job


def test_who_copies_reads_the_databases_address_and_no_other_secret():
    volumes = manifests.template(backup())["spec"]["volumes"]
    (secret,) = [it["secret"] for it in volumes if "secret" in it]
    assert secret["items"] == [{"key": "DATABASE_URL", "path": "DATABASE_URL"}]
    assert secret["items"][0]["key"] in secret_keys("overlays/prod")
    assert secret["secretName"] == "weir-secrets"


def test_who_copies_reaches_names_and_the_database():
    worn = manifests.template(backup())["metadata"]["labels"]
    policies = manifests.of_kind(manifests.rendered("components/backup"), "NetworkPolicy")
    ports = {
        port["port"]
        for it in policies
        if manifests.selects(it["spec"]["podSelector"], worn)
        for rule in it["spec"].get("egress", ())
        for port in rule["ports"]
    }
    assert ports == {53, 5432}


def test_what_is_copied_lies_on_a_volume_that_stays():
    (claim,) = manifests.of_kind(manifests.rendered("components/backup"), "PersistentVolumeClaim")
    mounts = {it["mountPath"]: it["name"] for it in container(backup())["volumeMounts"]}
    volumes = {it["name"]: it for it in manifests.template(backup())["spec"]["volumes"]}
    assert volumes[mounts["/backup"]]["persistentVolumeClaim"] == {"claimName": claim["metadata"]["name"]}
    assert claim["metadata"]["annotations"]["argocd.argoproj.io/sync-options"] == "Delete=false,Prune=false"


def test_a_copy_that_fails_is_told_and_leaves_the_others(tmp_path):
    old, part = tmp_path / "weir-2000-01-01T0330.dump", tmp_path / "weir-2000-01-02T0330.dump.part"
    old.write_text("the last one that went well")
    os.utime(old, (old.stat().st_mtime - 20 * DAY_SECONDS,) * 2)
    part.write_text("half of one")
    ended = copied(tmp_path, "postgres://weir:word@127.0.0.1:1/weir")
    assert ended.returncode != 0
    assert "127.0.0.1" in ended.stderr
    assert [path.name for path in tmp_path.glob("*.dump")] == [old.name]
    assert not part.exists()


@pytest.mark.parametrize(
    ("url", "address", "password"),
    [
        ("postgres://weir:word@db:5432/weir?sslmode=require", "postgres://weir@db:5432/weir?sslmode=require", "word"),
        ("postgres://weir:a%2Fb%25c%40%5C@db/weir", "postgres://weir@db/weir", "a/b%c@\\"),
        ("postgres://weir@db/weir", "postgres://weir@db/weir", ""),
    ],
)
def test_the_password_is_no_argument_of_a_process(tmp_path, url, address, password):
    """A program in place of pg_dump tells what it was called with."""
    program = tmp_path / "bin" / "pg_dump"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" "word=$PGPASSWORD" > {tmp_path}/called\nexit 1\n')
    program.chmod(0o755)
    assert copied(tmp_path, url, first=program.parent).returncode == 1
    *options, last, word = (tmp_path / "called").read_text().splitlines()
    assert (last, word) == (address, f"word={password}")
    assert "--enable-row-security" in options  # the login may own no tables


def copied(folder: Path, url: str, *, first: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The job's own words, in another place."""
    it = container(backup())
    (folder / "DATABASE_URL").write_text(url)
    (words,) = it["args"]
    script = words.replace("/backup", str(folder)).replace("/etc/weir/secrets", str(folder))
    assert script.count(str(folder)) == 4
    path = f"{first or services.client_programs()}{os.pathsep}{os.environ['PATH']}"
    given = {**os.environ, "PATH": path, "PGPASSWORD": ""}
    return subprocess.run([*it["command"], script], env=given, capture_output=True, text=True, timeout=60)


def test_a_rehearsal_reaches_nobody_and_sends_nothing():
    documents = manifests.rendered("overlays/rehearsal")
    for policy in manifests.of_kind(documents, "NetworkPolicy"):
        for rule in policy["spec"].get("egress", ()):
            assert "0.0.0.0/0" not in str(rule), manifests.named(policy)
    pods = {role(it): it["spec"].get("replicas") for it in ours("overlays/rehearsal")}
    assert pods == {"gateway": 1, "control": 1, "worker": 0, "beat": 0, "migrate": None}
    assert {it["metadata"].get("namespace", "weir-rehearsal") for it in documents} == {"weir-rehearsal"}
