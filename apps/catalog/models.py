from __future__ import annotations

import contextlib
import datetime
import ipaddress
import uuid

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from apps.catalog import addresses, validators
from apps.catalog.deployment import SECONDS, weight_field
from apps.catalog.deployment import Deployment as Deployment
from apps.catalog.deployment import Protocol as Protocol
from apps.catalog.fallback import Fallback as Fallback
from apps.catalog.health_check import CheckKind as CheckKind
from apps.catalog.health_check import HealthCheck as HealthCheck
from apps.catalog.keyrings.ring import Keyring, KeyringRefused, KeyringUnavailable
from apps.catalog.pinned import PinnedEndpoint as PinnedEndpoint
from apps.domain.providers import registry
from apps.outbound import guard
from apps.tenants.models import Tenant

LEAST_CALL_INTERVAL = 60  # seconds
OVERDUE_GRACE = datetime.timedelta(minutes=2)


def vendor_choices() -> list[tuple[str, str]]:
    return [(slug, vendor.label) for slug, vendor in registry.VENDORS.items()]


class OnDisconnect(models.TextChoices):
    """What becomes of an upstream call whose client has left."""

    CANCEL = "cancel", "Cancel the call"
    DRAIN = "drain", "Read it to the end"


class Strategy(models.TextChoices):
    """How a model's deployments are chosen among."""

    PRIORITY = "priority", "By priority, then by weight"
    WEIGHTED = "weighted", "By weight alone"
    CHEAPEST = "cheapest", "The cheapest for this call"
    FASTEST = "fastest", "The fastest of late"
    BALANCED = "balanced", "Balanced: speed, success and cost"


class Health(models.TextChoices):
    """How a provider fares, as the checks found it. Failing: not yet so often that it counts as down. Recovering: it
    answers again, not yet so long that it counts as up."""

    UNKNOWN = "unknown", "Not checked yet"
    UP = "healthy", "Up"
    FAILING = "failing", "Failing"
    RECOVERING = "recovering", "Recovering"
    DOWN = "unhealthy", "Down"


def _seconds(default: float) -> models.FloatField[float, float]:
    return models.FloatField(default=default, validators=SECONDS)


