"""The gateway as its users run it: a process of its own, under Uvicorn or Daphne, with a `var` of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests import migrated
from tests.servers import ROOT, Process, start_process

READY = re.compile(r"(?:running on|Listening on TCP address) (?:http://)?(127\.0\.0\.1:\d+)")
SERVERS = {  # the first is how it is deployed, the second what `runserver` uses
    "uvicorn": ["gateway_site.server", "--host", "127.0.0.1", "--port", "{port}"],
    "daphne": [
        "daphne",
        "-b",
        "127.0.0.1",
        "-p",
        "{port}",
        "--access-log",
        os.devnull,
        "gateway_site.asgi:application",
    ],
}
FRONT = "WEIR_TEST_FRONT"  # an installation that runs already, as a `Front` in JSON: then nothing is started


@dataclass(frozen=True)
class Front:
    """What stands before gateways that somebody else has started, as nginx. `authority` is a file: whose word on its
    certificate is taken. `simulator` and `meter` are its provider's address and the file of its meter."""

    base_url: str
    key: str
    authority: str
    simulator: str
    meter: str


def front() -> Front | None:
    told = os.environ.get(FRONT)
    return Front(**json.loads(told)) if told else None


def trust(gateway: Gateway | Front) -> ssl.SSLContext | None:
    """None: there is no TLS."""
    return ssl.create_default_context(cafile=gateway.authority) if isinstance(gateway, Front) else None


@dataclass(frozen=True)
class Gateway:
    """A running one. `base_url` has no `/v1`."""

    base_url: str
    key: str
    var: Path
    process: Process

    @property
    def database(self) -> Path:
        return self.var / "weir.db"


def environment(var: Path) -> dict[str, str]:
    """Embedded: SQLite and nothing else, whatever the test run itself uses."""
    alone = dict.fromkeys(("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL"), "")
    return {
        **alone,
        "WEIR_PROFILE": "embedded",
        "WEIR_VAR": str(var),
        "DJANGO_SETTINGS_MODULE": "gateway_site.settings",
    }


def run(*command: str, var: Path) -> str:
    """What one of ours says that works on the books in `var`. Raises AssertionError if it fails."""
    done = subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, **environment(var)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def seeded(var: Path, *, simulator_url: str, by: str = "tests.sdk.seed") -> str:
    """Makes a `var` with a database that is migrated, and seeded `by` this module. Returns the caller's key."""
    return str(card(var, simulator_url=simulator_url, by=by)["key"])


def card(var: Path, *, simulator_url: str, by: str) -> dict[str, str]:
    """The same. Returns all that it says its callers need."""
    var.mkdir()
    shutil.copy(migrated.sqlite(), var)
    return json.loads(run("-m", by, simulator_url, var=var).splitlines()[-1])


def start_gateway(
    server: str,
    *,
    var: Path,
    key: str,
    log: Path | None = None,
    settings: Mapping[str, str] | None = None,
    port: int = 0,
) -> Gateway:
    """Under `server`, on the books in `var`. They are locked: one gateway at a time. `log`: a file elsewhere. `port` 0:
    any that is free."""
    process = start_process(
        [sys.executable, "-m", *(word.format(port=port) for word in SERVERS[server])],
        ready=READY,
        log=log or var / f"{server}.log",
        env={**environment(var), **(settings or {})},
    )
    return Gateway(base_url=f"http://{process.announced}", key=key, var=var, process=process)
