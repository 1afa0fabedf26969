"""A process that journals calls and says on stdout what was acknowledged, until it is killed.

    python -m tests.money.victim <folder> <windows> <leases>

`i <request> <reserved>`: the intent is durable. `o <request> <cost>`: the outcome is.
"""

from __future__ import annotations

import asyncio
import random
import sys

from apps.usage.journal import Journal
from tests.money.calls import intent, outcome

RESERVED = 1_000_000
PINNED = 7  # an endpoint


async def main(folder: str, windows: tuple[int, ...], leases: tuple[int, ...]) -> None:
    journal = Journal(folder, name="victim")
    await journal.start()
    await asyncio.gather(*(_caller(journal, windows, leases) for _ in range(8)))


async def _caller(journal: Journal, windows: tuple[int, ...], leases: tuple[int, ...]) -> None:
    dice = random.Random()
    while True:
        record = intent(windows=windows, leases=leases, reserved=RESERVED, pinned_id=PINNED)
        await journal.intent(record)
        print("i", record.request_id, RESERVED, flush=True)
        if dice.random() < 0.3:
            journal.checkpoint(record.request_id, 1, 20, "msg_1")
        await asyncio.sleep(dice.random() * 0.004)
        if dice.random() < 0.1:
            continue  # a stream that is never heard of again
        cost = dice.randint(1, RESERVED)
        journal.outcome(outcome(record, cost=cost))
        await journal.flush()
        print("o", record.request_id, cost, flush=True)


if __name__ == "__main__":
    numbers = tuple(int(number) for number in sys.argv[2].split(",")), tuple(int(n) for n in sys.argv[3].split(","))
    asyncio.run(main(sys.argv[1], *numbers))
