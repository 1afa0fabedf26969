"""What real providers of all six protocols have answered, callers of every dialect understand: words, thinking, calls,
why it ended, and the tokens."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from apps.domain.errors import UpstreamError, UpstreamRefused
from apps.domain.protocols import registry
from tests.domain import responses_grammar
from tests.domain import test_bedrock_recordings as bedrock
from tests.domain import test_recordings as known
from tests.domain import test_responses_recordings as responses
from tests.domain.grammar import Told
from tests.domain.test_recordings import Said, pieces
from tests.fidelity import callers
from tests.fidelity.recorded import Recording, recordings

SPLITS = 3
WITHOUT_CALLS = ("openai_completions", "prompt")  # their dialects have no words for calls, nor for thinking
EVERY = pytest.mark.parametrize("client", callers.CLIENTS)


def said(recording: Recording) -> Said:
    """By plain reading of the vendor's own JSON."""
    theirs = known.Recording(
        recording.id, recording.dialect, recording.stream, recording.request, dict(recording.response)
    )
    match recording.dialect:
        case "openai_responses":
            return responses.said(theirs)
        case "bedrock_converse":
            text, thinking, calls, usage = bedrock.said(theirs)
            return Said(text=text, thinking=thinking, calls=calls, usage=usage)
        case "bedrock_invoke":
            theirs.dialect = "anthropic"
            if recording.stream:
                theirs.response["body_text"] = bedrock.native(recording.body).decode()
        case "ollama":
            return _ollama(recording)
    return known.said(theirs)


def _ollama(recording: Recording) -> Said:
    found = Said()
    for line in map(json.loads, recording.body.splitlines()):
        message = line["message"]
        found.text += message.get("content") or ""
        found.thinking += message.get("thinking") or ""
        for call in message.get("tool_calls") or ():
            found.calls.append((call["function"]["name"], call["function"]["arguments"]))
        found.usage = line
    return found


def total(usage: dict[str, Any]) -> int:
    """Of all tokens, in whichever words they are counted."""
    if "inputTokens" in usage:
        return int(usage["totalTokens"])
    if "eval_count" in usage:
        return int(usage.get("prompt_eval_count", 0) + usage["eval_count"])
    if "prompt_tokens" in usage:
        return int(usage["prompt_tokens"] + usage["completion_tokens"])
    caches = ("cache_read_input_tokens", "cache_creation_input_tokens")
    return sum(int(usage.get(name) or 0) for name in ("input_tokens", "output_tokens", *caches))


def check(client: str, told: Told, expected: Said) -> None:
    assert told.text == expected.text
    if client in WITHOUT_CALLS:
        return
    assert told.thinking == expected.thinking
    assert told.arguments == expected.calls
    if client != "openai_responses" and told.error is None:
        assert (told.stop in ("tool_use", "tool_calls")) == bool(expected.calls)


@EVERY
@pytest.mark.parametrize("recording", recordings(stream=True, ok=True))
def test_a_recorded_stream_is_understood(recording: Recording, client, dice):
    expected = said(recording)
    first = b""
    for _ in range(SPLITS):
        running, sent = callers.fed(client, recording.protocol, pieces(recording.body, dice))
        assert sent == (first or sent), "the split shows"
        first = sent
        assert (running.seen.error is not None) == expected.error
        if expected.usage:
            assert running.seen.usage is not None
            assert running.seen.usage.total == total(expected.usage)
    if (client, recording.protocol) not in callers.RELAYED:
        told = callers.read(client, first)
        assert (told.error is not None) == expected.error
        if not (expected.error and client == "openai_responses"):  # which tells the whole of an item at its end
            check(client, told, expected)


@EVERY
@pytest.mark.parametrize("recording", recordings(stream=False, ok=True))
def test_a_recorded_answer_is_understood(recording: Recording, client):
    expected = said(recording)
    running = callers.opened(client, recording.protocol, stream=False)
    written = running.answer(recording.body)
    assert running.seen.usage is not None
    assert running.seen.usage.total == total(expected.usage)
    if (client, recording.protocol) in callers.RELAYED:
        assert written == recording.body
        return
    check(client, _whole(client, written), expected)


def _whole(client: str, written: bytes) -> Told:
    answer = json.loads(written)
    found = Said()
    match client:
        case "openai_responses":
            return responses_grammar.answer(written)
        case "prompt":
            return Told(text=answer["text"], stop=answer["stop_reason"])
        case "openai_completions":
            return Told(text=answer["choices"][0]["text"], stop=answer["choices"][0]["finish_reason"])
        case "openai_chat":
            found.finish = answer["choices"][0]["finish_reason"]
            known._openai_message(answer["choices"][0]["message"], found)
        case _:
            found = known._anthropic_answer(answer)
    calls = [("", name, json.dumps(arguments)) for name, arguments in found.calls]
    return Told(text=found.text, thinking=found.thinking, calls=calls, stop=found.finish)


@EVERY
@pytest.mark.parametrize("recording", recordings(ok=False))
def test_a_recorded_refusal_is_told_in_the_callers_words(recording: Recording, client):
    upstream, wire = registry.UPSTREAMS[recording.protocol], registry.CLIENTS[client]
    error = upstream.read_error(recording.status, recording.response["headers"], recording.body)
    assert isinstance(error, UpstreamError)
    assert error.message.encode() in recording.body.replace(b'\\"', b'"')
    error.body = None
    shape = wire.write_error(error, request_id="req_1")
    told = json.loads(shape.body)["error"]
    assert told["message"] == error.message
    if isinstance(error, UpstreamRefused):
        assert 400 <= shape.status < 500
    assert msgspec.json.decode(shape.body)
