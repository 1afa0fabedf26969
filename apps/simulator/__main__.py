"""Runs the simulated provider under Uvicorn.

When it accepts connections it prints one line of JSON on standard output:
{"ready": "simulator", "url": "http://127.0.0.1:45123", "pid": 4711}. On SIGTERM or SIGINT it closes and exits with 0.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import sys

import uvicorn

from apps.simulator.app import Simulator
from apps.simulator.meter import Meter
from apps.simulator.pace import Pace
from apps.simulator.wire import Protocol


class Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        line = {"ready": "simulator", "url": f"http://{host}:{port}", "pid": os.getpid()}
        sys.stdout.write(json.dumps(line) + "\n")
        sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m apps.simulator", description="A provider that is not real.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one, told on standard output")
    parser.add_argument("--meter", metavar="FILE", help="where to account for every call")
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument("--speed", type=float, default=1.0, help="2 is twice as fast as life")
    pace.add_argument("--fast", action="store_true", help="no waiting at all")
    parser.add_argument("--burst", type=int, default=1, metavar="N", help="events a packet in prebuilt streams")
    options = parser.parse_args()

    speed = 0.0 if options.fast else options.speed
    application = Simulator(meter=Meter(options.meter), pace=Pace(speed=speed), burst=options.burst)
    # Uvicorn raises the signal again once it has closed; the default action would end in an error status.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    config = uvicorn.Config(
        application,
        host=options.host,
        port=options.port,
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",  # broken answers are what it is for; real failures are written to stderr
        access_log=False,
        timeout_graceful_shutdown=1,
    )
    try:
        Server(config).run()
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
