"""When a key was last used, and the record of its expiry."""

from __future__ import annotations

import datetime
import importlib

import pytest
from django.apps import apps
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from apps.audit import selectors as audit
from apps.audit.models import Record
from apps.keys import services, tasks
from apps.keys.models import Key
from tests import factories

pytestmark = pytest.mark.django_db
DAY = datetime.timedelta(days=1)


def issue(project, **fields):
    return factories.key(project, **fields)


def test_last_use_is_kept_at_the_grain_of_a_minute_and_never_goes_back(website):
    key = issue(website).key
    noon = datetime.datetime(2026, 8, 1, 12, tzinfo=datetime.UTC)

    def touched(seconds, address="192.0.2.1", client="sdk/1"):
        services.touch([(key.pk, noon + datetime.timedelta(seconds=seconds), address, client)])
        key.refresh_from_db()
        return (key.last_used_at - noon).total_seconds(), key.last_used_ip, key.last_used_client

    assert touched(0) == (0, "192.0.2.1", "sdk/1")
    assert touched(59, client="sdk/2") == (0, "192.0.2.1", "sdk/1")
    assert touched(60, "2001:db8::1", "sdk/2") == (60, "2001:db8::1", "sdk/2")
    assert touched(-600) == (60, "2001:db8::1", "sdk/2")
    assert touched(200, "not an address", "nul\x00 and \nline" + "x" * 200) == (
        200,
        None,
        ("nul and line" + "x" * 200)[:100],
    )


def test_of_several_uses_of_a_key_the_last_counts(website):
    key = issue(website).key
    noon = datetime.datetime(2026, 8, 1, 12, tzinfo=datetime.UTC)
    services.touch(
        [(key.pk, noon + DAY, "192.0.2.2", "late"), (key.pk, noon, "192.0.2.1", "early"), (-1, noon, "", "")]
    )
    assert Key.objects.get().last_used_client == "late"


def test_touching_many_keys_takes_few_queries_and_is_no_news(website, django_assert_max_num_queries):
    ids = [issue(website).key.pk for _ in range(20)]
    number = audit.revisions()["keys"]
    with django_assert_max_num_queries(4):  # two, and a savepoint around them
        services.touch([(pk, timezone.now(), "192.0.2.1", "sdk") for pk in ids])
    assert audit.revisions()["keys"] == number
    assert not Key.objects.filter(last_used_at=None).exists()


def test_touching_nothing_is_nothing(db):
    services.touch([])


def test_the_expiry_of_a_key_is_recorded_once(website, time_machine):
    expiring = issue(website, expires_at=timezone.now() + DAY).key
    revoked = issue(website, expires_at=timezone.now() + DAY).key
    services.revoke(revoked, actor=None)
    issue(website)
    assert tasks.audit_expired_keys() == 0
    time_machine.move_to(timezone.now() + 2 * DAY)
    assert [tasks.audit_expired_keys(), tasks.audit_expired_keys()] == [1, 0]
    row = Record.objects.get(action="key.expired")
    assert (row.target_id, row.actor_name, row.tenant_id) == (str(expiring.pk), "system", website.tenant_id)


def test_a_key_whose_expiry_was_moved_expires_then(website, time_machine):
    key = issue(website, expires_at=timezone.now() + DAY).key
    services.update(key, actor=None, expires_at=timezone.now() + 3 * DAY)
    time_machine.move_to(timezone.now() + 2 * DAY)
    assert tasks.audit_expired_keys() == 0
    time_machine.move_to(timezone.now() + 2 * DAY)
    assert tasks.audit_expired_keys() == 1


def test_more_expired_keys_than_a_batch_are_recorded_over_several_runs(website, time_machine):
    for _ in range(3):
        issue(website, expires_at=timezone.now() + DAY)
    time_machine.move_to(timezone.now() + 2 * DAY)
    now = timezone.now()
    assert [services.record_expiries(now, limit=2) for _ in range(3)] == [2, 1, 0]


def test_the_expiry_audit_is_scheduled_once_and_then_the_operators_to_edit():
    schedule = importlib.import_module("apps.keys.migrations.0002_schedule").schedule
    PeriodicTask.objects.all().delete()
    schedule(apps, None)
    task = PeriodicTask.objects.get()
    assert (task.task, task.enabled, str(task.interval)) == (tasks.audit_expired_keys.name, True, "every hour")
    PeriodicTask.objects.update(enabled=False)
    schedule(apps, None)
    assert not PeriodicTask.objects.get().enabled
