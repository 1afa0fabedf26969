"""The production topology on this machine: what people and programs rely on when all of it stands together."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator

import anthropic
import httpx2
import psycopg
import pytest

from tests import migrated, rabbitmq
from tests.deploy import tools
from tests.faults.load import Ask, Load, Said
from tests.prometheus import Prometheus, prometheus
from tests.sdk.gateways import FRONT
from tests.servers import ROOT, until
from tests.topology import stack as stacks
from tests.topology.seed import NARROW
from tests.topology.stack import QUEUE, Stack

SUITES = ("test_anthropic.py", "test_openai.py", "test_responses.py")
CALLERS = 20
SCRIPT = "tokens-60,pace-20"
FIRST_BYTE_SECONDS = 0.05
TRIES = 20  # at least, of which the best counts: the machine has other things to do
PATIENCE_SECONDS = 540.0
OTHERS = ("control", "worker", "beat")
pytestmark = pytest.mark.timeout(900)  # the SDKs' suites have more patience than one test
WRONG = frozenset({"WeirNoGateway", "WeirTargetDown", "WeirLedgerWrong", "WeirStorageFull", "WeirInternalErrors"})


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if reason := rabbitmq.available():
        tools.lacks("rabbitmq-server", reason)
    for name in ("nginx", "prometheus"):
        tools.find(name)
    with stacks.running(tmp_path_factory.mktemp("production")) as running:
        yield running


def rows(stack: Stack, query: str) -> list[tuple]:
    with psycopg.connect(migrated.database(stack.database.url)) as connection:
        return connection.execute(query).fetchall()  # type: ignore[arg-type]  # our own words


def usual(stack: Stack, number: int) -> Ask:
    """A stream of either dialect."""
    model, dialect = (("claude-test", "anthropic"), ("gpt-test", "openai"))[number % 2]
    return Ask(stack.key, model=model, dialect=dialect, script=SCRIPT)


def calls_while(stack: Stack, change: Callable[[], None], *, ask: Callable[[Stack, int], Ask] = usual) -> list[Said]:
    """What callers are told who stream through nginx, again and again, while something happens."""

    async def scenario() -> list[Said]:
        async with Load(lambda: stack.nginx.https, tries=1, trust=stack.nginx.trust) as load:
            return await load.during(change, lambda number: ask(stack, number), at_once=CALLERS)

    return asyncio.run(scenario())


def test_the_sdks_are_content_with_what_comes_through_nginx(stack):
    told = {"base_url": stack.nginx.https, "key": stack.key, "authority": str(stack.authority)}
    told |= {"simulator": stack.provider.base_url, "meter": str(stack.provider.meter_path)}
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:randomly",
            *(str(ROOT / "tests/sdk" / name) for name in SUITES),
        ],
        cwd=ROOT,
        env={**os.environ, FRONT: json.dumps(told)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    assert int(re.findall(r"(\d+) passed", done.stdout)[-1]) > 150


def test_the_first_byte_is_there_within_50_ms_of_its_writing(stack):
    """The provider writes the time of its writing, and then holds the rest back."""

    found: list[float] = []

    def late() -> float:
        with client.messages.stream(
            model="claude-test",
            max_tokens=64,
            messages=[{"role": "user", "content": "What time is it?"}],
            extra_headers={"x-simulate": "clock,tokens-3,pace-200"},
        ) as stream:
            first = next(iter(stream.text_stream))
            arrived = time.monotonic_ns()
        return (arrived - int(first.strip()[:19])) / 1e9

    http = httpx2.Client(verify=stack.nginx.trust)
    with anthropic.Anthropic(api_key=stack.key, base_url=stack.nginx.https, http_client=http) as client:
        until(lambda: found.append(late()) or (len(found) >= TRIES and min(found) < FIRST_BYTE_SECONDS))
    print(f"first byte {min(found) * 1000:.1f} ms after it was written")
    assert min(found) > 0


def test_a_rolling_restart_behind_nginx_cuts_no_stream_and_refuses_nobody(stack):
    def restart() -> None:
        for gateway in stack.gateways:
            gateway.stop()
            gateway.start()

    said = calls_while(stack, restart)
    assert len(said) > CALLERS
    assert {(one.status, one.is_whole) for one in said} == {(200, True)}


def test_every_entry_is_an_event_exactly_once_though_the_broker_was_killed_meanwhile(stack):
    """Where a message comes twice, its id says so."""

    def kill_the_broker() -> None:
        until(lambda: len(ids) or receive())
        stack.broker.server.end(signal.SIGKILL)
        counted = len(entries())
        until(lambda: len(entries()) > counted + CALLERS)
        stack.broker.server.start()

    def entries() -> set[uuid.UUID]:
        return {row[0] for row in rows(stack, "SELECT id FROM usage_entry")}

    def receive() -> bool:
        for message in stack.broker.taken(QUEUE):
            event = json.loads(message.body)
            if event["type"].startswith("weir.usage."):
                ids.append(uuid.UUID(event["id"]))
        return bool(ids)

    ids: list[uuid.UUID] = []
    said = calls_while(stack, kill_the_broker)
    assert {one.status for one in said} == {200}
    until(lambda: len(entries()) >= len({one.request_id for one in said}))
    until(lambda: receive() and set(ids) >= entries())
    until(stack.members["worker"].is_ready)  # it has found its broker again
    assert set(ids) == entries()
    print(f"{len(ids)} messages of {len(set(ids))} events")


def happen(stack: Stack) -> None:
    """What dashboards tell of: answers from caches, a full room, refusals, failures."""
    asks = [
        *(
            Ask(stack.key, model="claude-test", script=script)
            for script in ("cache", "cache", "500", "tokens-8", "tokens-8")
        ),
        *(Ask(stack.key, model=model, stream=False) for model in ("claude-401", "claude-429", "gpt-401", "unheard-of")),
        *(Ask(stack.poor, model="claude-test") for _ in range(2)),
    ]

    async def scenario() -> None:
        async with Load(lambda: stack.nginx.https, tries=1, trust=stack.nginx.trust) as load:
            await load.run(asks, at_once=len(asks))

    asyncio.run(scenario())
    use = {"x-api-key": stack.key, "x-weir-cache": "use"}
    body = {"model": "claude-test", "max_tokens": 8, "messages": [{"role": "user", "content": "Again."}]}
    with httpx2.Client(base_url=stack.nginx.https, verify=stack.nginx.trust, headers=use) as client:
        for _ in range(2):
            client.post("/v1/messages", json={**body, "temperature": 0}).raise_for_status()


def waiting(stack: Stack, _: int) -> Ask:
    """A stream at a model that has room for one."""
    return Ask(stack.narrow, model=NARROW, script="tokens-8,pace-50")


def speaks(watching: Prometheus) -> None:
    """Returns when every panel has something to tell."""
    told: list[list[str]] = []
    with contextlib.suppress(AssertionError):  # which would not name them
        until(lambda: told.append(watching.silent()) or not told[-1])
    assert told[-1] == []


def lose_track_of_a_call(stack: Stack) -> None:
    """Whoever answers it is killed, and comes back."""
    victim = stack.gateways[0]
    http = httpx2.Client(timeout=60)
    with anthropic.Anthropic(api_key=stack.key, base_url=f"http://127.0.0.1:{victim.port}", http_client=http) as client:
        asked = [{"role": "user", "content": "Begin."}]
        script = {"x-simulate": "tokens-60,pace-1000"}
        with client.messages.stream(model="claude-test", max_tokens=64, messages=asked, extra_headers=script) as stream:
            next(iter(stream.text_stream))
            victim.kill()
    victim.start()
    until(lambda: rows(stack, "SELECT 1 FROM usage_entry WHERE state = 'unconfirmed'"))


def test_every_dashboard_tells_something_and_every_rule_is_evaluated(stack):
    lose_track_of_a_call(stack)
    happen(stack)
    jobs = {"weir-gateway": stack.gateways, **{f"weir-{name}": [stack.members[name]] for name in OTHERS}}
    targets = {job: [f"127.0.0.1:{member.port}" for member in members] for job, members in jobs.items()}
    with prometheus(targets, token=stack.operator) as watching:
        watching.has_asked(times=1)
        happen(stack)
        for task in ("verify_recent", "count_figures", "roll_up"):
            stack.do(f"apps.usage.tasks.{task}")
        until(lambda: watching.ask("weir_ledger_verified_timestamp_seconds"))
        watching.has_asked(times=2)
        calls_while(stack, lambda: speaks(watching), ask=waiting)
        assert watching.unsound() == {}
        assert watching.firing() & WRONG == set()


def test_pages_are_there_and_what_is_for_operators_is_not(stack):
    with httpx2.Client(base_url=stack.nginx.https, verify=stack.nginx.trust) as client:
        assert client.get("/sign-in/").status_code == 200
        assert client.get("/api/v1/models").status_code == 401
        assert client.get("/metrics").status_code == 404
        assert client.get("/health/ready").json() == {"status": "healthy", "role": "gateway"}


def test_each_process_says_that_it_is_ready_and_what_it_is(stack):
    roles = {name: name.partition("-")[0] for name in stack.members}
    assert set(roles.values()) == {"gateway", *OTHERS}
    for name, member in stack.members.items():
        until(member.is_ready)
        assert stack.ask(member, "/health/ready") == {"status": "healthy", "role": roles[name]}
        if name not in stacks.PROBED:
            told = stack.ask(member, "/health/detailed")
            assert (told["status"], told["process"]["role"]) == ("healthy", roles[name])


def test_the_books_hold(stack):
    stack.run("manage.py", "ledger_verify", "--json")
