"""What a coding agent is told to keep to, and what it tells of itself (docs/claude-code.md)."""

from __future__ import annotations

import asyncio
import hashlib
import json
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from apps.domain import errors

if TYPE_CHECKING:
    from apps.gateway.context import RequestContext

PART_SECONDS = 30.0


def rendered(settings: dict[str, Any]) -> tuple[str, bytes]:
    """The checksum, and the answer. Claude Code makes the same checksum of what it keeps, and asks with it."""
    written = json.dumps(_as_written(settings), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    digest = hashlib.sha256(written.encode("utf-8", "surrogatepass"))
    checksum = f"sha256:{digest.hexdigest()}"
    body = {"uuid": str(UUID(bytes=digest.digest()[:16], version=4)), "checksum": checksum, "settings": settings}
    return checksum, msgspec.json.encode(body)


def _as_written(value: Any) -> Any:
    """JavaScript writes a whole number without a point."""
    if isinstance(value, dict):
        return {name: _as_written(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_as_written(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


async def swallowed(ctx: RequestContext, *, most: int) -> int:
    """The size of a body that nobody reads, in bytes. Raises BodyTooLarge and BodyTooSlow."""
    size = 0
    while True:
        try:
            message = await asyncio.wait_for(ctx.receive(), PART_SECONDS)
        except TimeoutError:
            raise errors.BodyTooSlow("the request body did not come in time") from None
        if message["type"] == "http.disconnect":
            raise errors.ClientGone("the client left before its request was complete")
        size += len(message.get("body", b""))
        if size > most:
            raise errors.BodyTooLarge(f"more than {most} bytes of telemetry at once")
        if not message.get("more_body"):
            return size
