"""What stands behind the second wall (`runtime.walls`): PostgreSQL's row-level security, made of the models.

A row belongs to the tenant that its column names, or to that of the row it hangs on; some rows are one person's. Tables
that belong to nobody are open to members as far as they need them, or shut. Nothing here is for who owns the tables:
gateways, workers, `manage.py` and a dump see everything, as before. See docs/decisions/0053.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from django.apps import apps
from django.db import models

from apps.runtime.walls import PERSON, TENANTS

READ, CHANGE, ALL = "SELECT", "SELECT, UPDATE", "SELECT, INSERT, UPDATE, DELETE"
_USER, _TENANT = "accounts.User", "tenants.Tenant"

# No tenant's and no person's, and members' pages show them or need them: what may be done there, and why all is shown.
OPEN = {
    "accounts.User": (CHANGE, "people belong to no tenant; calls tell of those who have left by their names"),
    "auth.Group": (READ, "words of the admin's permissions"),
    "auth.Group_permissions": (READ, "words of the admin's permissions"),
    "auth.Permission": (READ, "words of the admin's permissions"),
    "contenttypes.ContentType": (READ, "words of the admin's permissions"),
    "catalog.Model": (READ, "the catalogue; pages show of it what is open to the tenant"),
    "catalog.Model_tenants": (READ, "a model that nobody is named for is for all: who is named must be seen"),
    "catalog.AllowedNetwork": (READ, "asked wherever a connection is opened"),
    "catalog.Provider": (READ, "the catalogue"),
    "catalog.Deployment": (READ, "the catalogue"),
    "catalog.Fallback": (READ, "the catalogue"),
    "catalog.Price": (READ, "the catalogue"),
    "catalog.PinnedEndpoint": (READ, "the catalogue"),
    "policies.DataPolicy": (READ, "the installation's; calls are shown with the policy that stopped them"),
    "policies.Rule": (READ, "the installation's; models are shown with where calls to them may go"),
    "usage.Watermark": (READ, "how far sums are made"),
}
# Nobody's as well, and none of a member's pages asks for them: to a member they do not exist at all.
SHUT = {
    "admin.LogEntry": "the admin's",
    "audit.Revision": "counted by `audit.services.record`, for the installation",
    "axes.AccessAttempt": "written as people sign in, before anybody is a member",
    "axes.AccessAttemptExpiration": "written as people sign in",
    "axes.AccessFailureLog": "written as people sign in",
    "axes.AccessLog": "written as people sign in",
    "catalog.Canary": "tells a wrong keyring",
    "catalog.HealthCheck": "of operators",
    "catalog.OpenBreaker": "between gateways",
    "django_celery_beat.ClockedSchedule": "the beat's",
    "django_celery_beat.CrontabSchedule": "the beat's",
    "django_celery_beat.IntervalSchedule": "the beat's",
    "django_celery_beat.PeriodicTask": "the beat's",
    "django_celery_beat.PeriodicTasks": "the beat's",
    "django_celery_beat.SolarSchedule": "the beat's",
    "events.Cursor": "the relay's",
    "events.Event": "written by `events.outbox`, for the installation",
    "events.Log": "the relay's",
    "events.Sink": "of operators",
    "events.Undelivered": "the relay's",
    "policies.CachePolicy": "of operators",
    "quotas.Replica": "of processes",
    "reconciliation.Difference": "of operators",
    "reconciliation.ProviderName": "of operators",
    "reconciliation.Report": "of operators",
    "reconciliation.ReportLine": "of operators",
    "reconciliation.ReportSource": "of operators",
    "sessions.Session": "asked by the session store, for the installation",
    "signin.SpentToken": "written as people sign in",
    "usage.OpenAttempt": "of gateways",
    "usage.RefusalsTold": "of rollups",
    "usage.SealedHour": "of operators",
    "usage.SealedMonth": "of operators",
    "usage.SealedWindow": "of operators",
    "usage.Verification": "of operators",
}
# What only the installation writes, or operators: members read their part of it.
_READ_ONLY = frozenset(
    {"accounts.User_groups", "accounts.User_user_permissions", "audit.Record", "catalog.Credential", "catalog.DataKey"}
    | {"policies.Intervention", "policies.Tally", "reconciliation.AdjustedDay", "reconciliation.Adjustment"}
    | {
        "usage.Calendar",
        "usage.DailyRollup",
        "usage.Entry",
        "usage.Figure",
        "usage.HourlyRollup",
        "usage.Refusal",
        "usage.RefusedCall",
    }
    | {"usage.StaleDay"}
)
# A row without a tenant is for everybody: how all may sign in, and keys that are sealed themselves.
_FOR_ALL_WITHOUT = frozenset({"catalog.DataKey", "signin.IdentityProvider"})
# Told apart by another column than by its tenant's.
_BY_PERSON = frozenset({"access.Token"})
_THROUGH = {"alerts.Alert": "rule"}  # its tenant is whom it is about, also where the rule is the operators'
_CALLED = {"usage.Calendar": "owner", "usage.StaleDay": "owner"}  # what its tenant's number is called
# A person's own are theirs also before it is known at which tenant they are.
_AND_OWN = frozenset({"quotas.Budget", "quotas.Limit", "tenants.Membership"})

_TENANTS = f"((SELECT coalesce(nullif(current_setting('{TENANTS}', true), ''), '{{}}'))::bigint[])"
_PERSON = f"((SELECT nullif(current_setting('{PERSON}', true), ''))::bigint)"


class Policy(NamedTuple):
    """Of one table: which rows a member sees, which they may change, how they may leave them, and what may be done at
    all."""

    table: str
    seen: str
    changed: str
    kept: str
    granted: str


def policies() -> dict[str, Policy]:
    """By the model's label: of every model that leads to a tenant or a person."""
    made = ((label, _policy(model)) for label, model in _models().items())
    return {label: policy for label, policy in made if policy is not None}


