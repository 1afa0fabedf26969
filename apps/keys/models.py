from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models as orm  # `models` is a field of Key
from django.utils import timezone

from apps.catalog.models import DataKey
from apps.catalog.pinned import SHAPE
from apps.catalog.selectors import models_of_tenant, pinned_names
from apps.catalog.validators import validate_networks, validate_words
from apps.tenants.models import Project, Tenant
from apps.tenants.scope import TenantScoped

_PINNED = re.compile(f"e/{SHAPE}")


class Endpoint(orm.TextChoices):
    """What a key may be confined to; the gateway's endpoints by name. Pinned ones are `e/<name>` beside these."""

    MESSAGES = "messages", "Messages"
    COUNT_TOKENS = "count_tokens", "Count tokens"
    CHAT_COMPLETIONS = "chat_completions", "Chat completions"
    COMPLETIONS = "completions", "Completions (legacy)"
    EMBEDDINGS = "embeddings", "Embeddings"
    CHAT = "chat", "Chat, in one line"
    RESPONSES = "responses", "Responses"
    MODELS = "models", "List of models"


def validate_endpoints(value: Any) -> None:
    validate_words(value)
    if unknown := [word for word in value if word not in Endpoint.values and not _PINNED.fullmatch(word)]:
        there_are = ", ".join([*Endpoint.values, "e/<a pinned one's name>"])
        raise ValidationError(f"“{unknown[0]}” is not an endpoint; there are {there_are}.")


class Key(orm.Model):
    """The identity that limits, budgets and usage hang on; it stays when its secret is rotated.

    `models`, `endpoints`, `networks` null: not confined. A higher `priority` goes before others in a queue. `public_id`
    and `last_four` are those of the newest secret. `revision` is the number that the audit gave the last change.
    """

    tenant = orm.ForeignKey(Tenant, on_delete=orm.PROTECT, related_name="keys")
    project = orm.ForeignKey(Project, on_delete=orm.PROTECT, related_name="keys")
    user = orm.ForeignKey(settings.AUTH_USER_MODEL, on_delete=orm.PROTECT, null=True, blank=True, related_name="keys")
    name = orm.CharField(max_length=100)
    public_id = orm.CharField(max_length=12, unique=True, editable=False)
    last_four = orm.CharField(max_length=4, editable=False)
    revision = orm.BigIntegerField(default=0, db_index=True, editable=False)
    models = orm.JSONField(null=True, blank=True, validators=[validate_words])
    endpoints = orm.JSONField(null=True, blank=True, validators=[validate_endpoints])
    networks = orm.JSONField(null=True, blank=True, validators=[validate_networks])
    priority = orm.SmallIntegerField(
        default=0, db_default=0, validators=[MinValueValidator(-100), MaxValueValidator(100)]
    )
    expires_at = orm.DateTimeField(null=True, blank=True)
    expiry_recorded_at = orm.DateTimeField(null=True, editable=False)
    revoked_at = orm.DateTimeField(null=True, editable=False)
    created_by = orm.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=orm.SET_NULL, null=True, editable=False, related_name="+"
    )
    created_at = orm.DateTimeField(default=timezone.now, editable=False)
    last_used_at = orm.DateTimeField(null=True, editable=False)
    last_used_ip = orm.GenericIPAddressField(null=True, editable=False)
    last_used_client = orm.CharField(max_length=100, blank=True, editable=False)

    objects = TenantScoped.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            orm.Index(fields=["tenant", "-id"], name="key_by_tenant"),
            orm.Index(fields=["name"], name="key_by_name"),
            orm.Index(
                fields=["expires_at"],
                condition=orm.Q(expires_at__isnull=False, expiry_recorded_at__isnull=True),
                name="key_expiry_unrecorded",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix})"

    @property
    def prefix(self) -> str:
        """What tells keys of one name apart: the public beginning of the newest secret."""
        return f"weir_{self.public_id}…"

    def clean(self) -> None:
        """A key stays within its project, the project within its tenant, its user among the tenant's members."""
        if self.project_id is not None and self.project.tenant_id != self.tenant_id:
            raise ValidationError({"project": "The project belongs to another tenant."})
        if self.user is not None and not self.user.memberships.filter(tenant=self.tenant_id).exists():
            raise ValidationError({"user": "The user is not a member of the tenant."})
        if unknown := set(self.models or ()) - self._models_of_tenant():
            raise ValidationError({"models": f"The tenant has no model “{min(unknown)}”."})
        pinned = {word.removeprefix("e/") for word in self.endpoints or () if word.startswith("e/")}
        if pinned and (unknown := pinned.difference(pinned_names())):
            raise ValidationError({"endpoints": f"There is no pinned endpoint “{min(unknown)}”."})

    def _models_of_tenant(self) -> set[str]:
        if not self.models:
            return set()
        rows = models_of_tenant(self.tenant_id).values_list("name", "aliases")
        return {name for own, aliases in rows for name in (own, *aliases)}


class KeySecret(orm.Model):
    """One secret of a key, as a digest under a pepper (null: WEIR_KEY_PEPPER). During a rotation's overlap a key has
    two that work.
    """

    key = orm.ForeignKey(Key, on_delete=orm.CASCADE, related_name="secrets")
    public_id = orm.CharField(max_length=12, unique=True, editable=False)
    digest = orm.BinaryField(max_length=32, unique=True, editable=False)
    pepper = orm.ForeignKey(DataKey, on_delete=orm.PROTECT, null=True, editable=False, related_name="+")
    last_four = orm.CharField(max_length=4, editable=False)
    created_at = orm.DateTimeField(default=timezone.now, editable=False)
    expires_at = orm.DateTimeField(null=True, editable=False)
    revoked_at = orm.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-id"]
        default_permissions = ()

    def __str__(self) -> str:
        return f"weir_{self.public_id}…{self.last_four}"
