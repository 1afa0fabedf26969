"""Every request that real clients have sent can be asked of every other provider: no word of it is lost, and the
provider's own strict reading takes it; or it is refused, and the refusal names the field."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from apps.domain.chat import Fetched
from apps.domain.errors import InvalidRequest, Unfetched
from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import ClientCall, Target
from apps.simulator import anthropic_request, ask, ollama_request, openai_request, responses_request
from apps.simulator.bedrock import converse_request, invoke_request
from apps.simulator.dialect import Request
from tests.domain.test_recordings import _words
from tests.fidelity import callers
from tests.fidelity.recorded import Recording, recordings

CLAUDE, NOVA = "anthropic.claude-sonnet-4-6", "amazon.nova-pro-v1:0"
MODELS = {
    **{"anthropic_messages": "claude-sonnet-4-6", "openai_chat": "gpt-4o", "openai_responses": "o9"},
    **{"bedrock_invoke": CLAUDE, "bedrock_converse": NOVA, "ollama_chat": "qwen3:8b"},
}
QUIRKS = {"openai_chat": {"max_completion_tokens", "developer_role"}, "openai_responses": {"developer_role"}}
READERS: dict[str, Callable[[bytes], Any]] = {
    "anthropic_messages": lambda body: anthropic_request.read(body, headers={b"anthropic-version": b"2023-06-01"}),
    "openai_chat": lambda body: openai_request.read(body, headers={}),
    "openai_responses": responses_request.read,
    "bedrock_invoke": lambda body: invoke_request.read(_aws(f"/model/{CLAUDE}/invoke", body)),
    "bedrock_converse": lambda body: converse_request.read(_aws(f"/model/{NOVA}/converse", body)),
    "ollama_chat": ollama_request.read,
}
# What the model asked has not, whatever its dialect: the provider says so in its own words, which callers know.
MISSING = ("role 'system' is not supported on this model", "Input tag 'code_execution")
REFUSED = (
    *("'n': this model gives one choice", "Invalid 'temperature'"),
    "this model takes no stop sequences",
)
PAIRS = [
    pytest.param(*case.values, upstream, id=f"{case.id}-{upstream}", marks=case.marks)
    for case in recordings(("anthropic", "openai_chat", "openai_responses", "bedrock_invoke"))
    for upstream in callers.UPSTREAMS
    if case.values[0] is None or case.values[0].protocol != upstream
]


def _aws(path: str, body: bytes) -> Request:
    return Request(method="POST", path=path, headers={}, body=body)


def _client(recording: Recording) -> str:
    return "anthropic_messages" if recording.dialect == "bedrock_invoke" else recording.protocol


@pytest.mark.parametrize(("recording", "upstream"), PAIRS)
def test_a_recorded_request_reaches_every_provider_whole(recording: Recording, upstream):
    client = registry.CLIENTS[_client(recording)]
    body = {"model": "m", **recording.request["body"]}
    body.pop("anthropic_version", None)
    call = client.read_request(json.dumps(body).encode())
    target = Target(
        protocol=upstream,
        model=MODELS[upstream],
        max_output_tokens=64_000,
        context_tokens=200_000,
        quirks=frozenset(QUIRKS.get(upstream, ())),
    )
    sent, refusal = _asked(call, target)
    if refusal is not None:
        assert any(word in refusal.message for word in REFUSED), refusal.message
        assert refusal.param
        return
    _check_words(client, call, sent)
    told = _refused(upstream, sent)
    assert told is None or any(word in told for word in MISSING), told
    assert told is None or (call.protocol, upstream) in callers.RELAYED


def _asked(call: ClientCall, target: Target) -> tuple[bytes, InvalidRequest | None]:
    """What is sent, with a picture for each URL that is to be fetched; or what is refused."""
    try:
        try:
            return exchange.open(call, target).body, None
        except Unfetched as lacking:
            found = dict.fromkeys(lacking.urls, Fetched(b"\x89PNG\r\n\x1a\n"))
            return exchange.open(call, msgspec.structs.replace(target, fetched=found)).body, None
    except InvalidRequest as error:
        return b"", error


def _refused(upstream: str, body: bytes) -> str | None:
    try:
        READERS[upstream](body)
    except ask.Refused as refused:
        return str(refused)
    return None


def _check_words(client: Any, call: Any, sent: bytes) -> None:
    found = "\n".join(_texts(json.loads(sent)))
    for word in _words(client.to_chat(call)):
        name, _, arguments = word.partition(" {")
        if arguments:
            assert name in found
        else:
            assert word in found or _as_base64(word) in found, word


def _as_base64(word: str) -> str:
    """Of its beginning, as it stands in the base64 of a file that begins with it."""
    raw = word.encode()
    return base64.b64encode(raw[: len(raw) // 3 * 3]).decode()


def _texts(data: Any) -> Iterator[str]:
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict):
        for value in data.values():
            yield from _texts(value)
    elif isinstance(data, list):
        for value in data:
            yield from _texts(value)
