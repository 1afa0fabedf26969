"""What tests of events have in common: sinks that are files in a folder, and what stands in them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.utils import timezone

from apps.events import placing, relay, services
from apps.events.models import Cursor, Sink, Undelivered
from apps.usage.records import Outcome
from tests.money.calls import intent, outcome


def file_sink(name: str = "file", **fields: Any) -> Sink:
    return services.create_sink(actor=None, name=name, kind="file", target=name, **fields)


def told(folder: Path, name: str = "file") -> list[dict[str, Any]]:
    """What stands in the sink's files, in order."""
    files = sorted((folder / name).glob("*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


def sequences(events: Iterable[dict[str, Any]]) -> list[int]:
    return [int(event["sequence"]) for event in events]


def calls(tenant: int, *, of: int = 1, **fields: Any) -> Iterator[Outcome]:
    for _ in range(of):
        yield outcome(intent(tenant_id=tenant), cost=700, **fields)


def later() -> None:
    """Every pause is over, and every claim of a worker that is gone."""
    past = timezone.now() - timedelta(seconds=1)
    Undelivered.objects.filter(next_at__gt=past).update(next_at=past)
    Cursor.objects.update(next_at=None, held_until=past)


def run() -> int:
    """As the relay does, but one sink after the other: threads would not see what a test has not committed."""
    later()
    placing.place()
    return sum(relay.deliver(sink) for sink in relay.due())
