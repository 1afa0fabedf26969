"""Anthropic to Claude on Bedrock: the envelope changes, the letter stays, so that signatures and prompt caches hold."""

from __future__ import annotations

import msgspec

from apps.domain import errors
from apps.domain.protocols import passthrough, refusal, splice
from apps.domain.protocols.anthropic_messages import passthrough as anthropic
from apps.domain.protocols.bedrock_invoke import fields
from apps.domain.protocols.bedrock_invoke.request import VERSION
from apps.domain.protocols.bedrock_invoke.stream import Events, written
from apps.domain.protocols.contract import ClientCall, Cut, Seen, Target

_VERSION = msgspec.json.encode(VERSION)


class Invoke:
    """The `Dialect`."""

    def rewrite(self, call: ClientCall, target: Target) -> bytes:
        """Without `model` and `stream`, which the address says, and without what Bedrock does not know."""
        members: splice.Members = call.wire.members
        betas = fields.betas(call, model=target.model)
        changes = anthropic.without_foreign(call, target)
        changes |= fields.changes(members, betas, messages=changes.get("messages") or members.raw("messages") or b"")
        changes["anthropic_version"] = _VERSION
        gone = fields.unknown(members, betas)
        if betas:
            changes["anthropic_beta"] = msgspec.json.encode(betas)
        else:
            gone.add("anthropic_beta")
        return members.edit(changes, without=gone)

    def tap(self, seen: Seen, call: ClientCall, *, request_id: str, cut: Cut) -> Tap:
        return Tap(seen, request_id=request_id, cut=cut)

    def read_usage(self, body: bytes, seen: Seen) -> None:
        anthropic.DIALECT.read_usage(body, seen)


class Tap:
    """A `StreamTap`: takes every event out of its message, and has it watched like Anthropic's own."""

    def __init__(self, seen: Seen, *, request_id: str, cut: Cut) -> None:
        self._seen = seen
        self._cut = cut
        self._events = Events()
        self._inner = anthropic.Tap(seen, request_id=request_id, cut=cut)

    def feed(self, chunk: bytes) -> bytes:
        seen = self._seen
        if seen.error is not None or seen.finished:
            return b""
        events: list[bytes] = []
        failure: errors.UpstreamError | None = None
        try:
            for event in self._events.feed(chunk):
                events.append(written(event))  # noqa: PERF401  # what came before the failure goes out before it
        except errors.UpstreamError as raised:
            failure = raised
        sent = self._inner.feed(b"".join(events)) if events else b""
        if failure is None or seen.error is not None or seen.finished:
            return sent
        return sent + self._fail(failure)

    def close(self) -> bytes:
        return b"" if self._seen.error is not None else self._inner.close()

    def fail(self, failure: errors.GatewayError) -> bytes:
        return self._inner.fail(failure)

    def _fail(self, failure: errors.UpstreamError) -> bytes:
        self._seen.error = refusal.cleaned(failure, self._cut)
        return self.fail(failure) if self._seen.started else b""


DIALECT: passthrough.Dialect = Invoke()
