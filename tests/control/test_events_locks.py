"""Who edits a sink while the relay writes down what it took: neither is ended for the other's sake."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connection, transaction
from django.utils import timezone

from apps.api.resources.sinks import Sinks
from apps.events import placing, services
from apps.events.models import Cursor, Event, Sink, Undelivered
from tests.control.events import file_sink
from tests.servers import until

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.postgresql]  # the other locks the whole file

_WAITS = "SELECT count(*) FROM pg_locks WHERE NOT granted"


@pytest.fixture
def sink(settings, tmp_path: Path) -> Iterator[Sink]:
    settings.WEIR_EVENT_FOLDERS = [str(tmp_path)]
    made = file_sink()
    Event.objects.bulk_create(Event(kind="key.created", tenant_id=1, data={}) for _ in range(2))
    placing.place()
    return made


def somebody_waits() -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_WAITS)
        return bool(cursor.fetchone()[0])


def in_a_thread(do: Callable[[], object]) -> None:
    try:
        do()
    finally:
        connection.close()


@transaction.atomic
def patch(sink: Sink) -> None:
    """As the management API does it."""
    Sinks().lock(sink)
    services.update_sink(sink, actor=None, name="renamed")


@pytest.mark.parametrize("does", ["update", "remove", "replay", "patch", "retire"])
def test_the_relay_writes_while_somebody_edits(sink, does):
    edits: dict[str, Callable[[], object]] = {
        "update": lambda: services.update_sink(sink, actor=None, name="renamed"),
        "remove": lambda: services.remove_sink(sink, actor=None),
        "replay": lambda: services.replay(sink, actor=None, since=timezone.now().replace(year=2020)),
        "patch": lambda: patch(sink),
        "retire": lambda: services.retire(sink, why="wants nothing"),
    }
    event = Event.objects.get(position=2)
    with ThreadPoolExecutor(max_workers=1) as threads:
        with transaction.atomic():  # as `Carrier._write` does it
            Cursor.objects.filter(sink=sink).update(position=2)
            edit = threads.submit(in_a_thread, edits[does])
            until(somebody_waits)
            Undelivered.objects.create(sink=sink, event=event, position=2, tenant_id=1)
        edit.result()
    assert Sink.objects.filter(pk=sink.pk).exists() is (does != "remove")
