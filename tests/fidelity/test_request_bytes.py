"""What a caller writes its provider reads, byte for byte but for the model's name and the documented splices."""

from __future__ import annotations

from collections.abc import Sequence

import httpx2
import pytest

from tests.fidelity import bodies, calls, seed
from tests.fidelity.upstream import Answer, Request, Upstream

CASES = [(model, name) for model, known in bodies.ALL.items() for name in known]
PATHS = {
    "anthropic": "POST /v1/messages HTTP/1.1",
    "openai": "POST /v1/chat/completions HTTP/1.1",
    "responses": "POST /v1/responses HTTP/1.1",
    "invoke": "POST /model/anthropic.claude-up-v1%3A0/invoke HTTP/1.1",
}
REFUSED = Answer(400, "application/json", (b'{"error":{"message":"Enough."}}',))
CLIENTS = {name: protocol for name, (protocol, _) in seed.MODELS.items()} | {
    "invoke": "anthropic_messages",
    seed.EMBEDDER: "openai_embeddings",
}


def passed(
    http: httpx2.Client,
    upstream: Upstream,
    key: str,
    *,
    model: str,
    body: bytes,
    headers: Sequence[tuple[str, str]] = (),
) -> Request:
    """The request as the provider got it. What it answers does not matter."""
    upstream.answer = REFUSED
    upstream.heard.clear()
    sent = [("authorization", f"Bearer {key}"), ("content-type", "application/json"), *headers]
    answer = http.post(calls.PATHS[CLIENTS[model]], content=body, headers=sent)
    assert (answer.status_code, len(upstream.heard)) == (400, 1), answer.text
    return upstream.heard[0]


@pytest.mark.parametrize(("model", "name"), CASES)
def test_a_body_arrives_byte_for_byte_but_for_its_splices(gateway, http, upstream, model, name):
    template = bodies.ALL[model][name]
    assert bodies.differs(template)
    heard = passed(http, upstream, gateway.key, model=model, body=bodies.sent(template))
    assert heard.body == bodies.received(template)
    assert heard.all("content-length") == [str(len(heard.body))]


def test_a_body_for_the_model_by_its_own_name_is_not_touched_at_all(gateway, http, upstream):
    """Even so that its bytes could not be told from others': a body is only rewritten where it must be."""
    from apps.domain.protocols import exchange, registry
    from apps.domain.protocols.contract import Target

    body = bodies.received(bodies.ANTHROPIC["odd spacing"])
    call = registry.CLIENTS["anthropic_messages"].read_request(body)
    target = Target(protocol="anthropic_messages", model="claude-up", max_output_tokens=9)
    assert exchange.open(call, target).body is body


BETAS = ("interleaved-thinking-2025-05-14", "claude-code-20250219,context-1m-2025-08-07", "new-beta-2027-01-01")


@pytest.mark.parametrize("lines", [[], BETAS[:1], [",".join(BETAS)], BETAS, [f"{BETAS[1]} ,x", "y"]])
def test_betas_arrive_all_and_in_their_order(gateway, http, upstream, lines):
    body = bodies.sent(bodies.ANTHROPIC["compact"])
    headers = [("anthropic-beta", line) for line in lines]
    heard = passed(http, upstream, gateway.key, model="anthropic", body=body, headers=headers)
    told = [name.strip() for line in heard.all("anthropic-beta") for name in line.split(",")]
    assert told == [name.strip() for line in lines for name in line.split(",")]


@pytest.mark.parametrize("lines", [BETAS, [", ".join(BETAS)]])
def test_betas_go_into_bedrocks_body_in_their_order(gateway, http, upstream, lines):
    headers = [("anthropic-beta", line) for line in lines]
    body = bodies.sent(bodies.WITH_BETAS)
    heard = passed(http, upstream, gateway.key, model="invoke", body=body, headers=headers)
    assert heard.body == bodies.received(bodies.WITH_BETAS)
    assert not heard.all("anthropic-beta")


OURS = [
    ("cookie", "session=1"),
    ("x-forwarded-for", "192.0.2.1"),
    ("forwarded", "for=192.0.2.1"),
    ("accept-encoding", "gzip, br"),
    ("user-agent", "caller/1.0"),
    ("origin", "https://example.com"),
    ("x-stainless-lang", "python"),
    ("openai-organization", "org-callers"),
    ("x-claude-code-session-id", "s"),
    ("connection", "x-hop"),
    ("x-hop", "1"),
    ("te", "trailers"),
    ("proxy-authorization", "Basic eA=="),
    ("expect", "200-ok"),
]
ON = {
    "anthropic": {"anthropic-version": ["2023-01-01"], "anthropic-new-thing": ["yes"], "anthropic-workspace-id": ["w"]},
    "openai": {},
    "responses": {},
}


@pytest.mark.parametrize("model", ON)
def test_only_the_vendors_own_headers_go_on(gateway, http, upstream, model):
    body = bodies.sent(bodies.ALL[model]["compact"])
    theirs = [(name, value) for name, values in ON["anthropic"].items() for value in values]
    heard = passed(http, upstream, gateway.key, model=model, body=body, headers=[*OURS, *theirs])
    assert heard.line == PATHS[model]
    assert heard.all("host") == [upstream.url.removeprefix("http://")]
    assert heard.all("content-type") == ["application/json"]
    assert heard.all("accept-encoding") == ["identity"]
    for name in (
        "transfer-encoding",
        *(name for name, _ in OURS if name not in ("accept-encoding", "user-agent", "connection")),
    ):
        assert not heard.all(name), name
    assert "caller/1.0" not in heard.all("user-agent")
    for name, values in ON[model].items():
        assert heard.all(name) == values
    said = "\n".join(value for _, value in heard.headers)
    assert gateway.key not in said
    assert seed.CREDENTIAL in said
