"""Where a caller is, and whether that is in the networks that something is for."""

from __future__ import annotations

import functools
import ipaddress
from typing import NamedTuple

Client = tuple[str, int] | None
"""A caller's address and port as ASGI has them; None: not known."""


class _Anywhere(NamedTuple):
    host: str
    port: int


ANYWHERE: Client = _Anywhere("", 0)
"""Of a call that nobody makes, and of which nobody says where it would come from: this very object is in all
networks."""

_Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def hold(client: Client, networks: tuple[str, ...]) -> bool:
    """Whoever's address is not known is nowhere."""
    if client is None or client is ANYWHERE:
        return client is ANYWHERE
    return _within(client[0], networks)


@functools.lru_cache(maxsize=16_384)
def _within(host: str, networks: tuple[str, ...]) -> bool:
    """Callers come again from where they are; to read an address takes 20 times as long as to remember it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):  # a socket for both families tells IPv4's so
        address = address.ipv4_mapped or address
    return any(address in network for network in _read(networks))


@functools.lru_cache(maxsize=4_096)
def _read(networks: tuple[str, ...]) -> tuple[_Network, ...]:
    return tuple(ipaddress.ip_network(network) for network in networks)
