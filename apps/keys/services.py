"""Issuing, rotating and revoking keys. Every change is recorded, and its number is written on the key.

Each function raises ValidationError for what cannot be. Who may call them is the caller's to decide.
"""

from __future__ import annotations

import datetime
import ipaddress
import secrets
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from apps.accounts.models import User
from apps.audit import services as audit
from apps.audit.models import Area
from apps.domain import keys as format_of_keys
from apps.keys import peppers, published
from apps.keys.models import Key, KeySecret
from apps.tenants.models import Project, Tenant
from apps.tenants.rights import Right, may
from apps.tenants.selectors import role_of

EXPIRED = "This key has expired and stays that; issue another."
ENDED = "A key that has been revoked or has expired stays that; issue another."
MAXIMUM_OVERLAP = datetime.timedelta(days=30)
EXPIRING = datetime.timedelta(days=7)  # before its end a key is said to expire
_CHANGEABLE = frozenset({"name", "project", "models", "endpoints", "networks", "priority", "expires_at"})
_GRAIN = datetime.timedelta(minutes=1)


class Issued(NamedTuple):
    """`plaintext` exists here only: show it once and forget it."""

    key: Key
    plaintext: str

    def __repr__(self) -> str:
        return f"Issued({self.key})"


def issue(
    *,
    actor: Any,
    tenant: Tenant,
    project: Project,
    name: str,
    user: User | None = None,
    models: Sequence[str] | None = None,
    endpoints: Sequence[str] | None = None,
    networks: Sequence[str] | None = None,
    priority: int = 0,
    expires_at: datetime.datetime | None = None,
    secret_until: datetime.datetime | None = None,
) -> Issued:
    """A new key. `models`, `endpoints`, `networks` None: not confined. `user`: the member whose key it is.
    `secret_until`: when its first secret ends, where that is before the key's own end."""
    _check_open(tenant, project, user)
    _check_expiry(expires_at)
    plaintext = _mint()
    key = Key(
        tenant=tenant,
        project=project,
        user=user,
        name=name,
        models=_listed(models),
        endpoints=_listed(endpoints),
        networks=_listed(networks),
        priority=priority,
        expires_at=expires_at,
        created_by=actor if isinstance(actor, User) else None,
    )
    with transaction.atomic():
        _show(key, plaintext)
        revision = audit.add(key, actor=actor, action="key.issued", area=Area.KEYS)
        _add_secret(key, plaintext, until=secret_until)
        _stamp(key, revision)
        published.tell("created", key, actor=actor)
    return Issued(key, plaintext)


def rotate(key: Key, *, actor: Any, overlap: datetime.timedelta = datetime.timedelta(0)) -> Issued:
    """A new secret for the same key. The old one works for `overlap` longer; limits, budgets and usage go on."""
    if not datetime.timedelta(0) <= overlap <= MAXIMUM_OVERLAP:
        raise ValidationError(f"The old secret may go on for up to {MAXIMUM_OVERLAP.days} days.")
    plaintext = _mint()
    now = timezone.now()
    with transaction.atomic():
        stored = Key.objects.select_for_update().get(pk=key.pk)
        if stored.revoked_at is not None or has_expired(stored):
            raise ValidationError(ENDED)
        _retire_secrets(stored, now=now, until=now + overlap)
        old = {"public_id": stored.public_id, "last_four": stored.last_four}
        _show(stored, plaintext)
        stored.save(update_fields=["public_id", "last_four"])
        _add_secret(stored, plaintext)
        new = {"public_id": stored.public_id, "last_four": stored.last_four, "old_works_until": now + overlap}
        _stamp(stored, _record(stored, actor=actor, action="key.rotated", before=old, after=new))
        published.tell("rotated", stored, actor=actor, old_works_until=now + overlap)
    key.refresh_from_db()
    return Issued(key, plaintext)


def lend(key: Key, *, actor: Any, until: datetime.datetime) -> Issued:
    """Another secret beside those that work, for a while. Those that have ended go."""
    plaintext = _mint()
    with transaction.atomic():
        stored = Key.objects.select_for_update().get(pk=key.pk)
        if stored.revoked_at is not None or has_expired(stored):
            raise ValidationError(ENDED)
        stored.secrets.filter(expires_at__lte=timezone.now()).delete()
        _show(stored, plaintext)
        stored.save(update_fields=["public_id", "last_four"])
        _add_secret(stored, plaintext, until=until)
        new = {"public_id": stored.public_id, "last_four": stored.last_four, "works_until": until}
        _stamp(stored, _record(stored, actor=actor, action="key.lent", after=new))
        published.tell("lent", stored, actor=actor, works_until=until)
    return Issued(stored, plaintext)


def update(key: Key, *, actor: Any, **changes: Any) -> Key:
    """`name`, `project`, `models`, `endpoints`, `networks`, `priority`, `expires_at`; the last not of a key
    that has expired."""
    for name in {"models", "endpoints", "networks"} & changes.keys():
        changes[name] = _listed(changes[name])
    with transaction.atomic():
        stored = Key.objects.select_for_update().get(pk=key.pk)
        if "expires_at" in changes and changes["expires_at"] != stored.expires_at:
            _check_expiry(changes["expires_at"])
            if has_expired(stored):
                raise ValidationError({"expires_at": EXPIRED})
        amendment = audit.amend(
            key, actor=actor, action="key.updated", area=Area.KEYS, changes=changes, allowed=_CHANGEABLE
        )
        if amendment.revision is not None:
            _stamp(key, amendment.revision)
            published.tell("updated", key, actor=actor, changed=sorted(amendment.after))
    return key


