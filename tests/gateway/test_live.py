"""The sockets of live pages, against a running gateway: who gets one, what they hear, and when it ends."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from typing import Any

import pytest
from django.conf import settings
from django.test import Client
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from apps.portal import hub
from apps.tenants import services as tenants
from apps.tenants.models import Membership, Role
from tests import factories
from tests.servers import UNTIL_SECONDS

OF_ACME, OF_GLOBEX, OF_ALL = "/t/acme/live/feed/", "/t/globex/live/feed/", "/live/feed/"
CALL = {"model": "claude-test", "max_tokens": 64, "messages": [{"role": "user", "content": "hello"}]}
Look = Callable[..., ClientConnection]


@pytest.fixture
def bob(world):
    return factories.member(world.tenant, "bob", Role.DEVELOPER)


@pytest.fixture
def charlie(world):
    return factories.member(factories.tenant("Globex"), "charlie", Role.OWNER)


@pytest.fixture
def look(gateway) -> Iterator[Look]:
    """Opens a socket as a browser of `user`'s does."""
    with contextlib.ExitStack() as opened:

        def come(user: Any, path: str = OF_ACME, *, origin: str | None = gateway.url) -> ClientConnection:
            browser = Client()
            if user is not None:
                browser.force_login(user)
            session = browser.cookies.get(settings.SESSION_COOKIE_NAME)
            headers = {"Cookie": f"{session.key}={session.value}"} if session is not None else {}
            address = f"ws://{gateway.host}:{gateway.port}{path}"
            return opened.enter_context(connect(address, origin=origin, additional_headers=headers))

        yield come


def call(gateway, key: str | None = None) -> None:
    answer = gateway.client.post("/v1/messages", json=CALL, headers={"x-api-key": key or gateway.world.key})
    assert answer.status_code == 200
    gateway.settle()


def heard(socket: ClientConnection) -> dict[str, Any]:
    return json.loads(socket.recv(UNTIL_SECONDS))


def hears(socket: ClientConnection, *, calls: int) -> dict[str, Any]:
    """The first frame with so many."""
    while len((frame := heard(socket))["calls"]) < calls:
        pass
    assert len(frame["calls"]) == calls
    return frame


def refused(look: Look, *arguments: Any, **options: Any) -> int:
    with pytest.raises(InvalidStatus) as refusal:
        look(*arguments, **options)
    return refusal.value.response.status_code


