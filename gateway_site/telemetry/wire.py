"""OTLP's messages, written as bytes. https://github.com/open-telemetry/opentelemetry-proto (1.x: fields only come)

The library's own objects and their encoder take ten times as long for a span, of which a call has a dozen: see
docs/decisions/0046. The tests read what is written here with the library.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from functools import lru_cache

Value = str | bool | int | float | tuple[str, ...]

INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = range(1, 6)
_MASK = (1 << 64) - 1
_KNOWS_REMOTE, _IS_REMOTE = 0x100, 0x200
_FAILED = b"\x7a\x02\x18\x02"  # a status of `ERROR`, in a span
_FLAGS = b"\x85\x01" + struct.pack("<I", 1 | _KNOWS_REMOTE)
_ENDS = struct.Struct("<QBQ6s")
_fixed32, _fixed64, _double = struct.Struct("<I").pack, struct.Struct("<Q").pack, struct.Struct("<d").pack


def block(number: int, content: bytes) -> bytes:
    """A field of messages, texts or bytes; `number` under 16."""
    return bytes((number << 3 | 2,)) + _varint(len(content)) + content


def attribute(name: str, value: Value) -> bytes:
    """A `KeyValue`."""
    return _key(name) + block(2, _any(value))


def attributes(number: int, pairs: Mapping[str, Value]) -> bytes:
    """As the field of this number."""
    return b"".join([block(number, attribute(name, value)) for name, value in pairs.items()])


@lru_cache(maxsize=256)
def _key(name: str) -> bytes:
    return block(1, name.encode())


@lru_cache(maxsize=8192)
def known(name: str, value: Value) -> bytes:
    """A span's attribute of which there are few values."""
    return block(9, attribute(name, value))


def span(
    name: str,
    *,
    trace_id: bytes,
    span_id: int,
    started: int,
    ended: int,
    parent: int | None = None,
    is_remote: bool = False,
    kind: int = INTERNAL,
    attributes: bytes = b"",
    is_failed: bool = False,
    state: str = "",
) -> bytes:
    """A `Span`, as one of a `ScopeSpans`. Times are unix nanoseconds; `is_remote`: the parent is another program's."""
    flags = 1 | _KNOWS_REMOTE | (_IS_REMOTE if is_remote else 0)
    parts = [b"\x0a\x10", trace_id, b"\x12\x08", span_id.to_bytes(8)]
    if state:
        parts.append(block(3, state.encode()))
    if parent is not None:
        parts += (b"\x22\x08", parent.to_bytes(8))
    parts += (_name(name), bytes((0x30, kind)), b"\x39", _fixed64(started), b"\x41", _fixed64(max(started, ended)))
    parts.append(attributes)
    if is_failed:
        parts.append(_FAILED)
    parts += (b"\x85\x01", _fixed32(flags))
    return block(2, b"".join(parts))


def plain(name: str, *, trace_id: bytes, span_id: int, parent: int, started: int, ended: int) -> bytes:
    """As `span`, of one of which nothing else is to be said: most are."""
    before, after = _plain(name)
    return b"%b%b\x12\x08%b\x22\x08%b%b%b" % (
        before,
        trace_id,
        span_id.to_bytes(8),
        parent.to_bytes(8),
        after,
        _ENDS.pack(started, 0x41, max(started, ended), _FLAGS),
    )


def line(
    body: str, *, at: int, severity: int, level: str, pairs: Mapping[str, Value], trace_id: str = "", span_id: str = ""
) -> bytes:
    """A `LogRecord`, as one of a `ScopeLogs`. `at` in unix nanoseconds."""
    parts = [b"\x09", _fixed64(at), bytes((0x10, severity)), block(3, level.encode()), block(5, _any(body))]
    parts.append(attributes(6, pairs))
    if trace_id:
        parts.append(block(9, bytes.fromhex(trace_id)))
    if span_id:
        parts.append(block(10, bytes.fromhex(span_id)))
    parts += (b"\x59", _fixed64(at))
    return block(2, b"".join(parts))


def envelope(resource: Mapping[str, Value], *, scope: str, version: str) -> tuple[bytes, bytes]:
    """What goes before the scope's items in every request: the resource's field, and the scope's."""
    return block(1, attributes(1, resource)), block(1, block(1, scope.encode()) + block(2, version.encode()))


def request(head: tuple[bytes, bytes], items: Iterable[bytes]) -> bytes:
    """An `Export…ServiceRequest`, which looks the same for all three signals."""
    resource, scope = head
    return block(1, resource + block(2, scope + b"".join(items)))


@lru_cache(maxsize=256)
def _plain(name: str) -> tuple[bytes, bytes]:
    """What such a span has before its trace's id, and between its parent's and its times: it is always as long."""
    after = _name(name) + bytes((0x30, INTERNAL)) + b"\x39"
    length = 2 + 16 + 2 + 8 + 2 + 8 + len(after) + _ENDS.size
    return b"\x12" + _varint(length) + b"\x0a\x10", after


@lru_cache(maxsize=4096)
def _name(name: str) -> bytes:
    return block(5, name.encode())


def _any(value: Value) -> bytes:
    if isinstance(value, str):
        return block(1, value.encode("utf-8", "replace"))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + _varint(value & _MASK)
    if isinstance(value, float):
        return b"\x21" + _double(value)
    return block(5, b"".join([block(1, _any(word)) for word in value]))


def _varint(number: int) -> bytes:
    if number < 128:
        return bytes((number,))
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    parts.append(number)
    return bytes(parts)
