"""What people may, by those functions that enforce it, and every row that decides it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any

from django.apps import apps
from django.db.models import Model
from django.utils import timezone

from apps.access import selectors as access
from apps.access.models import Token
from apps.accounts.models import User
from apps.domain import keys as format_of_keys
from apps.keys import callers, selectors
from apps.keys.models import Grant, Key, KeySecret
from apps.tenants.models import Tenant
from apps.tenants.rights import Right, may_user

# Rows that decide nothing of what anybody may.
SAYS_NOTHING = {
    *("sessions.Session", "audit.Record", "audit.Revision", "events.Event", "events.Log"),  # what has happened
    *("axes.AccessAttempt", "axes.AccessLog", "access.Answer", "accounts.SavedView"),
    *("catalog.DataKey", "keys.DeviceCode"),  # a key for what is sealed; a program that waits
    *("alerts.Destination", "alerts.AlertRule", "alerts.Alert", "alerts.Delivery"),  # a viewer's to manage
}
OF_THE_PAST = ("last_login", "last_used_at", "last_used_ip", "last_used_client")
SECRETS = re.compile(r"weir(?:api|at|rt)?_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}")
Rows = dict[str, dict[Any, dict[str, Any]]]
Theirs = Callable[[dict[str, Any], Collection[int]], bool]


def _is_nobodys(row: dict[str, Any], people: Collection[int]) -> bool:
    return False


def _is_users(row: dict[str, Any], people: Collection[int]) -> bool:
    return row["user_id"] in people


def _is_of_their_key(row: dict[str, Any], people: Collection[int]) -> bool:
    return Key.objects.filter(pk=row["key_id"], user__in=people).exists()


def _is_asked_for(row: dict[str, Any], people: Collection[int]) -> bool:
    return row["requested_by_id"] in people and row["decided_by_id"] is None and row["state"] != "approved"


def _is_of_their_grant(row: dict[str, Any], people: Collection[int]) -> bool:
    return Grant.objects.filter(pk=row["grant_id"], user__in=people).exists()


def _is_of_their_budget(row: dict[str, Any], people: Collection[int]) -> bool:
    return apps.get_model("quotas.Budget").objects.filter(pk=row["budget_id"], key__user__in=people).exists()


# What people may make, and which of it is theirs to change afterwards: `check_callers` looks at those.
MAY_MAKE: dict[str, Theirs] = {
    **{"keys.Key": _is_users, "access.Token": _is_users, "keys.Grant": _is_users, "signin.SecondFactor": _is_users},
    **{"keys.KeySecret": _is_of_their_key, "quotas.Budget": _is_of_their_key, "quotas.Limit": _is_of_their_key},
    **{"quotas.Increase": _is_asked_for, "quotas.BudgetWindow": _is_of_their_budget},
    "keys.GrantToken": _is_of_their_grant,
}
MAY_CHANGE = {"keys.Key", "keys.KeySecret", "access.Token", "keys.Grant", "keys.GrantToken"}


def picture() -> Rows:
    return {model._meta.label: _rows(model) for model in apps.get_models() if model._meta.label not in SAYS_NOTHING}


def _rows(model: type[Model]) -> dict[Any, dict[str, Any]]:
    rows = {
        row["pk"]: row for row in model._base_manager.values("pk", *(f.attname for f in model._meta.concrete_fields))
    }
    return {pk: {name: value for name, value in row.items() if name not in OF_THE_PAST} for pk, row in rows.items()}


def differences(before: Rows, after: Rows, *, people: Collection[int]) -> list[str]:
    """Rows that these people should not have been able to make, change or take away."""
    found = []
    for label, rows in after.items():
        new = {pk: row for pk, row in rows.items() if pk not in before[label]}
        theirs = MAY_MAKE.get(label, _is_nobodys)
        found += [f"{label} {pk} is new: {row}" for pk, row in new.items() if not theirs(row, people)]
        for pk, was in before[label].items():
            if rows.get(pk) == was or (label in MAY_CHANGE and MAY_MAKE[label](was, people)):
                continue
            now = rows.get(pk, {})
            found.append(
                f"{label} {pk}: { {name: (was[name], now.get(name)) for name in was if was[name] != now.get(name)} }"
            )
    return found


def of_person(user: User) -> dict[str, Any]:
    """Everything that a page, a route or a service asks before it lets somebody do something."""
    user = User.objects.get(pk=user.pk)  # without what it remembers of its permissions
    found = {
        f"{tenant.slug}: {right}" for tenant in Tenant.objects.all() for right in Right if may_user(user, tenant, right)
    }
    return {
        **{"rights": found, "permissions": user.get_all_permissions(), "flags": (user.is_staff, user.is_superuser)},
        "tenants": set(Tenant.objects.for_user(user).values_list("pk", flat=True)),
    }


def grown(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    new = [f"{name}: {after[name] - before[name]}" for name in ("rights", "permissions", "tenants")]
    return [each for each in new if not each.endswith("set()")] + [
        f"flags: {after['flags']}" for _ in "x" if after["flags"] > before["flags"]
    ]


def check_callers(people: Collection[User], *, tenant: int, projects: Collection[int]) -> None:
    """Whoever may call as one of them: by any key or program. Each for them alone, where they may call themselves, and
    before nobody else."""
    for key in Key.objects.filter(user__in=people).select_related("user", "tenant"):
        principal = selectors.principal_of(key.pk)
        if principal is None or principal.ends_at <= timezone.now().timestamp():
            continue
        assert may_user(key.user, key.tenant, Right.CALL), f"{key} of somebody who may not call"
        assert (principal.tenant_id, principal.user_id) == (tenant, key.user_id)
        assert principal.project_id in projects
        assert principal.priority <= 0
    for grant in Grant.objects.filter(user__in=people, ended_at=None):
        assert grant.tenant_id == tenant
        assert grant.project_id in projects


def check_told(told: str, *, who: User, tenant: int) -> list[str]:
    """The secrets in an answer are those of whoever has asked, and open nothing wider. Returns them."""
    for secret in (found := SECRETS.findall(told)):
        if secret.startswith(f"{format_of_keys.OF_TOKENS}_"):
            assert access.working(secret).user == who
        elif secret.startswith(f"{format_of_keys.PREFIX}_"):
            assert KeySecret.objects.get(public_id=format_of_keys.public_id(secret)).key.user == who
        elif secret.startswith(f"{format_of_keys.OF_ACCESS}_"):
            principal = callers.of_access_token(secret)
            assert principal is not None
            assert (principal.user_id, principal.tenant_id) == (who.pk, tenant)
    return found


def check_narrower(child: Token, parent: Token) -> None:
    """A token is never worth more than the one that it was made with."""
    assert child.user_id == parent.user_id
    assert parent.scope == "write"
    assert parent.tenant_id is None or child.tenant_id == parent.tenant_id
    assert (child.expires_at - parent.expires_at).total_seconds() <= 1
