from __future__ import annotations

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.catalog.vault import Place
from apps.outbound import guard
from apps.reconciliation.shapes import registry


class Shape(models.TextChoices):
    ANTHROPIC_USAGE = registry.ANTHROPIC_USAGE, "Anthropic: usage report (messages)"
    ANTHROPIC_COST = registry.ANTHROPIC_COST, "Anthropic: cost report"
    OPENAI_USAGE = registry.OPENAI_USAGE, "OpenAI: usage of completions and embeddings"
    OPENAI_COSTS = registry.OPENAI_COSTS, "OpenAI: costs"
    AWS_CUR = registry.AWS_CUR, "AWS: Cost and Usage Report, of Bedrock"


class Vendor(models.TextChoices):
    ANTHROPIC = "anthropic", "Anthropic"
    OPENAI = "openai", "OpenAI"


class ReportSource(models.Model):
    """Where a provider's reports are fetched. The admin key is sealed, and shown to `address` alone."""

    provider = models.OneToOneField("catalog.Provider", on_delete=models.CASCADE, related_name="+")
    vendor = models.CharField(max_length=12, choices=Vendor)
    address = models.CharField(max_length=255, help_text="Like https://api.anthropic.com, without a path.")
    ciphertext = models.TextField(blank=True, editable=False)
    last_four = models.CharField(max_length=4, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["provider"]

    def __str__(self) -> str:
        return f"reports of {self.provider}"

    @property
    def place(self) -> Place:
        return Place(
            table="reconciliation_reportsource",
            column="ciphertext",
            row=self.pk,
            tenant_id=None,
            binding=self.address,
        )

    def clean(self) -> None:
        from apps.catalog import selectors as catalog

        try:
            target = guard.parse(self.address)
            guard.check_url(self.address, catalog.private_networks())
        except guard.AddressRefused as error:
            raise ValidationError({"address": str(error)}) from None
        if self.address != f"{target.scheme}://{self.address.partition('://')[2].partition('/')[0]}":
            raise ValidationError({"address": "Give scheme and host alone, like https://api.anthropic.com."})


class ProviderName(models.Model):
    """What a provider's reports call something: a model as deployments call it, or whose key, workspace or project a
    credential belongs to. A name may stand for several credentials."""

    provider = models.ForeignKey("catalog.Provider", on_delete=models.CASCADE, related_name="+")
    name = models.CharField(max_length=200, help_text="As the report has it.")
    upstream_model = models.CharField(max_length=200, blank=True, help_text="The model, as its deployments call it.")
    credential = models.ForeignKey(
        "catalog.Credential", on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )

    class Meta:
        ordering = ["provider", "name", "pk"]
        verbose_name = "name at a provider"
        verbose_name_plural = "names at providers"
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "name"], condition=Q(credential=None), name="provider_name_of_one_model"
            ),
            models.UniqueConstraint(
                fields=["provider", "name", "credential"],
                condition=Q(credential__isnull=False),
                name="provider_name_of_a_credential",
            ),
            models.CheckConstraint(
                condition=(Q(credential=None) & ~Q(upstream_model="")) | Q(credential__isnull=False, upstream_model=""),
                name="provider_name_of_either",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if bool(self.upstream_model) == (self.credential_id is not None):
            raise ValidationError({"upstream_model": "Say either which model it is, or whose credential."})
        if self.credential is not None and self.credential.provider_id != self.provider_id:
            raise ValidationError({"credential": "This is another provider's credential."})
        if not self.name.isprintable() or self.name != self.name.strip():
            raise ValidationError({"name": "A name is printable, without spaces around it."})


class Report(models.Model):
    """What a provider says of some days of UTC, both ends included. `checksum` is of its lines, however it was
    written. `by_model`, `by_account`: what it tells apart. `version` counts comparisons."""

    class State(models.TextChoices):
        FETCHING = "fetching", "Being fetched"
        COMPARING = "comparing", "Being compared"
        READY = "ready", "Compared"
        FAILED = "failed", "Failed"

    provider = models.ForeignKey("catalog.Provider", on_delete=models.CASCADE, related_name="+")
    shape = models.CharField(max_length=20, choices=Shape)
    state = models.CharField(max_length=12, choices=State)
    is_fetched = models.BooleanField("fetched")
    file_name = models.CharField(max_length=200, blank=True)
    checksum = models.CharField(max_length=64, blank=True)
    first_day = models.DateField()
    last_day = models.DateField()
    has_tokens = models.BooleanField(default=False)
    has_cost = models.BooleanField(default=False)
    by_model = models.BooleanField(default=False)
    by_account = models.BooleanField(default=False)
    left_out = models.JSONField(default=list, blank=True)  # of `shapes.lines.Left`
    failure = models.CharField(max_length=300, blank=True)
    pages_read = models.PositiveIntegerField(default=0)
    days_compared = models.PositiveIntegerField(default=0)
    version = models.PositiveIntegerField(default=0)
    compared_at = models.DateTimeField(null=True, blank=True)
    claimed_at = models.DateTimeField(null=True, blank=True)
    is_withdrawn = models.BooleanField("withdrawn", default=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, db_index=False, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "provider's report"
        verbose_name_plural = "providers' reports"
        constraints = [
            models.UniqueConstraint(
                fields=["provider", "shape", "checksum"],
                condition=~Q(checksum="") & Q(is_withdrawn=False),
                name="report_once",
            ),
        ]
        indexes = [
            models.Index(fields=["id"], condition=Q(state__in=("fetching", "comparing")), name="report_at_work"),
        ]

    def __str__(self) -> str:
        return f"{self.provider}, {self.first_day:%Y-%m-%d} to {self.last_day:%Y-%m-%d}"

    @property
    def is_at_work(self) -> bool:
        return self.state in (self.State.FETCHING, self.State.COMPARING)

    @property
    def days(self) -> int:
        return (self.last_day - self.first_day).days + 1


def _told() -> models.BigIntegerField:
    return models.BigIntegerField(null=True)


class ReportLine(models.Model):
    """See `shapes.lines.Line`. Money in nano-USD; null: not told."""

    report = models.ForeignKey(Report, on_delete=models.CASCADE, db_index=False, related_name="lines")
    day = models.DateField()
    model = models.CharField(max_length=200, blank=True)
    account = models.CharField(max_length=200, blank=True)
    in_fresh = _told()
    in_cache_read = _told()
    in_cache_write_5m = _told()
    in_cache_write_1h = _told()
    out_total = _told()
    requests = _told()
    cost_nano = _told()

    class Meta:
        ordering = ["id"]
        default_permissions = ()
        indexes = [models.Index(fields=["report", "day"], name="report_line_by_day")]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d} {self.model}"


class Status(models.TextChoices):
    EQUAL = "equal", "Equal"
    CLOSE = "close", "Within tolerance"
    MORE_HERE = "more_here", "Weir has more"
    MORE_THERE = "more_there", "Provider has more"
    NOT_HERE = "not_here", "Unknown to Weir"
    NOT_THERE = "not_there", "Unknown to the provider"
    RUNNING = "running", "Not over yet"
    SEALED = "sealed", "Sealed"


class Difference(models.Model):
    """What report and ledger say of one day, model and credential, made anew by each comparison. Reported: null, the
    report does not tell. Tokens are of all kinds together; `kinds` has both by kind. Money in nano-USD. `credential`
    may be several, with commas between them. `doubt_nano`: between the least and the most that Weir's calls cost."""

    report = models.ForeignKey(Report, on_delete=models.CASCADE, related_name="differences")
    day = models.DateField()
    model = models.CharField(max_length=200, blank=True)
    credential = models.CharField(max_length=400, blank=True)
    status = models.CharField(max_length=12, choices=Status)
    reported_nano = _told()
    counted_nano = models.BigIntegerField(default=0)
    difference_nano = _told()
    reported_tokens = _told()
    counted_tokens = models.BigIntegerField(default=0)
    kinds = models.JSONField(default=dict)
    requests = _told()
    calls = models.BigIntegerField(default=0)
    unconfirmed = models.BigIntegerField(default=0)
    estimated = models.BigIntegerField(default=0)
    doubt_nano = models.BigIntegerField(default=0)

    class Meta:
        ordering = ["report", "day", "model", "credential"]
        default_permissions = ("view",)
        indexes = [models.Index(fields=["report", "day", "model", "id"], name="difference_in_order")]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d} {self.model}"

    @property
    def difference_tokens(self) -> int | None:
        """What the provider tells beyond Weir's; None: its report tells no tokens. What such a one does not name used
        none."""
        return (self.reported_tokens or 0) - self.counted_tokens if self.report.has_tokens else None


