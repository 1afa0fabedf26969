"""What browsers are given to keep in production: sent over TLS alone, to this very host alone, and with no form from
elsewhere."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from secrets import token_urlsafe

import pytest

from tests import migrated
from tests.architecture import tree

pytestmark = [pytest.mark.once, pytest.mark.attack("F29")]

# A visitor signs in, makes a key, and is told so: all that sets a cookie.
VISIT = """
import json, os, django
from django.conf import settings
settings.DATABASES["default"] = {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ["STORE"]}
django.setup()
from django.test import Client
from apps.accounts import services as accounts
from apps.tenants import services as tenants
from tests.control.desk import fields

alice = accounts.create_user(actor=None, username="alice", password="a long and winding password")
acme = tenants.create_tenant(actor=None, name="Acme", owner=alice)
project = tenants.create_project(acme, actor=None, name="Rockets")
client, told = Client(headers={"host": "weir.example"}), []
def went(answer):
    told.extend(morsel.OutputString() for morsel in answer.cookies.values())
    return answer
went(client.get("/sign-in/", secure=True))
form = {"username": "alice", "password": "a long and winding password"}
assert went(client.post("/sign-in/", form, secure=True)).status_code == 302
page = client.get("/t/acme/keys/new/", secure=True).content.decode()
new = fields(page) | {"name": "Laptop"}
assert went(client.post("/t/acme/keys/new/", new, secure=True)).status_code == 302
went(client.post("/sign-out/", secure=True))
print(json.dumps([settings.SESSION_COOKIE_NAME, settings.CSRF_COOKIE_NAME, told]))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list:
    var = tmp_path_factory.mktemp("var")
    shutil.copy(migrated.sqlite(), var / "weir.db")
    given = {name: value for name, value in os.environ.items() if not name.startswith(("WEIR_", "DATABASE_", "REDIS"))}
    given |= {
        "DJANGO_SETTINGS_MODULE": "gateway_site.settings",
        "WEIR_PROFILE": "production",
        "WEIR_VAR": str(var),
        "STORE": str(var / "weir.db"),  # a file will do, to see cookies
        "DATABASE_URL": "postgres://u:p@127.0.0.1:1/n",
        "REDIS_URL": "redis://127.0.0.1:1/0",
        "CELERY_BROKER_URL": "redis://127.0.0.1:1/1",
        "WEIR_BASE_URL": "https://weir.example",
        "WEIR_ALLOWED_HOSTS": "weir.example",
        "WEIR_TRUSTED_PROXIES": "none",
        **{f"WEIR_{name}": token_urlsafe(48) for name in ("SECRET_KEY", "KEYRING", "OPERATOR_TOKEN")},
    }
    ended = subprocess.run(
        [sys.executable, "-c", VISIT], cwd=tree.ROOT, env=given, capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr[-2_000:]
    return json.loads(ended.stdout.splitlines()[-1])


def test_whoever_is_signed_in_is_known_by_cookies_that_no_neighbour_can_plant(told):
    session, token, given = told
    assert (session, token) == ("__Host-sessionid", "__Host-csrftoken")
    named = [cookie.partition("=")[0] for cookie in given]
    assert {session, token} <= set(named)
    for cookie in given:
        name = cookie.partition("=")[0]
        flags = {flag.strip().lower() for flag in cookie.split(";")[1:]}
        assert "secure" in flags or "max-age=0" in flags, cookie
        assert not any(flag.startswith("domain=") for flag in flags), cookie
        assert flags & {"samesite=lax", "samesite=strict"}, cookie
        if name.startswith("__Host-"):
            assert "path=/" in flags, cookie
        if name != token:  # which scripts of this site send as a header
            assert "httponly" in flags or "max-age=0" in flags, cookie


def test_there_is_no_other_cookie(told, figure):
    """`weir_issued` is half of what opens a key once, for one page; `messages` is signed."""
    names = {cookie.partition("=")[0] for cookie in told[2]}
    assert names <= {"__Host-sessionid", "__Host-csrftoken", "weir_issued", "messages"}
    figure("F29", "kinds of cookies", len(names), most=4)


def test_scripts_find_the_token_by_either_name():
    """The page of the API's description sends it with what is tried there."""
    script = Path(tree.ROOT, "static/api/docs.js").read_text(encoding="utf-8")
    (pattern,) = re.findall(r"match\(/(.+?)/\)", script)
    for cookies in ("csrftoken=abc", "theme=dark; csrftoken=abc", "a=b; __Host-csrftoken=abc; c=d"):
        found = re.search(pattern, cookies)
        assert found is not None, cookies
        assert found[1] == "abc"
    assert re.search(pattern, "xcsrftoken=abc") is None
