"""One question to a provider and what came of it."""

from __future__ import annotations

from django.db import models

SLOT_SECONDS = 1800


class CheckKind(models.TextChoices):
    """What a provider is asked to see whether it is up."""

    MODELS = "models", "Its list of models"
    CALL = "call", "A call of one token"
    TCP = "tcp", "A connection"


class HealthCheck(models.Model):
    """`at` is when it began, `slot` the half hour since 1970 that holds it. `status` 0: no answer, or none was wanted.
    `cost_nano`: of a call; null: it has no price, or it was none. No message holds a secret or a provider's words."""

    # No constraint: what is kept of a deleted provider is forgotten by the chore, not row by row on the page that asks
    # whether to delete it.
    provider = models.ForeignKey(
        "catalog.Provider", on_delete=models.DO_NOTHING, related_name="checks", db_constraint=False
    )
    at = models.DateTimeField()
    slot = models.PositiveIntegerField()
    kind = models.CharField(max_length=6, choices=CheckKind)
    ok = models.BooleanField()
    milliseconds = models.PositiveIntegerField()
    status = models.PositiveSmallIntegerField()
    message = models.CharField(max_length=120, blank=True)
    tokens = models.PositiveIntegerField(default=0, db_default=0)
    cost_nano = models.PositiveBigIntegerField(null=True)

    class Meta:
        default_permissions = ()
        ordering = ["-pk"]
        indexes = [models.Index(fields=["provider", "slot"], name="health_check_by_slot")]

    def __str__(self) -> str:
        return f"{self.provider} at {self.at:%Y-%m-%d %H:%M:%S}"
