"""The contenders that are up, and what has been measured of them so far."""

from __future__ import annotations

import collections
import contextlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import contenders, memory, servers, wire
from benchmarks.contenders import Contender, Up
from benchmarks.figures import Cell, Sample
from benchmarks.hold import held
from benchmarks.load import Load
from benchmarks.paced import paced
from benchmarks.servers import HOST, Cores, NotStarted, Server

WARM_UP_SHARE = 0.2  # of a window, thrown away
IDLE_WARM_UP_SECONDS = 1.0
OPENING_SECONDS = 60.0
PACED_SECONDS = 60.0  # for streams of three seconds


@dataclass
class Session:
    """`samples` in the order of the first round. `answered`: complete answers of each, warm-ups included. `settling`:
    seconds that a process may take at most to finish what it does behind its answers."""

    folder: Path
    cores: Cores
    provider: Server
    seconds: float
    settling: float
    samples: dict[Cell, list[Sample]] = field(default_factory=dict)
    answered: collections.Counter[str] = field(default_factory=collections.Counter)
    _up: dict[str, Up] = field(default_factory=dict)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def start(self, asked: list[Contender]) -> dict[str, str]:
        """Why some did not start, by name. All of Weir's own must."""
        failed = {}
        for contender in asked:
            print(f"starting {contender.name}", flush=True)
            try:
                self._up[contender.name] = self._enter(contender, stack=self._stack)
            except NotStarted as error:
                if contender in contenders.OWN:
                    self.stop()
                    raise
                print(error, flush=True)
                failed[contender.name] = "did not start"
        return failed

    def stop(self) -> None:
        self._stack.close()
        self._up.clear()

    async def load(self, cell: Cell) -> None:
        """One window of one cell."""
        up = self._up[cell.name]
        dialect, model = wire.PAIRS[cell.pair]
        model = wire.LONG_MODEL if cell.mode == "long" else model
        call = wire.call(dialect, cell.mode, model=model, key=up.key, extra=up.headers.get(dialect, ()))
        used: list[float | None] = []

        def look() -> None:
            used.append(memory.processor_seconds(up.pid) if up.pid is not None else None)

        load = Load(call, host=HOST, port=up.port, connections=cell.connections)
        tally = await load.run(seconds=self.seconds, warm_up=self.seconds * WARM_UP_SHARE, at_start=look, at_end=look)
        before, after = used
        busy = (after - before) / tally.seconds if before is not None and after is not None else None
        sample = Sample(tally.rate, tally.latencies, tally.first_bytes, busy=busy, errors=tally.errors)
        self.samples.setdefault(cell, []).append(sample)
        self.answered[cell.name] += load.answered
        if up.pid is not None:
            await servers.settle(up.pid, processor=memory.processor_seconds, seconds=self.settling)

    async def paced(self, cell: Cell) -> None:
        """As many streams as `cell` has connections, at the pace of life."""
        up = self._up[cell.name]
        dialect, model = wire.PACED_PAIRS[cell.pair]
        call = wire.call(dialect, cell.mode, model=model, key=up.key, extra=up.headers.get(dialect, ()))
        before = memory.processor_seconds(up.pid) if up.pid is not None else None
        result = await paced(call, host=HOST, port=up.port, streams=cell.connections, patience=PACED_SECONDS)
        busy = (memory.processor_seconds(up.pid) - before) / result.seconds if up.pid and before is not None else None
        rate = len(result.latencies) / result.seconds
        sample = Sample(rate, result.latencies, busy=busy, errors=result.errors)
        self.samples.setdefault(cell, []).append(sample)
        self.answered[cell.name] += cell.connections

    async def memory(self) -> dict[str, float]:
        """Resident MB of every gateway, now."""
        return {
            name: round(memory.resident_kb(up.pid) / 1024, 1) for name, up in self._up.items() if up.pid is not None
        }

    async def idle(self, contender: Contender, *, streams: int) -> None:
        """A fresh process, warmed up; then many streams that have begun and say nothing more."""
        with contextlib.ExitStack() as stack:
            up = self._enter(contender, stack=stack)
            assert up.pid is not None
            extra = up.headers.get("anthropic", ())
            stream = wire.call("anthropic", "stream", model="claude-53", key=up.key, extra=extra)
            warm_up = Load(stream, host=HOST, port=up.port, connections=32)
            await warm_up.run(seconds=IDLE_WARM_UP_SECONDS / 2, warm_up=IDLE_WARM_UP_SECONDS / 2)
            self.answered[contender.name] += warm_up.answered
            await servers.settle(up.pid, processor=memory.processor_seconds, seconds=self.settling)
            before = memory.resident_kb(up.pid)
            call = wire.call("anthropic", "idle", model=wire.IDLE_MODEL, key=up.key, extra=extra)
            async with held(call, host=HOST, port=up.port, streams=streams, seconds=OPENING_SECONDS) as result:
                await servers.settle(up.pid, processor=memory.processor_seconds, seconds=self.settling)
                after = memory.resident_kb(up.pid)
        opened = len(result.waits)
        measured = {"kb_per_stream": (after - before) / opened, "held_rss_mb": after / 1024} if opened else {}
        sample = Sample(opened / result.seconds, result.waits, errors=result.errors, extra=measured)
        self.samples.setdefault(Cell(contender.name, "idle", streams), []).append(sample)

    def ledger(self, contender: Contender) -> dict[str, int | None]:
        """What its ledger holds beside what its callers have seen; every gateway is down by now."""
        assert contender.ledger is not None
        counted = contenders.seed("--count", environment=contender.ledger(self.folder))
        return {"answered": self.answered[contender.name], **json.loads(counted)}

    def _enter(self, contender: Contender, *, stack: contextlib.ExitStack) -> Up:
        return stack.enter_context(contender.start(self.folder, self.cores, self.provider))
