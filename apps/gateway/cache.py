"""What has been answered before: given again where that may be, and kept when it is new.

Whatever is kept belongs to its tenant, and to whoever may ask the same deployments under the same policy: see
`domain/caching`.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING

import msgspec
import structlog

from apps.domain import caching, errors
from apps.domain.protocols import replay
from apps.domain.providers import registry as providers
from apps.gateway import allowed, answers, kept, metrics, records, semantic
from apps.gateway.known import Known
from apps.gateway.shelf import Alike, Fate, Found

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from apps.domain.snapshot import Caching, Model
    from apps.gateway.attempt import Accounts, Attempt
    from apps.gateway.context import Message, RequestContext, Send
    from apps.gateway.kept import Answer
    from apps.gateway.semantic import Semantic
    from apps.gateway.shelf import Flight, Shelf
    from apps.usage.records import Cached

    Embed = Callable[[str, str], Awaitable[semantic.Vector]]
    """Of a model's name, and of words. Raises semantic.Unavailable."""

log = structlog.get_logger(__name__)

_ASKS, _KIND, _LIKENESS = b"x-weir-cache", b"x-weir-cache-kind", b"x-weir-cache-similarity"
_LONGEST_REQUEST = 2 * 1024 * 1024  # bytes, which take up to 7 ms to tell apart, while everybody waits
_NOWHERE = kept.Key(b"", b"")
_configured: Known[int, tuple[bytes, tuple[bytes, ...]]] = Known()  # by model: identity, headers that go on


class Look:
    """What the cache has to do with one call. `told` is its answer's header."""

    __slots__ = ("answer", "caching", "flight", "has_waited", "key", "likeness", "place", "recorder", "told")

    def __init__(self, caching: Caching) -> None:
        self.caching = caching
        self.told = b"skip"
        self.key = _NOWHERE
        self.answer: Answer | None = None  # the one that it was given
        self.likeness: float | None = None  # of the question that it answered
        self.has_waited = False
        self.flight: Flight | None = None
        self.place: semantic.Place | None = None
        self.recorder: _Recorder | None = None

    @property
    def headers(self) -> answers.HeaderList:
        if self.answer is None:
            return [(_ASKS, self.told)]
        told = [(_ASKS, self.told), (b"age", b"%d" % self.answer.age), (_KIND, self.kind.encode())]
        return told if self.likeness is None else [*told, (_LIKENESS, b"%.4f" % self.likeness)]

    @property
    def kind(self) -> Cached:
        return "exact" if self.likeness is None else "semantic"


class _Recorder:
    """A `send` that remembers what goes out, up to so many bytes."""

    __slots__ = ("_keepalive", "_most", "_parts", "_send", "_size", "status")

    def __init__(self, send: Send, *, most: int, keepalive: bytes) -> None:
        self._send = send
        self._most = most
        self._keepalive = keepalive
        self._parts: list[bytes] = []
        self._size = 0
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif (body := message.get("body", b"")) != self._keepalive:
            self._size += len(body)
            if self._size <= self._most:
                self._parts.append(body)
            else:
                self._parts.clear()
        await self._send(message)

    @property
    def text(self) -> bytes:
        """Empty when it was too much."""
        return b"".join(self._parts)


async def answer(ctx: RequestContext, shelf: Shelf, questions: Semantic, embed: Embed) -> bool:
    """Whether the call has been answered here. If not, what it is answered with is listened to, for `close`."""
    assert ctx.principal is not None
    assert ctx.model is not None
    rule = caching.caching_of(ctx.snapshot, ctx.principal, ctx.model)
    if rule is None:
        return False
    said = caching.wish(ctx.headers.get(_ASKS))
    if not caching.is_wanted(rule, said):
        ctx.look = Look(rule) if said else None
        return False
    look = ctx.look = Look(rule)
    asked, secret = _asked(ctx, forced=rule.forced), ctx.snapshot.cachings.secrets.get(ctx.principal.tenant_id)
    if asked is None or secret is None:
        return False
    look.key = kept.Key(_key(ctx, asked), secret)
    if said != "refresh":
        found = await shelf.find(look.key, is_fresh=lambda known: known.age < rule.ttl)
        if found.answer is not None and (body := await _again(ctx, found.answer)):
            await _give(ctx, found, body)
            return True
        look.flight = found.flight
    look.told = b"refresh" if said == "refresh" else b"miss"
    look.recorder = _Recorder(ctx.send, most=rule.max_bytes, keepalive=ctx.wire.keepalive)
    ctx.send = look.recorder
    if rule.semantic is None or (question := caching.question(asked, protocol=ctx.wire.name)) is None:
        return False
    try:
        return await _answer_alike(ctx, shelf, questions, functools.partial(embed, rule.semantic.model), question)
    except semantic.Unavailable as error:
        ctx.notes.append(f"cache: not compared, {error}")
        return False


