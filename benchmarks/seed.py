"""Fills a migrated database so that every door of the corridor has work: limits on four levels, budgets on four.

All of them are far too wide to be hit. Run as a process of its own, with Weir's environment:

    python -m benchmarks.seed --simulator http://127.0.0.1:9000     seeds, prints {"key": …}
                                                     `--cached`: every answer is kept
    python -m benchmarks.seed --count                               prints {"ok": …, "other": …, "cost_nano": …}
"""

from __future__ import annotations

import argparse
import json
import os
from typing import Any

import django

from benchmarks.wire import MODELS, Dialect

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_site.settings")
PLENTY = 10**9
LIMITS = {"requests_per_minute": PLENTY, "tokens_per_minute": 10**12, "concurrency": 10**6}
BUDGETS = {"tenant": "month", "project": "week", "user": "day", "key": "month"}
NANO_PER_DOLLAR = 10**9
PROTOCOLS: dict[Dialect, str] = {
    "anthropic": "anthropic_messages",
    "openai": "openai_chat",
    "bedrock": "bedrock_invoke",
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.seed")
    parser.add_argument("--simulator")
    parser.add_argument("--cached", action="store_true")
    parser.add_argument("--count", action="store_true")
    options = parser.parse_args()
    django.setup()
    print(json.dumps(_count() if options.count else _seed(options.simulator, cached=options.cached)))


def _seed(simulator: str, *, cached: bool) -> dict[str, str]:
    from django.db import transaction

    with transaction.atomic():
        _catalogue(simulator, cached=cached)
        return {"key": _caller()}


def _catalogue(simulator: str, *, cached: bool) -> None:
    from apps.catalog import services
    from apps.policies import services as policies

    services.allow_network(actor=None, cidr="127.0.0.0/8")
    providers = {}
    for dialect, protocol in PROTOCOLS.items():
        provider = providers[dialect] = services.create_provider(
            actor=None, name=dialect, vendor="simulated", protocol=protocol, base_url=simulator
        )
        services.create_credential(provider, actor=None, alias="bench", secret="upstream")
    for name, (dialect, upstream_model) in MODELS.items():
        model = services.create_model(actor=None, name=name)
        deployment = services.create_deployment(
            model, actor=None, provider=providers[dialect], upstream_model=upstream_model
        )
        services.set_price(deployment, actor=None, input=3 * NANO_PER_DOLLAR, output=15 * NANO_PER_DOLLAR)
        if cached:
            policies.create_cache(actor=None, model=model, is_forced=True)


def _caller() -> str:
    from apps.accounts import services as accounts
    from apps.keys import services as keys
    from apps.quotas import services as quotas
    from apps.tenants import services as tenants

    user = accounts.create_user(actor=None, username="bench")
    tenant = tenants.create_tenant(actor=None, name="Bench", owner=user)
    project = tenants.create_project(tenant, actor=None, name="Bench")
    issued = keys.issue(actor=None, tenant=tenant, project=project, name="bench", user=user)
    subjects: dict[str, Any] = {"tenant": tenant, "project": project, "user": user, "key": issued.key}
    for level, subject in subjects.items():
        quotas.create_limit(actor=None, **{level: subject}, **LIMITS)
        quotas.create_budget(actor=None, **{level: subject}, amount=1_000_000 * NANO_PER_DOLLAR, period=BUDGETS[level])
    return issued.plaintext


def _count() -> dict[str, int]:
    """What the ledger holds."""
    from django.db.models import Count, Q, Sum

    from apps.usage.models import Entry, Status

    ok = Q(status=Status.OK)
    return Entry.objects.aggregate(ok=Count("pk", filter=ok), other=Count("pk", filter=~ok), cost_nano=Sum("cost_nano"))


if __name__ == "__main__":
    main()
