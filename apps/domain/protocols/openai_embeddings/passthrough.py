"""A caller and an upstream that both speak OpenAI's embeddings: all goes on but the model's name."""

from __future__ import annotations

import msgspec

from apps.domain.protocols.contract import ClientCall, Cut, Seen, Target
from apps.domain.protocols.openai_embeddings import response
from apps.domain.protocols.passthrough import Rewritten, Whole


class Dialect:
    """See `protocols.passthrough.Dialect`."""

    def rewrite(self, call: ClientCall, target: Target) -> Rewritten:
        return Rewritten(call.wire.members.edit({"model": msgspec.json.encode(target.model)}))

    def tap(self, seen: Seen, call: ClientCall, *, request_id: str, cut: Cut) -> Whole:
        return Whole()

    def read_usage(self, body: bytes, seen: Seen) -> None:
        outline = response.read_outline(body)
        seen.usage = response.usage(outline.usage)
        seen.model = outline.model if isinstance(outline.model, str) else None


DIALECT = Dialect()
