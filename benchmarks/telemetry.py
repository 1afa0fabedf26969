"""What telemetry costs: the same gateway without a collector, with one, with a tenth of the traces, with one away.

    python -m benchmarks.telemetry [--rounds N] [--seconds S] [--results FILE]

Their windows take turns within each round; judged by the time that the gateway's core has worked for a call, as the
clock of a shared machine says less. What the way of a call itself pays is measured apart, in this process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks import contenders, pages_report, servers
from benchmarks.figures import Cell, percentile
from benchmarks.session import Session
from benchmarks.wire import Mode

MODES: tuple[Mode, ...] = ("call", "stream")
CONNECTIONS = 32
ROOMS = ("authenticate", "examine", "admit", "guard", "cache", "dispatch", "relay", "settle", "")
REPEATS, CALLS = 60, 200


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.telemetry", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.2, help="a window of measurement")
    parser.add_argument("--results", type=Path, default=servers.ROOT / "benchmarks" / "RESULTS.md")
    options = parser.parse_args(arguments)
    servers.allow_many_files()
    steps = [*measured_steps()]
    with asyncio.Runner(loop_factory=servers.loop_factory()) as runner:
        session = runner.run(measure(options))
    found = [*lines(session, steps, options)]
    pages_report.keep_telemetry(options.results, found)
    print("\n".join(found))
    return 0


@contextlib.contextmanager
def collector() -> Iterator[str]:
    """Takes what comes, unread."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer((servers.HOST, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{servers.HOST}:{server.server_port}"
        server.shutdown()


async def measure(options: argparse.Namespace) -> Session:
    cores = servers.Cores.of_this_machine()
    cores.take_other_side()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-bench-")))
        url = stack.enter_context(collector())
        nobody = f"http://{servers.HOST}:{servers.free_port()}"
        share = {"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"}
        racing = [
            contenders.telling("off"),
            contenders.telling("all", OTEL_EXPORTER_OTLP_ENDPOINT=url),
            contenders.telling("a tenth", OTEL_EXPORTER_OTLP_ENDPOINT=url, **share),
            contenders.telling("away", OTEL_EXPORTER_OTLP_ENDPOINT=nobody),
        ]
        provider = stack.enter_context(servers.simulator(log=folder / "simulator.log", burst=1))
        session = Session(folder=folder, cores=cores, provider=provider, seconds=options.seconds, settling=5.0)
        missing = session.start(racing)
        if missing:
            session.stop()
            raise SystemExit(f"did not start: {', '.join(missing)}")
        try:
            for number in range(options.rounds):
                print(f"round {number + 1} of {options.rounds}", flush=True)
                for mode in MODES:
                    for turn in range(len(racing)):
                        contender = racing[(number + turn) % len(racing)]
                        await session.load(Cell(contender.name, mode, CONNECTIONS))
        finally:
            session.stop()
    return session


def measured_steps() -> Iterator[tuple[str, float]]:
    """What a call's own way pays, in microseconds at the median: a step has CALLS of them."""
    import os

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_site.settings")
    import django

    django.setup()
    from apps.gateway import tracing
    from apps.runtime import traces

    class Sink:
        def samples(self, trace_id: str, parent: traces.Parent | None) -> bool:
            return True

        def tells(self, provider: str) -> bool:
            return False

        def take(self, call: tracing.Told) -> None:
            pass

    ctx: Any = SimpleNamespace(
        **{"on_behalf_of": None, "trace": None, "parent": None, "trace_id": "ab" * 16, "look": None, "call": None},
        **{"started": 0.0, "scope": {"method": "POST", "path": "/v1/messages"}, "endpoint": "messages", "status": 200},
        **{"wire": SimpleNamespace(name="anthropic_messages", operation="generate"), "public_request_id": "req_1"},
        **{"gone": False, "principal": None, "model": None, "pinned": None, "attempts": []},
    )
    yield "nobody asks", _microseconds(lambda: _walk(tracing, ctx))
    tracing.sink = Sink()
    yield "a collector is told", _microseconds(lambda: _walk(tracing, ctx))
    tracing.sink = None


def _walk(tracing: Any, ctx: Any) -> None:
    trace = tracing.begin(ctx)
    for room in ROOMS:
        trace.enter(room)
    trace.close(ctx, None)


def _microseconds(step: Callable[[], None]) -> float:
    taken = []
    for _ in range(REPEATS):
        began = time.thread_time_ns()
        for _ in range(CALLS):
            step()
        taken.append((time.thread_time_ns() - began) / CALLS / 1000)
    return statistics.median(taken)


def lines(session: Session, steps: list[tuple[str, float]], options: argparse.Namespace) -> Iterator[str]:
    yield pages_report.TELEMETRY
    yield ""
    yield (
        f"Written by `python -m benchmarks.telemetry`: {options.rounds} rounds of {options.seconds:g} s a cell, "
        f"{CONNECTIONS} connections, on a machine that others worked on too, so by the time of the gateway's core "
        "before all else. *off*: no endpoint is set; *all*: every call's spans, metrics and log records go to a "
        "collector; *a tenth*: of the traces, by `OTEL_TRACES_SAMPLER`; *away*: an endpoint where nobody is."
    )
    for mode, title in zip(MODES, ("Calls that are not streamed", "Streams of 53 events"), strict=True):
        yield from ("", f"## {title}, traced", "")
        yield "| telemetry | calls/s | core ms a call | of off | p50 ms | p99 ms | failed |"
        yield "|---|---:|---:|---:|---:|---:|---:|"
        base = 0.0
        for cell, samples in session.samples.items():
            if cell.mode != mode:
                continue
            rate = statistics.median(sample.rate for sample in samples)
            cost = statistics.median(1000 * (sample.busy or 0.0) / sample.rate for sample in samples)
            base = base or cost
            waits = [wait for sample in samples for wait in sample.latencies]
            half, most = (percentile(waits, share) or 0.0 for share in (0.5, 0.99))
            failed = sum(sum(sample.errors.values()) for sample in samples)
            yield (
                f"| {cell.name} | {rate:,.0f} | {cost:.2f} | {100 * cost / base:.0f}% | {half:.2f} | {most:.2f} "
                f"| {failed} |"
            )
    yield from ("", "On the way of a call itself:", "", "| when | µs a call |", "|---|---:|")
    yield from (f"| {name} | {cost:.2f} |" for name, cost in steps)


if __name__ == "__main__":
    sys.exit(main())
