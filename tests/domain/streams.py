"""Random answers, as Hypothesis strategies: canonical events, and the bytes of a dialect in random pieces."""

from __future__ import annotations

import itertools
import json
from typing import Any

import msgspec
from hypothesis import strategies as st

from apps.domain.chat import Block, StopReason, Text, Thinking, ToolUse
from apps.domain.events import (
    ArgumentsDelta,
    BlockStarted,
    BlockStopped,
    Event,
    Failed,
    Finished,
    SignatureDelta,
    Started,
    TextDelta,
    ThinkingDelta,
)
from apps.domain.protocols import registry
from apps.domain.protocols.contract import ClientCall
from apps.domain.tokens import TokenUsage

ANTHROPIC, OPENAI, RESPONSES = "anthropic_messages", "openai_chat", "openai_responses"
REASONS: tuple[StopReason, ...] = (
    "end_turn",
    "max_tokens",
    "stop_sequence",
    "refusal",
    "context_window",
    "pause_turn",
)
OPENAI_SAYS: dict[StopReason, StopReason] = {
    "stop_sequence": "end_turn",
    "context_window": "max_tokens",
    "pause_turn": "end_turn",
}
"""What is left of a stop reason once OpenAI's dialect has carried it."""


class Sum(msgspec.Struct):
    """What a stream of events says, whatever its blocks."""

    text: str = ""
    thinking: str = ""
    calls: list[tuple[str, str, Any]] = []
    stop: StopReason | None = None
    usage: TokenUsage | None = None
    failures: int = 0


def calling(protocol: str) -> ClientCall:
    turns = [{"role": "user", "content": "hello"}]
    asked: dict[str, dict[str, Any]] = {
        ANTHROPIC: {"messages": turns, "max_tokens": 9},
        OPENAI: {"messages": turns, "stream_options": {"include_usage": True}},
        RESPONSES: {"input": turns},
    }
    body = {"model": "m", "stream": True} | asked[protocol]
    return registry.CLIENTS[protocol].read_request(json.dumps(body).encode())


def encode(protocol: str, events: list[Event]) -> bytes:
    encoder = registry.CLIENTS[protocol].encoder(call=calling(protocol), created=1)
    return b"".join(map(encoder.encode, events))


def decode(protocol: str, pieces: list[bytes]) -> list[Event]:
    decoder = registry.UPSTREAMS[protocol].decoder()
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.close()


def split(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    return [stream[start:stop] for start, stop in itertools.pairwise(edges)]


def summed(events: list[Event]) -> Sum:
    found = Sum()
    arguments: dict[int, list[str]] = {}
    for event in events:
        match event:
            case TextDelta(text=text):
                found.text += text
            case ThinkingDelta(text=text):
                found.thinking += text
            case BlockStarted(index=index, block=ToolUse(id=id_, name=name)):
                found.calls.append((id_, name, None))
                arguments[index] = []
            case ArgumentsDelta(index=index, json=piece):
                arguments[index].append(piece)
            case Finished(stop_reason=reason, usage=usage):
                found.stop, found.usage = reason, usage
            case Failed():
                found.failures += 1
    whole = [json.loads("".join(pieces).strip() or "{}") for pieces in arguments.values()] if found.stop else []
    found.calls = [(id_, name, made) for (id_, name, _), made in zip(found.calls, whole, strict=False)]
    return found


def check_events(events: list[Event]) -> None:
    """The grammar of `domain.events`."""
    index, is_open = -1, False
    for position, event in enumerate(events):
        match event:
            case Started():
                assert position == 0
            case BlockStarted():
                index += 1
                assert (event.index, is_open) == (index, False)
                is_open = True
            case TextDelta() | ThinkingDelta() | SignatureDelta() | ArgumentsDelta():
                assert (event.index, is_open) == (index, True)
            case BlockStopped():
                assert (event.index, is_open) == (index, True)
                is_open = False
            case Finished():
                assert not is_open
                assert position == len(events) - 1
            case Failed():
                assert position == len(events) - 1
    if events:
        assert isinstance(events[0], Started | Failed)


words = st.text(min_size=1, max_size=12)
cuts = st.lists(st.integers(0, 1 << 16), max_size=12)
_ids = st.from_regex(r"[a-zA-Z0-9_-]{1,20}", fullmatch=True).filter(lambda made: not made.startswith("gw"))
_names = st.from_regex(r"[a-zA-Z][a-zA-Z0-9_-]{0,20}", fullmatch=True)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
arguments = st.dictionaries(st.text(max_size=5), _values, max_size=3)
_counts = st.integers(0, 10**6)
usages = st.builds(TokenUsage, st.integers(1, 10**6), _counts, _counts, _counts, _counts).flatmap(
    lambda usage: st.integers(0, usage.out_total).map(lambda part: msgspec.structs.replace(usage, out_reasoning=part))
)


@st.composite
def _deltas(draw: st.DrawFn, kind: str) -> tuple[Block, list[str]]:
    if kind == "tool":
        block: Block = ToolUse(draw(_ids), draw(_names), "")
        given = draw(arguments)
        written = json.dumps(given, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1])))
        cut = draw(st.integers(0, len(written)))
        pieces = [written[:cut], written[cut:]] if given or draw(st.booleans()) else []
        return block, [piece for piece in pieces if piece]
    return (Text("") if kind == "text" else Thinking("")), draw(st.lists(words, min_size=1, max_size=4))


_MAKE = {Text: TextDelta, Thinking: ThinkingDelta, ToolUse: ArgumentsDelta}


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """A whole, well-formed answer."""
    usage = draw(usages)
    early = msgspec.structs.replace(usage, out_total=0, out_reasoning=0)
    events: list[Event] = [Started(draw(_ids), "model-1", draw(st.sampled_from([None, early])))]
    kinds = draw(st.lists(st.sampled_from(["text", "thinking", "tool"]), max_size=5))
    seen: set[str] = set()
    for index, kind in enumerate(kinds):
        block, pieces = draw(_deltas(kind))
        if isinstance(block, ToolUse):
            block = msgspec.structs.replace(block, id=f"{block.id}-{len(seen)}")
            seen.add(block.id)
        make: Any = _MAKE[type(block)]
        events += [BlockStarted(index, block), *(make(index, piece) for piece in pieces)]
        if kind == "thinking":
            events.append(SignatureDelta(index, "EqQB"))
        events.append(BlockStopped(index))
    reason: StopReason = "tool_use" if seen else draw(st.sampled_from(REASONS))
    return [*events, Finished(reason, usage=usage)]
