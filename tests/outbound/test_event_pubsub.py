"""Events to Google Pub/Sub, at a publisher of our own on a socket: what Google's library sends it."""

from __future__ import annotations

import concurrent.futures
import json
import sys
import threading
import time

import grpc
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.core.exceptions import ValidationError
from google.pubsub_v1 import types

from apps.events.sinks import pubsub
from apps.events.sinks.contract import HELD, TAKEN, Fate, Opened, SinkAway
from tests import services
from tests.issuers import KEYS
from tests.outbound.published import message
from tests.outbound.test_ways_out import Listener

TOPIC = "projects/my-project/topics/weir"
ACCOUNT = {
    "type": "service_account",
    "client_email": "weir@my-project.iam.gserviceaccount.com",
    "private_key": "no key",
}


class Publisher:
    """Takes messages, but for what `judge` gives a status; no request of one has another ordering key."""

    def __init__(self):
        self.requests = []
        self.judge = lambda request: None

    def publish(self, request, context):
        self.requests.append(request)
        assert len({message.ordering_key for message in request.messages}) == 1
        status = self.judge(request)
        if status is not None:
            context.abort(status, "no")
        return types.PublishResponse(message_ids=[str(number) for number in range(len(request.messages))])

    @property
    def messages(self):
        return [message for request in self.requests for message in request.messages]


@pytest.fixture
def publisher(settings):
    found = Publisher()
    handler = grpc.unary_unary_rpc_method_handler(
        found.publish,
        request_deserializer=types.PublishRequest.deserialize,
        response_serializer=types.PublishResponse.serialize,
    )
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=16))
    server.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("google.pubsub.v1.Publisher", {"Publish": handler}),)
    )
    settings.PUBSUB_EMULATOR_HOST = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield found
    server.stop(grace=None).wait()


@pytest.fixture
def deliver(publisher):
    senders = []

    def do(*messages, **settings):
        senders.append(pubsub.open(Opened(1, TOPIC, pubsub.clean(TOPIC, settings, networks=()), "", ())))
        return senders[-1].deliver(messages)

    yield do
    for sender in senders:
        sender.close()


def keys(messages):
    return [json.loads(message.data)["key_id"] for message in messages]


@pytest.fixture
def proxy(monkeypatch):
    """One that the environment names."""
    listener = Listener("127.0.0.1")
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "HTTP_PROXY", "HTTPS_PROXY", "GRPC_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{listener.port}")
    yield listener
    listener.stop()


@pytest.mark.attack("F24")
def test_a_proxy_that_the_environment_names_sees_nothing(proxy, deliver, publisher, settings):
    assert deliver(message(7)) == [TAKEN]
    settings.PUBSUB_EMULATOR_HOST = ""
    pem = KEYS["rsa"].private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    secret = json.dumps(ACCOUNT | {"private_key": pem, "token_uri": f"http://127.0.0.1:{proxy.port}/token"})
    sender = pubsub.open(Opened(1, TOPIC, {"endpoint": f"127.0.0.1:{services.free_port()}"}, secret, ()))
    with pytest.raises(SinkAway, match="UNAVAILABLE"):
        sender.deliver([message(8)])
    sender.close()
    assert proxy.visits == []


def test_attributes_and_data_are_as_the_binding_of_cloudevents_has_them(deliver, publisher):
    assert deliver(message(7, name="a “b”")) == [TAKEN]
    (heard,) = publisher.messages
    assert publisher.requests[0].topic == TOPIC
    assert json.loads(heard.data) == {"key_id": 7, "name": "a “b”"}
    assert heard.ordering_key == "tenant-1"
    assert dict(heard.attributes) == {
        "content-type": "application/json",
        "ce-specversion": "1.0",
        "ce-id": message(7).id,
        "ce-source": "https://weir.example",
        "ce-type": "weir.key.created.v1",
        "ce-subject": "key:7",
        "ce-time": "2026-11-23T00:00:00.000000Z",
        "ce-sequence": "00000000000000000007",
        "ce-tenant": "tenant-1",
    }


def test_or_whole_in_the_data(deliver, publisher):
    assert deliver(message(7), structured=True) == [TAKEN]
    (heard,) = publisher.messages
    assert heard.data == message(7).body
    assert dict(heard.attributes) == {"content-type": "application/cloudevents+json; charset=utf-8"}


def test_each_tenant_s_are_in_order_under_a_key_of_its_own(deliver, publisher):
    batch = [message(number, stream=number % 2) for number in range(6)]
    assert deliver(*batch) == [TAKEN] * 6
    assert {request.messages[0].ordering_key: keys(request.messages) for request in publisher.requests} == {
        "tenant-0": [0, 2, 4],
        "tenant-1": [1, 3, 5],
    }


def test_one_that_pub_sub_refuses_holds_up_its_tenant_alone(deliver, publisher):
    refused = grpc.StatusCode.INVALID_ARGUMENT
    publisher.judge = lambda request: refused if 3 in keys(request.messages) else None
    batch = [message(number) for number in range(1, 6)] + [message(6, stream=2)]
    found = deliver(*batch)
    assert [result.fate for result in found] == [Fate.TAKEN] * 2 + [Fate.AGAIN, Fate.HELD, Fate.HELD, Fate.TAKEN]
    taken = [
        key for request in publisher.requests if publisher.judge(request) is None for key in keys(request.messages)
    ]
    assert sorted(taken) == [1, 2, 6]


