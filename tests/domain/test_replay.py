"""An answer given again says what it said, however it is delivered."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.domain import chat, events
from apps.domain.errors import UpstreamBroken
from apps.domain.protocols import registry, replay
from apps.domain.protocols.contract import ClientCall, ClientFormat, UpstreamFormat
from apps.domain.tokens import TokenUsage
from tests.domain import streams

USUAL = settings(max_examples=60, deadline=None, derandomize=True)
FORMER, FRESH = "req_" + "a" * 32, "req_" + "b" * 32


def again(protocol: str):
    return msgspec.structs.replace(streams.calling(protocol), request_id=FRESH)


@pytest.mark.parametrize("protocol", [streams.ANTHROPIC, streams.OPENAI, streams.RESPONSES])
@given(told=streams.answers())
@USUAL
def test_a_stream_becomes_a_whole_answer_and_that_a_stream(protocol, told):
    usage = told[-1].usage
    stream = streams.encode(protocol, told)
    said = streams.summed(streams.decode(protocol, [stream]))
    body = replay.whole(stream, call=again(protocol), usage=usage, created=5)
    stream = replay.streamed(body, call=again(protocol), usage=usage, created=5)
    found = streams.decode(protocol, [stream])
    streams.check_events(found)
    assert streams.summed(found) == said
    response = registry.UPSTREAMS[protocol].read_response(body)
    assert (response.usage, response.stop_reason) == (said.usage, said.stop)
    assert FRESH.removeprefix("req_") in response.id


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (b'{"id":"msg_01ABC","text":"\\"msg_01ABC\\""}', b'{"id":"msg_%b","text":"\\"msg_01ABC\\""}'),
        (b'data: {"id": "chatcmpl-9"}\n\ndata: {"id": "chatcmpl-9"}\n\n', b'data: {"id": "chatcmpl-%b"}\n\n' * 2),
        (b'{"id":"resp_%b","o":[{"id":"msg_%b"}]}' % ((b"a" * 32,) * 2), b'{"id":"resp_%b","o":[{"id":"msg_%b"}]}'),
        (b'data: {"text":"Hi"}\n\n', b'data: {"text":"Hi"}\n\n'),
    ],
)
def test_an_answer_given_again_has_an_id_of_its_own(answer, expected):
    count = expected.count(b"%b")
    found = replay.renamed(answer, former=FORMER, request_id=FRESH)
    assert found == expected % ((b"b" * 32,) * count)


@pytest.mark.parametrize(
    "answer",
    [
        b'{"type":"message","content":[{"type":"tool_use","input":{"id":"order-55"},"id":"toolu_1"}],"id":"msg_1"}',
        b'data: {"choices":[{"delta":{"tool_calls":[{"index":0,"id":"call_1"}]}}],"id":"chatcmpl-1"}\n\n',
        b'{"text":"\\"id\\":\\"order-55\\",\\"id\\":","metadata":{"id":"order-55"},"id":"resp_1"}',
        b'{"text":"data: {\\"id\\":\\"order-55\\"}"}',
    ],
)
def test_no_other_id_is_taken_for_the_answers(answer):
    """Least of all one among a tool's arguments."""
    assert replay.renamed(answer, former=FORMER, request_id=FRESH) == answer


def test_its_id_is_found_behind_what_else_an_answer_begins_with():
    told = (
        b'data: {"choices":[],"created":0,"id":"","prompt_filter_results":[{"id":"a-1"}]}\n\n'
        b'data: {"choices": [ ], "model": "a\\"b", "created": -1.5e3, "id": "chatcmpl-1", "object": null}\n\n'
    )
    found = replay.renamed(told, former=FORMER, request_id=FRESH)
    assert found == told.replace(b"chatcmpl-1", b"chatcmpl-" + b"b" * 32)


# --- dialects that no provider speaks -------------------------------------------------------------------------------

USAGE = TokenUsage(in_fresh=3, in_cache_read=2, out_total=4)
texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), max_size=4)


def asked(protocol: str, **change) -> ClientCall:
    body = {"model": "m", "prompt": "Say hello.", "stream": True} | change
    call = registry.CLIENTS[protocol].read_request(json.dumps(body).encode())
    return msgspec.structs.replace(call, request_id=FRESH)


