"""Keys as the data plane sees them."""

from __future__ import annotations

import datetime
import hmac
from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import Count, Exists, F, Max, OuterRef, Q, QuerySet, Subquery
from django.utils import timezone

from apps.accounts.models import User
from apps.catalog import data_keys
from apps.catalog.keyrings.ring import KeyringUnavailable
from apps.domain import keys as format_of_keys
from apps.domain.snapshot import Principal
from apps.keys import peppers
from apps.keys.models import Key, KeySecret
from apps.tenants.models import Membership, Role, Tenant
from apps.tenants.rights import Right, may

STATES = {
    **{"active": "Active", "soon": "Expires within 7 days", "unused": "Not used for 90 days"},
    **{"expired": "Expired", "revoked": "Revoked"},
}
ENDED = ("revoked", "expired")
SOON = datetime.timedelta(days=7)
LONG = datetime.timedelta(days=90)
MOST_SECRETS = 10
MOST_DIGITS = 19  # fewer are a number that a column holds
_CALLING = [role for role in Role if may(role, Right.CALL)]


def principal(
    key: str,
    *,
    outdated: Callable[[peppers.Outdated], None] | None = None,
    missed: Callable[[str], None] | None = None,
) -> Principal | None:
    """Who presents this key; None where it is no key of ours, or its user is shut off, has left the tenant or may not
    call there any more.

    Expired and revoked keys are returned with their times. One query; none for what is not even shaped like a key.
    `outdated` is told of a digest that was made with an old pepper, which costs another query; `missed` of the public
    id of a key whose new digest cannot be made while the keyring is away.
    """
    public_id = format_of_keys.public_id(key)
    if public_id is None:
        return None
    found = _usable().filter(public_id=public_id)
    newest = Subquery(peppers.versions().values("pk")[:1])
    secret = found.select_related("key", "pepper").annotate(newest_pepper=newest).first()
    if secret is None or not hmac.compare_digest(bytes(secret.digest), peppers.digest(key, pepper=secret.pepper)):
        return None
    if outdated is not None and secret.newest_pepper not in (None, secret.pepper_id):
        try:
            outdated(_outdated(secret, key))
        except KeyringUnavailable:  # the key is good all the same
            if missed is not None:
                missed(public_id)
    return _principal(secret, secret.key)


def principal_of(key_id: int) -> Principal | None:
    """Who calls with this key, by its newest secret; None where it is nobody's any more. One query."""
    found = _usable().filter(key=key_id, public_id=F("key__public_id")).select_related("key").first()
    return None if found is None else _principal(found, found.key)


def beginning(term: str) -> list[int]:
    """The ids of `named`."""
    return [key.pk for key in named(term)]


def named(term: str, *, among: QuerySet[Key] | None = None) -> list[Key]:
    """The keys that somebody may mean, two of them at most: by the beginning of any secret's public part, however it is
    written (`weir_AbC`, `weir_AbC…`, even a whole key, of which no more is read), or by name. `among`: all of them."""
    term = term.strip()
    public_id = term.removeprefix("weir_").partition("_")[0].rstrip("….")
    keys = Key.objects.all() if among is None else among
    exact = list(keys.filter(secrets__public_id=public_id)[:1]) if public_id else []
    if exact or not term:
        return exact
    secrets = KeySecret.objects.filter(public_id__startswith=public_id) if public_id else KeySecret.objects.none()
    ways = (Q(pk__in=secrets.order_by().values("key")), Q(name=term))  # each along an index of its own
    found = {key.pk: key for way in ways for key in keys.filter(way).order_by("-pk")[:2]}
    return [found[pk] for pk in sorted(found, reverse=True)[:2]]


def seen_by(tenant: Tenant, *, user: User | None) -> QuerySet[Key]:
    """The tenant's keys with their projects and owners, newest first; `user`: that member's own only."""
    own = {} if user is None else {"user": user}
    return Key.objects.filter(tenant=tenant, **own).select_related("project", "user").order_by("-pk")


def has_key(tenant: Tenant, *, user: User | None) -> bool:
    """Whether there is one that works. One query."""
    return _working(seen_by(tenant, user=user), timezone.now()).exists()


def expiring(
    tenant: Tenant, *, user: User | None, now: datetime.datetime, within: datetime.timedelta, most: int = 20
) -> list[Key]:
    """Those that stop working soon, the soonest first. One query."""
    ending = _working(seen_by(tenant, user=user), now).filter(expires_at__lte=now + within)
    return list(ending.order_by("expires_at")[:most])


def state(key: Key, *, now: datetime.datetime) -> str:
    """One of STATES, in a word."""
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    if key.expires_at is not None and key.expires_at <= now + SOON:
        return "expires soon"
    return "unused" if (key.last_used_at or key.created_at) <= now - LONG else "active"


def works(key: Key, *, now: datetime.datetime) -> bool:
    return state(key, now=now) not in ENDED


