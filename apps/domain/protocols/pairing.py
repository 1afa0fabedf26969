"""Calls of tools and their results in a history: each call is answered once, and each result answers a call.

Some vendors do not look. What they would say to half a history is anybody's guess, so it is refused as the caller's own
vendor would refuse it.
"""

from __future__ import annotations

from collections.abc import Callable

from apps.domain.errors import InvalidRequest

Blame = Callable[[str, str], InvalidRequest]
"""Of a place in the request, and an id."""


class Pairs:
    """One history, told in order."""

    def __init__(self, *, unanswered: Blame, unexpected: Blame) -> None:
        self._open: list[tuple[str, str]] = []  # ids may come twice, or be empty: some vendors give none
        self._unanswered = unanswered
        self._unexpected = unexpected

    def call(self, id_: str, *, at: str) -> None:
        self._open.append((id_, at))

    def result(self, id_: str, *, at: str) -> None:
        """Raises InvalidRequest where nobody has called."""
        for position, (called, _) in enumerate(self._open):
            if called == id_:
                del self._open[position]
                return
        raise self._unexpected(at, id_)

    def end(self) -> None:
        """Of the history, or of the time to answer. Raises InvalidRequest for a call that is still open."""
        if self._open:
            id_, at = self._open[0]
            raise self._unanswered(at, id_)
