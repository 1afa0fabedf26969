"""The money of one upstream try: what it may cost at most, held before it is sent, enlarged if its answer outgrows it,
and let go of when it is booked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from apps.domain import errors, estimate, pricing, settlement
from apps.domain.limits import budget as periods
from apps.domain.tokens import TokenUsage

if TYPE_CHECKING:
    from apps.domain.limits.learned import Outputs
    from apps.domain.protocols.contract import Seen
    from apps.domain.snapshot import Outage, PriceCard
    from apps.gateway.context import RequestContext
    from apps.quotas.leases import LeaseBook
    from apps.quotas.slices import Hold

# An answer that has cost so much of its reservation gets so much more than it has cost.
_NEAR = 0.9
_MORE = 0.25


class Reservation:
    """`amount`: the most that the try can cost, as far as is known; `enough_bytes`: of output, up to which that surely
    suffices. Without a price there is nothing to reserve, without a budget nothing to hold."""

    __slots__ = ("_card", "_ctx", "_hold", "_leases", "_outputs", "amount", "enough_bytes")

    def __init__(self, ctx: RequestContext, card: PriceCard | None, *, leases: LeaseBook, outputs: Outputs) -> None:
        self._ctx = ctx
        self._card = card
        self._leases = leases
        self._outputs = outputs
        self._hold: Hold | None = None
        self.amount = 0
        self.enough_bytes = math.inf

    @property
    def windows(self) -> tuple[int, ...]:
        return self._hold.windows if self._hold is not None else ()

    @property
    def leases(self) -> tuple[int, ...]:
        return self._hold.leases if self._hold is not None else ()

    async def take(self) -> None:
        """In every budget or in none. Raises BudgetExhausted, and Unavailable if nobody can say."""
        if self._card is None:
            return
        call, model = self._ctx.call, self._ctx.model
        assert call is not None
        assert model is not None
        most = estimate.most(
            self._ctx.prompt_bytes, max_tokens=call.max_tokens, model_cap=model.max_output_tokens, choices=call.choices
        )
        self.amount = pricing.ceiling(most, self._card)
        if self._ctx.budgets:
            self._hold = await self._held(self._expected(most, self._card))

    def _expected(self, most: TokenUsage, card: PriceCard) -> int:
        """What the try will likely cost. It matters only to budgets that may be overdrawn."""
        for budget in self._ctx.budgets:
            if budget.overdraft:
                break
        else:
            return self.amount
        call, model, principal = self._ctx.call, self._ctx.model, self._ctx.principal
        assert call is not None
        assert model is not None
        assert principal is not None
        tokens = self._outputs.expected(model.id, principal.caller)
        if tokens is None:
            return self.amount
        likely = TokenUsage(in_fresh=most.in_fresh, out_total=min(most.out_total, tokens * call.choices))
        return pricing.ceiling(likely, card)

    async def _held(self, expected: int) -> Hold:
        budgets, now, policy = self._ctx.budgets, self._ctx.started_at, self._on_outage
        if policy == "closed" and self._leases.is_cut_off:
            raise errors.Unavailable("budgets cannot be counted right now", code="ledger_unavailable", retry_after=1)
        hold = self._leases.take(budgets, amount=self.amount, expected=expected, now=now)
        if hold is not None:
            return hold
        try:
            return await self._leases.reserve(budgets, amount=self.amount, expected=expected, now=now)
        except errors.Unavailable as error:
            if policy != "open" or error.code != "ledger_unavailable":
                raise
            return self._leases.let_pass(budgets, amount=self.amount, now=now)

    @property
    def _on_outage(self) -> Outage:
        assert self._ctx.principal is not None
        return self._ctx.snapshot.on_outage.get(self._ctx.principal.tenant_id, "lease")

    # --- an answer that outgrows it ----------------------------------------------------------------------------

    def look_ahead(self, seen: Seen) -> None:
        """From how many bytes on the answer's cost is near to the reservation, if our estimates are right."""
        if self._hold is None or self._card is None or not self._card.output:
            return
        before = pricing.cost(self._running(seen, output_tokens=0), self._card)
        tokens = (self.amount * _NEAR - before) * pricing.MILLION / self._card.output
        self.enough_bytes = max(0.0, tokens) * estimate.BYTES_PER_TOKEN

    async def grow(self, seen: Seen) -> bool:
        """Reserves more than the answer has cost. False: nobody has any more, or can say."""
        assert self._hold is not None
        assert self._card is not None
        so_far = self._running(seen, output_tokens=estimate.output_tokens(seen.output_bytes))
        ahead = max(self.amount, pricing.cost(so_far, self._card)) * (1 + _MORE)
        more = max(1, math.ceil(ahead) - self.amount)
        try:
            has_grown = await self._leases.extend_by_asking(self._hold, amount=more)
        except errors.Unavailable:
            has_grown = self._on_outage == "open"
        if has_grown:
            self.amount += more
            self.look_ahead(seen)
        return has_grown

    def excess(self, seen: Seen) -> errors.BudgetExhausted | None:
        """What an answer is ended with that certainly has cost more than is reserved for it."""
        assert self._card is not None
        certain = self._running(seen, output_tokens=estimate.least_output_tokens(seen.output_bytes))
        if pricing.cost(certain, self._card) <= self.amount:
            return None
        told = periods.outgrown(self._ctx.budgets, reserved=self.amount)
        return errors.BudgetExhausted(told, code="budget_exhausted")

    def _running(self, seen: Seen, *, output_tokens: int) -> TokenUsage:
        """What was used so far, by the provider's word where it has told, and so many tokens out."""
        told = seen.usage
        if told is None or not settlement.plausible(told):
            told = TokenUsage(in_fresh=estimate.input_tokens(self._ctx.prompt_bytes))
        return msgspec.structs.replace(told, out_total=max(told.out_total, output_tokens))

    # --- the end -----------------------------------------------------------------------------------------------

    def settle(self, verdict: settlement.Verdict, seen: Seen | None) -> None:
        """Charges the budgets the most that it may have cost, and remembers how long the answer was."""
        self.give_back(verdict.high)
        call, model, principal = self._ctx.call, self._ctx.model, self._ctx.principal
        if verdict.source != "provider" or call is None or model is None or principal is None or seen is None:
            return
        is_cut = seen.stop_reason == "max_tokens"
        self._outputs.note(model.id, principal.caller, tokens=verdict.usage.out_total // call.choices, is_cut=is_cut)

    def give_back(self, amount: int = 0) -> None:
        """All but `amount`."""
        if self._hold is not None:
            self._leases.settle(self._hold, amount=amount)
