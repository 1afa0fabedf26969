"""The ledger behind a large installation: programs that call for an hour and pause, in the rhythm of working days."""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple

from apps.domain import ids, pricing
from apps.domain.limits.budget import span
from apps.domain.snapshot import PriceCard
from apps.domain.tokens import TokenUsage
from apps.quotas.models import Budget, BudgetWindow, Period
from apps.usage.models import Entry
from apps.usage.rows import COLUMNS
from apps.usage.scale.people import Group, Holder, World
from apps.usage.scale.tables import Value, fill, flag, moment, without_indexes

HOURS = (2, 1, 1, 1, 1, 2, 3, 5, 8, 10, 10, 9, 7, 9, 10, 10, 8, 6, 4, 3, 3, 2, 2, 2)  # parts of a day's busiest
WEEKEND = 0.2
A_SESSION = 15  # calls of one program within an hour, on average
FAILED, ABANDONED, UNCONFIRMED = 0.01, 0.008, 0.0002
HEADROOM = 1.4


@dataclass(frozen=True, kw_only=True)
class Served:
    """A model at its provider, as calls name it."""

    model: int
    provider: int
    deployment: int
    name: str
    protocol: str
    endpoint: str
    card: PriceCard


class _Session(NamedTuple):
    """What the calls of one hour of one program share: the columns before the counters and those after the status."""

    group: Group
    holder: Holder
    served: Served
    windows: tuple[int, ...]


def remember(world: World, served: list[Served], *, entries: int, days: int, now: datetime, random: Random) -> None:
    """Fills the ledger with `entries` calls of the last `days`, and the budgets' windows with what they cost."""
    first = (now - timedelta(days=days)).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    windows = _Windows(world, first, now)
    spent: Counter[int] = Counter()
    with without_indexes(Entry):
        fill(Entry, (*COLUMNS, "settled_at"), _rows(world, served, windows, spent, entries, first, now, random))
    windows.write(spent)


