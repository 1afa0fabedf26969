"""Which deployments are tried, and in which order."""

from __future__ import annotations

import random
from collections import Counter

from apps.domain.routing import plan
from apps.domain.snapshot import Credential, Deployment, Model, PriceCard, Provider, Secret

CARD = PriceCard(version=1, effective_from=100, input=1, output=1, cache_read=1, cache_write_5m=1, cache_write_1h=1)


def credential(number, *, tenant_id=None, weight=1):
    return Credential(id=number, alias=f"c{number}", secret=Secret("s", host="h"), weight=weight, tenant_id=tenant_id)


def deployment(number, *, credentials=None, healthy=True, priority=0, weight=1, prices=(CARD,)):
    provider = Provider(
        id=number,
        name=f"p{number}",
        vendor="anthropic",
        protocol="anthropic_messages",
        base_url="https://h",
        host="h",
        credentials=(credential(number),) if credentials is None else credentials,
        healthy=healthy,
    )
    return Deployment(id=number, provider=provider, upstream_model="m", prices=prices, priority=priority, weight=weight)


def ids(*deployments, tenant_id=1, now=200, priced_only=False, dice=random.random):
    model = Model(id=1, name="m", display_name="m", deployments=deployments, max_output_tokens=1, context_tokens=1)
    found = plan.tries(plan.usable(model, tenant_id=tenant_id), now=now, dice=dice, priced_only=priced_only)
    return [one.deployment.id for one in found]


def test_a_lower_priority_number_goes_first():
    assert ids(deployment(1, priority=2), deployment(2, priority=0), deployment(3, priority=1)) == [2, 3, 1]


def test_a_failing_provider_is_tried_last_but_tried():
    assert ids(deployment(1, healthy=False), deployment(2, priority=9)) == [2, 1]


def test_weights_share_the_first_place():
    seeded = random.Random(11)
    first = Counter(ids(deployment(1, weight=9), deployment(2, weight=1), dice=seeded.random)[0] for _ in range(4000))
    assert 0.87 < first[1] / 4000 < 0.93


def test_a_deployment_without_a_usable_credential_is_left_out():
    assert ids(deployment(1, credentials=()), deployment(2)) == [2]


def test_a_tenant_that_brought_its_own_key_uses_only_that():
    both = (credential(1), credential(2, tenant_id=1))
    model = Model(
        id=1,
        name="m",
        display_name="m",
        deployments=(deployment(1, credentials=both),),
        max_output_tokens=1,
        context_tokens=1,
    )
    mine, theirs = (plan.usable(model, tenant_id=tenant_id) for tenant_id in (1, 2))
    assert [one.id for _, credentials in mine for one in credentials] == [2]
    assert [one.id for _, credentials in theirs for one in credentials] == [1]


def test_what_has_no_price_in_force_is_not_charged_to_a_budget():
    assert ids(deployment(1), now=50, priced_only=True) == []
    assert ids(deployment(1), now=50, priced_only=False) == [1]


def test_tries_are_bounded():
    assert len(ids(*(deployment(number) for number in range(20)))) == plan.MAX_TRIES
