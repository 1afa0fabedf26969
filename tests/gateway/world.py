"""A small world to call from, made by the same services that the admin uses."""

from __future__ import annotations

import socket
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.utils import timezone

from apps.accounts import services as accounts
from apps.catalog import services as catalog
from apps.catalog.models import Deployment, Model, Provider
from apps.domain import pricing
from apps.domain.snapshot import PriceCard
from apps.domain.tokens import TokenUsage
from apps.keys import services as keys
from apps.quotas import services as quotas
from apps.tenants import services as tenants

PRICE = {
    "input": 3_000_000_000,
    "output": 15_000_000_000,
    "cache_read": 300_000_000,
    "cache_write_5m": 3_750_000_000,
    "cache_write_1h": 6_000_000_000,
}
PROTOCOLS = {
    "claude": "anthropic_messages",
    "gpt": "openai_chat",
    "llama": "ollama_chat",
    "titan": "bedrock_invoke",
    "nova": "bedrock_converse",
}


class World:
    """Tenant Acme with a project, alice and her key; one model of each dialect on the simulated provider."""

    def __init__(self, simulator_url: str) -> None:
        self.simulator_url = simulator_url
        self.prices: dict[str, Any] = {}
        self.alice = accounts.create_user(actor=None, username="alice", is_superuser=True, is_staff=True)
        self.tenant = tenants.create_tenant(actor=self.alice, name="Acme", owner=self.alice)
        self.project = tenants.create_project(self.tenant, actor=self.alice, name="Rockets")
        catalog.allow_network(actor=self.alice, cidr="127.0.0.0/8")
        self.deploy("claude-test", upstream="claude-upstream")
        self.deploy("gpt-test", upstream="gpt-upstream")
        issued = self._issue(name="first")
        self.key_row, self.key = issued.key, issued.plaintext

    # --- keys ------------------------------------------------------------------------------------------------

    def issue(self, **scope: Any) -> str:
        return self._issue(name="another", **scope).plaintext

    def issue_for(self, tenant: Any) -> str:
        """A key of a project of another tenant's."""
        project = tenants.create_project(tenant, actor=self.alice, name="Theirs")
        return keys.issue(actor=self.alice, tenant=tenant, project=project, name="theirs").plaintext

    def issue_for_member(self, member: Any) -> str:
        """A key of another member's, in Acme's project."""
        scope: dict[str, Any] = {"tenant": self.tenant, "project": self.project, "user": member}
        return keys.issue(actor=self.alice, name="a member's", **scope).plaintext

    def expired_key(self) -> str:
        issued = self._issue(name="short", expires_at=timezone.now() + timedelta(hours=1))
        type(issued.key).objects.filter(pk=issued.key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
        return issued.plaintext

    def revoked_key(self) -> str:
        issued = self._issue(name="gone")
        keys.revoke(issued.key, actor=self.alice)
        return issued.plaintext

    def revoke(self) -> None:
        keys.revoke(self.key_row, actor=self.alice)

    def _issue(self, **fields: Any) -> keys.Issued:
        return keys.issue(actor=self.alice, tenant=self.tenant, project=self.project, user=self.alice, **fields)

    # --- catalog ---------------------------------------------------------------------------------------------

    def model(self, name: str, **fields: Any) -> Model:
        sizes = {"max_output_tokens": 4096, "context_tokens": 200_000}
        return catalog.create_model(actor=self.alice, name=name, display_name=name.title(), **{**sizes, **fields})

    def deploy(
        self,
        name: str,
        *,
        upstream: str,
        priority: int = 0,
        model: Model | None = None,
        url: str = "",
        vendor: str = "simulated",
        secret: str = "simulated-secret-key",
        **provider: Any,
    ) -> Deployment:
        """A model on a provider of its own, priced. Without a `secret` the provider has no credential."""
        protocol = PROTOCOLS[name.partition("-")[0]]
        base_url = url or self.simulator_url
        row: Provider = catalog.create_provider(
            actor=self.alice,
            name=f"{name} {upstream}",
            vendor=vendor,
            protocol=protocol,
            base_url=f"{base_url}/v1" if protocol == "openai_chat" else base_url,
            **provider,
        )
        if secret:
            catalog.create_credential(row, actor=self.alice, alias="main", secret=secret)
        deployment = catalog.create_deployment(
            actor=self.alice,
            model=model or self.model(name),
            provider=row,
            upstream_model=upstream,
            priority=priority,
        )
        self.prices[name] = catalog.set_price(deployment, actor=self.alice, **PRICE)
        return deployment

    def scripted(self, behaviour: str, **provider: Any) -> None:
        """A model whose upstream behaves as its name says."""
        self.deploy(f"claude-{behaviour}", upstream=f"claude-{behaviour}", **provider)

    def fallback(self, name: str, *, first: str) -> None:
        """A model with two deployments, the first of which misbehaves."""
        model = self.model(name)
        self.deploy(name, upstream=f"claude-{first}", model=model, priority=0)
        self.deploy(name, upstream="claude-upstream", model=model, priority=1)

    def unreachable(self, name: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        self.deploy(name, upstream=name, url=f"http://{urlsplit(self.simulator_url).hostname}:{port}")

    def touch_catalog(self) -> None:
        catalog.allow_network(actor=self.alice, cidr="192.0.2.0/24")

    # --- rules -----------------------------------------------------------------------------------------------

    def limit(self, **fields: Any) -> Any:
        return quotas.create_limit(actor=self.alice, **fields)

    def budget(self, **fields: Any) -> Any:
        return quotas.create_budget(actor=self.alice, **{"period": "month", **fields})

    def price_of(self, name: str, entry: Any) -> int:
        """What the entry's counters cost by this model's price, in nano-USD."""
        usage = TokenUsage(
            entry.in_fresh, entry.in_cache_read, entry.in_cache_write_5m, entry.in_cache_write_1h, entry.out_total
        )
        return pricing.cost(usage, PriceCard(version=self.prices[name].pk, effective_from=0, **PRICE))