def in_state(keys: QuerySet[Key], word: str, *, now: datetime.datetime) -> QuerySet[Key]:
    """Those of STATES that `word` names; all for any other word."""
    match word:
        case "active":
            return _working(keys, now)
        case "soon":
            return _working(keys, now).filter(expires_at__lte=now + SOON)
        case "unused":
            never = Q(last_used_at=None, created_at__lte=now - LONG)
            return _working(keys, now).filter(never | Q(last_used_at__lte=now - LONG))
        case "expired":
            return keys.filter(revoked_at=None, expires_at__lte=now)
        case "revoked":
            return keys.exclude(revoked_at=None)
    return keys


def beginning_with(keys: QuerySet[Key], term: str) -> QuerySet[Key]:
    """By the beginning of the name, or of a key's public part: of a key that is pasted whole, no more is looked at."""
    public_id = term.removeprefix("weir_").partition("_")[0].rstrip("….")
    if term.startswith("weir_"):
        return keys.filter(public_id__startswith=public_id)
    return keys.filter(name__istartswith=term)


def wanted(term: str, *, among: QuerySet[Key]) -> list[Key]:
    """As `named`; a number may be a key's id."""
    if term.isdecimal() and len(term) < MOST_DIGITS and (found := list(among.filter(pk=int(term)))):
        return found
    return named(term, among=among)


def last_uses(tenant: Tenant, *, users: Sequence[int]) -> dict[int, datetime.datetime]:
    """When each of them has last called with a key of the tenant's. One query."""
    found = Key.objects.filter(tenant=tenant, user__in=users, last_used_at__isnull=False).order_by()
    return dict(found.values_list("user_id").annotate(Max("last_used_at")))


def count_working(tenant: Tenant, by: str, **whose: Any) -> dict[int, int]:
    """How many of the tenant's keys work now, by `project_id` or `user_id`. One query."""
    found = _working(Key.objects.filter(tenant=tenant, **whose), timezone.now()).order_by()
    return dict(found.values_list(by).annotate(Count("pk")))


def of_viewers() -> QuerySet[Key]:
    """Keys that would work, were their holders not among those in the tenant who may not call."""
    seen = Membership.objects.filter(tenant=OuterRef("tenant"), user=OuterRef("user")).exclude(role__in=_CALLING)
    theirs = Key.objects.filter(Exists(seen), user__is_active=True, user__is_superuser=False)
    return _working(theirs, timezone.now()).order_by("pk")


def secrets_of(key: Key) -> list[KeySecret]:
    """Those that work or did, the newest first: two at most of the former. One query."""
    return list(key.secrets.order_by("-pk")[:MOST_SECRETS])


def _working(keys: QuerySet[Key], now: datetime.datetime) -> QuerySet[Key]:
    return keys.filter(Q(expires_at=None) | Q(expires_at__gt=now), revoked_at=None)


def _outdated(secret: KeySecret, key: str) -> peppers.Outdated:
    """Raises KeyringUnavailable, at once where it is known to be away."""
    pepper = peppers.newest()
    if data_keys.is_out_of_reach(pepper):
        raise KeyringUnavailable("the keyring has just not answered")
    return peppers.Outdated(secret.pk, bytes(secret.digest), peppers.digest(key, pepper=pepper), pepper.pk)


def changed_since(revision: int) -> list[str]:
    """The public ids of all secrets of the keys that were changed after `revision` of the area "keys"."""
    changed = KeySecret.objects.filter(key__revision__gt=revision)
    return list(changed.order_by().values_list("public_id", flat=True))


def ends(public_ids: Sequence[str]) -> dict[str, float]:
    """When each of these keys stops working, in unix seconds; inf: that is not foreseen. One that is gone, or whose
    user may call no more, is left out. A query for every 500."""
    found = {}
    for start in range(0, len(public_ids), 500):
        part = public_ids[start : start + 500]
        for secret in _usable().filter(public_id__in=part).select_related("key"):
            found[secret.public_id] = _principal(secret, secret.key).ends_at
    return found


def _usable() -> QuerySet[KeySecret]:
    """The secrets of nobody's keys, and of active members of the keys' tenants who may call."""
    member = Membership.objects.filter(tenant=OuterRef("key__tenant"), user=OuterRef("key__user"))
    calls = member.filter(Q(role__in=_CALLING) | Q(user__is_superuser=True))
    return KeySecret.objects.filter(Q(key__user=None) | Q(Exists(calls), key__user__is_active=True))


def _principal(secret: KeySecret, key: Key) -> Principal:
    return Principal(
        key_id=key.pk,
        public_id=secret.public_id,
        tenant_id=key.tenant_id,
        project_id=key.project_id,
        user_id=key.user_id,
        expires_at=_earliest(key.expires_at, secret.expires_at),
        revoked_at=_earliest(key.revoked_at, secret.revoked_at),
        models=None if key.models is None else frozenset(key.models),
        endpoints=None if key.endpoints is None else frozenset(key.endpoints),
        networks=None if key.networks is None else tuple(key.networks),
        priority=key.priority,
    )


def _earliest(*moments: datetime.datetime | None) -> int | None:
    """In unix seconds."""
    return min((int(moment.timestamp()) for moment in moments if moment is not None), default=None)
