from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MinValueValidator
from django.db import models, transaction
from django.db.models import F, Min, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Now
from django.utils import timezone as clock

from apps.tenants.models import validate_timezone

MOST_NANO = 9 * 10**18  # of nano-USD, in a column of 64 bits
NARROW = ("project", "user", "key", "model", "endpoint")
NARROWED = ("user", "model")  # by a tenant, if one is named


def _only(subject: str) -> Q:
    """True of rows whose subject is that one; a user or a model may be narrowed to a tenant."""
    others = {f"{name}__isnull": True for name in NARROW if name != subject}
    if subject == "tenant":
        return Q(tenant__isnull=False, **others)
    if subject in NARROWED:
        return Q(**{f"{subject}__isnull": False}, **others)
    return Q(**{f"{subject}__isnull": False}, tenant__isnull=True, **others)


ONE_SUBJECT = _only("tenant") | _only("project") | _only("user") | _only("key") | _only("model") | _only("endpoint")


class Rule(models.Model):
    """Restrains one subject: a tenant, project, user, key, model or pinned endpoint. With a user or a model, `tenant`
    narrows it."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    project = models.ForeignKey("tenants.Project", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    key = models.ForeignKey("keys.Key", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    model = models.ForeignKey("catalog.Model", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    endpoint = models.ForeignKey(
        "catalog.PinnedEndpoint", on_delete=models.CASCADE, null=True, blank=True, related_name="+"
    )
    is_enabled = models.BooleanField("enabled", default=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        abstract = True
        ordering = ["-id"]
        constraints = [models.CheckConstraint(condition=ONE_SUBJECT, name="%(class)s_one_subject")]

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} of {self.scope} {self.subject}"

    @property
    def scope(self) -> str:
        return next((name for name in NARROW if getattr(self, f"{name}_id") is not None), "tenant")

    @property
    def subject(self) -> Any:
        return getattr(self, self.scope)

    def clean(self) -> None:
        narrow = [name for name in NARROW if getattr(self, f"{name}_id") is not None]
        if len(narrow) > 1 or (not narrow and self.tenant_id is None):
            raise ValidationError("Choose exactly one of tenant, project, user, key, model or endpoint.")
        if self.tenant_id is not None and narrow and narrow[0] not in NARROWED:
            raise ValidationError({"tenant": "Only a user or a model can be narrowed to a tenant."})


def _per_minute(label: str) -> models.BigIntegerField:
    return models.BigIntegerField(label, null=True, blank=True, validators=[MinValueValidator(1)])


class Limit(Rule):
    """A minute's allowance and the calls at one time; empty: not limited."""

    requests_per_minute = _per_minute("requests a minute")
    tokens_per_minute = _per_minute("tokens a minute")
    concurrency = models.PositiveIntegerField(
        "concurrent requests", null=True, blank=True, validators=[MinValueValidator(1)]
    )

    class Meta(Rule.Meta):
        constraints = [
            *Rule.Meta.constraints,
            models.CheckConstraint(
                condition=Q(requests_per_minute__isnull=False)
                | Q(tokens_per_minute__isnull=False)
                | Q(concurrency__isnull=False),
                name="limit_limits_something",
            ),
            models.CheckConstraint(
                condition=(Q(requests_per_minute__isnull=True) | Q(requests_per_minute__gte=1))
                & (Q(tokens_per_minute__isnull=True) | Q(tokens_per_minute__gte=1))
                & (Q(concurrency__isnull=True) | Q(concurrency__gte=1)),
                name="limit_positive",
            ),
        ]

    def clean(self) -> None:
        super().clean()
        if self.requests_per_minute is None and self.tokens_per_minute is None and self.concurrency is None:
            raise ValidationError("Limit requests, tokens or concurrency.")


class Period(models.TextChoices):
    DAY = "day", "Daily"
    WEEK = "week", "Weekly"
    MONTH = "month", "Monthly"
    FIXED = "fixed", "Fixed period"


class BudgetQuerySet(models.QuerySet["Budget"]):
    def raised_at(self, moment: datetime) -> Self:
        """Each with what increases add to it at that moment, `raised`, and when the first of them ends, `raised_until`;
        null: there is none. No query more."""
        rows = Increase.objects.filter(budget=OuterRef("pk"), state=Increase.State.APPROVED, until__gt=moment)
        mine = rows.order_by().values("budget")
        return self.annotate(
            raised=Subquery(mine.annotate(total=Sum("amount")).values("total")),
            raised_until=Subquery(mine.annotate(first=Min("until")).values("first")),
        )


