"""What lies at the URLs that a call gives, as its data policies see it: looked into when Weir has fetched it, before
anybody is sent it. What a provider fetches by itself is not seen here.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec

from apps.domain import policies
from apps.domain.chat import Fetched
from apps.gateway import policy

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Awaitable, Callable, Collection, Mapping

    from apps.domain.policies import Rule
    from apps.domain.snapshot import Deployment
    from apps.gateway.attempt import Attempt
    from apps.gateway.context import RequestContext

    Look = Callable[[bytes, Collection[str], list[str]], Awaitable[Counter[str]]]
    Mask = Callable[[bytes, Collection[str]], Awaitable[bytes]]

WHERE = "what lies at a URL"


class Enclosed:
    """Of one call. `look` counts the findings in a body, and says what it could not look for; `mask` writes it anew
    without them. They and this raise PermissionDenied, and InvalidRequest for what cannot be read."""

    def __init__(
        self, ctx: RequestContext, rules: Mapping[str, Rule], ledger: policy.Ledger, *, look: Look, mask: Mask
    ) -> None:
        self._ctx = ctx
        self._rules = rules
        self._ledger = ledger
        self._look = look
        self._mask = mask
        self._is_found = self._is_masked = False

    async def seen(
        self, fetched: Mapping[str, Fetched], deployment: Deployment, *, attempt: Attempt | None
    ) -> Mapping[str, Fetched]:
        """What may be placed in a call to this deployment, masked where a policy says so. `attempt` None: it only
        counts tokens."""
        body, number = _written(fetched), 0 if attempt is None else attempt.number
        notes: list[str] = []
        with self._ledger.reading(self._rules, attempt=number):
            found = await self._look(body, self._rules, notes)
        if attempt is not None:
            for step in notes:
                attempt.note(step)
        rules = {kind: self._rules[kind] for kind in found}
        if blocked := {kind: rule for kind, rule in rules.items() if rule.is_blocked}:
            self._block(found, blocked, why="which it does not let be sent")
        if masked := {kind: rule for kind, rule in rules.items() if rule.is_masked}:
            fetched = await self._masked(fetched, body, found, masked, deployment, number)
        if not found:
            return fetched
        if tags := frozenset().union(*(rule.tags for rule in rules.values())):
            assert self._ctx.policy is not None
            self._ctx.policy = policies.routed(self._ctx.policy, tags)
        self._is_found = True
        self._is_masked |= bool(masked)
        self._ledger(found, rules, attempt=number)
        if attempt is not None:
            for kind, rule in rules.items():
                attempt.note(f"found at a URL: {kind} x{found[kind]}, {rule.done}")
        self.admit(deployment)
        return fetched

    def admit(self, deployment: Deployment) -> None:
        """Whether it may be asked, after what was found for it or for another."""
        if not self._is_found:
            return
        assert self._ctx.policy is not None
        provider = deployment.provider
        if why := policies.hindrance(self._ctx.policy, tags=provider.tags, region=provider.region):
            raise policy.refusal(
                f"policy {self._ctx.policy.name} lets {WHERE} go to other providers only than {self._model}'s: {why}"
            )

    def fetches_itself(self) -> None:
        """The deployment would get what another one was to get masked."""
        if self._is_masked:
            raise policy.refusal(f"{WHERE} is masked by a policy, and this provider of {self._model} fetches it itself")

    async def _masked(
        self,
        fetched: Mapping[str, Fetched],
        body: bytes,
        found: Counter[str],
        rules: Mapping[str, Rule],
        deployment: Deployment,
        number: int,
    ) -> Mapping[str, Fetched]:
        assert self._ctx.call is not None
        if policy.relays(deployment, client=self._ctx.call.protocol):
            why = f"which it masks: what is sent to {self._model} byte for byte is not masked"
            self._block(found, rules, why=why)
        with self._ledger.reading(rules, attempt=number):
            new = await self._mask(body, rules)
            left = await self._look(new, rules, [])
        if left:
            why = "which it masks, in parts that cannot be told from one another"
            self._block(found, {kind: rules[kind] for kind in left}, why=why)
        try:
            return {**fetched, **_read(new, fetched)}
        except (ValueError, binascii.Error):  # it was found in the letters of base64
            self._block(found, rules, why="which it masks, in a file that is no text")

    def _block(self, found: Mapping[str, int], rules: Mapping[str, Rule], *, why: str) -> NoReturn:
        policy.block(found, rules, self._ledger, where=WHERE, why=why)

    @property
    def _model(self) -> str:
        return self._ctx.model.name if self._ctx.model is not None else "this model"


def _written(fetched: Mapping[str, Fetched]) -> bytes:
    """As if the caller had given the files in base64."""
    files = [
        {"type": "base64", "media_type": found.content_type, "data": base64.b64encode(found.data).decode()}
        for found in fetched.values()
    ]
    return msgspec.json.encode(files)


def _read(body: bytes, fetched: Mapping[str, Fetched]) -> dict[str, Fetched]:
    """Those that are others now. Raises ValueError."""
    files: list[dict[str, Any]] = msgspec.json.decode(body)
    read = {
        url: Fetched(base64.b64decode(file["data"], validate=True), found.content_type)
        for (url, found), file in zip(fetched.items(), files, strict=True)
    }
    return {url: found for url, found in read.items() if found.data != fetched[url].data}