class Adjustment(models.Model):
    """Differences of one comparison that were posted to the ledger, once. `project` has what nobody here used."""

    class State(models.TextChoices):
        WAITING = "waiting", "Being posted"
        POSTED = "posted", "Posted"
        UNDOING = "undoing", "Being taken back"
        UNDONE = "undone", "Taken back"

    report = models.ForeignKey(Report, on_delete=models.PROTECT, related_name="adjustments")
    version = models.PositiveIntegerField(help_text="Of the comparison.")
    state = models.CharField(max_length=12, choices=State, default=State.WAITING)
    project = models.ForeignKey("tenants.Project", on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    note = models.CharField(max_length=200, blank=True)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, db_index=False, related_name="+"
    )
    created_at = models.DateTimeField(default=timezone.now)
    done_at = models.DateTimeField(null=True, blank=True)
    claimed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["report", "version"], name="adjustment_once_a_comparison")]
        indexes = [
            models.Index(fields=["id"], condition=Q(state__in=("waiting", "undoing")), name="adjustment_at_work"),
        ]

    def __str__(self) -> str:
        return f"adjustment {self.pk} of {self.report}"


class AdjustedDay(models.Model):
    """One difference of an adjustment: what was to be added, and what the ledger had when that was decided. Where it
    has something else by then, nothing is added."""

    class State(models.TextChoices):
        WAITING = "waiting", "Waiting"
        POSTED = "posted", "Posted"
        CHANGED = "changed", "Changed since, not posted"
        UNDONE = "undone", "Taken back"

    adjustment = models.ForeignKey(Adjustment, on_delete=models.CASCADE, related_name="items")
    day = models.DateField()
    model = models.CharField(max_length=200, blank=True)
    credential = models.CharField(max_length=400, blank=True)
    state = models.CharField(max_length=12, choices=State, default=State.WAITING)
    amount_nano = models.BigIntegerField()
    counted_nano = models.BigIntegerField()
    rows = models.PositiveIntegerField(default=0)

    class Meta:
        ordering = ["id"]
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d} {self.model}"
