"""A real RabbitMQ: what arrives there, what it refuses, and what becomes of events when it is killed in the middle."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from apps.catalog.models import AllowedNetwork
from apps.events import carrying, placing, relay, selectors, services
from apps.events.models import Cursor, Sink, Undelivered
from apps.runtime import failpoints
from apps.usage import ledger
from apps.usage.models import Entry
from tests import factories, rabbitmq
from tests.control.events import calls, later, run, sequences

# The store is asked alike by every kind of sink: one pass is enough, and a broker takes seconds to start.
pytestmark = [
    pytest.mark.django_db,
    pytest.mark.postgresql,
    pytest.mark.skipif(bool(rabbitmq.available()), reason=rabbitmq.available() or "none"),
]


@pytest.fixture(scope="module")
def broker() -> Iterator[rabbitmq.Broker]:
    with rabbitmq.running() as found:
        yield found


@pytest.fixture(autouse=True)
def _opened(db: None) -> None:
    AllowedNetwork.objects.create(cidr="127.0.0.0/8")


def sink(broker: rabbitmq.Broker, exchange: str, **fields: Any) -> Sink:
    defaults = {"target": broker.url, "secret": broker.password, "settings": {"exchange": exchange}}
    return services.create_sink(actor=None, name=exchange, kind="rabbitmq", **(defaults | fields))


def arrived(messages: list[Any]) -> list[dict[str, Any]]:
    """Each event once, in the order in which it came first."""
    events = {message.properties["message_id"]: json.loads(message.body) for message in messages}
    assert all(event["id"] == name for name, event in events.items())
    return list(events.values())


def ids() -> set[str]:
    return {str(entry) for entry in Entry.objects.values_list("pk", flat=True)}


def test_an_event_arrives_as_a_persistent_message_for_its_tenant(broker):
    acme = factories.tenant("Acme")
    broker.bind("plain", exchange="plain", key="acme.weir.usage.settled.v1")
    sink(broker, "plain")
    ledger.post([*calls(acme.pk, of=3)])
    assert run() == 3
    messages = broker.taken("plain")
    assert {str(json.loads(message.body)["id"]) for message in messages} == ids()
    assert sequences(arrived(messages)) == [1, 2, 3]
    first = messages[0]
    assert first.delivery_info["routing_key"] == f"{acme.slug}.weir.usage.settled.v1"
    assert {name: first.properties[name] for name in ("content_type", "delivery_mode", "app_id")} == {
        "content_type": "application/cloudevents+json; charset=utf-8",
        "delivery_mode": 2,
        "app_id": "weir",
    }


def test_what_no_queue_takes_holds_up_its_tenant_alone_and_is_a_dead_letter_in_the_end(broker):
    acme, globex = factories.tenant("Acme"), factories.tenant("Globex")
    broker.bind("partly", exchange="partly", key="acme.#")
    made = sink(broker, "partly")
    ledger.post([call for _ in range(3) for tenant in (acme, globex) for call in calls(tenant.pk)])
    assert run() == 3
    ledger.post([*calls(globex.pk), *calls(acme.pk)])
    assert run() == 1
    (head, *others) = selectors.letters(made)
    assert (head.attempts, head.message, [row.attempts for row in others]) == (2, "no queue takes it", [0, 0, 0])
    for _ in range(len(carrying.PAUSES) - 1):
        run()
    assert Undelivered.objects.get(pk=head.pk).state == Undelivered.State.DEAD
    broker.bind("partly", exchange="partly", key="globex.#")
    assert run() == 3
    assert services.send_again([head.pk], sink=made, actor=None) == 1
    assert run() == 1
    found = arrived(broker.taken("partly"))
    assert {event["id"] for event in found} == ids()
    of_acme, of_globex = (sequences(e for e in found if e["tenant"] == each.slug) for each in (acme, globex))
    assert of_acme == sorted(of_acme)
    assert of_globex == [*sorted(of_globex)[1:], head.position]
    assert not Undelivered.objects.exists()


def test_a_queue_that_is_full_refuses_and_gets_the_rest_in_order_when_there_is_room(broker):
    full = {"x-max-length": 2, "x-overflow": "reject-publish"}
    broker.bind("small", exchange="small", arguments=full)
    made = sink(broker, "small")
    ledger.post([*calls(1, of=5)])
    assert run() == 2
    assert [row.message for row in selectors.letters(made)] == ["the broker did not take it", "", ""]
    found = []
    while len(found) < 5:
        found += arrived(broker.taken("small"))
        run()
    assert sequences(found) == [1, 2, 3, 4, 5]


def test_a_broker_that_does_not_let_us_in_is_away_and_no_event_is_to_blame(broker):
    made = sink(broker, "closed", secret="wrong")
    ledger.post([*calls(1)])
    assert (run(), run()) == (0, 0)
    cursor = Cursor.objects.get(sink=made)
    assert (cursor.failures, Undelivered.objects.count()) == (2, 0)
    assert cursor.message == f"127.0.0.1:{broker.port} AccessRefused 403"
    assert broker.password not in cursor.message
    with pytest.raises(ValidationError, match="give it again"):
        services.update_sink(made, actor=None, target=broker.url.replace("127.0.0.1", "127.0.0.2"))
    AllowedNetwork.objects.all().delete()
    services.update_sink(made, actor=None, secret=broker.password)
    assert (run(), "has not been opened" in Cursor.objects.get(sink=made).message) == (0, True)


def test_all_events_arrive_though_the_broker_is_killed_in_the_middle(broker):
    tenants = [factories.tenant(name).pk for name in ("Acme", "Globex")]
    broker.bind("kept", exchange="kept")
    made = sink(broker, "kept")
    ledger.post([call for _ in range(30) for tenant in tenants for call in calls(tenant)])
    placing.place()
    failpoints.arm("event.sent:raise")  # the broker has them, and the cursor does not know
    try:
        with pytest.raises(failpoints.Failed):
            relay.deliver(made)
    finally:
        failpoints.arm("")
    broker.server.end(signal.SIGKILL)
    ledger.post([call for _ in range(30) for tenant in tenants for call in calls(tenant)])
    assert run() == 0
    broker.server.start()
    assert run() == 120
    messages = broker.taken("kept")
    found = arrived(messages)
    assert (len(messages), len(found)) == (180, 120)
    assert {event["id"] for event in found} == ids()
    for tenant in tenants:
        order = sequences(event for event in found if event["data"]["tenant"]["id"] == tenant)
        assert order == sorted(order)
    later()
    assert run() == 0
