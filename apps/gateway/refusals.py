"""Refusals that are in no ledger row: each is counted, and has a log line, found by the id its caller has. Bounded: a
flood of bad keys must not fill a disk."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import structlog

from apps.domain import errors, keys, refusals
from apps.gateway.tally import tally
from apps.runtime.state import state

if TYPE_CHECKING:
    from apps.domain.errors import GatewayError
    from apps.gateway.context import RequestContext

log = structlog.get_logger(__name__)

MOST_A_SECOND = 50
UNKNOWN = "unknown"  # any other name is the caller's own words, and may be anything


class _Told:
    """How many lines this second has had, and how many were left out of it."""

    def __init__(self) -> None:
        self.until = 0.0
        self.lines = 0
        self.left_out = 0

    def admits(self) -> bool:
        """On the event loop, which tells at the second's end what was left out."""
        now = time.monotonic()
        if now >= self.until:
            self.until, self.lines = now + 1.0, 0
        self.lines += 1
        if self.lines <= MOST_A_SECOND:
            return True
        self.left_out += 1
        if self.left_out == 1:
            asyncio.get_running_loop().call_later(self.until - now, self.tell)
        return False

    def tell(self) -> None:
        log.warning("call.refused_unlisted", count=self.left_out, reason=f"more than {MOST_A_SECOND} refusals a second")
        self.left_out = 0


_told = _Told()


def token(reason: str, issuer: str) -> None:
    """Why a token was refused, in one of few words: its caller is told nothing of it. `issuer` "": none of ours."""
    if _told.admits():
        log.info("token.refused", issuer=issuer, reason=reason)


def unverified(issuer: str, reason: str) -> None:
    """Its keys cannot be had."""
    if _told.admits():
        log.warning("token.keys_unavailable", issuer=issuer, reason=reason)


def note(ctx: RequestContext, error: GatewayError, *, status: int) -> None:
    """`status` as the caller got it. Neither the body nor the message, which may quote it."""
    if any(attempt.is_journalled for attempt in ctx.attempts):
        return
    if ctx.on_behalf_of is None and not isinstance(error, errors.UpstreamError):
        _count(ctx, error, status)
    if not _told.admits():
        return
    who: dict[str, Any] = {"public_id": keys.public_id(ctx.presented_key())}
    if ctx.principal is not None:
        who["tenant_id"] = ctx.principal.tenant_id
    if ctx.call is not None:
        who["model"] = ctx.call.model if ctx.call.model in ctx.snapshot.models else UNKNOWN
    if ctx.pinned is not None:
        who["pinned"] = ctx.pinned.name
    log.info(
        "call.refused",
        request_id=ctx.public_request_id,
        dialect=ctx.wire.name,
        endpoint=ctx.endpoint,
        kind=error.kind,
        code=error.code,
        status=status,
        **who,
    )


def _count(ctx: RequestContext, error: GatewayError, status: int) -> None:
    """A few microseconds, whoever calls how often."""
    holder = ctx.holder
    if holder is None:
        word = _unknown(ctx) if isinstance(error, errors.AuthenticationFailed) else refusals.reason(error)
        state.refused[word] += 1
        tally.unknown(word, status=status, at=ctx.started_at)
        return
    limit = ctx.decision.kind if ctx.decision is not None and isinstance(error, errors.RateLimited) else None
    word = limit or refusals.reason(error)
    wanted = ctx.call.model if ctx.call is not None else ""
    state.refused[word] += 1
    tally.note(
        holder,
        word,
        status=status,
        at=ctx.started_at,
        model=wanted if wanted in ctx.snapshot.models else "",
        request_id=ctx.request_id,
        wanted=wanted,
        endpoint=ctx.endpoint,
        address=ctx.scope["client"][0] if ctx.scope.get("client") else "",
        agent=ctx.headers.get(b"user-agent", b""),
    )


def _unknown(ctx: RequestContext) -> str:
    key = ctx.presented_key()
    if not key:
        return "nameless"
    return "unknown" if keys.public_id(key) is not None else "strange"
