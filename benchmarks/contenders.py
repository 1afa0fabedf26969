"""Who is measured, and how each of them is started in front of the simulated provider."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks import servers
from benchmarks.servers import HOST, Cores, Server
from benchmarks.wire import Dialect, Pair
from tests import migrated

OURS = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "DJANGO_SETTINGS_MODULE")
Environment = Callable[[Path], dict[str, str]]  # of the folder for its files, the variables it runs with
BARE_KEY = "bare-key"
EVERY_PAIR: tuple[Pair, ...] = (
    "anthropic→anthropic",
    "openai→openai",
    "anthropic→openai",
    "openai→anthropic",
    "responses→anthropic",
    "anthropic→bedrock",
)
SAME_DIALECT = EVERY_PAIR[:2]


@dataclass(frozen=True)
class Up:
    """A contender that takes calls. `pid` None: it is the provider itself, not a gateway."""

    port: int
    key: str
    pid: int | None
    headers: dict[Dialect, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Contender:
    """`start` is a context manager: (folder for its files, cores, provider) -> Up. Raises NotStarted.

    `missing` says why it cannot be measured; nothing else is asked of it then.
    """

    name: str
    pairs: tuple[Pair, ...]
    start: Callable[[Path, Cores, Server], contextlib.AbstractContextManager[Up]]
    missing: str = ""
    holds: bool = False  # whether idle streams are held open at it, to see what they cost
    ledger: Environment | None = None  # of its database, where what it was asked is booked


@contextlib.contextmanager
def direct(folder: Path, cores: Cores, provider: Server) -> Iterator[Up]:
    yield Up(port=provider.port, key="any", pid=None, headers={})


def bare(folder: Path, cores: Cores, provider: Server) -> contextlib.AbstractContextManager[Up]:
    return _bare(folder, cores, provider)


def stock(folder: Path, cores: Cores, provider: Server) -> contextlib.AbstractContextManager[Up]:
    return _bare(folder, cores, provider, "--stock")


def straight(folder: Path, cores: Cores, provider: Server) -> contextlib.AbstractContextManager[Up]:
    return _bare(folder, cores, provider, "--straight")


@contextlib.contextmanager
def _bare(folder: Path, cores: Cores, provider: Server, *arguments: str) -> Iterator[Up]:
    port = servers.free_port()
    command = [sys.executable, "-m", "benchmarks.bare", "--port", str(port), "--upstream", provider.url]
    with started(
        [*command, "--key", BARE_KEY, *arguments], port=port, log=folder / f"bare{port}.log", cores=cores
    ) as server:
        yield Up(port=server.port, key=BARE_KEY, pid=server.pid, headers={})


def weir(folder: Path, cores: Cores, provider: Server) -> contextlib.AbstractContextManager[Up]:
    return _weir("weir", embedded, folder, cores, provider)


def unaccounted(folder: Path, cores: Cores, provider: Server) -> contextlib.AbstractContextManager[Up]:
    return _weir("off", partial(embedded, name="off"), folder, cores, provider, module="benchmarks.unaccounted")


def cached(folder: Path, cores: Cores, provider: Server) -> contextlib.AbstractContextManager[Up]:
    """Weir that has answered every question before, but the first time."""
    return _weir("cached", partial(embedded, name="cached"), folder, cores, provider, seeding=("--cached",))


def telling(name: str, **variables: str) -> Contender:
    """Weir with these variables besides."""

    def environment(folder: Path) -> dict[str, str]:
        return embedded(folder, name=name) | variables

    return Contender(name, EVERY_PAIR[:1], partial(_weir, name, environment))


def production(*, database: str = "", redis: str = "", missing: str = "") -> Contender:
    """Weir as replicas run it: PostgreSQL and Redis at these addresses, on the provider's side of the machine."""

    def environment(folder: Path) -> dict[str, str]:
        return embedded(folder, name="weir-pg") | {"DATABASE_URL": database, "REDIS_URL": redis}

    start = partial(_weir, "weir-pg", environment)
    return Contender("weir-pg", EVERY_PAIR[:1], start, missing=missing, ledger=environment)


@contextlib.contextmanager
def _weir(
    name: str,
    environment: Environment,
    folder: Path,
    cores: Cores,
    provider: Server,
    *,
    module: str = "gateway_site.server",
    seeding: tuple[str, ...] = (),
) -> Iterator[Up]:
    """The same database each time it is started; a fresh one the first time."""
    card = folder / f"{name}.json"
    variables = environment(folder)
    if not card.exists():
        if "DATABASE_URL" not in variables:
            Path(variables["WEIR_VAR"]).mkdir()
            shutil.copy(migrated.sqlite(), variables["WEIR_VAR"])
        card.write_text(seed("--simulator", provider.url, *seeding, environment=variables))
    port = servers.free_port()
    command = [sys.executable, "-m", module, "--host", HOST, "--port", str(port)]
    with started(command, port=port, log=folder / f"{name}.log", cores=cores, environment=variables) as server:
        yield Up(port=server.port, key=json.loads(card.read_text())["key"], pid=server.pid, headers={})


def embedded(folder: Path, *, name: str = "weir") -> dict[str, str]:
    """SQLite, no Redis, whatever the shell that runs the benchmark has set."""
    kept = {each: value for each, value in os.environ.items() if each not in OURS and not each.startswith("WEIR_")}
    ours = {"WEIR_VAR": str(folder / f"var-{name}"), "WEIR_DRAIN_SECONDS": "5"}
    return kept | ours | {"WEIR_MAX_CONNECTIONS_PER_ADDRESS": "0"}  # all streams come from one


def seed(*arguments: str, environment: dict[str, str]) -> str:
    """The last line that `benchmarks.seed` prints."""
    command = [sys.executable, "-m", "benchmarks.seed", *arguments]
    done = subprocess.run(command, cwd=servers.ROOT, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise servers.NotStarted(f"seeding failed:\n{done.stderr[-3000:]}")
    return done.stdout.splitlines()[-1]


@contextlib.contextmanager
def started(
    command: list[str], *, port: int, log: Path, cores: Cores, environment: dict[str, str] | None = None
) -> Iterator[Server]:
    """On the gateway's core."""
    with contextlib.ExitStack() as stack:
        with cores.gateway_side():
            server = stack.enter_context(servers.running(command, port=port, log=log, environment=environment))
        yield server


OWN = (
    Contender("direct", SAME_DIALECT, direct),
    Contender("bare", SAME_DIALECT, bare, holds=True),
    Contender("stock", SAME_DIALECT[:1], stock),
    Contender("straight", SAME_DIALECT[:1], straight),
    Contender("weir", EVERY_PAIR, weir, holds=True, ledger=embedded),
    Contender("off", EVERY_PAIR[:1], unaccounted),
    Contender("cached", EVERY_PAIR[:1], cached),
)
