"""A key's secret, or a token, on its way from the request that made it to the page that shows it, once.

The page is another request, so that loading it again makes no other key. In between the secret lies sealed in the
session, under a key that only the browser holds, in a cookie for that page alone. Sessions lie in the database: the
vault's keys would leave the secret readable to whoever has database and keyring; this leaves it to nobody.
"""

from __future__ import annotations

import secrets
import time
from typing import NamedTuple

from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from apps.catalog import sealing
from apps.keys.services import Issued

SECONDS = 300
_SLOT = "issued"
_COOKIE = "weir_issued"


class Shown(NamedTuple):
    title: str
    plaintext: str

    def __repr__(self) -> str:
        return f"Shown({self.title})"


def send(request: HttpRequest, issued: Issued, *, title: str, page: str) -> HttpResponse:
    """Redirects to `page`, which is the key's own and may `receive`. One secret a session is under way: the last."""
    return hand(request, issued.plaintext, of=f"key {issued.key.pk}", title=title, page=page)


def hand(request: HttpRequest, plaintext: str, *, of: str, title: str, page: str) -> HttpResponse:
    """As `send`, a secret of something else, which `take` names again."""
    token = secrets.token_urlsafe()
    until = int(time.time()) + SECONDS
    text = sealing.seal(plaintext, key=_key(token), name=_SLOT, data=_data(of, until))
    request.session[_SLOT] = {"of": of, "title": title, "text": text, "until": until}
    response = HttpResponseRedirect(page)
    response.set_cookie(
        _COOKIE,
        token,
        max_age=SECONDS,
        path=page,
        secure=bool(settings.SESSION_COOKIE_SECURE),
        httponly=True,
        samesite="Strict",
    )
    return response


def receive(request: HttpRequest, *, key_id: int) -> Shown | None:
    """None: not sent to this browser, shown before, or too late. What is received is gone."""
    return take(request, of=f"key {key_id}")


def take(request: HttpRequest, *, of: str) -> Shown | None:
    sent = request.session.get(_SLOT)
    if sent is None or sent.get("of") != of:
        return None
    del request.session[_SLOT]
    if sent["until"] < time.time():
        return None
    key = _key(request.COOKIES.get(_COOKIE, ""))
    plaintext = sealing.unseal(sent["text"], key=key, data=_data(of, sent["until"]))
    return None if plaintext is None else Shown(sent["title"], plaintext)


def forget(response: HttpResponse, *, page: str) -> None:
    """The browser's half."""
    response.delete_cookie(_COOKIE, path=page, samesite="Strict")


def _key(token: str) -> bytes:
    return sealing.derived(token.encode(), purpose="key handed over")


def _data(of: str, until: int) -> bytes:
    return f"{_SLOT}|{of}|{until}".encode()
