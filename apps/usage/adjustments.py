"""Money that no call of ours explains, or less than ours cost: what a provider's report says of a day, as rows of the
ledger. An adjustment stands alone, has no tokens and charges no budget; taking it back is a second row beside it.

Ids are made of the adjustment's name and a number, so the same one is posted once and taken back once.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, Max, Q, QuerySet, Sum

from apps.domain import ids, money
from apps.usage import ledger, partitions, rollups, rows
from apps.usage.models import Entry, Kind, SealedHour, Source, State, Status, Watermark

DAY = timedelta(days=1)
NAME = "adjustments"
SUBJECT = ("tenant_id", "project_id", "user_id", "key_id", "model_id", "endpoint", "pinned_id")
CREDENTIAL_LENGTH, MODEL_LENGTH = 60, 200  # of the ledger's columns
COUNTERS = ("in_fresh", "in_cache_read", "in_cache_write_5m", "in_cache_write_1h", "out_total")
_IS_CALL = Q(kind__lt=Kind.CORRECTION)
_IS_ESTIMATED = Q(kind__in=(Kind.POST, Kind.CORRECTION), usage_source=Source.ESTIMATED)

Way = tuple[str, str]  # a credential's alias, and the model as the provider calls it


class Counted(NamedTuple):
    """What the ledger has of one way on one day. Money in nano-USD; `doubt`: between the least and the most that its
    calls can have cost; `open` are unconfirmed, `estimated` were counted here."""

    calls: int
    cost: int
    doubt: int
    open: int
    estimated: int
    tokens: tuple[int, ...]  # as COUNTERS


class Share(NamedTuple):
    """Of an adjustment: when, which way, whose (as SUBJECT), under which requested model, and how much."""

    hour: datetime
    way: Way
    subject: tuple[Any, ...]
    model_name: str
    amount: int


class Weight(NamedTuple):
    """What one subject used in one hour."""

    hour: datetime
    way: Way
    subject: tuple[Any, ...]
    model_name: str
    cost: int
    tokens: int
    calls: int


def fitting(name: str, length: int) -> str:
    """As a column of the ledger takes it. What is longer ends in a digest, so that no two names become one."""
    return name if len(name) <= length else f"{name[: length - 17]}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def patiently() -> None:
    """Until the transaction ends no statement is ended for the time it takes: a day of a large ledger is read whole."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SET LOCAL statement_timeout = 0")


@transaction.atomic
def count(provider_id: int, day: datetime) -> dict[Way, Counted]:
    """A day of UTC. One query, along the primary key: rollups do not tell credentials apart. For the background."""
    patiently()
    sums = {f"sum_{name}": Sum(name) for name in (*COUNTERS, "cost_nano", "low_nano", "high_nano")}
    counts = {
        "calls": Count("pk", filter=_IS_CALL),
        "doubts": Count("pk", filter=Q(kind=Kind.UNCONFIRMED)),
        "resolved": Count("pk", filter=Q(kind=Kind.CORRECTION)),
        "estimated": Count("pk", filter=_IS_ESTIMATED),
    }
    ways = _between(provider_id, day, day + DAY).values("credential", "upstream_model")
    found: Any = ways.annotate(**sums, **counts)
    return {
        (row["credential"], row["upstream_model"]): Counted(
            calls=row["calls"],
            cost=row["sum_cost_nano"],
            doubt=row["sum_high_nano"] - row["sum_low_nano"],
            open=row["doubts"] - row["resolved"],
            estimated=row["estimated"],
            tokens=tuple(row[f"sum_{name}"] for name in COUNTERS),
        )
        for row in found
    }


@transaction.atomic
def weights(provider_id: int, day: datetime) -> dict[Way, list[Weight]]:
    """Who used each way on a day, hour by hour. A query an hour, along the primary key."""
    patiently()
    found: dict[Way, list[Weight]] = defaultdict(list)
    for number in range(24):
        hour = day + number * rollups.HOUR
        used = _between(provider_id, hour, hour + rollups.HOUR).values("credential", "upstream_model", *SUBJECT)
        tokens: Any = sum((Sum(name) for name in COUNTERS[1:]), Sum(COUNTERS[0]))
        sums: Any = used.annotate(
            cost=Sum("cost_nano"), tokens=tokens, calls=Count("pk", filter=_IS_CALL), name=Max("model_name")
        )
        for row in sums.order_by(*SUBJECT):
            weight = (row["cost"], row["tokens"], row["calls"])
            subject = tuple(row[name] for name in SUBJECT)
            way = (row["credential"], row["upstream_model"])
            found[way].append(Weight(hour, way, subject, row["name"], *weight))
    return found


