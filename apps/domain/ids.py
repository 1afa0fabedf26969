"""Identifiers that sort by time: one value is primary key, partition key and idempotency key at once.

A request's id is a UUIDv7 (RFC 9562) whose 12 `rand_a` bits are zero; a ledger entry's id is the request's with the
attempt (8 bits) and the kind of entry (4 bits) written there. So the same attempt and kind always make the same id.
"""

from __future__ import annotations

import enum
import uuid

_VERSION_7 = 0x7 << 76
_VARIANT = 0b10 << 62
_RANDOM = (1 << 62) - 1
_SLOT = 0xFFF << 64
MAX_ATTEMPT = 0xFF


class EntryKind(enum.IntEnum):
    """What a ledger row says about an attempt. Corrections number on from CORRECTION (up to 15 in all)."""

    POST = 1
    UNCONFIRMED = 2
    CORRECTION = 3


def request_id(*, now_ms: int, random_bits: int) -> uuid.UUID:
    """`now_ms` since the epoch; of `random_bits` the low 62 are used."""
    return uuid.UUID(int=(now_ms << 80) | _VERSION_7 | _VARIANT | (random_bits & _RANDOM))


def entry_id(request: uuid.UUID, *, attempt: int, kind: int) -> uuid.UUID:
    """`attempt` counts from 1. Raises ValueError outside 8 bits of attempt or 4 bits of kind."""
    if not 0 <= attempt <= MAX_ATTEMPT or not 0 <= kind <= 0xF:
        raise ValueError("attempt or kind out of range")
    return uuid.UUID(int=(request.int & ~_SLOT) | (attempt << 68) | (kind << 64))


def request_of(identifier: uuid.UUID) -> uuid.UUID:
    """The request of an entry's id; a request's own id is its own."""
    return uuid.UUID(int=identifier.int & ~_SLOT)


def entries_of(request: uuid.UUID) -> tuple[uuid.UUID, uuid.UUID]:
    """The least and the greatest id that an entry of the request can have."""
    return request, uuid.UUID(int=request.int | _SLOT)


def floor(now_ms: int) -> uuid.UUID:
    """The smallest id of that millisecond: the bound of a partition or of a time filter."""
    return uuid.UUID(int=(now_ms << 80) | _VERSION_7 | _VARIANT)


def milliseconds(identifier: uuid.UUID) -> int:
    return identifier.int >> 80
