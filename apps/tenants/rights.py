"""What each role may do within its tenant. Portal and API ask here, and nowhere else; operators may do everything.

Nobody gives another more than they have themselves: see `may_give`.
"""

from __future__ import annotations

import enum
from typing import Any

from apps.tenants.models import Role, Tenant
from apps.tenants.selectors import is_at_least, role_of


class Right(enum.StrEnum):
    """One thing that a page or an API call lets somebody do. What is one's own needs no right but membership."""

    SEE_ALL_USAGE = "see all usage"  # calls, costs and budgets of everybody in the tenant, and their export
    CALL = "call"  # make keys for oneself, use the playground
    MANAGE_KEYS = "manage keys"  # everybody's, and keys that are nobody's
    MANAGE_PROJECTS = "manage projects"
    MANAGE_MEMBERS = "manage members"
    MANAGE_BUDGETS = "manage budgets"  # of projects, members and keys: never the tenant's own
    MANAGE_ALERTS = "manage alerts"
    SEE_AUDIT = "see audit log"
    MANAGE_SETTINGS = "manage settings"  # the tenant's name, time zone, what it gets in an outage; sign-in


_EVERYTHING = frozenset(Right)
RIGHTS: dict[Role, frozenset[Right]] = {
    Role.OWNER: _EVERYTHING,
    Role.ADMIN: _EVERYTHING - {Right.MANAGE_SETTINGS},
    Role.DEVELOPER: frozenset({Right.CALL}),
    Role.VIEWER: frozenset({Right.SEE_ALL_USAGE, Right.MANAGE_ALERTS}),  # whoever pays
}
# As people read it who give one.
ROLES: dict[Role, str] = {
    Role.OWNER: "everything, the settings too",
    Role.ADMIN: "all keys, members, projects and budgets",
    Role.DEVELOPER: "keys for themselves, and what they have used",
    Role.VIEWER: "sees usage, costs and budgets of all, calls nothing",
}


def may(role: Role | None, right: Right) -> bool:
    return role is not None and right in RIGHTS[role]


def may_user(user: Any, tenant: Tenant, right: Right) -> bool:
    """At most one query."""
    return may(role_of(user, tenant), right)


def may_give(giver: Role | None, role: Role) -> bool:
    """Whether a member with the role `giver` may make somebody a `role`, or change or remove one who is."""
    return may(giver, Right.MANAGE_MEMBERS) and is_at_least(giver, role)
