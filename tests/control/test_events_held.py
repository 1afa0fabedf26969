"""Tenants whose events a sink does not take, sinks that break, and what was written for those that are no more."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.exceptions import ValidationError
from django.db import connection
from django.utils import timezone

from apps.events import carrying, relay, selectors, services, tidying
from apps.events.models import Cursor, Event, Sink, Undelivered
from tests.control.events import file_sink, run, sequences, told

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _folder(settings, tmp_path) -> None:
    settings.WEIR_EVENT_FOLDERS = [str(tmp_path)]


def odd(tenant: int | None, *, of: int = 1) -> None:
    """Nobody here can tell of them."""
    Event.objects.bulk_create(Event(kind="sun.risen", tenant_id=tenant) for _ in range(of))


def plain(tenant: int | None, *, of: int = 1) -> None:
    Event.objects.bulk_create(Event(kind="key.created", tenant_id=tenant, data={}) for _ in range(of))


def states() -> list[tuple[str, int, int]]:
    return list(Undelivered.objects.order_by("position").values_list("state", "position", "attempts"))


@pytest.mark.parametrize("tenant", [1, None])
def test_a_tenant_that_is_held_is_one_row_more_however_much_waits_and_others_go_on(tmp_path, tenant):
    file_sink()
    odd(tenant)
    plain(tenant, of=600)
    plain(2, of=3)
    assert run() == 3
    plain(tenant, of=10)
    plain(2, of=2)
    assert run() == 2
    assert states() == [("waiting", 1, 2), ("held", 2, 0)]
    (lag,) = selectors.lags()
    assert (lag.undelivered, lag.waiting, lag.dead) == (611, 611, 0)
    Undelivered.objects.update(attempts=len(carrying.PAUSES))
    assert run() == 610
    assert states() == [("dead", 1, 9)]
    found = sequences(event for event in told(tmp_path) if event.get("tenant") != "2")
    assert found == [*range(2, 602), *range(605, 615)]
    assert selectors.lags()[0].undelivered == 0


def test_what_is_held_is_counted_from_where_each_tenant_is_and_by_sink():
    first, _ = file_sink("first"), file_sink("second", kinds=["key.created"])
    plain(1, of=3)
    odd(1)
    plain(2, of=2)
    odd(None)
    plain(1, of=4)
    plain(None, of=5)
    odd(2)
    assert run() == 5 + 14
    assert [lag.waiting for lag in selectors.lags()] == [3 + 4 + 5, 0]
    plain(2, of=6)
    plain(3, of=7)
    plain(1)
    assert run() == 7 + 14
    assert [lag.waiting for lag in selectors.lags()] == [3 + 4 + 5 + 6 + 1, 0]
    Undelivered.objects.filter(sink=first, tenant_id=1).delete()
    assert [lag.waiting for lag in selectors.lags()] == [2 + 5 + 6, 0]


def test_what_follows_and_fails_for_the_same_reason_is_not_tried_as_often(tmp_path):
    file_sink()
    odd(1, of=20)
    plain(1)
    odd(1)
    for _ in range(9):
        assert (run(), Undelivered.objects.count()) in [(0, 2), (1, 21)]
    assert states() == [("dead", 1, 9), *(("dead", place, 1) for place in range(2, 21)), ("waiting", 22, 1)]
    assert sequences(told(tmp_path)) == [21]


def test_a_sink_of_which_nothing_is_due_is_left_alone():
    sink = file_sink()
    odd(1)
    plain(1)
    run()
    assert not relay.due().exists()
    plain(1)
    relay.run()
    assert states() == [("waiting", 1, 1), ("held", 2, 0)]
    assert not relay.due().exists()
    Undelivered.objects.update(next_at=timezone.now())
    assert relay.due().get() == sink


def test_what_is_held_is_kept_until_it_goes(settings):
    file_sink()
    odd(1)
    plain(1)
    plain(2)
    run()
    Event.objects.update(at=timezone.now() - timedelta(days=settings.WEIR_EVENT_DAYS, minutes=1))
    assert tidying.forget(timezone.now()) == 0
    Undelivered.objects.update(attempts=len(carrying.PAUSES))
    assert run() == 1
    assert tidying.forget(timezone.now()) == 2


def test_a_replay_while_letters_are_looked_up_breaks_nothing(tmp_path):
    sink = file_sink()
    odd(1)
    plain(2)
    run()
    asked = []

    def meanwhile(execute, sql, params, many, context):
        if not asked and "INNER JOIN" in sql and "events_undelivered" in sql:
            asked.append(services.replay(sink, actor=None, since=timezone.now() - timedelta(hours=1)))
        return execute(sql, params, many, context)

    with connection.execute_wrapper(meanwhile):
        assert run() == 0
    assert asked == [2]
    assert run() == 1
    assert sequences(told(tmp_path)) == [2, 2]


def test_a_sink_that_breaks_here_is_left_alone_as_one_that_is_away_is(tmp_path):
    sink = file_sink()
    Sink.objects.update(settings={})
    plain(1)
    assert relay.run() == 0
    cursor = Cursor.objects.get(sink=sink)
    assert (cursor.failures, cursor.message, cursor.holder) == (1, "it broke here: see the log", "")
    assert not relay.due().exists()
    Sink.objects.update(settings=sink.settings)
    assert run() == 1


def test_a_new_sink_gets_nothing_that_was_written_for_one_that_is_gone(tmp_path):
    services.remove_sink(file_sink("old"), actor=None)
    plain(1)
    file_sink("new")
    assert run() == 0
    plain(1)
    assert run() == 1
    assert sequences(told(tmp_path, "new")) == [2]


def test_what_nobody_listens_to_any_more_is_forgotten(settings):
    sink = file_sink()
    plain(1)
    services.remove_sink(sink, actor=None)
    assert tidying.forget(timezone.now()) == 0
    Event.objects.update(at=timezone.now() - timedelta(days=settings.WEIR_EVENT_DAYS, minutes=1))
    assert tidying.forget(timezone.now()) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"target": "amqp://us@broker.example:5671/"},
        {"target": "amqps://us@other.example:5671/"},
        {"settings": {"ca": "another authority's"}},
    ],
)
def test_a_password_is_not_shown_with_fewer_safeguards_than_it_was_given_for(changes):
    target = "amqps://us@broker.example:5671/"
    sink = services.create_sink(actor=None, name="x", kind="rabbitmq", target=target, secret="canary")
    services.update_sink(sink, actor=None, settings={"exchange": "other"})
    with pytest.raises(ValidationError, match="give it again"):
        services.update_sink(sink, actor=None, **changes)
