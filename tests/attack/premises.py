"""An installation to be searched: PostgreSQL, Valkey, a collector, receivers of events and mail, a provider that tells
all it is told, and Weir's four processes in between, whose every secret is a canary. The environment names a proxy that
nobody is to use, and a `.netrc` that nobody is to read."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from tests import migrated, services
from tests.attack.canaries import Coop
from tests.attack.leaky import ENDS, STATUSES, Leaky, leaking
from tests.collector import Collector
from tests.control.receivers import MailServer, Receiver, mail_server, receiver
from tests.faults.installation import Refused, Talker
from tests.topology.stack import Member

OTLP_MILLISECONDS = "1500"


class Proxy:
    """Remembers what is asked of it, and answers nothing."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                with connection:
                    connection.settimeout(1)
                    self.asked.append(connection.recv(500))

    def stop(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class Ear:
    """Everything that is said to a Valkey: commands with their arguments, so messages of Celery too."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((str(parts.hostname), parts.port or 0))
        self._socket.sendall(f"AUTH {parts.password}\r\nMONITOR\r\n".encode())
        self.heard = bytearray()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._socket.recv(65_536):
                self.heard += data

    def stop(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()


@dataclass
class Premises:
    """`made` is what the installation has made of secrets by itself, as it was told once. `words` are all others."""

    folder: Path
    coop: Coop
    leaky: Leaky
    collector: Collector
    events: Receiver
    mail: MailServer
    proxy: Proxy
    database: services.Service
    redis: services.Service
    ports: dict[str, int]
    words: dict[str, str]
    made: dict[str, str] = field(default_factory=dict)
    members: dict[str, Member] = field(default_factory=dict)
    clerk: Talker | None = None
    ear: Ear | None = None

    @property
    def redis_url(self) -> str:
        parts = urlsplit(self.redis.url)
        return urlunsplit(parts._replace(netloc=f":{self.words['Redis password']}@{parts.netloc}"))

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.ports[name]}"

    def ask(self, what: str, **arguments: Any) -> Any:
        """Something of the clerk: a public function of `tests.attack.clerk`. Raises Refused."""
        assert self.clerk is not None
        answer = self.clerk.ask({"do": what, "with": arguments})
        if "failed" in answer:
            raise Refused(f"{what}: {answer['failed']}")
        return answer["told"]

    def environment(self) -> dict[str, str]:
        ours = ("WEIR_", "OTEL_", "DATABASE_", "REDIS_", "CELERY_", "DJANGO_")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        words = self.words
        proxies = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), self.proxy.url)
        path = f"{services.client_programs()}{os.pathsep}{os.environ['PATH']}"
        return {
            **clean,
            **proxies,
            **{name.lower(): url for name, url in proxies.items()},
            "NO_PROXY": "",
            "HOME": str(self.folder / "home"),
            "PATH": path,
            "DJANGO_SETTINGS_MODULE": "gateway_site.settings",
            "PYTHONUNBUFFERED": "1",
            "WEIR_PROFILE": "production",
            "WEIR_VAR": str(self.folder / "var"),
            "DATABASE_URL": migrated.database(self.database.url),
            "REDIS_URL": self.redis_url,
            "WEIR_BASE_URL": "https://weir.example",
            "WEIR_ALLOWED_HOSTS": "weir.example,127.0.0.1",
            "WEIR_TRUSTED_PROXIES": "127.0.0.1",
            "WEIR_DRAIN_SECONDS": "5",
            "WEIR_PRESTOP_SECONDS": "0",
            "WEIR_REFRESH_SECONDS": "0.2",
            "WEIR_BALLAST_MB": "1",
            "WEIR_SECRET_KEY": words["secret key"],
            "WEIR_OPERATOR_TOKEN": words["operator token"],
            "WEIR_KEYRING": f"1:{words['keyring']}",
            "WEIR_KEY_PEPPER": words["pepper"],
            "WEIR_VAULT_TOKEN": words["Vault token"],
            "WEIR_EMAIL_URL": f"smtp://weir:{words['mail password']}@127.0.0.1:{self.mail.port}",
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.collector.url,
            "OTEL_EXPORTER_OTLP_HEADERS": f"authorization=Bearer%20{words['collector key']}",
            "OTEL_METRIC_EXPORT_INTERVAL": OTLP_MILLISECONDS,
            "OTEL_TRACES_SAMPLER": "always_on",
        }

    def add(self, name: str, *command: str, probed: bool = False) -> None:
        environment = {**self.environment(), "WEIR_REPLICA": name}
        if probed:
            environment["WEIR_PROBE_PORT"] = str(self.ports[name])
        self.members[name] = Member(name, [*command], self.ports[name], self.folder / f"{name}.log", environment)

    def end(self) -> None:
        """All at once."""
        left = [each for each in self.members.values() if each.process and each.process.popen.poll() is None]
        with ThreadPoolExecutor(len(NAMES)) as threads:
            for stopped in [threads.submit(member.stop) for member in left]:
                stopped.result()


NAMES = ("gateway", "control", "worker", "beat")


@contextlib.contextmanager
def opened(folder: Path, coop: Coop) -> Iterator[Premises]:
    """An installation that serves, for as long as the block lasts. It and its stores are stopped afterwards."""
    words = _words(coop)
    told = {"said": words["answer"], "reasoned": words["thought"], "called": words["tool's arguments"]}
    with contextlib.ExitStack() as held:
        premises = Premises(
            folder=folder,
            coop=coop,
            leaky=held.enter_context(leaking(**told)),
            collector=Collector(),
            events=held.enter_context(receiver()),
            mail=held.enter_context(mail_server()),
            proxy=Proxy(),
            database=held.enter_context(services.postgresql(copied=migrated.cluster())),
            redis=held.enter_context(services.valkey(None, "--requirepass", words["Redis password"])),
            ports={name: services.free_port() for name in NAMES},
            words=words,
        )
        held.callback(premises.proxy.stop)
        held.callback(premises.collector.stop)
        _furnish(premises)
        premises.ear = Ear(premises.redis_url)
        held.callback(premises.ear.stop)
        held.callback(premises.end)
        premises.clerk = Talker("tests.attack.clerk", environment=premises.environment(), log=folder / "clerk.log")
        held.callback(premises.clerk.close)
        kinds = [*STATUSES, *ENDS]
        told = {"leaky": premises.leaky.url, "receiver": premises.events.url}
        premises.made = premises.ask("seed", words=words, kinds=kinds, **told)
        for name, text in premises.made.items():
            coop.add(name, secret_part(text))
        premises.add("gateway", "gateway_site.server", "--role", "gateway", "--port", str(premises.ports["gateway"]))
        premises.add("control", "gateway_site.server", "--role", "control", "--port", str(premises.ports["control"]))
        premises.add("worker", "gateway_site.worker", "--concurrency", "1", probed=True)
        premises.add("beat", "gateway_site.beat", probed=True)
        with ThreadPoolExecutor(len(NAMES)) as threads:
            for started in [threads.submit(member.start) for member in premises.members.values()]:
                started.result()
        yield premises


def secret_part(text: str) -> str:
    """Without what names a key or a token of Weir's own, which logs and pages may hold."""
    return text.split("_", 2)[2] if text.startswith("weir") else text


def _furnish(premises: Premises) -> None:
    (premises.folder / "var").mkdir()
    home = premises.folder / "home"
    home.mkdir()
    netrc = home / ".netrc"
    netrc.touch(mode=0o600)
    netrc.write_text(f"default login weir password {premises.words['netrc']}\n")


def _words(coop: Coop) -> dict[str, str]:
    """What is put into the installation and into calls. Of no vendor's shape where none is named: who finds it must
    know it, not guess it."""
    words = {name: coop.make(name) for name in PLAIN}
    words["shaped credential"] = coop.make("shaped credential", "sk-proj-{}")
    words["AWS key"] = f"AKIA{secrets.token_hex(8).upper()}:{coop.make('AWS key', length=40)}"
    words["secret key"] = coop.make("secret key", length=60)
    for name in ("e-mail", "invited e-mail", "another e-mail", "lost e-mail", "another invited e-mail"):
        words[name] = coop.make(name, "{}@people.example").lower()
    # Too few digits to be taken for a card's number.
    words["phone"] = coop.add("phone", f"+49 30 {coop.dice.randrange(10**8):08}")
    return words


PLAIN = (
    *("credential", "broker's password", "service account", "chat address", "client secret", "report key"),
    *("operator token", "keyring", "pepper", "Vault token", "mail password", "collector key", "Redis password"),
    *("netrc", "password of root", "password of alice", "wrong password", "password typed as a name"),
    *("prompt", "system prompt", "tool's result", "picture", "vector's input", "broken prompt", "user of the caller"),
    *("header", "query", "answer", "thought", "tool's arguments", "argument of a task", "given secret", "given key"),
    *("first name", "last name", "user agent", "session name"),
    *("project's name", "model's name"),
)