def unplaced() -> list[str]:
    """Labels of models of which nobody has said whether members see them."""
    return sorted(_models().keys() - policies().keys() - OPEN.keys() - SHUT.keys())


def tables() -> dict[str, str]:
    """What a member may do at each table of Weir's at all."""
    found = _models()
    opened = {found[label]._meta.db_table: privileges for label, (privileges, _) in OPEN.items() if label in found}
    return opened | {policy.table: policy.granted for policy in policies().values()}


def _models() -> dict[str, type[models.Model]]:
    """One a table; of a table's proxies none."""
    every = apps.get_models(include_auto_created=True)
    return {model._meta.label: model for model in every if model._meta.managed and not model._meta.proxy}


def _policy(model: type[models.Model]) -> Policy | None:
    label = model._meta.label
    if label in OPEN or label in SHUT:
        return None
    theirs = _theirs(model)
    if not theirs:
        return None
    others = [_is_seen(key, or_none=True) for key in _walled_keys(model)]
    kept = [f"({theirs})", *(one for one in others if one not in theirs)]
    seen = " OR ".join([theirs, *_also_seen(model)])
    granted = READ if label in _READ_ONLY else CHANGE if label == _TENANT else ALL
    return Policy(model._meta.db_table, seen, theirs, " AND ".join(kept), granted)


def _theirs(model: type[models.Model]) -> str:
    """Empty where its rows belong to nobody."""
    label, keys = model._meta.label, _walled_keys(model)
    column = _column(model)
    if label == _TENANT:
        return f"id = ANY ({_TENANTS})"
    if label in _THROUGH:
        return _is_seen(next(key for key in keys if key.name == _THROUGH[label]))
    if column is not None and label not in _BY_PERSON:
        ways = [f"{column.column} = ANY ({_TENANTS})"]
        if column.null:
            ways += [f"(tenant_id IS NULL AND {_is_seen(key)})" for key in keys]
        return " OR ".join(ways)
    if keys and label not in _BY_PERSON:
        firm = [key for key in keys if not key.null]
        return " AND ".join(map(_is_seen, firm)) if firm else " OR ".join(map(_is_seen, keys))
    return " OR ".join(f"{key.column} = {_PERSON}" for key in _keys(model) if _is_person(key) and not key.null)


def _also_seen(model: type[models.Model]) -> Iterator[str]:
    """What may be read, and no more."""
    label = model._meta.label
    if label == _TENANT:
        yield f"id IN (SELECT tenant_id FROM tenants_membership WHERE user_id = {_PERSON})"  # noqa: S608
    if label in _FOR_ALL_WITHOUT:
        yield "tenant_id IS NULL"
    if label in _AND_OWN:
        yield f"(tenant_id IS NULL AND user_id = {_PERSON})" if _column(model).null else f"user_id = {_PERSON}"


def _column(model: type[models.Model]) -> Any:
    """The one that names a tenant, whether it is a key or a number."""
    name = _CALLED.get(model._meta.label, "tenant_id")
    return next((field for field in model._meta.concrete_fields if field.column == name), None)


def _keys(model: type[models.Model]) -> list[Any]:
    """Foreign keys to other tables but tenants."""
    return [
        field
        for field in model._meta.concrete_fields
        if field.is_relation and field.related_model not in (model, apps.get_model(_TENANT))
    ]


def _is_person(key: Any) -> bool:
    return bool(key.related_model._meta.label == _USER)


def _walled_keys(model: type[models.Model]) -> list[Any]:
    others = ((key, key.related_model) for key in _keys(model))
    return [key for key, other in others if other._meta.label not in {*OPEN, *SHUT} and _theirs(other)]


def _is_seen(key: Any, *, or_none: bool = False) -> str:
    """That the row which a foreign key names is one that the member sees: its own policy says so."""
    own, other = key.model._meta.db_table, key.related_model._meta
    its = f"{other.db_table}.{other.pk.column}"
    # Not EXISTS, of which PostgreSQL may make a table of all that the member sees, for a page of one tenant's ten rows.
    found = f"coalesce((SELECT true FROM {other.db_table} WHERE {its} = {own}.{key.column}), false)"  # noqa: S608
    return f"({own}.{key.column} IS NULL OR {found})" if or_none and key.null else found


def name_of(policy: Policy, role: str) -> str:
    """Says what it is made of, so that one that has changed is noticed by its name. Rights are no part of it: a
    table is locked for a policy, and for rights it is not."""
    made_of = (role, policy.table, policy.seen, policy.changed, policy.kept)
    return "weir_" + hashlib.sha256(repr(made_of).encode()).hexdigest()[:16]
