"""What somebody signs in with, and what they have to."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db.models import QuerySet
from django.utils.crypto import constant_time_compare

from apps.accounts.models import User
from apps.signin.models import IdentityProvider, RecoveryCode, SecondFactor


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


def provider(slug: str) -> IdentityProvider | None:
    return providers().select_related("tenant").filter(slug=slug).first()


def provider_by_id(pk: int | None) -> IdentityProvider | None:
    """Whether it is enabled or not."""
    return None if pk is None else IdentityProvider.objects.filter(pk=pk).first()


def person(pk: int, *, session_hash: str) -> User | None:
    """If they may sign in, and their password and sessions are what they were."""
    user = User.objects.filter(pk=pk, is_active=True).first()
    return user if user is not None and constant_time_compare(user.get_session_auth_hash(), session_hash) else None
