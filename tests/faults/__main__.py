"""`make faults`: all of tests/faults, or with SEED one round of mixed chaos on both authorities, or with SEEDS so many.

    python -m tests.faults [--seed N | --seeds N [--first N]]

Half of many rounds are on SQLite and half on PostgreSQL with Valkey, side by side. Every round says its seed. The exit
status is 1 if the books of one were not equal; then its plan, the differences and the folder with all logs are told.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.faults import rounds
from tests.faults.chaos import Broken

TOGETHER = 50  # rounds on the same stores, before new ones are made


def play(folder: Path, seeds: Sequence[int], together: bool) -> int:
    """How many rounds were broken."""
    broken = 0
    for start in range(0, len(seeds), TOGETHER):
        with rounds.stage(folder / f"{'several' if together else 'embedded'}-{start}", together=together) as stage:
            for seed in seeds[start : start + TOGETHER]:
                try:
                    print(rounds.play(stage, seed, together=together), flush=True)
                except Broken as error:
                    broken += 1
                    print(f"BROKEN: {error}\nagain: make faults SEED={seed}", flush=True)
    return broken


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--first", type=int, default=random.randrange(10**6), help="of --seeds; any unless given")
    given = parser.parse_args()
    if given.seed is None and given.seeds is None:
        os.execv(sys.executable, [sys.executable, "-m", "tests.run", "faults"])
    folder = Path(tempfile.mkdtemp(prefix="weir-faults-", dir="/tmp"))
    if given.seed is not None:
        halves = [[given.seed], [given.seed]]
    else:
        seeds = range(given.first, given.first + given.seeds)
        print(f"seeds {seeds[0]} to {seeds[-1]}, logs in {folder}", flush=True)
        halves = [list(seeds[0::2]), list(seeds[1::2])]
    work = [(folder, half, together) for half, together in zip(halves, (False, True), strict=True)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        broken = sum(pool.starmap(play, work))
    print(f"{sum(map(len, halves))} rounds, {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
