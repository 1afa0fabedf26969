"""A plausible week behind the demo: who called what, when, and what it cost. Always the same, but for its dates."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from random import Random
from typing import NamedTuple

import msgspec

from apps.domain import ids, pricing
from apps.domain.snapshot import Model
from apps.domain.tokens import TokenUsage
from apps.keys.models import Key
from apps.usage.records import Intent, Outcome, Status

DAYS = 7
SEED = 20_26
RETRIED, ABANDONED, TIMED_OUT = 0.005, 0.006, 0.002

# Calls by hour of the day, in parts of the busiest hour.
OFFICE = (0, 0, 0, 0, 0, 0, 1, 3, 8, 10, 10, 9, 5, 8, 10, 10, 8, 5, 2, 1, 1, 0, 0, 0)
ALWAYS = (3, 2, 2, 1, 1, 2, 3, 5, 7, 9, 10, 10, 9, 9, 9, 9, 8, 8, 7, 7, 6, 6, 5, 4)
NIGHT = (9, 10, 10, 9, 5, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 5)


class Habit(NamedTuple):
    """How one key is used. Token figures are medians; `busiest` is calls in a full hour."""

    key: Key
    models: Mapping[str, int]
    endpoint: str
    protocol: str
    stream: bool
    busiest: int
    hours: tuple[int, ...]
    weekend: float
    fresh: int
    cached: int
    written: int
    out: int
    address: str
    agent: str


def habits(*, laptop: Key, reviews: Key, desk: Key, nightly: Key) -> list[Habit]:
    """A developer's agent in office hours with a review bot beside it, a support desk that never sleeps, a batch."""
    coding = {"claude-sonnet-4-6": 7, "claude-haiku-4-5": 2, "claude-opus-4-5": 1}
    claude = {"endpoint": "messages", "protocol": "anthropic_messages", "stream": True}
    gpt = {"endpoint": "chat_completions", "protocol": "openai_chat"}
    return [
        Habit(key=laptop, models=coding, **claude, busiest=14, hours=OFFICE, weekend=0.1, fresh=900, cached=38_000,
              written=2_600, out=620, address="10.1.4.27", agent="claude-cli/2.0.42 (external, cli)"),
        Habit(key=reviews, models={"gpt-5": 3, "claude-sonnet-4-6": 1}, **gpt, stream=False, busiest=5, hours=OFFICE,
              weekend=0.2, fresh=9_500, cached=0, written=0, out=900, address="10.1.9.3", agent="OpenAI/Python 2.8.1"),
        Habit(key=desk, models={"gpt-5-mini": 6, "gpt-4.1": 3}, **gpt, stream=True, busiest=16, hours=ALWAYS,
              weekend=0.8, fresh=1_900, cached=1_400, written=0, out=210, address="10.1.7.11", agent="OpenAI/JS 6.9.0"),
        Habit(key=nightly, models={"gpt-4.1": 2, "claude-haiku-4-5": 3}, **claude, busiest=12, hours=NIGHT,
              weekend=1.0, fresh=5_200, cached=0, written=0, out=340, address="10.1.2.8", agent="Anthropic/Python 2.1"),
    ]  # fmt: skip


def outcomes(habits: list[Habit], *, models: Mapping[str, Model], now: datetime.datetime) -> list[Outcome]:
    """In the order in which they began; none in the last quarter of an hour, which belongs to whoever tries Weir."""
    random = Random(SEED)  # noqa: S311  # it shall repeat
    until = now - datetime.timedelta(minutes=15)
    start = (now - datetime.timedelta(days=DAYS)).replace(minute=0, second=0, microsecond=0)
    made: list[Outcome] = []
    for habit in habits:
        for hour in range(DAYS * 24 + 1):
            made += _hour(habit, start + datetime.timedelta(hours=hour), models=models, random=random)
    return sorted(
        (outcome for outcome in made if outcome.intent.started_at < until.timestamp()),
        key=lambda outcome: outcome.intent.started_at,
    )


