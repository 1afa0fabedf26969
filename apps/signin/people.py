"""From what a provider says of somebody to a person here, and to what their groups make of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import structlog
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from apps.accounts import identities
from apps.accounts import services as accounts
from apps.accounts.models import User
from apps.audit import services as audit
from apps.audit.models import Area
from apps.signin.models import GroupRule, IdentityProvider
from apps.tenants import services as tenants
from apps.tenants.models import Membership, Role, Tenant
from apps.tenants.selectors import is_at_least

log = structlog.get_logger(__name__)

_MOST_GROUPS = 1000
_MESSAGES = {
    "unknown": "Nobody here is known by this account. Ask whoever runs this installation, or an owner of your tenant, "
    "to invite you.",
    "address taken": "An account here has your address already. Sign in to it with its password, and connect this "
    "provider on your account page.",
    "privileged": "An account that administers this installation is not reached this way. Sign in with its password; "
    "on its account page a provider can be connected that is nobody's in particular.",
    "elsewhere": "An account here has your address already, and belongs to another tenant, too. Sign in to it with its "
    "password, and connect this provider on your account page.",
    "inactive": "This account has been shut off.",
    "too many groups": "The provider did not say which groups you are in, because there are too many. Ask whoever runs "
    "this installation to narrow the groups that it sends.",
    "required claim": "This provider is not open to the account that you chose there.",
    "identity taken": "This account of the provider's is connected to somebody else here.",
    "no such journey": "That took too long, or was begun in another browser. Start again.",
    "provider: access_denied": "You, or the provider, said no.",
}
_ELSE = "Something was not as it has to be, so nobody has been signed in."


class Refused(Exception):
    """`reason` is few words for the log and for whoever runs this; it holds nothing secret, and nothing of a token."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    @property
    def message(self) -> str:
        """For the person."""
        return _MESSAGES.get(self.reason, _ELSE)


def signed_in(provider: IdentityProvider, claims: Mapping[str, Any]) -> User:
    """Whom verified claims name, made or linked if need be and allowed, and with the roles that their groups give.
    Recorded. Raises Refused."""
    _require(provider, claims)
    groups = _groups(provider, claims)
    with transaction.atomic():
        user = identities.user_of(provider.issuer, claims["sub"]) or _met(provider, claims)
        if not user.is_active:
            raise Refused("inactive")
        if provider.tenant_id is not None and (user.is_staff or user.is_superuser):
            raise Refused("privileged")
        _apply(provider, user, groups)
        told = {"provider": provider.name, "issuer": provider.issuer}
        audit.record(
            actor=user,
            action="user.signed_in",
            target=user,
            area=Area.SIGN_IN,
            after=told,
            tenant_id=provider.tenant_id,
        )
    user.refresh_from_db()
    return user


def connect(provider: IdentityProvider, claims: Mapping[str, Any], *, pk: int) -> User:
    """To somebody who is signed in and asked for it. Raises Refused."""
    _require(provider, claims)
    user = User.objects.get(pk=pk)
    if provider.tenant_id is not None and (user.is_staff or user.is_superuser):
        raise Refused("privileged")
    owner = identities.user_of(provider.issuer, claims["sub"])
    if owner is None:
        _link(provider, user, claims, actor=user)
    elif owner.pk != user.pk:
        raise Refused("identity taken")
    return user


def _require(provider: IdentityProvider, claims: Mapping[str, Any]) -> None:
    for name, wanted in provider.required_claims.items():
        if claims.get(name) not in (wanted if isinstance(wanted, list) else [wanted]):
            raise Refused("required claim")


def _met(provider: IdentityProvider, claims: Mapping[str, Any]) -> User:
    """For the first time. Raises Refused."""
    email = _verified_email(claims)
    known = User.objects.filter(email__iexact=email).first() if email else None
    if known is None:
        return _make(provider, claims, email)
    if not provider.links_by_email:
        raise Refused("address taken")
    if known.is_staff or known.is_superuser:
        raise Refused("privileged")
    elsewhere = Membership.objects.filter(user=known).exclude(tenant=provider.tenant_id)
    if provider.tenant_id is not None and elsewhere.exists():
        raise Refused("elsewhere")
    return _link(provider, known, claims, actor=None)


def _link(provider: IdentityProvider, user: User, claims: Mapping[str, Any], *, actor: Any) -> User:
    try:
        with transaction.atomic():
            identities.link(user, actor=actor, issuer=provider.issuer, subject=claims["sub"])
    except (ValidationError, IntegrityError):
        raise Refused("identity taken") from None
    return user


