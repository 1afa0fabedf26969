"""Production on one machine, as docs/production.md has it: two gateways, control, worker and beat, on PostgreSQL,
Valkey and RabbitMQ, behind nginx, watched by Prometheus. All real, on ports and in a folder of their own."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests import migrated, rabbitmq, services
from tests.deploy import front
from tests.servers import ROOT, Process, Simulator, start_process, start_simulator, until
from tests.topology.seed import EXCHANGE

READY = re.compile(r"running on http://127\.0\.0\.1:(\d+)")
GATEWAYS = 2
PROBED = ("worker", "beat")
QUEUE = "events"  # gets all of them


@dataclass
class Member:
    """One of Weir's own processes; `port` is where it is asked for health and figures."""

    name: str
    command: list[str]
    port: int
    log: Path
    environment: Mapping[str, str]
    process: Process | None = None

    def start(self) -> None:
        """Returns when it is ready."""
        ready = READY if "gateway_site.server" in self.command else re.compile(r"(celery@\S+ ready|beat: Starting)")
        self.process = start_process(
            [sys.executable, "-m", *self.command], ready=ready, log=self.log, env=self.environment
        )
        until(self.is_ready)

    def is_ready(self) -> bool:
        with contextlib.suppress(OSError), urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=3) as answer:
            return bool(answer.status == 200)
        return False

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.stop(signal.SIGKILL)
            self.process = None

    def stop(self) -> None:
        """SIGTERM, to its end."""
        if self.process is not None:
            process, self.process = self.process, None
            assert process.stop() == 0, process.output()[-5000:]


@dataclass
class Stack:
    """`key` is a caller's, `poor` one's who cannot pay, `narrow` one's for the model of that name, and `operator`
    is the token of the telling pages."""

    folder: Path
    provider: Simulator
    database: services.Service
    redis: services.Service
    broker: rabbitmq.Broker
    nginx: front.Front
    ports: dict[str, int]
    operator: str = field(default_factory=lambda: secrets.token_urlsafe(36), repr=False)
    key: str = ""
    poor: str = ""
    narrow: str = ""
    members: dict[str, Member] = field(default_factory=dict)

    @property
    def authority(self) -> Path:
        """Whose word on nginx's certificate is to be taken."""
        return self.folder / "nginx" / "tls" / "fullchain.pem"

    @property
    def gateways(self) -> list[Member]:
        return [member for name, member in self.members.items() if name.startswith("gateway")]

    def environment(self) -> dict[str, str]:
        """What `/etc/weir/weir.env` would say. Secrets come from files."""
        held = self.folder / "secrets"
        if not held.exists():
            self._write_secrets(held)
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("WEIR_", "OTEL_"))}
        return {
            **clean,
            "DJANGO_SETTINGS_MODULE": "gateway_site.settings",
            "PYTHONUNBUFFERED": "1",
            "WEIR_PROFILE": "production",
            "WEIR_VAR": str(self.folder / "var"),
            "DATABASE_URL": "",
            "REDIS_URL": self.redis.url,
            "CELERY_BROKER_URL": "",
            **{f"{path.name}_FILE": str(path) for path in held.iterdir() if path.name != "keyring"},
            "WEIR_KEYRING": f"file:{held / 'keyring'}",
            "WEIR_BASE_URL": self.nginx.https,
            "WEIR_ALLOWED_HOSTS": "localhost,127.0.0.1",
            "WEIR_TRUSTED_PROXIES": "127.0.0.1",
            "WEIR_DRAIN_SECONDS": "60",
        }

    def _write_secrets(self, held: Path) -> None:
        held.mkdir(mode=0o700)
        broker = f"amqp://{self.broker.user}:{self.broker.password}@127.0.0.1:{self.broker.port}//"
        told = {
            "DATABASE_URL": migrated.database(self.database.url),
            "CELERY_BROKER_URL": broker,
            "WEIR_SECRET_KEY": secrets.token_urlsafe(48),
            "WEIR_OPERATOR_TOKEN": self.operator,
            "keyring": base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        for name, value in told.items():
            (held / name).touch(mode=0o600)
            (held / name).write_text(value)

    def run(self, *command: str) -> str:
        """One of ours, as an operator runs it: what it says. Raises AssertionError if it fails."""
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def do(self, task: str) -> None:
        """Hands the worker a task, as the beat does."""
        self.run("-m", "celery", "--app", "gateway_site", "call", task)

    def ask(self, member: Member, path: str) -> Any:
        """A telling page of one process, as an operator."""
        headers = {"Authorization": f"Bearer {self.operator}", "X-Forwarded-Proto": "https"}
        request = Request(f"http://127.0.0.1:{member.port}{path}", headers=headers)
        with urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def _add(self, name: str, *command: str, port: int) -> None:
        environment = {**self.environment(), "WEIR_REPLICA": name}
        if name in PROBED:
            environment["WEIR_PROBE_PORT"] = str(port)
        log = self.folder / f"{name}.log"
        self.members[name] = Member(name, list(command), port, log, environment)

    def prepare(self) -> None:
        """Static files, what callers call, and where events go; then it is known which processes there are."""
        self.run("manage.py", "collectstatic", "--noinput", "--verbosity", "0")
        self.broker.bind(QUEUE, exchange=EXCHANGE)
        told = self.run("-m", "tests.topology.seed", self.provider.base_url, self.broker.url, self.broker.password)
        keys = json.loads(told.splitlines()[-1])
        self.key, self.poor, self.narrow = keys["key"], keys["poor"], keys["narrow"]
        for number in range(GATEWAYS):
            self._serve(f"gateway-{number}", role="gateway")
        self._serve("control", role="control")
        self._add("worker", "gateway_site.worker", "--concurrency", "2", port=self.ports["worker"])
        self._add("beat", "gateway_site.beat", port=self.ports["beat"])

    def _serve(self, name: str, *, role: str) -> None:
        port = self.ports[name]
        self._add(name, "gateway_site.server", "--role", role, "--port", str(port), port=port)


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Stack]:
    """Raises services.NotAvailable where one of the servers cannot be had."""
    with contextlib.ExitStack() as held:
        provider = start_simulator(folder, "--fast")
        held.callback(provider.stop)
        names = (*(f"gateway-{number}" for number in range(GATEWAYS)), "control", *PROBED)
        ports = {name: services.free_port() for name in names}
        (folder / "var").mkdir()
        stack = Stack(
            folder=folder,
            provider=provider,
            database=held.enter_context(services.postgresql(copied=migrated.cluster())),
            redis=held.enter_context(services.valkey()),
            broker=held.enter_context(rabbitmq.running()),
            nginx=held.enter_context(_nginx(folder, ports)),
            ports=ports,
        )
        stack.prepare()
        for member in stack.members.values():
            held.callback(_end, member)
            member.start()
        yield stack


def _nginx(folder: Path, ports: Mapping[str, int]) -> contextlib.AbstractContextManager[front.Front]:
    *gateways, control = (f"127.0.0.1:{ports[name]}" for name in ports if name not in PROBED)
    return front.running(folder / "nginx", gateways=gateways, pages=control)


def _end(member: Member) -> None:
    """Also where the test has failed: whatever it left is gone afterwards."""
    if member.process is not None and member.process.popen.poll() is None:
        member.stop()
