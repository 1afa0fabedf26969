"""Snapshots of what an Ollama server is sent, and of what callers of every dialect get of its streams.

`golden/ollama_chat/requests/<client>/<case>.json` is what is made of `golden/<client>/<case>.json`,
`golden/ollama_chat/streams/<case>.<client>.sse` what such a caller gets of `<case>.ndjson`. See `test_golden`.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from apps.domain import errors
from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import Exchange, Target
from apps.simulator import ollama_request
from tests.domain import grammar
from tests.domain.test_golden import ANTHROPIC, ASK, CHECK, GOLDEN, OPENAI, compare, update

REQUESTS, STREAMS = GOLDEN / "ollama_chat" / "requests", GOLDEN / "ollama_chat" / "streams"
TARGET = Target(protocol="ollama_chat", model="qwen3:8b", max_output_tokens=8192, context_tokens=40960)
CLIENTS = (ANTHROPIC, OPENAI, "openai_completions", "prompt")
ASKED = {**ASK, "openai_completions": {"model": "m", "prompt": "hello"}, "prompt": {"model": "m", "prompt": "hello"}}
# Made-up bytes that stand for pictures; Go's decoder wants real base64.
UNREADABLE = "illegal base64"
__all__ = ["update"]  # a fixture


def requests() -> list[tuple[str, str]]:
    return [(name, path.stem) for name in (ANTHROPIC, OPENAI) for path in inputs(name)]


def inputs(client: str) -> list:
    return [path for path in sorted((GOLDEN / client).glob("*.json")) if "." not in path.stem]


def cases() -> list[str]:
    return [path.stem for path in sorted(STREAMS.glob("*.ndjson"))]


def opened(client: str) -> Exchange:
    call = registry.CLIENTS[client].read_request(json.dumps(ASKED[client] | {"stream": True}).encode())
    return exchange.open(call, TARGET, request_id="req_golden", created=1)


def check(client: str) -> Callable[[bytes], bool]:
    """Whether a stream of the dialect, whose grammar is checked, ends in an error."""
    if client in CHECK:
        return lambda stream: CHECK[client](stream).error is not None
    return lambda stream: any('"error":' in data for _, data in grammar.events(stream))


@pytest.mark.parametrize(("client", "case"), requests())
def test_a_request_goes_out_as_its_snapshot_says(client, case, update):
    body = (GOLDEN / client / f"{case}.json").read_bytes()
    try:
        sent = json.loads(exchange.open(registry.CLIENTS[client].read_request(body), TARGET).body)
    except errors.InvalidRequest as error:
        sent = {"refused": {"message": error.message, "param": error.param, "code": error.code}}
    snapshot = REQUESTS / client / f"{case}.json"
    compare(snapshot, json.dumps(sent, indent=2, ensure_ascii=False) + "\n", update=update)


@pytest.mark.parametrize(("client", "case"), requests())
def test_the_simulated_servers_strict_reading_agrees(client, case):
    sent = json.loads((REQUESTS / client / f"{case}.json").read_bytes())
    if "refused" not in sent:
        ollama_request.read(json.dumps(sent).encode())


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("case", cases())
def test_a_stream_arrives_as_its_snapshot_says(client, case, update):
    stream = (STREAMS / f"{case}.ndjson").read_bytes()
    whole = opened(client)
    found = whole.feed(stream) + whole.close()
    compare(STREAMS / f"{case}.{client}.sse", found.decode(), update=update)
    assert (whole.seen.error is None) == whole.seen.finished
    if whole.seen.started:
        assert check(client)(found) == (not whole.seen.finished)
    else:
        assert found == b""
    dripped = opened(client)
    assert b"".join(dripped.feed(stream[at : at + 1]) for at in range(len(stream))) + dripped.close() == found
    assert dripped.seen.usage == whole.seen.usage


def test_every_snapshot_has_its_input():
    known = {f"{case}.{client}.sse" for case in cases() for client in CLIENTS}
    assert {path.name for path in STREAMS.glob("*.sse")} == known
    found = {(path.parent.name, path.stem) for path in REQUESTS.glob("*/*.json")}
    assert found == set(requests())