def shared(amount: int, among: Sequence[Weight]) -> list[Share]:
    """By what each has cost; where nothing has cost anything, by tokens; where there are none, by calls. Exact."""
    for wanted in ("cost", "tokens", "calls"):
        measures = [max(0, getattr(weight, wanted)) for weight in among]
        if any(measures):
            break
    parts = zip(among, money.spread(amount, measures), strict=True)
    return [Share(weight.hour, weight.way, weight.subject, weight.model_name, part) for weight, part in parts]


def is_sealed(day: datetime) -> bool:
    """Whether rows of the day are gone from the ledger, so that nothing can be compared with it."""
    return SealedHour.objects.filter(hour__gte=day, hour__lt=day + DAY).exists()


def alone() -> None:
    """Until the transaction ends, nobody else adjusts: what is counted in it stays true until it is adjusted."""
    Watermark.objects.select_for_update().get_or_create(name=NAME)


def cover(day: datetime) -> None:
    """Makes room for the day's rows. Outside a transaction that adds them."""
    partitions.cover([ids.floor(_milliseconds(day))])


@transaction.atomic
def post(shares: Sequence[Share], *, name: str, provider_id: int, note: str) -> int:
    """Returns how many rows are new. `name` tells this adjustment apart from all others, for ever."""
    fields = [
        _fields(_request(name, index, share.hour), share, name=name) | {"provider_id": provider_id, "trail": (note,)}
        for index, share in enumerate(shares)
        if share.amount
    ]
    return sum(len(ledger.append(part)) for part in _parts(fields))


@transaction.atomic
def take_back(name: str, *, day: datetime, note: str) -> int:
    """Adds to each row of the adjustment, of that day, its opposite. Returns how many are new."""
    entries = Entry.objects.filter(id__gte=ids.floor(_milliseconds(day)), id__lt=ids.floor(_milliseconds(day + DAY)))
    stored = entries.filter(kind=Kind.ADJUSTMENT, trace_id=_trace(name)).order_by("pk")
    fields = [
        rows.of_entry(entry)
        | {amount: -getattr(entry, amount) for amount in rows.SUMMED}
        | {"id": ids.in_slot(entry.pk, slot=ids.Slot.RESOLUTION), "trail": (note,)}
        for entry in stored
        if ids.slot_of(entry.pk) == ids.Slot.FIRST
    ]
    return sum(len(ledger.append(part)) for part in _parts(fields))


def _between(provider_id: int, begin: datetime, end: datetime) -> QuerySet[Entry]:
    span = Entry.objects.filter(id__gte=ids.floor(_milliseconds(begin)), id__lt=ids.floor(_milliseconds(end)))
    return span.filter(provider_id=provider_id).order_by()


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp()) * 1000


def _trace(name: str) -> str:
    return f"adjustment {name}"


def _request(name: str, index: int, hour: datetime) -> UUID:
    """The same for the same share of the same adjustment."""
    digest = hashlib.sha256(f"{name}/{index}".encode()).digest()
    return ids.request_id(now_ms=_milliseconds(hour), random_bits=int.from_bytes(digest[:8], "big"))


def _fields(request: UUID, share: Share, *, name: str) -> dict[str, Any]:
    """Every column of the ledger, most of them empty."""
    numbers = {"latency_ms": 0, "queue_ms": 0, **dict.fromkeys(rows.SUMMED, 0)}
    words = dict.fromkeys(("client_protocol", "upstream_protocol", "error_code", "stop_reason"), "")
    words |= dict.fromkeys(("provider_request_id", "client_address", "user_agent"), "")
    return {
        **dict.fromkeys(rows.COLUMNS),
        **numbers,
        **words,
        **dict(zip(SUBJECT, share.subject, strict=True)),
        **dict.fromkeys(("cost_nano", "low_nano", "high_nano"), share.amount),
        **{"id": ids.entry_id(request, attempt=1), "request_id": request, "attempt": 1},
        **{"kind": Kind.ADJUSTMENT.value, "state": State.SETTLED.value, "status": Status.OK.value},
        **{"usage_source": Source.NONE.value, "stream": False, "windows": (), "started_at": share.hour},
        **{"credential": fitting(share.way[0], CREDENTIAL_LENGTH)},
        **{"upstream_model": fitting(share.way[1], MODEL_LENGTH)},
        **{"model_name": share.model_name[:MODEL_LENGTH], "trace_id": _trace(name)},
    }


def _parts(fields: Sequence[Mapping[str, Any]]) -> Iterator[Sequence[Mapping[str, Any]]]:
    for start in range(0, len(fields), ledger.BATCH):
        yield fields[start : start + ledger.BATCH]