async def _answer_alike(
    ctx: RequestContext,
    shelf: Shelf,
    questions: Semantic,
    embed: Callable[[str], Awaitable[semantic.Vector]],
    question: caching.Question,
) -> bool:
    """What was answered to a question that means the same. Raises semantic.Unavailable."""
    look = ctx.look
    assert look is not None
    assert look.caching.semantic is not None
    assert ctx.principal is not None
    rest = _key(ctx, question.rest, figures=question.figures)
    place = look.place = await questions.place(
        rest, tenant_id=ctx.principal.tenant_id, embed=functools.partial(embed, question.words)
    )
    if look.told == b"refresh":
        return False
    for alike in await questions.find(place, threshold=look.caching.semantic.threshold):
        try:
            known = await shelf.peek(look.key._replace(question=alike.key))
        except kept.Away as error:
            raise semantic.Unavailable("the kept answers are not available") from error
        if known is None or known.age >= look.caching.ttl:
            questions.drop(place, alike)
        elif body := await _again(ctx, known):
            likeness = alike.near.likeness
            if look.flight is not None:
                shelf.land(look.key, look.flight, Alike(known, likeness))
            questions.used(place, alike, saved=known.origin.cost)
            await _give(ctx, Found(known, has_waited=look.has_waited, likeness=likeness), body)
            return True
    ctx.notes.append("cache: nothing alike is kept")
    return False


def close(
    ctx: RequestContext,
    failure: errors.GatewayError | None,
    shelf: Shelf,
    questions: Semantic,
    accounts: Accounts,
) -> None:
    """When the call is settled: books what was saved, or keeps the answer, and tells those who wait."""
    if ctx.look is None:
        return
    try:
        _close(ctx, ctx.look, failure, shelf, questions, accounts)
    finally:
        if ctx.look.flight is not None:  # nobody waits for what will not come
            shelf.land(ctx.look.key, ctx.look.flight, Fate.AGAIN)


def _close(
    ctx: RequestContext,
    look: Look,
    failure: errors.GatewayError | None,
    shelf: Shelf,
    questions: Semantic,
    accounts: Accounts,
) -> None:
    result = "semantic" if look.likeness is not None else look.told.decode()
    metrics.looked_up(ctx, result, saved=look.answer.origin.cost if look.answer is not None else 0)
    if look.answer is not None:
        latency = time.monotonic() - ctx.started
        step = f"cache hit: {look.kind}, {look.answer.age:.0f} s old"
        step += f", alike at {look.likeness:.4f}" if look.likeness is not None else ""
        step += ", waited for it" if look.has_waited else ""
        told = records.hit(ctx, look.answer, failure, found=look.kind, latency=latency, step=step)
        accounts.journal.outcome(told)
    elif look.recorder is not None:
        new = _new(ctx, look.recorder) if failure is None else None
        if new is not None:
            then = _remembering(ctx, look, look.place, questions, size=len(new.body)) if look.place else None
            shelf.keep(look.key, look.flight, new, ttl=look.caching.ttl, then=then)
        elif look.flight is not None:
            shelf.land(look.key, look.flight, _fate(failure))


def _remembering(
    ctx: RequestContext, look: Look, place: semantic.Place, questions: Semantic, *, size: int
) -> Callable[[], None]:
    """The question, for when its answer is there: whoever finds it sooner would take the answer for gone."""
    assert ctx.principal is not None
    assert ctx.model is not None
    cachings, principal = ctx.snapshot.cachings, ctx.principal
    is_own = principal.key_id in cachings.keys
    return functools.partial(
        questions.keep,
        place,
        look.key.question,
        model_id=ctx.model.id,
        policy=f"key {principal.key_id}" if is_own else f"model {ctx.model.id}",
        generation=look.caching.generation,
        of_tenant=cachings.generations.get(principal.tenant_id, 0),
        ttl=look.caching.ttl,
        size=size,
    )


def _asked(ctx: RequestContext, *, forced: bool) -> caching.Body | None:
    """None for a call whose answer is not for keeping."""
    assert ctx.call is not None
    if len(ctx.call.body) > _LONGEST_REQUEST:
        return None
    asked = caching.read(ctx.call.body)
    if asked is None or not caching.may_be_kept(asked, protocol=ctx.call.protocol, forced=forced):
        return None
    return asked


