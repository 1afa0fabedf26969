"""Rows that say what was changed, and one row an area that says how often."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class Area(models.TextChoices):
    """The parts of the configuration that processes refresh separately; and usage, sign-in and what was only looked at,
    which are none of it."""

    ACCOUNTS = "accounts", "Accounts"
    TENANTS = "tenants", "Tenants"
    CATALOG = "catalog", "Routing"
    KEYS = "keys", "Keys"
    QUOTAS = "quotas", "Quotas"
    POLICIES = "policies", "Policies"
    USAGE = "usage", "Usage"
    SIGN_IN = "sign_in", "Sign-in"
    READS = "reads", "Privileged reads"


class Record(models.Model):
    """One change. `actor_id` None: the system did it. `tenant_id` None: it concerns no single tenant. `token`: what the
    actor's token of the management API is called, where it came with one.

    Ids are plain numbers, not foreign keys: a record outlives what it tells of.
    """

    at = models.DateTimeField(default=timezone.now, editable=False)
    actor_id = models.BigIntegerField(null=True, editable=False)
    actor_name = models.CharField(max_length=200, editable=False)
    action = models.CharField(max_length=64, editable=False)
    target_type = models.CharField(max_length=64, editable=False)
    target_id = models.CharField(max_length=64, editable=False)
    target_label = models.CharField(max_length=200, editable=False)
    tenant_id = models.BigIntegerField(null=True, editable=False)
    area = models.CharField(max_length=16, choices=Area, editable=False)
    revision = models.BigIntegerField(editable=False)
    before = models.JSONField(null=True, editable=False)
    after = models.JSONField(null=True, editable=False)
    address = models.GenericIPAddressField(null=True, editable=False)
    token = models.CharField(max_length=200, null=True, editable=False)

    class Meta:
        ordering = ["-id"]
        default_permissions = ("view",)
        indexes = [
            models.Index(fields=["at"], name="audit_by_time"),
            models.Index(fields=["tenant_id", "-id"], name="audit_by_tenant"),
            models.Index(fields=["actor_id", "-id"], name="audit_by_actor"),
            models.Index(fields=["target_type", "target_id", "-id"], name="audit_by_target"),
            models.Index(fields=["action", "-id"], name="audit_by_action"),
        ]

    def __str__(self) -> str:
        return f"{self.action} {self.target_label}"


class Revision(models.Model):
    """How many changes an area has seen. Writers lock the row, so its number orders them."""

    area = models.CharField(max_length=16, choices=Area, unique=True)
    number = models.BigIntegerField(default=0)

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"{self.area} {self.number}"
