"""Rounds of mixed chaos, one after another on the same stores. The tests play them, and `python -m tests.faults`."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tests import migrated, services
from tests.faults import chaos, plan
from tests.faults.installation import Installation, opened
from tests.servers import start_simulator

EVERY_RUN = 12  # seeds, in every run of the whole suite, and others in each
TOGETHER = 50  # on the same stores, before new ones are made
BOX_SECONDS = 600.0  # that the rounds on one authority may take of it


@contextlib.contextmanager
def stage(folder: Path, *, together: bool) -> Iterator[Installation]:
    """Everything that a number of rounds needs, for as long as the block lasts."""
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        provider = start_simulator(folder, "--fast")
        stack.callback(provider.stop)
        stores = {}
        if together:
            service = stack.enter_context(services.postgresql(copied=migrated.cluster()))
            stores["database"] = replace(service, url=migrated.database(service.url))
            stores["redis"] = stack.enter_context(services.valkey())
        yield stack.enter_context(opened(folder / "installation", provider=provider, **stores))


def play(installation: Installation, seed: int, *, together: bool) -> str:
    """One round; what became of its calls, in a line. Raises Broken."""
    started = time.monotonic()
    said = chaos.play(installation, plan.make(seed, together=together))
    whole = sum(one.is_whole for one in said)
    refused = sum(one.status in (401, 429, 503, 529) for one in said)
    gone = sum(one.left for one in said)
    where = "PostgreSQL and Valkey" if together else "SQLite"
    return (
        f"seed {seed} on {where}: {len(said)} calls, {whole} whole, {refused} refused, {gone} left,"
        f" {len(said) - whole - refused - gone} cut; books equal; {time.monotonic() - started:.1f} s"
    )


def play_all(folder: Path, seeds: Sequence[int], together: bool) -> int:
    """Says on standard output what became of each. Returns how many were broken."""
    broken = 0
    for start in range(0, len(seeds), TOGETHER):
        with stage(folder / f"{'several' if together else 'embedded'}-{start}", together=together) as installation:
            for seed in seeds[start : start + TOGETHER]:
                try:
                    print(play(installation, seed, together=together), flush=True)
                except chaos.Broken as error:
                    broken += 1
                    print(f"BROKEN: {error}\nagain: make faults SEED={seed}", flush=True)
    return broken