def _key(ctx: RequestContext, asked: caching.Body, *, figures: tuple[str, ...] | None = None) -> bytes:
    """Of the request, or of a question's rest."""
    call, model, principal = ctx.call, ctx.model, ctx.principal
    assert call is not None
    assert model is not None
    assert principal is not None
    identity, passed_on = _identity(ctx, model)
    return caching.key(
        asked,
        protocol=call.protocol,
        headers={
            name.decode("latin-1"): value.decode("latin-1")
            for name, value in ctx.headers.items()
            if name.startswith(passed_on)
        },
        model=model,
        configured=identity,
        now=int(ctx.started_at),
        principal=principal,
        pinned_id=ctx.pinned.id if ctx.pinned is not None else 0,
        policy=ctx.policy,
        snapshot=ctx.snapshot,
        figures=figures,
        barred=allowed.barred(ctx, model),
    )


def _identity(ctx: RequestContext, model: Model) -> tuple[bytes, tuple[bytes, ...]]:
    known = _configured.under(ctx.snapshot)
    found = known.get(model.id)
    if found is None:
        vendors = {deployment.provider.vendor for deployment in model.deployments}
        passed_on = {prefix.encode() for vendor in vendors for prefix in providers.vendor(vendor).forwards}
        found = known[model.id] = (caching.identity(model), tuple(sorted(passed_on)))
    return found


# --- given again ----------------------------------------------------------------------------------------------------


async def _again(ctx: RequestContext, found: Answer) -> bytes:
    """The answer as this caller wants it. Empty if it cannot be had so; then it is asked for anew."""
    assert ctx.call is not None
    call = msgspec.structs.replace(ctx.call, request_id=ctx.public_request_id)
    usage, created = found.origin.usage, int(ctx.started_at)
    try:
        body = await kept.unpacked(found)
        if call.stream == found.is_stream and (not call.stream or call.wants_usage == found.tells_usage):
            return replay.renamed(body, former=found.origin.request_id, request_id=call.request_id)
        if found.is_stream:
            body = replay.whole(body, call=call, usage=usage, created=created)
        return replay.streamed(body, call=call, usage=usage, created=created) if call.stream else body
    except Exception as error:  # whatever is wrong with it, its provider can still be asked
        log.warning("cache.unreadable", request_id=ctx.public_request_id, error=repr(error))
        return b""


async def _give(ctx: RequestContext, found: Found, body: bytes) -> None:
    look = ctx.look
    assert look is not None
    assert ctx.call is not None
    look.answer, look.has_waited, look.likeness, look.told = found.answer, found.has_waited, found.likeness, b"hit"
    if not ctx.call.stream:
        await answers.json(ctx, body)
        return
    headers = [answers.EVENT_STREAM, *answers.UNBUFFERED, *answers.headers_for(ctx)]
    ctx.status = 200
    await ctx.send({"type": "http.response.start", "status": 200, "headers": headers})
    await ctx.send({"type": "http.response.body", "body": body})


# --- kept -----------------------------------------------------------------------------------------------------------


def _new(ctx: RequestContext, recorder: _Recorder) -> Answer | None:
    """The answer that went out, if it is whole and all is known of it."""
    attempt = next((attempt for attempt in reversed(ctx.attempts) if attempt.is_finished), None)
    text = recorder.text
    if attempt is None or attempt.failure is not None or attempt.usage is None or not text or recorder.status != 200:
        return None
    assert attempt.exchange is not None
    assert ctx.call is not None
    stop_reason = attempt.exchange.seen.stop_reason
    if ctx.wire.operation != "embed" and not caching.is_whole(stop_reason):
        return None
    return kept.answer(
        text,
        origin=_origin(ctx, attempt, stop_reason=stop_reason or ""),
        is_stream=ctx.call.stream,
        tells_usage=ctx.call.wants_usage,
    )


def _origin(ctx: RequestContext, attempt: Attempt, *, stop_reason: str) -> kept.Origin:
    assert attempt.usage is not None
    return kept.Origin(
        request_id=ctx.public_request_id,
        provider_id=attempt.deployment.provider.id,
        deployment_id=attempt.deployment.id,
        upstream_model=attempt.deployment.upstream_model,
        upstream_protocol=attempt.protocol,
        stop_reason=stop_reason,
        usage=attempt.usage,
        cost=attempt.cost,
        card=attempt.card,
    )


def _fate(failure: errors.GatewayError | None) -> Fate:
    """Whether somebody else who asks the same may fare better."""
    if failure is None:
        return Fate.ALONE  # answered, but not for keeping
    if isinstance(failure, errors.UpstreamError):
        return Fate.AGAIN if failure.retryable else Fate.ALONE
    return Fate.ALONE if isinstance(failure, errors.InvalidRequest) else Fate.AGAIN
