"""What somebody signs in with, and what they have to."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db.models import Q, QuerySet
from django.utils.crypto import constant_time_compare

from apps.accounts.models import User
from apps.signin.models import IdentityProvider, RecoveryCode, SecondFactor
from apps.tenants.models import Tenant


def has_second_factor(user: Any) -> bool:
    return SecondFactor.objects.filter(user_id=user.pk, confirmed=True).exists()


def recovery_codes_left(user: Any) -> int:
    return RecoveryCode.objects.filter(factor__user_id=user.pk, factor__confirmed=True).count()


def needs_second_factor(user: Any) -> bool:
    """Whether this installation requires one of them. No query."""
    if settings.WEIR_REQUIRE_TOTP == "staff":
        return bool(user.is_staff or user.is_superuser)
    return settings.WEIR_REQUIRE_TOTP == "everybody"


def providers() -> QuerySet[IdentityProvider]:
    """Those that people may sign in with, by name."""
    return IdentityProvider.objects.filter(is_enabled=True).exclude(tenant__is_active=False).order_by("name")


def providers_for(tenant_slug: str) -> list[IdentityProvider]:
    """What a stranger is offered: everybody's, and those of the tenant that they name. Of others' nobody hears."""
    return list(providers().filter(Q(tenant=None) | Q(tenant__slug=tenant_slug)))


def providers_of(user: Any) -> list[IdentityProvider]:
    """What somebody may connect: everybody's, and those of the tenants that they belong to."""
    return list(providers().filter(Q(tenant=None) | Q(tenant__in=Tenant.objects.filter(memberships__user=user))))


def provider_names(issuers: Iterable[str]) -> dict[str, str]:
    """What the providers of these issuers are called."""
    rows = IdentityProvider.objects.filter(issuer__in=list(issuers)).order_by("-tenant", "-pk")
    return dict(rows.values_list("issuer", "name"))


def provider(slug: str) -> IdentityProvider | None:
    return providers().select_related("tenant").filter(slug=slug).first()


def provider_by_id(pk: int | None) -> IdentityProvider | None:
    """Whether it is enabled or not."""
    return None if pk is None else IdentityProvider.objects.filter(pk=pk).first()


def person(pk: int, *, session_hash: str) -> User | None:
    """If they may sign in, and their password and sessions are what they were."""
    user = User.objects.filter(pk=pk, is_active=True).first()
    return user if user is not None and constant_time_compare(user.get_session_auth_hash(), session_hash) else None
