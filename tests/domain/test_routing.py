"""Where calls go by each strategy, and how that is told. `test_routing_model` decides it in another way."""

from __future__ import annotations

import random
import time
from collections import Counter

import msgspec
import pytest

from apps.domain import errors
from apps.domain.routing import abilities, conversation, dialogue, needs, plan, ranking, reasons
from apps.domain.routing.facts import UNMEASURED, Calm, Measured
from apps.domain.routing.options import options as options_of
from apps.domain.routing.turns import Turns
from apps.domain.snapshot import Credential, DataPolicy, Deployment, Model, PriceCard, Provider, Secret

NOW = 1000


class Moment(Calm):
    """By a deployment's id: seconds that its credential rests and its breaker is open; who is full; measures."""

    def __init__(self, *, rests=None, opened=None, full=(), measured=None):
        self._rests, self._opened, self._full = rests or {}, opened or {}, full
        self._measured = measured or {}

    def rests(self, deployment, credential):
        return self._rests.get(deployment.id, 0.0)

    def open_for(self, deployment):
        return self._opened.get(deployment.id, 0.0)

    def is_full(self, deployment):
        return deployment.id in self._full

    def measured(self, deployment):
        return self._measured.get(deployment.id, UNMEASURED)


def deployment(number, *, cost=1, tags=(), region="", healthy=True, protocol="openai_chat", **fields):
    credential = Credential(id=number, alias="c", secret=Secret("s", host="h"))
    provider = Provider(
        id=number, name=f"p{number}", vendor="v", protocol=protocol, base_url="https://h", host="h",
        credentials=(credential,), tags=frozenset(tags), region=region, healthy=healthy,
    )  # fmt: skip
    each = dict.fromkeys(("input", "output", "cache_read", "cache_write_5m", "cache_write_1h"), (cost or 0) * 10**9)
    prices = () if cost is None else (PriceCard(version=number, effective_from=0, **each),)
    return Deployment(id=number, provider=provider, upstream_model="m", prices=prices, **fields)


def options(*deployments, strategy="priority", client="here", **fields):
    sizes = {"max_output_tokens": 1000, "context_tokens": 10_000, **fields}
    model = Model(id=1, name="m", display_name="m", deployments=deployments, strategy=strategy, **sizes)
    return options_of(model, tenant_id=1, client=client, speaks=lambda _: "openai_chat")


def decided(ways, *, facts=None, dice=lambda: 0.5, is_whole=False, **wishes):
    return plan.decide(
        ways, now=NOW, dice=dice, turns=Turns(), facts=facts, wishes=plan.Wishes(**wishes), is_whole=is_whole
    )


def firsts(ways, *, times=2000, **how):
    """How often each deployment goes first."""
    seeded = random.Random(7)
    return Counter(decided(ways, dice=seeded.random, **how).tries[0].deployment.id for _ in range(times))


# --- strategies ----------------------------------------------------------------------------------------------------


def test_by_weight_alone_priorities_do_not_matter_and_tiers_do():
    ways = options(
        deployment(1, weight=3), deployment(2, weight=1, priority=5), deployment(3, weight=99, tier=1),
        strategy="weighted",
    )  # fmt: skip
    counted = firsts(ways)
    assert set(counted) == {1, 2}
    assert 0.70 < counted[1] / 2000 < 0.80


def test_of_many_each_goes_first_as_often_as_its_weight_says_and_nobody_is_tried_twice():
    weights = [1 + number % 4 for number in range(40)]
    ways = options(*(deployment(number, weight=weight) for number, weight in enumerate(weights)))
    seeded, counted = random.Random(7), Counter()
    for _ in range(4000):
        tries = [one.deployment.id for one in decided(ways, dice=seeded.random).tries]
        assert len(set(tries)) == 4
        counted[weights[tries[0]]] += 1
    for weight in (1, 2, 3, 4):
        assert abs(counted[weight] / 4000 - weight / 10) < 0.03
    whole = decided(ways, dice=seeded.random, is_whole=True)
    assert sorted(option.deployment.id for option in whole.order) == list(range(40))


def test_a_conversation_stays_before_all_that_are_as_healthy_and_no_others():
    ways = options(
        deployment(1), deployment(2), deployment(3, priority=9), deployment(4, tier=1), deployment(5, healthy=False)
    )

    def order(stays):
        return [option.deployment.id for option in decided(ways, stays=stays, is_whole=True).order]

    for _ in range(2):  # found out, and known
        assert [order(stays) for stays in (2, 3, 4, 5, 77)] == [
            [2, 1, 3, 4, 5], [3, 1, 2, 4, 5], [4, 1, 2, 3, 5], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5],
        ]  # fmt: skip


