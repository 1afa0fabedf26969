"""Who asks. A warm key, or token, costs one hash and a dictionary look-up; a cold key a single query."""

from __future__ import annotations

from typing import TYPE_CHECKING

from apps.domain import errors
from apps.gateway import bearers, networks
from apps.runtime import clock

if TYPE_CHECKING:
    from apps.domain.snapshot import Principal, Snapshot
    from apps.gateway.configuration import Configuration
    from apps.gateway.context import RequestContext


async def authenticate(ctx: RequestContext, configuration: Configuration) -> None:
    """Sets `principal` and `snapshot`.

    Raises AuthenticationFailed (no key, malformed, unknown, expired, revoked, inactive tenant or project) or
    PermissionDenied (a network that the pinned endpoint is not for; endpoint or network outside the key's scope).
    """
    principal = await _found(ctx, configuration)
    may_use(ctx, principal)
    _enter(ctx, principal, configuration)


async def identify(ctx: RequestContext, configuration: Configuration) -> None:
    """As `authenticate`, whichever endpoint the key is for."""
    _enter(ctx, await _found(ctx, configuration), configuration)


async def _found(ctx: RequestContext, configuration: Configuration) -> Principal:
    pinned = ctx.pinned
    if (
        pinned is not None
        and pinned.networks is not None
        and not networks.hold(ctx.scope.get("client"), pinned.networks)
    ):
        raise errors.PermissionDenied("this endpoint may not be used from this address")
    key = ctx.presented_key()
    if not key:
        raise errors.AuthenticationFailed("missing API key: send x-api-key or Authorization: Bearer")
    principal = ctx.holder = configuration.known(key) or await configuration.look_up(key)
    if principal is None or not works(principal, configuration.snapshot):
        raise errors.AuthenticationFailed(bearers.REFUSED)
    may_come(ctx, principal)
    return principal


def may_come(ctx: RequestContext, principal: Principal) -> None:
    """Raises PermissionDenied for an address that the key is not for."""
    if principal.networks is not None and not networks.hold(ctx.scope.get("client"), principal.networks):
        raise errors.PermissionDenied("this key may not be used from this address")


def _enter(ctx: RequestContext, principal: Principal, configuration: Configuration) -> None:
    ctx.principal = principal
    ctx.snapshot = configuration.snapshot
    if principal.key_id is None:
        return
    address = ctx.scope["client"][0] if ctx.scope.get("client") else ""
    configuration.uses.note(
        principal.key_id, at=ctx.started_at, address=address, agent=ctx.headers.get(b"user-agent", b"")
    )


def works(principal: Principal, snapshot: Snapshot) -> bool:
    """Now, as far as the key itself and its tenant and project go."""
    is_active = principal.tenant_id in snapshot.tenants and principal.project_id in snapshot.projects
    return is_active and principal.ends_at > clock.now()


def may_use(ctx: RequestContext, principal: Principal) -> None:
    """Raises PermissionDenied for an endpoint that the key is not for."""
    if principal.endpoints is not None and principal.endpoints.isdisjoint(_names(ctx)):
        raise errors.PermissionDenied(f"this key may not use the endpoint {' at '.join(_names(ctx)[:2])}")


def _names(ctx: RequestContext) -> tuple[str, ...]:
    """What a key's list may call the endpoint: any of them will do. The first two say it as it is now."""
    if ctx.pinned is None:
        return (ctx.endpoint,)
    return (ctx.endpoint, *(f"e/{name}" for name in (ctx.pinned.name, *ctx.pinned.former_names)))