def _hour(habit: Habit, hour: datetime.datetime, *, models: Mapping[str, Model], random: Random) -> Iterator[Outcome]:
    share = habit.hours[hour.hour] / max(habit.hours) * (habit.weekend if hour.weekday() >= 5 else 1.0)
    for _ in range(round(habit.busiest * share * random.uniform(0.6, 1.3))):
        began = hour.timestamp() + random.uniform(0, 3600)
        name = random.choices([*habit.models], weights=[*habit.models.values()])[0]
        yield from _call(habit, models[name], began=began, random=random)


def _call(habit: Habit, model: Model, *, began: float, random: Random) -> Iterator[Outcome]:
    intent = _intent(habit, model, began=began, random=random)
    fate = random.random()
    if fate < RETRIED:
        yield _failed(intent, "upstream_error", http_status=529, code="overloaded", waited=random.randint(80, 400))
        intent = msgspec.structs.replace(intent, attempt=2)
    elif fate < RETRIED + TIMED_OUT:
        yield _failed(intent, "timeout", http_status=None, code="timeout", waited=60_000)
        return
    yield _answered(habit, intent, left=fate > 1 - ABANDONED, random=random)


def _intent(habit: Habit, model: Model, *, began: float, random: Random) -> Intent:
    deployment = model.deployments[0]
    key = habit.key
    return Intent(
        request_id=ids.request_id(now_ms=int(began * 1000), random_bits=random.getrandbits(62)),
        attempt=1,
        started_at=began,
        tenant_id=key.tenant_id,
        project_id=key.project_id,
        user_id=key.user_id,
        key_id=key.pk,
        model_id=model.id,
        provider_id=deployment.provider.id,
        deployment_id=deployment.id,
        credential="demo",
        model_name=model.name,
        upstream_model=deployment.upstream_model,
        client_protocol=habit.protocol,
        upstream_protocol=deployment.provider.protocol,
        endpoint=habit.endpoint,
        stream=habit.stream,
        card=pricing.card_at(deployment.prices, int(began)),
        trace_id=f"{random.getrandbits(128):032x}",
        client_address=habit.address,
        user_agent=habit.agent,
    )


def _failed(intent: Intent, status: Status, *, http_status: int | None, code: str, waited: int) -> Outcome:
    return Outcome(
        intent=intent, status=status, state="void", http_status=http_status, error_code=code, latency_ms=waited
    )


def _answered(habit: Habit, intent: Intent, *, left: bool, random: Random) -> Outcome:
    """`left`: the client went away in the middle, so the rest was never written."""
    usage = _usage(habit, left=left, random=random)
    cost = pricing.cost(usage, intent.card) if intent.card else 0
    first = round(random.lognormvariate(0, 0.4) * 650)
    return Outcome(
        intent=msgspec.structs.replace(intent, reserved=3 * cost),
        status="client_gone" if left else "ok",
        usage=usage,
        usage_source="estimated" if left else "provider",
        cost=cost,
        http_status=200,
        stop_reason="" if left else random.choices(["end_turn", "tool_use", "max_tokens"], weights=[55, 42, 3])[0],
        latency_ms=first + round(usage.out_total * random.uniform(9, 16)),
        ttft_ms=first if habit.stream else None,
        provider_request_id=f"req_{random.getrandbits(96):024x}",
        message_id="" if left else f"msg_{random.getrandbits(96):024x}",
    )


def _usage(habit: Habit, *, left: bool, random: Random) -> TokenUsage:
    def about(median: int) -> int:
        return round(median * random.lognormvariate(0, 0.7)) if median else 0

    return TokenUsage(
        in_fresh=about(habit.fresh),
        in_cache_read=about(habit.cached),
        in_cache_write_5m=about(habit.written),
        out_total=max(1, about(habit.out) // (3 if left else 1)),
    )
