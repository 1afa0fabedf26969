"""How often somebody may be wrong about a name's password or code, and what is recorded of those who were too often.

Counted are the tries that axes keeps, of a quarter of an hour. From one network ten wrong ones lock a name. A name that
many have been wrong about, each from elsewhere, is still its owner's: from where nobody has been wrong, it takes one
try, from where its owner came in before, ten. A network that was wrong too often, about whichever names, gets none.
"""

from __future__ import annotations

import ipaddress
from typing import Any

from axes.attempts import get_cool_off_threshold
from axes.models import AccessAttempt, AccessLog
from axes.signals import user_locked_out
from django.db import transaction
from django.db.models import Q, Sum
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
_LOCKED_OUT = "user.locked_out"


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
    """Wrong tries that a name has from one network, for axes. Up to two queries."""
    about, where = name(request, credentials), request.axes_ip_address
    there, elsewhere = Q(ip_address=where), Q(username=about) & ~Q(ip_address=where)
    recent = AccessAttempt.objects.filter(there | elsewhere, attempt_time__gte=get_cool_off_threshold(request))
    wrong = recent.aggregate(
        here=Sum("failures_since_start", filter=there, default=0),
        elsewhere=Sum("failures_since_start", filter=elsewhere, default=0),
    )
    if wrong["here"] >= OF_NETWORK:
        return 0
    if wrong["elsewhere"] >= OF_NAME and not AccessLog.objects.filter(username=about, ip_address=where).exists():
        return 1
    return OF_PAIR


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
    if Record.objects.filter(action=_LOCKED_OUT, target_id=str(user.pk), **since).exists():
        return
    with transaction.atomic():
        told = {"network": ip_address, "at": timezone.now()}
        audit.record(actor=None, action=_LOCKED_OUT, target=user, area=Area.SIGN_IN, after=told)
