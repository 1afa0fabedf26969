"""Hostile upstreams: every caller gets a right answer, or one clean error in the grammar of its dialect; in bounded
memory, and with no absurd count."""

from __future__ import annotations

import gzip
import json
import re
import struct
import tracemalloc
from binascii import crc32
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from apps.domain.errors import UpstreamError
from tests.domain import frames, grammar
from tests.fidelity import callers
from tests.fidelity.streams import PLAIN, PROTOCOLS, Event

pytestmark = pytest.mark.attack("fuzz")
PAIRS = pytest.mark.parametrize(("client", "upstream"), callers.PAIRS)
TEXT = [name for name, protocol in PROTOCOLS.items() if protocol.is_text]
SSE = [name for name in TEXT if name != "ollama_chat"]
BINARY = [name for name, protocol in PROTOCOLS.items() if not protocol.is_text]
GOOD = {name: protocol.stream(PLAIN) for name, protocol in PROTOCOLS.items()}
WORDS = "".join(PLAIN.text)


def check(client: str, upstream: str, stream: bytes, *, size: int = 0) -> str:
    """How it ended: "right" (a whole answer, whose text is returned behind it), "error" on the way, or "refused"."""
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)] if size else [stream]
    running, sent = callers.fed(client, upstream, pieces)
    seen = running.seen
    if seen.usage is not None:
        assert all(0 <= count <= 10**9 for count in msgspec.structs.astuple(seen.usage))
    if not seen.started:
        assert not seen.finished
        assert sent == b"" or (client, upstream) in callers.RELAYED  # held till it begins, and then thrown away
        assert isinstance(seen.error, UpstreamError)
        return "refused"
    if (client, upstream) in callers.RELAYED:
        if seen.error is not None:
            assert _ends_in_error(client, sent), sent[-300:]
        assert seen.finished == (seen.error is None)
        return "right" if seen.error is None else "error"
    told = callers.read(client, sent)
    assert (told.error is None) == seen.finished == (seen.error is None)
    if told.error is not None:
        assert "internal" not in str(told.error["message"]).lower()
        return "error"
    assert told.text == WORDS, told.text
    return "right"


def _ends_in_error(client: str, sent: bytes) -> bool:
    """The last frames alone: what went before is the provider's own."""
    *_, last = sent.removesuffix(b"data: [DONE]\n\n").rstrip().rpartition(b"\n\n")
    name, data = grammar.events(last.strip() + b"\n\n")[-1]
    if client == "openai_chat":
        return sent.endswith(b"data: [DONE]\n\n") and bool(json.loads(data)["error"])
    return name in ("error", "response.failed") and bool(json.loads(data))


BENIGN: dict[str, Callable[[bytes], bytes]] = {
    "CRLF": lambda good: good.replace(b"\n", b"\r\n"),
    "a byte order mark": lambda good: b"\xef\xbb\xbf" + good,
    "no line end at the end": lambda good: good.rstrip(b"\n"),
    "one line end at the end": lambda good: good.rstrip(b"\n") + b"\n",
    "blank lines": lambda good: good.replace(b"\n", b"\n\n"),
}


def _two_lines(good: bytes) -> bytes:
    return re.sub(rb'(data: \{[^\n]*?), "', rb'\1,\ndata: "', good)


BENIGN_OF_EVENTS: dict[str, Callable[[bytes], bytes]] = {
    "CR": lambda good: good.replace(b"\n", b"\r"),
    "mixed line ends": lambda good: good.replace(b"\n\n", b"\r\n\r").replace(b"}\r\n\r", b"}\n\r\n", 3),
    "comments": lambda good: b": hello\n\n" + good.replace(b"\n\n", b"\n\n: \xff\x00\n\n"),
    "fields unheard of": lambda good: good.replace(b"data:", b"id: 7\nretry: 1\nfoo\ndata:"),
    "data in two lines": _two_lines,
    "data in two lines that end in CRLF": lambda good: _two_lines(good).replace(b"\n", b"\r\n"),
    "no blank behind the colon": lambda good: good.replace(b"data: ", b"data:").replace(b"event: ", b"event:"),
}
AFTER = (b"data: {}\n\n", b"\x00\xff", b'event: error\ndata: {"error":{"message":"late"}}\n\n', b"data: [DONE]\n\n")


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize("client", callers.CLIENTS)
@pytest.mark.parametrize(("upstream", "how"), [(name, how) for name in TEXT for how in BENIGN])
def test_line_ends_and_marks_do_not_matter(client, upstream, how, size):
    assert check(client, upstream, BENIGN[how](GOOD[upstream]), size=size) == "right"


