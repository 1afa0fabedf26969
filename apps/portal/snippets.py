"""Lines to paste, as tabs: one for each program. The words are `catalog.clients`'s."""

from __future__ import annotations

from typing import NamedTuple

from django.conf import settings

from apps.catalog import clients


class Tab(NamedTuple):
    title: str
    snippets: list[clients.Snippet]


def target(*, key: str | None = None, model: str | None = None) -> clients.Target:
    """Of this installation. Placeholders stand for what is None."""
    return clients.Target(base=settings.WEIR_BASE_URL.rstrip("/"), key=key or clients.KEY, model=model or clients.MODEL)


def tabs(*, key: str | None = None, model: str | None = None) -> list[Tab]:
    """For every program: `{% include "portal/snippets.html" with tabs=… %}`, once a page."""
    return _by_title(clients.snippets(target(key=key, model=model)))


def of_question(question: clients.Question, *, model: str) -> list[Tab]:
    """The same question, as a program with a key of its own asks it."""
    return _by_title(clients.code(target(model=model), question))


def _by_title(snippets: list[clients.Snippet]) -> list[Tab]:
    found: dict[str, list[clients.Snippet]] = {}
    for snippet in snippets:
        found.setdefault(snippet.title, []).append(snippet)
    return [Tab(title, together) for title, together in found.items()]
