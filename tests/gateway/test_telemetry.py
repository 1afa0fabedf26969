"""Traces, metrics and logs by OTLP: a collector on a socket reads what a real gateway sends of real calls."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.test import override_settings

from apps.policies import services as policies
from apps.usage.models import Entry
from gateway_site.telemetry import delivery, running
from gateway_site.telemetry.sampling import Sampler
from gateway_site.telemetry.wanted import Destination, Wanted
from tests.collector import Collector, pairs
from tests.gateway.calls import ANTHROPIC, ask, body_of
from tests.gateway.test_canaries import echo
from tests.gateway.upstreams import upstream
from tests.servers import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

CLIENT = {"traceparent": f"00-{'5a' * 16}-{'c1' * 8}-01", "tracestate": "acme=1"}
TRACE = "5a" * 16
# Of no vendor's shape: what finds it must know it, not guess it.
CREDENTIAL = "Zq" + secrets.token_hex(16)
PROMPT = "prompt-" + secrets.token_hex(8)
HEADER = "header-" + secrets.token_hex(8)
CORRIDOR = ["authenticate", "examine", "admit", "guard", "cache", "dispatch", "relay", "settle"]


def wanted(url: str, **change: Any) -> Wanted:
    urls = {signal: f"{url}/v1/{signal}" for signal in ("traces", "metrics", "logs")}
    asked = {
        "destinations": tuple(
            Destination(signal, url, {"x-receiver-key": "r"}, "", ("", ""), is_compressed=signal != "logs")
            for signal, url in urls.items()
        ),
        "resource": {"service.name": "weir", "deployment.environment.name": "test"},
        "sampler": Sampler(1.0, follows=True),
        "every": 0.1,
        "most": 1000,
        "providers": frozenset({"*"}),
    }
    return Wanted(**(asked | change))


@contextmanager
def telemetry(url: str, **change: Any) -> Iterator[None]:
    with override_settings(WEIR_TELEMETRY=wanted(url, **change)):
        running.start("all")
        try:
            yield
        finally:
            running.stop()


@pytest.fixture
def collector() -> Iterator[Collector]:
    found = Collector()
    yield found
    found.stop()


@pytest.fixture
def telling(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    monkeypatch.setattr(delivery, "LOOK_SECONDS", 0.02)
    with telemetry(collector.url):
        yield collector


def named(spans: list[Any], name: str) -> Any:
    return next(span for span in spans if span.name == name)


def of_call(collector: Collector, trace_id: str = TRACE) -> list[Any]:
    """The spans of a trace, when they have come: a call's go together."""
    found: list[Any] = []

    def are_there() -> bool:
        found[:] = [span for span in collector.spans() if span.trace_id.hex() == trace_id]
        return bool(found)

    until(are_there)
    return found


def assert_of_try(tried: Any, entry: Entry, url: str) -> None:
    attributes = pairs(tried.attributes)
    assert attributes.pop("gen_ai.response.time_to_first_chunk") > 0
    host, _, port = url.removeprefix("http://").partition(":")
    assert attributes == {
        **{"gen_ai.operation.name": "chat", "gen_ai.provider.name": "simulated", "gen_ai.request.model": "near"},
        **{"gen_ai.request.stream": True, "gen_ai.response.id": "msg_1", "gen_ai.response.model": "m"},
        **{"gen_ai.response.finish_reasons": ["end_turn"], "gen_ai.usage.input_tokens": 5},
        **{"gen_ai.usage.output_tokens": 2, "weir.usage_source": "provider", "server.address": host},
        **{"server.port": int(port), "http.response.status_code": 200, "weir.attempt": 1, "weir.outcome": "ok"},
        **{"weir.deployment.id": entry.deployment_id, "weir.provider.id": entry.provider_id},
        **{"weir.provider": "claude-near near", "weir.protocol": "anthropic_messages"},
        **{"weir.cost_nano_usd": entry.cost_nano, "weir.provider_request_id": "msg_1"},
    }


