"""The data policies that a call is under, and what they make of its answer."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn, Protocol, TypeVar

import msgspec

from apps.domain import errors, policies
from apps.domain.guardrails import reading
from apps.domain.guardrails.stream import Watch
from apps.domain.protocols import registry
from apps.domain.protocols.contract import NO_HEADERS
from apps.domain.providers import speech
from apps.gateway import metrics, readers
from apps.gateway.known import Known
from apps.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping

    from apps.domain.policies import Ending, Merged
    from apps.domain.protocols.contract import Exchange
    from apps.domain.snapshot import Deployment
    from apps.gateway.attempt import Attempt
    from apps.gateway.context import RequestContext
    from apps.policies.findings import Findings

    _Done = dict[tuple[int, str, str], dict[str, int]]  # kinds, by a policy's id and name and what it did
    T = TypeVar("T")

INLINE_BYTES = 32_768  # what is longer is read in another thread
MOST_SECONDS = 20.0  # for what has to be looked at number by number; a usual request of 30 MB takes one

_readers = readers.Readers(threads=1)
_merged: Known[tuple[int, int, int | None], Merged | None] = Known()  # by tenant, project and key


def of(ctx: RequestContext) -> Merged | None:
    principal = ctx.principal
    assert principal is not None
    known = _merged.under(ctx.snapshot)
    who = (principal.tenant_id, principal.project_id, principal.key_id)
    try:
        return known[who]
    except KeyError:
        found = policies.applying(
            ctx.snapshot.policies,
            tenant_id=principal.tenant_id,
            project_id=principal.project_id,
            key_id=principal.key_id,
        )
        merged = known[who] = policies.merged(found)
        return merged


async def aside(work: Generator[None, None, T], *, tenant_id: int, size: int) -> T:
    """Raises `readers.TooLong`, and what `work` raises."""
    return await _readers.run(work, tenant_id=tenant_id, size=size, seconds=MOST_SECONDS)


def relays(deployment: Deployment, *, client: str) -> bool:
    """Whether it is sent the caller's very bytes, as who speaks the caller's protocol is. Nothing is masked in those:
    prompt caches and signatures hang on them."""
    protocol = speech.protocol_of(deployment, client=client)
    return protocol is not None and (client, protocol) in registry.DIALECTS


def refusal(what: str, *, code: str = "policy_blocked") -> errors.PermissionDenied:
    return errors.PermissionDenied(what, code=code)


class Act(Protocol):
    """What becomes of one kind: a `Rule` of requests, an `Ending` of answers."""

    @property
    def policies(self) -> Mapping[int, str]: ...

    @property
    def own(self) -> Mapping[int, str]: ...

    @property
    def action(self) -> str: ...


def block(
    found: Mapping[str, int], rules: Mapping[str, Act], ledger: Ledger, *, why: str, where: str = "the request"
) -> NoReturn:
    """The first of them is what its caller is told."""
    ledger({kind: found[kind] for kind in rules}, rules, action="block")
    kind, rule = next(iter(rules.items()))
    by = ", ".join(sorted(rule.policies.values()))
    raise refusal(f"policy {by} found {kind} in {where}, {why}")


class Ledger:
    """Tells what was found in one call and what was done about it: for the figures, by the hour for the policies'
    pages, and call by call where more was done than to note it. `findings` None: nobody is told."""

    def __init__(self, ctx: RequestContext, findings: Findings | None) -> None:
        self._findings = findings
        self._ctx = ctx

    def __call__(
        self,
        found: Mapping[str, int],
        acts: Mapping[str, Act],
        *,
        action: str = "",
        attempt: int = 0,
        is_answer: bool = False,
    ) -> None:
        """`action`: what all of them came to, if it is not what each policy asks. `attempt` 0: before any."""
        if self._findings is None:
            return
        assert self._ctx.principal is not None
        done: _Done = {}
        for kind, count in found.items():
            act = acts[kind]
            metrics.FINDINGS.labels(kind, action or act.action, "answer" if is_answer else "request").inc(count)
            for number, name in act.policies.items():
                own = action or act.own[number]
                self._findings.note(
                    number,
                    kind,
                    action=own,
                    tenant_id=self._ctx.principal.tenant_id,
                    at=self._ctx.started_at,
                    is_answer=is_answer,
                    count=count,
                )
                if own != "flag":
                    done.setdefault((number, name, own), {})[kind] = count
        self._intervened(done, attempt=attempt, is_answer=is_answer)

    def unread(self, acts: Mapping[str, Act], *, action: str, attempt: int = 0, is_answer: bool = False) -> None:
        """What could not be looked into, though these ask for it."""
        done: _Done = {(number, name, action): {} for act in acts.values() for number, name in act.policies.items()}
        self._intervened(done, attempt=attempt, is_answer=is_answer)

    @contextmanager
    def reading(self, acts: Mapping[str, Act], *, attempt: int = 0) -> Iterator[None]:
        """What takes too long to be looked into is blocked, and told as that."""
        try:
            yield
        except errors.PermissionDenied:
            self.unread(acts, action="block", attempt=attempt)
            raise

    def _intervened(self, done: _Done, *, attempt: int, is_answer: bool) -> None:
        if self._findings is None or not done:
            return
        assert self._ctx.principal is not None
        for (number, name, action), kinds in done.items():
            self._findings.interventions.note(
                self._ctx.request_id,
                self._ctx.principal,
                at=clock.now(),
                attempt=attempt,
                policy=(number, name),
                action=action,
                kinds=kinds,
                is_answer=is_answer,
            )


class Inspector:
    """Looks into the answers of one call."""

    def __init__(self, ctx: RequestContext, endings: Mapping[str, Ending], told: Ledger) -> None:
        self._ctx = ctx
        self._endings = endings
        self._told = told
        self.stopping = frozenset(kind for kind, ending in endings.items() if ending.is_stopped)

    @property
    def kinds(self) -> frozenset[str]:
        return frozenset(self._endings)

    def watching(self, exchange: Exchange, *, attempt: Attempt) -> Exchange:
        return Watched(exchange, self, attempt=attempt)

    async def check(self, body: bytes, *, attempt: Attempt) -> None:
        """An answer that came whole; a long one is read in another thread. Raises PermissionDenied."""
        assert self._ctx.principal is not None
        try:
            if len(body) <= INLINE_BYTES:
                found = reading.count(body, self.kinds)
            else:
                counting = reading.counting(body, self.kinds)
                found = await aside(counting, tenant_id=self._ctx.principal.tenant_id, size=len(body))
        except (msgspec.DecodeError, UnicodeError, RecursionError, readers.TooLong):
            found = Counter()
            if self.stopping:
                self.unread(attempt)
                raise refusal("the answer cannot be looked into, as a policy demands", code="policy_stopped") from None
        self.note(found, attempt=attempt)
        for kind in found:
            if kind in self.stopping:
                raise self.stop(kind)

    def note(self, found: Mapping[str, int], *, attempt: Attempt) -> None:
        """For the figures and the ledger's row of that attempt: what was found besides, each time it is."""
        self._told(found, self._endings, attempt=attempt.number, is_answer=True)
        for kind in found:
            ending = self._endings[kind]
            step = f"stopped by {ending.by}" if ending.is_stopped else "let pass"
            attempt.note(f"found in the answer: {kind}, {step}")

    def unread(self, attempt: Attempt) -> None:
        """It ends for what cannot be looked into."""
        acts = {kind: self._endings[kind] for kind in self.stopping}
        self._told.unread(acts, action="stop", attempt=attempt.number, is_answer=True)

    def plain_end(self, error: errors.GatewayError) -> bytes:
        frames: bytes = self._ctx.wire.stream_error(error, request_id=self._ctx.public_request_id)
        return frames

    def stop(self, kind: str) -> errors.PermissionDenied:
        ending = self._endings.get(kind)
        if ending is None:  # no kind, but what could not be looked into
            return refusal(f"the answer was stopped by policy: {kind}", code="policy_stopped")
        return refusal(f"the answer was stopped: it has {kind} in it, by policy {ending.by}", code="policy_stopped")


