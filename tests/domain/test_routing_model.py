"""The router against a reference that decides in another way: every strategy, everything that a call may want, and
whatever the moment may be."""

from __future__ import annotations

import math

from hypothesis import event, given, settings
from hypothesis import strategies as st

from apps.domain import errors
from apps.domain.routing import needs, plan, reasons
from apps.domain.routing.facts import UNMEASURED, Calm, Measured
from apps.domain.routing.options import options as options_of
from apps.domain.routing.turns import Turns
from apps.domain.snapshot import Credential, DataPolicy, Deployment, Model, PriceCard, Provider, Secret

HERE, THERE = "openai_chat", "openai_responses"  # what the callers speak, and what else there is
TENANT, NOW = 1, 1000
MOST, WINDOW = 1000, 10_000  # of the model
ABILITIES = ("vision", "documents", "tools", "structured_outputs", "streaming")
WORDS = ("vision", "documents", "structured_outputs", "no_tools", "no_streaming", "adaptive_thinking", "text")
TAGS = ("private", "hipaa", "shared")
REGIONS = ("", "eu", "us")


class Moment(Calm):
    """`rests` by a credential's id, the others by a deployment's; all seconds."""

    def __init__(self, *, rests, opened, full, measured):
        self.resting, self.opened, self.full, self.known = rests, opened, full, measured

    def rests(self, deployment, credential):
        return self.resting.get(credential.id, 0.0)

    def open_for(self, deployment):
        return self.opened.get(deployment.id, 0.0)

    def is_full(self, deployment):
        return deployment.id in self.full

    def measured(self, deployment):
        return self.known.get(deployment.id, UNMEASURED)


# --- the reference, by docs/routing.md ------------------------------------------------------------------------------


def reference(case):
    """The (deployment, credential) ids of the tries. Dice fall alike, so that of equals the heavier one goes first, and
    then who was listed before."""
    needed = case["needs"] or needs.Needs()
    able = [one for one in case["deployments"] if usable(one, case) and suited(one, needed.abilities)]
    roomy = [one for one in able if has_room(one, needed, case)]
    standings = {one.id: standing(one, needed, case) for one in roomy or able}
    ordered = []
    for each in sorted(set(standings.values())):
        ordered += strategic([one for one in roomy or able if standings[one.id] == each], needed, case)
    left = [one for one in ordered if one.prices or not case["priced_only"]]
    left = [one for one in left if case["moment"].open_for(one) == 0]  # a breaker is asked when its turn has come
    tries = [(one, key) for one in left for key in credentials_of(one)]
    tries.sort(key=lambda pair: delay(*pair, case["moment"]))
    return [(one.id, key.id) for one, key in tries][:4]


def usable(one, case):
    policy, provider = case["policy"] or DataPolicy(id=1, name="none"), one.provider
    return (
        (one.tenant_ids is None or TENANT in one.tenant_ids)
        and case["spoken"][one.id] is not None
        and bool(credentials_of(one))
        and not policy.required_tags - provider.tags
        and not policy.forbidden_tags & provider.tags
        and (policy.regions is None or provider.region in policy.regions)
    )


def credentials_of(one):
    """A tenant that brought its own uses no other."""
    keys = one.provider.credentials
    return [key for key in keys if key.tenant_id == TENANT] or [key for key in keys if key.tenant_id is None]


def suited(one, abilities):
    words = one.capabilities
    refused = {name.removeprefix("no_") for name in words if name.startswith("no_")}
    return not words or all(
        name not in refused if name in ("tools", "streaming") else name in words for name in abilities
    )


def cap_of(one):
    return one.max_output_tokens or MOST


def has_room(one, needed, case):
    shortens = case["spoken"][one.id] != HERE
    return needed.tokens <= (one.context_tokens or WINDOW) and (shortens or (needed.max_tokens or 0) <= cap_of(one))


def standing(one, needed, case):
    """What puts one before another whatever the strategy, the weightiest first: false goes before true."""
    wanted = needed.abilities | ({"thinking"} if needed.thinks else set())
    is_blunt = bool(one.capabilities) and "adaptive_thinking" not in one.capabilities
    return (
        not one.provider.healthy,
        case["prefers"] is not None and one.id not in case["prefers"],
        not wanted & one.defaults,
        one.id != case["stays"],
        one.tier,
        needed.thinks and is_blunt,
        0 if case["strategy"] == "weighted" else one.priority,
    )


