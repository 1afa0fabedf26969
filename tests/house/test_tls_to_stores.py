"""Whoever asks a Redis by `rediss://` believes only whom the machine trusts: the broker's client, which by itself would
believe anybody, and the others."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import services
from tests.deploy import tools
from tests.house.test_settings import start
from tests.outbound.test_tls import certificate

ASK = """
import asyncio, json, os, sys
import django
django.setup()
from channels.layers import get_channel_layer
from django.conf import settings
from apps.runtime import standings
from gateway_site.celery import app

def broker():
    with app.connection_for_write() as connection:
        connection.connect()

def outcome(ask):
    try:
        ask()
    except Exception as error:
        return "refused" if "certificate" in str(error).lower() else f"{type(error).__name__}: {error}"
    return "reached"

print(json.dumps({
    "broker": outcome(broker),
    "limits": outcome(lambda: standings.client(settings.REDIS_URL).ping()),
    "pages": outcome(lambda: asyncio.run(get_channel_layer().send("nobody", {"type": "word"}))),
}))
"""


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """The certificate of a Redis, which is for `localhost`, and its port. The program is Debian's: that of the wheel
    speaks no TLS."""
    folder = tmp_path_factory.mktemp("secured")
    certificate(folder, host="localhost")
    port = services.free_port()
    said = {"port": port, "cert-file": folder / "cert.pem", "key-file": folder / "key.pem", "auth-clients": "no"}
    options = [str(part) for name, value in said.items() for part in (f"--tls-{name}", value)]
    if (program := shutil.which("redis-server")) is None:
        tools.lacks("redis-server", "needs redis-server (Debian has it)")
    with services.valkey(Path(program), *options):
        yield folder / "cert.pem", port


@pytest.mark.parametrize(
    ("trusts", "host", "outcome"),
    [
        (True, "localhost", "reached"),
        (False, "localhost", "refused"),
        (True, "127.0.0.1", "refused"),  # a name that is not the certificate's
    ],
)
def test_who_speaks_tls_is_believed_by_a_certificate(secured, tmp_path, trusts, host, outcome):
    trusted, port = secured
    url = f"rediss://{host}:{port}/0"
    told = start(tmp_path, ASK, REDIS_URL=url, CELERY_BROKER_URL="", SSL_CERT_FILE=str(trusted) if trusts else "")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout.splitlines()[-1]) == dict.fromkeys(("broker", "limits", "pages"), outcome)
