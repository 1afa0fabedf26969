"""Identifiers that sort by time: one value is primary key, partition key and idempotency key at once.

A request's id is a UUIDv7 (RFC 9562) whose 12 `rand_a` bits are zero; a ledger entry's id is the request's with the
attempt (8 bits) and a slot (4 bits) written there. So the same attempt and slot always make the same id.
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
    """What a ledger row says about an attempt. Amounts of a correction and a repricing are differences from what was
    said before; an adjustment is of no attempt, but of a day that a provider has billed otherwise.
    """

    POST = 1
    UNCONFIRMED = 2
    CORRECTION = 3
    REPRICE = 4
    ADJUSTMENT = 5


class Slot(enum.IntEnum):
    """Where an attempt's rows are kept apart. First is a post or an unconfirmed: the primary key lets in one of them.

    A resolution is the correction of an unconfirmed; repricings number on from REPRICE to LAST_SLOT. An adjustment is a
    first, alone, and its resolution takes it back.
    """

    FIRST = 1
    RESOLUTION = 2
    REPRICE = 3


LAST_SLOT = 0xF


def request_id(*, now_ms: int, random_bits: int) -> uuid.UUID:
    """`now_ms` since the epoch; of `random_bits` the low 62 are used."""
    return uuid.UUID(int=(now_ms << 80) | _VERSION_7 | _VARIANT | (random_bits & _RANDOM))


def entry_id(request: uuid.UUID, *, attempt: int, slot: int = Slot.FIRST) -> uuid.UUID:
    """`attempt` counts from 1. Raises ValueError outside 8 bits of attempt or 4 bits of slot."""
    if not 0 <= attempt <= MAX_ATTEMPT or not 0 <= slot <= LAST_SLOT:
        raise ValueError("attempt or slot out of range")
    return uuid.UUID(int=(request.int & ~_SLOT) | (attempt << 68) | (slot << 64))


def in_slot(entry: uuid.UUID, *, slot: int) -> uuid.UUID:
    """Another entry of the same attempt. Raises ValueError outside 4 bits."""
    if not 0 <= slot <= LAST_SLOT:
        raise ValueError("slot out of range")
    return uuid.UUID(int=(entry.int & ~(LAST_SLOT << 64)) | (slot << 64))


def slot_of(entry: uuid.UUID) -> int:
    return (entry.int >> 64) & LAST_SLOT


def request_of(identifier: uuid.UUID) -> uuid.UUID:
    """The request of an entry's id; a request's own id is its own."""
    return uuid.UUID(int=identifier.int & ~_SLOT)


def entries_of(request: uuid.UUID) -> tuple[uuid.UUID, uuid.UUID]:
    """The least and the greatest id that an entry of the request can have. Others of its millisecond lie between."""
    return request, uuid.UUID(int=request.int | _SLOT)


def floor(now_ms: int) -> uuid.UUID:
    """The smallest id of that millisecond: the bound of a partition or of a time filter."""
    return uuid.UUID(int=(now_ms << 80) | _VERSION_7 | _VARIANT)


def milliseconds(identifier: uuid.UUID) -> int:
    return identifier.int >> 80
