"""`make faults`: all of tests/faults, or with SEED one round of mixed chaos on both authorities, or with SEEDS so many.

    python -m tests.faults [--seed N | --seeds N [--first N] | --calls N]

Half of many rounds are on SQLite and half on PostgreSQL with Valkey, side by side. Every round says its seed. The exit
status is 1 if the books of one were not equal; then its plan, the differences and the folder with all logs are told.
With --calls, N calls are made in a storm of each kind instead (`storms`), and their figures told.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import sys
import tempfile
from pathlib import Path

from tests.faults import rounds, storms


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--first", type=int, default=random.randrange(10**6), help="of --seeds; any unless given")
    parser.add_argument("--calls", type=int)
    given = parser.parse_args()
    if given.seed is None and given.seeds is None and given.calls is None:
        os.execv(sys.executable, [sys.executable, "-m", "tests.run", "faults"])
    folder = Path(tempfile.mkdtemp(prefix="weir-faults-", dir="/tmp"))
    if given.calls is not None:
        return 1 if storms.play_all(folder, given.calls) else 0
    if given.seed is not None:
        halves = [[given.seed], [given.seed]]
    else:
        seeds = range(given.first, given.first + given.seeds)
        print(f"seeds {seeds[0]} to {seeds[-1]}, logs in {folder}", flush=True)
        halves = [list(seeds[0::2]), list(seeds[1::2])]
    work = [(folder, half, together) for half, together in zip(halves, (False, True), strict=True)]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        broken = sum(pool.starmap(rounds.play_all, work))
    print(f"{sum(map(len, halves))} rounds, {broken} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
