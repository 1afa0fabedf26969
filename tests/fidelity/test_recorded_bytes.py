"""What a real provider has said arrives through the gateway byte for byte, however it comes.

Of Claude on Bedrock the events do, in the envelope of Anthropic's own streams.
"""

from __future__ import annotations

import json
import random
from typing import Any

import httpx2
import pytest

from tests.domain.test_bedrock_recordings import native
from tests.domain.test_recordings import pieces
from tests.fidelity import calls, seed
from tests.fidelity.recorded import Recording, recordings
from tests.fidelity.upstream import Answer

MODELS = {protocol: name for name, (protocol, _) in seed.MODELS.items()}
RELAYED = ("anthropic", "openai_chat", "openai_responses")
SPLITS = 3


def ask(http: httpx2.Client, key: str, *, client: str, model: str, stream: bool) -> httpx2.Response:
    headers = {"x-api-key": key, "content-type": "application/json"}
    return http.post(calls.PATHS[client], content=calls.body(client, model=model, stream=stream), headers=headers)


def heard(http: httpx2.Client, key: str, answer: Answer, *, client: str, model: str) -> bytes:
    """A stream, whose rest the provider sends when its beginning has arrived."""
    headers = {"x-api-key": key, "content-type": "application/json"}
    body = calls.body(client, model=model, stream=True)
    with http.stream("POST", calls.PATHS[client], content=body, headers=headers) as response:
        answer.begun.set()
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        return response.read()


def in_two(recording: Recording, dice: random.Random, *, begins: int) -> Answer:
    """Its beginning alone, then the rest, both in random pieces."""
    first, rest = recording.body[:begins], recording.body[begins:]
    return Answer(200, recording.media, tuple(pieces(first, dice)), tuple(pieces(rest, dice)))


@pytest.mark.parametrize("recording", recordings(RELAYED, stream=True, ok=True))
def test_a_stream_arrives_byte_for_byte(gateway, http, upstream, recording: Recording, dice):
    begins = recording.body.index(b"\n\n", recording.body.index(b"data: ")) + 2
    for _ in range(SPLITS):
        upstream.answer = answer = in_two(recording, dice, begins=begins)
        model = MODELS[recording.protocol]
        assert heard(http, gateway.key, answer, client=recording.protocol, model=model) == recording.body


@pytest.mark.parametrize("recording", recordings(("bedrock_invoke",), stream=True, ok=True))
def test_a_stream_of_claude_on_bedrock_arrives_event_by_event(gateway, http, upstream, recording: Recording, dice):
    begins = int.from_bytes(recording.body[:4])
    for _ in range(SPLITS):
        upstream.answer = answer = in_two(recording, dice, begins=begins)
        found = heard(http, gateway.key, answer, client="anthropic_messages", model="invoke")
        assert found == native(recording.body)


@pytest.mark.parametrize("recording", recordings((*RELAYED, "bedrock_invoke"), stream=False, ok=True))
def test_a_whole_answer_arrives_byte_for_byte(gateway, http, upstream, recording: Recording, dice):
    upstream.answer = Answer(200, recording.media, tuple(pieces(recording.body, dice)))
    client = "anthropic_messages" if recording.dialect == "bedrock_invoke" else recording.protocol
    answer = ask(http, gateway.key, client=client, model=MODELS[recording.protocol], stream=False)
    assert (answer.status_code, answer.content) == (200, recording.body)
    assert answer.headers["content-type"] == "application/json"
    assert "content-encoding" not in answer.headers


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("recording", recordings(RELAYED, ok=False))
def test_an_error_arrives_byte_for_byte_with_its_status(gateway, http, upstream, recording: Recording, stream):
    if stream and recording.status == 429:
        return  # its credential rests by now
    upstream.answer = Answer(recording.status, recording.media, (recording.body,))
    model = f"{MODELS[recording.protocol]}-{recording.status}"
    answer = ask(http, gateway.key, client=recording.protocol, model=model, stream=stream)
    assert (answer.status_code, answer.content) == (recording.status, recording.body)


SAID: dict[str, dict[str, Any]] = {
    "anthropic": {
        "type": "error",
        "error": {"type": "some_new_error", "message": "No “é” — 12 > 9."},
        "x": [1.0, None],
    },
    "openai": {"error": {"message": "No.", "type": "new_error", "param": None, "code": None, "extra": {"n": 1.50}}},
    "responses": {"error": {"message": "No.", "type": "invalid_request_error", "param": "input[0]", "code": "x"}},
}


@pytest.mark.parametrize("status", [400, 404, 413, 422])
@pytest.mark.parametrize("model", SAID)
def test_a_providers_own_words_arrive_as_it_wrote_them(gateway, http, upstream, model, status):
    said = json.dumps(SAID[model], indent=1).encode() + b" \n"
    upstream.answer = Answer(status, "application/json; charset=utf-8", (said,))
    client = seed.MODELS[model][0]
    answer = ask(http, gateway.key, client=client, model=f"{model}-{status}", stream=False)
    assert (answer.status_code, answer.content) == (status, said)


def test_vectors_arrive_as_their_provider_wrote_them(gateway, http, upstream):
    said = b'{ "object":"list","data":[{"object":"embedding","index":0,"embedding":[0.10, -1e-3,1]}],\n"new":1.0,'
    said += b'"model":"v","usage":{"prompt_tokens":3,"total_tokens":3} }\n'
    upstream.answer = Answer(200, "application/json", (said[:40], said[40:]))
    body = json.dumps({"model": seed.EMBEDDER, "input": "hello"}).encode()
    headers = {"x-api-key": gateway.key, "content-type": "application/json"}
    answer = http.post("/v1/embeddings", content=body, headers=headers)
    assert (answer.status_code, answer.content) == (200, said)
