"""What the data plane tells the journal. An outcome holds its intent, so it alone makes a ledger row."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

import msgspec

from apps.domain.snapshot import PriceCard
from apps.domain.tokens import NOTHING, TokenUsage

Status = Literal[
    "ok",
    "refused",
    "client_error",
    "client_gone",
    "upstream_error",
    "upstream_broken",
    "timeout",
    "gateway_error",
    "interrupted",
]
State = Literal["settled", "unconfirmed", "void"]
Source = Literal["provider", "estimated", "none"]
Cached = Literal["exact", "semantic"]
WORD_LENGTH = 64  # of what a coding agent calls its session and itself


class Intent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One attempt, before its upstream sees a byte. Journalled and awaited.

    `attempt` counts from 1. `started_at` is unix seconds; `card` the price in force then; `input_tokens` the estimate;
    `reserved` nano-USD; `windows` and `leases` are those of the Hold; `gated`: the database may know of it too.
    `session`, `agent`, `parent_agent`: what a coding agent says of itself; "": nothing.
    """

    request_id: UUID
    attempt: int
    started_at: float
    tenant_id: int
    project_id: int
    user_id: int | None = None
    key_id: int | None = None
    model_id: int | None = None
    provider_id: int | None = None
    deployment_id: int | None = None
    credential: str = ""
    model_name: str = ""
    upstream_model: str = ""
    client_protocol: str = ""
    upstream_protocol: str = ""
    endpoint: str = ""
    pinned_id: int | None = None
    stream: bool = False
    card: PriceCard | None = None
    input_tokens: int = 0
    reserved: int = 0
    windows: tuple[int, ...] = ()
    leases: tuple[int, ...] = ()
    gated: bool = False
    queue_ms: int = 0
    trace_id: str = ""
    client_address: str = ""
    user_agent: str = ""
    session: str = ""
    agent: str = ""
    parent_agent: str = ""


class Checkpoint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far a stream has come: tokens out by our own count, the provider's id for the answer. `reserved`: what is
    reserved for it now, in nano-USD, if that is more than its intent says."""

    at: float
    output_tokens: int
    response_id: str = ""
    reserved: int = 0


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How an attempt ended. `cost` is nano-USD; `low` and `high` bound it and are the same unless given.

    Durations are milliseconds; `trail` is what the router did, in a few words a step. `cached`: how an answer was found
    that had been given before; `saved` is what that one had cost, in nano-USD, and `saved_tokens` what it had used.
    `message_id`: what the provider calls the answer, as `msg_…` or `chatcmpl-…`.
    """

    intent: Intent
    status: Status
    state: State = "settled"
    usage: TokenUsage = NOTHING
    usage_source: Source = "none"
    cost: int = 0
    low: int | None = None
    high: int | None = None
    http_status: int | None = None
    error_code: str = ""
    stop_reason: str = ""
    latency_ms: int = 0
    ttft_ms: int | None = None
    provider_request_id: str = ""
    message_id: str = ""
    cached: Cached | None = None
    saved: int = 0
    saved_tokens: int = 0
    trail: tuple[str, ...] = ()
