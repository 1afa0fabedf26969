"""A real RabbitMQ: what arrives there, what it refuses, and what becomes of events when it is killed in the middle."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import socketserver
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from apps.catalog.models import AllowedNetwork
from apps.events import carrying, placing, relay, selectors, services
from apps.events.models import Cursor, Event, Sink, Undelivered
from apps.events.sinks import rabbitmq as rabbitmq_sink
from apps.events.sinks.contract import Opened, SinkAway
from apps.outbound import brokers
from apps.runtime import failpoints
from apps.usage import ledger
from apps.usage.models import Entry
from tests import factories, rabbitmq
from tests.control.events import calls, later, run, sequences
from tests.deploy import tools

# The store is asked alike by every kind of sink: one pass is enough, and a broker takes seconds to start.
pytestmark = [pytest.mark.django_db, pytest.mark.postgresql]


@pytest.fixture(scope="module")
def broker() -> Iterator[rabbitmq.Broker]:
    if reason := rabbitmq.available():
        tools.lacks("rabbitmq-server", reason)
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
    assert (head.attempts, head.message, [row.state for row in others]) == (2, "no queue takes it", ["held"])
    for _ in range(len(carrying.PAUSES) - 1):
        run()
    letters = list(selectors.letters(made))
    assert [(row.state, row.attempts) for row in letters] == [("dead", 9), *[("dead", 1)] * 3], "for the same reason"
    broker.bind("partly", exchange="partly", key="globex.#")
    assert services.send_again([row.pk for row in letters], sink=made, actor=None) == 4
    assert run() == 4
    found = arrived(broker.taken("partly"))
    assert {event["id"] for event in found} == ids()
    of_acme, of_globex = (sequences(e for e in found if e["tenant"] == each.slug) for each in (acme, globex))
    assert of_acme == sorted(of_acme)
    assert of_globex == sorted(of_globex)
    assert not Undelivered.objects.exists()


def test_a_queue_that_is_full_refuses_and_gets_the_rest_in_order_when_there_is_room(broker):
    full = {"x-max-length": 2, "x-overflow": "reject-publish"}
    broker.bind("small", exchange="small", arguments=full)
    made = sink(broker, "small")
    ledger.post([*calls(1, of=5)])
    assert run() == 2
    assert [row.message for row in selectors.letters(made)] == ["the broker did not take it", ""]
    found = []
    while len(found) < 5:
        found += arrived(broker.taken("small"))
        run()
    assert sequences(found) == [1, 2, 3, 4, 5]


@contextlib.contextmanager
def between(broker: rabbitmq.Broker, *, swift: float = float("inf")) -> Iterator[tuple[int, bytearray]]:
    """A port of the broker's, and what is said to it there. After so many bytes hardly anything goes through."""
    heard, is_over = bytearray(), threading.Event()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", broker.port)) as there:
                back = threading.Thread(target=self.pump, args=(there, self.request, bytearray()), daemon=True)
                back.start()
                self.pump(self.request, there, heard)

        def pump(self, source: socket.socket, target: socket.socket, told: bytearray) -> None:
            with contextlib.suppress(OSError):
                while (part := source.recv(16_384)) and not is_over.is_set():
                    told += part
                    target.sendall(part)
                    if len(told) > swift:
                        is_over.wait(0.1)
                target.shutdown(socket.SHUT_WR)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield server.server_address[1], heard
        finally:
            is_over.set()
            server.shutdown()


def test_a_broker_that_takes_them_slowly_is_waited_for_no_longer_than_was_said(broker):
    broker.bind("slow", exchange="slow")
    events = [brokers.Publication(str(number), "key", "text/plain", b"x" * 100_000) for number in range(200)]
    with between(broker, swift=5_000) as (port, _):
        place = brokers.parse(f"amqp://guest@127.0.0.1:{port}/")
        publisher = brokers.Publisher(place, password=broker.password, networks=["127.0.0.0/8"])
        begun = time.monotonic()
        with pytest.raises(brokers.BrokerAway, match="in time"):
            publisher.publish(events, exchange="slow", mandatory=True, seconds=0.5)
        publisher.close()
        assert time.monotonic() - begun < 60, "all of them take two minutes"


def test_it_is_told_goodbye_and_called_only_where_there_is_something_to_send(broker):
    with between(broker) as (port, heard):
        sink(broker, "polite", target=f"amqp://guest@127.0.0.1:{port}/", kinds=["usage.settled"])
        broker.bind("polite", exchange="polite")
        Event.objects.create(kind="key.created", data={})
        assert (run(), bytes(heard)) == (0, b"")
        ledger.post([*calls(1)])
        assert run() == 1
        assert b"\x00\x0a\x00\x32" in heard, "connection.close"


def test_one_whose_exchange_is_refused_is_told_goodbye_at_once(broker):
    with between(broker) as (port, heard):
        settings = {"exchange": "amq.direct", "declare": True, "mandatory": True, "ca": ""}
        target = f"amqp://guest@127.0.0.1:{port}/"
        with pytest.raises(SinkAway, match="the exchange is refused"):
            rabbitmq_sink.open(Opened(1, target, settings, broker.password, ("127.0.0.0/8",)))
        assert b"\x00\x0a\x00\x32" in heard, "connection.close"


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