@pytest.mark.parametrize(
    "status", ["NOT_FOUND", "PERMISSION_DENIED", "UNAUTHENTICATED", "UNAVAILABLE", "RESOURCE_EXHAUSTED"]
)
def test_what_is_about_the_topic_counts_against_no_event(deliver, publisher, status):
    publisher.judge = lambda request: grpc.StatusCode[status]
    with pytest.raises(SinkAway, match=f"Pub/Sub answered {status}"):
        deliver(*(message(number, stream=number) for number in range(100)))
    assert len(publisher.requests) <= 2 * pubsub._LANES, "those that are under way when the first one is answered"


def test_what_was_taken_before_is_not_sent_again(deliver, publisher):
    publisher.judge = lambda request: grpc.StatusCode.INTERNAL if 2 in keys(request.messages) else None
    found = deliver(message(1), message(2, stream=2), message(3, stream=2))
    assert found == [TAKEN, pubsub.Result(Fate.AGAIN, "Pub/Sub answered INTERNAL"), HELD]


def test_a_topic_that_is_busy_counts_against_no_event(deliver, publisher):
    publisher.judge = lambda request: grpc.StatusCode.UNAVAILABLE if 2 in keys(request.messages) else None
    with pytest.raises(SinkAway, match="Pub/Sub answered UNAVAILABLE") as away:
        deliver(message(1), message(2, stream=2), message(3, stream=2))
    assert (away.value.results, away.value.is_busy) == ([TAKEN, HELD, HELD], True)


def test_nor_is_the_half_that_was_taken_before_it_was_busy(deliver, publisher):
    def judge(request):
        if len(request.messages) > 1:
            return grpc.StatusCode.INVALID_ARGUMENT
        return grpc.StatusCode.RESOURCE_EXHAUSTED if 2 in keys(request.messages) else None

    publisher.judge = judge
    with pytest.raises(SinkAway, match="RESOURCE_EXHAUSTED") as away:
        deliver(message(1), message(2))
    assert (away.value.results, away.value.is_busy) == ([TAKEN, HELD], True)


def test_a_topic_that_is_slow_is_asked_no_longer_than_a_claim_lasts_and_no_event_is_to_blame(
    deliver, publisher, monkeypatch
):
    monkeypatch.setattr(pubsub, "SECONDS", pubsub.SPARE_SECONDS + 1.0)
    is_over = threading.Event()
    publisher.judge = lambda request: None if 0 in keys(request.messages) else is_over.wait(30)
    begun = time.monotonic()
    try:
        found = deliver(*(message(number, stream=number) for number in range(200)))
    finally:
        is_over.set()
    assert time.monotonic() - begun < 60, "each would have had eight seconds"
    fates = [result.fate for result in found]
    assert fates[0] is Fate.TAKEN
    assert fates.count(Fate.AGAIN) <= pubsub._LANES
    assert fates.count(Fate.HELD) >= 199 - pubsub._LANES


def test_tenants_are_sent_beside_each_other(deliver, publisher):
    both = threading.Barrier(2)
    publisher.judge = lambda request: (both.wait(timeout=30), None)[1]
    assert deliver(message(1), message(2, stream=2)) == [TAKEN, TAKEN]


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "google.pubsub_v1", None)
    with pytest.raises(SinkAway, match="the extra “pubsub”"):
        pubsub.open(Opened(1, TOPIC, {}, "", ()))


def test_a_key_that_is_none_says_so_and_nothing_of_itself():
    with pytest.raises(SinkAway, match="credentials cannot be used"):
        pubsub.open(Opened(1, TOPIC, {"endpoint": ""}, json.dumps(ACCOUNT), ()))
    for given in ("", "no json", "[]", "{}", json.dumps(ACCOUNT | {"type": "authorized_user"})):
        with pytest.raises(ValueError, match="the JSON of a service account"):
            pubsub.clean_secret(given)
    with pytest.raises(ValueError, match="not Google's"):
        pubsub.clean_secret(json.dumps(ACCOUNT | {"token_uri": "http://169.254.169.254/"}))
    assert json.loads(pubsub.clean_secret(json.dumps(ACCOUNT))) == ACCOUNT


@pytest.mark.parametrize(
    ("target", "settings", "field"),
    [
        ("weir", {}, "target"),
        ("projects/p/topics/x/y", {}, "target"),
        (TOPIC, {"endpoint": "evil.example"}, "settings"),
        (TOPIC, {"endpoint": "pubsub.googleapis.com.evil.example"}, "settings"),
        (TOPIC, {"structured": 1}, "settings"),
        (TOPIC, {"other": 1}, "settings"),
    ],
)
def test_what_cannot_be_is_refused_at_its_field(target, settings, field):
    with pytest.raises(ValidationError) as refused:
        pubsub.clean(target, settings, networks=())
    assert [*refused.value.error_dict] == [field]
    regional = {"endpoint": "europe-west1-pubsub.googleapis.com"}
    assert pubsub.clean(TOPIC, regional, networks=()) == {**regional, "structured": False}
