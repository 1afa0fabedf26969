"""A real RabbitMQ for tests: Debian's programs, started as child processes of the test run, as root or anybody.

It has a folder, ports and a name of its own, and an `epmd` (which Erlang would otherwise leave running) of its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from amqp import Connection

from tests.services import NotAvailable, Server, _folder, free_port

PROGRAMS = Path("/usr/lib/rabbitmq/bin")
READY = "completed with"
WAIT_SECONDS = 60.0


@dataclass(frozen=True)
class Broker:
    """`url` without its password, as Weir stores it."""

    port: int
    server: Server
    user: str = "guest"
    password: str = "guest"

    @property
    def url(self) -> str:
        return f"amqp://{self.user}@127.0.0.1:{self.port}/"

    @contextlib.contextmanager
    def channel(self) -> Iterator[Any]:
        connection = Connection(host=f"127.0.0.1:{self.port}", userid=self.user, password=self.password)
        connection.connect()
        try:
            yield connection.channel()
        finally:
            connection.collect()

    def bind(self, queue: str, *, exchange: str, key: str = "#", arguments: dict[str, Any] | None = None) -> None:
        """A durable queue on a durable topic exchange."""
        with self.channel() as channel:
            channel.exchange_declare(exchange, "topic", durable=True, auto_delete=False)
            channel.queue_declare(queue, durable=True, auto_delete=False, arguments=arguments)
            channel.queue_bind(queue, exchange, key)

    def taken(self, queue: str) -> list[Any]:
        """All messages that lie in the queue, which is empty afterwards."""
        found = []
        with self.channel() as channel:
            while (message := channel.basic_get(queue, no_ack=True)) is not None:
                found.append(message)
        return found


def available() -> str:
    """ "": it can be started; else why not."""
    missing = [name for name in ("erl", "epmd") if shutil.which(name) is None]
    if not (PROGRAMS / "rabbitmq-server").exists():
        missing.append("rabbitmq-server")
    return f"needs {', '.join(missing)} (Debian's rabbitmq-server)" if missing else ""


@contextlib.contextmanager
def running(*, tls: ssl.SSLContext | None = None) -> Iterator[Broker]:
    """Raises NotAvailable."""
    if reason := available():
        raise NotAvailable(reason)
    with _folder() as folder:
        ports = {name: free_port() for name in ("amqp", "dist", "epmd")}
        environment = _environment(folder, ports)
        for name in ("data", "home"):
            (folder / name).mkdir()
        (folder / "plugins").write_text("[].\n")
        said = [f"{name}={value}" for name, value in environment.items()]
        mapper = Server(["env", *said, "epmd", "-d"], log=folder / "epmd.log", ready="epmd running", user=None)
        server = Server(["env", *said, PROGRAMS / "rabbitmq-server"], log=folder / "log", ready=READY, user=None)
        mapper.start()
        try:
            server.start()
            yield Broker(port=ports["amqp"], server=server)
        finally:
            server.end(signal.SIGKILL)
            mapper.end(signal.SIGTERM)


def _environment(folder: Path, ports: dict[str, int]) -> dict[str, str]:
    """One scheduler, nothing of the machine's own configuration, and the log to where it was started."""
    return {
        "HOME": str(folder / "home"),
        "RUNNING_UNDER_SYSTEMD": "true",  # the virtual machine itself is the child, not a shell above it
        "ERL_EPMD_PORT": str(ports["epmd"]),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"weir-{os.getpid()}-{ports['amqp']}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(ports["amqp"]),
        "RABBITMQ_DIST_PORT": str(ports["dist"]),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder / "data"),
        "RABBITMQ_LOGS": "-",
        "RABBITMQ_CONFIG_FILE": str(folder / "none"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +A 4",
    }