def test_a_clients_trace_goes_on_through_every_room_to_the_upstream(telling: Collector, gateway, world) -> None:
    heads: list[bytes] = []
    with upstream(heads=heads) as url:
        world.deploy("claude-near", upstream="near", url=url)
        gateway.refresh()
        answer = ask(gateway, ANTHROPIC, model="claude-near", headers=CLIENT, change={"stream": True})
        assert (answer.status_code, answer.headers["x-trace-id"]) == (200, TRACE)
        gateway.settle()
    spans = of_call(telling)
    server, tried = named(spans, "POST /v1/messages"), named(spans, "chat near")
    rooms = [span for span in spans if span.kind == span.SPAN_KIND_INTERNAL]
    assert (server.kind, server.parent_span_id.hex(), server.trace_state) == (
        server.SPAN_KIND_SERVER,
        "c1" * 8,
        "acme=1",
    )
    assert [room.name for room in rooms] == CORRIDOR
    assert {room.parent_span_id for room in rooms} == {server.span_id}
    assert (tried.kind, tried.parent_span_id) == (tried.SPAN_KIND_CLIENT, named(spans, "dispatch").span_id)
    assert len({span.span_id for span in spans}) == len(spans) == 10
    told = dict(line.split(": ", 1) for line in heads[0].decode().lower().splitlines()[1:])
    assert told["traceparent"] == f"00-{TRACE}-{tried.span_id.hex()}-01"
    assert told["tracestate"] == "acme=1"
    ends = [(span.start_time_unix_nano, span.end_time_unix_nano) for span in (*rooms, tried)]
    assert all(server.start_time_unix_nano <= start <= end <= server.end_time_unix_nano for start, end in ends)
    assert [room.end_time_unix_nano for room in rooms[:-1]] == [room.start_time_unix_nano for room in rooms[1:]]
    entry = Entry.objects.get()
    assert entry.trace_id == TRACE
    assert pairs(server.attributes) == {
        **{"http.request.method": "POST", "http.route": ANTHROPIC, "url.path": ANTHROPIC},
        **{"http.response.status_code": 200, "weir.request_id": answer.headers["request-id"]},
        **{"weir.endpoint": "messages", "weir.dialect": "anthropic_messages", "weir.operation": "chat"},
        **{"weir.tenant.id": world.tenant.id, "weir.project.id": world.project.id, "weir.user.id": world.alice.id},
        **{"weir.key.id": world.key_row.id, "weir.model": "claude-near", "weir.stream": True},
        **{"weir.attempts": 1, "weir.retries": 0, "weir.cost_nano_usd": entry.cost_nano},
    }
    assert_of_try(tried, entry, url)
    assert telling.resources()[0]["service.name"] == "weir"
    assert telling.received[0][1]["x-receiver-key"] == "r"


