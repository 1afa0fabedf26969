"""An answer given again says what it said, however it is delivered."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings

from apps.domain.protocols import registry, replay
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


def test_who_cannot_be_read_again_is_known():
    known = {name: replay.is_read(name) for name in registry.CLIENTS}
    assert known == {
        "anthropic_messages": True,
        "openai_chat": True,
        "openai_responses": True,
        "openai_completions": False,
        "openai_embeddings": False,
        "prompt": False,
    }
