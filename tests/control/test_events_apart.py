"""A webhook that takes not one tenant's events: they are its own trouble, and nobody else's."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from apps.catalog.models import AllowedNetwork
from apps.events import carrying, relay, selectors, signing
from apps.events.models import Cursor, Event, Sink, Undelivered
from apps.events.sinks.contract import HELD, TAKEN, Fate, Message, Result, SinkAway
from apps.events.telling_apart import told_apart
from tests.control import receivers
from tests.control.events import later, run
from tests.outbound.published import message

pytestmark = [pytest.mark.django_db, pytest.mark.once]


@pytest.fixture
def hook():
    AllowedNetwork.objects.create(cidr="127.0.0.0/8")
    with receivers.receiver() as found:
        signing.create(actor=None, name="hook", kind="webhook", target=found.url)
        yield found


def happen(*tenants: int | None) -> None:
    Event.objects.bulk_create(Event(kind="key.created", tenant_id=tenant, data={"of": tenant}) for tenant in tenants)


def of(heard: receivers.Heard) -> int | None:
    return json.loads(heard.body)["data"]["of"]


def taken(hook: receivers.Receiver, tenant: int | None) -> int:
    """How many events of it, each counted once."""
    return len({each.headers["webhook-id"] for each in hook.heard if of(each) == tenant})


def states() -> list[tuple[str, int]]:
    return list(Undelivered.objects.order_by("position").values_list("state", "attempts"))


@pytest.mark.parametrize("status", [403, 404, 502])
@pytest.mark.parametrize("poison", [1, None])
def test_what_is_never_taken_becomes_a_dead_letter_while_all_others_go_on(hook, status, poison):
    hook.judge = lambda heard: status if of(heard) == poison else 0
    happen(poison, 2, poison, 3)
    for round_ in range(len(carrying.PAUSES) + 1):
        run()
        happen(2, 3)
        run()
        assert taken(hook, 2) == taken(hook, 3) == round_ + 2
    for _ in range(3):
        happen(2)
        run()
    assert [state for state, _ in states()] == ["dead", "dead"]
    assert selectors.lags()[0].undelivered == 0


def test_a_batch_of_one_tenants_alone_does_not_keep_who_comes_after_it(hook):
    hook.judge = lambda heard: 403 if of(heard) == 1 else 0
    happen(*[1] * 120, 2)
    run()
    assert taken(hook, 2) == 1
    assert states()[0] == ("waiting", 1)


def test_where_nobody_elses_is_taken_either_it_is_away_and_nothing_counts(hook):
    hook.judge = lambda _: 502
    happen(1, 2, 3, 1)
    for failures in range(1, 8):
        assert run() == 0
        assert Cursor.objects.get().failures == failures
    assert states() == []
    hook.judge = lambda _: 0
    assert run() == 4


def test_where_there_is_nobody_else_nothing_counts(hook):
    hook.judge = lambda _: 403
    happen(1, 1)
    for _ in range(12):
        assert run() == 0
    assert states() == []


def test_one_that_is_busy_is_left_alone_with_what_it_took_written_down(hook):
    hook.statuses, hook.retry_after = [204, 204, 429], "600"
    happen(1, 1, 1, 1)
    assert run() == 0
    cursor = Cursor.objects.get()
    assert (cursor.delivered, cursor.failures, cursor.message) == (2, 1, "answered 429")
    assert (cursor.next_at - cursor.delivered_at).total_seconds() > 590
    assert states() == [("held", 0)]
    hook.retry_after = ""
    assert run() == 2
    assert [of(heard) for heard in hook.heard] == [1] * 5
    assert states() == []


def test_one_that_says_it_is_busy_with_one_tenants_alone_is_not_believed_for_ever(hook):
    hook.judge = lambda heard: 503 if of(heard) == 1 else 0
    happen(1, 2)
    for _ in range(5):
        run()
        assert (taken(hook, 2), states()) == (1, [("held", 0)])
        happen(2)
    run()
    assert (taken(hook, 2), states()) == (6, [("waiting", 1)])


def test_nothing_is_sent_past_one_of_no_tenant_that_waits(hook):
    hook.judge = lambda heard: 403 if of(heard) in (1, None) else 0
    happen(None, 1, 2, None)
    run()
    later()
    Undelivered.objects.filter(tenant_id=None).update(next_at=timezone.now() + timedelta(hours=1))
    relay.deliver(Sink.objects.get())
    assert (taken(hook, 1), taken(hook, None)) == (1, 1)


def refusing(**answers: SinkAway | None):
    """By the number of the stream, as `s1`."""

    def deliver(group):
        if (away := answers[f"s{group[0].stream}"]) is not None:
            raise away
        return [TAKEN] * len(group)

    return deliver


def nobody(_) -> Message | None:
    return None


BATCH = [message(1, stream=1), message(2, stream=2), message(3, stream=3), message(4, stream=3)]


def test_one_that_says_meanwhile_that_it_is_busy_is_believed():
    deliver = refusing(s1=SinkAway("answered 502"), s2=None, s3=SinkAway("answered 429", after=30, is_busy=True))
    with pytest.raises(SinkAway, match="429") as busy:
        told_apart(BATCH, SinkAway("answered 502"), deliver=deliver, of_others=nobody)
    assert (busy.value.after, busy.value.is_busy) == (30, True)
    assert busy.value.results == [Result(Fate.AGAIN, "answered 502"), TAKEN, HELD, HELD]


def test_where_all_are_away_that_is_what_is_said():
    away = SinkAway("answered 502")
    deliver = refusing(s1=away, s2=SinkAway("answered 503", is_busy=True), s3=away)
    with pytest.raises(SinkAway) as said:
        told_apart(BATCH, away, deliver=deliver, of_others=nobody)
    assert said.value is away
