"""Fills the database of the matrix's gateway: one model at each upstream protocol of the simulated provider.

python -m tests.matrix.seed http://127.0.0.1:45123        prints the caller's key as JSON, and the deployments' ids
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django

# The name that callers use: the upstream's protocol, its name for the model, what the model can do.
UPSTREAMS: dict[str, tuple[str, str, list[str]]] = {
    "anthropic": ("anthropic_messages", "claude-sonnet-4-5-simulated", []),
    "openai": ("openai_chat", "gpt-5-simulated", ["effort_low", "effort_medium", "effort_high"]),
    "responses": ("openai_responses", "gpt-5-simulated", ["effort_low", "effort_medium", "effort_high"]),
    "invoke": ("bedrock_invoke", "anthropic.claude-sonnet-4-5-20250929-v1:0", []),
    "converse": ("bedrock_converse", "anthropic.claude-sonnet-4-5-20250929-v1:0", []),
    "ollama": ("ollama_chat", "qwen3:8b", ["budget_thinking", "vision", "documents"]),
}
# Shows what it thinks only when asked.
RETICENT = {"reticent": ("anthropic_messages", "claude-opus-4-8-simulated", list[str]())}
NEVER = 100_000  # a breaker judges: here many calls fail on purpose
PRICE = {
    "input": 3_000_000_000,
    "output": 15_000_000_000,
    "cache_read": 300_000_000,
    "cache_write_5m": 3_750_000_000,
    "cache_write_1h": 6_000_000_000,
}


def seed(simulator_url: str) -> dict[str, Any]:
    from apps.accounts import services as accounts
    from apps.catalog import services as catalog
    from apps.keys import services as keys
    from apps.tenants import services as tenants

    alice = accounts.create_user(actor=None, username="alice", is_superuser=True, is_staff=True)
    tenant = tenants.create_tenant(actor=alice, name="Acme", owner=alice)
    project = tenants.create_project(tenant, actor=alice, name="Rockets")
    catalog.allow_network(actor=alice, cidr="127.0.0.0/8")
    # What is answered 429 rests for a while: that has providers of its own.
    busy = {f"busy-{name}": said for name, said in UPSTREAMS.items()}
    for name, (protocol, upstream, capabilities) in (UPSTREAMS | busy | RETICENT).items():
        provider = catalog.create_provider(
            actor=alice, name=name, vendor="simulated", protocol=protocol, base_url=simulator_url
        )
        catalog.create_credential(provider, actor=alice, alias="main", secret="simulated-credential-0123")
        model = catalog.create_model(
            actor=alice, name=name, display_name=name.title(), max_output_tokens=8192, capabilities=capabilities
        )
        deployment = catalog.create_deployment(
            model, actor=alice, provider=provider, upstream_model=upstream, breaker_minimum_calls=NEVER
        )
        catalog.set_price(deployment, actor=alice, **PRICE)
    return {"key": keys.issue(actor=alice, tenant=tenant, project=project, name="matrix").plaintext}


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_site.settings")
    django.setup()
    sys.stdout.write(json.dumps(seed(sys.argv[1])) + "\n")
