"""The schedule of the chores in the admin."""

from __future__ import annotations

import pytest
from django_celery_beat.models import CrontabSchedule, IntervalSchedule, PeriodicTask, PeriodicTasks

from apps.audit.models import Record
from tests.control.desk import errors

pytestmark = [pytest.mark.django_db, pytest.mark.once]
ROLL_UP = "apps.usage.tasks.roll_up"


@pytest.fixture
def task(db) -> PeriodicTask:
    """Made by a migration, unless a test that commits has emptied the tables since."""
    interval, _ = IntervalSchedule.objects.get_or_create(every=5, period="minutes")
    row, _ = PeriodicTask.objects.get_or_create(task=ROLL_UP, defaults={"name": "Roll up", "interval": interval})
    return row


def test_how_often_a_chore_runs_can_be_changed(desk, task):
    often = IntervalSchedule.objects.create(every=17, period="minutes")
    assert desk.send("django_celery_beat_periodictask_change", task.pk, interval=often.pk).status_code == 302
    task.refresh_from_db()
    assert task.interval == often
    assert "every 17 minutes" in desk.text("django_celery_beat_periodictask_changelist")


def test_a_chore_is_chosen_from_those_that_there_are(desk):
    every = IntervalSchedule.objects.create(every=19, period="minutes")
    new = {"name": "Again", "task": ROLL_UP, "interval": every.pk}
    assert list(errors(desk.send("django_celery_beat_periodictask_add", **(new | {"task": "os.system"})))) == ["task"]
    assert desk.send("django_celery_beat_periodictask_add", **new).status_code == 302
    assert PeriodicTask.objects.filter(name="Again", task=ROLL_UP).exists()


def test_a_chore_needs_one_time_to_run_at(desk):
    found = errors(desk.send("django_celery_beat_periodictask_add", name="Never", task=ROLL_UP))
    assert found
    assert not PeriodicTask.objects.filter(name="Never").exists()


def test_chores_are_switched_and_the_scheduler_hears_of_it(desk, task):
    for action, state in (("disable", False), ("enable", True)):
        heard = PeriodicTasks.last_change()
        desk.act("django_celery_beat_periodictask_changelist", action, task)
        task.refresh_from_db()
        assert task.enabled is state
        assert PeriodicTasks.last_change() != heard


def test_a_chore_is_sent_to_the_worker(desk, task, monkeypatch):
    from apps.config import schedules

    sent = []
    monkeypatch.setattr(schedules.current_app, "send_task", lambda name: sent.append(name))
    text = desk.act("django_celery_beat_periodictask_changelist", "run_now", task).content.decode()
    assert sent == [ROLL_UP]
    assert "Sent to the worker: 1." in text


TIMES = [
    ("intervalschedule", IntervalSchedule, {"every": "23", "period": "minutes"}),
    ("crontabschedule", CrontabSchedule, {"minute": "23", "timezone": "Europe/Berlin"}),
]


@pytest.mark.parametrize(("name", "kind", "typed"), TIMES)
def test_times_are_made_and_removed_on_the_record_and_never_changed(desk, name, kind, typed):
    page = f"django_celery_beat_{name}"
    assert desk.send(f"{page}_add", **typed).status_code == 302
    row = kind.objects.latest("pk")
    assert desk.client.post(desk.url(f"{page}_change", row.pk), typed).status_code == 403
    assert desk.client.post(desk.url(f"{page}_delete", row.pk), {"post": "yes"}).status_code == 302
    assert not kind.objects.filter(pk=row.pk).exists()
    told = Record.objects.filter(target_id=str(row.pk), target_type=f"django_celery_beat.{name}").order_by("pk")
    assert list(told.values_list("action", flat=True)) == [f"{name}.created", f"{name}.deleted"]
    assert {record.actor_name for record in told} == {desk.user.username}


def test_times_by_which_a_chore_runs_stay(desk, task):
    page = desk.url("django_celery_beat_intervalschedule_delete", task.interval.pk)
    desk.client.post(page, {"post": "yes"})
    assert PeriodicTask.objects.filter(pk=task.pk).exists()
    assert task.name in desk.client.get(page).content.decode()
