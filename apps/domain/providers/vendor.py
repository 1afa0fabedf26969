"""What a vendor is, as far as a request to it is concerned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

import msgspec

HeaderList = tuple[tuple[str, str], ...]

PATHS: Mapping[str, str] = MappingProxyType({"anthropic_messages": "/v1/messages", "openai_chat": "/chat/completions"})


def bearer(secret: str) -> HeaderList:
    return (("authorization", f"Bearer {secret}"),) if secret else ()


def api_key(secret: str) -> HeaderList:
    return (("x-api-key", secret),) if secret else ()


class Vendor(msgspec.Struct, frozen=True, kw_only=True):
    """`authorize` makes the credential's headers. `forwards` are prefixes of caller's headers that go on unchanged;
    `defaults` are sent where the caller has none of that name. `trace_header` takes the gateway's own id of a call.

    Quirks are explained where they are heeded: `protocols/openai_chat`.
    """

    slug: str
    label: str
    protocols: tuple[str, ...]
    authorize: Callable[[str], HeaderList]
    base_url: str = ""
    forwards: tuple[str, ...] = ()
    defaults: HeaderList = ()
    trace_header: str | None = None
    paths: Mapping[str, str] = PATHS
    quirks: frozenset[str] = frozenset()

    def url(self, base_url: str, protocol: str) -> str:
        """Where completions of `protocol` are asked for. OpenAI's base URLs end in a version, Anthropic's need not."""
        return _joined(base_url, self.paths[protocol])

    def headers(self, secret: str, *, client: Mapping[bytes, bytes]) -> list[tuple[str, str]]:
        """`client`: the caller's headers by lower-case name, of which only the vendor's own are taken."""
        wanted = _encoded(self.forwards)
        headers = [*self.authorize(secret)]
        headers += [header for header in self.defaults if header[0].encode() not in client]
        for name, value in client.items():
            if name.startswith(wanted):
                headers.append((name.decode("latin-1"), value.decode("latin-1")))
        return headers


@lru_cache(maxsize=64)
def _encoded(prefixes: tuple[str, ...]) -> tuple[bytes, ...]:
    return tuple(prefix.encode() for prefix in prefixes)


@lru_cache(maxsize=1024)
def _joined(base_url: str, path: str) -> str:
    base = base_url.rstrip("/")
    return base + (path.removeprefix("/v1") if base.endswith("/v1") else path)
