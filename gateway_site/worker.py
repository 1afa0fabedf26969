"""The worker: `python -m gateway_site.worker`, with the options of Celery's own command. With WEIR_PROBE_PORT it
answers /health/live, /health/ready and /metrics there.

On SIGTERM it takes no more tasks and ends with the last one that runs. One that is killed in the middle is done again.
"""

from __future__ import annotations

import sys

from gateway_site import pulses

if __name__ == "__main__":
    sys.exit(pulses.main("worker", sys.argv[1:]))