def _make(provider: IdentityProvider, claims: Mapping[str, Any], email: str) -> User:
    if not provider.creates_people:
        raise Refused("unknown")
    subject = claims["sub"]
    digest = hashlib.sha256(f"{provider.issuer} {subject}".encode()).hexdigest()[:12]
    try:
        with transaction.atomic():
            user = accounts.create_user(
                actor=None,
                username=f"{provider.slug}-{digest}",
                email=email,
                first_name=_word(claims.get("given_name")) or _word(claims.get("name")),
                last_name=_word(claims.get("family_name")) if claims.get("given_name") else "",
            )
            identities.link(user, actor=None, issuer=provider.issuer, subject=subject)
    except (ValidationError, IntegrityError):
        other = identities.user_of(provider.issuer, subject)  # two windows at once
        if other is None:
            raise Refused("cannot be made") from None
        return other
    return user


def _verified_email(claims: Mapping[str, Any]) -> str:
    """Empty unless the provider says that it has verified it. Some say so with a word."""
    email, verified = claims.get("email"), claims.get("email_verified")
    if not isinstance(email, str) or (verified is not True and verified != "true"):
        return ""
    try:
        validate_email(email)
    except ValidationError:
        return ""
    return email if len(email) <= 254 else ""


def _word(said: Any) -> str:
    return "".join(filter(str.isprintable, said))[:150] if isinstance(said, str) else ""


# --- groups ----------------------------------------------------------------------------------------------------


def _groups(provider: IdentityProvider, claims: Mapping[str, Any]) -> frozenset[str]:
    """`groups_claim` may be a name or, as in `realm_access.roles`, a way. None named: none. Raises Refused."""
    path = provider.groups_claim
    if not path:
        return frozenset()
    named = claims.get("_claim_names")
    if isinstance(named, Mapping) and path in named:  # Microsoft leaves them out where they are many
        raise Refused("too many groups")
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for step in path.split("."):
            found = found.get(step) if isinstance(found, Mapping) else None
    rows = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    if len(rows) > _MOST_GROUPS:
        raise Refused("too many groups")
    return frozenset(row for row in rows if isinstance(row, str))


def _apply(provider: IdentityProvider, user: User, groups: frozenset[str]) -> None:
    """Where groups decide, roles are what they say and no more; else they give what somebody does not have yet."""
    rules = list(provider.rules.select_related("tenant"))
    matching = [rule for rule in rules if rule.group in groups]
    given = _roles(provider, matching)
    concerned = {rule.tenant for rule in rules if rule.tenant is not None} | given.keys()
    for tenant in sorted(concerned, key=lambda row: row.pk):
        _settle(provider, user, tenant, given.get(tenant))
    if provider.tenant_id is None:
        _settle_rights(provider, user, rules, matching)


def _roles(provider: IdentityProvider, matching: Iterable[GroupRule]) -> dict[Tenant, Role]:
    """By tenant, the most that any group gives."""
    found: dict[Tenant, Role] = {}
    if provider.tenant is not None and provider.default_role:
        found[provider.tenant] = Role(provider.default_role)
    for rule in matching:
        if rule.tenant is not None and not is_at_least(found.get(rule.tenant), Role(rule.role)):
            found[rule.tenant] = Role(rule.role)
    return found


def _settle(provider: IdentityProvider, user: User, tenant: Tenant, role: Role | None) -> None:
    membership = Membership.objects.filter(tenant=tenant, user=user).first()
    try:
        if membership is None:
            if role is not None:
                tenants.add_member(tenant, actor=None, user=user, role=role)
        elif provider.groups_decide and role is None:
            tenants.remove_member(membership, actor=None)
        elif provider.groups_decide and role is not None and membership.role != role:
            tenants.change_role(membership, actor=None, role=role)
    except ValidationError as refusal:  # the last owner stays
        log.warning("sign_in.role_kept", provider=provider.name, user=user.pk, reason=" ".join(refusal.messages))


def _settle_rights(
    provider: IdentityProvider, user: User, rules: Iterable[GroupRule], matching: Iterable[GroupRule]
) -> None:
    """Of those that a rule speaks of at all."""
    is_operator = any(rule.is_operator for rule in matching)
    is_staff = is_operator or any(rule.is_staff for rule in matching)
    wanted: dict[str, bool] = {}
    if any(rule.is_operator for rule in rules) and (is_operator or provider.groups_decide):
        wanted["is_superuser"] = is_operator
    if any(rule.is_staff or rule.is_operator for rule in rules) and (is_staff or provider.groups_decide):
        wanted["is_staff"] = is_staff
    changes = {name: value for name, value in wanted.items() if getattr(user, name) != value}
    if not changes:
        return
    try:
        accounts.update_user(user, actor=None, **changes)
    except ValidationError as refusal:  # the last operator stays
        log.warning("sign_in.rights_kept", provider=provider.name, user=user.pk, reason=" ".join(refusal.messages))
