"""Who asks. A warm key costs one hash and a dictionary look-up; a cold one a single query."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from apps.domain import errors
from apps.runtime import clock

if TYPE_CHECKING:
    from apps.domain.snapshot import Principal, Snapshot
    from apps.gateway.configuration import Configuration
    from apps.gateway.context import RequestContext

# The same words for every cause: a caller without a valid key learns nothing about the keys that exist.
_REFUSED = "invalid API key"


async def authenticate(ctx: RequestContext, configuration: Configuration) -> None:
    """Sets `principal` and `snapshot`.

    Raises AuthenticationFailed (no key, malformed, unknown, expired, revoked, inactive tenant or project) or
    PermissionDenied (a network that the pinned endpoint is not for; endpoint or network outside the key's scope).
    """
    pinned = ctx.pinned
    if (
        pinned is not None
        and pinned.networks is not None
        and not _in_networks(ctx.scope.get("client"), pinned.networks)
    ):
        raise errors.PermissionDenied("this endpoint may not be used from this address")
    key = ctx.presented_key()
    if not key:
        raise errors.AuthenticationFailed("missing API key: send x-api-key or Authorization: Bearer")
    principal = configuration.known(key) or await configuration.look_up(key)
    snapshot = configuration.snapshot
    if principal is None or principal.ends_at <= clock.now() or _suspended(principal, snapshot):
        raise errors.AuthenticationFailed(_REFUSED)
    _within_scope(ctx, principal)
    ctx.principal = principal
    ctx.snapshot = snapshot
    address = ctx.scope["client"][0] if ctx.scope.get("client") else ""
    configuration.uses.note(
        principal.key_id, at=ctx.started_at, address=address, agent=ctx.headers.get(b"user-agent", b"")
    )


def _suspended(principal: Principal, snapshot: Snapshot) -> bool:
    return principal.tenant_id not in snapshot.tenants or principal.project_id not in snapshot.projects


def _within_scope(ctx: RequestContext, principal: Principal) -> None:
    if principal.endpoints is not None and principal.endpoints.isdisjoint(_names(ctx)):
        raise errors.PermissionDenied(f"this key may not use the endpoint {' at '.join(_names(ctx)[:2])}")
    if principal.networks is not None and not _in_networks(ctx.scope.get("client"), principal.networks):
        raise errors.PermissionDenied("this key may not be used from this address")


def _names(ctx: RequestContext) -> tuple[str, ...]:
    """What a key's list may call the endpoint: any of them will do. The first two say it as it is now."""
    if ctx.pinned is None:
        return (ctx.endpoint,)
    return (ctx.endpoint, *(f"e/{name}" for name in (ctx.pinned.name, *ctx.pinned.former_names)))


def _in_networks(client: tuple[str, int] | None, networks: tuple[str, ...]) -> bool:
    if client is None:
        return False
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):  # a socket for both families tells IPv4's so
        address = address.ipv4_mapped or address
    return any(address in ipaddress.ip_network(network) for network in networks)
