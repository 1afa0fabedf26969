"""All people and who they are elsewhere, for whoever manages them."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import Permission
from django.db.models import QuerySet

from apps.accounts.models import Identity, User


def users() -> QuerySet[User]:
    return User.objects.prefetch_related("user_permissions__content_type")


def permissions(names: Iterable[str], *, apps: Iterable[str]) -> dict[str, Permission]:
    """Those of `names` (`keys.view_key`) that there are, of these apps."""
    rows = Permission.objects.filter(content_type__app_label__in=list(apps)).select_related("content_type")
    wanted = set(names)
    found = {f"{row.content_type.app_label}.{row.codename}": row for row in rows}
    return {name: row for name, row in found.items() if name in wanted}


def identities() -> QuerySet[Identity]:
    return Identity.objects.select_related("user")
