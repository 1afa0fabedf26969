"""The SDKs' world for a production stack, and a sink for its events.

python -m tests.topology.seed http://127.0.0.1:45123 amqp://guest@127.0.0.1:45124/ guest

The arguments: the simulated provider's address, the broker's, and its password. Prints {"key"}.
"""

from __future__ import annotations

import json
import os
import sys

import django

EXCHANGE = "weir.events"


def seed(simulator_url: str, broker: str, password: str) -> dict[str, str]:
    from apps.catalog import services as catalog
    from apps.catalog.models import Provider
    from apps.events import services as events
    from tests.sdk.seed import seed as world

    made = world(simulator_url)
    for provider in Provider.objects.all():  # nobody but callers asks it: tests look at its last call
        catalog.update_provider(provider, actor=None, check_interval_seconds=86_400)
    events.create_sink(
        actor=None, name="broker", kind="rabbitmq", target=broker, settings={"exchange": EXCHANGE}, secret=password
    )
    return {"key": made["key"]}


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_site.settings")
    django.setup()
    sys.stdout.write(json.dumps(seed(*sys.argv[1:])) + "\n")
