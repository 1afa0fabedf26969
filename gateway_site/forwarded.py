"""Who calls, by what proxies say: those that are named are believed, and nobody else."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Sequence

FOR = b"x-forwarded-for"
HEADERS = frozenset(
    {FOR, b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-prefix", b"x-real-ip"}
    | {b"forwarded"}
)
_MAPPED = "::ffff:"  # IPv4's addresses, as a socket for both families tells them
_MOST_HOPS = 32  # that are looked at: whoever calls may have written thousands
_LONGEST = 64  # that is remembered: whoever writes it may write much

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def plain(host: str) -> str:
    return host.removeprefix(_MAPPED) if "." in host else host


class Proxies:
    """Addresses and ranges, as `WEIR_TRUSTED_PROXIES` has them."""

    def __init__(self, named: Sequence[str]) -> None:
        self.are_named = bool(named)
        self.are_all = "*" in named
        self._networks = [ipaddress.ip_network(each, strict=False) for each in named if each != "*"]
        self._known = functools.lru_cache(maxsize=4_096)(self._caller)

    def spelled_out(self) -> list[str]:
        """The same for Uvicorn, which compares what it is given as it is written."""
        if self.are_all:
            return ["*"]
        mapped = [
            f"{_MAPPED}{network.network_address}/{96 + network.prefixlen}"
            for network in self._networks
            if network.version == 4
        ]
        return [*map(str, self._networks), *mapped]

    def hold(self, host: str) -> bool:
        address = _read(host)
        return self.are_all or (address is not None and self._has(address))

    def caller(self, hops: bytes) -> bytes:
        """The last of these addresses that is no proxy's: what is left of it, anybody may have written. Of proxies
        alone the first; of what is no address, or too far from the end, and all before it, nothing is believed. Empty:
        there is none."""
        return self._known(hops) if len(hops) <= _LONGEST else self._caller(hops)

    def _caller(self, hops: bytes) -> bytes:
        found = b""
        for hop in reversed(hops.rsplit(b",", _MOST_HOPS)[-_MOST_HOPS:]):
            if (address := _read(_without_port(hop.decode("latin-1").strip(" \t")))) is None:
                break
            found = str(address).encode()
            if not self._has(address):
                break
        return found

    def _has(self, address: _Address) -> bool:
        return any(address in network for network in self._networks)


def _without_port(written: str) -> str:
    """Of `1.2.3.4:80`, `[::1]` and `[::1]:80`; an address of IPv6 without brackets has none."""
    if written.startswith("["):
        inside, closed, port = written[1:].partition("]")
        return inside if closed and (not port or port.startswith(":")) else ""
    return written.partition(":")[0] if written.count(":") == 1 else written


def _read(written: str) -> _Address | None:
    if "%" in written:  # the zone of another machine's interface
        return None
    try:
        address = ipaddress.ip_address(written)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        return address.ipv4_mapped or address
    return address
