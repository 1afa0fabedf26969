"""A caller and an upstream of one dialect: the bytes are relayed, only watched for usage. Or of two that differ in the
envelope alone: then it is changed, and the letter stays.

A pair plugs in with a `DIALECT` in a folder's `passthrough.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from apps.domain import errors, signatures
from apps.domain.protocols import refusal
from apps.domain.protocols.contract import NO_HEADERS, AnyUpstream, ClientCall, Cut, Headers, Seen, Target


class StreamTap(Protocol):
    """Watches one stream and fills `seen`. The rules of `Exchange.feed`, `close` and `fail` hold for its own."""

    def feed(self, chunk: bytes) -> bytes: ...

    def close(self) -> bytes: ...

    def fail(self, error: errors.GatewayError) -> bytes: ...


class Whole:
    """An answer of a kind that never streams, so nothing of it is fed."""

    def feed(self, chunk: bytes) -> bytes:
        raise AssertionError("this answer comes whole")

    def close(self) -> bytes:
        raise AssertionError("this answer comes whole")

    def fail(self, error: errors.GatewayError) -> bytes:
        return b""  # nothing of it is out, or all


class Rewritten(NamedTuple):
    """A caller's body as it goes on. `notes`: what was done to it besides, for the ledger. `headers` go with it."""

    body: bytes
    notes: tuple[str, ...] = ()
    headers: Headers = ()


class Dialect(Protocol):
    """What differs between dialects when bytes are relayed."""

    def rewrite(self, call: ClientCall, target: Target) -> Rewritten:
        """The caller's body with the upstream's model name, and what else must be spliced in."""

    def tap(self, seen: Seen, call: ClientCall, *, request_id: str, cut: Cut) -> StreamTap:
        """One whose errors, and the bytes of error events, are `refusal.cleaned` with `cut`."""

    def read_usage(self, body: bytes, seen: Seen) -> None:
        """Fills `seen` from an answer that came whole. Raises UpstreamBroken if it is no answer of the dialect."""


class Passthrough:
    """An `Exchange` that translates nothing."""

    def __init__(
        self, call: ClientCall, target: Target, *, dialect: Dialect, upstream: AnyUpstream, request_id: str, cut: Cut
    ) -> None:
        self.seen = Seen()
        self.body, self.notes, self.headers = dialect.rewrite(call, target)
        self._dialect = dialect
        self._read_error = upstream.read_error
        self._is_one_dialect = call.protocol == target.protocol
        self._cut = cut
        self._tap = dialect.tap(self.seen, call, request_id=request_id, cut=cut)
        self.feed = self._tap.feed  # one step less a chunk

    def refuse(self, status: int, headers: Mapping[str, str], body: bytes) -> errors.UpstreamError:
        error = refusal.cleaned(self._read_error(status, headers, body), self._cut)
        if not self._is_one_dialect:
            error.body = None
        return error

    def answer(self, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> bytes:
        try:
            self._dialect.read_usage(body, self.seen)
        except errors.UpstreamError as error:
            refusal.cleaned(error, self._cut)
            raise
        self.seen.started = self.seen.finished = True
        if self.seen.on_signed is not None and (marks := signatures.marks(body)):
            self.seen.on_signed(marks)
        return body

    def close(self) -> bytes:
        return self._tap.close()

    def fail(self, error: errors.GatewayError) -> bytes:
        return self._tap.fail(error)