def shaken(gateway, host: str) -> int:
    """What the server says to alice's handshake by that name."""
    browser = Client()
    browser.force_login(gateway.world.alice)
    headers = {
        "host": host,
        "origin": f"http://{host}",
        "cookie": f"{settings.SESSION_COOKIE_NAME}={browser.session.session_key}",
        **{"connection": "upgrade", "upgrade": "websocket", "sec-websocket-version": "13"},
        "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    with contextlib.closing(HTTPConnection(gateway.host, gateway.port, timeout=UNTIL_SECONDS)) as line:
        line.request("GET", OF_ACME, headers=headers)
        return line.getresponse().status


def end_of(socket: ClientConnection) -> int:
    with contextlib.suppress(ConnectionClosed):
        while True:
            socket.recv(UNTIL_SECONDS)
    code = socket.close_code
    assert code is not None
    return code


@pytest.mark.attack("F27")
def test_a_call_is_heard_of_by_its_tenant_and_by_nobody_else(gateway, look, bob, charlie):
    owner, developer, stranger = look(gateway.world.alice), look(bob), look(charlie, OF_GLOBEX)
    before = heard(stranger) | {"now": 0}
    assert heard(owner)["calls"] == heard(developer)["calls"] == []
    call(gateway)
    frame = hears(owner, calls=1)
    told = frame["calls"][0]
    assert (told["model"], told["who"], told["good"], told["tenant"]) == ("claude-test", "alice", True, "")
    assert told["tokens"] > 0
    assert told["cost"].startswith("$")
    assert sum(second[1] for second in frame["seconds"]) == 1
    assert sum(second[3] for second in frame["seconds"]) > 0
    # Two more frames of each: the call was in the ledger before the first.
    for socket in (developer, stranger):
        frames = [heard(socket) | {"now": 0} for _ in range(2)]
        assert frames == [before, before]


def test_a_developer_hears_of_their_own(gateway, look, bob):
    key = gateway.world.issue_for_member(bob)
    gateway.refresh()
    mine = look(bob)
    call(gateway)
    call(gateway, key)
    frame = hears(mine, calls=1)
    assert frame["calls"][0]["who"] == "bob"
    assert sum(second[1] for second in frame["seconds"]) == 1
    assert len(hears(look(gateway.world.alice), calls=2)["calls"]) == 2


def test_operators_hear_of_everybody(gateway, look, bob, charlie):
    theirs = gateway.world.issue_for(charlie.memberships.get().tenant)
    gateway.refresh()
    operator = look(gateway.world.alice, OF_ALL)
    call(gateway)
    call(gateway, theirs)
    assert {told["tenant"] for told in hears(operator, calls=2)["calls"]} == {"Acme", "Globex"}
    assert refused(look, bob, OF_ALL) == 403


def test_whoever_comes_back_lacks_nothing(gateway, look):
    first = look(gateway.world.alice)
    heard(first)
    first.close()
    call(gateway)
    assert len(heard(look(gateway.world.alice))["calls"]) == 1


@pytest.mark.attack("F27", "F29")
def test_nobody_comes_in_who_may_not_open_the_page(gateway, look, bob, charlie):
    alice = gateway.world.alice
    assert refused(look, None) == 403
    assert refused(look, charlie) == 403
    assert refused(look, bob, OF_GLOBEX) == 403
    assert refused(look, bob, "/t/nobody/live/feed/") == 403
    for origin in ("https://elsewhere.example", f"{gateway.url}.elsewhere.example", "null", None):
        assert refused(look, alice, origin=origin) == 403
    bob.is_active = False
    bob.save()
    assert refused(look, bob) == 403


def test_behind_a_pinned_host_there_is_none(gateway):
    factories.endpoint(gateway.world.model("claude-pinned"), "sonnet", hosts=["sonnet.example"])
    gateway.refresh()
    assert shaken(gateway, "weir.example") == 101
    assert shaken(gateway, "sonnet.example") == 403


def test_a_member_who_is_removed_is_cut_off(gateway, look, bob):
    socket, other = look(bob), look(gateway.world.alice)
    heard(socket)
    tenants.remove_member(Membership.objects.get(user=bob), actor=gateway.world.alice)
    assert end_of(socket) == 4403
    assert heard(other)["calls"] == []
    assert refused(look, bob) == 403


def test_a_role_that_changes_ends_what_was_seen_by_it(gateway, look, bob):
    call(gateway)
    socket = look(bob)
    assert heard(socket)["calls"] == []
    tenants.change_role(Membership.objects.get(user=bob), actor=gateway.world.alice, role=Role.VIEWER)
    assert end_of(socket) == 4403
    assert len(heard(look(bob))["calls"]) == 1


def test_a_session_that_ends_takes_its_socket_with_it(gateway, look, bob, monkeypatch):
    monkeypatch.setattr(hub, "REVIEW_SECONDS", 0.0)
    socket = look(bob)
    heard(socket)
    bob.set_password("another one, so that all sessions end")
    bob.save()
    assert end_of(socket) == 4403


def test_windows_of_one_visitor_are_counted(gateway, look, bob):
    sockets = [look(bob) for _ in range(hub.MOST_EACH)]
    for socket in sockets:
        heard(socket)
    assert end_of(look(bob)) == 4429
    sockets.pop().close()
    heard(look(gateway.world.alice))
    while True:  # the place is free as soon as the server has seen it leave
        again = look(bob)
        with contextlib.suppress(ConnectionClosed):
            heard(again)
            break


def test_there_is_nothing_to_say_to_it(gateway, look):
    socket = look(gateway.world.alice)
    socket.send("subscribe to everything")
    assert end_of(socket) == 1008
