"""Gateways at a tenth of the price of a start: a process that has imported everything forks one for each order.

    python -m tests.faults.nursery

An order is a line of JSON on standard input: {"port", "log", "failpoint", "settings", "clock"} is answered with
{"pid"}, and {"collect": pid} with {"status"} once that child has ended (-n: killed by signal n). What `settings` does
not say is as the environment says that the nursery was started in. A child runs what `python -m gateway_site.server`
runs, by a clock that is so many seconds ahead of the machine's, until SIGUSR2 sets it right.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from typing import Any


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_site.settings")
    import gateway_site.asgi  # noqa: F401  # sets Django up and imports all that serves

    _say({"ready": "nursery", "pid": os.getpid()})
    for line in sys.stdin:
        order = json.loads(line)
        if "collect" in order:
            _, status = os.waitpid(order["collect"], 0)
            _say({"status": os.waitstatus_to_exitcode(status)})
        elif pid := os.fork():
            _say({"pid": pid})
        else:
            os._exit(_serve(order))


def _serve(order: dict[str, Any]) -> int:
    """In the child: as if it had just been started, but for what it need not import."""
    from django.conf import settings

    from apps.gateway import context
    from apps.runtime import failpoints
    from apps.runtime.state import state
    from gateway_site import server

    os.setsid()
    with open(order["log"], "ab") as log, open(os.devnull, "rb") as nothing:
        for number, file in enumerate((nothing, log, log)):
            os.dup2(file.fileno(), number)
    state.__init__()  # type: ignore[misc]  # its name and its beginning are its own, and so are its dice
    context._dice.seed(os.urandom(32))
    failpoints.arm(order["failpoint"])
    for name, value in order["settings"].items():
        setattr(settings, name, value)
    if order.get("clock"):
        _wind(order["clock"])
    try:
        return server.main(["--port", str(order["port"])])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def _wind(seconds: float) -> None:
    """Sets the wall clock of this process, and only that: the monotonic one has never been set."""
    import time_machine

    traveller = time_machine.travel(time.time() + seconds, tick=True)
    traveller.start()
    signal.signal(signal.SIGUSR2, lambda *_: traveller.stop())


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
