"""What an attempt is booked at, given what is known when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from apps.domain import pricing
from apps.domain.density import USUAL, Density
from apps.domain.tokens import NOTHING, TokenUsage

if TYPE_CHECKING:
    from apps.domain.snapshot import PriceCard

State = Literal["settled", "void", "unconfirmed"]
Source = Literal["provider", "estimated", "none"]

# No model takes or gives this much in one call; a provider that says so is not believed.
PLAUSIBLE_TOKENS = 100_000_000


class Verdict(msgspec.Struct, frozen=True):
    """`cost` is the best guess, the truth lies in [`low`, `high`], budgets are charged `high`. Money in nano-USD."""

    state: State
    source: Source
    usage: TokenUsage
    cost: int
    low: int
    high: int


VOID = Verdict("void", "none", NOTHING, 0, 0, 0)


def judge(
    *,
    sent: bool,
    upstream_status: int | None,
    declined: bool,
    unseen: bool,
    started: bool,
    finished: bool,
    reported: TokenUsage | None,
    prompt_bytes: int,
    output_bytes: int,
    card: PriceCard | None,
    reserved: int,
    density: Density = USUAL,
) -> Verdict:
    """Void: the model never ran. Unconfirmed: it may have, and nobody can say; budgets are charged the most.

    `declined`: under status 200, the provider's own error came where an answer should have begun. `unseen`: most likely
    the request came to nobody.
    Settled from the provider's own totals where the answer came to its end, else from what was counted on the way.
    """
    if not sent or (upstream_status is not None and upstream_status != 200) or (declined and not started):
        return VOID
    if upstream_status is None or not started:
        likely = 0 if unseen else _likely(density.input_tokens(prompt_bytes), card, reserved)
        return Verdict("unconfirmed", "none", NOTHING, likely, 0, reserved)
    usage, source = _usage(reported, finished, density.input_tokens(prompt_bytes), density.output_tokens(output_bytes))
    cost = pricing.cost(usage, card) if card is not None else 0
    return Verdict("settled", source, usage, cost, cost, cost)


def _usage(
    reported: TokenUsage | None, finished: bool, in_estimate: int, out_estimate: int
) -> tuple[TokenUsage, Source]:
    if reported is not None and not plausible(reported):
        reported = None
    if reported is not None and finished:
        return reported, "provider"
    if reported is None:
        return TokenUsage(in_fresh=in_estimate, out_total=out_estimate), "estimated"
    return msgspec.structs.replace(reported, out_total=max(reported.out_total, out_estimate)), "estimated"


def _likely(in_estimate: int, card: PriceCard | None, reserved: int) -> int:
    """Of a call that never answered: its prompt, as most providers bill no answer that was not given."""
    if card is None:
        return 0
    return min(pricing.cost(TokenUsage(in_fresh=in_estimate), card), reserved)


def plausible(usage: TokenUsage) -> bool:
    counters: tuple[int, ...] = msgspec.structs.astuple(usage)
    return min(counters) >= 0 and max(counters) <= PLAUSIBLE_TOKENS
