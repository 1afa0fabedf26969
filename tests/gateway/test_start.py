"""The standing parts of a process: a start that fails can be tried again; one slow part does not hold up another."""

from __future__ import annotations

import threading

import pytest

from apps.gateway import configuration, engine, entrance
from tests.gateway.calls import ANTHROPIC, ask
from tests.servers import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]


async def test_a_start_that_failed_leaves_nothing_that_stops_the_next(world, monkeypatch):
    compiled = configuration._compile

    def fail_once(revision: int) -> None:
        monkeypatch.setattr(configuration, "_compile", compiled)
        raise RuntimeError("the database went away")

    monkeypatch.setattr(configuration, "_compile", fail_once)
    with pytest.raises(RuntimeError, match="went away"):
        await engine.running()
    assert (await engine.running()).configuration.snapshot.models
    await engine.stop()


async def test_a_call_by_a_pinned_way_is_never_answered_unpinned_while_the_engine_starts(world, monkeypatch):
    compiled, told = configuration._compile, []

    def fail_once(revision: int) -> None:
        monkeypatch.setattr(configuration, "_compile", compiled)
        raise RuntimeError("the database went away")

    async def send(message) -> None:
        told.append(message)

    monkeypatch.setattr(configuration, "_compile", fail_once)
    scope = {"type": "http", "method": "POST", "path": f"/e/nowhere{ANTHROPIC}", "headers": []}
    try:
        for status in (529, 404):  # Anthropic calls it overloaded
            told.clear()
            await entrance.pinned(scope, None, send)
            assert told[0]["status"] == status, told
    finally:
        await engine.stop()


def test_a_revocation_does_not_wait_for_last_uses_to_be_written(gateway, world, monkeypatch):
    assert ask(gateway, ANTHROPIC).status_code == 200
    known = gateway.engine.configuration
    is_writing, may_go_on, went_on = threading.Event(), threading.Event(), threading.Event()

    def write_slowly() -> None:
        is_writing.set()
        may_go_on.wait(60)
        went_on.set()

    monkeypatch.setattr(known.uses, "flush", write_slowly)
    monkeypatch.setattr(known, "_uses_flushed", float("-inf"))
    try:
        assert is_writing.wait(10)
        world.revoke()
        until(lambda: ask(gateway, ANTHROPIC).status_code == 401)
        assert not went_on.is_set()
    finally:
        may_go_on.set()
