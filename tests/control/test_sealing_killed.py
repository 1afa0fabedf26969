"""Real processes that seal or roll up, killed with SIGKILL at every point that they pass; the next one finishes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection

from apps.usage import ledger, rollups
from apps.usage.books import verify
from apps.usage.models import Entry, HourlyRollup, SealedMonth
from tests.control.ledgers import Books, settle
from tests.control.test_sealing import LAST_BUT_ONE, OLD, sums

pytestmark = pytest.mark.django_db(transaction=True)

SEAL = (
    "from django.utils import timezone; from apps.usage import retention; retention.seal_due(timezone.now(), months=1)"
)
ROLL_UP = "from apps.usage import tasks; tasks.roll_up()"


@pytest.fixture
def books(transactional_db) -> Books:
    made = Books(at=OLD)
    made.fill()
    ledger.post([made.resolved(doubt) for doubt in made.doubts])
    settle()
    return made


def process(code: str, folder: Path, *, failpoint: str = "") -> int:
    """Runs it on the test's database; its exit status."""
    place = {key: value for key, value in connection.settings_dict.items() if isinstance(value, str | int)}
    url = f"sqlite:///{place['NAME']}"
    if connection.vendor == "postgresql":
        url = f"postgres://{place['USER']}:{place['PASSWORD']}@{place['HOST']}:{place['PORT']}/{place['NAME']}"
    environment = os.environ | {"WEIR_VAR": str(folder), "DATABASE_URL": url, "WEIR_FAILPOINT": failpoint}
    environment["DJANGO_SETTINGS_MODULE"] = "gateway_site.settings"
    command = [sys.executable, "-c", f"import django; django.setup(); {code}"]
    return subprocess.run(command, cwd=settings.BASE_DIR, env=environment, timeout=90).returncode


def true() -> bool:
    found = [finding for finding in verify.run().findings if finding.violations]
    assert found == []
    return True


POINTS = {
    "sqlite": [
        "seal.between_hours:kill",
        "seal.between_hours:kill:2",
        "rollup.before_commit:kill:2",
        "seal.before_finish:kill",
    ],
    "postgresql": ["seal.before_commit:kill", "rollup.before_commit:kill:2", "seal.before_finish:kill"],
}


@pytest.mark.parametrize("point", sorted({point for points in POINTS.values() for point in points}))
def test_a_seal_whose_process_is_killed_is_finished_by_the_next(books, tmp_path, point):
    if point not in POINTS[connection.vendor]:
        pytest.skip("the other database's")
    before, spent, rows = sums(), books.settled(), Entry.objects.count()
    assert process(SEAL, tmp_path, failpoint=point) == -signal.SIGKILL
    assert true()
    assert process(SEAL, tmp_path) == 0
    assert true()
    assert not Entry.objects.exists()
    assert (sums(), books.settled()) == (before, spent)
    (sealed,) = SealedMonth.objects.all()
    assert (sealed.month, sealed.rows) == (LAST_BUT_ONE, rows)
    assert sealed.finished_at is not None


@pytest.mark.parametrize("point", ["rollup.before_commit", "rollup.between_hours", "rollup.before_mark"])
def test_rollups_whose_process_is_killed_equal_the_ledger_in_the_end(books, tmp_path, point):
    HourlyRollup.objects.all().delete()
    rollups.Watermark.objects.update(at=None)
    assert process(ROLL_UP, tmp_path, failpoint=f"{point}:kill") == -signal.SIGKILL
    assert process(ROLL_UP, tmp_path) == 0
    assert process(ROLL_UP, tmp_path) == 0
    assert HourlyRollup.objects.exists()
    assert true()
