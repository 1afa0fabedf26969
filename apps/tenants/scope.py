"""Querysets that cannot see across tenants."""

from __future__ import annotations

from typing import Any, Self

from django.db import models


class TenantScoped(models.QuerySet[Any]):
    """For a model with a `tenant` foreign key. `for_user` is the only way in for pages that tenants see."""

    tenant_path = "tenant"

    def for_user(self, user: Any) -> Self:
        """What belongs to the tenants that `user` is a member of; everything for an operator (superuser)."""
        if not getattr(user, "is_active", False):
            return self.none()
        if user.is_superuser:
            return self.all()
        path = f"{self.tenant_path}__in" if self.tenant_path else "pk__in"
        return self.filter(**{path: user.memberships.values("tenant")})

    def of_tenant(self, tenant: Any) -> Self:
        return self.filter(**{self.tenant_path or "pk": tenant.pk})
