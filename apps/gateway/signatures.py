"""Whose signatures have gone by: which family made what a conversation carries. Clients are stateless, so somebody must
know."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from apps.domain import signatures as signed
from apps.domain.providers import families

if TYPE_CHECKING:
    from collections.abc import Iterable

    from apps.domain.snapshot import Provider

MOST = 50_000  # some 150 bytes each


class Signed(NamedTuple):
    """What a conversation carries: every mark, in order, and the family of those whose maker is known."""

    marks: list[bytes]
    families: dict[bytes, str]

    @property
    def by(self) -> str:
        """Who signed last; "": nobody knows."""
        return next((self.families[mark] for mark in reversed(self.marks) if mark in self.families), "")

    def foreign_to(self, provider: Provider) -> frozenset[bytes]:
        """What others than this one have signed. What nobody knows is left to the provider's own judgement."""
        own = families.family(provider)
        return frozenset(mark for mark, family in self.families.items() if family != own)

    def notes(self, provider: Provider, *, is_first: bool) -> list[str]:
        """What comes of it, for the ledger."""
        own = families.family(provider)
        told = [f"signed by {own}: tried first"] if is_first and self.by == own else []
        dropped = [self.families[mark] for mark in self.marks if self.families.get(mark, own) != own]
        return told + [f"thinking of {family} dropped: {dropped.count(family)}" for family in dict.fromkeys(dropped)]


class Signatures:
    """Of one process, on its event loop. The family of each mark (`domain/signatures`); the oldest go first."""

    def __init__(self, *, most: int = MOST) -> None:
        self._most = most
        self._families: dict[bytes, str] = {}

    def remember(self, family: str, marks: Iterable[bytes]) -> None:
        known = self._families
        for mark in marks:
            known.pop(mark, None)
            known[mark] = family
        while len(known) > self._most:
            del known[next(iter(known))]

    def of(self, body: bytes) -> Signed | None:
        """What a request's body carries; None: nothing, as nearly always."""
        marks = signed.marks(body)
        if not marks:
            return None
        return Signed(marks, {mark: self._families[mark] for mark in marks if mark in self._families})


signatures = Signatures()
"""This process's."""
