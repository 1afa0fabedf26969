"""Canonical stream events: the grammar every decoder produces and every encoder consumes.

    Started  ( BlockStarted  (TextDelta | ThinkingDelta | SignatureDelta | ArgumentsDelta)*  BlockStopped )*
    Finished                             Ping anywhere after Started; Failed anywhere, then nothing more

One block is open at a time; indices are 0, 1, 2, … without gaps. `Finished.usage` holds the totals of the whole
answer (None: the provider gave none).
"""

from __future__ import annotations

import msgspec

from apps.domain.chat import Block, Likely, StopReason
from apps.domain.errors import GatewayError
from apps.domain.tokens import TokenUsage


class Started(msgspec.Struct, frozen=True):
    id: str
    model: str
    usage: TokenUsage | None = None


class BlockStarted(msgspec.Struct, frozen=True):
    """`block` is empty text, empty thinking, a tool call without arguments, or a block that comes whole."""

    index: int
    block: Block


class TextDelta(msgspec.Struct, frozen=True):
    index: int
    text: str
    logprobs: tuple[Likely, ...] = ()


class ThinkingDelta(msgspec.Struct, frozen=True):
    index: int
    text: str


class SignatureDelta(msgspec.Struct, frozen=True):
    """The whole signature, once, last in its block."""

    index: int
    signature: str


class ArgumentsDelta(msgspec.Struct, frozen=True):
    index: int
    json: str


class BlockStopped(msgspec.Struct, frozen=True):
    index: int


class Finished(msgspec.Struct, frozen=True):
    """`tier` as in `chat.ChatResponse`."""

    stop_reason: StopReason
    stop_sequence: str | None = None
    usage: TokenUsage | None = None
    tier: str | None = None


class Ping(msgspec.Struct, frozen=True):
    pass


class Failed(msgspec.Struct, frozen=True):
    """`usage`: what had been used by then, where the provider says so."""

    error: GatewayError
    usage: TokenUsage | None = None


Event = (
    Started
    | BlockStarted
    | TextDelta
    | ThinkingDelta
    | SignatureDelta
    | ArgumentsDelta
    | BlockStopped
    | Finished
    | Ping
    | Failed
)