class Budget(Rule):
    """Nano-USD a period. `timezone` empty: the tenant's, where there is one, else UTC.

    `overdraft`: how far calls in flight may take a period past `amount` in the worst case. A fixed period is one only,
    from the beginning of `starts_on` to the end of `ends_on`; before and after it there is no money.
    """

    amount = models.BigIntegerField(validators=[MinValueValidator(0)], help_text="nano-USD")
    overdraft = models.BigIntegerField(default=0, db_default=0, validators=[MinValueValidator(0)], help_text="nano-USD")
    period = models.CharField(max_length=8, choices=Period, default=Period.MONTH)
    starts_on = models.DateField("first day", null=True, blank=True)
    ends_on = models.DateField("last day", null=True, blank=True)
    timezone = models.CharField("time zone", max_length=64, blank=True, validators=[validate_timezone])

    objects = BudgetQuerySet.as_manager()

    class Meta(Rule.Meta):
        constraints = [
            *Rule.Meta.constraints,
            models.CheckConstraint(condition=Q(amount__gte=0), name="budget_amount_not_negative"),
            models.CheckConstraint(condition=Q(overdraft__gte=0), name="budget_overdraft_not_negative"),
            models.CheckConstraint(condition=Q(period__in=Period.values), name="budget_period_known"),
            models.CheckConstraint(
                condition=(~Q(period=Period.FIXED) & Q(starts_on__isnull=True, ends_on__isnull=True))
                | Q(period=Period.FIXED, starts_on__isnull=False, ends_on__isnull=False, ends_on__gte=F("starts_on")),
                name="budget_fixed_has_days",
            ),
        ]

    @property
    def in_force(self) -> int:
        """The amount with what increases add, of a row that was asked for it (`raised_at`)."""
        return min(self.amount + (getattr(self, "raised", None) or 0), MOST_NANO - self.overdraft)

    def clean(self) -> None:
        super().clean()
        self._clean_days()
        if (self.amount or 0) + (self.overdraft or 0) > MOST_NANO:
            raise ValidationError({"overdraft": "With its overdraft a budget is more than can be counted."})
        stored = Budget.objects.filter(pk=self.pk).first()
        if stored is None:
            return
        if stored.period != self.period:
            raise ValidationError({"period": "Spending was counted by this period: make another budget."})
        if any(getattr(stored, f"{name}_id") != getattr(self, f"{name}_id") for name in ("tenant", *NARROW)):
            raise ValidationError("Spending was counted for this subject: make another budget.")

    def delete(self, *args: Any, **options: Any) -> tuple[int, dict[str, int]]:
        """Its windows are locked first: their leases go before them, and whoever changes a lease holds its window."""
        with transaction.atomic():
            list(self.windows.select_for_update().order_by("pk"))
            return super().delete(*args, **options)

    def _clean_days(self) -> None:
        if self.period != Period.FIXED:
            if self.starts_on is not None or self.ends_on is not None:
                raise ValidationError({"period": "Only a fixed period has a first and a last day."})
        elif self.starts_on is None or self.ends_on is None:
            raise ValidationError({"starts_on": "A fixed period needs a first and a last day."})
        elif self.ends_on < self.starts_on:
            raise ValidationError({"ends_on": "The last day is before the first."})


