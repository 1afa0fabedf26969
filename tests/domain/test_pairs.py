"""What one side writes the other reads: every pair of dialects, random answers in random pieces, and hostile ones."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from apps.domain import sse
from apps.domain.chat import ChatRequest, ChatResponse, Message, Text, Thinking, Tool, ToolResult, ToolUse
from apps.domain.protocols import exchange, registry
from apps.domain.protocols.anthropic_messages import names
from apps.domain.protocols.contract import Exchange, Target
from apps.domain.protocols.openai_chat import messages
from apps.domain.tokens import TokenUsage
from tests.domain import grammar, responses_grammar, streams
from tests.domain.streams import ANTHROPIC, OPENAI, RESPONSES

ALL = (ANTHROPIC, OPENAI, RESPONSES)
EACH = pytest.mark.parametrize("protocol", ALL)
UPSTREAMS = pytest.mark.parametrize("upstream", ALL)  # what is random is theirs, and each client gets it
random_examples = settings(
    max_examples=60, deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)


def told(protocol: str, stream: bytes) -> grammar.Told:
    if protocol == RESPONSES:
        return responses_grammar.responses(stream)
    return grammar.anthropic(stream) if protocol == ANTHROPIC else grammar.openai(stream, wants_usage=True)


def carried(protocol: str, said: streams.Sum) -> streams.Sum:
    """What of an answer a dialect can carry."""
    if protocol == ANTHROPIC or said.usage is None or said.stop is None:
        return said
    usage = msgspec.structs.replace(
        said.usage,
        in_cache_write_5m=said.usage.in_cache_write_5m + said.usage.in_cache_write_1h,
        in_cache_write_1h=0,
    )
    return msgspec.structs.replace(said, usage=usage, stop=streams.OPENAI_SAYS.get(said.stop, said.stop))


def tagged(text: str) -> bool:
    """Whether OpenAI's decoder would take the head of a text for thinking."""
    return "<think>".startswith(text.lstrip()[:7]) and bool(text.lstrip())


@EACH
@random_examples
@given(events=streams.answers(), cuts=streams.cuts)
def test_what_a_dialect_encodes_it_decodes(protocol, events, cuts):
    said = streams.summed(events)
    assume(not tagged(said.text))
    stream = streams.encode(protocol, events)
    found = told(protocol, stream)
    assert (found.text, found.thinking) == (said.text, said.thinking)
    assert [(name, made) for _, name, made in said.calls] == found.arguments
    back = streams.decode(protocol, streams.split(stream, cuts))
    streams.check_events(back)
    assert streams.summed(back) == carried(protocol, said)


@UPSTREAMS
@random_examples
@given(events=streams.answers(), cuts=streams.cuts)
def test_what_an_upstream_says_reaches_any_client(upstream, events, cuts):
    said = carried(upstream, streams.summed(events))
    assume(not tagged(said.text))
    stream = streams.encode(upstream, events)
    for client in ALL:
        opened, sent = relayed(client, upstream, streams.split(stream, cuts))
        found = told(client, sent)
        assert (found.text, found.thinking) == (said.text, said.thinking), client
        assert found.arguments == [(name, made) for _, name, made in said.calls], client
        assert opened.seen.usage == said.usage, client
        assert opened.seen.finished, client
        assert opened.seen.error is None, client
        if client == upstream:
            assert sent == stream


def target(protocol: str) -> Target:
    return Target(protocol=protocol, model="up", max_output_tokens=1000)


@EACH
@random_examples
@given(events=streams.answers())
def test_a_whole_answer_that_a_dialect_writes_it_reads(protocol, events):
    said = streams.summed(events)
    assume(not tagged(said.text))
    blocks: list[Any] = [Thinking(said.thinking, "EqQB")] if said.thinking else []
    blocks += [Text(said.text)] if said.text else []
    blocks += [ToolUse(id_, name, json.dumps(made)) for id_, name, made in said.calls]
    response = ChatResponse(
        id="id_1", model="m", content=tuple(blocks), stop_reason=said.stop, usage=said.usage or TokenUsage()
    )
    written = registry.CLIENTS[protocol].write_response(response, call=streams.calling(protocol), created=1)
    back = registry.UPSTREAMS[protocol].read_response(written)
    expected = carried(protocol, said)
    assert "".join(block.text for block in back.content if isinstance(block, Text)) == said.text
    assert "".join(block.text for block in back.content if isinstance(block, Thinking)) == said.thinking
    calls = [(b.id, b.name, json.loads(b.arguments)) for b in back.content if isinstance(b, ToolUse)]
    assert calls == said.calls
    assert (back.stop_reason, back.usage) == (expected.stop, expected.usage)


spoken = st.text(min_size=1, max_size=12).filter(lambda text: bool(text.strip()))


