"""The tools themselves: what is calm is equal, what is wrong is found, what passes the proxy breaks as asked."""

from __future__ import annotations

import asyncio
import dataclasses
import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.faults import books
from tests.faults.installation import Installation
from tests.faults.load import Ask, Load, Said
from tests.faults.proxy import Proxy
from tests.faults.tenants import open_tenant, read_books, settled

SCRIPTS = ("", "pace-10", "nousage", "429", "resets-after-3", "lies", "thinking", "cache")
BUDGETS = [{"of": "tenant", "amount": 10**12}, {"of": "key", "amount": 10**12, "period": "day"}]


def every_kind(key: str) -> list[Ask]:
    """Each script, from both upstreams in both dialects, streamed and not, to callers that stay and that leave."""
    kinds = itertools.product(SCRIPTS, ("claude", "gpt"), ("openai", "anthropic"), (True, False), ("", "rst"))
    return [
        Ask(
            key,
            model=f"{model}-limited" if script == "429" else model,
            dialect=dialect,
            stream=stream,
            script=script,
            leave=leave,
            after=2,
        )
        for script, model, dialect, stream, leave in kinds
    ]


def talk(gateways: list[Any], asks: list[Ask]) -> list[Said]:
    turns = itertools.cycle(gateways)

    async def play() -> list[Said]:
        async with Load(lambda: next(turns).base_url) as load:
            return await load.run(asks, at_once=16)

    return asyncio.run(play())


@pytest.mark.parametrize(("which", "count"), [("embedded", 1), ("several", 2)])
def test_without_faults_the_ledger_is_the_meter(request, which, count):
    installation: Installation = request.getfixturevalue(which)
    tenant = open_tenant(installation, budgets=BUDGETS)
    said = talk(installation.start(count), every_kind(tenant.key))
    assert {one.status for one in said} >= {200, 429, 502}
    assert settled(installation, tenant) == []
    # Whose credential rests after a 429 is asked nothing more, and has no row.
    asked = [one for one in said if one.ask.script != "429"]
    assert len(read_books(installation, tenant).entries) > len(asked) > 100


@pytest.fixture(scope="module")
def sound(embedded: Installation) -> books.Books:
    """Of a few calls that all were answered."""
    tenant = open_tenant(embedded, budgets=BUDGETS)
    talk(embedded.start(), [Ask(tenant.key) for _ in range(4)])
    assert settled(embedded, tenant) == []
    return read_books(embedded, tenant)


def _without_a_row(found: books.Books) -> None:
    found.entries.pop()


def _twice(found: books.Books) -> None:
    found.entries.append(found.entries[0])


def _nano_too_much(found: books.Books) -> None:
    for column in ("low_nano", "cost_nano", "high_nano"):
        found.entries[0][column] += 1


def _counter_off(found: books.Books) -> None:
    found.windows[0]["settled"] -= 1


def _hold_leaked(found: books.Books) -> None:
    found.windows[0]["held"] += 1


def _over(found: books.Books) -> None:
    found.windows[0] |= {"limit": 1, "ceiling": 1}


def _metered_twice(found: books.Books) -> None:
    found.readings.append(found.readings[0])


@pytest.mark.parametrize(
    "spoil", [_without_a_row, _twice, _nano_too_much, _counter_off, _hold_leaked, _over, _metered_twice]
)
def test_books_that_are_wrong_by_one_are_found(sound, spoil: Callable[[books.Books], None]):
    spoiled = dataclasses.replace(
        sound,
        entries=[dict(row) for row in sound.entries],
        windows=[dict(row) for row in sound.windows],
        readings=list(sound.readings),
    )
    spoil(spoiled)
    assert books.differences(spoiled) != []


@pytest.fixture
def echo() -> Iterator[Proxy]:
    """A proxy before a server that says what it hears."""

    def serve(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection: socket.socket) -> None:
        with connection:
            try:
                while heard := connection.recv(1024):
                    connection.sendall(heard)
            except OSError:
                return

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, args=(listener,), daemon=True)
    thread.start()
    proxy = Proxy(f"tcp://127.0.0.1:{listener.getsockname()[1]}")
    yield proxy
    proxy.close()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def dial(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=5)


def said(client: socket.socket, *, within: float = 5.0) -> bytes:
    client.settimeout(within)
    client.sendall(b"hello")
    return client.recv(1024)


def test_a_proxy_that_is_whole_passes_everything_on(echo):
    with dial(echo) as client:
        assert said(client) == b"hello"


def test_a_slow_one_is_slow_in_both_directions(echo):
    echo.delay(0.1)
    with dial(echo) as client:
        started = time.monotonic()
        assert said(client) == b"hello"
        assert time.monotonic() - started >= 0.2


def test_a_narrow_one_takes_its_time_for_every_byte(echo):
    echo.throttle(50)
    with dial(echo) as client:
        started = time.monotonic()
        assert said(client) == b"hello"
        assert time.monotonic() - started >= 0.2


def test_a_partition_keeps_what_is_sent_until_it_heals(echo):
    with dial(echo) as client:
        echo.hold()
        with pytest.raises(TimeoutError):
            said(client, within=0.1)
        echo.heal()
        client.settimeout(5)
        assert client.recv(1024) == b"hello"


def test_a_half_open_connection_hears_nothing_ever_and_a_new_one_works(echo):
    with dial(echo) as client, dial(echo) as other:
        assert said(client) == said(other) == b"hello"
        echo.swallow()
        with pytest.raises(TimeoutError):
            said(client, within=0.1)
        with dial(echo) as fresh:
            assert said(fresh) == b"hello"
            echo.heal()
            assert said(fresh) == b"hello"
        with pytest.raises(ConnectionResetError):
            client.recv(1024)


def test_a_reset_ends_what_is_open_and_nothing_else(echo):
    with dial(echo) as client:
        assert said(client) == b"hello"
        echo.reset()
        with pytest.raises(ConnectionResetError):
            client.recv(1024)
    with dial(echo) as client:
        assert said(client) == b"hello"


def test_one_that_refuses_does_so_until_it_heals(echo):
    echo.refuse()
    with pytest.raises(ConnectionRefusedError):
        dial(echo)
    echo.heal()
    with dial(echo) as client:
        assert said(client) == b"hello"
