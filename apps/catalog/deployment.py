"""Where a model is served, and all that can be set about it."""

from __future__ import annotations

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone

from apps.catalog import validators
from apps.domain.providers import registry


class Protocol(models.TextChoices):
    """The wire formats that a provider may be spoken to in."""

    ANTHROPIC_MESSAGES = "anthropic_messages", "Anthropic Messages"
    OPENAI_CHAT = "openai_chat", "OpenAI Chat Completions"
    OPENAI_RESPONSES = "openai_responses", "OpenAI Responses"
    BEDROCK_INVOKE = "bedrock_invoke", "Bedrock InvokeModel"
    BEDROCK_CONVERSE = "bedrock_converse", "Bedrock Converse"
    OLLAMA_CHAT = "ollama_chat", "Ollama"


class Window(models.TextChoices):
    """What a circuit breaker's window holds."""

    TIME = "time", "Seconds"
    COUNT = "count", "Calls"


SECONDS = [MinValueValidator(0.01), MaxValueValidator(86_400), validators.validate_finite]


def _optional_seconds() -> models.FloatField[float | None, float | None]:
    return models.FloatField(null=True, blank=True, validators=SECONDS)


def _percent(default: int) -> models.PositiveSmallIntegerField[int, int]:
    return models.PositiveSmallIntegerField(
        default=default, db_default=default, validators=[MinValueValidator(1), MaxValueValidator(100)]
    )


def _count(default: int) -> models.PositiveIntegerField[int, int]:
    return models.PositiveIntegerField(
        default=default, db_default=default, validators=[MinValueValidator(1), MaxValueValidator(100_000)]
    )


def weight_field() -> models.PositiveIntegerField[int, int]:
    return models.PositiveIntegerField(default=1, validators=[MinValueValidator(1), MaxValueValidator(10_000)])


class Deployment(models.Model):
    """A model at a provider. Lower `priority` goes first; `weight` shares within a priority. `protocol` empty: the one
    that suits the caller and the model. `capabilities` and `context_tokens` null: its model's. Timeouts null: its
    provider's. Durations are seconds, rates percent; what the breaker's words mean is told by `snapshot.Breaker`.
    What was learned before `breaker_reset_at` is forgotten."""

    model = models.ForeignKey("catalog.Model", on_delete=models.CASCADE, related_name="deployments")
    provider = models.ForeignKey("catalog.Provider", on_delete=models.PROTECT, related_name="deployments")
    upstream_model = models.CharField(max_length=200)
    protocol = models.CharField(max_length=32, choices=Protocol, blank=True, default="", db_default="")
    priority = models.PositiveIntegerField(default=0)
    weight = weight_field()
    is_enabled = models.BooleanField("enabled", default=True)
    capabilities = models.JSONField(null=True, blank=True, validators=[validators.validate_words])
    defaults = models.JSONField(default=list, blank=True, db_default=[], validators=[validators.validate_words])
    context_tokens = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    max_concurrency = models.PositiveIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    queue_places = models.PositiveIntegerField(default=0, db_default=0, validators=[MaxValueValidator(10_000)])
    queue_seconds = models.FloatField(
        default=10.0,
        db_default=10.0,
        validators=[MinValueValidator(0.01), MaxValueValidator(600), validators.validate_finite],
    )
    connect_timeout = _optional_seconds()
    first_byte_timeout = _optional_seconds()
    idle_timeout = _optional_seconds()
    total_timeout = _optional_seconds()
    hedge_after = _optional_seconds()
    breaker_window = models.CharField(max_length=5, choices=Window, default=Window.TIME, db_default=Window.TIME.value)
    breaker_size = _count(30)
    breaker_minimum_calls = _count(20)
    breaker_failure_rate = _percent(50)
    breaker_slow_rate = _percent(100)
    breaker_slow_seconds = models.FloatField(default=30.0, db_default=30.0, validators=SECONDS)
    breaker_open_seconds = models.FloatField(default=60.0, db_default=60.0, validators=SECONDS)
    breaker_half_open_calls = _count(10)
    breaker_reset_at = models.DateTimeField(null=True, blank=True, editable=False)

    tier = 0  # in which it stands for a model: set by who asks (`selectors.stand_ins`)

    class Meta:
        ordering = ["model", "priority", "id"]
        constraints = [
            models.UniqueConstraint(fields=["model", "provider", "upstream_model"], name="deployment_unique"),
            models.CheckConstraint(condition=models.Q(weight__gte=1), name="deployment_weight_positive"),
        ]

    def __str__(self) -> str:
        return f"{self.model} at {self.provider}"

    def clean(self) -> None:
        vendor = registry.VENDORS.get(self.provider.vendor) if self.provider_id is not None else None
        if vendor is not None and self.protocol and self.protocol not in vendor.protocols:
            raise ValidationError({"protocol": f"{vendor.label} does not speak {self.get_protocol_display()}."})


class OpenBreaker(models.Model):
    """That a deployment's breaker has opened and is not closed again, as other systems have been told of it. `until`:
    when calls may be tried there again, as it was last seen."""

    deployment = models.OneToOneField(
        Deployment,
        on_delete=models.CASCADE,
        db_constraint=False,  # older processes delete deployments and know nothing of it
        related_name="open_breaker",
    )
    until = models.DateTimeField(null=True)
    since = models.DateTimeField(default=timezone.now)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.deployment} since {self.since:%Y-%m-%d %H:%M:%S}"
