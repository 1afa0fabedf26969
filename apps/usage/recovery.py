"""What a process that was killed had promised: taken over by whoever finds its journal unlocked.

Outcomes are posted. An intent without one becomes `unconfirmed`: the call may have cost nothing or all that was
reserved for it, and until somebody knows, budgets are charged the most. Then the dead process's leases are freed, but
for what the ledger refuses: that stays held until its journal, which is set aside, is taken over once more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import time
from collections import Counter
from pathlib import Path
from uuid import UUID

import msgspec
from django.conf import settings
from django.db import Error, connection

from apps.domain import estimate, pricing
from apps.domain.tokens import TokenUsage
from apps.quotas import windows
from apps.runtime.failpoints import failpoint
from apps.usage import ledger, pages, rows
from apps.usage.models import Entry, OpenAttempt
from apps.usage.records import Checkpoint, Intent, Outcome

log = logging.getLogger(__name__)

# A stream that was alive when it was last seen is taken to have gone on for as long as a checkpoint may be old.
CHECKPOINT_SECONDS = 2.0


class Recovered(msgspec.Struct, frozen=True):
    """How many journals were taken over, entries recorded, and how many of those are unconfirmed."""

    journals: int = 0
    posted: int = 0
    unconfirmed: int = 0

    def __add__(self, other: Recovered) -> Recovered:
        return Recovered(
            self.journals + other.journals, self.posted + other.posted, self.unconfirmed + other.unconfirmed
        )


async def recover(directory: Path | str | None = None) -> Recovered:
    """Adopts every orphaned journal, before this process opens its own.

    A database that does not answer does not stop the start: the forwarder looks again.
    """
    return await asyncio.to_thread(_recover, Path(directory or settings.WEIR_JOURNAL_DIR))


def _recover(directory: Path) -> Recovered:
    try:
        return adopt(directory)
    except (Error, sqlite3.Error, OSError) as error:
        log.warning("journals cannot be recovered yet: %s", error)
        return Recovered()
    finally:
        connection.close()


def adopt(directory: Path) -> Recovered:
    """Raises DatabaseError, sqlite3.Error or OSError; what was not recorded then stays in its journal."""
    if aside := [path.stem for path in directory.glob(f"*{pages.REFUSED}")]:
        windows.vouch(aside)
    found = Recovered()
    failure: sqlite3.OperationalError | None = None
    for path in pages.journals(directory):
        lock = pages.Lock.take(path)
        if lock is None:
            continue
        try:
            pages.ballast(path).unlink(missing_ok=True)  # so that there is room for what follows
            found += _replay(path)
        except sqlite3.OperationalError as error:
            failure = error  # of this file, perhaps for now; the others are not to wait for it
        except (msgspec.DecodeError, sqlite3.DatabaseError) as error:
            log.error("journal %s cannot be read and is set aside: %s", path.stem, error)
            pages.set_aside(path, pages.UNREADABLE)
        finally:
            lock.release() if path.exists() else lock.remove()
    if failure is not None:
        raise failure
    return found


def _replay(path: Path) -> Recovered:
    """All that the journal says goes into the ledger, idempotently; then its leases are freed and the file goes, or
    both wait for what the ledger refuses."""
    if not path.exists():  # somebody was faster
        return Recovered()
    with contextlib.closing(pages.File(path)) as file:
        posted = 0
        through = 0
        while batch := file.closed(after=through, limit=ledger.BATCH):
            posted += _post([outcome for page in batch for outcome in page.outcomes], file)
            through = batch[-1].id
        posted += _post_refused(file)
        lost = _post([unconfirmed(intent, checkpoint) for intent, checkpoint in file.open_attempts()], file)
        lost += book_known(path.stem, file=file)
        has_refused = file.count_refused() > 0
        owed = _owed(file)
    OpenAttempt.objects.filter(replica=path.stem).delete()  # what is left cannot be booked, or cannot be read
    failpoint("recover.before_retire")
    freed = windows.retire(path.stem, owed=owed)
    if has_refused:
        pages.set_aside(path, pages.REFUSED)
    else:
        pages.remove(path)
    log.warning("journal %s: %d posted, %d unconfirmed, %d nano-USD freed", path.stem, posted, lost, freed)
    return Recovered(1, posted + lost, lost)


def book_known(replica: str, *, file: pages.File | None = None) -> int:
    """As unconfirmed, what the database knows to have run there (see `gate`) and nobody has booked: a journal may be
    gone with its disk, or have lost its end with the power. Returns how many are new. What the ledger refuses goes into
    the file, where there is one."""
    booked = 0
    after = None
    while rows := _known(replica, after=after):
        intents = [intent for row in rows if (intent := _intent(row)) is not None]
        booked += _post([unconfirmed(intent, None) for intent in intents], file)
        after = rows[-1].pk
    return booked


def _known(replica: str, *, after: UUID | None) -> list[OpenAttempt]:
    rows = OpenAttempt.objects.filter(replica=replica).order_by("pk")
    return list((rows if after is None else rows.filter(pk__gt=after))[: ledger.BATCH])


def _intent(row: OpenAttempt) -> Intent | None:
    try:
        return pages.intent_decoder.decode(bytes(row.intent))
    except msgspec.DecodeError as error:
        log.error("the intent of request %s cannot be read: %s", row.request_id, error)
        return None


def _post(outcomes: list[Outcome], file: pages.File | None) -> int:
    new, refused = ledger.post_each(outcomes)
    if refused and file is not None:
        known = {ledger.entry_id(outcome) for _, outcome in file.refused()}  # perhaps mended, and yet to be tried
        file.refuse(pages.encoder.encode(outcome) for outcome in refused if ledger.entry_id(outcome) not in known)
    return len(new)


def _post_refused(file: pages.File) -> int:
    """What the ledger would not take before: a person may have mended what was wrong."""
    posted = 0
    for number, outcome in file.refused():
        new, still = ledger.post_each([outcome])
        posted += len(new)
        if not still:
            file.forget_refused(number)
    return posted


def _owed(file: pages.File) -> dict[int, int]:
    """By lease, what no budget is charged for of what was refused: an attempt may be in the ledger as unconfirmed."""
    refused: dict[UUID, Outcome] = {}
    for _, outcome in file.refused():
        found = refused.setdefault(ledger.entry_id(outcome), outcome)
        if rows.most(outcome) > rows.most(found):
            refused[ledger.entry_id(outcome)] = outcome
    charged = dict(Entry.objects.filter(pk__in=refused).values_list("pk", "high_nano"))
    owed: Counter[int] = Counter()
    for entry, outcome in refused.items():
        owed.update(dict.fromkeys(outcome.intent.leases, max(0, rows.most(outcome) - charged.get(entry, 0))))
    return dict(+owed)


def unconfirmed(intent: Intent, checkpoint: Checkpoint | None) -> Outcome:
    """What is known of an attempt whose process died: between what was seen to come out and what was reserved."""
    if checkpoint is not None and checkpoint.reserved > intent.reserved:
        intent = msgspec.structs.replace(intent, reserved=checkpoint.reserved)
    seen = checkpoint.output_tokens if checkpoint else 0
    low = guess = least_high = 0
    if intent.card is not None and checkpoint is not None:
        low = pricing.cost(TokenUsage(out_total=estimate.least_of(seen)), intent.card)
        least_high = pricing.cost(TokenUsage(out_total=seen), intent.card)
        more = round(seen * CHECKPOINT_SECONDS / max(CHECKPOINT_SECONDS, checkpoint.at - intent.started_at))
        guess = pricing.cost(TokenUsage(in_fresh=intent.input_tokens, out_total=seen + more), intent.card)
    high = max(intent.reserved, least_high)
    return Outcome(
        intent=intent,
        status="interrupted",
        state="unconfirmed",
        usage=TokenUsage(in_fresh=intent.input_tokens if checkpoint else 0, out_total=seen),
        usage_source="estimated" if checkpoint else "none",
        cost=min(max(guess, low), high),
        low=low,
        high=high,
        latency_ms=max(0, round(((checkpoint.at if checkpoint else time.time()) - intent.started_at) * 1000)),
        provider_request_id=checkpoint.response_id if checkpoint else "",
        message_id=checkpoint.response_id if checkpoint else "",
    )
