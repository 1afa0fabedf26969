"""The doctor, by things that are really broken."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from apps.catalog import canary
from apps.catalog.models import AllowedNetwork, Provider
from apps.events import services
from apps.keys import services as issuing
from apps.quotas import windows
from apps.quotas.models import Replica
from apps.runtime import build, gateways
from apps.status import doctor
from apps.status.doctor import background, configuration, database, keys, machine, outside, stores
from apps.status.doctor.findings import Finding
from apps.tenants.models import Membership
from apps.usage import figures, partitions
from tests import factories
from tests.architecture import tree

pytestmark = pytest.mark.django_db(transaction=True)


def of(found: Iterator[Finding], level: str) -> list[str]:
    return [finding.told for finding in found if finding.level == level]


def run(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    ours = ("WEIR_", "DATABASE_", "REDIS_", "CELERY_", "DJANGO_")
    surroundings = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    surroundings |= {"WEIR_VAR": str(folder), **variables}
    command = [sys.executable, "manage.py", "doctor", *arguments]
    return subprocess.run(command, cwd=tree.ROOT, env=surroundings, capture_output=True, text=True, timeout=120)


@pytest.mark.once
def test_all_that_is_wrong_is_told_at_once_though_nothing_would_start(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    wrong = {
        "DATABASE_URL": f"postgres://weir:canary-word@127.0.0.1:{port}/weir",
        "REDIS_URL": f"redis://:canary-word@127.0.0.1:{port}/0",
        "WEIR_DRAIN_SECONDS": "soon",
        "WEIR_FETCH_NETWORKS": "home",
    }
    ended = run(tmp_path, "--json", **wrong)
    assert ended.returncode == 2
    assert "canary-word" not in ended.stdout + ended.stderr
    told = json.loads(ended.stdout)
    assert told["status"] == "problem"
    problems = {(one["about"], one["told"].split(":")[0]) for one in told["findings"] if one["level"] == "problem"}
    assert {("database", "does not answer"), ("redis", "does not answer"), ("broker", "does not answer")} <= problems
    assert ("configuration", "WEIR_DRAIN_SECONDS must be a number of 0 or more.") in problems
    assert all(one["cure"] for one in told["findings"] if one["level"] != "ok")
    assert all("\n" not in one["told"] + one["cure"] for one in told["findings"])


@pytest.mark.once
def test_a_setting_that_cannot_even_be_examined_is_told_in_one_line(tmp_path: Path) -> None:
    ended = run(tmp_path, WEIR_PROFILE="prod")
    assert (ended.returncode, ended.stderr) == (
        2,
        "manage.py: WEIR_PROFILE must be embedded or production, not 'prod'.\n",
    )


def test_the_command_ends_with_what_is_worst(capsys: pytest.CaptureFixture[str]) -> None:
    found = doctor.examine()
    levels = {finding.level for finding in found}
    assert {"database", "configuration", "machine", "keys", "providers", "background", "replicas", "books"} <= {
        finding.about for finding in found
    }
    with pytest.raises(SystemExit) as end:
        call_command("doctor", "--quiet")
    assert end.value.code == (2 if "problem" in levels else 1)
    told = capsys.readouterr().out
    assert "PROBLEM" in told
    assert "ok     " not in told
    assert told.rstrip().endswith(" well.")


def test_a_database_that_nobody_has_migrated_is_one_problem_and_not_one_of_each_examination() -> None:
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE django_migrations RENAME TO hidden_migrations")
    try:
        found = [one for one in doctor.examine() if one.about in doctor._DATABASE]
    finally:
        with connection.cursor() as cursor:
            cursor.execute("ALTER TABLE hidden_migrations RENAME TO django_migrations")
    assert [one.level for one in found] == ["problem", "warning"]
    assert found[0].told.endswith("holds no tables of Weir's yet")
    assert found[0].cure.startswith("manage.py migrate")
    assert found[1].told.startswith("not looked at without it: keys")


@pytest.mark.once
def test_what_hangs_costs_its_own_time_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"

        def hang() -> Iterator[Finding]:
            with socket.create_connection(silent.getsockname()) as line:
                line.recv(1)
            yield Finding("ok", "never", url)

        monkeypatch.setattr(doctor, "_ALONE", {"silent": hang, "machine": machine.examine})
        monkeypatch.setattr(doctor, "_DATABASE", {})
        begun = time.monotonic()
        found = doctor.examine(seconds=2.0)
        assert time.monotonic() - begun < 60
    assert ("problem", "silent", "no answer in time") in [(one.level, one.about, one.told) for one in found]
    assert any(one.about == "machine" for one in found)


@pytest.mark.once
def test_files_of_secrets_that_others_may_read_are_told(tmp_path: Path, settings: Any) -> None:
    path = tmp_path / "token"
    path.write_text("word")
    settings.WEIR_SECRET_FILES = {"WEIR_OPERATOR_TOKEN_FILE": path}
    for mode, level in ((0o604, "problem"), (0o640, "warning"), (0o660, "problem"), (0o600, "ok")):
        path.chmod(mode)
        assert any(str(path) in told or "for their owner" in told for told in of(configuration._secret_files(), level))


def test_a_migration_that_is_missing_and_one_that_is_too_new(monkeypatch: pytest.MonkeyPatch) -> None:
    assert of(database._migrations(), "ok") == ["every migration is applied"]
    rows = MigrationRecorder.Migration.objects
    rows.create(app="usage", name="9999_of_tomorrow")
    try:
        assert of(database._migrations(), "warning") == ["it was migrated by a newer version (usage.9999_of_tomorrow)"]
        rows.filter(app="quotas", name="0009_replica_about").delete()
        (told,) = of(database._migrations(), "problem")
        assert told == "1 migrations are not applied, quotas.0009_replica_about the first"
    finally:
        rows.filter(name="9999_of_tomorrow").delete()
        rows.get_or_create(app="quotas", name="0009_replica_about")


@pytest.mark.postgresql
@pytest.mark.parametrize(("ahead", "level"), [(0.0, "ok"), (10.0, "warning"), (-100.0, "problem")])
def test_a_clock_that_is_wrong(monkeypatch: pytest.MonkeyPatch, ahead: float, level: str) -> None:
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + ahead)
    assert len(of(database._clock(), level)) == 1


@pytest.mark.postgresql
def test_what_postgresql_runs_out_of() -> None:
    before = database._asked("SHOW statement_timeout")
    found = list(database.examine())
    assert database._asked("SHOW statement_timeout") == before  # a pooler gives the connection to others
    assert [finding for finding in found if finding.level == "problem"] == []
    assert any("partition for this month" in finding.told for finding in found)
    now = datetime.now(UTC)
    following = partitions.name_of(partitions.after(partitions.month_of(now)))
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {following}")
    try:
        assert of(database._months(), "warning") == [f"the ledger lacks {following}"]
    finally:
        partitions.ensure(now)


def test_a_keyring_that_is_not_this_database_s(settings: Any) -> None:
    canary.verify()
    assert of(keys.sealed(), "problem") == []
    settings.WEIR_KEYRING = "1:another-keyring-of-24-letters!"
    (told,) = of(keys.sealed(), "problem")
    assert told.startswith("WEIR_KEYRING: version 1 is not the key")
    assert "another" not in told


def test_keys_that_are_refused_as_viewers_hold_them() -> None:
    project = factories.project()
    viewer = factories.member(project.tenant, "vera", role="developer")
    boss = factories.member(project.tenant, role="owner")
    ended, held = factories.key(project, user=viewer), factories.key(project, user=viewer)
    for issued in (factories.key(project), factories.key(project, user=boss)):
        assert of(keys.holders(), "warning") == [], issued
    issuing.revoke(ended.key, actor=None)
    Membership.objects.filter(user=viewer).update(role="viewer")
    (told,) = of(keys.holders(), "warning")
    assert told.endswith(f"viewers hold them: 1 ({held.key.pk} of vera in {project.tenant})")


@pytest.mark.once
def test_a_folder_without_room_or_that_is_not_to_be_written(tmp_path: Path, settings: Any) -> None:
    settings.WEIR_JOURNAL_DIR = str(tmp_path)
    assert of(machine._folder(tmp_path), "problem") == []
    settings.WEIR_BALLAST_MB = 1 << 30
    (told,) = of(machine._folder(tmp_path), "problem")
    assert "so new calls are refused" in told
    (told,) = of(machine._folder(Path("/proc/self")), "problem")
    assert told.startswith("WEIR_JOURNAL_DIR: /proc/self cannot be written")


@pytest.mark.once
def test_few_open_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (256, 256))
    assert of(machine._files(), "warning") == ["a process may have 256 files open, so about 78 calls at once"]


@pytest.mark.once
def test_providers_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert of(outside.providers(), "warning") == ["none is enabled"]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    main = factories.provider("Main")
    row = Provider.objects.filter(pk=main.pk)
    row.update(base_url=f"https://127.0.0.1:{port}", is_healthy=False, last_check_ms=3, last_check_message="timeout")
    assert any(one.told.startswith(f"Main: 127.0.0.1:{port} is not asked") for one in outside.providers())
    AllowedNetwork.objects.create(cidr="127.0.0.0/8")
    found = list(outside.providers())
    assert [one.told for one in found if one.level == "problem"] == ["Main does not answer its checks: timeout"]
    assert any("Main has no credential" in one.told for one in found)
    assert any(f"Main: 127.0.0.1:{port} cannot be reached from here" in one.told for one in found)


def test_one_wall_between_tenants_is_said_to_be_one() -> None:
    told = [one for one in of(database.examine(), "ok") if "second wall" in one]
    assert len(told) == 1
    assert ("no second wall" in told[0]) == (connection.vendor == "sqlite")


def test_a_beat_and_a_worker_that_are_gone_and_are_back() -> None:
    assert "no worker has done a chore yet" in of(background.chores(), "problem")
    figures.count()
    assert of(background._worker(), "problem") == []
    then = int((datetime.now(UTC) - timedelta(hours=1)).timestamp())
    figures.Figure.objects.filter(name=figures.COUNTED_AT).update(value=then)
    assert of(background._worker(), "problem") == ["a worker last did a chore 60 minutes ago"]


def test_replicas_of_several_versions_and_without_a_redis(settings: Any) -> None:
    assert of(background.replicas(), "problem") == ["no gateway process lives"]
    for name in ("one", "two"):
        windows.beat(name, epoch=windows.register(name), about=gateways.said())
    settings.REDIS_URL = ""
    assert of(background.replicas(), "problem") == ["2 gateway processes live without a Redis: limits do not add up"]
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    assert of(background.replicas(), "ok") == ["2 gateway processes live"]
    Replica.objects.filter(name="two").update(about='{"version": "0.0.9"}')
    told = f"gateways run 0.0.9, {build.VERSION}, and this is {build.VERSION}"
    assert of(background.replicas(), "warning") == [told]
    Replica.objects.filter(name="two").update(heartbeat=datetime.now(UTC) - timedelta(hours=1), about="nonsense")
    assert of(background.replicas(), "warning") == ["two is silent"]


def test_gateways_that_are_too_old_for_events_are_told_where_a_sink_waits_for_them() -> None:
    for name in ("new", "old", "unknown"):
        windows.beat(name, epoch=windows.register(name), about=gateways.said())
    Replica.objects.filter(name="old").update(about='{"version": "0.1.0"}')
    Replica.objects.filter(name="unknown").update(about="")
    assert of(background.events(), "warning") == []
    services.create_sink(actor=None, name="hook", kind="webhook", target="https://events.example.org/in")
    assert of(background.events(), "warning") == ["old, unknown are of a version before 0.2, which tells of none"]


@pytest.mark.once
def test_a_redis_that_nobody_is_at_is_told_without_its_password(settings: Any) -> None:
    settings.REDIS_URL = "redis://:canary-word@127.0.0.1:1/0"
    (told,) = of(stores.redis(), "problem")
    assert told.startswith("does not answer: ConnectionError")
    assert "canary-word" not in told


@pytest.mark.once
def test_the_address_of_an_installation_whose_certificate_is_not_believed(settings: Any) -> None:
    settings.WEIR_BASE_URL = "https://127.0.0.1:1"
    assert of(outside.address(), "warning") == [
        "this installation: 127.0.0.1:1 cannot be reached from here (ConnectionRefusedError)"
    ]
