"""The worker: `python -m gateway_site.worker`, with the options of Celery's own command. With WEIR_PROBE_PORT it
answers /health/live, /health/ready and /metrics there.

On SIGTERM it takes no more tasks and ends with the last one that runs. One that is killed in the middle is done again.
"""

from __future__ import annotations

import contextlib
import os
import sys

from django.core.exceptions import ImproperlyConfigured

from gateway_site import env, pulses


def share_figures() -> None:
    """Begins anew, once, with a folder for the figures of this process and its children, who do the work: they must
    know of it before anything is counted. What is wrong with a setting is left to the settings to tell."""
    with contextlib.suppress(OSError, ImproperlyConfigured):
        port = env.integer("WEIR_PROBE_PORT", 0)
        if not port or env.text("PROMETHEUS_MULTIPROC_DIR", ""):
            return
        place = env.private_folder(env.VAR_DIR) / "metrics" / str(port)
        place.mkdir(parents=True, exist_ok=True)
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(place)
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # itself


if __name__ == "__main__":
    share_figures()
    sys.exit(pulses.main("worker", sys.argv[1:]))
