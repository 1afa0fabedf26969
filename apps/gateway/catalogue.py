"""The list of models a caller may use, in one shape that both dialects' clients read (PROTOCOLS A13)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from apps.domain import errors
from apps.domain.routing import abilities
from apps.gateway import allowed, examine

if TYPE_CHECKING:
    from apps.domain.snapshot import Model
    from apps.gateway.context import RequestContext


def render(ctx: RequestContext) -> bytes:
    """The list, or one model when the path goes on with its name. Raises ModelNotFound."""
    name = str(ctx.scope["path"]).partition("/v1/models")[2].strip("/")
    if not name:
        return msgspec.json.encode(_page([_entry(model) for model in examine.visible(ctx)]))
    model = ctx.snapshot.models.get(name)
    if model is None or not examine.is_visible(model, ctx):
        raise errors.ModelNotFound(f"model: {name[:200]}", param="model")
    if (refused := allowed.refusal(ctx, model)) is not None:
        raise refused
    return msgspec.json.encode(_entry(model))


def _page(entries: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "object": "list",
        "data": entries,
        "has_more": False,
        "first_id": entries[0]["id"] if entries else None,
        "last_id": entries[-1]["id"] if entries else None,
    }


def _entry(model: Model) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "type": "model",
        "display_name": model.display_name,
        "created": model.created,
        "created_at": datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "owned_by": model.owned_by,
        "lifecycle": "active",
        "context_window": model.context_tokens,
        "max_input_tokens": model.context_tokens,
        "max_output_tokens": model.max_output_tokens,
        "max_tokens": model.max_output_tokens,
        "capabilities": abilities.described(model),
    }
