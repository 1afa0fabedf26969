"""Fills the database of the gateway whose bytes are compared: one model at each protocol of the replaying provider.

python -m tests.fidelity.seed http://127.0.0.1:45123        prints the caller's key as JSON
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import django

# The name that callers use: the upstream's protocol, its name for the model.
MODELS = {
    "anthropic": ("anthropic_messages", "claude-up"),
    "openai": ("openai_chat", "gpt-up"),
    "responses": ("openai_responses", "o-up"),
    "invoke": ("bedrock_invoke", "anthropic.claude-up-v1:0"),
    "converse": ("bedrock_converse", "amazon.nova-up-v1:0"),
    "ollama": ("ollama_chat", "llama-up"),
}
EMBEDDER = "vectors"
CAP = 8192
CREDENTIAL = "simulated-credential-0123"
# A refusal may set a credential aside, so each status has a provider of its own.
STATUSES = (400, 404, 413, 422, 429)
RELAYED = ("anthropic", "openai", "responses")
NEVER = 100_000  # a breaker judges: here many answers are broken on purpose


def seed(upstream_url: str) -> dict[str, Any]:
    from apps.accounts import services as accounts
    from apps.catalog import services as catalog
    from apps.keys import services as keys
    from apps.tenants import services as tenants

    alice = accounts.create_user(actor=None, username="alice", is_superuser=True, is_staff=True)
    tenant = tenants.create_tenant(actor=alice, name="Acme", owner=alice)
    project = tenants.create_project(tenant, actor=alice, name="Rockets")
    catalog.allow_network(actor=alice, cidr="127.0.0.0/8")
    refusing = {f"{name}-{status}": MODELS[name] for name in RELAYED for status in STATUSES}
    embedding = {EMBEDDER: ("openai_chat", "vectors-up")}
    for name, (protocol, upstream) in {**MODELS, **refusing, **embedding}.items():
        is_aws = protocol.startswith("bedrock")
        provider = catalog.create_provider(
            actor=alice,
            name=name,
            vendor="bedrock" if is_aws else "simulated",
            protocol=protocol,
            base_url=upstream_url,
            options={"region": "eu-central-1"} if is_aws else {},
        )
        catalog.create_credential(provider, actor=alice, alias="main", secret=CREDENTIAL)
        model = catalog.create_model(
            actor=alice,
            name=name,
            display_name=name.title(),
            max_output_tokens=CAP,
            capabilities=["embeddings"] if name == EMBEDDER else [],
        )
        catalog.create_deployment(
            model, actor=alice, provider=provider, upstream_model=upstream, breaker_minimum_calls=NEVER
        )
    return {"key": keys.issue(actor=alice, tenant=tenant, project=project, name="fidelity").plaintext}


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_site.settings")
    django.setup()
    sys.stdout.write(json.dumps(seed(sys.argv[1])) + "\n")
