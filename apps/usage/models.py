from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Coalesce, Now

from apps.domain.ids import EntryKind


class Kind(models.IntegerChoices):
    """See `domain.ids.EntryKind`. What a correction or a repricing holds are differences, so that sums stay true.

    A correction closes an unconfirmed. A repricing's `error_code` says what was wrong: see `reprice`.
    """

    POST = EntryKind.POST.value, "Post"
    UNCONFIRMED = EntryKind.UNCONFIRMED.value, "Unconfirmed"
    CORRECTION = EntryKind.CORRECTION.value, "Correction"
    REPRICE = EntryKind.REPRICE.value, "Repriced"


class State(models.TextChoices):
    SETTLED = "settled", "Settled"
    UNCONFIRMED = "unconfirmed", "Unconfirmed"
    VOID = "void", "Void"  # the model never ran: nothing is owed


class Source(models.TextChoices):
    """Where the counters came from. None: there are none, so that no price says what it cost."""

    PROVIDER = "provider", "Provider"
    ESTIMATED = "estimated", "Estimated"
    PERSON = "person", "Person"
    NONE = "none", "None"


class Status(models.TextChoices):
    """How an attempt ended."""

    OK = "ok", "OK"
    REFUSED = "refused", "Refused by the gateway"
    CLIENT_ERROR = "client_error", "Client error"
    CLIENT_GONE = "client_gone", "Client gone"
    UPSTREAM_ERROR = "upstream_error", "Upstream error"
    UPSTREAM_BROKEN = "upstream_broken", "Upstream broken"
    TIMEOUT = "timeout", "Timeout"
    GATEWAY_ERROR = "gateway_error", "Gateway error"
    INTERRUPTED = "interrupted", "Interrupted"  # the process died in the middle


NOT_ERRORS = (Status.OK, Status.CLIENT_GONE)
# SQLite reads the index of errors for a query in the index's own words, not for `status NOT IN (…)`.
IS_ERROR = ~Q(status=Status.OK.value) & ~Q(status=Status.CLIENT_GONE.value)


def _names(to: str, *, null: bool = False) -> models.ForeignKey[Any, Any]:
    """A number that names a row, joined where a page wants its name; usage outlives what it was used on."""
    return models.ForeignKey(
        to, on_delete=models.DO_NOTHING, db_constraint=False, db_index=False, null=null, related_name="+"
    )


def _amount() -> models.BigIntegerField:
    return models.BigIntegerField(default=0)


