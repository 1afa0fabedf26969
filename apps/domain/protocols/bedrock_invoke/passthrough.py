"""Anthropic to Claude on Bedrock: the envelope changes, the letter stays, so that signatures and prompt caches hold."""

from __future__ import annotations

import msgspec

from apps.domain import errors
from apps.domain.protocols import bedrock_tiers, losses, passthrough, refusal, splice
from apps.domain.protocols.anthropic_messages import passthrough as anthropic
from apps.domain.protocols.anthropic_messages import words
from apps.domain.protocols.bedrock_invoke import betas, call_ids, fields, sources
from apps.domain.protocols.bedrock_invoke.request import VERSION
from apps.domain.protocols.bedrock_invoke.stream import Events, written
from apps.domain.protocols.contract import ClientCall, Cut, Headers, Seen, Target

_VERSION = msgspec.json.encode(VERSION)
_DOCUMENTED = losses.DOCUMENTED | fields.DEEPER


class Invoke:
    """The `Dialect`."""

    def rewrite(self, call: ClientCall, target: Target) -> passthrough.Rewritten:
        """Without `model` and `stream`, which the address says, and without what Bedrock does not know."""
        members: splice.Members = call.wire.members
        asked = betas.asked(call)
        known = betas.known(asked, model=target.model)
        changes = anthropic.without_foreign(call, target)
        messages = changes.get("messages") or members.raw("messages") or b""
        fitted = call_ids.fitted(sources.placed(messages, call, target.fetched))
        if fitted is not messages:
            changes["messages"] = fitted
        gone = fields.unknown(members, known)
        lost = fields.lost(members, gone)
        changes |= fields.changes(members, known, messages=fitted, lost=lost)
        changes["anthropic_version"] = _VERSION
        if known:
            changes["anthropic_beta"] = msgspec.json.encode(known)
        else:
            gone.add("anthropic_beta")
        headers: Headers = ()
        if "service_tier" in lost and (
            (tier := _tier(members)) == b'"auto"' or (headers := bedrock_tiers.headers(tier))
        ):
            lost.discard("service_tier")
        told = (losses.dropped(lost, documented=_DOCUMENTED),) if lost else ()
        return passthrough.Rewritten(members.edit(changes, without=gone), (*told, *betas.lost(asked)), headers)

    def tap(self, seen: Seen, call: ClientCall, *, request_id: str, cut: Cut) -> Tap:
        return Tap(seen, request_id=request_id, cut=cut)

    def read_usage(self, body: bytes, seen: Seen) -> None:
        anthropic.DIALECT.read_usage(body, seen)


def _tier(members: splice.Members) -> bytes:
    """In OpenAI's words."""
    told = members.raw("service_tier") or b""
    return words.TIERS.get(told, told)


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
