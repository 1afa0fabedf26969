"""The first-byte gate: no client has a byte of an answer that the database does not know of."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection

from apps.domain import errors
from apps.usage import gate
from apps.usage.models import Entry, OpenAttempt
from tests.gateway.calls import ANTHROPIC, OPENAI, ask, body_of, told
from tests.gateway.sockets import call, leave
from tests.money.calls import intent
from tests.servers import until

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _gated(settings) -> None:
    settings.WEIR_FIRST_BYTE_GATE = "database"


@contextlib.contextmanager
def stream(gateway, model: str) -> Iterator[Iterator[bytes]]:
    body = body_of(ANTHROPIC, model=model, change={"stream": True})
    headers = {"x-api-key": gateway.world.key, "content-type": "application/json"}
    with gateway.client.stream("POST", ANTHROPIC, content=body, headers=headers) as answer:
        yield answer.iter_raw()


@contextlib.contextmanager
def closed_ledger() -> Iterator[None]:
    """Nothing goes in: who tries waits."""
    if connection.vendor == "postgresql":
        other = connection.copy()
        begin = ("BEGIN", "LOCK TABLE usage_openattempt IN EXCLUSIVE MODE")
        execute = other.cursor().execute
    else:
        other = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
        begin = ("BEGIN IMMEDIATE",)
        execute = other.execute
    try:
        for statement in begin:
            execute(statement)
        yield
    finally:
        other.close()


@contextlib.contextmanager
def lost_ledger() -> Iterator[None]:
    """The table is called something else for a while: every insert fails."""
    rename("usage_openattempt", "usage_away")
    try:
        yield
    finally:
        rename("usage_away", "usage_openattempt")


def rename(old: str, new: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {old} RENAME TO {new}")


def test_whoever_has_a_byte_finds_the_attempt_in_the_database_until_it_is_booked(gateway, world):
    world.scripted("stall-after-5")
    gateway.refresh()
    with stream(gateway, "claude-stall-after-5") as chunks:
        assert next(chunks)
        (row,) = OpenAttempt.objects.all()
        assert row.replica == gateway.engine.accounts.journal.name
    gateway.settle()
    (entry,) = Entry.objects.all()
    assert (entry.pk, entry.request_id, entry.attempt) == (row.pk, row.request_id, row.attempt)
    assert not OpenAttempt.objects.exists()


def test_many_calls_leave_nothing_open(gateway):
    with ThreadPoolExecutor(16) as callers:
        answers = list(callers.map(lambda path: ask(gateway, path), [ANTHROPIC, OPENAI] * 100))
    assert {answer.status_code for answer in answers} == {200}
    gateway.settle()
    assert Entry.objects.count() == 200
    until(lambda: not OpenAttempt.objects.exists())


@pytest.mark.parametrize("is_stream", [False, True])
def test_the_first_byte_waits_for_the_database_and_the_upstream_does_not(gateway, simulator, is_stream):
    before = simulator.seen()
    answers = []
    with closed_ledger():
        caller = threading.Thread(target=lambda: answers.append(ask(gateway, ANTHROPIC, change={"stream": is_stream})))
        caller.start()
        until(lambda: simulator.seen() == before + 1)
        caller.join(0.3)
        assert caller.is_alive()
        assert answers == []
    caller.join(30)
    assert answers[0].status_code == 200
    gateway.settle()
    assert Entry.objects.get().status == "ok"
    until(lambda: not OpenAttempt.objects.exists())


def test_a_client_that_leaves_at_the_gate_leaves_nothing_open(gateway, world, simulator):
    world.scripted("stall-after-5")
    gateway.refresh()
    before = len(simulator.readings())
    with closed_ledger():
        raw = call(gateway, ANTHROPIC, model="claude-stall-after-5", stream=True)
        until(lambda: len(simulator.readings()) == before + 1)
        leave(raw, "fin")
        until(lambda: simulator.readings()[before].outcome != "open")
    gateway.settle()
    assert Entry.objects.get().status == "client_gone"
    until(lambda: not OpenAttempt.objects.exists())


@pytest.mark.parametrize("path", [ANTHROPIC, OPENAI])
def test_without_the_database_a_call_fails_before_its_first_byte_and_its_upstream_is_closed(
    gateway, world, simulator, monkeypatch, path
):
    monkeypatch.setattr(gate, "PATIENCE_SECONDS", 0.2)
    world.scripted("stall-after-5")
    gateway.refresh()
    with lost_ledger():
        refused = ask(gateway, path, model="claude-stall-after-5", change={"stream": True})
        assert told(path, refused, 529 if path == ANTHROPIC else 503) == "the ledger cannot be reached"
        assert refused.headers["retry-after"] == "1"
        until(lambda: simulator.readings()[-1].outcome != "open")
        calls = simulator.seen()
        assert told(path, ask(gateway, path, model="claude-test"), 529 if path == ANTHROPIC else 503)
        assert simulator.seen() == calls
    gateway.settle()
    entry = Entry.objects.get()
    assert (entry.state, entry.status, entry.error_code) == ("settled", "gateway_error", "ledger_unavailable")
    assert entry.usage_source == "estimated"
    assert entry.cost_nano > 0
    until(lambda: ask(gateway, path, model="claude-test").status_code == 200)
    gateway.settle()
    until(lambda: not OpenAttempt.objects.exists())


@pytest.mark.postgresql  # SQLite is no network away
def test_a_database_that_says_nothing_shuts_the_gate_and_does_not_hold_up_its_end(monkeypatch):
    """So the next calls are refused before they cost anything."""
    monkeypatch.setattr(gate, "PATIENCE_SECONDS", 0.3)

    async def scenario() -> None:
        watched = gate.Gate("one")
        await watched.start()
        passage = watched.put(intent())
        with pytest.raises(errors.Unavailable):
            await passage.open()
        await asyncio.to_thread(until, lambda: watched.is_shut)
        await asyncio.wait_for(watched.close(), 5)

    with closed_ledger():
        asyncio.run(scenario())
    assert not OpenAttempt.objects.exists()


def test_a_slow_model_hides_the_gate(gateway, world):
    """Both are waited for at once: a first byte after 200 ms is not later for a database that takes 100."""
    world.scripted("slow-200")
    gateway.refresh()
    with ThreadPoolExecutor(1) as others, closed_ledger():
        answer = others.submit(ask, gateway, ANTHROPIC, model="claude-slow-200", change={"stream": True})
        time.sleep(0.1)
    assert answer.result().status_code == 200


def test_a_process_without_a_gate_writes_no_attempts(settings, world):
    from tests.gateway.conftest import Gateway

    settings.WEIR_FIRST_BYTE_GATE = "journal"
    running = Gateway(world)
    try:
        assert running.engine.accounts.gate is None
        with closed_ledger() if connection.vendor == "postgresql" else contextlib.nullcontext():
            assert ask(running, ANTHROPIC).status_code == 200
    finally:
        running.stop()
    assert Entry.objects.count() == 1
