"""Base URLs in one spelling, and what secrets are bound to in them. Which may be called is the outbound guard's."""

from __future__ import annotations

from urllib.parse import urlsplit

from apps.outbound import guard

_DEFAULT_PORTS = {"https": 443, "http": 80}


def normalized(base_url: str) -> str:
    """Host in lower case, no default port, no slash at the end. Raises ValueError with a message for the person."""
    target = guard.parse(base_url)
    if "?" in base_url or "#" in base_url:
        raise ValueError("The URL must not carry a query or a fragment.")
    name = str(target.address) if target.address is not None else target.host.lower().removesuffix(".")
    if ":" in name:
        name = f"[{name}]"
    if target.port is not None and target.port != _DEFAULT_PORTS[target.scheme]:
        name = f"{name}:{target.port}"
    return f"{target.scheme}://{name}{urlsplit(base_url).path.rstrip('/')}"


def host(base_url: str) -> str:
    """The host alone, without a port."""
    return urlsplit(base_url).hostname or ""


def origin(base_url: str) -> str:
    """Scheme, host and port of a normalized URL."""
    parts = urlsplit(base_url)
    return f"{parts.scheme}://{parts.netloc}"


def is_private(base_url: str) -> bool:
    """Whether calls there need a network opened, as far as the URL tells: no name is resolved."""
    try:
        guard.check_url(base_url, ())
    except guard.AddressRefused:
        return True
    return False
