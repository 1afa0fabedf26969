"""Refused calls: written a batch at a time by each gateway process, and what is asked of them.

They are counts beside the ledger and touch no money. A batch is written once, whether or not its answer was lost; a
process that is killed takes the last second or so of its counts along. Read are MOST_READ rows of hours at most.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, Max, QuerySet, Sum

from apps.domain.refusals import REASONS, Batch, Call, Counted, Often, Reason
from apps.keys.models import Key
from apps.usage.models import Refusal, RefusalsTold, RefusedCall

KEPT = timedelta(days=90)
CALLS_KEPT = timedelta(days=7)
MOST_READ = 20_000
_AT_ONCE = 500
_A_DAY = timedelta(days=1)
_ADD = """
    UPDATE usage_refusal
    SET count = count + %s, last_at = CASE WHEN last_at < %s THEN %s ELSE last_at END
    WHERE id = %s
"""
_TOLD = (
    *("at", "request_id", "tenant", "project", "user", "key", "model_name", "reason", "status", "endpoint"),
    *("client_address", "user_agent"),
)


class Group(NamedTuple):
    """Of one reason: how often, of how many keys, and when last."""

    word: str
    reason: Reason
    times: int
    keys: int
    last: datetime


class Part(NamedTuple):
    """Of one key, model, reason and status. `key` None: a token's, or a key's that is no more."""

    reason: Reason
    key: Key | None
    model: str
    status: int
    times: int
    last: datetime


@transaction.atomic
def write(replica: str, batch: Batch) -> bool:
    """False: this batch is written already. Rows are touched in one order, so that no two processes wait for each
    other."""
    if not _is_new(replica, batch.number):
        return False
    rows = sorted(((_id(*counted), counted, often) for counted, often in batch.counts.items()), key=lambda row: row[0])
    for start in range(0, len(rows), _AT_ONCE):
        _add(rows[start : start + _AT_ONCE])
    newest = {row.pk: row for row in map(_row_of_call, batch.calls)}
    _place([newest[pk] for pk in sorted(newest)])
    return True


def _is_new(replica: str, number: int) -> bool:
    known = RefusalsTold.objects.filter(replica=replica)
    now = datetime.now(UTC)
    if known.filter(number__lt=number).update(number=number, at=now):
        return True
    if known.exists():
        return False
    RefusalsTold.objects.create(replica=replica, number=number, at=now)
    return True


def _add(rows: list[tuple[UUID, Counted, Often]]) -> None:
    fresh = [
        Refusal(
            id=pk, hour=_at(counted.hour), tenant_id=counted.tenant_id, project_id=counted.project_id,
            user_id=counted.user_id, key_id=counted.key_id, model_name=counted.model[:200], reason=counted.reason,
            status=counted.status, first_at=_at(often.first), last_at=_at(often.last),
        )
        for pk, counted, often in rows
    ]  # fmt: skip
    Refusal.objects.bulk_create(fresh, ignore_conflicts=True)
    with connection.cursor() as cursor:
        cursor.executemany(
            _ADD,
            [
                (often.times, last := _as_stored("last_at", _at(often.last)), last, _as_stored("id", pk))
                for pk, _, often in rows
            ],
        )


def _place(rows: list[RefusedCall]) -> None:
    """Where nothing newer stands."""
    pks = [row.pk for row in rows]
    newer = dict(RefusedCall.objects.filter(pk__in=pks).values_list("pk", "at")) if pks else {}
    due = [row for row in rows if row.pk not in newer or newer[row.pk] < row.at]
    RefusedCall.objects.bulk_create(
        due, batch_size=_AT_ONCE, update_conflicts=True, unique_fields=["id"], update_fields=_TOLD
    )


def _row_of_call(call: Call) -> RefusedCall:
    of = call.of
    assert of.tenant_id is not None
    assert of.project_id is not None
    caller = of.key_id if of.key_id is not None else f"user {of.user_id} in {of.tenant_id}"
    return RefusedCall(
        id=_id(caller, call.place), at=_at(call.at), request_id=call.request_id, tenant_id=of.tenant_id,
        project_id=of.project_id, user_id=of.user_id, key_id=of.key_id, model_name=call.asked[:200], reason=of.reason,
        status=of.status, endpoint=call.endpoint[:64], client_address=call.address[:45], user_agent=call.agent,
    )  # fmt: skip


def count(since: datetime, **subject: int) -> int:
    """How many since the beginning of that hour. `subject`: `tenant_id`, `user_id`, `key_id`; none: everybody's, also
    those that nobody knows. One query, along an index."""
    total: int = _newest(since, subject).aggregate(total=Sum("count"))["total"] or 0
    return total


def by_reason(since: datetime, **subject: int) -> list[Group]:
    """The most frequent first. One query."""
    sums = _newest(since, subject).order_by().values_list("reason")
    found: Any = sums.annotate(times=Sum("count"), keys=Count("key", distinct=True), last=Max("last_at"))
    found = found.order_by("-times", "reason")
    return [Group(word, REASONS[word], *rest) for word, *rest in found if word in REASONS]


def by_key(since: datetime, *, most: int, **subject: int) -> list[Part]:
    """The most frequent first. Two queries."""
    of = ("key_id", "model_name", "reason", "status")
    sums = _newest(since, subject).order_by().values_list(*of)
    found = list(sums.annotate(times=Sum("count"), last=Max("last_at")).order_by("-times", "-last", *of)[:most])
    keys = Key.objects.select_related("project", "user").in_bulk({key for key, *_ in found if key is not None})
    return [
        Part(REASONS[word], keys.get(key), model, status, total, last)
        for key, model, word, status, total, last in found
        if word in REASONS
    ]


def latest(most: int, *, since: datetime | None = None, **subject: int) -> list[RefusedCall]:
    """With tenant, key and user, the newest first. One query, along an index."""
    rows = RefusedCall.objects.filter(**subject)
    rows = rows if since is None else rows.filter(at__gte=since)
    return list(rows.select_related("tenant", "key", "user").order_by("-at", "-pk")[:most])


def newest_of(since: datetime, tenants: Iterable[int] | None) -> dict[tuple[int, int | None], datetime]:
    """When somebody was last refused since then, by tenant and user; `tenants` None: all. One query."""
    rows = RefusedCall.objects.filter(at__gte=since)
    if tenants is not None:
        rows = rows.filter(tenant_id__in=list(tenants))
    found = rows.order_by().values_list("tenant_id", "user_id").annotate(Max("at"))
    return {(tenant, user): at for tenant, user, at in found}


def forget(now: datetime) -> int:
    """What is past its time, a part at a time, so that no statement takes long."""
    gone = _delete(Refusal.objects.filter(hour__lt=now - KEPT).order_by("hour"))
    gone += _delete(RefusedCall.objects.filter(at__lt=now - CALLS_KEPT).order_by("at"))
    RefusalsTold.objects.filter(at__lt=now - _A_DAY).delete()
    return gone


def _delete(which: QuerySet[Any]) -> int:
    total = 0
    while pks := list(which.values_list("pk", flat=True)[:_AT_ONCE]):
        total += which.model._default_manager.filter(pk__in=pks).delete()[0]
    return total


def _newest(since: datetime, subject: dict[str, int]) -> QuerySet[Refusal]:
    """A bounded number of rows, however many there are."""
    hour = since.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    rows = Refusal.objects.filter(hour__gte=hour, **subject).order_by("-hour")
    return Refusal.objects.filter(pk__in=rows.values("pk")[:MOST_READ])


def _id(*of: object) -> UUID:
    return UUID(bytes=blake2b(repr(of).encode(), digest_size=16).digest())


def _at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _as_stored(column: str, value: Any) -> Any:
    field: Any = Refusal._meta.get_field(column)
    return field.get_db_prep_value(value, connection)
