"""How many processes share a limit: known while all beat, and soon after one has died."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import pytest
from django.db.models.functions import Now

from apps.quotas import authority, leases, replicas, windows
from apps.quotas.leases import LeaseBook
from apps.quotas.models import Replica
from apps.quotas.redis_counters import RedisLimiter
from tests import services
from tests.money.books import in_thread, run
from tests.money.counters import count, limit


@pytest.fixture
def others(transactional_db: None) -> list[str]:
    """Two processes beside this one."""
    names = ["one", "two"]
    for name in names:
        windows.register(name)
    return names


def silent(name: str, *, seconds: float) -> None:
    Replica.objects.filter(name=name).update(heartbeat=Now() - timedelta(seconds=seconds))


async def heard_of(live: int) -> None:
    deadline = time.monotonic() + 20
    while replicas.count() != live:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


def test_one_that_misses_two_beats_is_counted_no_more_and_its_money_is_not_touched_yet(others):
    epoch = windows.register("this")
    assert windows.beat("this", epoch=epoch) == 3
    silent("one", seconds=leases.BEAT_SECONDS + 1)
    assert windows.beat("this", epoch=epoch) == 3
    silent("one", seconds=2 * leases.BEAT_SECONDS + 3)
    assert windows.beat("this", epoch=epoch) == 2
    assert Replica.objects.get(name="one").fenced_at is None
    windows.beat("one", epoch=1)
    assert windows.beat("this", epoch=epoch) == 3


@pytest.mark.parametrize(
    ("shared", "beats", "warnings"),
    [(False, 9, 1), (True, 9, 0), (False, authority.BEATS_OF_ANOTHER - 1, 0)],  # so few: somebody was killed
)
def test_who_finds_another_without_a_redis_says_so_once(others, caplog, shared, beats, warnings):
    async def scenario(book: LeaseBook) -> None:
        for _ in range(beats):
            await book._authority.beat()

    run(scenario, LeaseBook("this", shared=shared))
    told = [record for record in caplog.records if "3 gateway processes live on this database" in record.getMessage()]
    assert len(told) == warnings


def test_the_share_of_a_limit_follows_the_dead_and_the_departed(others, monkeypatch):
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.1)

    async def scenario(book: LeaseBook) -> list[int]:
        limiter = RedisLimiter(f"redis://127.0.0.1:{services.free_port()}/0")
        await book.start()
        shares = []
        for live, change in (
            (3, None),
            (2, lambda: silent("one", seconds=13)),
            (1, lambda: windows.depart("two", known=[])),
        ):
            if change is not None:
                await in_thread(change)
            await heard_of(live)
            shares.append(await count(limiter, limit(requests_per_minute=12), times=20))
        await limiter.close()
        return shares

    assert run(scenario, LeaseBook("this", shared=True)) == [4, 6, 12]
