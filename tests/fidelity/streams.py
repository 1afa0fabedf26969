"""What providers of every protocol send for one answer, written apart from the code under test; and what may go wrong
with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
from hypothesis import strategies as st

from tests.domain import frames

Event = tuple[str, dict[str, Any]]  # name, data


class Answer(msgspec.Struct):
    """`calls` are name and arguments; pieces are written one by one."""

    thinking: list[str] = []
    text: list[str] = []
    calls: list[tuple[str, dict[str, Any]]] = []
    tokens: tuple[int, int] = (11, 7)

    @property
    def stop(self) -> str:
        return "tool_use" if self.calls else "end_turn"


PLAIN = Answer(["hm"], ["Hél", "lo 🌊"], [("get_weather", {"city": "Paris", "n": 1.5}), ("get_time", {})])


def _halves(arguments: dict[str, Any]) -> list[str]:
    written = json.dumps(arguments)
    return [written[: len(written) // 2], written[len(written) // 2 :]]


def anthropic(answer: Answer) -> list[Event]:
    prompt, output = answer.tokens
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "up", "content": [], "stop_reason": None}
    events: list[Event] = [
        ("message_start", {"message": {**message, "usage": {"input_tokens": prompt, "output_tokens": 1}}})
    ]
    blocks: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if answer.thinking:
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in answer.thinking]
        blocks.append(
            (
                {"type": "thinking", "thinking": "", "signature": ""},
                [*deltas, {"type": "signature_delta", "signature": "EqQB"}],
            )
        )
    if answer.text:
        blocks.append(({"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in answer.text]))
    for number, (name, arguments) in enumerate(answer.calls):
        start = {"type": "tool_use", "id": f"toolu_{number}", "name": name, "input": {}}
        blocks.append((start, [{"type": "input_json_delta", "partial_json": half} for half in _halves(arguments)]))
    for index, (start, deltas) in enumerate(blocks):
        events.append(("content_block_start", {"index": index, "content_block": start}))
        events += [("content_block_delta", {"index": index, "delta": delta}) for delta in deltas]
        events.append(("content_block_stop", {"index": index}))
    ended = {"delta": {"stop_reason": answer.stop, "stop_sequence": None}, "usage": {"output_tokens": output}}
    events += [("message_delta", ended), ("message_stop", {})]
    return [(name, {"type": name, **data}) for name, data in events]


def openai(answer: Answer) -> list[Event]:
    prompt, output = answer.tokens
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": piece} for piece in answer.thinking]
    deltas += [{"content": piece} for piece in answer.text]
    for index, (name, arguments) in enumerate(answer.calls):
        begun = {"index": index, "id": f"call_{index}", "type": "function", "function": {"name": name, "arguments": ""}}
        deltas.append({"tool_calls": [begun]})
        deltas += [{"tool_calls": [{"index": index, "function": {"arguments": half}}]} for half in _halves(arguments)]
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "up"}
    chunks: list[dict[str, Any]] = [
        {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}], "usage": None} for delta in deltas
    ]
    finish = "tool_calls" if answer.calls else "stop"
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": finish}], "usage": None})
    used = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
    chunks.append({**head, "choices": [], "usage": used})
    return [("", chunk) for chunk in chunks]


def responses(answer: Answer) -> list[Event]:
    prompt, output = answer.tokens
    items: list[tuple[dict[str, Any], str, list[str]]] = []
    if answer.thinking:
        text = "".join(answer.thinking)
        item = {"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": text}]}
        items.append((item, "reasoning_summary_text", answer.thinking))
    if answer.text:
        part = {"type": "output_text", "text": "".join(answer.text), "annotations": []}
        items.append(
            ({"id": "msg_1", "type": "message", "role": "assistant", "content": [part]}, "output_text", answer.text)
        )
    for number, (name, arguments) in enumerate(answer.calls):
        item = {"type": "function_call", "call_id": f"call_{number}", "name": name, "arguments": json.dumps(arguments)}
        items.append(({"id": f"fc_{number}", **item}, "function_call_arguments", _halves(arguments)))
    whole: dict[str, Any] = {"id": "resp_1", "object": "response", "model": "up", "status": "in_progress", "output": []}
    events: list[Event] = [("response.created", {"response": whole}), ("response.in_progress", {"response": whole})]
    for place, (item, kind, pieces) in enumerate(items):
        bare = {**item, **{name: type(item[name])() for name in ("summary", "content", "arguments") if name in item}}
        events.append(("response.output_item.added", {"output_index": place, "item": bare}))
        events += [(f"response.{kind}.delta", {"output_index": place, "delta": piece}) for piece in pieces]
        events.append(("response.output_item.done", {"output_index": place, "item": item}))
    used = {"input_tokens": prompt, "output_tokens": output, "total_tokens": prompt + output}
    ended = {**whole, "status": "completed", "output": [item for item, _, _ in items], "usage": used}
    events.append(("response.completed", {"response": ended}))
    return [(name, {"type": name, "sequence_number": number, **data}) for number, (name, data) in enumerate(events)]


def converse(answer: Answer) -> list[Event]:
    prompt, output = answer.tokens
    events: list[Event] = [("messageStart", {"role": "assistant"})]
    deltas: list[list[dict[str, Any]]] = []
    if answer.thinking:
        said = [{"reasoningContent": {"text": piece}} for piece in answer.thinking]
        deltas.append([*said, {"reasoningContent": {"signature": "EqQB"}}])
    if answer.text:
        deltas.append([{"text": piece} for piece in answer.text])
    for index, said in enumerate(deltas):
        events += [("contentBlockDelta", {"contentBlockIndex": index, "delta": delta}) for delta in said]
        events.append(("contentBlockStop", {"contentBlockIndex": index}))
    for number, (name, arguments) in enumerate(answer.calls):
        index = len(deltas) + number
        start = {"toolUse": {"toolUseId": f"tooluse_{number}", "name": name}}
        events.append(("contentBlockStart", {"contentBlockIndex": index, "start": start}))
        events += [
            ("contentBlockDelta", {"contentBlockIndex": index, "delta": {"toolUse": {"input": half}}})
            for half in _halves(arguments)
        ]
        events.append(("contentBlockStop", {"contentBlockIndex": index}))
    events.append(("messageStop", {"stopReason": answer.stop}))
    used = {"inputTokens": prompt, "outputTokens": output, "totalTokens": prompt + output}
    events.append(("metadata", {"usage": used, "metrics": {"latencyMs": 1}}))
    return [(name, {**data, "p": "abc"}) for name, data in events]


def ollama(answer: Answer) -> list[Event]:
    prompt, output = answer.tokens
    messages: list[dict[str, Any]] = [{"content": "", "thinking": piece} for piece in answer.thinking]
    messages += [{"content": piece} for piece in answer.text]
    if answer.calls:
        calls = [{"function": {"name": name, "arguments": arguments}} for name, arguments in answer.calls]
        messages.append({"content": "", "tool_calls": calls})
    head = {"model": "up", "created_at": "2026-11-01T00:00:00.1Z"}
    lines: list[dict[str, Any]] = [
        {**head, "message": {"role": "assistant", **said}, "done": False} for said in messages
    ]
    last = {"done": True, "done_reason": "stop", "prompt_eval_count": prompt, "eval_count": output}
    return [("", line) for line in [*lines, {**head, "message": {"role": "assistant", "content": ""}, **last}]]


def _sse(event: Event) -> bytes:
    name, data = event
    head = b"event: %b\n" % name.encode() if name else b""
    return head + b"data: %b\n\n" % json.dumps(data, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _line(event: Event) -> bytes:
    return json.dumps(event[1]).encode() + b"\n"


class Protocol(msgspec.Struct, frozen=True):
    """`end` follows the last event; `is_text`: line ends and such matter."""

    events: Callable[[Answer], list[Event]]
    write: Callable[[Event], bytes]
    end: bytes = b""
    is_text: bool = True

    def stream(self, answer: Answer) -> bytes:
        return b"".join(map(self.write, self.events(answer))) + self.end


PROTOCOLS = {
    "anthropic_messages": Protocol(anthropic, _sse),
    "openai_chat": Protocol(openai, _sse, b"data: [DONE]\n\n"),
    "openai_responses": Protocol(responses, _sse),
    "bedrock_invoke": Protocol(anthropic, lambda event: frames.chunk(json.dumps(event[1]).encode()), is_text=False),
    "bedrock_converse": Protocol(converse, lambda event: frames.event(*event), is_text=False),
    "ollama_chat": Protocol(ollama, _line),
}

_words = st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), max_size=3)
_values = st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4) | st.lists(st.integers(), max_size=2)
answers = st.builds(
    Answer,
    thinking=_words,
    text=_words,
    calls=st.lists(
        st.tuples(
            st.from_regex(r"[a-z_]{1,9}", fullmatch=True), st.dictionaries(st.text(max_size=4), _values, max_size=2)
        ),
        max_size=3,
    ),
    tokens=st.tuples(st.integers(1, 10**6), st.integers(1, 10**6)),
)
WRONG = st.sampled_from(
    [None, True, -1, 0, 1.5, 10**18, 2**80, "", "x", [], {}, [None], [[]], {"type": "x"}, {"error": {"message": "no"}}]
)


@st.composite
def broken(draw: st.DrawFn, protocol: Protocol) -> bytes:
    """A good stream of which one thing is not: an event lost, said twice, in another's place, unheard of, with a value
    of another kind somewhere in it; bytes that do not belong, or the end too early."""
    events = [(name, msgspec.json.decode(json.dumps(data))) for name, data in protocol.events(draw(answers))]
    edit = draw(st.sampled_from(["nothing", "lose", "double", "swap", "unknown", "value", "value", "junk", "cut"]))
    at = draw(st.integers(0, len(events) - 1))
    if edit == "lose":
        del events[at : at + draw(st.integers(1, 2))]
    elif edit == "double":
        events.insert(draw(st.integers(0, len(events))), events[at])
    elif edit == "swap":
        other = draw(st.integers(0, len(events) - 1))
        events[at], events[other] = events[other], events[at]
    elif edit == "unknown":
        events.insert(at, ("something_new", {"type": "something_new", "x": draw(WRONG)}))
    elif edit == "value":
        events[at] = (events[at][0], draw(spoiled(events[at][1])))
    stream = b"".join(map(protocol.write, events)) + protocol.end
    place = draw(st.integers(0, len(stream)))
    if edit == "junk":
        return stream[:place] + draw(st.binary(max_size=12)) + stream[place + draw(st.integers(0, 12)) :]
    return stream[:place] if edit == "cut" else stream


@st.composite
def spoiled(draw: st.DrawFn, data: Any) -> Any:
    """With another value somewhere, or a member gone."""
    places = list(_places(data))
    if not places:
        return draw(WRONG)
    holder, key = draw(st.sampled_from(range(len(places))).map(lambda number: places[number]))
    if isinstance(holder, dict) and draw(st.integers(0, 4)) == 0:
        del holder[key]
    else:
        holder[key] = draw(WRONG)
    return data


def _places(data: Any) -> Any:
    keys = list(data) if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else ()
    for key in keys:
        yield data, key
        yield from _places(data[key])
