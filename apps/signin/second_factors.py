"""Authenticator apps: enrolled by whoever owns them, asked at sign-in, removed by their owner or by an operator.

The algorithm and the throttle are django-otp's. Its own tables are not used: they hold secrets and recovery codes as
plain text (docs/decisions/0033).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Any, Literal, NamedTuple
from urllib.parse import quote, urlencode

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.crypto import constant_time_compare
from django_otp.oath import TOTP

from apps.accounts import services as accounts
from apps.audit import services as audit
from apps.audit.models import Area
from apps.catalog import vault
from apps.catalog.models import Purpose
from apps.runtime import clock
from apps.signin.models import RecoveryCode, SecondFactor

SECONDS = 30
DIGITS = 6
TOLERANCE = 1  # steps before and after
RECOVERY_CODES = 10
_SECRET_BYTES = 20  # RFC 4226 §4 R6
_CODE_BYTES = 10
ISSUER = "Weir"

Verdict = Literal["good", "wrong", "wait"]


class Enrolment(NamedTuple):
    """What an authenticator app is told. `uri` is what a QR code says."""

    secret: str
    uri: str


def begin(user: Any) -> Enrolment:
    """A secret that counts once a code of it has been shown; the same until then. Raises ValidationError where there is
    a factor already."""
    with transaction.atomic():
        factor, is_new = SecondFactor.objects.select_for_update().get_or_create(
            user_id=user.pk, defaults={"name": "authenticator", "confirmed": False}
        )
        if factor.confirmed:
            raise ValidationError("You have a second factor already. Remove it first.")
        if is_new:
            secret = base64.b32encode(secrets.token_bytes(_SECRET_BYTES)).decode()
            factor.sealed = vault.seal(secret, place=factor.place, purpose=Purpose.SIGN_IN).text
            factor.save(update_fields=["sealed"])
    secret = vault.open_one(factor.sealed, place=factor.place)
    label = quote(f"{ISSUER}:{user.get_username()}")
    return Enrolment(secret, f"otpauth://totp/{label}?{urlencode({'secret': secret, 'issuer': ISSUER})}")


def confirm(user: Any, *, code: str) -> list[str]:
    """The recovery codes, which nobody sees again. All sessions end. Raises ValidationError for a wrong code."""
    with transaction.atomic():
        factor = SecondFactor.objects.select_for_update().filter(user_id=user.pk, confirmed=False).first()
        if factor is None:
            raise ValidationError("There is nothing to confirm.")
        verdict = _verdict(factor, code, recovery=False)
        if verdict == "good":
            factor.confirmed = True
            factor.save(update_fields=["confirmed"])
            codes = _make_codes(factor)
            _record(user, actor=user, action="second_factor.enrolled")
            accounts.end_sessions(user, actor=user)
            return codes
    raise ValidationError(message(verdict))


def check(user: Any, *, code: str) -> Verdict:
    """At sign-in: a code of the app, or a recovery code, each once. “wait”: too many were wrong, and nothing was
    looked at."""
    with transaction.atomic():
        factor = SecondFactor.objects.select_for_update().filter(user_id=user.pk, confirmed=True).first()
        return "wrong" if factor is None else _verdict(factor, code, recovery=True)


def renew_codes(user: Any, *, code: str) -> list[str]:
    """Other recovery codes; those before open nothing any more. Raises ValidationError for a wrong code."""
    _require(user, code)
    with transaction.atomic():
        factor = SecondFactor.objects.select_for_update().get(user_id=user.pk, confirmed=True)
        codes = _make_codes(factor)
        _record(user, actor=user, action="second_factor.codes_renewed")
    return codes


def give_up(user: Any, *, code: str) -> None:
    """By its owner. All sessions end. Raises ValidationError for a wrong code."""
    _require(user, code)
    remove(user, actor=user)


def remove(user: Any, *, actor: Any) -> None:
    """All sessions of its owner end."""
    with transaction.atomic():
        if SecondFactor.objects.filter(user_id=user.pk).delete()[0]:
            _record(user, actor=actor, action="second_factor.removed")
            accounts.end_sessions(user, actor=actor)


def message(verdict: Verdict) -> str:
    if verdict == "wait":
        return "Too many wrong codes. Wait a little, then enter the next one."
    return "This code is not right, or was used before. Enter the one that your app shows now."


def _require(user: Any, code: str) -> None:
    if (verdict := check(user, code=code)) != "good":
        raise ValidationError(message(verdict))


def _verdict(factor: SecondFactor, code: str, *, recovery: bool) -> Verdict:
    """What is wrong is counted, so the caller's transaction must not be rolled back for it."""
    if not factor.verify_is_allowed()[0]:
        return "wait"
    typed = "".join(code.split()).replace("-", "").upper()
    is_good = _is_shown(factor, typed) or (recovery and _spend(factor, typed))
    if is_good:
        factor.throttle_reset()
    else:
        factor.throttle_increment()
    return "good" if is_good else "wrong"


def _is_shown(factor: SecondFactor, typed: str) -> bool:
    """Whether the app shows this code now. `factor` takes its step, and is saved by the caller."""
    if len(typed) != DIGITS or not typed.isascii() or not typed.isdigit():
        return False
    secret = base64.b32decode(vault.open_one(factor.sealed, place=factor.place))
    codes = TOTP(secret, step=SECONDS, digits=DIGITS, drift=factor.drift)
    codes.time = clock.now()
    if not codes.verify(int(typed), tolerance=TOLERANCE, min_t=factor.step + 1):
        return False
    factor.step, factor.drift = codes.t(), codes.drift
    return True


def _spend(factor: SecondFactor, typed: str) -> bool:
    digest = _digest(typed)
    found = [row for row in factor.recovery_codes.all() if constant_time_compare(row.digest, digest)]
    for row in found:
        row.delete()
        _record(factor.user, actor=factor.user, action="second_factor.recovery_code_used")
    return bool(found)


def _make_codes(factor: SecondFactor) -> list[str]:
    factor.recovery_codes.all().delete()
    made = [base64.b32encode(secrets.token_bytes(_CODE_BYTES)).decode() for _ in range(RECOVERY_CODES)]
    RecoveryCode.objects.bulk_create(RecoveryCode(factor=factor, digest=_digest(code)) for code in made)
    return ["-".join(code[at : at + 4] for at in range(0, len(code), 4)) for code in made]


def _digest(typed: str) -> str:
    return hashlib.sha256(typed.encode()).hexdigest()


def _record(user: Any, *, actor: Any, action: str) -> None:
    audit.record(actor=actor, action=action, target=user, area=Area.SIGN_IN)
