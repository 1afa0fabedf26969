"""What holds of every ledger row, of the rows of one attempt, and of the attempts of one request.

All rows of a request lie in one millisecond of ids, so the ledger is read day by day and no day needs another.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from django.db import connection

from apps.domain import ids
from apps.usage.books.promises import Check, Finding, Progress, Scope, count, key, only, rows
from apps.usage.models import Kind, SealedHour, State

DAY = timedelta(days=1)
# A request that has just come may have attempts in other journals, or on their way here.
GRACE = timedelta(hours=1)
# What a lost disk had not passed on yet is of the last day.
LOST = timedelta(days=1)
COUNTERS = ("in_fresh", "in_cache_read", "in_cache_write_5m", "in_cache_write_1h", "out_total", "out_reasoning")
PRICES = {
    "in_fresh": "input",
    "in_cache_read": "cache_read",
    "in_cache_write_5m": "cache_write_5m",
    "in_cache_write_1h": "cache_write_1h",
    "out_total": "output",
}
_FIRST = f"kind IN ({Kind.POST.value}, {Kind.UNCONFIRMED.value})"
_TOKENS = " + ".join(COUNTERS)
_LEAST = " AND ".join(f"{name} >= 0" for name in COUNTERS)


class Slice(msgspec.Struct, frozen=True):
    """A day of ids. `complete`: no row of it is sealed away or on its way; `lost`: one may be with a disk."""

    day: datetime
    bounds: tuple[Any, Any]
    complete: bool
    lost: bool


class Unchecked(msgspec.Struct):
    days: int = 0
    requests: int = 0


class Entries:
    """The checks of rows, attempts and requests, fed slice by slice. `unchecked`: in how many requests of how many days
    attempts may be missing, as disks were lost, and are not looked for."""

    def __init__(self) -> None:
        self.unchecked = Unchecked()
        self._rows = [*_amount_checks(), *_identity_checks()]
        self._closes = _closes()
        self._attempts = [self._closes, *_attempt_checks()]
        self._later = _later_checks()
        self._requests = _request_checks()

    def run(self, part: Slice, *, tenant_id: int | None) -> None:
        where = "e.id >= %s AND e.id < %s" + (" AND e.tenant_id = %s" if tenant_id is not None else "")
        parameters = [*part.bounds, *([tenant_id] if tenant_id is not None else [])]
        count(_ROWS.format(where=where), parameters, self._rows)
        before = self._closes.finding.checked
        count(_ATTEMPTS.format(where=where), parameters, self._attempts)
        if self._closes.finding.checked > before:
            count(_LATER.format(where=where), [*parameters, *part.bounds], self._later)
        if part.complete and not part.lost:
            count(_REQUESTS.format(where=where), parameters, self._requests)
        elif part.complete:
            ((requests,),) = rows(f"SELECT COUNT(*) FROM ({_REQUESTS.format(where=where)}) AS request", parameters)  # noqa: S608
            self.unchecked.requests += requests
            self.unchecked.days += requests > 0

    @property
    def findings(self) -> list[Finding]:
        return only([*self._rows, *self._attempts, *self._later, *self._requests])


def slices(scope: Scope, *, gaps: list[datetime], progress: Progress) -> Iterator[Slice]:
    """The days that have rows, oldest first. `gaps`: when disks were noticed to be lost."""
    sealed = {_day(hour) for (hour,) in SealedHour.objects.values_list("hour").distinct()}
    day = _first_day(scope.since)
    while day is not None:
        bounds = (key(ids.floor(_milliseconds(day))), key(ids.floor(_milliseconds(day + DAY))))
        lost = any(day - LOST <= noticed < day + DAY + LOST for noticed in gaps)
        progress(f"{day:%Y-%m-%d}")
        yield Slice(day, bounds, complete=day not in sealed and day + DAY + GRACE <= scope.now, lost=lost)
        day = _first_day(day + DAY)


def _first_day(since: datetime | None) -> datetime | None:
    """The first with a row, from that one on: found by the primary key."""
    floor = key(ids.floor(_milliseconds(since) if since else 0))
    found = rows("SELECT id FROM usage_entry WHERE id >= %s ORDER BY id LIMIT 1", [floor])
    if not found:
        return None
    first = found[0][0]
    return _day(datetime.fromtimestamp(int(str(first).replace("-", "")[:12], 16) / 1000, UTC))


def _day(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000


# --- the sources ----------------------------------------------------------------------------------------------------

# Exactly as `pricing.cost`, in two parts so that no product leaves 64 bits.
_WHOLE = " + ".join(f"e.{counter} * (p.{price} / 1000000)" for counter, price in PRICES.items())
_REST = " + ".join(f"e.{counter} * (p.{price} %% 1000000)" for counter, price in PRICES.items())
_ROWS = f"""SELECT e.id, e.request_id, e.attempt, e.kind, e.state, e.usage_source, e.price_version,
    {", ".join(f"e.{name}" for name in COUNTERS)},
    e.cost_nano, e.low_nano, e.high_nano, e.reserved_nano, e.overrun_nano, e.cached, e.saved_nano, e.saved_tokens,
    {_WHOLE} + ({_REST} + 500000) / 1000000 AS priced
    FROM usage_entry e LEFT JOIN catalog_price p ON p.id = e.price_version WHERE {{where}}"""  # noqa: S608
_SUMS = ", ".join(f"SUM(e.{name}) AS {name}" for name in (*COUNTERS, "cost_nano", "low_nano", "high_nano"))
_COUNTS = ", ".join(f"COUNT(*) FILTER (WHERE e.kind = {kind.value}) AS {kind.name.lower()}s" for kind in Kind)
_ATTEMPTS = f"""SELECT CAST(e.request_id AS text) || '/' || e.attempt AS id, {_COUNTS}, {_SUMS}
    FROM usage_entry e WHERE {{where}} GROUP BY e.request_id, e.attempt"""  # noqa: S608
_LAST = "CAST(a.id AS text) = l.id"
_LATER = f"""SELECT e.id, e.kind, e.usage_source, e.cost_nano, {_WHOLE} + ({_REST} + 500000) / 1000000 AS priced FROM (
    SELECT l.id, MAX(CASE WHEN {_LAST} THEN a.kind END) AS kind, CAST(SUM(a.cost_nano) AS bigint) AS cost_nano,
        MAX(CASE WHEN {_LAST} THEN a.usage_source END) AS usage_source,
        MAX(CASE WHEN {_LAST} THEN a.price_version END) AS price_version,
        {", ".join(f"CAST(SUM(a.{name}) AS bigint) AS {name}" for name in PRICES)}
    FROM (SELECT e.request_id, e.attempt, MAX(CAST(e.id AS text)) AS id FROM usage_entry e
        WHERE {{where}} AND e.kind > {Kind.UNCONFIRMED.value} GROUP BY e.request_id, e.attempt) l
    JOIN usage_entry a ON a.request_id = l.request_id AND a.attempt = l.attempt AND a.id >= %s AND a.id < %s
    GROUP BY l.id) e JOIN catalog_price p ON p.id = e.price_version"""  # noqa: S608
_REQUESTS = """SELECT e.request_id AS id, COUNT(DISTINCT e.attempt) AS attempts, MAX(e.attempt) AS last,
    MIN(e.attempt) AS first FROM usage_entry e WHERE {where} GROUP BY e.request_id"""


def _id_parts() -> tuple[str, str]:
    """In SQL: what an id says of itself, and what its request, attempt and kind say it should be.

    Of the digits of a UUID, 14 and 15 are the attempt, 16 is the slot (of an id without hyphens).
    """
    slot = f"""CASE kind WHEN {Kind.POST.value} THEN '1' WHEN {Kind.UNCONFIRMED.value} THEN '1'
        WHEN {Kind.CORRECTION.value} THEN '2' WHEN {Kind.ADJUSTMENT.value} THEN CASE WHEN {{own}} IN ('1', '2')
        THEN {{own}} ELSE '?' END ELSE CASE WHEN {{own}} >= '3' THEN {{own}} ELSE '?' END END"""
    if connection.vendor == "postgresql":
        text, request, attempt = (
            "CAST(id AS text)",
            "CAST(request_id AS text)",
            "lpad(to_hex(CAST(attempt AS integer)), 2, '0')",
        )
        before, after = 15, 19
    else:
        text, request, attempt = "id", "request_id", "printf('%%02x', attempt)"
        before, after = 13, 17
    slot = slot.format(own=f"substr({text}, {after - 1}, 1)")
    return text, f"substr({request}, 1, {before}) || {attempt} || {slot} || substr({request}, {after})"


def _amount_checks() -> list[Check]:
    return [
        Check(
            "I3.range",
            "What is known of a cost bounds it: 0 ≤ low ≤ cost ≤ high.",
            of=_FIRST,
            wrong="NOT (0 <= low_nano AND low_nano <= cost_nano AND cost_nano <= high_nano)",
            expected="low_nano",
            found="cost_nano",
        ),
        Check(
            "I3.counters",
            "No number of tokens is below zero.",
            of=_FIRST,
            wrong=f"NOT ({_LEAST} AND out_reasoning <= out_total)",
            expected="0",
            found="in_fresh + out_total",
        ),
        Check(
            "I3.void",
            "A call whose model never ran costs nothing.",
            of=f"state = '{State.VOID.value}' AND kind = {Kind.POST.value}",
            wrong="cost_nano <> 0 OR high_nano <> 0",
            expected="0",
            found="high_nano",
        ),
        Check(
            "I3.cached",
            "An answer that had been given before costs nothing and saves what it had cost; no other saves anything.",
            wrong=f"""CASE WHEN cached IS NULL THEN COALESCE(saved_nano, 0) <> 0 OR COALESCE(saved_tokens, 0) <> 0
                ELSE cost_nano <> 0 OR high_nano <> 0 OR {_TOKENS} <> 0 OR saved_nano IS NULL OR saved_nano < 0
                    OR saved_tokens IS NULL OR saved_tokens < 0 OR kind <> {Kind.POST.value} END""",
            expected="0",
            found="CASE WHEN cached IS NULL THEN saved_nano ELSE cost_nano END",
        ),
        Check(
            "I3.overrun",
            "What a call cost above its reservation stands in its row.",
            of=_FIRST,
            wrong="overrun_nano <> CASE WHEN high_nano > reserved_nano THEN high_nano - reserved_nano ELSE 0 END",
            expected="high_nano - reserved_nano",
            found="overrun_nano",
        ),
    ]


def _identity_checks() -> list[Check]:
    text, made = _id_parts()
    counted = f"kind = {Kind.POST.value} AND state = '{State.SETTLED.value}' AND usage_source = 'provider'"
    return [
        Check(
            "I5.identity",
            "A row's id is made of its request, attempt and kind.",
            wrong=f"{text} <> {made}",
            expected=made,
            found=text,
        ),
        Check(
            "I5.price",
            "What the provider counted costs that much at the frozen price, to the unit.",
            of=f"{counted} AND priced IS NOT NULL",
            wrong="cost_nano <> priced",
            expected="priced",
            found="cost_nano",
        ),
    ]


def _closes() -> Check:
    return Check(
        "I5.closes",
        "What follows a first record belongs to it: at most one correction, if it was unconfirmed, and repricings.",
        of="corrections + reprices > 0",
        wrong="corrections > unconfirmeds OR posts + unconfirmeds = 0",
        expected="unconfirmeds",
        found="corrections",
    )


def _attempt_checks() -> list[Check]:
    return [
        Check(
            "I5.first",
            "An attempt has one first record, a post or an unconfirmed.",
            of="adjustments = 0",
            wrong="posts + unconfirmeds <> 1",
            expected="1",
            found="posts + unconfirmeds",
        ),
        Check(
            "I3.sums",
            "With its corrections no attempt comes to less than nothing.",
            of="adjustments = 0",
            wrong=f"NOT ({_LEAST} AND 0 <= low_nano AND low_nano <= cost_nano AND cost_nano <= high_nano)",
            expected="low_nano",
            found="cost_nano",
        ),
        Check(
            "I3.certain",
            "A call that is resolved has one cost.",
            of="corrections = 1",
            wrong="low_nano <> cost_nano OR high_nano <> cost_nano",
            expected="cost_nano",
            found="CASE WHEN low_nano <> cost_nano THEN low_nano ELSE high_nano END",
        ),
        Check(
            "I5.adjusted",
            "An adjustment is certain money of no call, and what takes it back leaves nothing of it.",
            of="adjustments > 0",
            wrong=f"""posts + unconfirmeds + corrections + reprices > 0 OR {_TOKENS} <> 0
                OR low_nano <> cost_nano OR high_nano <> cost_nano
                OR CASE adjustments WHEN 1 THEN cost_nano = 0 WHEN 2 THEN cost_nano <> 0 ELSE 1 = 1 END""",
            expected="0",
            found="cost_nano",
        ),
    ]


def _later_checks() -> list[Check]:
    return [
        Check(
            "I5.repriced",
            "With all that was corrected and repriced, an attempt costs its tokens at its last price.",
            of=f"kind = {Kind.REPRICE.value} OR usage_source = 'provider'",
            wrong="cost_nano <> priced",
            expected="priced",
            found="cost_nano",
        )
    ]


def _request_checks() -> list[Check]:
    return [
        Check(
            "I6.attempts",
            "The attempts of a request are numbered from 1 without a hole.",
            wrong="first <> 1 OR last <> attempts",
            expected="last",
            found="attempts",
        )
    ]
