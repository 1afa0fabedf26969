"""One file for every pair of dialects, in which a reviewer sees what a change does to it: what some requests become,
and what a whole answer, a stream, a cut one and one that fails do.

`golden/<client>/<upstream>.txt`; `pytest tests/fidelity --update-golden` writes them anew. Requests are those of
`tests/domain/golden`, whole answers lie in `golden/answers`, streams are of `tests/fidelity/streams.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from apps.domain import errors
from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import Target
from tests.domain import frames
from tests.fidelity import callers
from tests.fidelity.streams import PLAIN, PROTOCOLS

GOLDEN = Path(__file__).parent / "golden"
REQUESTS = Path(__file__).parents[1] / "domain" / "golden"
CASES = ("conversation", "parallel_tool_results", "structured_output")
SHORT: dict[str, dict[str, Any]] = {
    "openai_completions": {"prompt": "Hello", "max_tokens": 16, "temperature": 0.5, "stop": ["END", "\n"], "user": "u"},
    "prompt": {"prompt": "Hello", "system": "Be brief.", "max_tokens": 16, "temperature": 0.5},
}
TARGETS = {
    name: Target(protocol=name, model=model, max_output_tokens=4096, context_tokens=8192, quirks=frozenset(quirks))
    for name, model, quirks in (
        ("anthropic_messages", "claude-sonnet-4-6", ()),
        ("openai_chat", "gpt-up", ("max_completion_tokens", "developer_role")),
        ("openai_responses", "o-up", ("developer_role",)),
        ("bedrock_invoke", "anthropic.claude-sonnet-4-6-v1:0", ()),
        ("bedrock_converse", "amazon.nova-up-v1:0", ()),
        ("ollama_chat", "llama-up", ()),
    )
}
FAILS: dict[str, bytes] = {
    "anthropic_messages": b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"B"}}\n\n',
    "openai_chat": b'data: {"error":{"message":"Busy","type":"server_error","code":503}}\n\n',
    "openai_responses": b'event: error\ndata: {"type":"error","code":"server_error","message":"Busy"}\n\n',
    "bedrock_invoke": frames.exception("throttlingException", "Busy"),
    "bedrock_converse": frames.exception("serviceUnavailableException", "Busy"),
    "ollama_chat": b'{"error":"Busy"}\n',
}


@pytest.fixture
def update(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))


@pytest.mark.parametrize(("client", "upstream"), callers.PAIRS)
def test_a_pair_does_what_its_snapshot_says(client, upstream, update):
    found = "\n".join([*_requests(client, upstream), *_answer(client, upstream), *_streams(client, upstream)]) + "\n"
    path = GOLDEN / client / f"{upstream}.txt"
    if update:
        path.parent.mkdir(exist_ok=True)
        path.write_text(found, encoding="utf-8", newline="")
    assert path.exists(), "no snapshot: run with --update-golden and read the diff"
    assert found == path.read_bytes().decode()


def test_every_snapshot_is_of_a_pair():
    found = {(path.parent.name, path.stem) for path in GOLDEN.glob("*/*.txt")}
    assert found == set(callers.PAIRS)


def _requests(client: str, upstream: str) -> Iterator[str]:
    bodies = {case: path.read_bytes() for case in CASES if (path := REQUESTS / client / f"{case}.json").exists()}
    if client in SHORT:
        bodies = {"prompt": json.dumps({"model": "m", **SHORT[client]}).encode()}
    assert bodies
    for case, body in bodies.items():
        yield f"=== request: {case}"
        try:
            call = registry.CLIENTS[client].read_request(body)
            yield json.dumps(json.loads(exchange.open(call, TARGETS[upstream]).body), indent=1, ensure_ascii=False)
        except errors.InvalidRequest as error:
            yield f"refused: {error.message} (param {error.param}, code {error.code})"


def _answer(client: str, upstream: str) -> Iterator[str]:
    yield "=== answer: whole"
    body = json.dumps(json.loads((GOLDEN / "answers" / f"{upstream}.json").read_bytes()), ensure_ascii=False).encode()
    written = callers.opened(client, upstream, stream=False).answer(body)
    if (client, upstream) in callers.RELAYED:
        assert written == body
        yield "as it came"
    else:
        yield json.dumps(json.loads(written), indent=1, ensure_ascii=False)


def _streams(client: str, upstream: str) -> Iterator[str]:
    protocol = PROTOCOLS[upstream]
    events = [protocol.write(event) for event in protocol.events(PLAIN)]
    half = b"".join(events[: len(events) // 2])
    streams = {"whole": b"".join(events) + protocol.end, "cut": half, "failing": half + FAILS[upstream]}
    whole = ""
    for how, stream in streams.items():
        running, sent = callers.fed(client, upstream, [stream])
        assert running.seen.started
        if (client, upstream) not in callers.RELAYED:
            callers.read(client, sent)
        said = sent.decode()
        yield f"=== stream: {how}"
        if how == "whole":
            yield said
            whole = said
        else:  # what differs behind the beginning that they have in common
            begun = next(
                (n for n, (a, b) in enumerate(zip(said, whole, strict=False)) if a != b), min(len(said), len(whole))
            )
            begun = said.rfind("\n\n", 0, begun) + 2
            yield f"… {said[begun:]}"
        usage = running.seen.usage
        yield f"seen: {running.seen.stop_reason}, {usage}, {running.seen.error!r}"
