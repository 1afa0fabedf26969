"""Programs that people sign in, such as Claude Code: the device grant (RFC 8628), tokens that are short-lived, and
others that are given back for new ones (RFC 6749 §6).

A refresh token works once. Whoever gives one back a second time, later than two of a person's own programs would that
share one, has it from somewhere else: then the whole grant ends.
"""

from __future__ import annotations

import datetime
import hashlib
import secrets
from typing import Any, NamedTuple

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from apps.accounts.models import User
from apps.audit import services as audit
from apps.audit.models import Area
from apps.domain import keys as format_of_keys
from apps.keys import published
from apps.keys.models import DeviceCode, Grant, GrantToken
from apps.runtime import walls
from apps.tenants.models import Project, Role, Tenant
from apps.tenants.rights import Right, may, may_user
from apps.tenants.selectors import role_of

ACCESS = datetime.timedelta(hours=1)
REFRESH = datetime.timedelta(days=30)
WAITING = datetime.timedelta(minutes=10)
# Two programs of one person may give the same token back at the same time.
TOGETHER = datetime.timedelta(seconds=60)
# How long a used token is known for one; after that it is nobody's, and refused without a word about theft.
REMEMBERED = datetime.timedelta(days=7)
INTERVAL, SLOWER = 5, 5  # seconds between questions, and how many more for who asks too often
MOST_WAITING = 10_000
MOST_OF_AN_ADDRESS = 30
MOST_OFFERED = 500
# RFC 8628 §6.1: no vowels, so that no words come about, and nothing that looks like something else.
LETTERS = "BCDFGHJKLMNPQRSTVWXZ"
CODE_LENGTH = 8


class NotGranted(Exception):
    """`error`: in the words of RFC 6749 §5.2 and RFC 8628 §3.5."""

    def __init__(self, error: str) -> None:
        super().__init__(error)
        self.error = error


class Begun(NamedTuple):
    """What a program is told that wants to be let in. `device_code` exists here only."""

    device_code: str
    user_code: str
    seconds: int
    interval: int


class Tokens(NamedTuple):
    """They exist here only: send them once and forget them."""

    access: str
    refresh: str
    seconds: int

    def __repr__(self) -> str:
        return "Tokens(•••)"


def begin(*, client: str, address: str | None) -> Begun:
    """Raises NotGranted (`slow_down`) where too many wait, in all or from this address."""
    now = timezone.now()
    waiting = DeviceCode.objects.filter(expires_at__gt=now)
    with transaction.atomic():
        if waiting.filter(address=address)[:MOST_OF_AN_ADDRESS].count() >= MOST_OF_AN_ADDRESS:
            raise NotGranted("slow_down")
        if waiting[:MOST_WAITING].count() >= MOST_WAITING:
            raise NotGranted("slow_down")
        DeviceCode.objects.filter(expires_at__lte=now - WAITING).delete()
        device_code, user_code = secrets.token_urlsafe(32), "".join(secrets.choice(LETTERS) for _ in range(CODE_LENGTH))
        row = DeviceCode.objects.create(
            digest=digest(device_code),
            user_code=user_code,
            client="".join(filter(str.isprintable, client))[:100],
            address=address,
            interval=INTERVAL,
            expires_at=now + WAITING,
        )
    return Begun(device_code, str(row), int(WAITING.total_seconds()), INTERVAL)


@walls.as_installation()
def awaited(typed: str) -> DeviceCode | None:
    """The program that waits under a code, however it is typed. One query, none for what is no code."""
    code = "".join(letter for letter in typed.upper() if letter not in "- ")
    if len(code) != CODE_LENGTH or not set(code) <= set(LETTERS):
        return None
    undecided = DeviceCode.objects.filter(grant=None, denied_at=None, expires_at__gt=timezone.now())
    return undecided.filter(user_code=code).first()


def open_to(user: User) -> list[Project]:
    """The projects that the person may let a program call for, with their tenants, by name; the first of very many.
    Two queries."""
    found = Project.objects.for_user(user).filter(is_active=True, tenant__is_active=True)
    if not user.is_superuser:
        roles = user.memberships.values_list("tenant", "role")
        found = found.filter(tenant__in=[tenant for tenant, role in roles if may(Role(role), Right.CALL)])
    return list(found.select_related("tenant").order_by("tenant__name", "name", "pk")[:MOST_OFFERED])


