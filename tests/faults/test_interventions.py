"""Two gateways, PostgreSQL and Valkey: what policies did is in the table once, and a killed process takes no more with
it than what it had not had a second or two to write."""

from __future__ import annotations

import time
from collections import Counter

import httpx2
import psycopg

from tests.faults.installation import Gateway, Installation
from tests.faults.tenants import Tenant, open_tenant
from tests.servers import until

CARD = "4111 1111 1111 1111"
HOLD = """
from apps.policies import services
from apps.tenants.models import Tenant
policy = services.create_policy(actor=None, name="pci", rules={"card": ("block", "")})
services.assign(policy, actor=None, tenant=Tenant.objects.get(pk=%d))
"""


def refused(gateway: Gateway, tenant: Tenant) -> str:
    """The id of a call that a policy refuses, as the table has it."""
    body = {"model": "claude", "max_tokens": 9, "messages": [{"role": "user", "content": CARD}]}
    answer = httpx2.post(f"{gateway.base_url}/v1/messages", json=body, headers={"x-api-key": tenant.key}, timeout=30)
    assert (answer.status_code, "policy pci found card" in answer.text) == (403, True), answer.text
    return answer.headers["request-id"].removeprefix("req_")


def rows(url: str) -> Counter[str]:
    with psycopg.connect(url) as connection:
        told = connection.execute("SELECT request_id, kinds, action FROM policies_intervention").fetchall()
    assert {(str(kinds), action) for _, kinds, action in told} <= {("{'card': 1}", "block")}
    return Counter(request.hex for request, _, _ in told)


def test_two_gateways_write_each_row_once_and_a_killed_one_loses_the_last_moments_alone(
    several: Installation, postgresql
) -> None:
    tenant = open_tenant(several, budgets=[{"of": "tenant", "amount": 10**13}])
    several.ask("run", command="shell", arguments=["-c", HOLD % tenant.id])
    here, there = several.start(2)
    seen = several.provider.seen()
    first = [refused(gateway, tenant) for _ in range(10) for gateway in (here, there)]
    asked_at = time.monotonic()
    until(lambda: rows(postgresql.url) == Counter(first))
    assert time.monotonic() - asked_at < 10  # it takes one; the rest is the machine's
    last = [refused(here, tenant) for _ in range(5)]
    here.kill()
    after = [refused(there, tenant) for _ in range(3)]
    until(lambda: set(after) <= rows(postgresql.url).keys())
    found = rows(postgresql.url)
    assert set(found.values()) == {1}
    assert {*first, *after} <= found.keys() <= {*first, *last, *after}
    assert several.provider.seen() == seen
