"""Who calls with a token instead of a key: a person, as a member of the tenant that the token is for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db.models import Q

from apps.accounts import identities
from apps.accounts.models import User
from apps.domain.issuers import Issuer as Trusted
from apps.domain.snapshot import Principal
from apps.keys import issuers
from apps.keys.models import Issuer
from apps.tenants.models import Membership, Project, Role
from apps.tenants.rights import Right, may, may_user

_MARK = "token"
_BATCH = 500


class Unwelcome(Exception):
    """`reason` is one of few words, for logs and counters: nothing of the token is in it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Outdated(Exception):
    """The issuer has been changed since it was asked."""


def of_claims(issuer: Trusted, claims: Mapping[str, Any], *, until: float) -> Principal:
    """Whom a verified token names, and what the issuer confines them to. Raises Unwelcome and Outdated.

    Five queries at most. Who is not known yet is made a member, where the issuer welcomes newcomers: once, so that
    whoever was removed stays out.
    """
    if not Issuer.objects.filter(pk=issuer.id, revision=issuer.version, is_enabled=True).exists():
        raise Outdated
    project = _project(issuer, claims)
    if "\0" in claims["sub"]:  # which no database takes
        raise Unwelcome("subject")
    user = identities.user_of(issuer.url, claims["sub"])
    if user is None and issuer.welcomes:
        user = issuers.welcome(issuer, claims, tenant=project.tenant)
    if user is None:
        raise Unwelcome("unknown subject")
    if not user.is_active or not may_user(user, project.tenant, Right.CALL):
        raise Unwelcome("no member")
    return Principal(
        key_id=None,
        public_id=f"{_MARK}.{issuer.id}.{user.pk}.{project.tenant_id}",
        tenant_id=project.tenant_id,
        project_id=project.pk,
        user_id=user.pk,
        until=until,
        models=issuer.models,
        endpoints=issuer.endpoints,
        networks=issuer.networks,
        priority=issuer.priority,
    )


def _project(issuer: Trusted, claims: Mapping[str, Any]) -> Project:
    found = Project.objects.select_related("tenant").filter(is_active=True, tenant__is_active=True)
    if issuer.tenant_claim:
        found = found.filter(tenant__slug=_word(claims, issuer.tenant_claim))
    else:
        found = found.filter(tenant=issuer.tenant_id)
    if issuer.project_claim and (issuer.project_id is None or issuer.project_claim in claims):
        found = found.filter(slug=_word(claims, issuer.project_claim))
    else:
        found = found.filter(pk=issuer.project_id)
    project: Project | None = found.first()
    if project is None:
        raise Unwelcome("unknown project")
    return project


def _word(claims: Mapping[str, Any], name: str) -> str:
    word = claims.get(name)
    if not isinstance(word, str) or not word or "\0" in word:
        raise Unwelcome("unknown project")
    return word


def ends(public_ids: Sequence[str]) -> dict[str, float]:
    """As `selectors.ends`, of callers with tokens: inf, or left out where they may call no more. Three queries for
    every 500."""
    asked = [(public_id, *who) for public_id in public_ids if (who := _read(public_id)) is not None]
    found = {}
    for start in range(0, len(asked), _BATCH):
        part = asked[start : start + _BATCH]
        trusting = Issuer.objects.filter(pk__in={issuer for _, issuer, _, _ in part}, is_enabled=True)
        trusted = set(trusting.values_list("pk", flat=True))
        able = set(_able({(user, tenant) for _, _, user, tenant in part}))
        for public_id, issuer, user, tenant in part:
            if issuer in trusted and (user, tenant) in able:
                found[public_id] = math.inf
    return found


def _read(public_id: str) -> tuple[int, int, int] | None:
    """Issuer, user, tenant; None: it is a key's."""
    kind, *numbers = public_id.split(".")
    return (int(numbers[0]), int(numbers[1]), int(numbers[2])) if kind == _MARK else None


def _able(pairs: set[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Those of users and tenants of which the one may call for the other."""
    users, tenants = {user for user, _ in pairs}, {tenant for _, tenant in pairs}
    operators = set(User.objects.filter(pk__in=users, is_active=True, is_superuser=True).values_list("pk", flat=True))
    yield from ((user, tenant) for user, tenant in pairs if user in operators)
    members = Membership.objects.filter(Q(user__in=users, tenant__in=tenants), user__is_active=True)
    for user, tenant, role in members.values_list("user", "tenant", "role"):
        if (user, tenant) in pairs and may(Role(role), Right.CALL):
            yield user, tenant
