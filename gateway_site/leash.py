"""Runs a module as `python -m` would, but never for longer than the process that holds the pipe's other end.

    python -m gateway_site.leash <read end> <module> [argument …]

A supervisor that is killed cannot stop its children, but the kernel closes its pipes: the read end then gives
end-of-file, and this process asks itself to stop, while a sweeper waits for that and kills what is left of its group.
Needs nothing that Linux and macOS do not share.
"""

from __future__ import annotations

import os
import runpy
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

LOOK_SECONDS = 0.5
# Waits up to five seconds for the group's leader to end, then leaves nobody. In a session of its own.
SWEEP = """
n=0
while kill -0 {leader} 2>/dev/null && [ $n -lt 50 ]; do sleep 0.1; n=$((n+1)); done
kill -9 -{leader} 2>/dev/null
"""


def hold(read_end: int) -> None:
    """Start watching the pipe. A fork watches its parent instead: Celery's beat closes whatever it has inherited."""
    _start(_watch_pipe, read_end)
    os.register_at_fork(after_in_child=lambda: _start(_watch_parent, os.getppid()))


def _watch_pipe(read_end: int) -> None:
    while os.read(read_end, 1):
        pass
    leave()


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    leave()


def leave() -> None:
    """Asks this process to stop, and sees to it that nobody of its group is left."""
    sweep = SWEEP.format(leader=os.getpgrp())
    subprocess.Popen(["/bin/sh", "-c", sweep], start_new_session=True)  # noqa: S603  # two numbers in a constant
    os.kill(os.getpid(), signal.SIGTERM)


def _start(watch: Callable[[int], None], watched: int) -> None:
    threading.Thread(target=watch, args=(watched,), name="leash", daemon=True).start()


def main() -> None:
    read_end, module = int(sys.argv[1]), sys.argv[2]
    sys.argv = [module, *sys.argv[3:]]
    hold(read_end)
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
