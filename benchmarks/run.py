"""`make bench`. Reads top to bottom: start everybody, measure in rounds, stop everybody, report.

    python -m benchmarks.run [--rounds N] [--seconds S] [--duels N] [--settling S] [--streams N] [--paced N]
                             [--output FOLDER] [--results FILE]

Five rounds; within each, every contender has its turn at every kind of call, and who goes first rotates. Then Weir and
the bare relay alone take turns at streams of one dialect, of which a single window says least. The gateway has one
core, the load generator and the simulated provider the others. A figure is the median of its windows.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import contenders, figures, micro, report, rivals, servers, wire
from benchmarks.contenders import Contender
from benchmarks.figures import HEADLINE, Cell
from benchmarks.session import Session
from benchmarks.wire import Mode
from tests import migrated, services

ONE, MANY = 1, 32
MODES: tuple[Mode, ...] = ("call", "stream")
VARIANTS = ("stock", "straight", "cached")  # of the bare relay and of Weir, for many connections only
LONG_STREAMS = ("weir", "off")  # what an event costs shows by streams of two lengths
PACED = ("direct", "bare", "weir")
DUEL = ("bare", "weir")
IDLE_ROUNDS = 3  # memory hardly differs from one to the next
BURST = 1  # each event of the provider in a packet of its own, as in life


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.2, help="a window of measurement")
    parser.add_argument("--duels", type=int, default=4, help="windows a round of streams, the bare relay's and Weir's")
    parser.add_argument("--settling", type=float, default=5.0, help="the longest wait for a process to rest after one")
    parser.add_argument("--streams", type=int, default=500, help="held open to see what each costs")
    parser.add_argument("--paced", type=int, default=200, help="streams at once at 50 events a second; 0: none")
    parser.add_argument("--output", type=Path, default=servers.ROOT / "var" / "bench", help="where latest.json goes")
    parser.add_argument("--results", type=Path, default=servers.ROOT / "benchmarks" / "RESULTS.md")
    options = parser.parse_args(arguments)

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped
    servers.allow_many_files()
    started = time.monotonic()
    steps = micro.measure()
    with asyncio.Runner(loop_factory=servers.loop_factory()) as runner:
        outcome = runner.run(measure(options))
    outcome.steps = steps
    outcome.seconds = time.monotonic() - started
    report.write(outcome, folder=options.output, results=options.results)
    return 0


async def measure(options: argparse.Namespace) -> report.Outcome:
    cores = servers.Cores.of_this_machine()
    cores.take_other_side()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
        present = (*contenders.OWN, production(stack), *rivals.present())
        provider = stack.enter_context(servers.simulator(log=folder / "simulator.log", burst=BURST))
        session = Session(
            folder=folder, cores=cores, provider=provider, seconds=options.seconds, settling=options.settling
        )
        missing = session.start([each for each in present if not each.missing])
        missing |= {each.name: each.missing for each in present if each.missing}
        racing = [each for each in present if each.name not in missing]
        try:
            for number in range(options.rounds):
                print(f"round {number + 1} of {options.rounds}", flush=True)
                await one_round(session, racing, turn=number)
            for number in range(options.rounds * options.duels):
                await duel(session, [each for each in racing if each.name in DUEL], turn=number)
            memory = await session.memory()
            for number in range(min(options.rounds, IDLE_ROUNDS) if options.paced else 0):
                print(f"paced streams, round {number + 1}", flush=True)
                await paced_round(
                    session, [each for each in racing if each.name in PACED], streams=options.paced, turn=number
                )
        finally:
            session.stop()
        for number in range(min(options.rounds, IDLE_ROUNDS)):
            print(f"idle streams, round {number + 1}", flush=True)
            for contender in rotated([each for each in racing if each.holds], turn=number):
                await session.idle(contender, streams=options.streams)
        rows = [figures.row(cell, samples, rss_mb=memory.get(cell.name)) for cell, samples in session.samples.items()]
        figures.compare(rows)
        ledgers = {each.name: session.ledger(each) for each in racing if each.ledger is not None}
        return report.Outcome(
            rows=rows, missing=missing, cores=cores, options=vars(options), ledgers=ledgers, burst=BURST
        )


def production(stack: contextlib.ExitStack) -> Contender:
    """Weir on services of the benchmark's own, up until the stack closes."""
    try:
        database = stack.enter_context(services.postgresql(is_durable=True, copied=migrated.cluster()))
        redis = stack.enter_context(services.valkey())
    except services.NotAvailable as reason:
        return contenders.production(missing=str(reason))
    return contenders.production(database=migrated.database(database.url), redis=redis.url)


async def one_round(session: Session, racing: list[Contender], *, turn: int) -> None:
    """Every cell once. Neighbours in time are those that are compared with each other."""
    for pair in contenders.EVERY_PAIR:
        for mode in MODES:
            for connections in (ONE, MANY) if pair == HEADLINE else (MANY,):
                fit = [
                    each for each in racing if pair in each.pairs and (connections == MANY or each.name not in VARIANTS)
                ]
                for contender in rotated(fit, turn=turn):
                    await session.load(Cell(contender.name, mode, connections, pair))
    for contender in rotated([each for each in racing if each.name in LONG_STREAMS], turn=turn):
        await session.load(Cell(contender.name, "long", MANY))


async def duel(session: Session, racing: list[Contender], *, turn: int) -> None:
    """Streams of one dialect once more. Behind the rounds, so that the first windows of all stay fellows."""
    for pair in contenders.SAME_DIALECT:
        for contender in rotated(racing, turn=turn):
            await session.load(Cell(contender.name, "stream", MANY, pair))


async def paced_round(session: Session, racing: list[Contender], *, streams: int, turn: int) -> None:
    for pair in wire.PACED_PAIRS:
        for contender in rotated([each for each in racing if pair in each.pairs], turn=turn):
            await session.paced(Cell(contender.name, "paced", streams, pair))


def rotated(items: list[Contender], *, turn: int) -> list[Contender]:
    start = turn % len(items)
    return items[start:] + items[:start]


if __name__ == "__main__":
    sys.exit(main())
