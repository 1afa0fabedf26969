"""Whose turn it is among the credentials of a deployment: smooth weighted round robin, as nginx has it.

Shares are exact over every round of as many calls as the weights add up to, and a heavy one's turns are spread out.
https://github.com/nginx/nginx/commit/52327e0627f49dbda1e8db695e63a4b0af4448b1
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from apps.domain.snapshot import Credential, Deployment

    Rests = Callable[[Deployment, Credential], float]
    """Seconds for which a credential is set aside; 0: it is not."""

_MOST = 4096  # deployments, of which some may be long gone


class Turns:
    """Of one process. By deployment and credential, how far it is behind its share."""

    def __init__(self) -> None:
        self._behind: defaultdict[int, dict[int, int]] = defaultdict(dict)

    def order(
        self, deployment: Deployment, credentials: Sequence[Credential], rests: Rests | None = None
    ) -> list[Credential]:
        """The one whose turn it is, then the others, the furthest behind first. Those that rest have no turn and come
        last."""
        resting = [] if rests is None else [one for one in credentials if rests(deployment, one)]
        ready = [one for one in credentials if one not in resting] if resting else credentials
        return [*self._take(deployment.id, ready), *resting]

    def _take(self, deployment_id: int, ready: Sequence[Credential]) -> list[Credential]:
        if len(ready) < 2:
            return [*ready]
        if len(self._behind) >= _MOST:
            self._behind.clear()
        behind = self._behind[deployment_id]
        for one in ready:
            behind[one.id] = behind.get(one.id, 0) + one.weight
        ordered = sorted(ready, key=lambda one: -behind[one.id])
        behind[ordered[0].id] -= sum(one.weight for one in ready)
        return ordered
