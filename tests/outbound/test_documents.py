"""Documents that are remembered: who waits for them, when they are asked for again, and what serves meanwhile."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from apps.outbound.documents import MOST_BYTES, Documents, Unavailable, ask
from tests.issuers import LOOPBACK, Issuer, document, issuing

PATH = "/thing"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def documents(clock: Clock) -> Documents[Any]:
    return Documents(json.loads, fresh=100, late=200, stale=1000, pause=10, seconds=60, clock=clock)


@pytest.fixture
def issuer():
    with issuing() as server:
        server.pages[PATH] = document(1)
        yield server


def get(documents: Documents[Any], issuer: Issuer, **more: Any) -> Any:
    return documents.get(issuer.url + PATH, networks=LOOPBACK, **more)


def test_it_is_asked_for_once(documents, issuer):
    assert documents.known(issuer.url + PATH, networks=LOOPBACK) is None
    assert [get(documents, issuer) for _ in range(3)] == [1, 1, 1]
    assert documents.known(issuer.url + PATH, networks=LOOPBACK) == 1
    assert issuer.asked[PATH] == 1


async def test_threads_and_coroutines_wait_for_the_same_answer(documents, issuer):
    come = threading.Event()

    def page(_: Any) -> Any:
        come.wait()
        return document(1)

    issuer.pages[PATH] = page
    waiting = [asyncio.to_thread(get, documents, issuer) for _ in range(3)]
    tasks = [asyncio.ensure_future(task) for task in waiting]
    tasks += [asyncio.ensure_future(documents.find(issuer.url + PATH, networks=LOOPBACK)) for _ in range(3)]
    await asyncio.sleep(0)
    come.set()
    assert await asyncio.gather(*tasks) == [1] * 6
    assert issuer.asked[PATH] == 1


def test_one_that_is_no_longer_fresh_is_asked_for_behind_the_callers_back(documents, issuer, clock):
    get(documents, issuer)
    come = threading.Event()

    def page(_: Any) -> Any:
        come.wait()
        return document(2)

    issuer.pages[PATH] = page
    clock.now += 150
    assert get(documents, issuer) == 1  # though its server says nothing yet
    come.set()
    assert get(documents, issuer, is_enough=lambda value: value == 2) == 2


def test_one_that_is_late_is_waited_for(documents, issuer, clock):
    get(documents, issuer)
    issuer.pages[PATH] = document(2)
    clock.now += 250
    assert get(documents, issuer) == 2


@pytest.mark.parametrize("page", [(500, b"{}"), (200, b"<html>"), (302, b""), (200, b" " * (MOST_BYTES + 1) + b"1")])
def test_the_old_one_serves_while_no_other_can_be_had_but_not_for_ever(documents, issuer, clock, page):
    get(documents, issuer)
    issuer.pages[PATH] = page
    clock.now += 250
    assert get(documents, issuer) == 1
    assert get(documents, issuer) == 1
    assert issuer.asked[PATH] == 2  # it is left alone for a pause
    clock.now += 1000
    with pytest.raises(Unavailable):
        get(documents, issuer)


def test_what_it_does_not_hold_is_asked_for_once_a_pause(documents, issuer, clock):
    get(documents, issuer)
    for _ in range(5):
        assert get(documents, issuer, is_enough=lambda value: value == 7) == 1
    assert issuer.asked[PATH] == 1  # it was asked a moment ago
    clock.now += 11
    issuer.pages[PATH] = document(7)
    assert get(documents, issuer, is_enough=lambda value: value == 7) == 7
    assert issuer.asked[PATH] == 2


def test_a_server_that_fails_is_asked_once_a_pause(documents, issuer, clock):
    issuer.pages[PATH] = (503, b"")
    for _ in range(3):
        with pytest.raises(Unavailable, match="status 503"):
            get(documents, issuer)
    assert issuer.asked[PATH] == 1
    issuer.pages[PATH] = document(1)
    clock.now += 11
    assert get(documents, issuer) == 1


def test_a_server_that_says_nothing_is_left_after_a_while(issuer, clock):
    issuer.hanging.add(PATH)
    impatient: Documents[Any] = Documents(json.loads, seconds=0.05, clock=clock)
    with pytest.raises(Unavailable, match="late"):
        get(impatient, issuer)


def test_only_addresses_that_were_opened_are_asked(documents, issuer):
    with pytest.raises(Unavailable, match="address refused"):
        documents.get(issuer.url + PATH)
    for url in ("http://169.254.169.254/", "file:///etc/passwd", "https://user@example.com/"):
        with pytest.raises(Unavailable, match="address refused"):
            ask("GET", url, networks=LOOPBACK)
    assert not issuer.asked


def test_a_form_is_sent_as_it_is(issuer):
    issuer.pages["/token"] = lambda form: document(form)
    reply = ask(
        "POST",
        f"{issuer.url}/token",
        networks=LOOPBACK,
        headers={"Content-Type": "application/x-www-form-urlencoded", "Authorization": "Basic eA=="},
        body=b"code=a%2Bb",
    )
    assert (reply.status, json.loads(reply.body)) == (200, {"code": "a+b", "_authorization": "Basic eA=="})
