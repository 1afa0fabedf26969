"""What looks like a credential is a parameter of a query, if it is one's at all: none is ever built from it."""

from __future__ import annotations

import random
from typing import Any

import pytest
from django.conf import settings
from django.db import connection
from django.test import Client
from django.urls import reverse

from apps.api import rates
from apps.domain import keys as format_of_keys
from apps.portal.programs import DEVICE_CODE

pytestmark = [pytest.mark.once, pytest.mark.attack("F22", "F26", "fuzz")]
MARK = "qUaGgA"
SEED = 20_261_123
SHAPES = [
    *("{}", "' OR '{}'='{}' --", "{}'; DROP TABLE keys_key; --", '{}" OR ""="', "{}%s%d%(x)s", "\\'{}", "{}\\", "`{}`"),
    *("{}/*", "*/{}", "{}\x85", "é{}", "{}" * 500, "({})", "{}) UNION SELECT 1,2,3 --", "$1{}", ":{}", "?{}", "{}--"),
]


class Sent:
    """Every query as it is sent, without its parameters."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if "SAVEPOINT" not in sql:  # which have names of their own
            self.seen.add(sql)
        return execute(sql, params, many, context)


def values(number: int) -> list[str]:
    dice = random.Random(SEED)
    shaped = [
        format_of_keys.mint(public_bits=dice.getrandbits(71), secret_bits=dice.getrandbits(256), prefix=prefix)
        for prefix in ("weir", "weirapi", "weirat", "weirrt")
        for _ in range(3)
    ]
    return [*(shape.replace("{}", MARK) for shape in SHAPES), *shaped][:number]


def ways(client: Client, value: str) -> list[tuple[str, Any]]:
    """Wherever somebody may show something for which a database is asked."""
    form = {"grant_type": DEVICE_CODE, "device_code": value}
    return [
        ("a bearer", client.get("/api/v1/me", headers={"authorization": f"Bearer {value}"})),
        ("another scheme", client.get("/api/v1/me", headers={"authorization": f"Basic {value}"})),
        ("a device's code", client.post(reverse("oauth_token"), form)),
        (
            "a refresh token",
            client.post(reverse("oauth_token"), {"grant_type": "refresh_token", "refresh_token": value}),
        ),
        ("an end", client.post(reverse("oauth_revoke"), {"token": value})),
        ("a name", client.post(reverse("sign_in"), {"username": value, "password": value})),
        ("an invitation", client.get(reverse("portal:invitation", args=[value.replace("/", "")]))),
        ("a provider", client.get("/sign-in/with/example/back/", {"state": value, "code": value})),
        ("a tenant", client.get(reverse("sign_in"), {"tenant": value})),
        ("a logout", client.post("/sign-in/with/example/logged-out/", {"logout_token": value})),
        ("an operator's", client.get("/health/detailed", headers={"authorization": f"Bearer {value}"})),
        ("a session", shown(value).get("/account/")),
    ]


def shown(value: str) -> Client:
    found = Client(raise_request_exception=False)
    name = settings.SESSION_COOKIE_NAME
    found.cookies[name] = ""
    found.cookies[name].set(name, value, value.replace("\x85", ""))
    return found


def test_no_query_is_built_from_what_somebody_shows(world, figure):
    """However many values there are, there are as many queries as ways."""
    sent = Sent()
    statuses: dict[str, set[int]] = {}
    known: list[int] = []
    for value in values(100):
        rates.forget()
        with connection.execute_wrapper(sent):
            client = Client(raise_request_exception=False, REMOTE_ADDR=f"192.0.2.{len(known) + 1}")
            for way, answer in ways(client, value):
                statuses.setdefault(way, set()).add(answer.status_code)
                assert answer.status_code < 500, (way, value)
        known.append(len(sent.seen))
    assert not [sql for sql in sent.seen if MARK.lower() in sql.lower()]
    assert known[-1] == known[-2], "no new one comes with a new value"
    assert statuses["a bearer"] == statuses["another scheme"] == {401}
    assert statuses["an operator's"] <= {401, 403}
    assert statuses["a name"] == {200}
    assert statuses["a session"] == {302}
    figure("F26", "queries for all that was shown as a credential", known[-1], most=40)
