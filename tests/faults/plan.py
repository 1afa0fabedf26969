"""What happens in a round of mixed chaos: a pure function of its seed."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

from apps.runtime import failpoints

SECONDS = 2.6  # in which events begin; calls go on a little longer
CALLS = (110, 160)
CALLERS = 28
KEYS = 3
# Nano-USD. A call here costs half a million to two, and is reserved up to eight: the least is soon spent.
AMOUNTS = (10**12, 1_000_000_000, 400_000_000, 100_000_000)

# Passed by a gateway that serves; each may end, stop, slow or break it. `raise` only where what follows survives it.
WORKERS = ("rollup.", "seal.", "reap.", "alert.", "event.")
PLACES = sorted(name for name in failpoints.NAMES if not name.startswith(WORKERS))
ACTIONS = ("kill", "kill", "kill", "stop", "sleep=0.3")

SCRIPTS = (  # how often, and what the provider is told; {n} and {k} are small numbers
    (30, "tokens-{n},pace-12"),
    (14, ""),
    (8, "thinking,pace-5"),
    (6, "nousage,tokens-{n},pace-8"),
    (4, "lies"),
    (4, "stall-after-{k}"),
    (2, "stall"),
    (5, "resets-after-{k}"),
    (5, "ends-after-{k}"),
    (4, "dies-after-{k}"),
    (3, "dies-before-headers"),
    (4, "error-after-{k}"),
    (3, "429-then-ok,again-{n}"),
    (3, "500"),
    (2, "529"),
    (2, "slow-400"),
    (2, "late-end"),
)
ALONE = (  # what can happen to one gateway on SQLite
    (8, "kill"),
    (4, "pause"),
    (2, "restart"),
    (2, "lock"),
    (2, "revoke"),
    (2, "amount"),
    (2, "prices"),
    (2, "disconnects"),
)
TOGETHER = (
    *ALONE[:3],
    *ALONE[4:],
    (3, "zombie"),
    (2, "given-up"),
    (2, "disk-away"),
    (2, "redis-reset"),
    (2, "redis-hold"),
    (1, "redis-slow"),
    (2, "redis-empty"),
    (2, "database-reset"),
    (2, "database-hold"),
    (1, "database-slow"),
    (1, "database-half-open"),
    (2, "database-restart"),
)


@dataclass(frozen=True, order=True)
class Event:
    """`which` gateway, for those that are one's; `number` is what else there is to know: seconds, an amount."""

    at: float
    what: str
    which: int = 0
    number: float = 0.0


@dataclass(frozen=True)
class Plan:
    seed: int
    gateways: int
    obeys: bool  # whether the provider keeps to `max_tokens`, and bills no more of a prompt than there is
    on_outage: str
    gate: bool  # the first byte waits for the database
    budgets: list[dict[str, Any]]
    failpoints: list[str]  # of the gateways as they are first started
    events: list[Event]
    calls: list[dict[str, Any]] = field(repr=False)  # fields of `load.Ask`; the key by its number

    def __str__(self) -> str:
        lines = [f"seed {self.seed}: {len(self.calls)} calls to {self.gateways} gateways, {self.failpoints}"]
        lines += [f"  obeys {self.obeys}, on outage {self.on_outage}, first-byte gate {self.gate}"]
        lines += [f"  budget {budget}" for budget in self.budgets]
        lines += [f"  {event.at:5.2f} s  {event.what} {event.which} {event.number:g}" for event in self.events]
        return "\n".join(lines)


def make(seed: int, *, together: bool) -> Plan:
    """`together`: several gateways on PostgreSQL and Redis; else one on SQLite."""
    dice = random.Random(seed * 2 + together)
    gateways = dice.choice((2, 3)) if together else 1
    obeys = dice.random() < 0.75
    return Plan(
        seed=seed,
        gateways=gateways,
        obeys=obeys,
        on_outage=dice.choice(("lease", "lease", "open", "closed")),
        gate=together and dice.random() < 0.4,
        budgets=_budgets(dice),
        failpoints=[_failpoint(dice) if dice.random() < 0.6 else "" for _ in range(gateways)],
        events=_events(dice, gateways=gateways, together=together),
        calls=[_call(dice, obeys=obeys) for _ in range(dice.randint(*CALLS))],
    )


def _budgets(dice: random.Random) -> list[dict[str, Any]]:
    found = [{"of": "tenant", "amount": dice.choice(AMOUNTS[:3]), "period": "month"}]
    for subject, period in (("project", "day"), ("key", "week"), ("user", "month"), ("model", "day")):
        if dice.random() < 0.4:
            found.append({"of": subject, "amount": dice.choice(AMOUNTS), "period": period})
    for budget in found:
        if dice.random() < 0.4:
            budget["overdraft"] = dice.choice((5_000_000, 30_000_000, 200_000_000))
    return found


def _failpoint(dice: random.Random) -> str:
    place, action = dice.choice(PLACES), dice.choice(ACTIONS)
    return f"{place}:{action}:{dice.choice((1, 2, 3, 5, 8, 20))}"


def _events(dice: random.Random, *, gateways: int, together: bool) -> list[Event]:
    weights, names = zip(*(TOGETHER if together else ALONE), strict=True)
    found = []
    for what in dice.choices(names, weights, k=dice.randint(3, 7)):
        number = round(dice.uniform(0.1, 0.8), 2)
        if what == "amount":
            number = dice.choice(AMOUNTS)
        elif what == "prices":
            number = dice.randint(1, 4)
        elif what == "disconnects":
            number = dice.randint(0, 1)
        elif what == "revoke":
            number = dice.randrange(KEYS)
        found.append(Event(round(dice.uniform(0.4, SECONDS), 2), what, dice.randrange(gateways), number))
    return sorted(found)


def _call(dice: random.Random, *, obeys: bool) -> dict[str, Any]:
    weights, scripts = zip(*SCRIPTS, strict=True)
    (script,) = dice.choices(scripts, weights)
    script = script.format(n=dice.randint(5, 90), k=dice.randint(1, 12))
    if not obeys and dice.random() < 0.2:
        script = dice.choice(("ignore-max,tokens-150,pace-3", "cache"))
    return {
        "key": dice.randrange(KEYS),
        "model": dice.choice(("claude", "gpt")) + ("-limited" if script.startswith("429") else ""),
        "dialect": dice.choice(("anthropic", "openai")),
        "stream": dice.random() < 0.75,
        "script": script,
        "max_tokens": dice.choice((20, 60, 100, 400)),
        "leave": dice.choice(("fin", "rst")) if dice.random() < 0.15 else "",
        "after": dice.randint(1, 12),
    }