def test_the_cheapest_for_this_very_call_goes_first():
    dear_in = deployment(1)
    dear_in = msgspec.structs.replace(
        dear_in, prices=(msgspec.structs.replace(dear_in.prices[0], input=9 * 10**9, output=10**9),)
    )
    even = deployment(2, cost=2)
    ways = options(dear_in, even, deployment(3, cost=None), strategy="cheapest")

    def order(tokens, answer):
        asked = needs.Needs(tokens=tokens, max_tokens=answer)
        return [one.deployment.id for one in decided(ways, needs=asked).tries]

    assert order(1000, 10) == [2, 1, 3], "the prompt counts most, and who has no price comes last"
    assert order(10, 1000) == [1, 2, 3]
    short = decided(ways, needs=needs.Needs(tokens=1000, max_tokens=1000), expected=1, is_whole=True)
    assert reasons.steps(short) == ["chose p2: cost $0.002"], "as long as answers are, not as they may be"


def test_the_fastest_goes_first_by_how_long_it_takes_until_it_has_answered():
    measured = {1: Measured(0.2, 10.0, 1.0), 2: Measured(1.0, 100.0, 1.0), 3: Measured(0.1, 1000.0, 0.05)}
    ways = options(deployment(1), deployment(2), deployment(3), strategy="fastest")
    found = decided(ways, facts=Moment(measured=measured))
    assert [one.deployment.id for one in found.tries] == [2, 3, 1], "a quick one that fails is slow"
    assert reasons.steps(found) == ["chose p2: some 4.0 s"]


def test_whom_nobody_has_measured_is_asked_now_and_then_and_everybody_once_in_a_while():
    known = {1: Measured(0.2, 100.0, 1.0), 2: Measured(2.0, 100.0, 1.0)}
    ways = options(deployment(1), deployment(2), deployment(3), strategy="fastest")
    counted = firsts(ways, facts=Moment(measured=known), times=4000)
    assert 0.07 < counted[3] / 4000 < 0.13
    assert counted[2] == 0
    counted = firsts(ways, facts=Moment(measured=known | {3: Measured(3.0, 1.0, 1.0)}), times=4000)
    assert counted[2] > 0
    assert counted[3] > 0
    assert counted[1] / 4000 > 0.96
    assert set(firsts(ways, facts=Moment())) == {1, 2, 3}, "of nobody anything: each is asked"


def test_the_balance_of_speed_success_and_cost_is_a_score_that_is_told():
    measured = {1: Measured(1.0, 100.0, 1.0), 2: Measured(1.0, 100.0, 0.5), 3: Measured(5.0, 100.0, 1.0)}
    ways = options(deployment(1), deployment(2), deployment(3, cost=4), strategy="balanced")
    found = decided(ways, facts=Moment(measured=measured), needs=needs.Needs(tokens=100), is_whole=True)
    scores = [(one.deployment.id, one.score) for one in reasons.verdicts(found, facts=Moment(measured=measured))]
    assert scores == [(1, 100), (3, 38), (2, 25)]
    assert reasons.steps(found) == ["chose p1: score 100"]
    [(_, everything)] = decided(ways, needs=needs.Needs(tokens=100)).weighed
    assert all(0 <= score <= 100 for score in everything), "also of whom nothing is known"


def test_what_was_measured_counts_from_the_next_second_on():
    measured = {1: Measured(1.0, 100.0, 1.0), 2: Measured(2.0, 100.0, 1.0)}
    ways, moment = options(deployment(1), deployment(2), strategy="fastest"), Moment(measured=measured)

    def first(now):
        return plan.decide(ways, now=now, dice=lambda: 0.5, turns=Turns(), facts=moment).tries[0].deployment.id

    assert first(NOW) == 1
    measured[1] = Measured(9.0, 100.0, 1.0)
    assert [first(NOW), first(NOW + 1)] == [1, 2]


def test_a_cost_is_rounded_to_the_nearest_nano_dollar():
    assert [ranking.rounded(exact) for exact in (0, 499_999, 500_000, 1_499_999, 1_500_000)] == [0, 0, 1, 1, 2]


def test_who_is_known_by_its_levels_of_effort_thinks_as_they_say_and_not_as_its_name_does():
    name = "claude-sonnet-4-5"
    assert abilities.thinks(abilities.believed(frozenset(), [name]))
    told = abilities.believed(frozenset({"effort_low"}), [name])
    assert told == {"effort_low", "vision", "documents", "structured_outputs"}


# --- what is told --------------------------------------------------------------------------------------------------


def test_who_was_left_out_and_who_goes_first_is_told_in_a_few_words():
    eu = DataPolicy(id=1, name="eu-only", required_tags=frozenset({"hipaa"}))
    ways = options(
        deployment(1, tags=["hipaa"]), deployment(2), deployment(3, tags=["hipaa"], tier=1, model_name="other")
    )
    found = decided(ways, facts=Moment(opened={1: 41.2}), policy=eu)
    assert reasons.steps(found) == [
        "skipped p2: tag hipaa missing",
        "skipped p1: breaker open 41 s",
        "chose p3: hipaa, fallback other, priority 0",
    ]
    assert reasons.steps(decided(options(deployment(1)))) == [], "nothing was decided"
    resting = decided(options(deployment(1), deployment(2, priority=1)), facts=Moment(rests={1: 9.0}))
    assert reasons.steps(resting) == ["chose p2: priority 1"], "who rests was before it in the order"