def approve(code: DeviceCode, *, actor: User, project: Project) -> Grant:
    """The program may call as `actor`, for that project. Raises PermissionDenied, and ValidationError where somebody
    was faster or it was too late."""
    if not may_user(actor, project.tenant, Right.CALL) or not (project.is_active and project.tenant.is_active):
        raise PermissionDenied(f"You may not make calls for {project}.")
    with transaction.atomic():
        waiting = _undecided(code)
        grant = Grant(
            tenant=project.tenant,
            project=project,
            user=actor,
            public_id=format_of_keys.base62(secrets.randbelow(format_of_keys.PUBLIC_IDS), width=12),
            client=waiting.client,
            address=waiting.address,
        )
        audit.add(grant, actor=actor, action="grant.approved", area=Area.SIGN_IN)
        waiting.grant = grant
        _decided(waiting, "grant")
        published.tell_of_grant("created", grant, actor=actor)
    return grant


def deny(code: DeviceCode, *, actor: User) -> None:
    """Raises ValidationError as `approve` does."""
    with transaction.atomic():
        waiting = _undecided(code)
        waiting.denied_at = timezone.now()
        _decided(waiting, "denied_at")
        told = {"client": waiting.client, "address": waiting.address}
        audit.record(actor=actor, action="grant.denied", target=waiting, area=Area.SIGN_IN, after=told)


@walls.as_installation()
def _undecided(code: DeviceCode) -> DeviceCode:
    waiting = DeviceCode.objects.select_for_update().filter(pk=code.pk, grant=None, denied_at=None).first()
    if waiting is None or waiting.expires_at <= timezone.now():
        raise ValidationError("This code has been used, or its time is over. Start again in the program.")
    return waiting


@walls.as_installation()
def _decided(waiting: DeviceCode, field: str) -> None:
    waiting.save(update_fields=[field])


def exchange(device_code: str) -> Tokens:
    """Once, for who has been let in. Raises NotGranted."""
    with transaction.atomic():
        row = DeviceCode.objects.select_for_update().filter(digest=digest(device_code)).first()
        if row is None:
            raise NotGranted("invalid_grant")
        now = timezone.now()
        error = _refusal(row, now)
        if error:
            row.polled_at = now
            row.save(update_fields=["polled_at", "interval"])
        else:
            grant = row.grant
            assert grant is not None
            row.delete()
            return _tokens(grant, now)
    raise NotGranted(error)


def _refusal(row: DeviceCode, now: datetime.datetime) -> str:
    if row.expires_at <= now:
        return "expired_token"
    if row.denied_at is not None:
        return "access_denied"
    if row.grant is not None:
        return ""
    if row.polled_at is not None and now - row.polled_at < datetime.timedelta(seconds=row.interval - 1):
        row.interval = min(60, row.interval + SLOWER)
        return "slow_down"
    return "authorization_pending"


def refresh(token: str) -> Tokens:
    """New tokens for the old one, while its person may still call. Raises NotGranted (`invalid_grant`)."""
    with transaction.atomic():
        row = _of(token, GrantToken.Kind.REFRESH)
        now = timezone.now()
        if row is None or row.expires_at <= now or row.grant.ended_at is not None:
            raise NotGranted("invalid_grant")
        is_stolen = row.used_at is not None and now - row.used_at > TOGETHER
        if is_stolen:
            end(row.grant, actor=None, why="token used twice")
        elif not is_welcome(row.grant):
            end(row.grant, actor=None, why="no member any more")
        else:
            GrantToken.objects.filter(pk=row.pk, used_at=None).update(used_at=now)
            return _tokens(row.grant, now)
    raise NotGranted("invalid_grant")


def is_welcome(grant: Grant) -> bool:
    """Whether its person may still call for its project. Up to two queries."""
    is_open = grant.tenant.is_active and grant.project.is_active and grant.user.is_active
    return is_open and may_user(grant.user, grant.tenant, Right.CALL)


