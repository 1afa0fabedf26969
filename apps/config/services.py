"""Writing the configuration out and bringing it in: all of it or nothing, recorded like any other change."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from django.db import transaction

from apps.config import document
from apps.config.document import Refused
from apps.config.kinds import Change, Run
from apps.config.secrets import Source
from apps.config.sections import all_kinds
from apps.policies.models import Assignment, CachePolicy
from apps.quotas.models import Budget, Limit

VERSION = 1


class Outcome(NamedTuple):
    """What was changed, or would be; `unchanged` and `left` by noun. Left: in the installation, not in the text.
    Lacking: secrets of what was made, that the text calls kept and that are not here."""

    changes: list[Change]
    unchanged: dict[str, int]
    left: dict[str, list[str]]
    lacking: list[str]


def export() -> str:
    """The same text for the same configuration. Without secrets, keys, usage, and what hangs on a key. A query for each
    kind of entry."""
    sections: dict[str, Any] = {"weir": VERSION}
    for kind in all_kinds(Source()):
        sections[kind.title] = kind.listed()
    return document.written(sections)


def left_out() -> dict[str, int]:
    """What is not written, as it is a key's: by noun."""
    counted = {
        "limits of keys": Limit.objects.exclude(key=None).count(),
        "budgets of keys": Budget.objects.exclude(key=None).count(),
        "policies of keys": Assignment.objects.exclude(key=None).count(),
        "cache policies of keys": CachePolicy.objects.exclude(key=None).count(),
    }
    return {noun: count for noun, count in counted.items() if count}


def bring_in(
    text: str,
    *,
    actor: Any,
    prune: bool = False,
    dry_run: bool = False,
    environment: Mapping[str, str] | None = None,
) -> Outcome:
    """Make what the text names as it says; fields and sections that it leaves out stay as they are. `prune`: what its
    lists lack is removed, or disabled where the books name it. `environment`: where `env:NAME` is read; None: neither
    that nor `file:/path` is.

    Raises Refused, and then nothing has changed.
    """
    said = document.parsed(text)
    kinds = {kind.title: kind for kind in all_kinds(Source(environment))}
    _check(said, known=kinds)
    run = Run(actor=actor, prune=prune)
    with transaction.atomic():
        for title, kind in kinds.items():
            if title in said:
                run.section(kind, said[title], parent=None, line=said.line_of(title))
        run.end()
        if dry_run:
            transaction.set_rollback(True)
    return Outcome(run.changes, dict(run.unchanged), dict(run.left), run.lacking)


def _check(said: document.Mapping, *, known: Mapping[str, Any]) -> None:
    if said.get("weir") != VERSION:
        raise Refused(f"line {said.line_of('weir')}: Begin with “weir: {VERSION}”, which says how to read the rest.")
    if unknown := [name for name in said if name != "weir" and name not in known]:
        there_are = ", ".join(known)
        raise Refused(f"line {said.line_of(unknown[0])}: There is no section “{unknown[0]}”; there are {there_are}.")
