"""The beat, which sends the worker its chores when they are due: `python -m gateway_site.beat`, with the options of
Celery's own command. One for an installation. With WEIR_PROBE_PORT it answers as the worker does.
"""

from __future__ import annotations

import sys

from gateway_site import pulses

if __name__ == "__main__":
    sys.exit(pulses.main("beat", sys.argv[1:]))
