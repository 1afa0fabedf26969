"""What it costs to decide where a call goes: a conversation of some 4 KB, read for what it needs and whose it is, under
a policy, among deployments that have all been measured."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import partial
from typing import get_args

import msgspec

from apps.domain import estimate, snapshot
from apps.domain.protocols import registry
from apps.domain.protocols.contract import ClientCall
from apps.domain.providers import speech
from apps.domain.routing import conversation, dialogue, needs, plan
from apps.domain.routing.facts import Calm, Measured
from apps.domain.routing.options import Options, options
from apps.domain.routing.turns import Turns
from apps.gateway.standing import Standing

DEPLOYMENTS = 50
MOST = 60.0  # microseconds
NOW = 1_800_000_000
_STRATEGIES: tuple[snapshot.Strategy, ...] = get_args(snapshot.Strategy)


def _as_they_stand(model: snapshot.Model) -> Standing:
    """As a process knows deployments that have answered a call or two."""
    standing = Standing()
    for deployment in model.deployments:
        for _ in range(1 + deployment.id % 2):
            turn = standing.breakers.take(deployment)
            assert turn is not None
            standing.breakers.answered(turn, first_token=0.2 + deployment.id / 50)
            standing.breakers.streamed(turn, tokens=40 + deployment.id, seconds=1.0)
    return standing


class _Busy(Calm):
    """Everybody answers, each in its own time."""

    def measured(self, deployment: snapshot.Deployment) -> Measured:
        return Measured(0.2 + deployment.id / 50, 40.0 + deployment.id, 0.99)


def among_many(strategy: snapshot.Strategy, *, is_real: bool = False) -> Callable[[], object]:
    model, call, size = _model(strategy, DEPLOYMENTS), *_call()
    ways, facts = _ways(model), _as_they_stand(model) if is_real else _Busy()
    turns, policy = Turns(), snapshot.DataPolicy(id=1, name="p", forbidden_tags=frozenset({"public"}))

    def step() -> object:
        said = dialogue.turns(call)
        conversation.of(call, key_id=1, turns=said)
        wanted = needs.of(call, prompt_bytes=size, turns=said)
        wishes = plan.Wishes(needs=wanted, policy=policy, stays=7, expected=300)
        return plan.decide(ways, now=NOW, dice=random.random, turns=turns, facts=facts, wishes=wishes)

    return step


def alone() -> Callable[[], object]:
    model, turns = _model("priority", 1), Turns()
    ways, facts = _ways(model), _as_they_stand(model)
    return lambda: plan.decide(ways, now=NOW, dice=random.random, turns=turns, facts=facts)


STEPS: tuple[tuple[str, Callable[[], Callable[[], object]], float | None], ...] = (
    *(
        (f"routing among {DEPLOYMENTS} deployments, {strategy}", partial(among_many, strategy), MOST)
        for strategy in _STRATEGIES
    ),
    (
        f"routing among {DEPLOYMENTS} deployments, balanced, as they stand",
        partial(among_many, "balanced", is_real=True),
        MOST,
    ),
    ("routing with one deployment", alone, None),
)


def _call() -> tuple[ClientCall, int]:
    turn = {"role": "user", "content": "Say something of a usual length about gateways. " * 8}
    body = msgspec.json.encode({"model": "m", "stream": True, "messages": [turn] * 10})
    return registry.CLIENTS["openai_chat"].read_request(body), estimate.prompt_bytes(body)


def _ways(model: snapshot.Model) -> Options:
    speaks = partial(speech.protocol_of, client="openai_chat")
    return options(model, tenant_id=1, client="openai_chat", speaks=speaks)


def _model(strategy: snapshot.Strategy, count: int) -> snapshot.Model:
    deployments = tuple(_deployment(number) for number in range(1, count + 1))
    return snapshot.Model(
        id=1,
        name="m",
        display_name="m",
        deployments=deployments,
        strategy=strategy,
        max_output_tokens=4096,
        context_tokens=200_000,
    )


def _deployment(number: int) -> snapshot.Deployment:
    credential = snapshot.Credential(id=number, alias="c", secret=snapshot.Secret("s", host="h"))
    provider = snapshot.Provider(
        id=number,
        name=f"p{number}",
        vendor="openai_compatible",
        protocol="openai_chat",
        base_url="https://h",
        host="h",
        credentials=(credential,),
        tags=frozenset({"private", "eu"}),
    )
    prices = dict.fromkeys(("input", "output", "cache_read", "cache_write_5m", "cache_write_1h"), number * 10**9)
    card = snapshot.PriceCard(version=number, effective_from=0, **prices)
    return snapshot.Deployment(id=number, provider=provider, upstream_model="m", prices=(card,), weight=1 + number % 3)
