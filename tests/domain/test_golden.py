"""One input, a snapshot for each target: what of a request goes out, what of a stream comes back.

`golden/<protocol>/<case>.json` is a client's request, `<case>.<target>.json` what is sent to that target.
`golden/<protocol>/<case>.sse` is an upstream's stream, `<case>.<client>.sse` what a client of that dialect gets.
`--update-golden` writes the snapshots anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.domain import errors
from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import ClientCall, Exchange, Target
from apps.simulator import anthropic_request, openai_request, responses_request
from tests.domain import grammar, responses_grammar

GOLDEN = Path(__file__).parent / "golden"
ANTHROPIC, OPENAI, RESPONSES = "anthropic_messages", "openai_chat", "openai_responses"
OTHERS = {ANTHROPIC: (OPENAI, RESPONSES), OPENAI: (ANTHROPIC, RESPONSES), RESPONSES: (ANTHROPIC, OPENAI)}
CLAUDE = {
    "claude": Target(protocol=ANTHROPIC, model="claude-sonnet-4-6", max_output_tokens=64000),
    "older_claude": Target(protocol=ANTHROPIC, model="claude-3-7-sonnet-20250219", max_output_tokens=8192),
}
GPT = {
    "openai": Target(
        protocol=OPENAI,
        model="gpt-up",
        max_output_tokens=32000,
        quirks=frozenset({"max_completion_tokens", "developer_role"}),
    ),
}
REASONER = {
    "responses": Target(
        protocol=RESPONSES, model="o9-up", max_output_tokens=32000, quirks=frozenset({"developer_role"})
    ),
}
TARGETS = {
    OPENAI: {**CLAUDE, **REASONER},  # where requests in this dialect go
    RESPONSES: {**CLAUDE, **GPT},
    ANTHROPIC: {
        **GPT,
        **REASONER,
        "compatible": Target(
            protocol=OPENAI,
            model="glm-up",
            max_output_tokens=32000,
            quirks=frozenset({"string_system", "string_content", "head_system_only", "no_parallel_tool_calls"}),
        ),
    },
}
ASK = {
    ANTHROPIC: {"model": "claude-test", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]},
    OPENAI: {
        "model": "gpt-test",
        "messages": [{"role": "user", "content": "hello"}],
        "stream_options": {"include_usage": True},
    },
    RESPONSES: {"model": "gpt-test", "input": "hello"},
}
CHECK: dict[str, Callable[[bytes], grammar.Told]] = {
    ANTHROPIC: grammar.anthropic,
    OPENAI: lambda stream: grammar.openai(stream, wants_usage=True),
    RESPONSES: responses_grammar.responses,
}


# Those who sign what they think know a signature of their own, and these are made up.
SIGNED = ("thinking_history", "signed_thinking_history", "codex_second_turn")


def inputs(suffix: str) -> list[tuple[str, str]]:
    """(protocol, case) of every input; snapshots have one more dot."""
    found = [(p.parent.name, p.stem) for p in sorted(GOLDEN.glob(f"*/*{suffix}")) if "." not in p.stem]
    assert found
    return found


def requests() -> list[tuple[str, str, str]]:
    return [(protocol, case, target) for protocol, case in inputs(".json") for target in TARGETS[protocol]]


def streams() -> list[tuple[str, str, str]]:
    return [(protocol, case, client) for protocol, case in inputs(".sse") for client in OTHERS[protocol]]


def compare(path: Path, found: str, *, update: bool) -> None:
    if update:
        path.write_text(found, encoding="utf-8", newline="")
        return
    assert path.exists(), f"no snapshot {path.name}: run with --update-golden and read the diff"
    assert found == path.read_bytes().decode()


def asking(protocol: str) -> ClientCall:
    return registry.CLIENTS[protocol].read_request(json.dumps(ASK[protocol] | {"stream": True}).encode())


def opened(client: str, *, upstream: str) -> Exchange:
    target = Target(protocol=upstream, model="up", max_output_tokens=1000)
    return exchange.open(asking(client), target, request_id="req_golden", created=1)


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden", default=False))


@pytest.mark.parametrize(("protocol", "case", "target"), requests())
def test_a_request_goes_out_as_its_snapshot_says(protocol, case, target, update):
    body = (GOLDEN / protocol / f"{case}.json").read_bytes()
    try:
        call = registry.CLIENTS[protocol].read_request(body)
        sent = json.loads(exchange.open(call, TARGETS[protocol][target]).body)
    except errors.InvalidRequest as error:
        sent = {"refused": {"message": error.message, "param": error.param, "code": error.code}}
    found = json.dumps(sent, indent=2, ensure_ascii=False) + "\n"
    compare(GOLDEN / protocol / f"{case}.{target}.json", found, update=update)


@pytest.mark.parametrize(("protocol", "case", "client"), streams())
def test_a_stream_arrives_as_its_snapshot_says(protocol, case, client, update):
    stream = (GOLDEN / protocol / f"{case}.sse").read_bytes()
    whole = opened(client, upstream=protocol)
    found = whole.feed(stream) + whole.close()
    compare(GOLDEN / protocol / f"{case}.{client}.sse", found.decode(), update=update)
    assert (whole.seen.error is None) == whole.seen.finished
    if whole.seen.started:
        told = CHECK[client](found)
        assert (told.error is None) == whole.seen.finished
    else:
        assert found == b""
    dripped = opened(client, upstream=protocol)
    drops = b"".join(dripped.feed(stream[at : at + 1]) for at in range(len(stream))) + dripped.close()
    assert drops == found
    assert dripped.seen.usage == whole.seen.usage


@pytest.mark.parametrize(("protocol", "case"), inputs(".sse"))
def test_a_stream_of_the_callers_own_dialect_arrives_untouched(protocol, case):
    stream = (GOLDEN / protocol / f"{case}.sse").read_bytes()
    relayed = opened(protocol, upstream=protocol)
    found = relayed.feed(stream) + relayed.close()
    if relayed.seen.error is None:
        assert found == stream
    elif relayed.seen.started:
        assert found.startswith(stream) or _ends_in_error(protocol, found)


def _ends_in_error(protocol: str, stream: bytes) -> bool:
    if protocol == RESPONSES:  # what went before is the provider's own
        return grammar.events(stream)[-1][0] == "response.failed"
    return CHECK[protocol](stream).error is not None


@pytest.mark.parametrize(("protocol", "case", "target"), requests())
def test_the_simulated_providers_strict_reading_agrees(protocol, case, target):
    """Written apart from the code under test, it refuses what the vendors refuse."""
    body = (GOLDEN / protocol / f"{case}.{target}.json").read_bytes()
    if "refused" in json.loads(body) or case == "schema_with_alternatives_at_the_top":  # OpenAI refuses it, too
        return
    if TARGETS[protocol][target].protocol == RESPONSES:
        responses_request.read(body)
    elif TARGETS[protocol][target].protocol == OPENAI:
        openai_request.read(body, headers={})
    elif case not in SIGNED:
        anthropic_request.read(body, headers={b"anthropic-version": b"2023-06-01"})


def test_every_snapshot_has_its_input():
    for path in GOLDEN.glob("*/*.*.*"):
        case, label, suffix = path.name.split(".")
        assert (path.parent / f"{case}.{suffix}").exists(), path.name
        assert label in (*TARGETS[path.parent.name], *OTHERS[path.parent.name]), path.name
