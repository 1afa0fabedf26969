"""A journal to play with, and what lies in its file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from apps.usage import pages
from apps.usage.journal import Journal
from apps.usage.records import Checkpoint, Intent

Found = TypeVar("Found")


def play(scenario: Callable[[Journal], Awaitable[Found]], journal: Journal) -> Found:
    """On a loop of its own, with the journal closed at its end."""

    async def run() -> Found:
        await journal.start()
        try:
            return await scenario(journal)
        finally:
            await journal.close()

    return asyncio.run(run())


def attempts(journal: Journal) -> list[tuple[Intent, Checkpoint | None]]:
    file = pages.File(journal.path)
    found = file.open_attempts()
    file.close()
    return found
