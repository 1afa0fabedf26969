"""Tenants with their people, projects, keys and budgets: a few large ones and many small ones, as it is in life."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random

from django.db.models import Max

from apps.accounts.models import User
from apps.audit.models import Area, Record
from apps.domain.keys import PUBLIC_IDS, PUBLIC_LENGTH, base62
from apps.keys.models import Key, KeySecret
from apps.quotas.models import Budget, Limit, Period
from apps.tenants.models import Membership, Project, Role, Tenant
from apps.usage.scale.tables import Octets, Value, fill, flag, moment

FIRST_ROLES = (Role.OWNER, Role.ADMIN, Role.DEVELOPER, Role.VIEWER)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata")
USED_IN = 20  # of so many keys, one is used by programs that call all day
LAST_YEAR = timedelta(days=400)
_STEP = 2_654_435_761_002_841  # shares no factor with 62


@dataclass(kw_only=True)
class Holder:
    """A key that calls. `budgets`: ids of those that pay."""

    key: int
    project: int
    user: int | None
    budgets: tuple[int, ...]


@dataclass(kw_only=True)
class Group:
    """A tenant: the ids of its parts."""

    tenant: int
    people: range
    projects: range
    keys: range
    callers: list[Holder] = field(default_factory=list)


@dataclass(kw_only=True)
class World:
    groups: list[Group]
    budgets: range


def populate(*, tenants: int, keys: int, now: datetime, random: Random) -> World:
    groups = list(_groups(tenants, keys))
    fill(Tenant, ("id", "name", "slug", "is_active", "timezone", "on_outage", "created_at"), _tenants(groups, now))
    fill(User, _USER, _users(groups, now))
    fill(Membership, ("id", "tenant_id", "user_id", "role", "created_at"), _members(groups, now))
    fill(Project, ("id", "tenant_id", "name", "slug", "is_active", "created_at"), _projects(groups, now))
    fill(Key, _KEY, _keys(groups, now, random))
    fill(KeySecret, ("id", "key_id", "public_id", "digest", "last_four", "created_at"), _secrets(groups, now))
    budgets = _restrain(groups, now)
    last = Record.objects.aggregate(last=Max("pk"))["last"] or 0  # while rows go in, nothing can be asked
    fill(Record, _RECORD, _records(groups, now, last))
    return World(groups=groups, budgets=budgets)


def _groups(tenants: int, keys: int) -> Iterator[Group]:
    """The n-th has so many in proportion to n^-0.8: of a thousand the first has a twentieth of all."""
    weights = [(number + 1) ** -0.8 for number in range(tenants)]
    share = keys / sum(weights)
    people = projects = made = 1
    for number, weight in enumerate(weights):
        count = keys + 1 - made if number == tenants - 1 else max(1, min(keys + 1 - made, round(weight * share)))
        group = Group(
            tenant=number + 1,
            people=range(people, people + max(len(FIRST_ROLES), min(400, count // 20))),
            projects=range(projects, projects + max(2, min(60, count // 200))),
            keys=range(made, made + count),
        )
        people, projects, made = group.people.stop, group.projects.stop, group.keys.stop
        yield group


def _tenants(groups: list[Group], now: datetime) -> Iterator[tuple[Value, ...]]:
    at = moment(now - LAST_YEAR)
    for group in groups:
        number, zone = group.tenant, ZONES[group.tenant % len(ZONES)]
        yield number, f"Scale {number:04}", f"scale-{number:04}", flag(True), zone, "lease", at


_USER = (
    *("id", "username", "first_name", "last_name", "email", "password"),
    *("is_superuser", "is_staff", "is_active", "date_joined"),
)


def _users(groups: list[Group], now: datetime) -> Iterator[tuple[Value, ...]]:
    """None can sign in with a password."""
    at = moment(now - LAST_YEAR)
    for group in groups:
        for place, user in enumerate(group.people):
            name = FIRST_ROLES[place].value if place < len(FIRST_ROLES) else f"member-{place}"
            username = f"scale-{group.tenant:04}-{name}"
            yield (
                *(user, username, name.title(), f"of {group.tenant}", f"{username}@example.com", "!"),
                *(flag(False), flag(False), flag(True), at),
            )


def _members(groups: list[Group], now: datetime) -> Iterator[tuple[Value, ...]]:
    at = moment(now - LAST_YEAR)
    for group in groups:
        for place, user in enumerate(group.people):
            role = FIRST_ROLES[place] if place < len(FIRST_ROLES) else Role.DEVELOPER
            yield user, group.tenant, user, role.value, at


def _projects(groups: list[Group], now: datetime) -> Iterator[tuple[Value, ...]]:
    at = moment(now - LAST_YEAR)
    for group in groups:
        for place, project in enumerate(group.projects):
            yield project, group.tenant, f"Project {place + 1}", f"project-{place + 1}", flag(True), at


_KEY = (
    *("id", "tenant_id", "project_id", "user_id", "name", "public_id", "last_four", "revision", "priority"),
    *("expires_at", "revoked_at", "created_at", "last_used_at", "last_used_ip", "last_used_client"),
)


def _keys(groups: list[Group], now: datetime, random: Random) -> Iterator[tuple[Value, ...]]:
    """Some are nobody's, some have ended, and few call all day: these are remembered with their group."""
    for group in groups:
        for place, key in enumerate(group.keys):
            project = group.projects[random.randrange(len(group.projects))]
            user = None if place % 10 == 3 else group.people[random.randrange(len(group.people))]
            created = now - random.random() * LAST_YEAR
            calls = place % USED_IN == 0
            revoked = not calls and place % 20 == 7
            expires = now + timedelta(days=random.randrange(-60, 300)) if place % 4 == 1 else None
            used = now - random.random() * timedelta(hours=4) if calls else None
            if calls:
                group.callers.append(Holder(key=key, project=project, user=user, budgets=()))
            yield (
                *(key, group.tenant, project, user, f"Key {place + 1:06}", public_id(key), "abcd", 0, 0),
                *(expires and moment(expires), moment(now) if revoked else None, moment(created)),
                *(used and moment(used), "10.1.2.3" if used else None, "claude-cli/2.0.42" if used else ""),
            )


