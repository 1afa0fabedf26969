"""Both planes as processes of their own on one PostgreSQL and one Valkey, pages that ask for long, and paced calls."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import httpx2
import psycopg

from tests import services
from tests.faults.installation import Installation
from tests.servers import Process, start_process, until

READY = re.compile(r"running on (http://127\.0\.0\.1:\d+)")
PERSON, WORD = "dora", "a long enough password"
PAGE, TABLE = "/admin/", "usage_hourlyrollup"  # the first page of operators, and what its figures come from
CALLERS, EVERY_SECONDS = 4, 0.02  # each begins a call so often
# What a question has to wait for: PostgreSQL's own sleep, or rows that it has to count.
SLEEP, COUNT = "SELECT pg_sleep(30)", "SELECT count(*) FROM generate_series(1, 300000000)"


def serve(python: str, role: str, *, environment: Mapping[str, str], log: Path) -> Process:
    command = [python, "-m", "gateway_site.server", "--role", role, "--port", str(services.free_port())]
    return start_process(command, ready=READY, log=log, env=environment)


@dataclass
class Dashboards:
    """`count` people who look at the first page of the admin at `url`, whose figures `database` takes long for."""

    url: str
    database: str
    count: int
    answers: list[httpx2.Response] = field(default_factory=list)

    @contextlib.contextmanager
    def signed_in(self) -> Iterator[httpx2.Client]:
        with httpx2.Client(base_url=self.url, timeout=120) as client:
            client.get("/sign-in/").raise_for_status()
            values = {"username": PERSON, "password": WORD, "csrfmiddlewaretoken": client.cookies["csrftoken"]}
            assert client.post("/sign-in/", data=values, headers={"origin": self.url}).status_code == 302
            yield client

    @contextlib.contextmanager
    def taking(self, why: str) -> Iterator[None]:
        """From now on each question of the rolled up hours takes `why` first."""
        slow = f"CREATE VIEW {TABLE} AS SELECT hours.* FROM ({why}) why, LATERAL (SELECT * FROM kept) hours"
        self._do(f"ALTER TABLE {TABLE} RENAME TO kept", slow)
        try:
            yield
        finally:
            self._do(f"DROP VIEW {TABLE}", f"ALTER TABLE kept RENAME TO {TABLE}")

    @contextlib.contextmanager
    def looking(self, client: httpx2.Client) -> Iterator[None]:
        """All of them ask, and wait for the database, for as long as the block lasts. Then their questions are given
        up, and so are they told."""
        with ThreadPoolExecutor(self.count) as people:
            asked = [people.submit(client.get, PAGE) for _ in range(self.count)]
            try:
                until(lambda: len(self.asking()) == self.count)
                yield
                assert len(self.asking()) == self.count, "they have waited all the time"
            finally:
                self._give_up()
            self.answers += [one.result() for one in asked]

    def asking(self) -> list[int]:
        """The connections whose questions wait."""
        active = "SELECT pid FROM pg_stat_activity WHERE state = 'active' AND pid <> pg_backend_pid()"
        words = f"{active} AND query LIKE '%\"{TABLE}\"%'"
        with psycopg.connect(self.database) as connection:
            return [row[0] for row in connection.execute(words)]  # type: ignore[arg-type]  # our own words

    def _give_up(self) -> None:
        """Also what a page asks next."""
        with psycopg.connect(self.database, autocommit=True) as connection:

            def all_of_them() -> bool:
                found = self.asking()
                for pid in found:
                    connection.execute("SELECT pg_cancel_backend(%s)", [pid])
                return not found

            until(all_of_them)

    def _do(self, *words: str) -> None:
        with psycopg.connect(self.database) as connection:
            for statement in words:
                connection.execute(statement)  # type: ignore[arg-type]  # our own words


@dataclass
class Calls:
    """Calls of a few tokens at a gateway, at a steady rate: what each of them took, in seconds."""

    url: str
    key: str
    trust: ssl.SSLContext | bool = True

    def paced(self, seconds: float) -> list[float]:
        """Raises what a call raises that is not answered with 200."""
        return asyncio.run(self._all(seconds))

    async def _all(self, seconds: float) -> list[float]:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=self.trust)) as session:
            await self._one(session)
            taken = await asyncio.gather(*(self._caller(session, number, seconds) for number in range(CALLERS)))
        return [each for one in taken for each in one]

    async def _caller(self, session: aiohttp.ClientSession, number: int, seconds: float) -> list[float]:
        taken = []
        begun = time.monotonic() + EVERY_SECONDS * number / CALLERS
        for turn in range(int(seconds / EVERY_SECONDS)):
            await asyncio.sleep(max(0.0, begun + turn * EVERY_SECONDS - time.monotonic()))
            taken.append(await self._one(session))
        return taken

    async def _one(self, session: aiohttp.ClientSession) -> float:
        body = {"model": "claude", "max_tokens": 8, "messages": [{"role": "user", "content": "Say something."}]}
        headers = {"x-api-key": self.key, "content-type": "application/json"}
        began = time.perf_counter()
        async with session.post(f"{self.url}/v1/messages", data=json.dumps(body), headers=headers) as answer:
            await answer.read()
            answer.raise_for_status()
        return time.perf_counter() - began


def p99(taken: list[float]) -> float:
    """In milliseconds."""
    return sorted(taken)[int(len(taken) * 0.99)] * 1000


def compared(
    calls: Calls,
    people: Dashboards,
    client: httpx2.Client,
    *,
    seconds: float,
    rounds: int = 1,
    most: float | None = None,
) -> tuple[float, float]:
    """The 99th percentile without and with dashboards, in milliseconds, of all rounds. In each the one is measured
    before and after the other, so that a machine that gets slower meanwhile is no one's fault.

    A round of 480 calls is off by a quarter, and ten by a tenth. So where there is more between the two than `most`,
    it is looked at for up to three times as many rounds, and all of them count.
    """
    without: list[float] = []
    beside: list[float] = []
    for done in range(1, 3 * rounds + 1):
        without += calls.paced(seconds)
        with people.looking(client):
            beside += calls.paced(2 * seconds)
        without += calls.paced(seconds)
        if done >= rounds and (most is None or p99(beside) <= most * p99(without)):
            break
    return p99(without), p99(beside)


class Memory:
    """The most that a process has resident, in MB, looked at ten times a second while the block lasts."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.first = self.most = self._now()

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            self.most = max(self.most, self._now())

    def _now(self) -> float:
        resident = int(Path(f"/proc/{self._pid}/statm").read_text().split()[1])
        return resident * os.sysconf("SC_PAGE_SIZE") / 1e6


def environment(installation: Installation) -> dict[str, str]:
    """Of a process on the same stores, past the proxies that faults lie on. Its statements may take longer than what
    dashboards ask."""
    assert installation.database is not None
    assert installation.redis is not None
    found = installation.environment(installation.database.url, installation.redis.url)
    return found | {"WEIR_STATEMENT_SECONDS": "60"}