def test_tries_that_fail_and_calls_that_ask_otherwise_have_spans_too(telling: Collector, gateway, world) -> None:
    world.fallback("claude-again", first="529")
    policies.create_cache(actor=world.alice, model=world.model("claude-kept"), ttl_seconds=600)
    gateway.refresh()
    ask(gateway, ANTHROPIC, model="claude-again", headers=CLIENT)
    spans = of_call(telling)
    failed, served = named(spans, "chat claude-529"), named(spans, "chat claude-upstream")
    assert failed.parent_span_id == served.parent_span_id == named(spans, "dispatch").span_id
    assert (failed.status.code, pairs(failed.attributes)["error.type"]) == (2, "529")
    assert pairs(named(spans, "POST /v1/messages").attributes)["weir.retries"] == 1
    assert named(spans, "POST /v1/messages").status.code == served.status.code == 0

    count = {"traceparent": f"00-{'5b' * 16}-{'c1' * 8}-01"}
    assert ask(gateway, "/v1/messages/count_tokens//", change={"max_tokens": None}, headers=count).status_code == 200
    counted = of_call(telling, "5b" * 16)
    told = pairs(named(counted, "POST /v1/messages/count_tokens").attributes)  # callers do not make up names
    assert (told["http.route"], told["url.path"]) == ("/v1/messages/count_tokens", "/v1/messages/count_tokens//")
    assert named(counted, "count_tokens claude-upstream").parent_span_id == named(counted, "count").span_id

    refused = ask(gateway, ANTHROPIC, key="weir_nobody", headers={"traceparent": f"00-{'5c' * 16}-{'c1' * 8}-01"})
    assert (refused.status_code, refused.headers["x-trace-id"]) == (401, "5c" * 16)
    turned_away = of_call(telling, "5c" * 16)
    assert [span.name for span in turned_away] == ["POST /v1/messages", "authenticate", "settle"]
    assert pairs(turned_away[0].attributes)["error.type"] == "authentication"
    assert [span.status.code for span in turned_away] == [0, 2, 0]

    content = json.dumps({"endpoint": "messages", "request": json.loads(body_of(ANTHROPIC))}).encode()
    explained = ask(gateway, "/v1/explain", body=content, headers={"traceparent": f"00-{'5d' * 16}-{'c1' * 8}-01"})
    assert explained.status_code == 200
    assert [span.name for span in of_call(telling, "5d" * 16)] == ["POST /v1/explain"]


def test_a_trace_that_its_caller_does_not_record_is_counted_and_not_sent(telling: Collector, gateway, world) -> None:
    heads: list[bytes] = []
    with upstream(heads=heads) as url:
        world.deploy("claude-near", upstream="near", url=url)
        gateway.refresh()
        for flag in ("00", "01"):
            headers = {"traceparent": f"00-{'5a' if flag == '01' else '5e'}{'5a' * 15}-{'c1' * 8}-{flag}"}
            ask(gateway, ANTHROPIC, model="claude-near", headers=headers, change={"stream": True})
        of_call(telling)
    assert {span.trace_id.hex() for span in telling.spans()} == {TRACE}
    assert b"-00\r\n" in heads[0] + b"\r\n"
    until(lambda: any(point.count == 2 for name, _, point in telling.points() if name.endswith("request.duration")))
    labels = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "simulated",
        "gen_ai.request.model": "claude-near",
    }
    points = {name: (found, point) for name, found, point in telling.points() if "gen_ai.token.type" not in found}
    found, point = points["gen_ai.server.request.duration"]
    assert (found, len(point.bucket_counts)) == (labels, len(point.explicit_bounds) + 1)
    assert sum(point.bucket_counts) == point.count
    assert points["gen_ai.server.time_to_first_token"][0] == points["gen_ai.server.time_per_output_token"][0] == labels
    assert points["gen_ai.client.operation.duration"][0] == labels | {
        "gen_ai.request.model": "near", "server.address": "127.0.0.1", "server.port": int(url.rpartition(":")[2]),
    }  # fmt: skip
    usage = [(found["gen_ai.token.type"], point.sum) for name, found, point in telling.points() if "usage" in name]
    assert {("input", 10.0), ("output", 4.0)} <= {*usage}


def test_nobody_is_told_who_is_not_named_or_where_nothing_is_sent(collector: Collector, gateway, world) -> None:
    heads: list[bytes] = []
    with upstream(heads=heads) as url:
        world.deploy("claude-near", upstream="near", url=url)
        gateway.refresh()
        answer = ask(gateway, ANTHROPIC, model="claude-near", headers=CLIENT, change={"stream": True})
        with telemetry(collector.url, providers=frozenset({"somebody else"})):
            ask(gateway, ANTHROPIC, model="claude-near", headers=CLIENT, change={"stream": True})
        gateway.settle()
    assert len(heads) == 2
    assert b"trace" not in b"".join(heads).lower()
    assert answer.headers["x-trace-id"] == TRACE
    assert {*Entry.objects.values_list("trace_id", flat=True)} == {TRACE}
    assert of_call(collector)


