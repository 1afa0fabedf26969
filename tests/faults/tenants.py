"""A tenant for one test, and its books when the test is over."""

from __future__ import annotations

import itertools
import time
from dataclasses import dataclass
from typing import Any

from tests.faults import books
from tests.faults.installation import Installation
from tests.servers import until

_numbers = itertools.count(1)


@dataclass(frozen=True)
class Tenant:
    id: int
    slug: str
    keys: list[tuple[int, str]]  # row and plaintext
    budgets: list[int]
    opened_at: float

    @property
    def key(self) -> str:
        return self.keys[0][1]


def open_tenant(installation: Installation, *, budgets: list[dict[str, Any]], keys: int = 1, **changes: Any) -> Tenant:
    """See `desk.tenant` for what a budget is."""
    opened_at = time.time()
    name = f"tenant-{next(_numbers)}-{opened_at:.0f}"
    made = installation.ask("tenant", name=name, budgets=budgets, keys=keys, **changes)
    return Tenant(made["id"], name, [(row, word) for row, word in made["keys"]], made["budgets"], opened_at)


def settle(installation: Installation) -> None:
    """Ends all gateways; returns when their books and the provider's are closed."""
    installation.end()
    until(lambda: all(reading.outcome != "open" for reading in installation.provider.readings()))


def read_books(installation: Installation, tenant: Tenant, **known: bool) -> books.Books:
    """As they are now. The meter's part is what was asked since the tenant was made: one tenant at a time calls.
    `known`: what there is to know besides, see `Books`."""
    told = installation.ask("books", tenant=tenant.id, budgets=tenant.budgets)
    metered = [reading for reading in installation.provider.readings() if reading.opened_at >= tenant.opened_at]
    return books.Books(**told, readings=[reading for reading in metered if reading.caller], **known)


def settled(installation: Installation, tenant: Tenant) -> list[str]:
    """Ends all gateways and returns what is then wrong with the books, by our own count and by Weir's."""
    settle(installation)
    return [*books.differences(read_books(installation, tenant)), *verified(installation, tenant)]


def verified(installation: Installation, tenant: Tenant) -> list[str]:
    """What `ledger_verify` finds wrong with the tenant's rows and budgets."""
    told = installation.ask("run", command="ledger_verify", arguments=["--tenant", tenant.slug])
    return [] if told["status"] == 0 else [f"ledger_verify: {told['output']}"]
