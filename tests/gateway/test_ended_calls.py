"""Calls whose key stops working while they are answered: ended, told why, the provider left, and booked."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from datetime import timedelta

import pytest
import time_machine
from django.utils import timezone

from apps.accounts import services as accounts
from apps.domain.protocols.registry import CLIENTS
from apps.domain.snapshot import Principal, Rules, Snapshot
from apps.gateway.context import RequestContext
from apps.gateway.underway import Underway
from apps.keys import selectors
from apps.keys import services as keys
from apps.keys.models import Key
from apps.runtime import clock
from apps.tenants import services as tenants
from apps.tenants.models import Membership
from apps.usage.models import Entry
from tests.gateway.calls import ANTHROPIC, OPENAI
from tests.gateway.sockets import call, read_until, rest
from tests.servers import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.once]

MODELS = {ANTHROPIC: "claude", OPENAI: "gpt"}
HOUR = 3600.0
STOPPED = "this API key has stopped working"


class Caller:
    """Bob, a member with a key of his own."""

    def __init__(self, world) -> None:
        self.world = world
        self.user = accounts.create_user(actor=None, username="bob")
        tenants.add_member(world.tenant, actor=None, user=self.user)
        issued = keys.issue(actor=None, tenant=world.tenant, project=world.project, user=self.user, name="bob's")
        self.row, self.key = issued.key, issued.plaintext

    def revoked(self) -> None:
        keys.revoke(self.row, actor=None)

    def expired(self) -> None:
        Key.objects.filter(pk=self.row.pk).update(expires_at=timezone.now() + timedelta(seconds=1))
        keys.update(self.row, actor=None, name="renamed")

    def replaced(self) -> None:
        keys.rotate(self.row, actor=None, overlap=timedelta(seconds=1))

    def shut_off(self) -> None:
        accounts.deactivate(self.user, actor=None)

    def removed(self) -> None:
        tenants.remove_member(Membership.objects.get(user=self.user), actor=None)

    def without_project(self) -> None:
        tenants.deactivate_project(self.world.project, actor=None)

    def without_tenant(self) -> None:
        tenants.deactivate_tenant(self.world.tenant, actor=None)


CAUSES = ["revoked", "expired", "replaced", "shut_off", "removed", "without_project", "without_tenant"]


@pytest.fixture
def bob(world):
    return Caller(world)


@pytest.mark.parametrize("cause", CAUSES)
def test_a_stream_ends_soon_after_its_key_does(gateway, world, simulator, bob, cause):
    world.scripted("stall-after-9")
    gateway.refresh()
    with call(gateway, ANTHROPIC, model="claude-stall-after-9", key=bob.key, stream=True) as raw:
        read_until(raw, b"content_block_delta")
        getattr(bob, cause)()
        told = rest(raw)
    assert told.count(b"event: error") == 1
    assert b"authentication_error" in told
    assert STOPPED.encode() in told
    assert b"message_stop" not in told
    assert simulator.last().fault == "stall"  # it waits until its caller leaves
    gateway.settle()
    row = Entry.objects.get()
    assert (row.status, row.state, row.usage_source) == ("client_error", "settled", "estimated")


@pytest.mark.parametrize("path", MODELS)
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_waits_for_its_first_byte_is_refused_in_its_dialect(gateway, world, simulator, bob, path, stream):
    world.deploy(f"{MODELS[path]}-stall", upstream=f"{MODELS[path]}-stall")
    gateway.refresh()
    before = len(simulator.readings())
    with call(gateway, path, model=f"{MODELS[path]}-stall", key=bob.key, stream=stream) as raw:
        until(lambda: len(simulator.readings()) > before)
        bob.revoked()
        told = rest(raw, end=b"}")
    assert told.startswith(b"HTTP/1.1 401")
    assert STOPPED.encode() in told
    assert simulator.last().fault == "stall"  # it waits until its caller leaves
    gateway.settle()
    assert Entry.objects.get().state == "unconfirmed"


def test_an_openai_stream_ends_with_an_error(gateway, world, bob):
    world.deploy("gpt-stall-after-9", upstream="gpt-stall-after-9")
    gateway.refresh()
    with call(gateway, OPENAI, model="gpt-stall-after-9", key=bob.key, stream=True) as raw:
        read_until(raw, b"chat.completion.chunk")
        bob.revoked()
        told = rest(raw)
    assert b'"invalid_api_key"' in told


def told_of(raw: socket.socket) -> bytes:
    """The name of an event that has come, b"" if nothing has. An end is an error."""
    try:
        chunk = raw.recv(65536)
    except TimeoutError:
        return b""
    assert chunk, "it has ended"
    return next(line for line in chunk.splitlines() if line.startswith(b"event: "))


def test_streams_of_other_keys_go_on_and_all_of_one_poll_cost_one_question(gateway, world, simulator, bob, monkeypatch):
    asked = []
    ends = selectors.ends
    monkeypatch.setattr(selectors, "ends", lambda public_ids: asked.append(public_ids) or ends(public_ids))
    world.scripted("stall-after-9")
    gateway.refresh()
    mine = [call(gateway, ANTHROPIC, model="claude-stall-after-9", key=bob.key, stream=True) for _ in range(5)]
    others = call(gateway, ANTHROPIC, model="claude-stall-after-9", stream=True)
    for raw in (*mine, others):
        read_until(raw, b"content_block_delta")
    bob.revoked()
    told = [rest(raw) for raw in mine]
    assert all(STOPPED.encode() in end for end in told)
    assert asked == [[bob.row.public_id]]
    others.settimeout(0.2)
    last = told_of(others)
    for raw in (*mine, others):
        raw.close()
    # What it began with may come late, and on a busy machine it is time for a frame that keeps it open.
    assert last in (b"", b"event: content_block_delta", b"event: ping")


def test_a_key_that_changes_and_stays_good_ends_nothing(gateway, world, bob):
    world.scripted("long")
    gateway.refresh()
    with call(gateway, ANTHROPIC, model="claude-long", key=bob.key, stream=True, max_tokens=4000) as raw:
        read_until(raw, b"content_block_delta")
        keys.update(bob.row, actor=None, name="renamed")
        gateway.refresh()
        assert b"message_stop" in rest(raw)


def test_a_look_again_that_fails_is_made_up_for(gateway, world, bob, monkeypatch):
    ends, failed = selectors.ends, threading.Event()

    def fails_once(public_ids):
        if not failed.is_set():
            failed.set()
            raise RuntimeError("the database is away")
        return ends(public_ids)

    monkeypatch.setattr(selectors, "ends", fails_once)
    world.scripted("stall-after-9")
    gateway.refresh()
    with call(gateway, ANTHROPIC, model="claude-stall-after-9", key=bob.key, stream=True) as raw:
        read_until(raw, b"content_block_delta")
        bob.revoked()
        assert STOPPED.encode() in rest(raw)
    assert failed.is_set()


@pytest.mark.parametrize(("minutes", "is_ended"), [(30, False), (-30, True)])
def test_a_key_expires_by_the_time_that_lets_its_calls_in_and_not_by_the_machines_own(minutes, is_ended):
    known = Snapshot(revision=1, compiled_at=0.0, models={}, tenants={1: Rules()}, projects={1: Rules()})
    who = {"key_id": 1, "public_id": "k", "tenant_id": 1, "project_id": 1, "user_id": None}

    async def sweep() -> bool:
        ctx = RequestContext({"headers": []}, None, None, wire=CLIENTS["openai_chat"], endpoint="", snapshot=known)
        ctx.principal = Principal(**who, expires_at=int(clock.now()) + 60 * minutes)
        ctx.task = asyncio.create_task(asyncio.sleep(60))
        underway = Underway()
        underway.enter(ctx)
        with time_machine.travel(time.time() + HOUR, tick=True):
            underway.sweep(known)
        ctx.task.cancel()
        return ctx.ended is not None

    assert asyncio.run(sweep()) == is_ended
