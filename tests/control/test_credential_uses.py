"""When a credential was last used, as it is written and shown."""

from __future__ import annotations

import datetime

import pytest

from apps.audit.models import Record
from apps.catalog import uses
from tests import factories

pytestmark = pytest.mark.django_db
NOON = datetime.datetime(2026, 8, 1, 12, tzinfo=datetime.UTC)


@pytest.fixture
def credential():
    return factories.credential()


def test_last_use_is_kept_at_the_grain_of_a_minute_and_never_goes_back(credential):
    def touched(seconds: int) -> float:
        uses.touch({credential.pk: NOON + datetime.timedelta(seconds=seconds), -1: NOON})
        credential.refresh_from_db()
        return (credential.last_used_at - NOON).total_seconds()

    recorded = Record.objects.count()
    assert [touched(seconds) for seconds in (0, 59, 60, -600)] == [0, 0, 60, 60]
    assert Record.objects.count() == recorded


def test_a_process_tells_once_a_minute_and_again_what_could_not_be_written(credential, monkeypatch):
    known, written = uses.Uses(), []

    def touch(found):
        written.append(found)
        if len(written) == 1:
            raise OSError("the database is away")

    monkeypatch.setattr(uses, "touch", touch)
    for after in (0, 30, 59):
        known.note(credential.pk, at=NOON.timestamp() + after)
    with pytest.raises(OSError):
        known.flush()
    known.flush()
    known.flush()
    assert written == [{credential.pk: NOON}, {credential.pk: NOON}, {}]
