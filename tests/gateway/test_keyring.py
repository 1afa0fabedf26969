"""Warm keys: bounded, loaded once, forgotten when they change."""

from __future__ import annotations

import asyncio

import pytest

from apps.domain.snapshot import Principal
from apps.gateway.keyring import Keyring

pytestmark = pytest.mark.once


def principal(public_id):
    return Principal(key_id=1, public_id=public_id, tenant_id=1, project_id=1, user_id=None)


def fetching(result, calls):
    async def fetch():
        calls.append(1)
        await asyncio.sleep(0)
        return result

    return fetch


async def test_askers_at_the_same_time_share_one_look_up():
    ring, calls = Keyring(capacity=10), []
    found = await asyncio.gather(*(ring.load(b"d", "p", fetching(principal("p"), calls)) for _ in range(50)))
    assert len(calls) == 1
    assert all(one is not None and one.public_id == "p" for one in found)
    assert ring.get(b"d") is found[0]


async def test_an_unknown_key_is_remembered_until_keys_change():
    ring, calls = Keyring(capacity=10), []
    for _ in range(3):
        assert await ring.load(b"d", "p", fetching(None, calls)) is None
    assert len(calls) == 1
    ring.forget(["p"])
    assert await ring.load(b"d", "p", fetching(principal("p"), calls)) is not None


async def test_a_revocation_during_a_look_up_is_not_lost():
    ring, answers = Keyring(capacity=10), [principal("old"), None]

    async def fetch():
        answer = answers.pop(0)
        if answers:
            ring.forget(["p"])  # revoked after the database was read
        return answer

    assert await ring.load(b"d", "p", fetch) is None
    assert ring.get(b"d") is None


async def test_the_oldest_goes_when_it_is_full():
    ring = Keyring(capacity=2)
    for name in ("a", "b", "c"):
        await ring.load(name.encode(), name, fetching(principal(name), []))
    assert ring.get(b"a") is None
    assert ring.get(b"c") is not None
    ring.forget(["b"])
    assert ring.get(b"b") is None
