"""The charges of some days, from the hourly sums: a tenant's, or everybody's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from django.db.models import QuerySet, Sum

from apps.accounts.models import User
from apps.catalog.models import Model, Provider
from apps.keys.models import Key
from apps.tenants.models import Project, Tenant
from apps.usage.focus.columns import DAY, Charge
from apps.usage.models import HourlyRollup

SUMS = (
    *("calls", "errors", "unconfirmed", "estimated", "unpriced", "cost_nano", "saved_nano"),
    *("in_fresh", "in_cache_read", "in_cache_write_5m", "in_cache_write_1h", "out_total"),
)
PARTS = ("tenant_id", "project_id", "key_id", "user_id", "model_id", "provider_id", "endpoint")
MOST_DAYS = 366
NOBODY = "none"  # a refusal before a provider was chosen costs nothing, but is a row of its tenant's
_NAMED = 10_000


def charges(first: datetime, last: datetime, *, tenant: Tenant | None) -> Iterator[Charge]:
    """Of the days of UTC from `first` to `last`, both included, day by day. Raises ValueError for none or too many.

    A query a day, along the index of the tenant's hours, and those that name what has not been named yet. Rows without
    tokens or money are left out: nobody is charged for them.
    """
    if not 0 <= (last - first).days < MOST_DAYS:
        raise ValueError(f"Between one and {MOST_DAYS} days.")
    names = _Names()
    day = first
    while day <= last:
        found = list(_sums(day, tenant))
        names.learn(found)
        yield from (names.charge(day, row) for row in found)
        day += DAY


def _sums(day: datetime, tenant: Tenant | None) -> Iterable[Mapping[str, Any]]:
    hours: QuerySet[HourlyRollup] = HourlyRollup.objects.filter(hour__gte=day, hour__lt=day + DAY)
    if tenant is not None:
        hours = hours.filter(tenant=tenant)
    found = hours.order_by().values(*PARTS).annotate(**{f"sum_{name}": Sum(name) for name in SUMS})
    for row in found.order_by(*PARTS):
        if row["sum_cost_nano"] or any(row[f"sum_{name}"] for name in SUMS[-5:]):
            yield row


class _Names:
    """What rows are called, asked once for each."""

    def __init__(self) -> None:
        self._known: dict[type[Any], dict[int, Any]] = {}

    def learn(self, rows: list[Mapping[str, Any]]) -> None:
        for model, part, columns in _KINDS:
            known = self._known.setdefault(model, {})
            if len(known) > _NAMED:
                known.clear()
            new = {row[part] for row in rows} - known.keys() - {None}
            known.update(
                (found[0], found[1:]) for found in model.objects.filter(pk__in=new).values_list("pk", *columns)
            )

    def charge(self, day: datetime, row: Mapping[str, Any]) -> Charge:
        key = self._of(Key, row["key_id"])
        provider = self._of(Provider, row["provider_id"]) or (NOBODY, "")
        return Charge(
            day=day,
            tenant=self._pair(Tenant, row["tenant_id"]),
            project=self._pair(Project, row["project_id"]),
            key=(f"weir_{key[0]}", key[1]) if key else None,
            user=(self._of(User, row["user_id"]) or ("",))[0],
            model=(self._of(Model, row["model_id"]) or (NOBODY,))[0],
            provider=provider[0],
            region=provider[1],
            endpoint=row["endpoint"] or "",
            sums={name: row[f"sum_{name}"] for name in SUMS},
        )

    def _of(self, model: type[Any], pk: int | None) -> Any:
        return None if pk is None else self._known[model].get(pk)

    def _pair(self, model: type[Any], pk: int) -> tuple[str, str]:
        """Of what is gone, its number."""
        return self._of(model, pk) or (str(pk), str(pk))


_KINDS: tuple[tuple[type[Any], str, tuple[str, ...]], ...] = (
    (Tenant, "tenant_id", ("slug", "name")),
    (Project, "project_id", ("slug", "name")),
    (Key, "key_id", ("public_id", "name")),
    (User, "user_id", ("username",)),
    (Model, "model_id", ("name",)),
    (Provider, "provider_id", ("name", "region")),
)
