from __future__ import annotations

import uuid

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.alerts.kinds import OPERATORS_ONLY, Kind, clean_settings
from apps.catalog.models import AllowedNetwork
from apps.catalog.vault import Place
from apps.outbound import guard
from apps.tenants.scope import TenantScoped

MOST_ADDRESSES = 20
UNSHOWN = "/…"  # what stands for the rest of a URL
SEALED = "https://sealed.invalid/"  # for releases before 0.2, which look here: no host is called so (RFC 6761)


class Destination(models.Model):
    """Where notices go. `tenant` null: an operators' one. `target`: e-mail addresses with commas between them, or
    `SEALED`: then it is a URL, in `sealed_target`, of which `masked_target` is shown. A webhook's secret is sealed,
    too; while it is rotated the one before signs beside it, until `before_until`."""

    class Kind(models.TextChoices):
        EMAIL = "email", "E-mail"
        WEBHOOK = "webhook", "Webhook, signed"
        SLACK = "slack", "Slack-shaped webhook"

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=8, choices=Kind, default=Kind.EMAIL)
    target = models.CharField(max_length=1000)
    masked_target = models.CharField(max_length=300, blank=True, default="", db_default="", editable=False)
    sealed_target = models.TextField(blank=True, default="", db_default="", editable=False)
    sealed = models.TextField(blank=True, editable=False)
    sealed_before = models.TextField(blank=True, editable=False)
    before_until = models.DateTimeField(null=True, editable=False)
    is_enabled = models.BooleanField("enabled", default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantScoped.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="destination_of_tenant_named"),
            models.UniqueConstraint(fields=["name"], condition=Q(tenant=None), name="destination_of_operators_named"),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def place(self) -> Place:
        """Of its secret: it signs for this row only."""
        return self._place("sealed")

    @property
    def place_of_url(self) -> Place:
        return self._place("sealed_target")

    def _place(self, column: str) -> Place:
        return Place("alerts_destination", column, row=self.pk, tenant_id=self.tenant_id, binding=self.kind)

    @property
    def networks(self) -> tuple[str, ...]:
        """What operators have opened for providers is not for tenants to knock at."""
        return () if self.tenant_id is not None else AllowedNetwork.objects.cidrs()

    @property
    def is_secret(self) -> bool:
        """Whoever has the URL can write there: it goes in and never comes out again."""
        return self.kind != self.Kind.EMAIL

    @property
    def unrecorded(self) -> frozenset[str]:
        """What the audit log must not hold."""
        return frozenset({"target"}) if self.is_secret else frozenset()

    @property
    def is_plain(self) -> bool:
        """A URL is here as it was given: on its way to be sealed, or by a release before 0.2."""
        return self.is_secret and self.target != SEALED

    @property
    def shown(self) -> str:
        """Where it goes, without what lets others write there."""
        if not self.is_secret:
            return self.target
        if not self.is_plain:
            return self.masked_target
        try:
            target = guard.parse(self.target)
        except guard.AddressRefused:  # it was not, once
            return UNSHOWN
        return f"{target.scheme}://{target.host}{UNSHOWN}"

    def take_url(self) -> str:
        """The URL, for who seals it; here stays what is shown of it. Raises ValidationError."""
        self.clean_fields(exclude={field.name for field in self._meta.concrete_fields} - {"target"})
        self._clean_url()
        return self.hide_url()

    def hide_url(self) -> str:
        """As `take_url`, whatever is here."""
        given, self.masked_target = self.target, self.shown
        self.target = SEALED
        return given

    @property
    def addresses(self) -> list[str]:
        return [word.strip() for word in self.target.split(",") if word.strip()]

    def clean(self) -> None:
        if self.kind == self.Kind.EMAIL:
            self._clean_addresses()
        elif self.is_plain:
            self._clean_url()

    def _clean_url(self) -> None:
        if not self.is_plain or self.target.endswith(UNSHOWN):
            raise ValidationError({"target": "This is how it is shown. Give all of it, or leave it as it is."})
        try:
            guard.check_url(self.target, self.networks)
        except guard.AddressRefused as error:
            raise ValidationError({"target": str(error)}) from None

    def _clean_addresses(self) -> None:
        if not 0 < len(self.addresses) <= MOST_ADDRESSES:
            raise ValidationError({"target": f"Give one to {MOST_ADDRESSES} e-mail addresses."})
        for address in self.addresses:
            try:
                validate_email(address)
            except ValidationError:
                raise ValidationError({"target": f"“{address[:100]}” is no e-mail address."}) from None