def events_of(pieces: list[str]) -> list[Any]:
    deltas = [events.TextDelta(0, piece) for piece in pieces]
    end = [events.BlockStopped(0), events.Finished("stop_sequence", usage=USAGE)]
    return [events.Started("", "m"), events.BlockStarted(0, chat.Text("")), *deltas, *end]


@given(texts, st.booleans(), st.booleans(), st.booleans())
@USUAL
def test_a_legacy_completion_becomes_what_it_would_have_been(pieces, echoes, told_usage, wants_usage):
    """Whichever way it was asked first: the prompt that it begins with is said once."""
    options = [{"stream_options": {"include_usage": wanted}} for wanted in (told_usage, wants_usage)]
    before, now = (asked("openai_completions", echo=echoes, **option) for option in options)
    client = registry.CLIENTS["openai_completions"]
    said = "".join(pieces)
    expected = {
        **{"id": "cmpl-" + "b" * 32, "object": "text_completion", "created": 5, "model": "m"},
        "choices": [
            {"text": "Say hello." * echoes + said, "index": 0, "logprobs": None, "finish_reason": "stop"},
        ],
    }
    encoder = client.encoder(call=before, created=1)
    stream = b": keepalive\n\n" + b"".join(map(encoder.encode, events_of(pieces)))
    whole = replay.whole(stream, call=now, usage=USAGE, created=5)
    counted = json.loads(whole).pop("usage")
    assert json.loads(whole) == expected | {"usage": counted}
    assert (counted["prompt_tokens"], counted["completion_tokens"], counted["total_tokens"]) == (5, 4, 9)
    again = replay.streamed(whole, call=now, usage=USAGE, created=5)
    chunks = [json.loads(frame[6:]) for frame in again.decode().split("\n\n") if frame.startswith("data: {")]
    assert again.endswith(b"data: [DONE]\n\n")
    assert {chunk["id"] for chunk in chunks} == {expected["id"]}
    assert "".join(one["text"] for chunk in chunks for one in chunk["choices"]) == expected["choices"][0]["text"]
    assert [chunk["usage"] for chunk in chunks if chunk.get("usage")] == [counted] * wants_usage


@given(texts)
@USUAL
def test_what_post_chat_answers_becomes_a_stream_and_that_a_whole(pieces):
    call, client = asked("prompt"), registry.CLIENTS["prompt"]
    end = {"model": "m", "stop_reason": "stop_sequence", "usage": {"input_tokens": 5, "output_tokens": 4}}
    encoder = client.encoder(call=call, created=1)
    stream = b"".join(map(encoder.encode, events_of(pieces)))
    whole = replay.whole(stream, call=call, usage=USAGE, created=5)
    assert json.loads(whole) == {"text": "".join(pieces), **end}
    again = replay.streamed(whole, call=call, usage=USAGE, created=5)
    *parts, last = [json.loads(frame[6:]) for frame in again.decode().split("\n\n") if frame]
    assert "".join(part["text"] for part in parts) == "".join(pieces)
    assert last == end


@pytest.mark.parametrize("protocol", ["openai_completions", "prompt"])
@pytest.mark.parametrize("answer", [b"", b"{", b"[]", b'{"choices":[]}', b'{"choices":[{"text":"a"}],"text":"a"}'])
def test_what_was_cut_or_spoilt_is_not_given_again(protocol, answer):
    call = asked(protocol)
    with pytest.raises(UpstreamBroken):
        replay.streamed(answer, call=call, usage=USAGE, created=5)
    with pytest.raises(UpstreamBroken):
        replay.whole(b"data: %b\n\n" % answer, call=call, usage=USAGE, created=5)


def test_every_answer_that_streams_can_be_read_again():
    generating = [one for one in registry.CLIENTS.values() if isinstance(one, ClientFormat)]
    assert {one.name for one in generating} == set(registry.CLIENTS) - {"openai_embeddings"}
    for one in generating:
        assert isinstance(registry.UPSTREAMS.get(one.name), UpstreamFormat) is (one.rereader is None)
