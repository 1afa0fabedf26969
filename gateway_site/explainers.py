"""Who may ask for an explanation of whose calls: those who run the installation of all, others of the keys of tenants
that they own or administer."""

from __future__ import annotations

from typing import Any

OPERATORS = ("keys.view_key", "catalog.view_deployment")
ROLES = ("owner", "admin")


def is_operator(user: Any) -> bool:
    return bool(user.has_perms(OPERATORS))


def may_ask(user: Any) -> bool:
    return is_operator(user) or user.memberships.filter(role__in=ROLES).exists()


def keys_of(user: Any) -> Any:
    """The keys that they may ask about, the newest first."""
    from apps.keys.models import Key  # settings name this module before there are models

    if is_operator(user):
        return Key.objects.all()
    return Key.objects.filter(tenant__in=user.memberships.filter(role__in=ROLES).values("tenant"))
