"""A webhook that takes not one tenant's events: they are its own trouble, and nobody else's."""

from __future__ import annotations

import json

import pytest

from apps.catalog.models import AllowedNetwork
from apps.events import carrying, selectors, signing
from apps.events.models import Cursor, Event, Undelivered
from tests.control import receivers
from tests.control.events import run

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