def has_expired(key: Key) -> bool:
    """For good: whoever retires a pepper relies on it, and drops the digests of such keys."""
    return key.expires_at is not None and key.expires_at <= timezone.now()


def revoke(key: Key, *, actor: Any) -> None:
    """For good, with all its secrets. Revoking twice is once."""
    now = timezone.now()
    with transaction.atomic():
        stored = Key.objects.select_for_update().get(pk=key.pk)
        if stored.revoked_at is None:
            stored.revoked_at = now
            stored.save(update_fields=["revoked_at"])
            stored.secrets.filter(revoked_at=None).update(revoked_at=now)
            changes: dict[str, Any] = {"before": {"revoked_at": None}, "after": {"revoked_at": now}}
            _stamp(stored, _record(stored, actor=actor, action="key.revoked", **changes))
            published.tell("revoked", stored, actor=actor, revoked_at=now, reason="revoked")
    key.refresh_from_db()


def record_expiries(now: datetime.datetime, *, limit: int = 500) -> int:
    """Write the end of keys that have expired into the audit, each once; return how many. Nothing else changes."""
    unrecorded = Key.objects.filter(expires_at__lte=now, expiry_recorded_at=None, revoked_at=None)
    done = 0
    for pk in unrecorded.order_by("expires_at").values_list("pk", flat=True)[:limit]:
        with transaction.atomic():
            key = unrecorded.select_for_update().filter(pk=pk).first()
            if key is None:  # another worker was first
                continue
            key.expiry_recorded_at = now
            key.save(update_fields=["expiry_recorded_at"])
            _stamp(key, _record(key, actor=None, action="key.expired", after={"expires_at": key.expires_at}))
            published.tell("expired", key, actor=None)
            done += 1
    return done


def announce_expiries(now: datetime.datetime, *, limit: int = 500) -> int:
    """Tell other systems of keys that end within EXPIRING, each end once; return how many. Nothing else changes."""
    ending = Key.objects.filter(expires_at__gt=now, expires_at__lte=now + EXPIRING, expiry_recorded_at=None)
    untold = ending.filter(revoked_at=None).exclude(expiry_announced=F("expires_at"))
    done = 0
    for pk in untold.order_by("expires_at").values_list("pk", flat=True)[:limit]:
        with transaction.atomic():
            key = untold.select_for_update().filter(pk=pk).first()
            if key is None:
                continue
            key.expiry_announced = key.expires_at
            key.save(update_fields=["expiry_announced"])
            published.tell("expiring", key, actor=None)
            done += 1
    return done


def touch(uses: Iterable[tuple[int, datetime.datetime, str, str]]) -> None:
    """Remember last uses: key id, moment, address, client. At the grain of a minute, and never backwards.

    Two queries. Not recorded, and no news to other processes.
    """
    latest = {use[0]: use for use in sorted(uses, key=lambda use: use[1])}
    changed = []
    with transaction.atomic():
        # In the order of ids, so that two processes with the same keys wait for each other instead of deadlocking.
        rows = Key.objects.filter(pk__in=latest).order_by("pk").only("last_used_at").select_for_update(no_key=True)
        for key in rows:
            _, at, address, client = latest[key.pk]
            if key.last_used_at is not None and at < key.last_used_at + _GRAIN:
                continue
            key.last_used_at = at
            key.last_used_ip = _address(address)
            key.last_used_client = "".join(filter(str.isprintable, client))[:100]
            changed.append(key)
        Key.objects.bulk_update(changed, ["last_used_at", "last_used_ip", "last_used_client"], batch_size=500)


def _mint() -> str:
    return format_of_keys.mint(
        public_bits=secrets.randbelow(format_of_keys.PUBLIC_IDS),
        secret_bits=secrets.randbelow(format_of_keys.SECRETS),
    )


def _show(key: Key, plaintext: str) -> None:
    public_id = format_of_keys.public_id(plaintext)
    assert public_id is not None
    key.public_id, key.last_four = public_id, plaintext[-4:]


def _add_secret(key: Key, plaintext: str, *, until: datetime.datetime | None = None) -> None:
    pepper = peppers.newest()
    KeySecret.objects.create(
        key=key,
        public_id=key.public_id,
        digest=peppers.digest(plaintext, pepper=pepper),
        pepper=pepper,
        last_four=key.last_four,
        expires_at=until,
    )


def _retire_secrets(key: Key, *, now: datetime.datetime, until: datetime.datetime) -> None:
    """An earlier end stays: a second rotation does not prolong what the first one ended."""
    working = key.secrets.filter(revoked_at=None)
    if until <= now:
        working.update(revoked_at=now)
    else:
        working.exclude(expires_at__lte=until).update(expires_at=until)


def _stamp(key: Key, revision: int) -> None:
    key.revision = revision
    key.save(update_fields=["revision"])


def _record(key: Key, *, actor: Any, action: str, before: Any = None, after: Any = None) -> int:
    return audit.record(actor=actor, action=action, target=key, area=Area.KEYS, before=before, after=after)


def _check_open(tenant: Tenant, project: Project, user: User | None) -> None:
    if not tenant.is_active or not project.is_active:
        raise ValidationError("Keys are issued for active tenants and projects only.")
    if user is not None and not user.is_active:
        raise ValidationError({"user": "The user has been deactivated."})
    role = None if user is None else role_of(user, tenant)
    if role is not None and not may(role, Right.CALL):
        raise ValidationError({"user": f"A {role} may not make calls: the key would not work."})


def _check_expiry(moment: datetime.datetime | None) -> None:
    if moment is not None and moment <= timezone.now():
        raise ValidationError({"expires_at": "The expiry lies in the past."})


def _listed(words: Sequence[str] | None) -> list[str] | None:
    return None if words is None else list(words)


def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None