def revoke_token(token: str) -> None:
    """As a program that signs out asks for (RFC 7009). Nothing happens for what is no token of ours."""
    with transaction.atomic():
        row = _of(token, GrantToken.Kind.REFRESH) or _of(token, GrantToken.Kind.ACCESS)
        if row is not None:
            end(row.grant, actor=row.grant.user, why="signed out")


def seen_by(user: Any, tenant: Tenant) -> QuerySet[Grant]:
    """The tenant's, with whose they are and for what: a member's own; all for whoever manages keys. One query for the
    role."""
    role = role_of(user, tenant)
    if role is None:
        return Grant.objects.none()
    found = Grant.objects.filter(tenant=tenant).select_related("user", "project").order_by("-pk")
    return found if may(role, Right.MANAGE_KEYS) else found.filter(user=user)


def end(grant: Grant, *, actor: Any, why: str) -> None:
    """Its tokens are refused within two seconds, for good. Ending twice is once."""
    now = timezone.now()
    with transaction.atomic():
        stored = Grant.objects.select_for_update().get(pk=grant.pk)
        if stored.ended_at is not None:
            return
        stored.ended_at, stored.ended_why = now, why
        told = {"ended_at": now, "why": why}
        stored.revision = audit.record(
            actor=actor, action="grant.ended", target=stored, area=Area.KEYS, before={"ended_at": None}, after=told
        )
        stored.save(update_fields=["ended_at", "ended_why", "revision"])
        published.tell_of_grant("ended", stored, actor=actor, ended_at=now, reason=why)
        # Only then: a refresh that is under way has its token and waits for the grant.
        transaction.on_commit(lambda: stored.tokens.all().delete())
    grant.ended_at, grant.ended_why = now, why


def end_all(user: Any, *, actor: Any, why: str, tenant_id: int | None = None) -> int:
    """Of every program that somebody has signed in, or of those in one tenant; how many."""
    running = Grant.objects.filter(user=user, ended_at=None)
    running = running if tenant_id is None else running.filter(tenant=tenant_id)
    found = list(running.order_by("pk"))
    for grant in found:
        end(grant, actor=actor, why=why)
    return len(found)


def digest(secret: str) -> bytes:
    """No slow hash, and no pepper, is needed for a secret of 256 random bits that lives for days."""
    return hashlib.sha256(secret.encode()).digest()


def _tokens(grant: Grant, now: datetime.datetime) -> Tokens:
    access, refresh = (_mint(grant, prefix) for prefix in (format_of_keys.OF_ACCESS, format_of_keys.OF_REFRESH))
    gone = Q(expires_at__lte=now) | Q(used_at__lte=now - REMEMBERED)
    GrantToken.objects.filter(gone, grant=grant).delete()
    for kind, token, lives in ((GrantToken.Kind.ACCESS, access, ACCESS), (GrantToken.Kind.REFRESH, refresh, REFRESH)):
        GrantToken.objects.create(grant=grant, kind=kind, digest=digest(token), created_at=now, expires_at=now + lives)
    Grant.objects.filter(pk=grant.pk).update(refreshed_at=now)
    return Tokens(access, refresh, int(ACCESS.total_seconds()))


def _mint(grant: Grant, prefix: str) -> str:
    """The grant's public id is in the place of random letters."""
    public = 0
    for letter in grant.public_id:
        public = public * 62 + format_of_keys.ALPHABET.index(letter)
    return format_of_keys.mint(public_bits=public, secret_bits=secrets.randbelow(format_of_keys.SECRETS), prefix=prefix)


def _of(token: str, kind: str) -> GrantToken | None:
    """Locked, with the grant and whose it is."""
    prefix = format_of_keys.OF_ACCESS if kind == GrantToken.Kind.ACCESS else format_of_keys.OF_REFRESH
    if format_of_keys.public_id(token, prefix=prefix) is None:
        return None
    rows = GrantToken.objects.select_related("grant__tenant", "grant__project", "grant__user")
    return rows.select_for_update(of=("self",)).filter(Q(kind=kind), digest=digest(token)).first()
