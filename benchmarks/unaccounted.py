"""Weir without its books, to see what they cost: no leases, no journal, no ledger; all else as it is served.

The product has no such setting. Limits are on and are told the tokens that were used.

    python -m benchmarks.unaccounted --host H --port P
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gateway_site.settings")
django.setup()

from apps.gateway import attempt, engine  # noqa: E402  # after Django is set up
from gateway_site import server  # noqa: E402

if TYPE_CHECKING:
    from apps.domain import errors
    from apps.domain.routing.plan import Try
    from apps.gateway.context import RequestContext


class Unaccounted(attempt.Attempt):
    """Closed, but in no book."""

    __slots__ = ()

    async def reserve(self) -> None:
        return None

    async def intend(self) -> None:
        self._sent = True

    def checkpoint(self) -> None:
        return None

    def settle(self, failure: errors.GatewayError | None) -> None:
        if not self._closed:
            self._closed = True
            verdict = self._judge(declined=False, unseen=False)
            self.cost, self.usage = verdict.cost, verdict.usage


class NoAccounts(attempt.Accounts):
    async def start(self) -> None:
        return None

    async def close(self) -> None:
        return None

    async def open(self, ctx: RequestContext, candidate: Try) -> attempt.Attempt:
        made = Unaccounted(self, ctx, candidate, number=len(ctx.attempts) + 1)
        ctx.attempts.append(made)
        return made


if __name__ == "__main__":
    engine.Accounts = NoAccounts  # type: ignore[misc]  # the engine makes its own
    sys.exit(server.main())
