from __future__ import annotations

import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.db import connections

from apps.runtime.state import DeploymentStanding, ProcessState, state
from apps.status import actuator, checks, probes
from gateway_site.asgi import application

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def _ready_process() -> AsyncIterator[None]:
    """A process that has just loaded its configuration."""
    before = dict(vars(state))
    vars(state).update(vars(ProcessState()))  # whatever other tests have left in it
    state.snapshot_revision, state.snapshot_at = 3, time.time()
    probes._inspector._last = None
    yield
    vars(state).update(before)
    probes._inspector._thread.submit(connections.close_all).result()
    await probes._figures.ask(connections.close_all)


async def ask(
    path: str, *, method: str = "GET", host: str = "10.1.2.3:8000", token: str = ""
) -> tuple[int, dict[str, str], Any]:
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", host.encode()), *([(b"authorization", f"Bearer {token}".encode())] if token else [])],
    }
    call = ApplicationCommunicator(application, scope)
    await call.send_input({"type": "http.request", "body": b""})
    start, body = await call.receive_output(10), await call.receive_output(10)
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], headers, json.loads(body["body"]) if body["body"] else None


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/health/live", {"status": "healthy", "role": "all"}),
        ("/health/ready", {"status": "healthy", "role": "all"}),
        ("/actuator/health/liveness", {"status": "UP"}),
        ("/actuator/health/readiness", {"status": "UP"}),
    ],
)
async def test_a_process_that_serves_says_so(path: str, body: dict[str, str]) -> None:
    status, headers, told = await ask(path)
    assert (status, told) == (200, body)
    assert headers["cache-control"] == "no-store"
    assert (await ask(path + "/"))[0] == 200


async def test_health_names_its_parts_and_nothing_more() -> None:
    status, _, told = await ask("/health")
    assert status == 200
    assert told.keys() == {"status", "role", "uptime_seconds", "checks"}
    assert told["checks"].items() >= {"configuration": "ok", "database": "ok"}.items()
    _, _, springs = await ask("/actuator/health")
    parts = {"db", "diskSpace", "circuitBreaker", "apiKeys", "pubsub", "ping", "livenessState", "readinessState"}
    assert parts <= springs["components"].keys()
    assert {part for told in springs["components"].values() for part in told} == {"status"}


async def test_operators_are_told_the_details_in_spring_s_words(settings: Any) -> None:
    state.deployments = (
        DeploymentStanding(1, "Main", "claude", "open", None, "timeout", None, None, None, 1.0),
        DeploymentStanding(2, "Main", "gpt", "closed", None, "", None, None, None, 1.0),
    )
    settings.REDIS_URL = ""
    actuator._seen = (float("-inf"), {})
    try:
        _, _, told = await ask("/actuator/health", token=settings.WEIR_OPERATOR_TOKEN)
        parts = told["components"]
        counts = {"deployments": 2, "open": 1, "halfOpen": 0}
        assert parts["circuitBreaker"] == {"status": "UP", "details": {"state": "HALF_OPEN", **counts}}
        assert parts["apiKeys"] == {"status": "DOWN", "details": {"count": 0}}
        assert parts["pubsub"]["details"]["sinks"] == 0
        assert parts["diskSpace"]["details"].keys() == {"total", "free", "threshold", "path"}
        assert "details" not in (await ask("/actuator/health", token="wrong"))[2]["components"]["apiKeys"]
        assert (await ask("/actuator/health"))[0] == 200, "what is beside the process does not bring it down"
    finally:
        actuator._seen = (float("-inf"), {})


async def test_a_draining_process_is_alive_but_not_ready_at_once() -> None:
    assert (await ask("/health/ready"))[0] == 200
    state.begin_drain()
    assert (await ask("/health/ready"))[::2] == (503, {"status": "draining", "role": "all"})
    assert (await ask("/health"))[0] == 503
    assert (await ask("/actuator/health/readiness"))[::2] == (503, {"status": "DOWN"})
    assert (await ask("/health/live"))[0] == 200


@pytest.mark.parametrize("age", [None, checks.STALE_SECONDS + 1])
async def test_a_process_without_a_current_configuration_is_not_ready(age: float | None) -> None:
    state.snapshot_at = None if age is None else time.time() - age
    status, _, told = await ask("/health/ready")
    assert (status, told["status"]) == (503, "unhealthy")
    assert (await ask("/health/live"))[0] == 200


@pytest.fixture
def lost_database(settings: Any) -> Iterator[None]:
    """The default connection of other threads leads nowhere."""
    place = connections.settings["default"]
    before = dict(place)
    place.update({"ENGINE": "django.db.backends.sqlite3", "NAME": "/nowhere/at/all.db", "OPTIONS": {}})
    try:
        probes._inspector._thread.submit(_connect_anew).result()
        yield
    finally:
        place.clear()
        place.update(before)
        probes._inspector._thread.submit(_connect_anew).result()


def _connect_anew() -> None:
    """This thread's next question makes a connection of its own."""
    connections.close_all()
    if hasattr(connections._connections, "default"):
        del connections["default"]


async def test_a_lost_database_degrades_a_process_that_still_has_its_configuration(lost_database: None) -> None:
    status, _, told = await ask("/health")
    assert (status, told["status"], told["checks"]["database"]) == (200, "degraded", "failed")
    assert (await ask("/health/ready"))[0] == 200
    state.snapshot_at = time.time() - checks.STALE_SECONDS - 1
    probes._inspector._last = None
    assert (await ask("/health/ready"))[0] == 503


async def test_a_store_that_hangs_does_not_hang_the_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "PATIENCE_SECONDS", 0.1)
    release = threading.Event()
    probes._inspector._thread.submit(release.wait, 20)
    try:
        status, _, told = await ask("/health")
        assert (status, told["checks"]["database"]) == (200, "failed")
    finally:
        release.set()


async def test_a_probe_knows_nothing_of_hosts_and_schemes(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["weir.example.com"]
    settings.SECURE_SSL_REDIRECT = True
    assert (await ask("/health/ready", host="10.0.0.7"))[0] == 200


async def test_a_probe_is_only_read() -> None:
    status, headers, _ = await ask("/health/live", method="POST")
    assert (status, headers["allow"]) == (405, "GET, HEAD")
    status, headers, told = await ask("/health/live", method="HEAD")
    assert (status, told) == (200, None)
    assert int(headers["content-length"]) > 0


async def test_many_probes_ask_the_stores_once(django_assert_num_queries: Any) -> None:
    first = await probes._inspector.report()
    for _ in range(20):
        assert (await probes._inspector.report()).checks is first.checks


async def test_a_process_without_calls_asks_for_no_snapshot_but_needs_its_database(
    settings: Any, request: pytest.FixtureRequest
) -> None:
    settings.WEIR_ROLE = "control"
    state.snapshot_at, state.role = None, "control"
    status, _, told = await ask("/health")
    assert (status, told["role"], told["checks"]) == (200, "control", dict.fromkeys(told["checks"], "ok"))
    assert "configuration" not in told["checks"]
    request.getfixturevalue("lost_database")
    probes._inspector._last = None
    assert (await ask("/health/ready"))[::2] == (503, {"status": "unhealthy", "role": "control"})