def strategic(equals, needed, case):
    """`equals` in their order by weight, then by what the strategy counts."""
    listed = sorted(equals, key=lambda one: (-one.weight, case["deployments"].index(one)))
    equals, strategy = list(listed), case["strategy"]
    figures = {one.id: figures_of(one, needed, case) for one in sorted(equals, key=lambda one: one.id)}
    if strategy in ("priority", "weighted"):
        return equals
    if strategy == "cheapest":
        return sorted(equals, key=lambda one: figures[one.id]["cost"])
    if strategy == "fastest":
        equals.sort(key=lambda one: figures[one.id]["seconds"] / max(figures[one.id]["success"], 0.01))
    else:
        equals.sort(key=lambda one: -score(one.id, figures))
    return explored(equals, [one for one in listed if figures[one.id]["seconds"] == math.inf] or listed, case)


def explored(ordered, curious, case):
    """Whom the dice send a call to be measured, first: one of the unknown, or of all where all are known."""
    if len(curious) < len(ordered):
        share = 0.1
    else:
        share = 0.0 if any(case["moment"].measured(one).first_token is None for one in ordered) else 0.02
    if len(ordered) < 2 or case["dice"] >= share:
        return ordered
    return [curious[0], *[one for one in ordered if one is not curious[0]]]


def figures_of(one, needed, case):
    first, rate, success = case["moment"].measured(one)
    answer = min(cap_of(one), needed.max_tokens or math.inf, case["expected"] or math.inf)
    price = one.prices[0] if one.prices else None
    return {
        "cost": math.inf if price is None else needed.tokens * price.input + answer * price.output,
        "seconds": math.inf if first is None else first + ((case["expected"] or 300) * (1 / rate) if rate else 0.0),
        "success": 1.0 if success is None else success,
    }


def score(number, figures):
    """From 0 to 100."""
    halves = [nearness(number, {each: told[what] for each, told in figures.items()}) for what in ("seconds", "cost")]
    return int(50 * figures[number]["success"] ** 2 * sum(halves) + 0.5)


def nearness(number, values):
    """To the least of all: 1 is the least itself; of whom nothing is known, the mean of the others."""
    known = {each: value for each, value in values.items() if value != math.inf}
    shares = {each: min(known.values()) / value if value else 1.0 for each, value in known.items()}
    return shares.get(number, sum(shares.values()) / len(shares) if shares else 1.0)


def delay(one, key, moment):
    seconds = moment.rests(one, key)
    return (bool(seconds) or moment.is_full(one), seconds)


# --- what it is held against ----------------------------------------------------------------------------------------


class Lot:
    """Many small choices out of one number, as a draw for each would take most of the time. 0 is the first of each."""

    def __init__(self, number):
        self.left = number

    def of(self, *choices):
        self.left, index = divmod(self.left, len(choices))
        return choices[index]

    def some(self, words):
        return frozenset(word for word in words if self.of(False, False, True))


NUMBERS = st.binary(min_size=16, max_size=16).map(int.from_bytes)


def deployment(number, lot):
    tenants = lot.of((None,), (None,), (None, None), (None, TENANT), (TENANT, 2), (2,))
    provider = Provider(
        id=number, name=f"p{number}", vendor="v", protocol=HERE, base_url="https://h", host="h",
        credentials=tuple(
            Credential(id=10 * number + place, alias="c", secret=Secret("s", host="h"), tenant_id=tenant_id)
            for place, tenant_id in enumerate(tenants)
        ),
        tags=lot.some(TAGS),
        region=lot.of(*REGIONS),
        healthy=lot.of(True, True, True, False),
    )  # fmt: skip
    price = lot.of((1, 1), (0, 0), (3, 15), (9, 1), None)
    each = dict.fromkeys(("cache_read", "cache_write_5m", "cache_write_1h"), 1)
    cards = () if price is None else (PriceCard(version=1, effective_from=0, input=price[0], output=price[1], **each),)
    return Deployment(
        id=number,
        provider=provider,
        upstream_model="m",
        prices=cards,
        tier=lot.of(0, 0, 0, 1),
        priority=lot.of(0, 0, 0, 1),
        weight=lot.of(1, 1, 3, 0),
        capabilities=lot.of(frozenset(), frozenset(), lot.some(WORDS)),
        defaults=lot.of(frozenset(), frozenset(), frozenset({"vision"}), frozenset({"tools"}), frozenset({"thinking"})),
        context_tokens=lot.of(None, None, 100, 5000),
        max_output_tokens=lot.of(None, None, 50, 4000),
        tenant_ids=lot.of(None, None, None, frozenset({TENANT}), frozenset({2})),
    )


