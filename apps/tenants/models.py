from __future__ import annotations

import functools
import zoneinfo
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.functions import Lower
from django.utils import timezone as clock

from apps.runtime import walls
from apps.tenants.scope import TenantScoped


def validate_timezone(name: str) -> None:
    if name not in timezones():
        raise ValidationError(f"“{name}” is not a time zone.")


@functools.cache
def timezones() -> frozenset[str]:
    """Their names. A walk through hundreds of files, where the system has them."""
    return frozenset(zoneinfo.available_timezones())


class TenantQuerySet(TenantScoped):
    tenant_path = ""


class Unguessable(models.Func):
    """32 bytes that the database makes, each time others."""

    output_field = models.BinaryField()

    def as_postgresql(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:
        return "sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))", []

    def as_sqlite(self, compiler: Any, connection: Any, **_: Any) -> tuple[str, list[Any]]:
        return "randomblob(32)", []


class Outage(models.TextChoices):
    """What a call gets while the shared counters or the ledger's database cannot be asked."""

    LEASE = "lease", "Go on with what each process holds: its share of limits, its slice of budgets."
    OPEN = "open", "Let all calls pass: they are recorded, but limits and budgets may be exceeded."
    CLOSED = "closed", "Refuse calls that a limit or a budget restrains, until it can be counted again."


class Tenant(models.Model):
    """A customer: whose keys, budgets and usage are nobody else's. `timezone` is where its budget days begin.
    `kept_secret`: a part of what its kept answers are sealed with, so that they are noise without the row."""

    name = models.CharField(max_length=100, unique=True)
    slug = models.SlugField(max_length=60, unique=True)
    is_active = models.BooleanField(default=True)
    timezone = models.CharField(max_length=64, default="UTC", validators=[validate_timezone])
    on_outage = models.CharField(max_length=8, choices=Outage, default=Outage.LEASE, db_default=Outage.LEASE)
    kept_secret = models.BinaryField(db_default=Unguessable(), editable=False)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.CheckConstraint(condition=models.Q(on_outage__in=Outage.values), name="tenant_on_outage_known")
        ]

    def __str__(self) -> str:
        return self.name

    @walls.as_installation()
    def validate_unique(self, exclude: Any = None) -> None:
        """Among all, whoever asks."""
        super().validate_unique(exclude)


class Project(models.Model):
    """A part of a tenant that keys are issued for and money is counted by."""

    tenant = models.ForeignKey(Tenant, on_delete=models.PROTECT, related_name="projects")
    name = models.CharField(max_length=100)
    slug = models.SlugField(max_length=60)
    is_active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = TenantScoped.as_manager()

    class Meta:
        ordering = ["tenant", "name"]
        constraints = [models.UniqueConstraint(fields=["tenant", "slug"], name="project_slug_unique")]

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    """From the most to the least."""

    OWNER = "owner", "Owner"
    ADMIN = "admin", "Admin"
    DEVELOPER = "developer", "Developer"
    VIEWER = "viewer", "Viewer"


class Membership(models.Model):
    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role, default=Role.DEVELOPER)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = TenantScoped.as_manager()

    class Meta:
        ordering = ["tenant", "user"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "user"], name="membership_unique"),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="membership_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.user} · {self.tenant} ({self.get_role_display()})"


class Invitation(models.Model):
    """Lets the person of one e-mail address become a member, once and until `expires_at`. Of the token that is sent
    only a digest is kept. Open: neither accepted nor withdrawn."""

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="invitations")
    email = models.EmailField("e-mail address")
    role = models.CharField(max_length=16, choices=Role, default=Role.DEVELOPER)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, editable=False, related_name="+"
    )
    created_at = models.DateTimeField(default=clock.now, editable=False)
    expires_at = models.DateTimeField()
    accepted_at = models.DateTimeField(null=True, editable=False)
    withdrawn_at = models.DateTimeField(null=True, editable=False)

    objects = TenantScoped.as_manager()

    class Meta:
        ordering = ["-id"]
        default_permissions = ()
        constraints = [
            models.UniqueConstraint(
                "tenant",
                Lower("email"),
                condition=models.Q(accepted_at=None, withdrawn_at=None),
                name="invitation_open_unique",
                violation_error_message="This address has an open invitation already.",
            ),
            models.CheckConstraint(condition=models.Q(role__in=Role.values), name="invitation_role_known"),
        ]

    def __str__(self) -> str:
        return f"{self.email} · {self.tenant} ({self.get_role_display()})"
