"""Storms: providers of a model fall ill while callers of every kind call it, and get well again.

`Storm(…).play(calls)` gives Figures, and raises nothing: what must hold of them is the tests' affair. A quarter of the
calls is made before, a quarter after, and nobody waits for it: what is under way when it begins has to live with it.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

from tests.faults import rounds
from tests.faults.installation import Gateway, Installation
from tests.faults.load import Ask, Load, Said
from tests.faults.proxy import Proxy
from tests.faults.tenants import open_tenant, read_books, settled

OPERATOR = "who-may-read-the-metrics"
CALLERS = 12
# All else of a breaker is as by default.
FIELDS = {"breaker_slow_seconds": 0.2, "connect_timeout": 2.0, "first_byte_timeout": 1.0, "idle_timeout": 1.5}
ROUNDS = {"breaker_open_seconds": 2.0}  # so that half-open rounds are made meanwhile
SUCCESS, UPSTREAM = 0.999, 1.2
FAULTS = ("kill", "stall", "429", "500", "slow")
_MOODS = {"429": "429", "500": "500", "slow": "slow-400"}
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Figures:
    """`upstream`: requests that gateways have tried to make; `seen`: those that reached a provider. `cut`: streams that
    had begun when their provider fell ill. `unexplained`: of the ledger's rows. `wrong`: between ledger and meters."""

    fault: str
    calls: int
    whole: int
    cut: int
    refused: dict[tuple[int, str], int]
    upstream: int
    seen: int
    changes: dict[str, int]
    unexplained: list[str]
    wrong: list[str]
    seconds: float

    def broken(self) -> list[str]:
        """Of what is promised. Nobody can save a stream that had begun, of which each caller has one at most."""
        found = [*self.unexplained, *self.wrong]
        if self.whole < SUCCESS * (self.calls - self.cut) or self.cut > CALLERS:
            found.append("callers saw too many failures")
        if max(self.upstream, self.seen) > UPSTREAM * self.calls:
            found.append("providers were asked too often")
        return found

    def __str__(self) -> str:
        return (
            f"{self.fault}: {self.calls} calls, {self.whole} whole ({100 * self.whole / self.calls:.2f} %),"
            f" {self.cut} cut, refused {self.refused}; {self.upstream} tried upstream"
            f" ({self.upstream / self.calls:.3f} for one), {self.seen} seen; breakers {self.changes};"
            f" {len(self.unexplained)} unexplained, {len(self.wrong)} differences; {self.seconds:.0f} s"
        )


