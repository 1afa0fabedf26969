from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from apps.domain.ids import EntryKind
from apps.usage.columns import amount, later_amount, names
from apps.usage.records import WORD_LENGTH
from apps.usage.refused import Refusal as Refusal
from apps.usage.refused import RefusalsTold as RefusalsTold
from apps.usage.refused import RefusedCall as RefusedCall
from apps.usage.summed import Calendar as Calendar
from apps.usage.summed import DailyRollup as DailyRollup
from apps.usage.summed import HourlyRollup as HourlyRollup
from apps.usage.summed import Level as Level
from apps.usage.summed import StaleDay as StaleDay
from apps.usage.summed import Sums


class Kind(models.IntegerChoices):
    """See `domain.ids.EntryKind`. What a correction or a repricing holds are differences, so that sums stay true.

    A correction closes an unconfirmed. A repricing's `error_code` says what was wrong: see `reprice`. An adjustment is
    money alone, without a call: see `adjustments`.
    """

    POST = EntryKind.POST.value, "Post"
    UNCONFIRMED = EntryKind.UNCONFIRMED.value, "Unconfirmed"
    CORRECTION = EntryKind.CORRECTION.value, "Correction"
    REPRICE = EntryKind.REPRICE.value, "Repriced"
    ADJUSTMENT = EntryKind.ADJUSTMENT.value, "Adjustment"


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


class Cached(models.IntegerChoices):
    """How an answer was found that had been given before."""

    EXACT = 1, "Exact"
    SEMANTIC = 2, "Semantic"


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
    tenant = names("tenants.Tenant")
    project = names("tenants.Project")
    user = names(settings.AUTH_USER_MODEL, null=True)
    key = names("keys.Key", null=True)
    model = names("catalog.Model", null=True)
    provider = names("catalog.Provider", null=True)
    deployment = names("catalog.Deployment", null=True)
    credential = models.CharField(max_length=60)
    model_name = models.CharField("requested model", max_length=200)
    upstream_model = models.CharField(max_length=200)
    client_protocol = models.CharField(max_length=32)
    upstream_protocol = models.CharField(max_length=32)
    endpoint = models.CharField(max_length=64)
    pinned = names("catalog.PinnedEndpoint", "pinned endpoint", null=True)
    stream = models.BooleanField()
    in_fresh = amount()
    in_cache_read = amount()
    in_cache_write_5m = amount()
    in_cache_write_1h = amount()
    out_total = amount()
    out_reasoning = amount()
    cost_nano = amount()
    low_nano = amount()
    high_nano = amount()
    reserved_nano = amount()
    overrun_nano = amount()
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
    message_id = models.CharField(max_length=100, null=True)
    client_address = models.CharField(max_length=45)
    user_agent = models.CharField(max_length=200)
    session = models.CharField(max_length=WORD_LENGTH, null=True)
    agent = models.CharField(max_length=WORD_LENGTH, null=True)
    parent_agent = models.CharField(max_length=WORD_LENGTH, null=True)
    cached = models.SmallIntegerField("from the cache", null=True, choices=Cached)
    saved_nano = models.BigIntegerField(
        "saved", null=True, help_text="what the answer had cost when it was given first"
    )
    saved_tokens = models.BigIntegerField(null=True)
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
            models.Index(fields=["pinned", "id"], condition=Q(pinned__isnull=False), name="entry_by_endpoint"),
            models.Index(fields=["settled_at"], name="entry_by_settlement"),
            models.Index(fields=["id"], condition=Q(state="unconfirmed"), name="entry_unconfirmed"),
            models.Index(fields=["id"], condition=Q(kind=Kind.CORRECTION.value), name="entry_correction"),
            models.Index(fields=["id"], condition=IS_ERROR, name="entry_failed"),
            models.Index(fields=["id"], condition=Q(price_version=None), name="entry_unpriced"),
            models.Index(fields=["id"], condition=Q(cached__isnull=False), name="entry_cached"),
            models.Index(
                fields=["session", "tenant", "id"], condition=Q(session__isnull=False), name="entry_of_session"
            ),
            models.Index(fields=["tenant", "id"], condition=Q(session__isnull=False), name="entry_in_session"),
        ]

    def __str__(self) -> str:
        return f"{self.started_at:%Y-%m-%d %H:%M:%S} {self.model_name}"

    @property
    def is_difference(self) -> bool:
        """From what was said of the attempt before."""
        return self.kind in (Kind.CORRECTION, Kind.REPRICE, Kind.ADJUSTMENT)

    @property
    def is_unpriced(self) -> bool:
        return self.price_version is None and bool(self.in_fresh or self.out_total or self.in_cache_read)