class Watched:
    """An `Exchange` whose answer is looked into on its way. What is not stopped is not changed."""

    def __init__(self, exchange: Exchange, inspector: Inspector, *, attempt: Attempt) -> None:
        self._exchange = exchange
        self._inspector = inspector
        self._attempt = attempt
        self._watch = Watch(inspector.kinds, stopping=inspector.stopping)
        self._noted: Counter[str] = Counter()
        self.body, self.headers = exchange.body, exchange.headers
        self.seen, self.notes = exchange.seen, exchange.notes

    def refuse(self, status: int, headers: Mapping[str, str], body: bytes) -> errors.UpstreamError:
        return self._exchange.refuse(status, headers, body)

    def fail(self, error: errors.GatewayError) -> bytes:
        """Some dialects end with all that was said, which may be what nobody was to have."""
        frames = self._exchange.fail(error)
        stopping = self._inspector.stopping
        again = Watch(stopping, stopping=stopping)
        again.feed(frames)
        again.close()
        return frames if again.stopped is None else self._inspector.plain_end(error)

    def answer(self, body: bytes, headers: Mapping[str, str] = NO_HEADERS) -> bytes:
        """Unread: who has the whole of it asks the inspector."""
        return self._exchange.answer(body, headers)

    def feed(self, chunk: bytes) -> bytes:
        if self._watch.stopped is not None:
            return b""
        frames = self._exchange.feed(chunk)
        out = self._watch.feed(frames)
        if self.seen.error is not None:  # nothing follows that could tell more of what is held
            out += self._watch.close()
        return self._ended(out)

    def close(self) -> bytes:
        if self._watch.stopped is not None:
            return b""
        out = self._watch.feed(self._exchange.close())
        return self._ended(out + self._watch.close())

    def _ended(self, out: bytes) -> bytes:
        """What goes out, and the error behind it where a policy stops the answer."""
        watch = self._watch
        if watch.found != self._noted:
            self._inspector.note(watch.found - self._noted, attempt=self._attempt)
            self._noted = watch.found.copy()
        if watch.stopped is None:
            return out
        if watch.stopped not in self._inspector.stopping:
            self._inspector.unread(self._attempt)
        self.seen.error = stopped = self._inspector.stop(watch.stopped)
        return out + self.fail(stopped)