def _rows(
    world: World,
    served: list[Served],
    windows: _Windows,
    spent: Counter[int],
    entries: int,
    first: datetime,
    now: datetime,
    random: Random,
) -> Iterator[tuple[Value, ...]]:
    hours = [first + timedelta(hours=number) for number in range(int((now - first).total_seconds()) // 3600)]
    shares = [HOURS[hour.hour] * (WEEKEND if hour.weekday() >= 5 else 1.0) for hour in hours]
    totals = [round(entries * part) for part in _running(shares)]
    weights = list(itertools.accumulate(len(group.callers) for group in world.groups))
    for hour, before, after in zip(hours, [0, *totals], totals, strict=False):
        left = after - before
        while left > 0:
            count = min(left, 1 + int(random.expovariate(1 / A_SESSION)))
            left -= count
            group = world.groups[bisect.bisect(weights, random.randrange(weights[-1]))]
            holder = group.callers[int(random.random() ** 2 * len(group.callers))]
            session = _Session(group, holder, random.choice(served), windows.of(holder, hour))
            yield from _session(session, hour, count, spent, random)


def _running(shares: list[float]) -> Iterator[float]:
    whole = sum(shares)
    for part in itertools.accumulate(shares):
        yield part / whole


def _session(
    session: _Session, hour: datetime, count: int, spent: Counter[int], random: Random
) -> Iterator[tuple[Value, ...]]:
    group, holder, served, windows = session
    shared = (
        *(group.tenant, holder.project, holder.user, holder.key, served.model, served.provider, served.deployment),
        *("scale", served.name, served.name, served.protocol, served.protocol, served.endpoint, None, flag(True)),
    )
    paid = "[" + ", ".join(map(str, windows)) + "]"
    name = f"{random.getrandbits(64):016x}"
    begins = int(hour.timestamp() * 1000)
    first = ids.request_id(now_ms=begins, random_bits=0)
    request, to_entry = first.int, ids.entry_id(first, attempt=1).int - first.int
    for _ in range(count):
        later = random.randrange(3_600_000)
        call = request + (later << 80) + random.getrandbits(62)
        usage, cost, high, ended = _outcome(served, random.random(), random)
        for window in windows:
            spent[window] += high
        started = hour + timedelta(milliseconds=later)
        latency = 700 + usage[4] * 12
        yield (
            *(f"{call + to_entry:032x}", f"{call:032x}", 1, ended.kind, ended.state, *shared, *usage),
            *(cost, 0 if high > cost else cost, high, high, 0, served.card.version if usage[4] else None),
            *(ended.source, ended.status, ended.http, ended.code, ended.stop, latency, 650 if usage[4] else None, 0),
            *(f"{call:032x}", f"req_{begins + later:x}", f"msg_{begins + later:x}", "10.1.2.3", "claude-cli/2.0.42"),
            *(name, None, None, None, None, None, paid, "[]", moment(started)),
            moment(started + timedelta(milliseconds=latency)),
        )


class _Ended(NamedTuple):
    kind: int
    state: str
    source: str
    status: str
    http: int | None
    code: str
    stop: str


_OK = _Ended(1, "settled", "provider", "ok", 200, "", "end_turn")
_LEFT = _Ended(1, "settled", "estimated", "client_gone", 200, "", "")
_FAILED = _Ended(1, "void", "none", "upstream_error", 529, "overloaded", "")
_LOST = _Ended(2, "unconfirmed", "estimated", "upstream_broken", 200, "broken", "")


def _outcome(served: Served, fate: float, random: Random) -> tuple[tuple[int, ...], int, int, _Ended]:
    """Counters, cost, what budgets are charged, and how it ended."""
    if fate < FAILED:
        return (0, 0, 0, 0, 0, 0), 0, 0, _FAILED
    usage = (
        int(random.expovariate(1 / 1_200)),
        int(random.expovariate(1 / 30_000)) if fate > 0.4 else 0,
        int(random.expovariate(1 / 2_000)) if fate > 0.7 else 0,
        *(0, 1 + int(random.expovariate(1 / 500)), 0),
    )
    cost = pricing.cost(TokenUsage(*usage), served.card)
    if fate < FAILED + UNCONFIRMED:
        return usage, cost, 2 * cost, _LOST
    return usage, cost, cost, _LEFT if fate > 1 - ABANDONED else _OK


class _Windows:
    """Of every budget one a month, numbered by budget and month."""

    def __init__(self, world: World, first: datetime, now: datetime) -> None:
        self._budgets = world.budgets
        self._months: list[tuple[datetime, datetime]] = []
        at = first
        while at <= now:
            month = span(Period.MONTH.value, timezone="UTC", now=at.timestamp())
            ends = datetime.fromtimestamp(month.ends, UTC)
            self._months.append((datetime.fromtimestamp(month.starts, UTC), ends))
            at = ends

    def of(self, holder: Holder, hour: datetime) -> tuple[int, ...]:
        month = next(place for place, (_, ends) in enumerate(self._months) if hour < ends)
        return tuple(month * len(self._budgets) + budget for budget in holder.budgets)

    def write(self, spent: Counter[int]) -> None:
        """With an amount that leaves some of them room, and some a little."""
        columns = ("id", "budget_id", "starts", "ends", "limit", "settled", "held", "ceiling")
        fill(BudgetWindow, columns, self._rows(spent))
        for budget in Budget.objects.only("pk").order_by("pk").iterator(chunk_size=2_000):
            last = (len(self._months) - 1) * len(self._budgets) + budget.pk
            Budget.objects.filter(pk=budget.pk).update(amount=_amount(spent[last]))

    def _rows(self, spent: Counter[int]) -> Iterator[tuple[Value, ...]]:
        for place, (starts, ends) in enumerate(self._months):
            for budget in self._budgets:
                number = place * len(self._budgets) + budget
                limit = _amount(spent[number])
                yield number, budget, moment(starts), moment(ends), limit, spent[number], 0, limit


def _amount(spent: int) -> int:
    return max(10_000_000_000, round(spent * HEADROOM))
