"""Which addresses may be called: public ones, and the private ranges that an administrator opened.

A host name is judged by every address it resolves to, and each address once more when its socket is made, so a name
that changes its answer between check and use gains nothing. Plain http is for opened private ranges only, unless a
guard allows it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# What no opened range may include: cloud metadata services, which hand out the machine's own credentials. Azure's wire
# server has an address like any public one.
_METADATA = frozenset(
    ipaddress.ip_address(text)
    for text in (
        *("169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
        *("fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254"),
    )
)
# Special ranges that some Python versions call global.
_SPECIAL = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "100.64.0.0/10",
        "192.0.0.0/24",
        "192.88.99.0/24",
        "198.18.0.0/15",
        "224.0.0.0/3",
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
    )
)
_UNICAST = ipaddress.ip_network("2000::/3")  # the only IPv6 block that IANA gives out for public use
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE = ipaddress.ip_network("::/96")
_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")
_NUMBER = re.compile(r"(0[xX][0-9A-Fa-f]*|[0-9]+)")
_LOOPBACK = ipaddress.ip_address("127.0.0.1")
WHERE = "under Routing → Allowed networks"  # as the admin's menu has it


class AddressRefused(OSError, ValueError):
    """The URL or address may not be called. An OSError, so that a connector reports it as a failed connection."""


class Target(NamedTuple):
    """What a URL points at. `address` is set when its host is a literal."""

    scheme: str
    host: str
    port: int | None
    address: Address | None


class Guard:
    """The rule under one set of opened ranges. Immutable: another set is another guard. `allows_plain`: public
    addresses may be called unencrypted."""

    def __init__(self, private_networks: Sequence[str] = (), *, allows_plain: bool = False) -> None:
        """Raises ValueError for anything that is not a CIDR."""
        self._allows_plain = allows_plain
        self.private_networks = tuple(private_networks)
        self._opened: tuple[Network, ...] = tuple(ipaddress.ip_network(cidr, strict=False) for cidr in private_networks)

    def check_url(self, url: str) -> Target:
        """The parsed target. Raises AddressRefused. Names are not resolved here."""
        target = parse(url)
        address = target.address
        if address is None and _is_local_name(target.host):
            address = _LOOPBACK
        if address is not None:
            self.check_address(address, encrypted=target.scheme == "https")
        elif target.scheme != "https" and not self._opened and not self._allows_plain:
            raise AddressRefused(f"Plain http is only for addresses in a private network that was opened {WHERE}.")
        return target

    def check_address(self, address: Address | str, *, encrypted: bool) -> None:
        """Raises AddressRefused unless the address is public and the call encrypted, or its range is opened."""
        if isinstance(address, str):
            address = _parse_address(address)
        faces = _faces(address)
        if any(face in _METADATA or face.is_multicast or face.is_unspecified for face in faces):
            raise AddressRefused(f"{address} may never be called.")
        if all(self._is_opened(face) for face in faces):
            return
        if not all(_is_public(face) or self._is_opened(face) for face in faces):
            raise AddressRefused(f"{address} is not a public address, and its network has not been opened {WHERE}.")
        if not encrypted and not self._allows_plain:
            raise AddressRefused(f"Plain http is only for addresses in a private network that was opened {WHERE}.")

    def _is_opened(self, address: Address) -> bool:
        return any(address in network for network in self._opened)


def check_url(url: str, private_networks: Sequence[str]) -> None:
    """For validation when a URL is saved. Raises AddressRefused with a message for the person."""
    Guard(private_networks).check_url(url)


def parse(url: str) -> Target:
    """Split a URL strictly: whatever two parsers could read differently is refused. Raises AddressRefused."""
    if not url.isascii() or any(character <= " " or character in '\\\x7f<>"^`{|}' for character in url):
        raise AddressRefused("The URL has characters that do not belong in one.")
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
    except ValueError as error:
        raise AddressRefused("The URL cannot be read.") from error
    if parts.scheme not in ("http", "https"):
        raise AddressRefused("The URL must begin with https:// or http://.")
    if "@" in parts.netloc:
        raise AddressRefused("The URL must not carry a user name or password.")
    if port == 0 or parts.netloc.endswith(":"):
        raise AddressRefused("The URL's port is not valid.")
    return Target(parts.scheme, host, port, literal(host, bracketed="[" in parts.netloc))


def literal(host: str, *, bracketed: bool) -> Address | None:
    """The address that a host spells; None for a name. Only the plain spelling of an address is accepted."""
    if bracketed:
        return _parse_address(host)
    if not _NAME.fullmatch(host) or len(host) > 253:
        raise AddressRefused("The URL's host name is not valid.")
    bare = host.removesuffix(".")
    if not _NUMBER.fullmatch(bare.rpartition(".")[2]):
        return None
    # Resolvers read 2130706433, 0177.1 and 0x7f.0.0.1 as addresses too; a provider's URL has no need of that.
    return _parse_address(bare)


def _parse_address(text: str) -> Address:
    try:
        address = ipaddress.ip_address(text)
    except ValueError as error:
        raise AddressRefused(f"{text[:64]} is not the plain spelling of an address.") from error
    if address.version == 6 and address.scope_id:
        raise AddressRefused("An address with a zone may not be called.")
    return address


def _is_local_name(host: str) -> bool:
    bare = host.removesuffix(".").lower()
    return bare == "localhost" or bare.endswith(".localhost")


def _faces(address: Address) -> tuple[Address, ...]:
    """The addresses that a packet to this one may reach: itself, or what a translator would take out of it."""
    if isinstance(address, ipaddress.IPv4Address):
        return (address,)
    if address.ipv4_mapped:
        return (address.ipv4_mapped,)
    if address.sixtofour:
        return (address, address.sixtofour)
    if address.teredo:
        return (address, *address.teredo)
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return (address, ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return (address,)


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return True  # judged by the address inside
        if address not in _UNICAST:
            return False
    return address.is_global and not any(
        address in network for network in _SPECIAL if network.version == address.version
    )