def moment(made, lot):
    keys = [key.id for one in made for key in one.provider.credentials]
    numbers = [one.id for one in made]
    return Moment(
        rests={key: float(lot.of(3, 7, 60)) for key in keys if lot.of(False, False, False, True)},
        opened={number: float(lot.of(1, 41)) for number in numbers if lot.of(False, False, False, True)},
        full={number for number in numbers if lot.of(False, False, False, True)},
        measured={
            number: Measured(lot.of(0.1, 0.5, 2.0, None), lot.of(10.0, 200.0, None), lot.of(1.0, 0.5, 0.0, None))
            for number in numbers
            if lot.of(True, True, False)
        },
    )


@st.composite
def cases(draw):
    made = [
        deployment(number, Lot(drawn))
        for number, drawn in enumerate(draw(st.lists(NUMBERS, min_size=1, max_size=7)), start=1)
    ]
    lot, numbers = Lot(draw(NUMBERS)), [one.id for one in made]
    needed = needs.Needs(
        abilities=frozenset(lot.of((), (), *[(one,) for one in ABILITIES], ("vision", "tools"))),
        thinks=lot.of(False, True),
        tokens=lot.of(10, 5000, 9000),
        max_tokens=lot.of(None, 1, 50, 1000, 2000),
    )
    policy = DataPolicy(
        id=1,
        name="strict",
        required_tags=frozenset(lot.of((), (), TAGS[:1])),
        forbidden_tags=frozenset(lot.of((), (), TAGS[2:])),
        regions=lot.of(None, None, frozenset(REGIONS[1:]), frozenset()),
    )
    return {
        "deployments": made,
        "moment": moment(made, Lot(draw(NUMBERS))),
        "strategy": draw(st.sampled_from(["priority", "weighted", "cheapest", "fastest", "balanced"])),
        "dice": lot.of(0.5, 0.5, 0.05, 0.01),
        "spoken": {number: lot.of(HERE, HERE, THERE, HERE, THERE, None) for number in numbers},
        "needs": lot.of(needed, needed, None),
        "policy": lot.of(None, policy),
        "prefers": lot.of(None, None, lot.some(numbers)),
        "stays": lot.of(None, lot.of(*numbers)),
        "priced_only": lot.of(False, False, True),
        "expected": lot.of(None, 1, 500),
    }


def decided(case, *, is_whole=False):
    model = Model(
        id=1, name="m", display_name="m", deployments=tuple(case["deployments"]), strategy=case["strategy"],
        max_output_tokens=MOST, context_tokens=WINDOW,
    )  # fmt: skip
    ways = options_of(model, tenant_id=TENANT, client=HERE, speaks=lambda one: case["spoken"][one.id])
    prefers = case["prefers"]
    wishes = plan.Wishes(
        needs=case["needs"],
        policy=case["policy"],
        prefers=None if prefers is None else lambda one: one.id in prefers,
        stays=case["stays"],
        priced_only=case["priced_only"],
        expected=case["expected"],
    )
    return plan.decide(
        ways, now=NOW, dice=lambda: case["dice"], turns=Turns(), facts=case["moment"], wishes=wishes, is_whole=is_whole
    )


@settings(max_examples=400)
@given(cases())
def test_the_router_decides_as_its_reference_does_and_accounts_for_everybody(case):
    found = decided(case)
    event(f"{case['strategy']}, {'answered' if found.tries else 'refused'}")
    assert [(one.deployment.id, one.credential.id) for one in found.tries] == reference(case)
    verdicts = reasons.verdicts(decided(case, is_whole=True), facts=case["moment"])
    assert sorted(one.deployment.id for one in verdicts) == [one.id for one in case["deployments"]], "each, once"
    tried = list(dict.fromkeys(one.deployment.id for one in found.tries))
    assert [one.deployment.id for one in verdicts if one.place][: len(tried)] == tried
    assert all(len(step) <= 160 for step in reasons.steps(found))
    if not found.tries:
        assert isinstance(reasons.refusal(found), errors.GatewayError)
