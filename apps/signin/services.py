"""Identity providers: operators' to change, each change recorded. Their secrets are sealed, and never come out."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from django.db import transaction

from apps.audit import services as audit
from apps.audit.models import Area
from apps.catalog import vault
from apps.catalog.models import Purpose
from apps.signin.models import GroupRule, IdentityProvider
from apps.tenants.models import Tenant

_CHANGEABLE = frozenset(
    {"name", "slug", "issuer", "client_id", "scopes", "algorithms", "tenant", "required_claims", "groups_claim"}
    | {"groups_decide", "creates_people", "default_role", "links_by_email", "is_second_factor", "is_enabled"}
)
Group = tuple[str, Tenant | None]  # as the provider calls it, and where it means something
_MEANING = frozenset({"role", "is_staff", "is_operator"})
_BINDING = frozenset({"issuer", "client_id"})  # what the secret is for


def create_provider(*, actor: Any, secret: str = "", **fields: Any) -> IdentityProvider:
    """Without a secret it is a public client, which PKCE alone protects. Raises ValidationError."""
    provider = IdentityProvider(**fields)
    add_provider(provider, actor=actor, secret=secret)
    return provider


def add_provider(provider: IdentityProvider, *, actor: Any, secret: str = "") -> None:
    """Raises ValidationError."""
    with transaction.atomic():
        audit.add(provider, actor=actor, action="identity_provider.created", area=Area.SIGN_IN)
        if secret:
            set_secret(provider, actor=actor, secret=secret)


def update_provider(provider: IdentityProvider, *, actor: Any, **changes: Any) -> IdentityProvider:
    """With another issuer or client id the secret is gone: it would be shown to somebody else. Raises
    ValidationError."""
    with transaction.atomic():
        amendment = audit.amend(
            provider,
            actor=actor,
            action="identity_provider.updated",
            area=Area.SIGN_IN,
            changes=changes,
            allowed=_CHANGEABLE,
        )
        if _BINDING & amendment.after.keys():
            _keep(provider, actor=actor, sealed="", action="identity_provider.secret_dropped")
    return provider


def set_secret(provider: IdentityProvider, *, actor: Any, secret: str) -> None:
    with transaction.atomic():
        sealed = vault.seal(secret, place=provider.place, purpose=Purpose.SIGN_IN).text
        _keep(provider, actor=actor, sealed=sealed, action="identity_provider.secret_set")


def _keep(provider: IdentityProvider, *, actor: Any, sealed: str, action: str) -> None:
    audit.amend(provider, actor=actor, action=action, area=Area.SIGN_IN, changes={"client_secret": sealed})


def delete_provider(provider: IdentityProvider, *, actor: Any) -> None:
    """With its rules. The people whom it let in stay, as do their identities: they can come in by another with the same
    issuer."""
    audit.remove(provider, actor=actor, action="identity_provider.deleted", area=Area.SIGN_IN)


def add_rule(provider: IdentityProvider, *, actor: Any, **fields: Any) -> GroupRule:
    """Raises ValidationError."""
    rule = GroupRule(provider=provider, **fields)
    audit.add(rule, actor=actor, action="grouprule.created", area=Area.SIGN_IN)
    return rule


def update_rule(rule: GroupRule, *, actor: Any, **changes: Any) -> GroupRule:
    """Another group or tenant is another rule. Raises ValidationError."""
    audit.amend(rule, actor=actor, action="grouprule.updated", area=Area.SIGN_IN, changes=changes, allowed=_MEANING)
    return rule


def remove_rule(rule: GroupRule, *, actor: Any) -> None:
    audit.remove(rule, actor=actor, action="grouprule.deleted", area=Area.SIGN_IN)


def keep_rules(provider: IdentityProvider, *, actor: Any, groups: Collection[Group]) -> None:
    """Removes those of all other groups."""
    kept: set[Group] = set()
    for rule in provider.rules.select_related("provider", "tenant"):
        group = (rule.group, rule.tenant)
        if group not in groups or group in kept:  # of groups in no tenant there may be several
            remove_rule(rule, actor=actor)
        kept.add(group)


def set_rules(provider: IdentityProvider, *, actor: Any, rules: Mapping[Group, Mapping[str, Any]]) -> None:
    """What each group means; those of others are removed. Raises ValidationError."""
    with transaction.atomic():
        keep_rules(provider, actor=actor, groups=rules.keys())
        there = {(rule.group, rule.tenant): rule for rule in provider.rules.select_related("provider", "tenant")}
        for group, meaning in rules.items():
            if group in there:
                update_rule(there[group], actor=actor, **meaning)
            else:
                add_rule(provider, actor=actor, group=group[0], tenant=group[1], **meaning)