class Entry(models.Model):
    """What one attempt of one call used and cost. Money is nano-USD, token counters are disjoint, times are UTC.

    The id is made of request, attempt and slot, so the same outcome can only be recorded once. Budgets are charged
    `high_nano`; it differs from `cost_nano` while the truth is not known. `price_version` null: it had no price.
    On PostgreSQL the table is partitioned by month (see `partitions`); the database refuses updates and deletes.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    request_id = models.UUIDField()
    attempt = models.PositiveSmallIntegerField()
    kind = models.PositiveSmallIntegerField(choices=Kind)
    state = models.CharField(max_length=12, choices=State)
    tenant = _names("tenants.Tenant")
    project = _names("tenants.Project")
    user = _names(settings.AUTH_USER_MODEL, null=True)
    key = _names("keys.Key", null=True)
    model = _names("catalog.Model", null=True)
    provider = _names("catalog.Provider", null=True)
    deployment = _names("catalog.Deployment", null=True)
    credential = models.CharField(max_length=60)
    model_name = models.CharField("requested model", max_length=200)
    upstream_model = models.CharField(max_length=200)
    client_protocol = models.CharField(max_length=32)
    upstream_protocol = models.CharField(max_length=32)
    endpoint = models.CharField(max_length=64)
    stream = models.BooleanField()
    in_fresh = _amount()
    in_cache_read = _amount()
    in_cache_write_5m = _amount()
    in_cache_write_1h = _amount()
    out_total = _amount()
    out_reasoning = _amount()
    cost_nano = _amount()
    low_nano = _amount()
    high_nano = _amount()
    reserved_nano = _amount()
    overrun_nano = _amount()
    price_version = models.BigIntegerField(null=True)
    usage_source = models.CharField(max_length=12, choices=Source)
    status = models.CharField(max_length=20, choices=Status)
    http_status = models.PositiveSmallIntegerField(null=True)
    error_code = models.CharField(max_length=64)
    stop_reason = models.CharField(max_length=32)
    latency_ms = models.PositiveIntegerField(default=0)
    ttft_ms = models.PositiveIntegerField("time to first token", null=True)
    queue_ms = models.PositiveIntegerField(default=0)
    trace_id = models.CharField(max_length=64)
    provider_request_id = models.CharField(max_length=100)
    client_address = models.CharField(max_length=45)
    user_agent = models.CharField(max_length=200)
    windows = models.JSONField(default=list)  # ids of the budget windows that were charged
    trail = models.JSONField(default=list)
    started_at = models.DateTimeField()
    settled_at = models.DateTimeField(db_default=Now(), help_text="when the ledger took it")

    class Meta:
        ordering = ["-id"]
        verbose_name = "ledger entry"
        verbose_name_plural = "ledger entries"
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["tenant", "id"], name="entry_by_tenant"),
            models.Index(fields=["project", "id"], name="entry_by_project"),
            models.Index(fields=["user", "id"], name="entry_by_user"),
            models.Index(fields=["key", "id"], name="entry_by_key"),
            models.Index(fields=["settled_at"], name="entry_by_settlement"),
            models.Index(fields=["id"], condition=Q(state="unconfirmed"), name="entry_unconfirmed"),
            models.Index(fields=["id"], condition=Q(kind=Kind.CORRECTION.value), name="entry_correction"),
            models.Index(fields=["id"], condition=IS_ERROR, name="entry_failed"),
            models.Index(fields=["id"], condition=Q(price_version=None), name="entry_unpriced"),
        ]

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M:%S} {self.model_name}"

    @property
    def is_unpriced(self) -> bool:
        return self.price_version is None and bool(self.in_fresh or self.out_total or self.in_cache_read)


class HourlyRollup(models.Model):
    """Sums of the entries of one hour (of their requests' arrival), recomputed whole, never added to."""

    hour = models.DateTimeField()
    tenant = _names("tenants.Tenant")
    project = _names("tenants.Project")
    user = _names(settings.AUTH_USER_MODEL, null=True)
    key = _names("keys.Key", null=True)
    model = _names("catalog.Model", null=True)
    provider = _names("catalog.Provider", null=True)
    calls = _amount()
    errors = _amount()
    unconfirmed = _amount()
    unpriced = _amount()
    in_fresh = _amount()
    in_cache_read = _amount()
    in_cache_write_5m = _amount()
    in_cache_write_1h = _amount()
    out_total = _amount()
    out_reasoning = _amount()
    cost_nano = _amount()
    low_nano = _amount()
    high_nano = _amount()
    latency_ms = _amount()

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
                name="rollup_unique",
            ),
        ]
        indexes = [
            models.Index(fields=["hour", "id"], name="rollup_by_hour"),
            models.Index(fields=["tenant", "hour"], name="rollup_by_tenant"),
            models.Index(fields=["project", "hour"], name="rollup_by_project"),
            models.Index(fields=["user", "hour"], name="rollup_by_user"),
            models.Index(fields=["key", "hour"], name="rollup_by_key"),
            models.Index(fields=["cost_nano"], name="rollup_by_cost"),
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00} {self.tenant}"


class Watermark(models.Model):
    """How far a job has read the ledger, by `settled_at`. Its row is locked while the job runs."""

    name = models.CharField(max_length=40, unique=True)
    at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name
