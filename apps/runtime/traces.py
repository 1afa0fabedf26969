"""Which trace the running code belongs to, and how programs tell each other of it (W3C Trace Context).

`traceparent` is 00-<trace: 32 hex>-<parent span: 16 hex>-<flags: 2 hex>; later versions may add to it.
https://www.w3.org/TR/trace-context/
"""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple

SAMPLED = 0x01
MOST_STATE = 512  # bytes of `tracestate`: so much must be passed on
_HEX = b"0123456789abcdef"

# The trace and, if it is recorded, the span within it, in hex; "": none. A plain pair, as every call sets it.
place: ContextVar[tuple[str, str]] = ContextVar("trace", default=("", ""))


class Parent(NamedTuple):
    """The span that another one goes under. `state` is to be passed on, not to be understood. `is_remote`: another
    program's."""

    trace_id: str
    span_id: str
    is_sampled: bool
    state: str = ""
    is_remote: bool = True


def parent(traceparent: bytes | None, tracestate: bytes | None = None) -> Parent | None:
    """None without a valid one: then a trace begins here."""
    if not traceparent or len(traceparent) < 55:
        return None
    parts = traceparent.split(b"-", 4)
    if [len(part) for part in parts[:4]] != [2, 32, 16, 2] or b"".join(parts[:4]).strip(_HEX):
        return None
    version, trace_id, span_id, flags = parts[:4]
    if version == b"ff" or (version == b"00" and len(parts) > 4) or not trace_id.strip(b"0") or not span_id.strip(b"0"):
        return None
    return Parent(trace_id.decode(), span_id.decode(), bool(int(flags, 16) & SAMPLED), _state(tracestate))


def written(trace_id: str, span_id: str, *, is_sampled: bool) -> str:
    """A `traceparent`."""
    return f"00-{trace_id}-{span_id}-{'01' if is_sampled else '00'}"


def _state(tracestate: bytes | None) -> str:
    if not tracestate or len(tracestate) > MOST_STATE or not tracestate.isascii():
        return ""
    text = tracestate.decode()
    return text if text.isprintable() else ""
