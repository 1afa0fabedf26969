"""What no pattern finds, as names are: asked of a Presidio analyzer, where an installation has one.

Its address is the installation's own, and it is asked as providers are, by the same guard. One time limit is for all of
a request, and so many are asked about at once: whatever is beyond is as if it had not answered. It is told the texts of
the request and nothing of who asks; what it answers is counted by kind and forgotten.
https://microsoft.github.io/presidio/api-docs/api-docs.html
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from typing import TYPE_CHECKING, Protocol

import msgspec
import structlog
from django.conf import settings

from apps.domain import errors
from apps.domain.guardrails import reading
from apps.domain.guardrails.kinds import KINDS
from apps.domain.snapshot import Timeouts
from apps.outbound.client import Outbound

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

log = structlog.get_logger(__name__)

PIECE = 20_000  # characters that are sent at a time; a model's time grows with them
MOST_AT_ONCE = 16
_OVERLAP = 100
_MOST_BYTES = 4 * 1024 * 1024
_LEAST_SCORE = 0.4


class _Finding(msgspec.Struct):
    entity_type: str
    end: int


_findings = msgspec.json.Decoder(list[_Finding])


class Unanswered(Exception):
    """Why, for the log."""


class Names(Protocol):
    async def found(self, body: bytes, kinds: Collection[str], *, notes: list[str]) -> Counter[str]:
        """How often each of these kinds is in a request, those that others find left out; `notes`: what was not looked
        for, and why. Raises Unavailable."""


class Presidio:
    """On one event loop. `url` "": nobody is asked. `fails_open`: who cannot be asked holds up no call."""

    def __init__(self, outbound: Outbound, *, url: str, seconds: float, language: str, fails_open: bool) -> None:
        self._outbound = outbound
        self._url = f"{url.rstrip('/')}/analyze" if url else ""
        self._seconds = seconds
        self._language = language
        self._fails_open = fails_open
        self._asking = 0

    async def found(self, body: bytes, kinds: Collection[str], *, notes: list[str]) -> Counter[str]:
        wanted = entities(kinds)
        if not wanted:
            return Counter()
        try:
            return await self._asked(body, wanted)
        except (Unanswered, errors.UpstreamError, msgspec.MsgspecError, UnicodeError, RecursionError) as error:
            log.warning("names.unanswered", reason=str(error) or type(error).__name__)
        if not self._fails_open:
            told = "a policy has to look for names in the request, and who finds them does not answer"
            raise errors.Unavailable(told, code="policy_unanswered", retry_after=1)
        notes.append(f"not looked for: {', '.join(sorted(wanted.values()))}; nobody answered")
        return Counter()

    async def _asked(self, body: bytes, wanted: dict[str, str]) -> Counter[str]:
        if not self._url:
            raise Unanswered("WEIR_PRESIDIO_URL is not set")
        if self._asking >= MOST_AT_ONCE:
            raise Unanswered(f"{MOST_AT_ONCE} requests are being asked about")
        found: Counter[str] = Counter()
        until = time.monotonic() + self._seconds
        self._asking += 1
        try:
            for piece, known in _pieces(await asyncio.to_thread(reading.texts, body)):
                told = await self._told(piece, sorted(wanted), seconds=until - time.monotonic())
                found.update(one.entity_type for one in told if one.end > known)
        finally:
            self._asking -= 1
        return Counter({wanted[entity]: count for entity, count in found.items() if entity in wanted})

    async def _told(self, text: str, entities: list[str], *, seconds: float) -> list[_Finding]:
        if seconds <= 0:
            raise Unanswered(f"{self._seconds:g} s did not suffice")
        question = {
            "text": text,
            "language": self._language,
            "entities": entities,
            "score_threshold": _LEAST_SCORE,
        }
        answer = await self._outbound.open(
            "POST",
            self._url,
            headers=[("content-type", "application/json"), ("accept", "application/json")],
            body=msgspec.json.encode(question),
            timeouts=Timeouts(connect=seconds, first_byte=seconds, idle=seconds, total=seconds),
        )
        try:
            if answer.status != 200:
                raise Unanswered(f"status {answer.status}")
            return _findings.decode(await answer.read(_MOST_BYTES))
        finally:
            await answer.close()


def entities(kinds: Collection[str]) -> dict[str, str]:
    """Those kinds that are an analyzer's to find, by what it calls them."""
    return {known.entity: kind for kind in kinds if (known := KINDS.get(kind)) is not None and known.entity}


def analyzer(outbound: Outbound) -> Presidio:
    """The installation's own."""
    return Presidio(
        outbound,
        url=settings.WEIR_PRESIDIO_URL,
        seconds=settings.WEIR_PRESIDIO_SECONDS,
        language=settings.WEIR_PRESIDIO_LANGUAGE,
        fails_open=settings.WEIR_PRESIDIO_FAILURE == "open",
    )


class Apart:
    """Asked from a process that is no gateway, by a connection of its own."""

    def __init__(self, private_networks: Sequence[str]) -> None:
        self._private_networks = private_networks

    async def found(self, body: bytes, kinds: Collection[str], *, notes: list[str]) -> Counter[str]:
        if not entities(kinds):
            return Counter()
        outbound = Outbound(private_networks=self._private_networks)
        try:
            return await analyzer(outbound).found(body, kinds, notes=notes)
        finally:
            await outbound.close()


def _pieces(texts: list[str]) -> Iterator[tuple[str, int]]:
    """Each with the end of the one before, so that no name is lost between two, and how long that is."""
    text = "\n".join(texts)
    for start in range(0, len(text), PIECE):
        known = min(start, _OVERLAP)
        yield text[start - known : start + PIECE], known
