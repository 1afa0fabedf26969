"""One set of books with everything around it: stores behind proxies, a provider that meters itself, gateways to kill.

A gateway is `python -m gateway_site.server` in a process of its own; see `nursery` for how it is made cheaply.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from tests import migrated, services
from tests.faults.proxy import Proxy
from tests.house.processes import alive, state
from tests.servers import ROOT, START_SECONDS, STOP_SECONDS, Simulator

READY = re.compile(r"running on (?:http://)?127\.0\.0\.1:\d+")


class Refused(AssertionError):
    """The desk could not do what was asked. Its traceback."""


class Talker:
    """A helper process that answers each line of JSON with one."""

    def __init__(self, module: str, *, environment: Mapping[str, str], log: Path, tree: Path = ROOT) -> None:
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=tree,
                env={**os.environ, **environment},
                text=True,
                start_new_session=True,
            )
        self._log = log
        self._read()

    def ask(self, order: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, self._log.read_text()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


class Gateway:
    """A gateway's process. `name` is what its leases and its journal's name begin with."""

    def __init__(
        self, nursery: Talker, *, port: int, log: Path, failpoint: str, settings: Mapping[str, Any], clock: float
    ) -> None:
        self.port = port
        self.base_url = f"http://127.0.0.1:{port}"
        self.log = log
        self.failpoint = failpoint
        self._nursery = nursery
        order = {"port": port, "log": str(log), "failpoint": failpoint, "settings": dict(settings), "clock": clock}
        self.pid: int = nursery.ask(order)["pid"]
        self._status: int | None = None

    @property
    def name(self) -> str:
        return f"{os.uname().nodename}-{self.pid}-"

    @property
    def stands_still(self) -> bool:
        """Stopped by a signal: ours, or its own at a failpoint."""
        return state(self.pid) == "T"

    @property
    def lives(self) -> bool:
        return bool(alive([self.pid]))

    def wait_until_it_serves(self) -> bool:
        """False: it has died first. One that stops itself on the way is let go on."""
        deadline = time.monotonic() + START_SECONDS
        while not READY.search(self.output()):
            if not self.lives:
                return False
            if self.stands_still:
                self.resume()
            assert time.monotonic() < deadline, f"it does not start:\n{self.output()}"
            time.sleep(0.005)
        return True

    def is_ready(self) -> bool:
        """What a balancer asks."""
        with contextlib.suppress(OSError, URLError), urlopen(f"{self.base_url}/health/ready", timeout=3) as answer:
            return bool(answer.status == 200)
        return False

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        self._signal(signal.SIGKILL)
        self.collect()

    def stop(self) -> None:
        """SIGSTOP: it is there and does nothing."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def tell_to_end(self) -> None:
        """SIGTERM; does not wait."""
        self._signal(signal.SIGTERM)

    def set_clock_right(self) -> None:
        self._signal(signal.SIGUSR2)

    def terminate(self) -> int:
        """SIGTERM, to its end. Its exit status."""
        self.tell_to_end()
        return self.collect()

    def collect(self, *, seconds: float = STOP_SECONDS) -> int:
        """Its exit status (-n: killed by signal n) when it has ended. Raises AssertionError for one that does not."""
        deadline = time.monotonic() + seconds
        while self._status is None and self.lives:
            if time.monotonic() > deadline:
                self._signal(signal.SIGKILL)
                raise AssertionError(f"{self.base_url} did not end:\n{self.output()[-5000:]}")
            if self.stands_still:
                self.resume()
            time.sleep(0.005)
        if self._status is None:
            self._status = int(self._nursery.ask({"collect": self.pid})["status"])
        return self._status

    def _signal(self, number: signal.Signals) -> None:
        if self._status is None and self.lives:
            os.kill(self.pid, number)


