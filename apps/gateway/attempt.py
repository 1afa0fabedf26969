"""One upstream try, from reservation to ledger row. The ledger's door: only this room books anything.

reserve (memory) -> intent (journal, awaited before the upstream sees a byte) -> checkpoints -> outcome (journal)
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec
import structlog
from django.conf import settings

from apps.catalog.uses import Uses
from apps.domain import errors, estimate, settlement
from apps.domain.density import Density
from apps.domain.limits.learned import Outputs
from apps.domain.protocols.contract import Seen
from apps.domain.tokens import TokenUsage
from apps.gateway import metrics, records
from apps.gateway.reservation import Reservation
from apps.gateway.waiting import FREE
from apps.outbound import signing
from apps.quotas.leases import LeaseBook
from apps.runtime.database import DatabaseThread
from apps.runtime.failpoints import failpoint
from apps.usage import gate, lengths, recovery
from apps.usage.forwarder import Forwarder
from apps.usage.journal import Journal
from apps.usage.records import Intent, Outcome

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from apps.domain.protocols.contract import Exchange
    from apps.domain.routing.plan import Try
    from apps.gateway.breakers import Turn
    from apps.gateway.context import RequestContext
    from apps.outbound.client import Answer


log = structlog.get_logger(__name__)

_NO_TEXT = re.compile("[^ -~]")
_MOST_STEPS = 16
_LONGEST_STEP = 160
_IDS = ("request-id", "x-request-id", "x-amzn-requestid")  # a provider's own of the call
_LONGEST_ID = 1000  # of what it calls its answer; more is not looked at


class Accounts:
    """Leases, journal and forwarder of this process, and where it has one, the gate before its clients. `used`: of
    credentials."""

    def __init__(self, used: Uses | None = None) -> None:
        self.used = used if used is not None else Uses()
        self.leases = LeaseBook()
        self.outputs = Outputs()
        self.densities: defaultdict[int, Density] = defaultdict(Density)  # by deployment
        self._learning: asyncio.Task[None] | None = None
        self.journal = Journal()
        self.forwarder = Forwarder(self.journal)
        is_gated = settings.WEIR_FIRST_BYTE_GATE == "database"
        self.gate = gate.Gate(self.journal.name) if is_gated else None

    async def start(self) -> None:
        """Adopts what a killed predecessor left behind, then opens the books."""
        await recovery.recover()
        await self.journal.start()
        await self.leases.start()
        await self.forwarder.start()
        if self.gate is not None:
            await self.gate.start()
        self._learning = asyncio.create_task(self._learn())

    async def close(self) -> None:
        if self._learning is not None:
            await self._learning
        if self.gate is not None:
            await self.gate.close()
        await self.forwarder.close()
        is_told = await self.leases.close()
        await self.journal.close(keep=not is_told)

    async def open(self, ctx: RequestContext, candidate: Try) -> Attempt:
        """Reserves the most this try can cost. Raises BudgetExhausted; then nothing was held and nothing is booked."""
        attempt = Attempt(self, ctx, candidate, number=len(ctx.attempts) + 1)
        await attempt.reserve()
        ctx.attempts.append(attempt)
        return attempt

    async def _learn(self) -> None:
        """What the ledger knows of answers' lengths. Nobody waits for it, and it may fail."""
        thread = DatabaseThread("lengths")
        try:
            for known in await thread.ask(lengths.newest):
                self.outputs.note(known.model_id, known.key_id, tokens=known.tokens, is_cut=known.is_cut)
        except Exception as error:
            log.warning("gateway.nothing_learned", error=str(error))
        finally:
            await thread.close()


