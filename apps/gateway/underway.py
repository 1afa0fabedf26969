"""The calls being answered, and whether their callers may still ask: a key that is revoked or expires, or whose user,
project or tenant is shut off, ends its calls and not only its next one.

Nothing is asked for one call. Its key is looked at again when the revisions tell that keys have changed, all of those
in one query; the rest is told by the clock and the snapshot, once for every poll.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.domain import errors
from apps.runtime import clock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    from apps.domain.snapshot import Snapshot
    from apps.gateway.context import RequestContext


class Underway:
    """Of one process, on its event loop. Times are unix seconds."""

    def __init__(self) -> None:
        self._ends: dict[RequestContext, float] = {}  # when its key stops working
        self._doubted: set[str] = set()  # public ids of keys that have changed since they were looked at

    def enter(self, ctx: RequestContext) -> None:
        """`ctx` has just been authenticated: nothing was awaited since."""
        assert ctx.principal is not None
        self._ends[ctx] = ctx.principal.ends_at

    def leave(self, ctx: RequestContext) -> None:
        self._ends.pop(ctx, None)

    def doubt(self, public_ids: Collection[str] | None) -> None:
        """These keys have changed; None: any may have."""
        known = {_public_id(ctx) for ctx in self._ends}
        self._doubted |= known if public_ids is None else known.intersection(public_ids)

    async def review(self, ask: Callable[[list[str]], Awaitable[dict[str, float]]]) -> None:
        """Looks at the doubted again. `ask` tells of public ids when they stop working, and leaves out what does not
        work; what it raises is raised, and they stay doubted."""
        if not self._doubted:
            return
        asked, self._doubted = self._doubted, set()
        calls = [ctx for ctx in self._ends if _public_id(ctx) in asked]
        try:
            ends = await ask(sorted(asked))
        except BaseException:
            self._doubted |= asked
            raise
        for ctx in calls:
            if ctx in self._ends:
                self._ends[ctx] = ends.get(_public_id(ctx), 0.0)

    def sweep(self, snapshot: Snapshot) -> None:
        """Ends the calls whose key works no more."""
        now, tenants, projects = clock.now(), snapshot.tenants, snapshot.projects
        for ctx, ends in tuple(self._ends.items()):
            principal = ctx.principal
            assert principal is not None
            if ends <= now or principal.tenant_id not in tenants or principal.project_id not in projects:
                ctx.end(errors.AuthenticationFailed("this API key has stopped working"))


def _public_id(ctx: RequestContext) -> str:
    assert ctx.principal is not None
    return ctx.principal.public_id