class Increase(models.Model):
    """More for a budget until a moment, as somebody has asked for and another has decided.

    While it is approved and not over, `amount` (nano-USD) is added to the budget's; then that is in force again.
    """

    class State(models.TextChoices):
        REQUESTED = "requested", "Requested"
        APPROVED = "approved", "Approved"
        DECLINED = "declined", "Declined"
        WITHDRAWN = "withdrawn", "Withdrawn"
        EXPIRED = "expired", "Over"

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="increases")
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    amount = models.BigIntegerField(validators=[MinValueValidator(1)], help_text="nano-USD")
    reason = models.TextField(max_length=1000)
    until = models.DateTimeField()
    state = models.CharField(max_length=10, choices=State, default=State.REQUESTED)
    decided_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)
    note = models.TextField(max_length=1000, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-id"]
        default_permissions = ("view", "change")
        constraints = [
            models.CheckConstraint(condition=Q(amount__gt=0, amount__lte=MOST_NANO), name="increase_of_something"),
            models.UniqueConstraint(
                fields=["budget", "requested_by"],
                condition=Q(state="requested"),
                name="increase_asked_once",
                violation_error_message="You have asked for more already, and nobody has decided yet.",
            ),
        ]
        indexes = [
            models.Index(fields=["budget"], condition=Q(state="approved"), name="increase_in_force"),
            models.Index(fields=["until"], condition=Q(state__in=["requested", "approved"]), name="increase_to_end"),
        ]

    def __str__(self) -> str:
        return f"increase of the {self.budget}"

    def clean(self) -> None:
        if self.until is not None:
            self.until = self.until.replace(microsecond=0)  # gateways count whole seconds


class BudgetWindow(models.Model):
    """One period of one budget; a new row each period, never reset.

    `settled` is spent for sure or charged at its upper bound; `held` and `credit` are what processes hold on leases of
    the amount and of the overdraft. `overrun` is what was booked beyond any lease, as the provider has billed it;
    `ceiling` the greatest amount and overdraft together that were in force. Always
    settled + held + credit <= ceiling + overrun. `marks`: percentages that it has passed, with spaces between them.
    """

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, related_name="windows")
    starts = models.DateTimeField()
    ends = models.DateTimeField()
    limit = models.BigIntegerField()
    settled = models.BigIntegerField(default=0)
    held = models.BigIntegerField(default=0)
    credit = models.BigIntegerField(default=0, db_default=0)
    overrun = models.BigIntegerField(default=0, db_default=0)
    ceiling = models.BigIntegerField(default=0, db_default=0)
    wanted_at = models.DateTimeField(null=True)  # when a replica was last refused what others hold
    marks = models.TextField(default="", db_default="", editable=False)

    class Meta:
        ordering = ["-starts"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["budget", "starts"], name="window_unique"),
            models.CheckConstraint(condition=Q(settled__gte=0), name="window_settled_not_negative"),
            models.CheckConstraint(condition=Q(held__gte=0), name="window_held_not_negative"),
            models.CheckConstraint(condition=Q(credit__gte=0), name="window_credit_not_negative"),
            models.CheckConstraint(condition=Q(overrun__gte=0), name="window_overrun_not_negative"),
            models.CheckConstraint(condition=Q(ends__gt=F("starts")), name="window_ends_after_start"),
        ]
        indexes = [models.Index(fields=["ends"], name="window_by_end")]

    def __str__(self) -> str:
        return f"{self.budget} from {self.starts:%Y-%m-%d}"


class Replica(models.Model):
    """One run of a gateway process. A raised `epoch` fences it: it was taken for dead and gets no more leases.

    Times are the database's.
    """

    name = models.CharField(max_length=120, unique=True)
    epoch = models.PositiveIntegerField(default=1)
    heartbeat = models.DateTimeField()
    fenced_at = models.DateTimeField(null=True)
    standing = models.TextField(default="", db_default="", editable=False)  # of its deployments: see `standings.told`
    about = models.TextField(default="", db_default="", editable=False)  # what it is: see `runtime.gateways`

    class Meta:
        ordering = ["name"]
        default_permissions = ("view",)

    def __str__(self) -> str:
        return self.name


class Lease(models.Model):
    """What a replica may spend of a window without asking again: `granted - settled` is outstanding. `credit`, of the
    overdraft, is for what calls cost more than expected; as it is spent it becomes granted."""

    window = models.ForeignKey(BudgetWindow, on_delete=models.CASCADE, related_name="leases")
    replica = models.ForeignKey(Replica, on_delete=models.CASCADE, related_name="leases")
    epoch = models.PositiveIntegerField()
    granted = models.BigIntegerField(default=0)
    settled = models.BigIntegerField(default=0)
    credit = models.BigIntegerField(default=0, db_default=0)
    is_open = models.BooleanField("open", default=True)

    class Meta:
        ordering = ["-id"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(fields=["window", "replica", "epoch"], name="lease_unique"),
            models.CheckConstraint(condition=Q(granted__gte=F("settled")), name="lease_covers_what_it_settled"),
            models.CheckConstraint(condition=Q(credit__gte=0), name="lease_credit_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.replica} of {self.window}"


class Gap(models.Model):
    """What a lease had left when it was written off with its process's disk: more may have been spent than is recorded,
    but no more than the open gaps. Nobody is charged for it. Closed when the journal turns up after all.

    `replica` and `lease` are the name and the id of rows that are gone.
    """

    replica = models.CharField(max_length=120)
    lease = models.BigIntegerField()
    window = models.ForeignKey(BudgetWindow, on_delete=models.CASCADE, related_name="gaps")
    amount = models.BigIntegerField()
    noticed_at = models.DateTimeField(db_default=Now())
    closed_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        default_permissions = ("view",)
        constraints = [models.CheckConstraint(condition=Q(amount__gt=0), name="gap_of_something")]
        indexes = [models.Index(fields=["replica"], name="gap_replica", condition=Q(closed_at__isnull=True))]

    def __str__(self) -> str:
        return f"{self.replica} of {self.window}"
