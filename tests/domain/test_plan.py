"""Which deployments are tried, and in which order."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from apps.domain.routing import plan
from apps.domain.routing.facts import UNMEASURED, Calm
from apps.domain.routing.options import options as options_of
from apps.domain.routing.turns import Turns
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


class Moment(Calm):
    """`rests` of a deployment and a credential, as seconds; `full` and `open_` of deployments, by id."""

    def __init__(self, rests=None, *, full=(), open_=None, measured=None):
        self._rests, self._full, self._open, self._measured = rests, full, open_ or {}, measured or {}

    def rests(self, deployment, credential):
        return self._rests(deployment, credential) if self._rests else 0.0

    def is_full(self, deployment):
        return deployment.id in self._full

    def open_for(self, deployment):
        return self._open.get(deployment.id, 0.0)

    def measured(self, deployment):
        return self._measured.get(deployment.id, UNMEASURED)


def options(*deployments, tenant_id=1, strategy="priority", capabilities=frozenset()):
    model = Model(
        id=1, name="m", display_name="m", deployments=deployments, max_output_tokens=1000, context_tokens=1000,
        strategy=strategy, capabilities=frozenset(capabilities),
    )  # fmt: skip
    return options_of(model, tenant_id=tenant_id, client="here", speaks=lambda _: "there")


def decided(*deployments, now=200, dice=random.random, turns=None, facts=None, is_whole=False, about=None, **wishes):
    return plan.decide(
        options(*deployments, **(about or {})),
        now=now,
        dice=dice,
        turns=turns or Turns(),
        facts=facts,
        wishes=plan.Wishes(**wishes),
        is_whole=is_whole,
    )


def tries(*deployments, rests=None, **how):
    return decided(*deployments, facts=Moment(rests), **how).tries


def ids(*deployments, **how):
    return [one.deployment.id for one in tries(*deployments, **how)]


def asked(*deployments, times, **how):
    """The credentials that come first, call after call."""
    turns = Turns()
    return [tries(*deployments, turns=turns, **how)[0].credential.id for _ in range(times)]


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
    one = deployment(1, credentials=(credential(1), credential(2, tenant_id=1)))
    mine, theirs = (options(one, tenant_id=tenant_id).ways for tenant_id in (1, 2))
    assert [it.id for it in mine[0].credentials] == [2]
    assert [it.id for it in theirs[0].credentials] == [1]


def test_what_has_no_price_in_force_is_not_charged_to_a_budget():
    assert ids(deployment(1), now=50, priced_only=True) == []
    assert ids(deployment(1), now=50, priced_only=False) == [1]


def test_tries_are_bounded():
    assert len(ids(*(deployment(number) for number in range(20)))) == plan.MAX_TRIES


def test_credentials_share_calls_by_weight_and_take_turns_smoothly():
    """The order that nginx documents for weights of 5, 1 and 1."""
    one = deployment(1, credentials=tuple(credential(n, weight=weight) for n, weight in ((1, 5), (2, 1), (3, 1))))
    assert asked(one, times=7) == [1, 1, 2, 1, 3, 1, 1]


@given(st.lists(st.integers(1, 9), min_size=2, max_size=6), st.integers(1, 5))
def test_every_round_gives_each_credential_exactly_its_weight(weights, rounds):
    one = deployment(1, credentials=tuple(credential(n, weight=weight) for n, weight in enumerate(weights)))
    counted = Counter(asked(one, times=sum(weights) * rounds))
    assert [counted[n] for n in range(len(weights))] == [weight * rounds for weight in weights]


def test_turns_are_each_deployments_own():
    """Else two deployments at one provider would always ask with one credential each."""
    both = (credential(1), credential(2))
    turns = Turns()
    firsts = [
        tries(deployment(1, credentials=both), deployment(2, credentials=both, priority=1), turns=turns)[0]
        for _ in range(4)
    ]
    assert [one.credential.id for one in firsts] == [1, 2, 1, 2]


@given(st.lists(st.sets(st.integers(0, 4)), min_size=1, max_size=30))
def test_whoever_rests_is_behind_whoever_does_not_and_nobody_is_lost(resting):
    one = deployment(1, credentials=tuple(credential(n) for n in range(3)))
    other = deployment(2, credentials=(credential(3),), priority=1)
    turns = Turns()
    for aside in resting:
        found = tries(one, other, turns=turns, rests=lambda _, it, aside=aside: 1.0 + it.id if it.id in aside else 0.0)
        places = [it.credential.id for it in found]
        assert sorted(places) == [0, 1, 2, 3]
        assert [n in aside for n in places] == sorted(n in aside for n in places)
        assert [n for n in places if n in aside] == sorted(aside & {0, 1, 2, 3})  # the soonest first


def test_a_credential_that_rested_has_not_saved_up_turns():
    one = deployment(1, credentials=(credential(1), credential(2)))
    turns = Turns()
    for _ in range(100):
        tries(one, turns=turns, rests=lambda _, it: float(it.id == 2))
    firsts = [tries(one, turns=turns)[0].credential.id for _ in range(10)]
    assert Counter(firsts) == {1: 5, 2: 5}


def test_what_rests_is_not_cut_off_before_what_does_not():
    many = deployment(1, credentials=tuple(credential(n) for n in range(8)))
    found = tries(many, rests=lambda _, it: 0.0 if it.id == 7 else 5.0)
    assert (found[0].credential.id, len(found)) == (7, plan.MAX_TRIES)


def test_a_preferred_deployment_goes_before_priority_but_not_before_health():
    def prefers(one):
        return one.id in (2, 3)

    found = ids(
        deployment(1), deployment(2, priority=5), deployment(3, healthy=False), deployment(4, priority=1),
        prefers=prefers,
    )  # fmt: skip
    assert found == [2, 1, 4, 3]