class Attempt:
    """Closed exactly once, by `abandon` or `settle`, whichever comes first."""

    __slots__ = (
        "_accounts",
        "_closed",
        "_ctx",
        "_intent",
        "_money",
        "_provider_request_id",
        "_sent",
        "_steps",
        "answer",
        "asked_at",
        "booked",
        "card",
        "cost",
        "credential",
        "deployment",
        "exchange",
        "first_byte_seconds",
        "number",
        "outcome",
        "passage",
        "place",
        "protocol",
        "queued",
        "seconds",
        "started",
        "turn",
        "upstream_status",
        "usage",
    )

    def __init__(self, accounts: Accounts, ctx: RequestContext, candidate: Try, *, number: int) -> None:
        self._accounts = accounts
        self._ctx = ctx
        self._intent: Intent | None = None
        self._closed = False
        self._sent = False
        self._provider_request_id = ""
        self._steps: list[str] = []
        self.number = number
        self.deployment, self.credential, self.card = candidate
        self._money = Reservation(ctx, self.card, leases=accounts.leases, outputs=accounts.outputs)
        self.exchange: Exchange | None = None
        self.answer: Answer | None = None
        self.passage: gate.Passage | None = None  # to be open before its client gets a byte
        self.place = FREE  # at its deployment, until it is settled
        self.queued = 0.0  # seconds that the call has waited for its place
        self.protocol = ""  # in which the upstream is asked
        self.booked: Outcome | None = None  # what the journal was told
        self.cost = 0
        self.usage: TokenUsage | None = None
        self.upstream_status: int | None = None
        self.first_byte_seconds: float | None = None
        self.turn: Turn | None = None  # from when it is answered
        self.started = time.monotonic()
        self.asked_at: float | None = None  # when its upstream was about to see a byte, as `started`
        self.seconds = 0.0  # until it was settled
        self.outcome = ""  # in a word of `metrics.outcome`, once it is settled; "": nobody was asked

    @property
    def tokens(self) -> int:
        return self.usage.total if self.usage is not None else 0

    @property
    def failure(self) -> errors.GatewayError | None:
        """What the upstream's stream itself ended with; its caller has been told by the stream's last frame."""
        return self.exchange.seen.error if self.exchange is not None else None

    @property
    def is_finished(self) -> bool:
        """The upstream's own terminator was seen."""
        return self.exchange is not None and self.exchange.seen.finished

    @property
    def received(self) -> int:
        """Bytes of the upstream's answer so far."""
        return self.answer.received if self.answer is not None else 0

    @property
    def is_open(self) -> bool:
        """The upstream is being asked, or answers."""
        return self._intent is not None and not self._closed

    @property
    def is_journalled(self) -> bool:
        """So there will be a row of it in the ledger."""
        return self._intent is not None

    def note(self, step: str) -> None:
        """For the ledger: what was done and why, in a few words, none of them the caller's or a secret's."""
        if len(self._steps) < _MOST_STEPS:
            self._steps.append(step[:_LONGEST_STEP])

    @property
    def trail(self) -> tuple[str, ...]:
        notes = self.exchange.notes if self.exchange is not None else ()
        return (*self._steps, *notes) if self._steps or notes else ()

    def reserve(self) -> Awaitable[None]:
        """Raises BudgetExhausted, and Unavailable."""
        return self._money.take()

    def reserve_anew(self) -> Awaitable[None]:
        """As `reserve`, when it has turned out before it was sent that the prompt weighs more."""
        self._money.give_back()
        return self._money.take()

    async def intend(self) -> None:
        """Journals that the upstream is about to be called. Raises Unavailable when that cannot be written down."""
        first_byte_gate = self._accounts.gate
        if first_byte_gate is not None and first_byte_gate.is_shut:
            raise gate.refusal()
        self._intent = self._record()
        try:
            await self._accounts.journal.intent(self._intent)
        except errors.Unavailable:
            self._intent = None  # it was not written, so there is nothing to close
            raise
        if first_byte_gate is not None:
            self.passage = first_byte_gate.put(self._intent)
        failpoint("attempt.intended")
        self._sent = True
        self.asked_at = time.monotonic()

    def answered(self, answer: Answer) -> None:
        self.upstream_status = answer.status
        for name in _IDS:
            if given := answer.headers.get(name):
                if not (given.isascii() and given.isprintable()):  # what is no text cannot be booked
                    given = _NO_TEXT.sub("?", given)
                told = given.encode()
                self._provider_request_id = signing.cut_from(self.credential.secret, told).decode()
                return

    def began(self) -> None:
        """The first whole event is in."""
        self.first_byte_seconds = time.monotonic() - self.started
        assert self.exchange is not None
        self._money.look_ahead(self.exchange.seen)

    @property
    def outgrows(self) -> bool:
        """The answer is about to cost more than is reserved for it: see `grow`."""
        return self.exchange is not None and self.exchange.seen.output_bytes >= self._money.enough_bytes

    async def grow(self) -> errors.BudgetExhausted | None:
        """Reserves more, and journals it. What the answer is to be ended with, if there is no more and it has cost too
        much already."""
        assert self.exchange is not None
        has_grown = await self._money.grow(self.exchange.seen)
        if self._closed:
            return None
        if has_grown:
            self.checkpoint()
            return None
        return self._money.excess(self.exchange.seen)

    def checkpoint(self) -> None:
        """Journals how far a stream has come."""
        assert self.exchange is not None
        seen = self.exchange.seen
        failpoint("attempt.checkpoint")
        self._accounts.journal.checkpoint(
            self._ctx.request_id,
            self.number,
            estimate.output_tokens(seen.output_bytes),
            self._named(seen),
            reserved=self._money.amount,
        )

    async def abandon(self, failure: errors.UpstreamError) -> None:
        """This try failed before anything reached the client."""
        try:
            self.settle(failure)
        finally:
            await self.leave()

    async def leave(self) -> None:
        """Closes the connection of an unfinished answer, so that the provider stops."""
        if self.answer is not None and not self.answer.is_finished:
            await self.answer.close()

    def forget(self) -> None:
        """Lets go of a raised failure, whose traceback refers back to the exchange."""
        if self.exchange is not None:
            self.exchange.seen.error = None

    def settle(self, failure: errors.GatewayError | None) -> None:
        """Books the attempt. Does not wait and does nothing the second time."""
        if self._closed:
            return
        self._closed = True
        self.place.leave()
        if self._intent is None:  # nothing was journalled, so nothing was sent
            self._money.give_back()
            return
        failure = failure or self.failure
        self.seconds, self.outcome = time.monotonic() - self.started, metrics.outcome(failure)
        if isinstance(failure, errors.UpstreamError) and not failure.reached:
            self._sent = False
        verdict = self._judge(
            declined=isinstance(failure, errors.UpstreamError) and failure.upstream_status > 0,
            unseen=isinstance(failure, errors.ConnectionStale),
        )
        self.cost, self.usage = verdict.cost, verdict.usage
        if self.passage is not None:
            self.passage.end()
        self._money.settle(verdict, self.exchange.seen if self.exchange is not None else None)
        if verdict.source == "provider" and self.exchange is not None:
            self._learn(verdict.usage, self.exchange.seen)
        failpoint("settle.before_journal")
        self.booked = self._outcome(verdict, failure)
        self._accounts.journal.outcome(self.booked)
        failpoint("settle.after_journal")

    def _named(self, seen: Seen) -> str:
        """What the provider calls its answer; "": it has said nothing of it."""
        told = (seen.response_id or "")[:_LONGEST_ID].encode("utf-8", "replace")
        return signing.cut_from(self.credential.secret, told).decode("utf-8", "replace") if told else ""

    def _judge(self, *, declined: bool, unseen: bool) -> settlement.Verdict:
        seen = self.exchange.seen if self.exchange is not None else Seen()
        return settlement.judge(
            sent=self._sent,
            upstream_status=self.upstream_status,
            declined=declined,
            unseen=unseen,
            started=seen.started,
            finished=seen.finished,
            reported=seen.usage,
            prompt_bytes=self._ctx.prompt_bytes,
            output_bytes=seen.output_bytes,
            card=self.card,
            reserved=self._money.amount,
            density=self._accounts.densities[self.deployment.id],
        )

    def _learn(self, usage: TokenUsage, seen: Seen) -> None:
        """How many bytes a token of this deployment has."""
        self._accounts.densities[self.deployment.id].note(
            prompt_bytes=self._ctx.prompt_bytes,
            in_total=usage.in_total,
            output_bytes=seen.output_bytes,
            out_total=usage.out_total,
        )

    def _record(self) -> Intent:
        deployment = self.deployment
        self._accounts.used.note(self.credential.id, at=self._ctx.started_at)
        return records.intent(
            self._ctx,
            attempt=self.number,
            provider_id=deployment.provider.id,
            deployment_id=deployment.id,
            credential=self.credential.alias,
            upstream_model=deployment.upstream_model,
            upstream_protocol=self.protocol,
            card=self.card,
            input_tokens=estimate.input_tokens(self._ctx.prompt_bytes),
            reserved=self._money.amount,
            windows=self._money.windows,
            leases=self._money.leases,
            gated=self._accounts.gate is not None,
            queue_ms=round(self.queued * 1000),
        )

    def _outcome(self, verdict: settlement.Verdict, failure: errors.GatewayError | None) -> Outcome:
        assert self._intent is not None
        intent, seen = self._intent, self.exchange.seen if self.exchange is not None else Seen()
        named = self._named(seen)
        if self._money.amount != intent.reserved:
            intent = msgspec.structs.replace(intent, reserved=self._money.amount)
        return Outcome(
            intent=intent,
            status=records.status(failure, gone=self._ctx.gone),
            state=verdict.state,
            usage=verdict.usage,
            usage_source=verdict.source,
            cost=verdict.cost,
            low=verdict.low,
            high=verdict.high,
            http_status=self.upstream_status,
            error_code=failure.code or failure.kind if failure is not None else "",
            stop_reason=seen.stop_reason or "",
            latency_ms=round(self.seconds * 1000),
            ttft_ms=round(self.first_byte_seconds * 1000) if self.first_byte_seconds is not None else None,
            provider_request_id=self._provider_request_id or named,
            message_id=named,
            trail=self.trail,
        )