class Installation:
    """What an operator runs. `database` and `redis` are the stores themselves, or None for SQLite and for none."""

    def __init__(
        self,
        folder: Path,
        *,
        provider: Simulator,
        database: services.Service | None = None,
        redis: services.Service | None = None,
        blank: Path | None = None,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.provider = provider
        self.database = database
        self.redis = redis
        self.to_database = Proxy(database.url) if database else None
        self.to_redis = Proxy(redis.url) if redis else None
        self.var = folder / "var"
        if blank is not None:
            shutil.copytree(blank, self.var)
        else:
            self.var.mkdir(parents=True)
            if database is None:
                shutil.copy(migrated.sqlite(), self.var)
        self.journals = self.var / "journal"
        self.gateways: list[Gateway] = []
        self._variables = dict(variables or {})
        self._began = 0
        self._helpers: dict[tuple[str, Path], Talker] = {}
        self._desk(ROOT)
        self._nursery(ROOT)

    def _desk(self, tree: Path) -> Talker:
        database, redis = (store.url if store else "" for store in (self.database, self.redis))
        return self._helper("desk", self.environment(database, redis), tree)

    def _nursery(self, tree: Path) -> Talker:
        database, redis = (proxy.url if proxy else "" for proxy in (self.to_database, self.to_redis))
        return self._helper("nursery", self.environment(database, redis), tree)

    def _helper(self, name: str, environment: Mapping[str, str], tree: Path) -> Talker:
        """Of the code in that folder: another release may run beside this one."""
        if (name, tree) not in self._helpers:
            log = self.folder / f"{name}-{len(self._helpers)}.log"
            self._helpers[name, tree] = Talker(f"tests.faults.{name}", environment=environment, log=log, tree=tree)
        return self._helpers[name, tree]

    def environment(self, database: str, redis: str) -> dict[str, str]:
        return {
            "DATABASE_URL": database,
            "REDIS_URL": redis,
            "CELERY_BROKER_URL": "",
            "WEIR_PROFILE": "embedded",
            "WEIR_VAR": str(self.var),
            "WEIR_REFRESH_SECONDS": "0.2",
            "WEIR_DRAIN_SECONDS": "10",
            "DJANGO_SETTINGS_MODULE": "gateway_site.settings",
            "PYTHONUNBUFFERED": "1",
            **self._variables,
        }

    def ask(self, what: str, *, tree: Path = ROOT, **arguments: Any) -> Any:
        """Something of the operator's desk: a public function of `tests.faults.desk`. Raises Refused."""
        answer = self._desk(tree).ask({"do": what, "with": arguments})
        if "failed" in answer:
            raise Refused(f"{what}: {answer['failed']}")
        return answer["told"]

    def begin(
        self,
        *,
        failpoint: str = "",
        port: int | None = None,
        clock: float = 0.0,
        journal: Path | None = None,
        tree: Path = ROOT,
        **settings: Any,
    ) -> Gateway:
        """A gateway that is starting. Its `clock` is so many seconds ahead, its `journal` a folder of its own, its code
        that of `tree`; `settings` are Django's by name, other than the environment has them."""
        if journal is not None:
            settings["WEIR_JOURNAL_DIR"] = str(journal)
        self._began += 1
        gateway = Gateway(
            self._nursery(tree),
            port=port or services.free_port(),
            log=self.folder / f"gateway-{self._began}.log",
            failpoint=failpoint,
            settings=settings,
            clock=clock,
        )
        self.gateways.append(gateway)
        return gateway

    def start(self, count: int = 1, **options: Any) -> list[Gateway]:
        """Gateways that serve."""
        begun = [self.begin(**options) for _ in range(count)]
        for gateway in begun:
            assert gateway.wait_until_it_serves(), gateway.output()
        return begun

    def end(self) -> None:
        """Every gateway ends, cleanly where it can; then the journals of all that could not are taken over."""
        for gateway in self.gateways:
            gateway.resume()
            gateway.tell_to_end()
        for gateway in self.gateways:
            gateway.collect()
        self.gateways.clear()
        self.ask("recover", folder=str(self.journals))

    def close(self) -> None:
        for gateway in self.gateways:
            gateway.kill()
        for helper in self._helpers.values():
            helper.close()
        for proxy in (self.to_database, self.to_redis):
            if proxy is not None:
                proxy.close()


@contextlib.contextmanager
def opened(folder: Path, *, blank: Path | None = None, **parts: Any) -> Iterator[Installation]:
    """An installation for as long as the block lasts. `blank` is the `var` of another one, whose books are copied."""
    installation = Installation(folder, blank=blank, **parts)
    try:
        if blank is None:
            installation.ask("seed", simulator_url=installation.provider.base_url)
        yield installation
    finally:
        installation.close()
