"""What events need of apps that stand above them, handed in by those when they are ready.

Each has one who knows it: the catalog seals secrets and knows which private networks are open, tenants know their own
short names, and a family of events whose rows only refer to something is rendered by the app that has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol
from uuid import UUID


class Rendered(NamedTuple):
    """What an event says beside its kind, tenant and position."""

    subject: str
    data: Mapping[str, Any]


class Vault(Protocol):
    """Seals what belongs to a row of `events_sink`. `binding`: whom it may be shown to."""

    def seal(self, secret: str, *, sink: int, binding: str) -> str: ...

    def open(self, sealed: str, *, sink: int, binding: str) -> str:
        """Raises SecretAway."""


class SecretAway(Exception):
    """A secret does not open at present, or never again."""


# By the id of the row that is referred to. What is missing is there no more.
Renderer = Callable[[Sequence[UUID]], Mapping[UUID, Rendered]]

vault: Vault | None = None
networks: Callable[[], tuple[str, ...]] = tuple
renderers: dict[str, Renderer] = {}
_slugs: Callable[[Iterable[int]], Mapping[int, str]] | None = None


def keep_secrets(with_vault: Vault, *, opened: Callable[[], tuple[str, ...]]) -> None:
    """`opened`: the private networks that sinks may lie in, as CIDRs."""
    global vault, networks
    vault, networks = with_vault, opened


def name_tenants(by: Callable[[Iterable[int]], Mapping[int, str]]) -> None:
    global _slugs
    _slugs = by


def slugs(tenants: Iterable[int]) -> Mapping[int, str]:
    """The short names of those that there are."""
    return _slugs(tenants) if _slugs is not None else {}


def render(family: str, by: Renderer) -> None:
    """`family` is what stands before the dot in a kind's name."""
    renderers[family] = by
