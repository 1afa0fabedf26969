"""What a worker and a beat say of themselves, and the port on which they say it."""

from __future__ import annotations

import json
import re
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from asgiref.testing import ApplicationCommunicator
from celery import signals
from celery.beat import Service
from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from apps.runtime.state import ProcessState, state
from apps.status import checks, probes
from gateway_site import pulses
from gateway_site.celery import app
from tests import services
from tests.servers import start_process, until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


@pytest.fixture(autouse=True)
def _own_state() -> Iterator[None]:
    before = dict(vars(state))
    vars(state).update(vars(ProcessState()))
    probes._inspector._last = None
    yield
    vars(state).update(before)
    probes._inspector._thread.submit(connections.close_all).result()
    probes._inspector._last = None


async def ask(path: str, **headers: str) -> tuple[int, Any]:
    wanted = [(name.encode(), value.encode()) for name, value in headers.items()]
    caller = ApplicationCommunicator(probes.telling, {"type": "http", "method": "GET", "path": path, "headers": wanted})
    start, body = await caller.receive_output(20), await caller.receive_output(20)
    return start["status"], body["body"]


async def health(path: str) -> tuple[int, dict[str, Any]]:
    probes._inspector._last = None
    status, body = await ask(path)
    return status, json.loads(body)


@pytest.mark.parametrize(("role", "name"), [("worker", "consumer"), ("beat", "schedule")])
async def test_who_does_its_work_is_ready_and_names_what_it_needs(role: str, name: str) -> None:
    state.role, state.consuming = role, True
    pulses.note()
    status, told = await health("/health")
    assert (status, told["role"]) == (200, role)
    assert told["checks"].items() >= {name: "ok", "database": "ok", "broker": "ok"}.items()
    assert "configuration" not in told["checks"]


@pytest.mark.parametrize("role", ["worker", "beat"])
async def test_one_that_stands_still_is_not_ready_and_after_a_long_time_not_alive(role: str) -> None:
    state.role, state.consuming = role, True
    state.pulse_at = time.monotonic() - checks.PULSE_SECONDS - 1
    assert [(await health(path))[0] for path in ("/health/ready", "/health/live")] == [503, 200]
    state.pulse_at = time.monotonic() - checks.STUCK_SECONDS - 1
    assert await health("/health/live") == (503, {"status": "unhealthy", "role": role})


async def test_a_worker_without_its_broker_is_not_ready(settings: Any) -> None:
    state.role = "worker"
    pulses.note()
    assert (await health("/health/ready"))[0] == 503
    assert checks.pulse().message == "not connected to the broker"


@pytest.fixture
def no_broker(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.CELERY_BROKER_URL = "redis://:canary-word@127.0.0.1:1/0"
    settings.CELERY_BROKER_TRANSPORT_OPTIONS = {}
    for name, value in {"broker_url": settings.CELERY_BROKER_URL, "broker_transport": None}.items():
        monkeypatch.setitem(app.conf, name, value)
    monkeypatch.setitem(app.conf, "broker_write_url", settings.CELERY_BROKER_URL)


def test_a_broker_that_nobody_is_at_is_told_without_its_password(no_broker: None) -> None:
    found = checks.broker()
    assert not found.ok
    assert "canary-word" not in found.message


@pytest.mark.parametrize("role", ["worker", "beat"])
async def test_a_broker_that_is_away_for_long_is_no_reason_to_begin_anew(no_broker: None, role: str) -> None:
    state.role = role
    state.pulse_at = time.monotonic() - 2 * checks.STUCK_SECONDS
    assert [(await health(path))[0] for path in ("/health/ready", "/health/live")] == [503, 200]
    assert (await health("/actuator/health/liveness"))[0] == 200
    assert not checks.is_stuck()  # nor when it is back, until there was time to find it
    state.broker_away_at = time.monotonic() - checks.STUCK_SECONDS - 1
    assert checks.is_stuck()


async def test_figures_want_the_operators_token() -> None:
    state.role = "beat"
    assert (await ask("/metrics"))[0] == 401
    assert (await ask("/metrics", authorization="Bearer wrong"))[0] == 401
    status, body = await ask("/metrics", authorization=f"Bearer {django_settings.WEIR_OPERATOR_TOKEN}")
    assert (status, b'role="beat"' in body) == (200, True)
    assert (await ask("/admin/"))[0] == 404


def test_every_round_of_the_schedule_is_noted() -> None:
    service = Service(app, scheduler_cls="celery.beat:Scheduler")
    before = [*signals.beat_init.receivers]
    pulses._watch_beat(app, None)
    try:
        signals.beat_init.send(sender=service)
        assert state.pulse_at is None
        service.scheduler.tick()
        assert state.pulse_at is not None
    finally:
        signals.beat_init.receivers[:] = before


def test_a_port_that_is_another_s_is_refused_by_its_setting(settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings.WEIR_PROBE_PORT = taken.getsockname()[1]
        with pytest.raises(
            ImproperlyConfigured, match=r"^WEIR_PROBE_PORT: \d+ cannot be listened on \(address already"
        ):
            pulses._listener()


def test_a_worker_tells_that_it_takes_tasks_and_leaves_with_success(tmp_path: Path) -> None:
    port = services.free_port()
    surroundings = {
        **{"WEIR_VAR": str(tmp_path), "DATABASE_URL": "", "REDIS_URL": "", "CELERY_BROKER_URL": ""},
        **{"WEIR_PROBE_PORT": str(port), "DJANGO_SETTINGS_MODULE": "gateway_site.settings"},
    }
    command = [sys.executable, "-m", "gateway_site.worker", "--pool", "solo"]
    worker = start_process(command, ready=re.compile(r"(celery@\S+ ready)"), log=tmp_path / "log", env=surroundings)
    try:
        told = until(lambda: _answer(f"http://127.0.0.1:{port}/health"))
        assert (told["role"], told["checks"]["consumer"], told["checks"]["broker"]) == ("worker", "ok", "ok")
    finally:
        assert worker.stop() == 0


def _answer(url: str) -> Any:
    try:
        return httpx2.get(url, timeout=20).json()
    except httpx2.TransportError:
        return None
