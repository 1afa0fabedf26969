"""How often somebody may be wrong about a name's password or code, and what is recorded of those who were too often.

Counted are the tries that axes keeps, of a quarter of an hour. From one network ten wrong ones lock a name. A name that
many have been wrong about, each from elsewhere, is still its owner's: from where nobody has been wrong, it takes one
try, from where its owner came in before, ten. A network that was wrong too often, about whichever names, gets none for
names that have not come in from there before: many may share it.

A try counts as wrong before it is looked at, and no more once it was right: however many come at once, no more are
looked at than come one after the other.
"""

from __future__ import annotations

import contextlib
import ipaddress
import threading
from collections.abc import Iterator
from typing import Any

from axes.attempts import get_cool_off_threshold
from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt, AccessLog
from axes.signals import user_locked_out
from django.contrib import auth
from django.db import connection, transaction
from django.db.models import F, Q, Sum
from django.db.models.signals import pre_save
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import salted_hmac

from apps.accounts.models import User
from apps.audit import services as audit
from apps.audit.models import Area, Record

OF_PAIR = 10
OF_NAME = 50
OF_NETWORK = 100
_PREFIX = 64  # of an IPv6 address: whoever has one has all that begin so
_SITE = 48  # often, all that begin so
_LOCKED_OUT = "user.locked_out"
_LOCK = 0x57656972_7369676E  # "Weirsign"
_turn = threading.RLock()


class Handler(AxesDatabaseHandler):  # type: ignore[misc]  # axes has no types
    """Axes' own looks first and counts when a password was hashed: meanwhile others look, too."""

    def is_allowed(self, request: Any, credentials: Any = None) -> bool:
        """Whether this try may be looked at. It is counted as wrong: `spare` takes that back."""
        if not super().is_allowed(request, credentials):
            return False  # whoever is locked out waits for nobody
        with _alone():
            self.clean_expired_user_attempts(request, credentials)
            if not super().is_allowed(request, credentials):
                return False
            _count(request, name(request, credentials))
        return True

    def user_login_failed(self, sender: Any, credentials: Any, request: Any = None, **more: Any) -> None:
        if request.axes_locked_out:
            request.axes_credentials = credentials
            told = {"username": name(request, credentials), "ip_address": request.axes_ip_address}
            user_locked_out.send("axes", request=request, **told)
            return
        with _alone():
            spare(request)  # axes counts it
            super().user_login_failed(sender, credentials, request, **more)

    def clean_expired_user_attempts(self, request: Any = None, credentials: Any = None) -> int:
        with _alone():
            return int(super().clean_expired_user_attempts(request, credentials))


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """A transaction of a few milliseconds that nobody else here is in, in no process. SQLite has one writer anyway, but
    of many threads that ask it again and again some would ask for too long."""
    is_file = connection.vendor == "sqlite"
    with _turn if is_file else contextlib.nullcontext(), transaction.atomic():
        if not is_file:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
        yield


def _count(request: Any, about: str | None) -> None:
    """The caller is alone."""
    of = {"username": about, "ip_address": request.axes_ip_address, "user_agent": request.axes_user_agent}
    told = {"http_accept": request.axes_http_accept, "path_info": request.axes_path_info}
    row, is_first = AccessAttempt.objects.get_or_create(**of, defaults={**told, "failures_since_start": 1})
    if not is_first:
        more = {"failures_since_start": F("failures_since_start") + 1, "attempt_time": request.axes_attempt_time}
        AccessAttempt.objects.filter(pk=row.pk).update(**more)
    request.counted = row.pk, row.attempt_time


def spare(request: Any) -> None:
    """What was tried was right, or not looked at: it counts no more, and what was wrong before not for longer."""
    counted, request.counted = getattr(request, "counted", None), None
    if counted is None:
        return
    found = AccessAttempt.objects.filter(pk=counted[0])
    with _alone():
        if not found.filter(failures_since_start__lte=1).delete()[0]:
            found.filter(attempt_time=request.axes_attempt_time).update(attempt_time=counted[1])
            found.update(failures_since_start=F("failures_since_start") - 1)


def authenticate(request: Any, *, username: str, password: str) -> Any:
    """None: they do not belong together, or so many were wrong that nobody looked."""
    user = auth.authenticate(request, username=username, password=password)
    if user is not None:
        spare(request)
    return user


def network(request: HttpRequest) -> str | None:
    """Where somebody comes from, for axes: what the server says, and no header."""
    try:
        address = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return None
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), _PREFIX), strict=False).network_address)


def name(request: Any, credentials: Any) -> str | None:
    """Whom a try is about, for axes, which logs and keeps it. What is nobody's name may be a password, typed into the
    wrong field: only a digest of it is told. One query a request."""
    given = (credentials or {}).get("username")
    if given is None or getattr(request, "tried", (None,))[0] == given:
        return None if given is None else str(request.tried[1])
    is_known = "\0" not in given and User.objects.filter(username=given).exists()
    told = given if is_known else f"nobody {salted_hmac('weir.signin.guessing', given).hexdigest()[:16]}"
    request.tried = given, told
    return str(told)


def most(request: Any, credentials: Any) -> int:
    """Wrong tries that a name has from one network, for axes. Up to three queries."""
    about, where = name(request, credentials), request.axes_ip_address
    there, elsewhere = Q(ip_address=where), Q(username=about) & ~Q(ip_address=where)
    recent = AccessAttempt.objects.filter(attempt_time__gte=get_cool_off_threshold(request))
    wrong = recent.filter(there | elsewhere).aggregate(
        here=Sum("failures_since_start", filter=there, default=0),
        elsewhere=Sum("failures_since_start", filter=elsewhere, default=0),
    )
    if wrong["here"] < OF_NETWORK and wrong["elsewhere"] < OF_NAME:
        return OF_PAIR
    if AccessLog.objects.filter(username=about, ip_address=where).exists():
        return OF_PAIR
    if wrong["here"] >= OF_NETWORK:
        return 0
    return 0 if recent.filter(elsewhere & _site(where)).exists() else 1


def _site(where: str | None) -> Q:
    """Networks that may be the same people's as this one."""
    if where is None or ":" not in where:
        return Q(ip_address=where)
    site = ipaddress.IPv6Network((int(ipaddress.IPv6Address(where)), _SITE), strict=False).network_address
    groups = [f"{int(group, 16):x}" for group in site.exploded.split(":")[: _SITE // 16]]
    return Q(ip_address__startswith=":".join(groups) + ":") | Q(ip_address=str(site))


def watch() -> None:
    user_locked_out.connect(_record, dispatch_uid="weir.guessing")
    pre_save.connect(_forget, sender=AccessAttempt, dispatch_uid="weir.guessing")


def _forget(*, instance: AccessAttempt, **_: Any) -> None:
    """What was sent: axes would keep it, longer with every try, and may not know what in it is secret."""
    instance.get_data = instance.post_data = ""


def _record(*, username: str | None, ip_address: str | None, request: Any, **_: Any) -> None:
    """Of a person that there is, and once as long as it lasts: strangers must not fill the log, nor write into it."""
    user = User.objects.filter(username=username).first()
    if user is None:
        return
    since = {"at__gte": get_cool_off_threshold(request), "target_type": User._meta.label_lower}
    told_already = Record.objects.filter(action=_LOCKED_OUT, target_id=str(user.pk), **since)
    if told_already.exists():
        return
    with _alone():
        if not told_already.all().exists():
            told = {"network": ip_address, "at": timezone.now()}
            audit.record(actor=None, action=_LOCKED_OUT, target=user, area=Area.SIGN_IN, after=told)
