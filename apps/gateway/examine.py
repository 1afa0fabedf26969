"""What is in it: the body, read once within its bounds, and the model it asks for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from apps.domain import errors, estimate
from apps.domain.protocols import splice
from apps.domain.providers import speech
from apps.gateway import allowed, networks

if TYPE_CHECKING:
    from apps.domain.snapshot import Model, PinnedEndpoint, Principal
    from apps.gateway.context import Message, RequestContext


_NAMED = 20  # models, to who has to choose


async def examine(ctx: RequestContext, *, max_bytes: int) -> None:
    """Sets `call`, `prompt_bytes`, `model` and `listened`.

    Raises BodyTooLarge, InvalidRequest, ModelNotFound, PermissionDenied (a network that the model is not for) or
    ClientGone. That the body comes in time is `departure`'s affair.
    """
    began = time.monotonic()
    content = await body(ctx, max_bytes)
    ctx.listened = time.monotonic() - began
    if ctx.pinned is not None:
        content = _for(ctx.pinned, content)
    ctx.call = ctx.wire.read_request(content)
    ctx.call.headers = ctx.headers
    ctx.prompt_bytes = estimate.prompt_bytes(content)
    assert ctx.principal is not None
    ctx.call.model = ctx.call.model or _only(ctx)
    model = ctx.snapshot.models.get(ctx.call.model)
    if model is None or not usable(model, ctx.principal):
        raise errors.ModelNotFound(f"model: {ctx.call.model[:200]}", param="model")
    if not _is_near(model, ctx):
        raise errors.PermissionDenied(f"the model {model.name} may not be used from this address")
    if (ctx.call.max_tokens or 0) > model.max_output_tokens and _speaks(model, ctx.call.protocol):
        raise ctx.wire.above_cap(ctx.call, cap=model.max_output_tokens)
    _check_kind(model, ctx)
    ctx.model = model


def _for(pinned: PinnedEndpoint, body: bytes) -> bytes:
    """The body as if it had asked for the endpoint's model, whatever it asks for, and if it does not ask at all."""
    return splice.read(body).edit({"model": msgspec.json.encode(pinned.model)})


def usable(model: Model, principal: Principal) -> bool:
    """Whether a key may use a model. The tenant's list and the key's own list both confine it."""
    if model.tenant_ids is not None and principal.tenant_id not in model.tenant_ids:
        return False
    return allowed.listed(model, principal.models)


def _only(ctx: RequestContext) -> str:
    """The model of a call that names none: the one that its key can chat with here. Raises InvalidRequest, naming
    some to choose from."""
    names = [model.name for model in visible(ctx) if "embeddings" not in model.capabilities]
    if len(names) == 1:
        return names[0]
    message = "Missing required parameter: 'model'"
    message += f", one of {', '.join(names[:_NAMED])}." if names else ": this key may use none."
    raise errors.InvalidRequest(message, param="model", code="missing_required_parameter")


def _check_kind(model: Model, ctx: RequestContext) -> None:
    """Who gives vectors gives nothing else, and most who give text give none. Raises InvalidRequest."""
    if ctx.wire.operation != "embed":
        if "embeddings" in model.capabilities:
            message = f"The model `{model.name}` gives embeddings only: ask for them at /v1/embeddings."
            raise errors.InvalidRequest(message, param="model")
    elif not any(speech.protocol_of(deployment, client=ctx.wire.name) for deployment in model.deployments):
        raise errors.InvalidRequest(f"The model `{model.name}` gives no embeddings.", param="model")


def _speaks(model: Model, protocol: str) -> bool:
    """Whether callers of this dialect know the model's own cap. For others it is lowered to what the model gives."""
    return any(speech.protocol_of(deployment, client=protocol) == protocol for deployment in model.deployments)


def visible(ctx: RequestContext) -> list[Model]:
    """The models that a key may use here and that somebody may answer it, by name, aliases left out."""
    models = sorted(ctx.snapshot.models.items())
    here = [model for name, model in models if name == model.name and is_visible(model, ctx)]
    return [model for model in here if allowed.refusal(ctx, model) is None]


def is_visible(model: Model, ctx: RequestContext) -> bool:
    assert ctx.principal is not None
    is_here = ctx.pinned is None or ctx.pinned.model == model.name
    return is_here and usable(model, ctx.principal) and _is_near(model, ctx)


def _is_near(model: Model, ctx: RequestContext) -> bool:
    return model.networks is None or networks.hold(ctx.scope.get("client"), model.networks)


async def body(ctx: RequestContext, max_bytes: int) -> bytes:
    """The whole body. What exceeds the limit is refused by its declared length, or as soon as it has come in."""
    declared = ctx.headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > max_bytes:
        raise errors.BodyTooLarge(f"request body exceeds {max_bytes} bytes")
    encoding = ctx.headers.get(b"content-encoding", b"identity")
    if encoding.lower() != b"identity":  # a small body could become a large one
        raise errors.InvalidRequest("The request body must be sent plain: content-encoding is not supported.")
    message = await _part(ctx)
    first: bytes = message.get("body", b"")
    if not message.get("more_body"):
        return _bounded(first, max_bytes)
    parts = [first]
    size = len(first)
    while message.get("more_body"):
        message = await _part(ctx)
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > max_bytes:
            raise errors.BodyTooLarge(f"request body exceeds {max_bytes} bytes")
    return b"".join(parts)


async def _part(ctx: RequestContext) -> Message:
    message = await ctx.receive()
    if message["type"] == "http.disconnect":
        raise errors.ClientGone("client closed the connection")
    return message


def _bounded(body: bytes, max_bytes: int) -> bytes:
    if len(body) > max_bytes:
        raise errors.BodyTooLarge(f"request body exceeds {max_bytes} bytes")
    return body