@pytest.mark.parametrize("size", [0, 1, 7])
@pytest.mark.parametrize("client", callers.CLIENTS)
@pytest.mark.parametrize(("upstream", "how"), [(name, how) for name in SSE for how in BENIGN_OF_EVENTS])
def test_what_event_streams_allow_does_not_matter(client, upstream, how, size):
    assert check(client, upstream, BENIGN_OF_EVENTS[how](GOOD[upstream]), size=size) == "right"


@PAIRS
def test_nothing_behind_the_end_matters(client, upstream):
    for more in (*AFTER, GOOD[upstream], GOOD[upstream][: len(GOOD[upstream]) // 2]):
        assert check(client, upstream, GOOD[upstream] + more) == "right"


def _written(upstream: str, events: list[Event]) -> bytes:
    protocol = PROTOCOLS[upstream]
    return b"".join(map(protocol.write, events)) + protocol.end


UNKNOWN = {
    "type": "response.something.new",
    "output_index": "x",
    **{"error": None, "index": "x", "delta": 5, "item": "x", "message": 1, "usage": "x", "content_block": []},
}


@PAIRS
def test_events_and_fields_unheard_of_do_not_matter(client, upstream):
    events = PROTOCOLS[upstream].events(PLAIN)
    fields = [(name, {**data, "new_field": {"a": [1.0]}, "p": None}) for name, data in events]
    assert check(client, upstream, _written(upstream, fields)) == "right"
    if upstream in ("openai_chat", "ollama_chat"):
        return  # all their events are of one kind
    among = [event for each in events for event in (each, ("response.something.new", UNKNOWN))]
    assert check(client, upstream, _written(upstream, among)) == "right"


CLEAN = ("right", "error", "refused")


@PAIRS
def test_events_lost_doubled_and_out_of_order_end_clean(client, upstream):
    events = PROTOCOLS[upstream].events(PLAIN)
    for at in range(len(events)):
        for stream in (
            events[:at] + events[at + 1 :],
            events[: at + 1] + events[at:],
            [*events[:at], events[0], *events[at:]],
            events[at:],
            events[at:] + events[:at],
            events[:1] + events[at:],
        ):
            _end_of(client, upstream, _written(upstream, stream))
    _end_of(client, upstream, _written(upstream, events[::-1]))


def _end_of(client: str, upstream: str, stream: bytes) -> None:
    """As `check`, where words may be missing or said twice."""
    running, sent = callers.fed(client, upstream, [stream])
    assert running.seen.finished or isinstance(running.seen.error, UpstreamError)
    if running.seen.started and (client, upstream) not in callers.RELAYED:
        assert (callers.read(client, sent).error is None) == running.seen.finished


@PAIRS
def test_an_answer_cut_anywhere_is_never_whole(client, upstream):
    good = GOOD[upstream]
    least = len(good.rstrip(b"\n")) - (len(b"data: [DONE]\n\n") if upstream == "openai_chat" else 0)
    if upstream == "bedrock_converse":
        least = len(_written(upstream, PROTOCOLS[upstream].events(PLAIN)[:-1]))  # the usage alone is missing
    if upstream == "openai_chat":
        least = len(_written(upstream, PROTOCOLS[upstream].events(PLAIN)[:-1])) - 2 * len(b"data: [DONE]\n\n")
    for end in range(0, least - 2, 13):
        assert check(client, upstream, good[:end]) in ("error", "refused"), good[:end][-200:]


@PAIRS
@pytest.mark.parametrize("junk", [b"\x00", b"\xc3", b"\xed\xa0\x80", b"\xff\xfe", b"\\ud83c", b"\x1b[0m", b'"'])
def test_bytes_that_are_no_text_end_clean(client, upstream, junk):
    good = GOOD[upstream]
    for word in (b"lo ", b"city", b"Paris", b"hm"):
        at = good.find(word)
        if at >= 0:
            _end_of(client, upstream, good[:at] + junk + good[at:])
    _end_of(client, upstream, junk + good)


NOT_ANSWERS = {
    "HTML": b"<!DOCTYPE html>\n<html><body>\n\n<h1>502</h1></body></html>\n",
    "nothing": b"",
    "blanks": b"\r\n\r\n  \n",
    "an error": b'{"error":{"message":"The model is overloaded.","type":"server_error","code":503}}',
    "an error in words": b'{"error":"out of memory"}',
    "an error of Anthropic's": b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}',
    "an error of AWS's": b'{"message":"Too many requests","__type":"ThrottlingException"}',
    "gzip": gzip.compress(b'{"id":"x"}' * 50, mtime=0),
    "a list": b"[]",
    "null": b"null",
    "text": b"OK",
    "depth": b"[" * 100_000,
    "an event": b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n',
}


@PAIRS
@pytest.mark.parametrize("body", NOT_ANSWERS.values(), ids=list(NOT_ANSWERS))
def test_what_is_no_answer_is_refused_before_anything_is_said(client, upstream, body):
    assert check(client, upstream, body) == "refused"
    assert check(client, upstream, body, size=1 if len(body) < 1000 else 9999) == "refused"
    whole = callers.opened(client, upstream, stream=False)
    with pytest.raises(UpstreamError):
        whole.answer(body)


ABSURD: list[Any] = [-1, 10**18, 2**70, 1.5, 1e300, "12", "", True, [], {}, None]
COUNTS = {
    "anthropic_messages": ("input_tokens", "output_tokens", "cache_read_input_tokens"),
    "openai_chat": ("prompt_tokens", "completion_tokens", "prompt_tokens_details"),
    "openai_responses": ("input_tokens", "output_tokens", "input_tokens_details"),
    "bedrock_invoke": ("input_tokens", "output_tokens", "cache_creation"),
    "bedrock_converse": ("inputTokens", "outputTokens", "cacheReadInputTokens"),
    "ollama_chat": ("prompt_eval_count", "eval_count", "eval_duration"),
}


def _counting(data: Any, said: dict[str, Any]) -> Any:
    """The same with these counts wherever there are counts."""
    if isinstance(data, dict):
        changed = {name: _counting(value, said) for name, value in data.items()}
        return (
            {**changed, **said}
            if set(data) & {"output_tokens", "completion_tokens", "outputTokens", "eval_count"}
            else changed
        )
    return data


@PAIRS
@pytest.mark.parametrize("count", ABSURD, ids=repr)
def test_an_absurd_count_is_not_believed_and_costs_no_answer(client, upstream, count):
    for name in COUNTS[upstream]:
        events = [(kind, _counting(data, {name: count})) for kind, data in PROTOCOLS[upstream].events(PLAIN)]
        assert check(client, upstream, _written(upstream, events)) == "right"


@PAIRS
@pytest.mark.parametrize("usage", ["gone", None, [], "x", 7])
def test_usage_of_another_shape_costs_no_answer(client, upstream, usage):
    events = []
    for kind, data in PROTOCOLS[upstream].events(PLAIN):
        events.append((kind, _using(json.loads(json.dumps(data)), usage)))
    assert check(client, upstream, _written(upstream, events)) == "right"


def _using(data: Any, usage: Any) -> Any:
    if isinstance(data, dict):
        for name in list(data):
            if name not in ("usage", "eval_count", "prompt_eval_count"):
                _using(data[name], usage)
            elif usage == "gone":
                del data[name]
            else:
                data[name] = usage
    return data


def _frame(length: int, of_headers: int, *, rest: bytes = b"", sound: bool = True) -> bytes:
    prelude = struct.pack(">II", length % 2**32, of_headers % 2**32)
    return prelude + struct.pack(">I", crc32(prelude) ^ (not sound)) + rest


GARBLED = {
    "a sum that is wrong": _frame(100, 10, sound=False, rest=bytes(88)),
    "no length": _frame(0, 0, rest=bytes(100)),
    "a length too small": _frame(15, 0, rest=bytes(100)),
    "a length absurd": _frame(2**31, 0, rest=bytes(100)),
    "a negative length": _frame(-1, 0, rest=bytes(100)),
    "headers longer than the message": _frame(50, 40, rest=bytes(100)),
    "negative headers": _frame(50, -1, rest=bytes(100)),
    "headers cut": frames.message({":message-type": "event"}, b"{}")[:-9] + bytes(9),
    "headers of no type": _frame(20, 4, rest=b"\x01a\xff\x00" + bytes(4)),
    "a payload that is none": frames.message({":message-type": "event", ":event-type": "chunk"}, b"\xff"),
    "no headers": frames.message({}, b"{}"),
    "an exception": frames.exception("throttlingException", "Too many requests"),
    "an exception without a word": frames.message({":message-type": "exception", ":exception-type": "x"}, b""),
    "an exception in no JSON": frames.message({":message-type": "exception", ":exception-type": "x"}, b"\xff"),
    "an error": frames.fault("500", "Broken"),
    "a message of no kind": frames.message({":message-type": "news"}, b"{}"),
}


@pytest.mark.parametrize("client", callers.CLIENTS)
@pytest.mark.parametrize("upstream", BINARY)
@pytest.mark.parametrize("bad", GARBLED.values(), ids=list(GARBLED))
def test_a_garbled_message_ends_a_binary_stream_clean(client, upstream, bad):
    events = [PROTOCOLS[upstream].write(event) for event in PROTOCOLS[upstream].events(PLAIN)]
    if bad != GARBLED["a payload that is none"] or upstream == "bedrock_invoke":
        assert check(client, upstream, bad + b"".join(events)) == "refused"
        assert check(client, upstream, b"".join([*events[:4], bad, *events[4:]]), size=11) == "error"
    flipped = bytearray(b"".join(events))
    flipped[len(events[0]) + 20] ^= 1
    assert check(client, upstream, bytes(flipped)) == "error"


PEAK = 24 << 20
ENDLESS = 4 * PEAK // 3
KINDS = ("line", "event", "comments", "nothing")


@pytest.mark.parametrize(
    ("client", "upstream", "kind"),
    [(*pair, kind) for pair in callers.PAIRS for kind in (*KINDS, *(("names",) if pair[1] in SSE else ()))],
)
def test_what_never_ends_takes_bounded_memory(client, upstream, kind):
    """A third more than may be held, before the answer has begun and in its middle."""
    for begun in (0, 1):
        running = callers.opened(client, upstream)
        running.feed(b"".join(map(PROTOCOLS[upstream].write, PROTOCOLS[upstream].events(PLAIN)[:begun])))
        piece = _endless(upstream, kind)
        tracemalloc.start()
        for _ in range(ENDLESS // len(piece)):
            running.feed(piece)
            if running.seen.error is not None:
                break
        sent = running.close()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < PEAK
        assert running.seen.error is not None
        assert bool(sent) <= running.seen.started
        if sent and (client, upstream) in callers.RELAYED:
            assert _ends_in_error(client, sent)


def _endless(upstream: str, kind: str) -> bytes:
    filler = b"x" * (1 << 18)
    if upstream in BINARY:
        return {
            "line": frames.message({":message-type": "event", ":event-type": "new"}, b"{}") + filler,
            "event": _frame(1 << 30, 0) + filler,
            "comments": frames.event("something", {"p": "x" * (1 << 18)}),
            "nothing": filler,
        }[kind]
    if upstream in SSE:
        return (
            {"line": b"data: ", "event": b"data: x\n", "comments": b": ", "nothing": b"", "names": b"event: "}[kind]
            + filler
            + (b"\n" if kind in ("event", "comments", "names") else b"")
        )
    return {"line": b'{"x":"', "event": b" ", "comments": b"\n", "nothing": b""}[kind] + filler