def public_id(key: int) -> str:
    """Of the key's number, in no order that one sees."""
    return base62(key * _STEP % PUBLIC_IDS, width=PUBLIC_LENGTH)


def _secrets(groups: list[Group], now: datetime) -> Iterator[tuple[Value, ...]]:
    """Digests of what nobody has."""
    at = moment(now)
    for group in groups:
        for key in group.keys:
            yield key, key, public_id(key), Octets(hashlib.sha256(f"scale {key}".encode()).digest()), "abcd", at


def _restrain(groups: list[Group], now: datetime) -> range:
    """A budget for each tenant, for every third project, and for one caller's key in five; a limit for each tenant."""
    at, rows, next_id = moment(now), [], 1
    for group in groups:
        subjects: list[tuple[str, int]] = [("tenant", group.tenant)]
        subjects += [("project", project) for project in group.projects[::3]]
        subjects += [("key", holder.key) for holder in group.callers[::5]]
        ids = {subject: next_id + place for place, subject in enumerate(subjects)}
        next_id += len(subjects)
        rows += [_budget(number, subject, at) for subject, number in ids.items()]
        for holder in group.callers:
            mine = (("tenant", group.tenant), ("project", holder.project), ("key", holder.key))
            holder.budgets = tuple(ids[subject] for subject in mine if subject in ids)
    columns = ("id", "tenant_id", "project_id", "key_id", "is_enabled", "created_at", "amount", "period", "timezone")
    fill(Budget, columns, rows)
    limits = ((group.tenant, group.tenant, flag(True), at, 6_000, 100_000_000, 400) for group in groups)
    allowances = ("requests_per_minute", "tokens_per_minute", "concurrency")
    fill(Limit, ("id", "tenant_id", "is_enabled", "created_at", *allowances), limits)
    return range(1, next_id)


def _budget(number: int, subject: tuple[str, int], at: str) -> tuple[Value, ...]:
    """Of an amount that is set when it is known what was spent."""
    scope, row = subject
    owner = tuple(row if scope == name else None for name in ("tenant", "project", "key"))
    return number, *owner, flag(True), at, 0, Period.MONTH.value, "UTC"


_RECORD = (
    *("id", "at", "actor_id", "actor_name", "action", "target_type", "target_id", "target_label", "tenant_id"),
    *("area", "revision", "after"),
)


def _records(groups: list[Group], now: datetime, number: int) -> Iterator[tuple[Value, ...]]:
    """Who issued the keys, of every tenth. `number`: of the last record before."""
    for group in groups:
        owner = group.people[0]
        for key in group.keys[::10]:
            number += 1
            at = moment(now - LAST_YEAR + number * timedelta(seconds=30))
            yield (
                *(number, at, owner, f"scale-{group.tenant:04}-owner", "key.issued", "keys.key", key),
                *(f"Key (weir_{public_id(key)}…)", group.tenant, Area.KEYS.value, number, '{"name": "Key"}'),
            )
