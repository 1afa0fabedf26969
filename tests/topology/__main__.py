"""Runs the production topology on this machine until Ctrl-C, for people to look at: `make topology`."""

from __future__ import annotations

import contextlib
import signal
import sys
import tempfile
from pathlib import Path

from tests.services import NotAvailable
from tests.topology import stack


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with tempfile.TemporaryDirectory(prefix="weir-topology-") as folder, stack.running(Path(folder)) as running:
            sys.stdout.write(welcome(running))
            sys.stdout.flush()
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
    except NotAvailable as error:
        sys.stderr.write(f"make topology: {error}\n")
        return 1
    return 0


def welcome(running: stack.Stack) -> str:
    ports = "".join(f"  {name:<12} http://127.0.0.1:{member.port}\n" for name, member in running.members.items())
    return f"""
  Weir         {running.nginx.https} (its certificate: {running.authority})
{ports}  provider     {running.provider.base_url}

  curl --cacert {running.authority} {running.nginx.https}/v1/messages \\
    -H 'x-api-key: {running.key}' -H 'content-type: application/json' \\
    -d '{{"model": "claude-test", "max_tokens": 64, "messages": [{{"role": "user", "content": "What is a weir?"}}]}}'

Ctrl-C stops all of it.
"""


if __name__ == "__main__":
    sys.exit(main())
