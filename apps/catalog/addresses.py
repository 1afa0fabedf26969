"""Reading base URLs. Pure: nothing is resolved here; the guard in `outbound` checks what a name points to."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

_DEFAULT_PORTS = {"https": 443, "http": 80}
_NAME = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LOCAL_SUFFIXES = (".localhost", ".local", ".internal", ".lan", ".home.arpa", ".svc", ".test")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def normalized(base_url: str) -> str:
    """The URL with its host in lower case and no slash at the end. Raises ValueError saying what is wrong with it."""
    if any(symbol.isspace() or not symbol.isprintable() or symbol == "\\" for symbol in base_url):
        raise ValueError("An address has no spaces, backslashes or control characters.")
    parts = urlsplit(base_url)
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError("An address begins with https:// or http://.")
    if "@" in parts.netloc or parts.query or parts.fragment or "?" in base_url or "#" in base_url:
        raise ValueError("An address has no user, query or fragment; the credential is set apart.")
    name = _checked_host(parts)
    port = parts.port  # raises ValueError where it is no number up to 65535
    if port == 0:
        raise ValueError("There is no port 0.")
    shown = f"[{name}]" if ":" in name else name
    if port is not None and port != _DEFAULT_PORTS[parts.scheme]:
        shown = f"{shown}:{port}"
    return f"{parts.scheme}://{shown}{parts.path.rstrip('/')}"


def _checked_host(parts: SplitResult) -> str:
    name = (parts.hostname or "").removesuffix(".")
    if literal(name) is not None:
        return str(literal(name))
    # Resolvers read "127.1", "2130706433" and "0x7f.0.0.1" as addresses (WHATWG URL: a host that ends in a number).
    if not _NAME.fullmatch(name) or len(name) > 253 or _NUMERIC_LABEL.fullmatch(name.rpartition(".")[2]):
        raise ValueError(f"“{name}” is not a host.")
    return name


def host(base_url: str) -> str:
    """The host alone, without a port."""
    return urlsplit(base_url).hostname or ""


def origin(base_url: str) -> str:
    """Scheme, host and port."""
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.hostname}:{parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)}"


def literal(name: str) -> Address | None:
    """The address that `name` spells out; None for a name to be resolved. A mapped IPv6 address is its IPv4 one."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def is_local_name(name: str) -> bool:
    """Whether a name can only mean something on a private network."""
    return "." not in name or name.endswith(_LOCAL_SUFFIXES)


def is_within(address: Address, *, networks: tuple[str, ...]) -> bool:
    return any(
        address in network for network in map(ipaddress.ip_network, networks) if network.version == address.version
    )


def refusal(base_url: str, *, networks: tuple[str, ...], simulated: bool) -> str | None:
    """Why a well-formed address may not be a provider's; None: it may. `networks` are the private ranges opened."""
    parts = urlsplit(base_url)
    name = parts.hostname or ""
    address = literal(name)
    if simulated:
        return None
    if address is not None and not address.is_global:
        return None if is_within(address, networks=networks) else f"{address} is private: allow its network first."
    if parts.scheme == "https":
        return None
    if address is None and is_local_name(name) and networks:
        return None
    return "Plain http is for private networks that were allowed."
