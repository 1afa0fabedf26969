"""The SDKs' world for a production stack, and a sink for its events.

python -m tests.topology.seed http://127.0.0.1:45123 amqp://guest@127.0.0.1:45124/ guest

The arguments: the simulated provider's address, the broker's, and its password. Prints {"key", "poor", "narrow"}.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django

from tests.sdk.seed import PRICE

EXCHANGE = "weir.events"
NARROW = "narrow"  # a model that one call at a time has room at


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
    return {"key": made["key"], "poor": _poor(), "narrow": _narrow(simulator_url)}


def _narrow(simulator_url: str) -> str:
    """The key of a tenant whose model nobody else has: the others' lists are known to their tests."""
    from apps.catalog import services as catalog

    provider = catalog.create_provider(
        actor=None, name=NARROW, vendor="simulated", protocol="anthropic_messages", base_url=simulator_url
    )
    catalog.create_credential(provider, actor=None, alias="main", secret="simulated-credential-narrow")
    tenant, key = _tenant("Narrow")
    model = catalog.create_model(actor=None, name=NARROW, display_name=NARROW, max_output_tokens=4096, tenants=[tenant])
    room = {"max_concurrency": 1, "queue_places": 10, "queue_seconds": 60.0}
    deployment = catalog.create_deployment(model, actor=None, provider=provider, upstream_model=NARROW, **room)
    catalog.set_price(deployment, actor=None, **PRICE)
    return key


def _poor() -> str:
    """The key of a tenant that cannot pay for anything."""
    from apps.quotas import services as quotas

    tenant, key = _tenant("Poor")
    quotas.create_budget(actor=None, tenant=tenant, period="month", amount=1)
    return key


def _tenant(name: str) -> tuple[Any, str]:
    """One more, and its key."""
    from apps.accounts import services as accounts
    from apps.keys import services as keys
    from apps.tenants import services as tenants

    owner = accounts.create_user(actor=None, username=name.lower())
    tenant = tenants.create_tenant(actor=None, name=name, owner=owner)
    project = tenants.create_project(tenant, actor=None, name="all")
    return tenant, keys.issue(actor=None, tenant=tenant, project=project, user=owner, name=name).plaintext


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_site.settings")
    django.setup()
    sys.stdout.write(json.dumps(seed(*sys.argv[1:])) + "\n")
