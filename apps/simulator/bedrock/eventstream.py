"""Frames of `application/vnd.amazon.eventstream`.

total length u32, length of headers u32, CRC-32 of those eight bytes, headers, payload, CRC-32 of all before it; every
number big-endian. A header: length of its name u8, name, type u8 (7: a text), length of its value u16, value.
"""

from __future__ import annotations

import struct
import zlib

import msgspec

from apps.simulator.ask import Object
from apps.simulator.dialect import Frame

MEDIA_TYPE = b"application/vnd.amazon.eventstream"
PADDING = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
TEXT = 7
CRCS = 12 + 4  # bytes of a frame besides headers and payload


def event(kind: str, document: Object, *, tokens: int = 0) -> Frame:
    """`p` is padding, so that the length of a frame does not tell that of a token."""
    plain = msgspec.json.encode(document)
    document = {**document, "p": PADDING[: 1 + zlib.crc32(plain) % len(PADDING)]}
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return Frame(encode(headers, msgspec.json.encode(document)), tokens)


def exception(kind: str, document: Object) -> Frame:
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return Frame(encode(headers, msgspec.json.encode(document)))


def encode(headers: dict[str, str], payload: bytes) -> bytes:
    head = b"".join(_header(name.encode(), value.encode()) for name, value in headers.items())
    prelude = struct.pack(">II", CRCS + len(head) + len(payload), len(head))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return body + struct.pack(">I", zlib.crc32(body))


def _header(name: bytes, value: bytes) -> bytes:
    return struct.pack(">B", len(name)) + name + struct.pack(">BH", TEXT, len(value)) + value
