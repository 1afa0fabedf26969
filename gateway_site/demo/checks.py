"""How the demo's providers have answered in the last day, as their checks would have told it."""

from __future__ import annotations

import datetime
from random import Random

from apps.catalog.history import slot_of
from apps.catalog.models import CheckKind, HealthCheck, Provider

SEED = 7
EVERY = datetime.timedelta(minutes=5)
DAY = datetime.timedelta(hours=24)
# How long ago one of them was away, and for how long.
AWAY = {"Simulated OpenAI": (datetime.timedelta(hours=9), datetime.timedelta(minutes=80))}
USUAL_MS = {"Simulated Anthropic": 210, "Simulated OpenAI": 160, "Simulated in-house": 35}


def look_back(now: datetime.datetime) -> None:
    """None in the last quarter of an hour, which the worker's own follow."""
    random = Random(SEED)  # noqa: S311  # it shall repeat
    HealthCheck.objects.bulk_create(
        _check(provider, at=now - ago * EVERY, now=now, random=random)
        for provider in Provider.objects.all()
        for ago in range(DAY // EVERY, 2, -1)
    )


def _check(provider: Provider, *, at: datetime.datetime, now: datetime.datetime, random: Random) -> HealthCheck:
    began, lasted = AWAY.get(provider.name, (datetime.timedelta(), datetime.timedelta()))
    is_away = now - began <= at < now - began + lasted
    return HealthCheck(
        provider=provider,
        at=at,
        slot=slot_of(at),
        kind=CheckKind.MODELS,
        ok=not is_away,
        milliseconds=10_000 if is_away else round(USUAL_MS[provider.name] * random.lognormvariate(0, 0.3)),
        status=0 if is_away else 200,
        message="The provider did not answer in time." if is_away else "",
    )
