"""Calls that were refused before anybody was asked, and so are in no ledger row: see `refusals`."""

from __future__ import annotations

from django.conf import settings
from django.db import models

from apps.domain.refusals import REASONS
from apps.usage.columns import amount, names

_REASONS = {word: reason.label for word, reason in REASONS.items()}


class Refusal(models.Model):
    """How often in one hour, of all processes together. The id is made of all that is told apart. Without a tenant:
    callers that nobody knows."""

    id = models.UUIDField(primary_key=True, editable=False)
    hour = models.DateTimeField()
    tenant = names("tenants.Tenant", null=True)
    project = names("tenants.Project", null=True)
    user = names(settings.AUTH_USER_MODEL, null=True)
    key = names("keys.Key", null=True)
    model_name = models.CharField("model", max_length=200, blank=True)
    reason = models.CharField(max_length=20, choices=_REASONS)
    status = models.PositiveSmallIntegerField("HTTP status")
    count = amount()
    first_at = models.DateTimeField("first")
    last_at = models.DateTimeField("last")

    class Meta:
        ordering = ["-hour", "id"]
        verbose_name = "refusals of an hour"
        verbose_name_plural = "refused calls"
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["tenant", "hour"], name="refusal_by_tenant"),
            models.Index(fields=["key", "hour"], name="refusal_by_key"),
            models.Index(fields=["hour"], name="refusal_by_hour"),
        ]

    def __str__(self) -> str:
        return f"{self.hour:%Y-%m-%d %H:00} {self.get_reason_display()}"


class RefusedCall(models.Model):
    """One of the newest of its caller: the id is made of the caller and one of a few places, so that there are never
    more. `model_name` as it was asked for, if it has the shape of a name."""

    id = models.UUIDField(primary_key=True, editable=False)
    at = models.DateTimeField()
    request_id = models.UUIDField()
    tenant = names("tenants.Tenant")
    project = names("tenants.Project")
    user = names(settings.AUTH_USER_MODEL, null=True)
    key = names("keys.Key", null=True)
    model_name = models.CharField("requested model", max_length=200, blank=True)
    reason = models.CharField(max_length=20, choices=_REASONS)
    status = models.PositiveSmallIntegerField("HTTP status")
    endpoint = models.CharField(max_length=64, blank=True)
    client_address = models.CharField(max_length=45, blank=True)
    user_agent = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-at", "id"]
        default_permissions = ()
        indexes = [
            models.Index(fields=["tenant", "at"], name="refused_by_tenant"),
            models.Index(fields=["key", "at"], name="refused_by_key"),
            models.Index(fields=["at"], name="refused_by_moment"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M:%S} {self.get_reason_display()}"


class RefusalsTold(models.Model):
    """The last batch of refusals that a process has written, so that one that is sent again is known."""

    replica = models.CharField(max_length=120, primary_key=True)
    number = models.BigIntegerField()
    at = models.DateTimeField()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.replica}: {self.number}"
