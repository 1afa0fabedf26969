"""`make run`: gateway, worker with beat, and the simulated provider under one foreground process.

The first start makes the database and seeds the demo (`gateway_site.demo`); later ones find in `var/demo.stamp` that
nothing has changed and go straight to serving. Stops all of them on Ctrl-C; leaves none behind even if killed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from typing import NoReturn

from django.core.exceptions import ImproperlyConfigured

from gateway_site import env, handout
from gateway_site.supervisor import Died, Stop, Supervisor

HOST = "127.0.0.1"
SIMULATOR_PORT = 8001
READY_SECONDS = 60.0
STAMP = env.VAR_DIR / "demo.stamp"
WORKER = (
    *("celery", "--app", "gateway_site", "worker", "--beat", "--pool", "solo", "--loglevel", "INFO"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
)
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever http_proxy says


class Refused(Exception):
    """Told to the person who typed the command."""


def main() -> int:
    parent = os.getppid() if env.UNDER_MAKE else None
    try:
        port = env.integer("PORT", 8000, least=1, most=65_535)
        with _only_one(), Supervisor(folder=env.BASE_DIR, logs=env.VAR_DIR / "log", parent=parent) as supervisor:
            _refuse_unless_free(port)
            _serve_until_stopped(supervisor, port=port)
    except Stop:
        _say("Stopped.")
        return 0
    except (Refused, Died, TimeoutError, ImproperlyConfigured) as end:
        print(f"make run: {end}", file=sys.stderr, flush=True)
        return 2 if isinstance(end, ImproperlyConfigured) else 1


def _serve_until_stopped(supervisor: Supervisor, *, port: int) -> NoReturn:
    try:
        _serve(supervisor, port=port)
    except Stop:
        _say("\nStopping. Calls that are running may finish; Ctrl-C again does not wait for them.")
        raise


def _say(text: str) -> None:
    """The terminal may have gone, and what is running is to end all the same."""
    with contextlib.suppress(OSError):
        print(text, flush=True)


def _serve(supervisor: Supervisor, *, port: int) -> NoReturn:
    variables = {
        "WEIR_DRAIN_SECONDS": "10",
        "WEIR_BASE_URL": f"http://{HOST}:{port}",
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "gateway_site.settings",
        "PYTHONUNBUFFERED": "1",
    }
    simulator = _prepare(supervisor, port=port, variables=variables)
    card = handout.write(handout.read() or {}, base_url=f"http://{HOST}:{port}")
    address = ["--host", HOST, "--port", str(port)]
    supervisor.start("gateway", ["gateway_site.server", *address], variables=variables)
    supervisor.start("simulator", ["apps.simulator", "--port", str(simulator)], variables=variables)
    supervisor.start("worker", WORKER, variables=variables)
    ready = f"http://{HOST}:{port}/health/ready"
    supervisor.wait_until(lambda: answers(ready), seconds=READY_SECONDS, what="the gateway")
    _say(welcome(card, ports=pinned_ports(f"http://{HOST}:{port}")))
    supervisor.watch()


@contextlib.contextmanager
def _only_one() -> Iterator[None]:
    """A lock that ends with this process, however it ends."""
    try:
        env.private_folder(env.VAR_DIR)
        file = (env.VAR_DIR / "run.lock").open("w")
    except OSError as error:
        raise Refused(f"Weir cannot write to {env.VAR_DIR}: {error.strerror}. WEIR_VAR= names another.") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            at = f", at {card['base_url']}" if (card := handout.read()) else ""
            told = (
                f"Weir is already running on {env.VAR_DIR}{at}. Ctrl-C there stops it; WEIR_VAR= names another folder."
            )
            raise Refused(told) from None
        yield


def _prepare(supervisor: Supervisor, *, port: int, variables: Mapping[str, str]) -> int:
    """The simulated provider's port, once database and demo are as this version of the code wants them."""
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        stamp = {}
    simulator = int(stamp.get("simulator_port", SIMULATOR_PORT))
    if simulator == port or not is_free(simulator):
        simulator = _free_port()
    wanted = {"simulator_port": simulator, "fingerprint": fingerprint()}
    if stamp != wanted or handout.read() is None or not (env.VAR_DIR / "weir.db").exists():
        _say("Preparing the database and the demo.")
        STAMP.unlink(missing_ok=True)
        arguments = ["--port", str(port), "--simulator-port", str(simulator)]
        supervisor.complete("demo", ["gateway_site.demo", *arguments], variables=variables)
        STAMP.write_text(json.dumps(wanted))
    return simulator


def fingerprint() -> str:
    """Changes with the migrations, the demo's own code, the dependencies and the database that is used."""
    files = [*env.BASE_DIR.glob("apps/*/migrations/0*.py"), *env.BASE_DIR.glob("gateway_site/demo/*.py")]
    digest = hashlib.sha256(env.text("DATABASE_URL", "").encode())
    for path in [*sorted(files), env.BASE_DIR / "requirements/base.txt"]:
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def pinned_ports(base_url: str) -> dict[str, str]:
    """What the gateway says of each port of a pinned endpoint: "open", or why it is not."""
    headers = {"Authorization": f"Bearer {env.secret('WEIR_OPERATOR_TOKEN')}"}
    request = urllib.request.Request(f"{base_url}/health/detailed", headers=headers)  # noqa: S310  # http, as above
    try:
        with _DIRECT.open(request, timeout=5) as answer:
            told: dict[str, str] = json.load(answer)["process"]["ports"]
            return told
    except (OSError, ValueError, LookupError):
        return {}  # they are told in the admin too


def welcome(card: dict[str, str], *, ports: Mapping[str, str] | None = None) -> str:
    base = card["base_url"]
    pinned = "".join(
        f"  Pinned to one model            http://{HOST}:{port}{'' if state == 'open' else f' ({state})'}\n"
        for port, state in (ports or {}).items()
    )
    question = '{"model": "claude-sonnet-4-6", "max_tokens": 200, "stream": true, "messages": [{"role": "user", '
    return f"""
Weir is running; Ctrl-C stops it.

  Claude and Anthropic clients   {base}
  OpenAI clients                 {base}/v1
{pinned}  API key                        {card["api_key"]}
  Portal, for members of Acme    {base}/
    {card["developer_user"]:<28} {card["developer_password"]}
  Admin, for who runs it all     {card["admin_url"]}
    {card["admin_user"]:<28} {card["admin_password"]}
  The same, for programs         {handout.PATH}
  Logs                           {env.VAR_DIR / "log"}

Try it:

curl -N {base}/v1/messages -H 'x-api-key: {card["api_key"]}' -H 'content-type: application/json' \\
  -d '{question}"content": "What is a weir?"}}]}}'
"""


def answers(url: str) -> bool:
    try:
        with _DIRECT.open(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _refuse_unless_free(port: int) -> None:
    if not is_free(port):
        why = "needs root" if port < 1024 and os.geteuid() else "is taken"
        another = port + 1 if 1024 <= port < 65_535 else _free_port()
        raise Refused(f"Port {port} {why}. Choose another: make run PORT={another}")


def is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
        return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
