"""Real answers of real Ollama servers, replayed where they lie (see `test_recordings`), to callers of every dialect."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest

from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import Exchange, Target
from apps.domain.tokens import TokenUsage
from tests.domain import grammar
from tests.domain.test_recordings import ABSENT, ROOT, Recording, pieces

SPLITS = 12
TARGET = Target(protocol="ollama_chat", model="up", max_output_tokens=1000, context_tokens=8192)
ANTHROPIC, OPENAI = "anthropic_messages", "openai_chat"
ASK: dict[str, dict[str, Any]] = {
    ANTHROPIC: {"model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hello"}]},
    OPENAI: {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "stream_options": {"include_usage": True},
    },
}


def recordings() -> list[Any]:
    """Of `/api/chat`; parameters, or one that says why there is none."""
    found = []
    for path in sorted((ROOT / "ollama").glob("*.json")):
        recording = msgspec.json.decode(path.read_bytes(), type=Recording)
        if recording.request["path"] == "/api/chat":
            found.append(pytest.param(recording, id=path.stem))
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=ABSENT))]


def lines(recording: Recording) -> list[dict[str, Any]]:
    return [json.loads(line) for line in recording.body.splitlines() if line.strip()]


def opened(client: str, *, stream: bool) -> Exchange:
    body = ASK[client] | {"stream": stream}
    return exchange.open(
        registry.CLIENTS[client].read_request(json.dumps(body).encode()), TARGET, request_id="r", created=1
    )


def told(client: str, frames: bytes) -> grammar.Told:
    return grammar.anthropic(frames) if client == ANTHROPIC else grammar.openai(frames, wants_usage=True)


def text_of(client: str, answer: dict[str, Any]) -> str:
    if client == OPENAI:
        return answer["choices"][0]["message"]["content"]
    return "".join(block["text"] for block in answer["content"])


@pytest.mark.parametrize("client", [ANTHROPIC, OPENAI])
@pytest.mark.parametrize("recording", recordings())
def test_an_answer_says_and_counts_the_same(recording, client):
    expected = "".join(line["message"]["content"] for line in lines(recording))
    last = lines(recording)[-1]
    usage = TokenUsage(in_fresh=last.get("prompt_eval_count", 0), out_total=last["eval_count"])
    dice = random.Random(7)
    for _ in range(SPLITS):
        running = opened(client, stream=recording.stream)
        if recording.stream:
            frames = b"".join(map(running.feed, pieces(recording.body, dice))) + running.close()
            found = told(client, frames).text
        else:
            found = text_of(client, json.loads(running.answer(recording.body)))
        assert found == expected
        assert running.seen.usage == usage
        assert running.seen.finished


@pytest.mark.parametrize("client", [ANTHROPIC, OPENAI])
@pytest.mark.parametrize("recording", recordings())
def test_an_answer_that_is_cut_anywhere_is_no_answer(recording, client):
    for end in range(0, len(recording.body) - 1, 501):
        running = opened(client, stream=True)
        running.feed(recording.body[:end])
        running.close()
        assert running.seen.error is not None
        assert not running.seen.finished