class Unconfirmed(Entry):
    """The same rows, where a person resolves them: who may is another matter than who may look at the ledger."""

    class Meta:
        proxy = True
        ordering = ["-id"]
        verbose_name = "unconfirmed call"
        verbose_name_plural = "unconfirmed usage"
        default_permissions = ("view", "change")


class SealedMonth(Sums):
    """What a month's rows came to before they were dropped. Rows that came later are sealed under the next number.

    `digest` chains those of its hours. Not finished: on SQLite, some of its hours are still in the ledger.
    """

    month = models.DateTimeField()
    number = models.PositiveSmallIntegerField()
    rows = amount()
    rows_posted = amount()
    rows_unconfirmed = amount()
    rows_corrected = amount()
    rows_repriced = amount()
    rows_adjusted = later_amount()
    digest = models.CharField(max_length=64, blank=True)
    began_at = models.DateTimeField(db_default=Now())
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-month", "-number"]
        default_permissions = ("view",)
        constraints = [models.UniqueConstraint(fields=["month", "number"], name="sealed_month_unique")]

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}, {self.number}"


class SealedHour(models.Model):
    """Which rows an hour had: their ids, 16 bytes each, and a digest of ids and amounts, so that one of them that is
    sent again is known."""

    seal = models.ForeignKey(SealedMonth, on_delete=models.PROTECT, related_name="hours")
    hour = models.DateTimeField(db_index=True)
    rows = models.PositiveIntegerField()
    ids = models.BinaryField()
    digest = models.BinaryField(max_length=32)

    class Meta:
        ordering = ["id"]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00}"


class SealedWindow(models.Model):
    """What the rows charged to a budget window, by its id: it may be gone with its budget."""

    seal = models.ForeignKey(SealedMonth, on_delete=models.PROTECT, related_name="windows")
    window = models.BigIntegerField()
    high_nano = amount()

    class Meta:
        ordering = ["window"]
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["window", "seal"], name="sealed_window_unique")]

    def __str__(self) -> str:
        return f"{self.seal}: window {self.window}"


class OpenAttempt(models.Model):
    """An attempt that runs somewhere, where WEIR_FIRST_BYTE_GATE=database: what is known of it if its process is lost
    with its disk. The id is that of its first ledger entry, whose posting removes it.

    `replica` is the name of the journal that has it too; `intent` is encoded as there.
    """

    id = models.UUIDField(primary_key=True, editable=False)
    request_id = models.UUIDField()
    attempt = models.PositiveSmallIntegerField()
    replica = models.CharField(max_length=120, db_index=True)
    intent = models.BinaryField()
    started_at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.request_id}, {self.attempt}"


class Watermark(models.Model):
    """How far a job has read the ledger, by `settled_at`. Its row is locked while the job runs."""

    name = models.CharField(max_length=40, unique=True)
    at = models.DateTimeField(null=True)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.name


class Verification(models.Model):
    """What came of checking the books. `findings` are those of `books.verify`; `failure` says why there are none."""

    began_at = models.DateTimeField()
    seconds = models.FloatField(default=0)
    is_quick = models.BooleanField("quick")
    checked = amount()
    violations = amount()
    findings = models.JSONField(default=list)
    failure = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "check of the books"
        verbose_name_plural = "checks of the books"
        default_permissions = ("view",)

    def __str__(self) -> str:
        return f"{self.began_at:%Y-%m-%d %H:%M}"


class Figure(models.Model):
    """A number that a scrape of the metrics asks for, counted in the background."""

    name = models.CharField(max_length=40)
    tenant = names("tenants.Tenant", null=True)
    value = models.BigIntegerField()

    class Meta:
        ordering = ["name", "tenant"]
        default_permissions = ()

    def __str__(self) -> str:
        return self.name
