"""Where a caller is, and whether that is in the networks that something is for."""

from __future__ import annotations

import functools
import ipaddress

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def hold(client: tuple[str, int] | None, networks: tuple[str, ...]) -> bool:
    """`client` as ASGI has it; whoever's address is not known is nowhere."""
    if client is None:
        return False
    try:
        address = ipaddress.ip_address(client[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):  # a socket for both families tells IPv4's so
        address = address.ipv4_mapped or address
    return any(address in network for network in _read(networks))


@functools.lru_cache(maxsize=4_096)
def _read(networks: tuple[str, ...]) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(network) for network in networks)