@st.composite
def conversations(draw: st.DrawFn) -> ChatRequest:
    """Turns that two dialects can carry without loss: every call answered, nothing blank."""
    turns = [Message("user", (Text(draw(spoken)),))]
    for number in range(draw(st.integers(0, 4))):
        calls = [
            ToolUse(f"id-{number}-{call}", "tool", json.dumps(draw(streams.arguments)))
            for call in range(draw(st.integers(0, 3)))
        ]
        turns.append(Message("assistant", (Text(draw(spoken)), *calls)))
        results = [ToolResult(call.id, (Text(draw(spoken)),)) for call in calls]
        turns.append(Message("user", (*results, Text(draw(spoken)))))
    system = tuple(Text(text) for text in draw(st.lists(spoken, max_size=2)))
    tools = (Tool("tool", draw(st.none() | spoken), {"type": "object", "properties": {}}),)
    return ChatRequest(model="m", messages=tuple(turns), system=system, tools=tools, max_tokens=77, stop=("END",))


@pytest.mark.parametrize("protocol", [ANTHROPIC, OPENAI])
@random_examples
@given(asked=conversations())
def test_a_request_that_a_dialect_writes_it_reads(protocol, asked):
    client, written = registry.CLIENTS[protocol], registry.UPSTREAMS[protocol].write_request(asked, target(protocol))
    back = client.to_chat(client.read_request(written))
    assert [plain(message) for message in back.messages] == [plain(message) for message in asked.messages]
    assert (back.system, back.max_tokens, back.stop) == (asked.system, 77, ("END",))
    assert [(tool.name, tool.description, tool.schema) for tool in back.tools] == [
        (tool.name, tool.description, tool.schema) for tool in asked.tools
    ]


def plain(message: Message) -> list[Any]:
    """A turn with its arguments as values: their spelling is nobody's promise."""
    return [message.role] + [
        (block.id, block.name, json.loads(block.arguments)) if isinstance(block, ToolUse) else block
        for block in message.content
    ]


@st.composite
def hostile(draw: st.DrawFn, protocol: str) -> bytes:
    """A good stream with frames lost, doubled, shuffled, or overwritten."""
    frames = sse.events(streams.encode(protocol, draw(streams.answers())))
    edit = draw(st.sampled_from(["drop", "double", "shuffle", "junk", "frame", "cut"]))
    place = draw(st.integers(0, max(0, len(frames) - 1)))
    if edit == "drop":
        del frames[place : place + draw(st.integers(1, 3))]
    elif edit == "double":
        frames.insert(place, frames[draw(st.integers(0, len(frames) - 1))])
    elif edit == "shuffle":
        frames = draw(st.permutations(frames))
    elif edit == "frame":
        value = draw(
            st.sampled_from([b"null", b"[]", b"{}", b"7", b'"x"', b'{"choices":[null]}', b'{"type":"message_stop"}'])
        )
        frames.insert(place, b"data: " + value + b"\n\n")
    stream = b"".join(frames)
    if edit == "junk":
        at = draw(st.integers(0, len(stream)))
        stream = stream[:at] + draw(st.binary(max_size=20)) + stream[at + draw(st.integers(0, 20)) :]
    return stream[: draw(st.integers(0, len(stream)))] if edit == "cut" else stream


def relayed(client: str, upstream: str, pieces: list[bytes]) -> tuple[Exchange, bytes]:
    opened = exchange.open(streams.calling(client), target(upstream), request_id="r", created=1)
    return opened, b"".join(map(opened.feed, pieces)) + opened.close()


@UPSTREAMS
@settings(random_examples, max_examples=100)
@given(data=st.data(), cuts=streams.cuts)
def test_a_hostile_stream_ends_in_one_clean_end(upstream, data, cuts):
    stream = data.draw(hostile(upstream))
    for client in ALL:
        check_end(client, upstream, stream, cuts)


def check_end(client: str, upstream: str, stream: bytes, cuts: list[int]) -> None:
    opened, sent = relayed(client, upstream, streams.split(stream, cuts))
    whole, at_once = relayed(client, upstream, [stream])
    assert at_once == sent, client
    assert msgspec.structs.replace(whole.seen, error=None) == msgspec.structs.replace(opened.seen, error=None), client
    assert opened.seen.finished or opened.seen.error is not None, client
    if client == upstream:
        return  # relayed: what is not an error of ours is the upstream's own
    assert opened.seen.finished == (opened.seen.error is None), client
    if not opened.seen.started:
        assert sent == b"", client
        return
    found = told(client, sent)
    assert (found.error is None) == opened.seen.finished, client
    assert opened.feed(stream) == b"", client


@EACH
@settings(random_examples, max_examples=100)
@given(stream=st.binary(max_size=300), cuts=streams.cuts)
@example(stream=b"data: {}\n\n" * 3, cuts=[])
@example(stream=b'data: {"type":"message_start"}\n\n' * 3, cuts=[])
@example(stream=b'data: {"type":"response.created"}\n\n' * 3, cuts=[])
@example(stream=b'data: {"choices":[{}]}\n\ndata: [DONE]\n\n', cuts=[5])
def test_any_bytes_are_events_in_order_with_one_end(protocol, stream, cuts):
    events = streams.decode(protocol, streams.split(stream, cuts))
    streams.check_events(events)
    assert [type(event).__name__ in ("Finished", "Failed") for event in events].count(True) == 1


def test_both_dialects_know_a_signature_of_ours_by_the_same_mark():
    assert names.OUR_SIGNATURE == messages.OURS
