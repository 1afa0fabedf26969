"""The worker: `python -m gateway_site.worker`, with the options of Celery's own command. With WEIR_PROBE_PORT it
answers /health/live, /health/ready and /metrics there.

On SIGTERM it takes no more tasks and ends with the last one that runs. One that is killed in the middle is done again.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from gateway_site import env, pulses

FORGOTTEN_SECONDS = 3600.0  # one that runs writes there every few seconds


def share_figures() -> None:
    """Begins anew, once, with a folder for the figures of this process and its children, who do the work: they must
    know of it before anything is counted. What is wrong with a setting is left to the settings to tell."""
    with contextlib.suppress(OSError, ImproperlyConfigured):
        port = env.integer("WEIR_PROBE_PORT", 0)
        if not port or env.text("PROMETHEUS_MULTIPROC_DIR", ""):
            return
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(_made(env.private_folder(env.VAR_DIR) / "metrics" / str(port)))
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # itself


def _made(above: Path) -> Path:
    """A folder for this run alone: in a container process ids come again, and what a killed one has left would count as
    a living one's. Those of runs that have long told nothing are removed. Raises OSError."""
    above.mkdir(parents=True, exist_ok=True)
    for left in above.iterdir():
        if time.time() - left.stat().st_mtime > FORGOTTEN_SECONDS:
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix="run-", dir=above))


if __name__ == "__main__":
    share_figures()
    sys.exit(pulses.main("worker", sys.argv[1:]))