class Storm:
    """Over a model of its own at three providers, of which the first `ill` suffer it; two gateways."""

    def __init__(self, installation: Installation, fault: str, *, ill: int = 1, **fields: Any) -> None:
        self._installation = installation
        self.fault = fault
        self.model = f"storm{next(_numbers)}"
        self._ill = ill
        self.proxies = [Proxy(installation.provider.base_url) for _ in range(3)]
        urls = [proxy.url for proxy in self.proxies]
        installation.ask("deploy", name=self.model, urls=urls, **{**FIELDS, **fields})
        self.tenant = open_tenant(installation, budgets=[{"of": "tenant", "amount": 10**13}])
        self.gateways: list[Gateway] = installation.start(2, WEIR_OPERATOR_TOKEN=OPERATOR)

    def strike(self) -> None:
        for proxy in self.proxies[: self._ill]:
            if self.fault == "kill":
                proxy.refuse()
            elif self.fault == "stall":
                proxy.hold()
        if self.fault in _MOODS:
            ill = range(self._ill)
            self._installation.provider.behave({f"{self.model}-{n}": _MOODS[self.fault] for n in ill})

    def heal(self) -> None:
        for proxy in self.proxies[: self._ill]:
            proxy.heal()
        self._installation.provider.behave({})

    def close(self) -> None:
        self.heal()
        for proxy in self.proxies:
            proxy.close()

    def play(self, calls: int) -> Figures:
        tenant = self.tenant
        seen, began = self._installation.provider.seen(), time.monotonic()
        said = asyncio.run(self._run(tenant.key, calls))
        took = time.monotonic() - began
        changes = self.changes()
        wrong = settled(self._installation, tenant)
        rows = read_books(self._installation, tenant).entries
        refused = Counter((one.status, one.code) for one in said if one.status != 200)
        return Figures(
            fault=self.fault if self._ill == 1 else f"{self.fault} of {self._ill}",
            calls=len(said),
            whole=sum(one.is_whole for one in said),
            cut=sum(one.status == 200 and not one.is_whole for one in said),
            refused=dict(refused),
            upstream=len(rows),
            seen=self._installation.provider.seen() - seen,
            changes=dict(changes),
            unexplained=list(unexplained(rows)),
            wrong=wrong,
            seconds=took,
        )

    def changes(self) -> Counter[str]:
        """Of the first provider's breaker, at both gateways together: how often it has become what."""
        found: Counter[str] = Counter()
        for gateway in self.gateways:
            for labels, value in metric(gateway, "weir_breaker_changes_total", model=f"{self.model}-0"):
                found[labels.partition('state="')[2].partition('"')[0]] += round(value)
        return found

    def phases(self) -> list[float]:
        """Of the first provider's breaker, by gateway: 0 closed, 1 half open, 2 open."""
        told = [metric(gateway, "weir_breaker_state", model=f"{self.model}-0") for gateway in self.gateways]
        return [value for found in told for _, value in found]

    async def _run(self, key: str, calls: int) -> list[Said]:
        turns = itertools.cycle(self.gateways)
        async with Load(lambda: next(turns).base_url) as load:
            try:
                return await load.run(self._asks(key, calls), at_once=CALLERS)
            finally:
                self.heal()

    def _asks(self, key: str, calls: int) -> Iterator[Ask]:
        for number in range(calls):
            if number == calls // 4:
                self.strike()
            elif number == calls * 3 // 4:
                self.heal()
            dialect, stream = ("anthropic", "openai")[number // 2 % 2], number // 4 % 2 == 0
            yield Ask(key, model=self.model, dialect=dialect, stream=stream, max_tokens=20)


def metric(gateway: Gateway, name: str, *, model: str) -> list[tuple[str, float]]:
    """Labels and values of an upstream model, at a gateway whose operators' token is `OPERATOR`."""
    request = Request(f"{gateway.base_url}/metrics", headers={"authorization": f"Bearer {OPERATOR}"})
    with urlopen(request, timeout=30) as answer:
        lines = str(answer.read(), "utf-8").splitlines()
    found = [line for line in lines if line.startswith(f"{name}{{") and f'model="{model}"' in line]
    return [(line.rpartition(" ")[0], float(line.rpartition(" ")[2])) for line in found]


def unexplained(rows: list[dict[str, Any]]) -> Iterator[str]:
    """A call's first row says whom the router chose, each further one what it comes after; what failed says how."""
    for row in rows:
        told = f"{row['request_id']}/{row['attempt']} {row['status']} {row['error_code']}: {row['trail']}"
        steps = row["trail"]
        if row["attempt"] == 1 and not any(step.startswith("chose ") for step in steps):
            yield f"{told}: why this one?"
        if row["attempt"] > 1 and not any(step.startswith(("after ", "connection stale")) for step in steps):
            yield f"{told}: why again?"
        if row["status"] != "ok" and not row["error_code"]:
            yield f"{told}: why did it fail?"


def play_all(folder: Path, calls: int) -> int:
    """Every fault at one provider of three, and at two. Returns how many broke a promise."""
    broken = 0
    with rounds.stage(folder, together=True) as installation:
        for ill, fault in itertools.product((1, 2), FAULTS):
            storm = Storm(installation, fault, ill=ill, **ROUNDS)
            try:
                figures = storm.play(calls)
            finally:
                storm.close()
            wrong = figures.broken()
            broken += bool(wrong)
            print(figures, *wrong[:10], sep="\n  ", flush=True)
    return broken