class Provider(models.Model):
    """A vendor's service at one address. Durations are seconds. Health is written by the health check only.

    `options` are what the vendor must be told besides (`domain.providers.vendor`). `quirks` null: its vendor's.
    `check_model` empty: the cheapest deployed. `check_calls`, `check_cost_nano`: all that checks ever called and cost.
    """

    name = models.CharField(max_length=100, unique=True)
    vendor = models.CharField(max_length=32, choices=vendor_choices)
    protocol = models.CharField(max_length=32, choices=Protocol)
    base_url = models.CharField("base URL", max_length=300)
    is_enabled = models.BooleanField("enabled", default=True)
    on_disconnect = models.CharField(max_length=8, choices=OnDisconnect, default=OnDisconnect.CANCEL)
    connect_timeout = _seconds(5.0)
    first_byte_timeout = _seconds(120.0)
    idle_timeout = _seconds(60.0)
    total_timeout = _seconds(1800.0)
    tags = models.JSONField(default=list, blank=True, validators=[validators.validate_words])
    region = models.CharField(max_length=40, blank=True, default="", db_default="")
    options = models.JSONField(default=dict, blank=True, db_default={}, validators=[validators.validate_options])
    quirks = models.JSONField(null=True, blank=True, validators=[validators.validate_words])
    check_interval_seconds = models.PositiveIntegerField(
        default=60, validators=[MinValueValidator(5), MaxValueValidator(86_400)]
    )
    max_failures = models.PositiveIntegerField(default=3, validators=[MinValueValidator(1), MaxValueValidator(1_000)])
    recovery_seconds = models.PositiveIntegerField(default=30, db_default=30, validators=[MaxValueValidator(86_400)])
    check_kind = models.CharField(
        max_length=6, choices=CheckKind, default=CheckKind.MODELS, db_default=CheckKind.MODELS.value
    )
    check_model = models.CharField(max_length=200, blank=True, default="", db_default="")
    is_healthy = models.BooleanField("healthy", default=True, editable=False)
    last_checked_at = models.DateTimeField(null=True, editable=False)
    last_check_ms = models.PositiveIntegerField(null=True, editable=False)
    last_check_message = models.CharField(max_length=300, blank=True, editable=False)
    consecutive_failures = models.PositiveIntegerField(default=0, editable=False)
    answering_since = models.DateTimeField(null=True, editable=False)
    check_calls = models.PositiveBigIntegerField(default=0, db_default=0, editable=False)
    check_cost_nano = models.PositiveBigIntegerField(default=0, db_default=0, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(
                    connect_timeout__gt=0, first_byte_timeout__gt=0, idle_timeout__gt=0, total_timeout__gt=0
                ),
                name="provider_timeouts_positive",
            ),
            models.CheckConstraint(
                condition=models.Q(max_failures__gte=1, check_interval_seconds__gte=1), name="provider_checks_positive"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        vendor = registry.VENDORS.get(self.vendor)
        if vendor is not None and self.protocol not in vendor.protocols:
            raise ValidationError({"protocol": f"{vendor.label} does not speak {self.get_protocol_display()}."})
        self._check_checks()
        if not self.base_url:  # its field tells
            return
        try:
            self.base_url = addresses.normalized(self.base_url)
            if not Provider.objects.filter(pk=self.pk, base_url=self.base_url, vendor=self.vendor).exists():
                self._check_address()
        except ValueError as error:
            raise ValidationError({"base_url": str(error)}) from None

    def _check_checks(self) -> None:
        """What costs something is asked for once a minute at most, of a model that is deployed here."""
        if self.check_kind != CheckKind.CALL:
            return
        if self.check_interval_seconds is not None and self.check_interval_seconds < LEAST_CALL_INTERVAL:
            told = f"Calls cost something: let at least {LEAST_CALL_INTERVAL} seconds lie between them."
            raise ValidationError({"check_interval_seconds": told})
        if self.check_model and not (
            self.pk is not None and self.deployments.filter(upstream_model=self.check_model).exists()
        ):
            raise ValidationError({"check_model": f"“{self.check_model}” is not deployed here."})

    def _check_address(self) -> None:
        """A provider that has its address already can be edited after the network was closed to it again.

        The simulated provider is found wherever this installation runs it; calling it needs an opened network too.
        """
        if self.vendor != "simulated":
            guard.check_url(self.base_url, AllowedNetwork.objects.cidrs())

    @property
    def health(self) -> Health:
        """`last_check_ms` is null until the first check has ended; `last_checked_at` is written when it begins."""
        if not self.is_healthy:
            return Health.DOWN if self.answering_since is None else Health.RECOVERING
        if self.last_check_ms is None:
            return Health.UNKNOWN
        return Health.FAILING if self.consecutive_failures else Health.UP

    def is_overdue(self, now: datetime.datetime) -> bool:
        """No check for so long that the worker, or its schedule, must be away."""
        patience = datetime.timedelta(seconds=3 * self.check_interval_seconds) + OVERDUE_GRACE
        return self.is_enabled and (self.last_checked_at or self.created_at) + patience < now

    @property
    def host(self) -> str:
        """What a credential's plaintext is bound to."""
        return addresses.host(self.base_url)

    @property
    def origin(self) -> str:
        """What a credential's ciphertext is bound to: vendor, scheme, host and port."""
        return f"{self.vendor} {addresses.origin(self.base_url)}"


class Credential(models.Model):
    """A provider's key, sealed. `tenant`: whose own it is and who alone may use it; null: anybody's.

    `ciphertext` is empty until a secret is set, and again after the provider's host has changed.
    """

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="credentials")
    alias = models.CharField(max_length=60)
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, null=True, blank=True, related_name="credentials")
    weight = weight_field()
    is_enabled = models.BooleanField("enabled", default=True)
    ciphertext = models.TextField(blank=True, editable=False)
    last_four = models.CharField(max_length=4, blank=True, editable=False)
    fingerprint = models.CharField(max_length=16, blank=True, editable=False)
    host = models.CharField(max_length=255, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    rotated_at = models.DateTimeField(null=True, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["provider", "alias"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "alias"], name="credential_alias_unique"),
            models.CheckConstraint(condition=models.Q(weight__gte=1), name="credential_weight_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.provider} · {self.alias}"


class Model(models.Model):
    """A name that callers ask for. `tenants` empty: every tenant may use it. `networks` null: callers may be
    anywhere."""

    name = models.CharField(max_length=120, unique=True, validators=[validators.validate_model_name])
    display_name = models.CharField(max_length=120, blank=True)
    aliases = models.JSONField(default=list, blank=True, validators=[validators.validate_model_names])
    is_enabled = models.BooleanField("enabled", default=True)
    max_output_tokens = models.PositiveIntegerField(default=8192, validators=[MinValueValidator(1)])
    context_tokens = models.PositiveIntegerField(default=200_000, validators=[MinValueValidator(1)])
    capabilities = models.JSONField(default=list, blank=True, validators=[validators.validate_words])
    tenants = models.ManyToManyField(Tenant, blank=True, related_name="models")
    networks = models.JSONField(null=True, blank=True, validators=[validators.validate_networks])
    strategy = models.CharField(
        max_length=8, choices=Strategy, default=Strategy.PRIORITY, db_default=Strategy.PRIORITY.value
    )
    is_sticky = models.BooleanField("sticky", default=True, db_default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(max_output_tokens__gte=1, context_tokens__gte=1), name="model_tokens_positive"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        """Names and aliases are one namespace across all models."""
        mine = [self.name, *self.aliases]
        if len(set(mine)) != len(mine):
            raise ValidationError({"aliases": "An alias repeats the model's name."})
        others = Model.objects.exclude(pk=self.pk).values_list("name", "aliases")
        taken = {name for other, aliases in others for name in (other, *aliases)}
        if self.name in taken:
            raise ValidationError({"name": f"“{self.name}” is another model's name or alias."})
        if clash := sorted(taken.intersection(self.aliases)):
            raise ValidationError({"aliases": f"“{clash[0]}” is another model's name or alias."})


PRICES = ("input", "output", "cache_read", "cache_write_5m", "cache_write_1h")


def _price() -> models.BigIntegerField[int, int]:
    return models.BigIntegerField(validators=[MinValueValidator(0)], help_text="nano-USD per million tokens")


class Price(models.Model):
    """Nano-USD per million tokens, from a moment on. Its id is the price version that ledger rows carry.

    Never edited: a correction is a new row. Of two that begin at one moment the later one, by id, is in force.
    """

    deployment = models.ForeignKey(Deployment, on_delete=models.PROTECT, related_name="prices")
    effective_from = models.DateTimeField()
    input = _price()
    output = _price()
    cache_read = _price()
    cache_write_5m = _price()
    cache_write_1h = _price()
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["deployment", "-effective_from", "-id"]
        indexes = [models.Index(fields=["deployment", "effective_from"], name="price_by_moment")]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(**{f"{price}__gte": 0 for price in PRICES}), name="price_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.deployment} from {self.effective_from:%Y-%m-%d %H:%M}"


class AllowedNetworkQuerySet(models.QuerySet["AllowedNetwork"]):
    def cidrs(self) -> tuple[str, ...]:
        """The opened ranges: these rows, and those that the installation's settings name."""
        return (*self.order_by("cidr").values_list("cidr", flat=True), *settings.WEIR_PRIVATE_NETWORKS)


class AllowedNetwork(models.Model):
    """A private range that providers' addresses may lie in."""

    cidr = models.CharField("CIDR", max_length=43, unique=True, validators=[validators.validate_private_cidr])
    note = models.CharField(max_length=200, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = AllowedNetworkQuerySet.as_manager()

    class Meta:
        ordering = ["cidr"]

    def __str__(self) -> str:
        return self.cidr

    def clean(self) -> None:
        """One spelling of each range, so that none is there twice."""
        with contextlib.suppress(ValueError):
            self.cidr = str(ipaddress.ip_network(self.cidr))


class Purpose(models.TextChoices):
    """What a data key is for."""

    CREDENTIALS = "credentials", "Credentials"
    API_KEYS = "api_keys", "API keys"
    API_TOKENS = "api_tokens", "API tokens"
    SIGN_IN = "sign_in", "Sign-in"
    ALERTS = "alerts", "Alerts"
    REPORTS = "reports", "Providers' reports"
    EVENTS = "events", "Events"

    @property
    def seals(self) -> bool:
        """Whether the key seals texts; else it is the pepper of digests."""
        return self in (Purpose.CREDENTIALS, Purpose.SIGN_IN, Purpose.ALERTS, Purpose.REPORTS, Purpose.EVENTS)


class DataKey(models.Model):
    """A key, sealed under a version of the keyring; `tenant` null: the platform's. The highest `version` seals.

    For credentials, and for what people sign in with, it is what they are sealed with: deleting the row shreds them.
    For API keys, and for tokens of the management API, it is the pepper of their digests.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, null=True, editable=False, related_name="+")
    purpose = models.CharField(
        max_length=16, choices=Purpose, default=Purpose.CREDENTIALS, db_default=Purpose.CREDENTIALS, editable=False
    )
    version = models.PositiveIntegerField(default=1, db_default=1, editable=False)
    kek_version = models.PositiveIntegerField(db_index=True, editable=False)
    wrapped = models.TextField(editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                fields=["tenant", "purpose", "version"],
                condition=models.Q(tenant__isnull=False),
                name="data_key_of_tenant_once",
            ),
            models.UniqueConstraint(
                fields=["purpose", "version"],
                condition=models.Q(tenant__isnull=True),
                name="data_key_of_platform_once",
            ),
        ]

    def __str__(self) -> str:
        what = "data key" if Purpose(self.purpose).seals else "pepper"
        return f"{what} {self.version} of {self.tenant or 'the platform'}"

    def seal(self, key: bytes, ring: Keyring) -> None:
        """Under the active version. Not saved. Raises KeyringRefused."""
        self.kek_version, self.wrapped = ring.wrap(key, context=self._context())

    def open(self, ring: Keyring) -> bytes:
        """Raises KeyringRefused."""
        try:
            return ring.unwrap(self.wrapped, version=self.kek_version, context=self._context())
        except KeyringUnavailable:
            raise
        except KeyringRefused:
            raise KeyringRefused(f"WEIR_KEYRING does not open {self} (version {self.kek_version}).") from None

    def _context(self) -> bytes:
        """A row's content opens in that row only."""
        what = "data key" if Purpose(self.purpose).seals else "pepper"
        return f"v1|{what}|{self.pk.hex}|{self.tenant_id or ''}".encode()


class Canary(models.Model):
    """A known text sealed under a version of the keyring: it tells a wrong keyring from a right one at start."""

    kek_version = models.PositiveIntegerField(primary_key=True)
    sealed = models.TextField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"canary {self.kek_version}"
