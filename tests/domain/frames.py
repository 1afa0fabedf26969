"""AWS event streams as AWS writes them. Written from the format's description, without botocore."""

from __future__ import annotations

import base64
import binascii
import json
import struct
from collections.abc import Iterable
from typing import Any

_TEXT = 7  # the type of a header's value


def message(headers: dict[str, str], payload: bytes) -> bytes:
    raw = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack(">II", 16 + len(raw) + len(payload), len(raw))
    whole = prelude + struct.pack(">I", binascii.crc32(prelude)) + raw + payload
    return whole + struct.pack(">I", binascii.crc32(whole))


def event(name: str, data: Any) -> bytes:
    headers = {":event-type": name, ":content-type": "application/json", ":message-type": "event"}
    return message(headers, json.dumps(data).encode())


def exception(name: str, told: str, **more: Any) -> bytes:
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return message(headers, json.dumps({"message": told} | more).encode())


def fault(code: str, told: str) -> bytes:
    return message({":message-type": "error", ":error-code": code, ":error-message": told}, b"")


def chunk(data: bytes) -> bytes:
    """InvokeModel's wrapping of one event of the model's own."""
    return event("chunk", {"bytes": base64.b64encode(data).decode(), "p": "abcdef"})


def invoke(events: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(chunk(json.dumps(data).encode()) for data in events)


def converse(events: Iterable[tuple[str, dict[str, Any]]]) -> bytes:
    return b"".join(event(name, data | {"p": "abc"}) for name, data in events)


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return bytes((len(key),)) + key + struct.pack(">BH", _TEXT, len(text)) + text
