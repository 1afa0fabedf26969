"""Sums of the ledger's rows, by the hour and by the day: see `rollups` and `days`."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q, Value
from django.db.models.functions import Coalesce

from apps.usage.columns import amount, later_amount, names


class Sums(models.Model):
    """What entries come to; see `rollups.SUMS`."""

    calls = amount()
    errors = amount()
    unconfirmed = amount()
    unpriced = amount()
    in_fresh = amount()
    in_cache_read = amount()
    in_cache_write_5m = amount()
    in_cache_write_1h = amount()
    out_total = amount()
    out_reasoning = amount()
    cost_nano = amount()
    low_nano = amount()
    high_nano = amount()
    latency_ms = amount()
    hits = later_amount()
    saved_nano = later_amount()
    saved_tokens = later_amount()
    estimated = later_amount()

    class Meta:
        abstract = True


class HourlyRollup(Sums):
    """Sums of the entries of one hour (of their requests' arrival), recomputed whole, never added to.

    With a `seal` they are of entries that were dropped, and stay as they are; entries that came later have others.
    Where a day of the tenant's begins within the hour, what came before and after have rows of their own, and `hour` is
    when each part begins. `endpoint` null: summed up before endpoints were told apart.
    """

    hour = models.DateTimeField()
    tenant = names("tenants.Tenant")
    project = names("tenants.Project")
    user = names(settings.AUTH_USER_MODEL, null=True)
    key = names("keys.Key", null=True)
    model = names("catalog.Model", null=True)
    provider = names("catalog.Provider", null=True)
    endpoint = models.CharField(max_length=64, null=True)
    pinned = names("catalog.PinnedEndpoint", "pinned endpoint", null=True)
    seal = models.ForeignKey(
        "usage.SealedMonth", on_delete=models.PROTECT, null=True, db_index=False, related_name="rollups"
    )

    class Meta:
        ordering = ["-hour"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                "hour",
                "tenant_id",
                "project_id",
                Coalesce("user_id", 0),
                Coalesce("key_id", 0),
                Coalesce("model_id", 0),
                Coalesce("provider_id", 0),
                Coalesce("endpoint", Value("")),
                Coalesce("pinned_id", 0),
                Coalesce("seal_id", 0),
                name="rollup_unique_with_endpoint",
            ),
        ]
        indexes = [
            models.Index(fields=["hour", "id"], name="rollup_by_hour"),
            models.Index(fields=["tenant", "hour"], name="rollup_by_tenant"),
            models.Index(fields=["project", "hour"], name="rollup_by_project"),
            models.Index(fields=["user", "hour"], name="rollup_by_user"),
            models.Index(fields=["key", "hour"], name="rollup_by_key"),
            models.Index(fields=["pinned", "hour"], condition=Q(pinned__isnull=False), name="rollup_by_endpoint"),
            models.Index(fields=["cost_nano"], name="rollup_by_cost"),
            models.Index(fields=["seal"], condition=Q(seal__isnull=False), name="rollup_sealed"),
            models.Index(
                fields=["hour"], condition=Q(endpoint__isnull=True, seal__isnull=True), name="rollup_without_endpoint"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:%M} {self.tenant}"


class Level(models.IntegerChoices):
    """What a day's sums are told apart by; see `days.LEVELS`. The last two are of days of UTC, over all tenants."""

    FULL = 1, "Everything"
    NARROW = 2, "Without users and keys"
    WORLD = 3, "Every tenant's models, providers and endpoints"
    TENANTS = 4, "Every tenant"


class DailyRollup(Sums):
    """Sums of the hours of one day that is over, made again whole. What a level does not tell apart is null.

    Not to be read where there is a `StaleDay`, or where `Calendar` says that they are of another time zone's days.
    """

    level = models.PositiveSmallIntegerField(choices=Level)
    day = models.DateField()
    tenant = names("tenants.Tenant")
    project = names("tenants.Project", null=True)
    user = names(settings.AUTH_USER_MODEL, null=True)
    key = names("keys.Key", null=True)
    model = names("catalog.Model", null=True)
    provider = names("catalog.Provider", null=True)
    endpoint = models.CharField(max_length=64, null=True)
    pinned = names("catalog.PinnedEndpoint", "pinned endpoint", null=True)

    class Meta:
        ordering = ["-day"]
        default_permissions = ()
        indexes = [
            models.Index(
                fields=["tenant", "level", "day"],
                include=["project", "user", "key", "model", "provider", "cost_nano", "calls"],  # to find the dearest
                name="daily_by_tenant_told",
            ),
            models.Index(fields=["project", "day"], condition=Q(level=Level.FULL.value), name="daily_by_project"),
            models.Index(fields=["user", "day"], condition=Q(level=Level.FULL.value), name="daily_by_user"),
            models.Index(fields=["key", "day"], condition=Q(level=Level.FULL.value), name="daily_by_key"),
            models.Index(
                fields=["level", "day"],
                condition=Q(level__in=(Level.WORLD.value, Level.TENANTS.value)),
                name="daily_of_all",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d} {self.tenant}"


class Calendar(models.Model):
    """In which time zone the days of a tenant are rolled up, once they are. `owner` 0: those over all tenants."""

    owner = models.BigIntegerField(primary_key=True)
    timezone = models.CharField(max_length=64)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.timezone


class StaleDay(models.Model):
    """A day of a calendar of which an hour has changed since it was rolled up, if ever: read its hours instead."""

    owner = models.BigIntegerField()
    day = models.DateField()

    class Meta:
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["owner", "day"], name="stale_day_unique")]
        indexes = [models.Index(fields=["day"], name="stale_day_by_day")]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d}"