def test_a_refusal_is_logged_with_its_trace(telling: Collector, gateway) -> None:
    ask(gateway, ANTHROPIC, key="weir_nobody", headers=CLIENT)
    until(lambda: any(line.body.string_value == "call.refused" for line in telling.lines()))
    line = next(line for line in telling.lines() if line.body.string_value == "call.refused")
    server = named(of_call(telling), "POST /v1/messages")
    assert (line.trace_id.hex(), line.span_id, line.severity_text) == (TRACE, server.span_id, "INFO")
    assert pairs(line.attributes)["weir.status"] == 401


@pytest.mark.parametrize("kind", ["fine", "400", "header", "garbage", "error-after-first-event"])
def test_no_byte_that_is_sent_holds_a_secret_or_a_prompt(telling: Collector, gateway, world, kind: str) -> None:
    with echo(kind) as url:
        asked = {"url": "" if kind == "fine" else url, "secret": CREDENTIAL}
        world.deploy("claude-told", upstream="claude-upstream", **asked)
        gateway.refresh()
        for stream in (False, True):
            change = {"messages": [{"role": "user", "content": PROMPT}], "system": PROMPT, "stream": stream}
            ask(gateway, ANTHROPIC, model="claude-told", change=change, headers={**CLIENT, "x-own": HEADER})
            ask(gateway, f"{ANTHROPIC}?api_key={HEADER}", model=PROMPT, change=change, headers={"user-agent": HEADER})
        gateway.settle()
    assert len(of_call(telling)) > 5
    until(lambda: {path for path, _, _ in telling.received} == {"/v1/traces", "/v1/metrics", "/v1/logs"})
    sent = b"".join(body for _, _, body in telling.received)
    for canary in (PROMPT, CREDENTIAL, HEADER, world.key, world.key.rpartition("_")[2]):
        assert canary.encode() not in sent


def test_a_collector_that_refuses_is_away_or_stalls_costs_no_call_anything(gateway, monkeypatch) -> None:
    monkeypatch.setattr(delivery, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(running, "SHUTDOWN_SECONDS", 0.2)
    collector = Collector(statuses=(500, 500, 500))
    with telemetry(collector.url):
        assert ask(gateway, ANTHROPIC, headers=CLIENT).status_code == 200
        until(lambda: not collector.statuses)
        collector.open.clear()
        assert ask(gateway, ANTHROPIC, headers=CLIENT).status_code == 200
        collector.is_asked.clear()
        assert collector.is_asked.wait(30)
        assert ask(gateway, ANTHROPIC, headers=CLIENT).status_code == 200
    collector.stop()
    with telemetry(collector.url):
        assert ask(gateway, ANTHROPIC, headers=CLIENT).status_code == 200


def test_a_page_is_a_span_by_its_route_and_says_its_trace(telling: Collector, gateway) -> None:
    asked = {"5e": "/portal/sign-in/", "5f": "/api/v1/keys", "60": "/static/nothing.css"}
    answers = {
        first: gateway.client.get(path, headers={"traceparent": f"00-{first * 16}-{'c1' * 8}-01"})
        for first, path in asked.items()
    }
    assert {first: answer.headers["x-trace-id"] for first, answer in answers.items()} == {
        first: first * 16 for first in asked
    }
    (called,) = of_call(telling, "5f" * 16)
    status = answers["5f"].status_code
    assert (called.name, called.parent_span_id.hex()) == ("GET /api/v1/keys", "c1" * 8)
    assert pairs(called.attributes) == {
        **{"http.request.method": "GET", "http.route": "/api/v1/keys", "http.response.status_code": status}
    }
    assert not [span for span in telling.spans() if span.trace_id.hex() == "60" * 16]
