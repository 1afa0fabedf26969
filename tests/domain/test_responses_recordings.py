"""Real answers of OpenAI's Responses, replayed where they lie (see `test_recordings`), to callers of every dialect."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest

from apps.domain import errors
from apps.domain.protocols import exchange, registry
from apps.domain.protocols.contract import Exchange, Target
from apps.domain.tokens import TokenUsage
from tests.domain import grammar, responses_grammar, streams
from tests.domain.streams import ANTHROPIC, OPENAI, RESPONSES
from tests.domain.test_recordings import ABSENT, ROOT, Recording, Said, datas, pieces

SPLITS = 12
TARGET = Target(protocol=RESPONSES, model="up", max_output_tokens=1000)
TOLD: dict[str, Any] = {
    ANTHROPIC: grammar.anthropic,
    OPENAI: lambda stream: grammar.openai(stream, wants_usage=True),
}


def recordings(*, stream: bool | None = None, error: bool = False) -> list[Any]:
    """Parameters, or one that says why there is none."""
    found = []
    for path in sorted((ROOT / "openai_responses").glob("*.json")):
        recording = msgspec.json.decode(path.read_bytes(), type=Recording)
        if stream in (None, recording.stream) and error == (recording.status != 200):
            found.append(pytest.param(recording, id=path.stem))
    return found or [pytest.param(None, marks=pytest.mark.skip(reason=ABSENT))]


def said(recording: Recording) -> Said:
    """By the whole response at the end, which the provider wrote."""
    whole = datas(recording.body)[-1]["response"] if recording.stream else json.loads(recording.body)
    found = Said(usage=whole["usage"], finish=whole["status"])
    for item in whole["output"]:
        found.text += "".join(part.get("text", "") for part in item.get("content") or ())
        found.thinking += "\n\n".join(part["text"] for part in item.get("summary") or ())
        if item["type"] == "function_call":
            found.calls.append((item["name"], json.loads(item["arguments"])))
    return found


def counted(usage: dict[str, Any]) -> TokenUsage:
    cached = usage["input_tokens_details"]["cached_tokens"]
    return TokenUsage(
        in_fresh=usage["input_tokens"] - cached,
        in_cache_read=cached,
        out_total=usage["output_tokens"],
        out_reasoning=usage["output_tokens_details"]["reasoning_tokens"],
    )


def opened(client: str, *, stream: bool) -> Exchange:
    call = streams.calling(client)
    call.stream = stream
    return exchange.open(call, TARGET, request_id="req_1", created=1)


@pytest.mark.parametrize("recording", recordings(stream=True))
def test_a_relayed_stream_is_the_same_bytes_however_they_come(recording):
    dice = random.Random(7)
    for _ in range(SPLITS):
        relay = opened(RESPONSES, stream=True)
        assert b"".join(map(relay.feed, pieces(recording.body, dice))) + relay.close() == recording.body
        assert relay.seen.usage == counted(said(recording).usage)
        assert relay.seen.finished
        assert relay.seen.error is None


@pytest.mark.parametrize("recording", recordings(stream=False))
def test_a_relayed_answer_is_the_same_bytes(recording):
    relay = opened(RESPONSES, stream=False)
    assert relay.answer(recording.body) == recording.body
    assert relay.seen.usage == counted(said(recording).usage)


@pytest.mark.parametrize("client", [ANTHROPIC, OPENAI])
@pytest.mark.parametrize("recording", recordings(stream=True))
def test_a_translated_stream_keeps_the_grammar_and_says_the_same(recording, client):
    dice, expected, first = random.Random(7), said(recording), b""
    for _ in range(SPLITS):
        translated = opened(client, stream=True)
        sent = b"".join(map(translated.feed, pieces(recording.body, dice))) + translated.close()
        assert sent == (first or sent), "the split shows"
        first = sent
        assert translated.seen.usage == counted(expected.usage)
    told = TOLD[client](first)
    assert (told.text, told.thinking, told.arguments) == (expected.text, expected.thinking, expected.calls)
    assert told.error is None


@pytest.mark.parametrize("recording", recordings(stream=False))
def test_a_whole_answer_is_read_and_written_again(recording):
    expected = said(recording)
    answer = registry.UPSTREAMS[RESPONSES].read_response(recording.body)
    assert answer.usage == counted(expected.usage)
    call = streams.calling(RESPONSES)
    told = responses_grammar.answer(registry.CLIENTS[RESPONSES].write_response(answer, call=call, created=1))
    assert (told.text, told.arguments) == (expected.text, expected.calls)


@pytest.mark.parametrize("recording", recordings(stream=True))
def test_the_providers_own_stream_has_the_grammar_of_ours(recording):
    """What our encoder makes of its events is read by the same strict reader."""
    events = streams.decode(RESPONSES, [recording.body])
    streams.check_events(events)
    told = responses_grammar.responses(streams.encode(RESPONSES, events))
    expected = said(recording)
    assert (told.text, told.arguments, told.stop) == (expected.text, expected.calls, expected.finish)


@pytest.mark.parametrize("recording", recordings() + recordings(error=True))
def test_a_recorded_request_is_read_and_relayed_whole(recording):
    body = recording.request["body"]
    call = registry.CLIENTS[RESPONSES].read_request(json.dumps(body).encode())
    assert call.stream is (body.get("stream") is True)
    relayed = json.loads(exchange.open(call, TARGET).body)
    assert relayed == {"max_output_tokens": 1000} | body | {"model": "up"}
    for protocol in (ANTHROPIC, OPENAI):
        target = Target(protocol=protocol, model="up", max_output_tokens=1000)
        if body.get("temperature") == -1:  # what OpenAI refused it for
            with pytest.raises(errors.InvalidRequest, match="temperature"):
                exchange.open(call, target)
        else:
            assert json.loads(exchange.open(call, target).body)["messages"]


@pytest.mark.parametrize("recording", recordings(error=True))
def test_an_error_is_told_as_it_came(recording):
    error = registry.UPSTREAMS[RESPONSES].read_error(recording.status, {}, recording.body)
    assert error.status == recording.status
    assert error.param == json.loads(recording.body)["error"]["param"]
    assert registry.CLIENTS[RESPONSES].write_error(error, request_id="r").body == recording.body
