from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils import timezone

from apps.catalog.models import DataKey
from apps.tenants.models import Tenant


class Scope(models.TextChoices):
    """What a token may do of what its owner may."""

    READ = "read", "Read"
    WRITE = "write", "Read and write"


class Token(models.Model):
    """What a person's programs manage Weir with: never more than the person may. `tenant`: confined to that one, as the
    member of it that the person is. Kept is only a digest, under a pepper of its own."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, editable=False, related_name="tokens")
    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, null=True, blank=True, related_name="+")
    name = models.CharField(max_length=100)
    scope = models.CharField(max_length=8, choices=Scope, default=Scope.READ)
    public_id = models.CharField(max_length=12, unique=True, editable=False)
    last_four = models.CharField(max_length=4, editable=False)
    digest = models.BinaryField(max_length=32, editable=False)
    pepper = models.ForeignKey(DataKey, on_delete=models.PROTECT, editable=False, related_name="+")
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_used_at = models.DateTimeField(null=True, editable=False)
    last_used_ip = models.GenericIPAddressField(null=True, editable=False)

    class Meta:
        ordering = ["-id"]
        verbose_name = "API token"
        indexes = [models.Index(fields=["user", "-id"], name="token_by_user")]
        constraints = [models.CheckConstraint(condition=models.Q(scope__in=Scope.values), name="token_scope_known")]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"

    @property
    def prefix(self) -> str:
        """What tells tokens of one name apart."""
        return f"weirapi_{self.public_id}…"

    @property
    def is_over(self) -> bool:
        return self.revoked_at is not None or self.expires_at <= timezone.now()


class Answer(models.Model):
    """What was answered to a request with an `Idempotency-Key`. `status` null: it is under way, by whoever holds the
    `claim`. No secret is in `body`. `digest` tells requests apart without telling what they said."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=255)
    digest = models.CharField(max_length=64)
    claim = models.UUIDField(default=uuid.uuid4)
    began_at = models.DateTimeField(default=timezone.now, db_index=True)
    status = models.PositiveSmallIntegerField(null=True)
    headers = models.JSONField(default=dict)
    body = models.JSONField(null=True)

    class Meta:
        ordering = ["id"]
        default_permissions = ()
        constraints = [models.UniqueConstraint(fields=["user", "key"], name="answer_once")]

    def __str__(self) -> str:
        return f"{self.key} of {self.user_id}"
