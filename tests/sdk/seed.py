"""Fills the database of a gateway under test and prints what its callers need, as one line of JSON.

python -m tests.sdk.seed http://127.0.0.1:45123        the argument is the simulated provider's address
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django

MODELS = {  # the name callers use: (the dialect of its upstream, the name there)
    "claude-test": ("anthropic_messages", "claude-sonnet-4-5-simulated"),
    "gpt-test": ("openai_chat", "gpt-4o-simulated"),
    "responses-test": ("openai_responses", "o9-simulated"),
    "llama-test": ("ollama_chat", "llama3.2"),
    "gpt-vectors": ("openai_chat", "text-embedding-3-small"),
    "llama-vectors": ("ollama_chat", "nomic-embed-text"),
    # The last of a credential's calls for a while: so each has a provider of its own.
    "claude-401": ("anthropic_messages", "claude-401"),
    "claude-429": ("anthropic_messages", "claude-429"),
    "gpt-401": ("openai_chat", "gpt-401"),
    "gpt-429": ("openai_chat", "gpt-429"),
}
PRICE = {
    "input": 3_000_000_000,
    "output": 15_000_000_000,
    "cache_read": 300_000_000,
    "cache_write_5m": 3_750_000_000,
    "cache_write_1h": 6_000_000_000,
}
CREDENTIAL = "simulated-credential-0123"


def seed(simulator_url: str) -> dict[str, Any]:
    """Tenant Acme, bob's key, models at each dialect's providers; limits and a budget that never refuse."""
    from apps.accounts import services as accounts
    from apps.catalog import services as catalog
    from apps.keys import services as keys
    from apps.policies import services as policies
    from apps.quotas import services as quotas
    from apps.tenants import services as tenants

    alice = accounts.create_user(actor=None, username="alice", is_superuser=True, is_staff=True)
    bob = accounts.create_user(actor=alice, username="bob")
    tenant = tenants.create_tenant(actor=alice, name="Acme", owner=alice)
    project = tenants.create_project(tenant, actor=alice, name="Rockets")
    tenants.add_member(tenant, actor=alice, user=bob)
    catalog.allow_network(actor=alice, cidr="127.0.0.0/8")
    for name, (protocol, upstream) in MODELS.items():
        called = protocol if name.endswith("-test") else f"{protocol} of {name}"
        provider = catalog.create_provider(
            actor=alice, name=called, vendor="simulated", protocol=protocol, base_url=simulator_url
        )
        catalog.create_credential(provider, actor=alice, alias="main", secret=CREDENTIAL)
        model = catalog.create_model(actor=alice, name=name, display_name=name.title(), max_output_tokens=4096)
        deployment = catalog.create_deployment(model, actor=alice, provider=provider, upstream_model=upstream)
        catalog.set_price(deployment, actor=alice, **PRICE)
        policies.create_cache(actor=alice, model=model, is_always=False)  # for who asks for it
    issued = keys.issue(actor=alice, tenant=tenant, project=project, user=bob, name="suite")
    quotas.create_limit(actor=alice, key=issued.key, requests_per_minute=1_000_000, tokens_per_minute=10**9)
    quotas.create_budget(actor=alice, tenant=tenant, period="month", amount=10**15)
    return {"key": issued.plaintext}


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_site.settings")
    django.setup()
    sys.stdout.write(json.dumps(seed(sys.argv[1])) + "\n")
