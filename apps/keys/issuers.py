"""Issuers whose tokens callers may present instead of keys: operators' to change, each change recorded.

They are a matter of accounts as far as other processes are concerned: what is remembered of callers is looked up again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from apps.accounts import identities
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit import services as audit
from apps.audit.models import Area
from apps.domain.issuers import Issuer as Trusted
from apps.keys.models import Issuer
from apps.tenants import services as tenants
from apps.tenants.models import Role, Tenant

_CHANGEABLE = frozenset(
    {"name", "url", "audiences", "jwks_url", "algorithms", "leeway_seconds", "longest_seconds", "required_claims"}
    | {"tenant", "tenant_claim", "project", "project_claim", "welcomes", "models", "endpoints", "networks"}
    | {"priority", "is_enabled"}
)


def create_issuer(*, actor: Any, **fields: Any) -> Issuer:
    """Raises ValidationError."""
    issuer = Issuer(**fields)
    add_issuer(issuer, actor=actor)
    return issuer


def add_issuer(issuer: Issuer, *, actor: Any) -> None:
    """Raises ValidationError."""
    with transaction.atomic():
        _stamp(issuer, audit.add(issuer, actor=actor, action="issuer.created", area=Area.ACCOUNTS))


def update_issuer(issuer: Issuer, *, actor: Any, **changes: Any) -> Issuer:
    """Gateways heed it within a second. Raises ValidationError."""
    with transaction.atomic():
        amendment = audit.amend(
            issuer, actor=actor, action="issuer.updated", area=Area.ACCOUNTS, changes=changes, allowed=_CHANGEABLE
        )
        if amendment.revision is not None:
            _stamp(issuer, amendment.revision)
    return issuer


def remove_issuer(issuer: Issuer, *, actor: Any) -> None:
    """Its tokens are refused from now on; the people whom they named stay."""
    audit.remove(issuer, actor=actor, action="issuer.removed", area=Area.ACCOUNTS)


def _stamp(issuer: Issuer, revision: int) -> None:
    issuer.revision = revision
    issuer.save(update_fields=["revision"])


def welcome(issuer: Trusted, claims: Mapping[str, Any], *, tenant: Tenant) -> User:
    """Makes a person of whom a verified token names for the first time, and a developer of the tenant's; for somebody
    who has come in between it is that one."""
    subject = claims["sub"]
    try:
        with transaction.atomic():
            user = accounts.create_user(
                actor=None, username=_username(issuer.url, subject), first_name=_shown(claims.get("name") or subject)
            )
            identities.link(user, actor=None, issuer=issuer.url, subject=subject)
            tenants.add_member(tenant, actor=None, user=user, role=Role.DEVELOPER)
    except (IntegrityError, ValidationError):
        known = identities.user_of(issuer.url, subject)
        if known is None:
            raise
        return known
    return user


def _username(issuer: str, subject: str) -> str:
    """Readable, and nobody else's."""
    digest = hashlib.blake2b(f"{issuer} {subject}".encode(), digest_size=6).hexdigest()
    return f"{re.sub(r'[^A-Za-z0-9_.@+-]', '-', subject)[:100]}-{digest}"


def _shown(name: Any) -> str:
    return "".join(filter(str.isprintable, str(name)))[:150]


def snapshot_issuers() -> dict[str, Trusted]:
    """The enabled ones, by what their tokens have as `iss`. One query."""
    return {row.url: _compiled(row) for row in Issuer.objects.filter(is_enabled=True)}


def _compiled(row: Issuer) -> Trusted:
    return Trusted(
        id=row.pk,
        name=row.name,
        url=row.url,
        audiences=frozenset(row.audiences),
        algorithms=frozenset(row.algorithms),
        version=row.revision,
        jwks_url=row.jwks_url,
        leeway=float(row.leeway_seconds),
        longest=row.longest_seconds,
        required={
            name: tuple(wanted) if isinstance(wanted, list) else (wanted,)
            for name, wanted in row.required_claims.items()
        },
        tenant_id=row.tenant_id,
        tenant_claim=row.tenant_claim,
        project_id=row.project_id,
        project_claim=row.project_claim,
        welcomes=row.welcomes,
        models=None if row.models is None else frozenset(row.models),
        endpoints=None if row.endpoints is None else frozenset(row.endpoints),
        networks=None if row.networks is None else tuple(row.networks),
        priority=row.priority,
    )
