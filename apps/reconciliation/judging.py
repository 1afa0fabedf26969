"""How a report and the ledger compare on one day, and what most often explains it."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta

from apps.domain import money
from apps.reconciliation.models import Difference, Status

# Providers round, and count in their own ways.
PER_CENT = 1
CENTS = money.NANO // 100
TOKENS = 100
TOLERANCE = "1 % of what is reported, or one cent a line (100 tokens, where it tells no money), whichever is more"
# What a provider says of a day may still grow for so long.
GRACE = timedelta(hours=3)


def status(row: Difference, *, now: datetime, is_sealed: bool) -> Status:
    """Money decides where the report tells it, else tokens do."""
    if is_sealed:
        return Status.SEALED
    if now < datetime.combine(row.day, time(), UTC) + timedelta(days=1) + GRACE:
        return Status.RUNNING
    if row.reported_nano is None and row.reported_tokens is None:
        return Status.NOT_THERE
    if not (row.calls or row.counted_nano or row.counted_tokens):
        return Status.EQUAL if not (row.reported_nano or row.reported_tokens) else Status.NOT_HERE
    reported, counted, least = measures(row)
    off = abs(reported - counted)
    if off == 0:
        return Status.EQUAL
    if off <= max(least, abs(reported) * PER_CENT // 100):
        return Status.CLOSE
    return Status.MORE_HERE if counted > reported else Status.MORE_THERE


def measures(row: Difference) -> tuple[int, int, int]:
    """Reported, counted, and the least that matters: of money, or of tokens."""
    if row.reported_nano is not None:
        return row.reported_nano, row.counted_nano, CENTS
    return row.reported_tokens or 0, row.counted_tokens, TOKENS


def tokens_apart(row: Difference) -> int:
    """By how many the provider tells more where both money and tokens are told; 0: by no more than is tolerated."""
    if row.reported_nano is None or row.reported_tokens is None:
        return 0
    off = row.reported_tokens - row.counted_tokens
    return off if abs(off) > max(TOKENS, row.reported_tokens * PER_CENT // 100) else 0


def hints(row: Difference) -> list[str]:
    """In the order in which to look."""
    found: list[str] = []
    match row.status:
        case Status.SEALED:
            return ["The rows of that day are sealed: their totals are kept, credentials and models are not."]
        case Status.RUNNING:
            return ["The day is not over, or has just ended: providers add to it for hours. Compare again later."]
        case Status.NOT_HERE:
            found.append(
                "Nobody called it through Weir that day. Either calls went past Weir with this provider's key, or the"
                " report calls the model or the credential by a name that Weir does not know: then name it."
            )
        case Status.NOT_THERE:
            found.append(
                "The report does not have it. Either it calls the model or the credential otherwise (then name it), or"
                " the provider does not bill it, or reports it later."
            )
    if row.status == Status.NOT_HERE:
        return found
    if apart := tokens_apart(row):
        word = "more" if apart > 0 else "fewer"
        found.append(f"The provider tells {abs(apart):,} tokens {word} than Weir, which no other price explains.")
    if row.status == Status.EQUAL:
        return found
    if row.unconfirmed > 0:
        doubt = money.text(row.doubt_nano)
        found.append(f"Unconfirmed: {row.unconfirmed:,} of its calls, which leave {doubt} open. Resolve them first.")
    if row.estimated > 0:
        found.append(f"Estimated: tokens of {row.estimated:,} of its {row.calls:,} calls were counted by Weir.")
    if row.counted_tokens and not row.counted_nano and row.reported_nano:
        found.append("Weir has no price for it: enter one and reprice, before anything is adjusted.")
    elif row.reported_nano is not None and row.reported_tokens and row.reported_tokens == row.counted_tokens:
        found.append("The tokens agree, so the price is another one: correct it and reprice, or adjust.")
    if not found and row.status in (Status.MORE_HERE, Status.MORE_THERE):
        found.append(
            "No doubt of Weir's own explains it: the price may be another one (discounts, tiers, long contexts), or"
            " calls with the same key went past Weir."
            if row.status == Status.MORE_THERE
            else "No doubt of Weir's own explains it: the price may be another one, or the provider reports late."
        )
    return found
