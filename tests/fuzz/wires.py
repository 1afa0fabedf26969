"""Framings, and the reading of a body as JSON."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any
from zlib import crc32

from botocore.eventstream import EventStreamBuffer, ParserError

from apps.domain import errors, eventstream, ndjson, sse
from apps.domain.protocols import splice
from apps.domain.protocols.nesting import MAX_LEVELS
from tests.domain import frames
from tests.fuzz.contract import Target, pieces, target

Told = tuple[list[Any], str]  # what was read, and what was wrong then


def _fed(decoder: Any, chunks: list[bytes]) -> Told:
    found: list[Any] = []
    try:
        for chunk in chunks:
            found += decoder.feed(chunk)
        if hasattr(decoder, "close"):
            found += decoder.close() or []
    except errors.UpstreamBroken as broken:
        return found, broken.message
    return found, ""


def _same_in_pieces(make: Callable[[], Any], data: bytes) -> Told:
    whole = _fed(make(), [data])
    for chunks in pieces(data):
        assert _fed(make(), chunks) == whole, chunks
    return whole


def read_sse(data: bytes) -> None:
    found, _ = _same_in_pieces(sse.Decoder, data)
    for frame in found:
        if "\ufffd" not in frame.event and b"\r" not in frame.data:
            assert _fed(sse.Decoder(), [sse.frame(frame.event, frame.data)]) == ([frame], "")


def split_sse(data: bytes) -> None:
    """Whoever only watches loses no byte, cuts between events, and finds in them what the decoder finds."""
    for chunks in ([data], *pieces(data)):
        splitter = sse.Splitter()
        fed = [splitter.feed(chunk) for chunk in chunks]
        assert b"".join(passed + whole for passed, whole in fed) + splitter.rest() == data
        for _, whole in fed:  # which may end in more line ends than it needs
            assert whole.startswith(told := b"".join(sse.events(whole)))
            assert not whole[len(told) :].strip(b"\r\n")
    whole = data[: len(data) - len(splitter.rest())]
    found = [(name, value) for name, value in map(sse.parse, sse.events(whole)) if value]
    told = [(frame.event, frame.data) for frame in _fed(sse.Decoder(), [whole])[0] if frame.data]
    if b"\xef\xbb\xbf" not in data:
        assert found == told


def read_ndjson(data: bytes) -> None:
    found, fault = _same_in_pieces(ndjson.Decoder, data)
    if not fault and not data.startswith(b"\xef\xbb\xbf"):
        assert found == [line.strip() for line in data.split(b"\n") if line.strip()]


def read_eventstream(data: bytes) -> None:
    """Also as AWS's own reader does it; bytes that are not framed are framed, with their sums, and read again."""
    _same_in_pieces(eventstream.Decoder, data)
    found, fault = _same_in_pieces(eventstream.Decoder, _framed(data))
    buffer, theirs, is_broken = EventStreamBuffer(), [], False
    try:
        buffer.add_data(_framed(data))
        for message in buffer:
            theirs.append((message.headers, message.payload))  # noqa: PERF401  # those before the fault count
    except (ParserError, struct.error, KeyError, UnicodeDecodeError):
        is_broken = True
    assert ([(message.headers, message.payload) for message in found], bool(fault)) == (theirs, is_broken)


def _framed(data: bytes) -> bytes:
    """The first byte says how many of the others are headers."""
    of_headers = min(data[0], len(data) - 1) if data else 0
    prelude = struct.pack(">II", 16 + len(data), of_headers)
    whole = prelude + struct.pack(">I", crc32(prelude)) + data[1:] + data[:1]
    return whole + struct.pack(">I", crc32(whole))


def read_json(data: bytes) -> None:
    """What is read, the standard library reads alike, and what it reads without doubt is read; edits change what they
    name and nothing else."""
    try:
        members = splice.read(data)
    except errors.InvalidRequest:
        members = None
    plain = _plain(data)
    if members is None:
        assert plain is None, "this is plain JSON"
        return
    assert plain is not None, "this is no plain JSON"
    assert {name: _loaded(bytes(raw)) for name, raw in members.values.items()} == plain
    for without in ((), tuple(plain)[:1], tuple(plain)):
        edited = members.edit({"model": b'"m"', "new\n": b"[1]"}, without=without)
        kept = {name: value for name, value in plain.items() if name not in without}
        assert _loaded(edited) == {**kept, "model": "m", "new\n": ["1"]}
    assert members.edit({}) == data


def _plain(data: bytes) -> dict[str, Any] | None:
    """An object that every reader takes for the same. None: it is none."""
    try:
        written = data.decode()
        found = _loaded(written, keys=_Object)  # of bytes the library would guess that they are UTF-16
        json.dumps(found, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    is_plain = isinstance(found, _Object) and len({name.casefold() for name in found}) == found.members
    return found if is_plain and not written.startswith("\ufeff") and _depth(found) <= MAX_LEVELS else None


def _loaded(data: bytes | str, *, keys: Any = dict) -> Any:
    """Numbers as they are written."""
    return json.loads(data, parse_int=str, parse_float=str, parse_constant=_refused, object_pairs_hook=keys)


class _Object(dict[str, Any]):
    """With the number of its members, of which two may have one key."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.members = len(pairs)


def _refused(name: str) -> Any:
    raise ValueError(name)


def _depth(value: Any) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(_depth, inner), default=0)


_SSE = (
    b"\xef\xbb\xbfevent: a\r\ndata: 1\r\ndata:2\r\n\r\n: x\n\ndata: {}\n\rid: 1\nretry: 5\n\ndata\n\n",
    b'event: message_start\ndata: {"type":"message_start"}\n\nevent: ping\ndata: {"type":"ping"}\n\ndata: [DONE]\n\n',
)
_WORDS_OF_SSE = (
    b"data:",
    b"data: ",
    b"event:",
    b"id:",
    b"retry:",
    b":",
    b"\n",
    b"\r",
    b"\r\n",
    b"\n\n",
    b"\xef\xbb\xbf",
)
_AWS = (
    frames.event("messageStart", {"role": "assistant"}) + frames.exception("throttlingException", "slow down"),
    frames.fault("InternalFailure", "all is lost"),
    b"\x15\x0d:message-type\x07\x00\x05event" + b"{}",
    b"\x10\x01a\x00\x01b\x03\x00\x01\x01c\x08\x00\x00\x00\x00\x00\x00\x00\x01",
)
_JSON = (
    b'{"model":"m","messages":[{"role":"user","content":"hi"}],"x":1.0,"stream":true}',
    b' {\n "model" :  "x" ,\t"a":[ {"b":"\\"model\\": 1"} ], "\\u006dax": 1e2,"z":{}\n} \n',
    b'{"model": "m", "input": "\\ud83c\\udf0a", "seed": 9007199254740993}',
    b"{}",
)
_WORDS_OF_JSON = (
    b'"model":',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b":",
    b'"',
    b"\\u",
    b"\\ud800",
    b"\\\\",
    b"1e400",
    b"NaN",
    b"-0",
)
TARGETS: tuple[Target, ...] = (
    target("sse", read_sse, seeds=_SSE, words=_WORDS_OF_SSE),
    target("sse_splitter", split_sse, seeds=_SSE, words=_WORDS_OF_SSE),
    target("ndjson", read_ndjson, seeds=(b'{"a":1}\r\n\n {"b":2} \n{"c":3}',), words=(b"\n", b"\r\n", b"\xef\xbb\xbf")),
    target("eventstream", read_eventstream, seeds=_AWS),
    target("json", read_json, seeds=_JSON, words=_WORDS_OF_JSON, is_json=True),
)
