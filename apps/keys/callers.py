"""Who calls with a token instead of a key: a person, as a member of the tenant that the token is for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from django.db.models import Q
from django.utils import timezone

from apps.accounts import identities
from apps.accounts.models import User
from apps.domain.issuers import Issuer as Trusted
from apps.domain.snapshot import Principal
from apps.keys import grants, issuers
from apps.keys.models import Grant, GrantToken, Issuer
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
    if not isinstance(word, str) or not word or not word.isprintable():  # no database takes all that is not
        raise Unwelcome("unknown project")
    return word


def of_access_token(token: str) -> Principal | None:
    """Who has signed the program in that presents it; None: it is no good any more. Two queries."""
    rows = GrantToken.objects.select_related("grant__user", "grant__tenant").filter(grant__ended_at=None)
    row = rows.filter(kind=GrantToken.Kind.ACCESS, digest=grants.digest(token), expires_at__gt=timezone.now()).first()
    if row is None or not row.grant.user.is_active or not may_user(row.grant.user, row.grant.tenant, Right.CALL):
        return None
    grant = row.grant
    return Principal(
        key_id=None,
        public_id=grant.public_id,
        tenant_id=grant.tenant_id,
        project_id=grant.project_id,
        user_id=grant.user_id,
        until=row.expires_at.timestamp(),
    )


def changed_since(revision: int) -> list[str]:
    """As `selectors.changed_since`, of grants."""
    return list(Grant.objects.filter(revision__gt=revision).order_by().values_list("public_id", flat=True))


def ends(public_ids: Sequence[str]) -> dict[str, float]:
    """As `selectors.ends`, of callers with tokens: inf, or left out where they may call no more. Four queries for
    every 500."""
    found: dict[str, float] = {}
    for start in range(0, len(public_ids), _BATCH):
        found |= dict.fromkeys(_lasting(public_ids[start : start + _BATCH]), math.inf)
    return found


def _lasting(public_ids: Sequence[str]) -> Iterator[str]:
    whose = {public_id: who for public_id in public_ids if (who := _read(public_id)) is not None}
    issuers_of = {issuer for issuer, _, _ in whose.values()}
    trusted = set(Issuer.objects.filter(pk__in=issuers_of, is_enabled=True).values_list("pk", flat=True))
    granted = Grant.objects.filter(public_id__in=public_ids, ended_at=None)
    pairs = {public_id: (user, tenant) for public_id, (issuer, user, tenant) in whose.items() if issuer in trusted}
    pairs |= {
        public_id: (user, tenant) for public_id, user, tenant in granted.values_list("public_id", "user", "tenant")
    }
    able = set(_able(set(pairs.values())))
    yield from (public_id for public_id, pair in pairs.items() if pair in able)


def _read(public_id: str) -> tuple[int, int, int] | None:
    """Issuer, user, tenant; None: it is no issuer's token's."""
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