class AlertRule(models.Model):
    """What somebody wants to be told of. `tenant` null: installation-wide, for operators. `project`, `key`, `budget`
    narrow it. `settings` depend on the kind: see `kinds`."""

    tenant = models.ForeignKey("tenants.Tenant", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    name = models.CharField(max_length=100)
    kind = models.CharField(max_length=12, choices=Kind)
    settings = models.JSONField(default=dict, blank=True)
    project = models.ForeignKey("tenants.Project", on_delete=models.CASCADE, null=True, blank=True, related_name="+")
    destinations = models.ManyToManyField(Destination, blank=True, related_name="rules")
    is_enabled = models.BooleanField("enabled", default=True)
    evaluated_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantScoped.as_manager()

    class Meta:
        ordering = ["name", "pk"]
        constraints = [models.CheckConstraint(condition=Q(kind__in=Kind.values), name="alert_kind_known")]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        try:
            self.settings = clean_settings(self.kind, self.settings or {})
        except ValidationError as error:
            raise ValidationError({"settings": error.messages}) from None
        if self.tenant_id is not None and self.kind in OPERATORS_ONLY:
            raise ValidationError({"kind": "Providers are everybody's: only operators are told of them."})
        if self.project is not None and self.project.tenant_id != self.tenant_id:
            raise ValidationError({"project": "The project belongs to another tenant."})


class Alert(models.Model):
    """Something is, or was, as a rule says. One is open at a time for a rule, a subject and a period.

    `level` is the highest that it has reached, as a budget's percentage. `quiet_since`: from when on it was not so any
    more; it counts as over when that has lasted.
    """

    class State(models.TextChoices):
        RAISED = "raised", "Raised"
        RESOLVED = "resolved", "Over"

    rule = models.ForeignKey(AlertRule, on_delete=models.CASCADE, related_name="alerts")
    tenant_id = models.BigIntegerField(null=True, db_index=True)  # whose it is about, also for operators' rules
    subject = models.CharField(max_length=100)
    period = models.CharField(max_length=60, blank=True)
    level = models.PositiveIntegerField(default=0)
    title = models.CharField(max_length=200)
    text = models.TextField()
    state = models.CharField(max_length=8, choices=State, default=State.RAISED)
    raised_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    quiet_since = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        default_permissions = ("view",)
        constraints = [
            models.UniqueConstraint(
                fields=["rule", "subject", "period"], condition=Q(state="raised"), name="alert_open_once"
            )
        ]
        indexes = [models.Index(fields=["rule", "-id"], name="alert_by_rule")]

    def __str__(self) -> str:
        return self.title


class Delivery(models.Model):
    """One notice for one destination, or for one person's address. `id` is what receivers know it by, at every try.

    `reason` makes it once: what happened and to whom it is told.
    """

    class State(models.TextChoices):
        PENDING = "pending", "On its way"
        SENT = "sent", "Sent"
        GIVEN_UP = "given_up", "Given up"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    reason = models.CharField(max_length=200, unique=True, editable=False)
    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, null=True, related_name="deliveries")
    destination = models.ForeignKey(Destination, on_delete=models.CASCADE, null=True, related_name="deliveries")
    address = models.CharField(max_length=254, blank=True)
    event = models.CharField(max_length=32)
    body = models.JSONField()
    state = models.CharField(max_length=8, choices=State, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(null=True, default=timezone.now)
    outcome = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    sent_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]
        default_permissions = ("view",)
        verbose_name_plural = "deliveries"
        indexes = [
            models.Index(fields=["next_at"], condition=Q(state="pending"), name="delivery_due"),
            models.Index(fields=["destination", "-created_at"], name="delivery_by_destination"),
        ]

    def __str__(self) -> str:
        return f"{self.event} to {self.destination or self.address}"