def test_what_was_measured_is_told_of_each():
    ways, seen = options(deployment(1), deployment(2)), Measured(0.5, 40.0, 0.9)
    moment = Moment(measured={2: seen})
    whole = decided(ways, facts=moment, is_whole=True)
    assert {one.deployment.id: one.measured for one in reasons.verdicts(whole, facts=moment)} == {
        1: UNMEASURED,
        2: seen,
    }
    assert {one.measured for one in reasons.verdicts(decided(ways, is_whole=True))} == {UNMEASURED}


@pytest.mark.parametrize(
    ("moment", "wishes", "kind", "told"),
    [
        ({"opened": {1: 7.0}}, {}, errors.NoDeployment, "every deployment of m has failed too often of late"),
        ({}, {"priced_only": True}, errors.NoPrice, "m has no price"),
        ({}, {"needs": needs.Needs(frozenset({"vision", "tools"}))}, errors.LacksAbility, "offers tools and vision"),
    ],
)
def test_why_nobody_can_answer_is_told_without_a_providers_name(moment, wishes, kind, told):
    ways = options(deployment(1, cost=None, capabilities=frozenset({"text", "no_tools"})))
    error = reasons.refusal(decided(ways, facts=Moment(**moment), **wishes))
    assert type(error) is kind
    assert told in error.message
    assert "p1" not in error.message
    assert error.retry_after == (7.0 if moment else None)


def test_a_policy_is_named_only_where_it_has_left_somebody_out():
    asked = needs.Needs(frozenset({"vision"}))
    for tags, told in ((["private"], "no deployment of m offers vision"), ([], "policy strict allows no deployment")):
        ways = options(deployment(1, tags=tags, capabilities=frozenset({"text"})))
        policy = DataPolicy(id=1, name="strict", required_tags=frozenset({"private"}))
        message = reasons.refusal(decided(ways, policy=policy, needs=asked)).message
        assert told in message
        assert ("strict" in message) == (not tags)


def test_what_nobody_thinks_is_told_and_does_not_hinder():
    blunt = frozenset({"vision"})
    found = decided(
        options(deployment(1, capabilities=blunt), deployment(2, capabilities=blunt)), needs=needs.Needs(thinks=True)
    )
    assert len(found.tries) == 2
    assert reasons.steps(found)[-1] == "thinking wished for, but nobody here thinks"


def test_what_the_router_believes_is_what_the_list_of_models_says():
    for name, thinks, structures in (
        ("claude-sonnet-4-5", True, True), ("gpt-5-mini", True, True), ("gpt-4o", False, True),
        ("o1-mini", False, False), ("llama3", False, False),
    ):  # fmt: skip
        one = msgspec.structs.replace(deployment(1), upstream_model=name)
        model = Model(id=1, name="x", display_name="x", deployments=(one,), max_output_tokens=1, context_tokens=1)
        told = abilities.described(model)
        assert (told["thinking"]["supported"], told["structured_outputs"]["supported"]) == (thinks, structures), name
        assert abilities.offered(one, model) == abilities.MUSTS, "nobody has described it: it may be asked"
    ranked = ranking.shuffled([1, 2], [1, 1], lambda: 0.5)
    assert ranked == [1, 2]


def test_a_conversation_is_known_by_its_beginning_however_that_is_written():
    class Call:
        def __init__(self, **fields):
            self.fields = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}

    def numbered(first, *more, system="Be brief.", key_id=1):
        messages = [{"role": "user", "content": first}, *more]
        call = Call(system=system, messages=messages)
        number = conversation.of(call, key_id=key_id)
        assert conversation.of(call, key_id=key_id, turns=dialogue.turns(call)) == number
        return number

    marked = [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}]
    same = {numbered("hi"), numbered(marked), numbered("hi", {"role": "assistant", "content": "x"})}
    assert len(same) == 1
    others = {numbered("ho"), numbered("hi", system="Be long."), numbered("hi", key_id=2)}
    assert len(others | same) == 4
    assert conversation.of(Call(prompt="hi"), key_id=1) is None


def test_a_long_conversation_is_known_in_no_time():
    class Call:
        fields = {
            "system": msgspec.Raw(msgspec.json.encode([{"type": "text", "text": 'Say "so".\n' * 2000}])),
            "messages": msgspec.Raw(msgspec.json.encode([{"role": "user", "content": 'a "b"\n' * 100}] * 40)),
        }

    def seconds():
        began = time.perf_counter()
        assert conversation.of(Call(), key_id=1) is not None
        return time.perf_counter() - began

    assert sum(len(bytes(each)) for each in Call.fields.values()) > 50_000
    assert min(seconds() for _ in range(10)) < 0.001
