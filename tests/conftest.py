"""What every test may rely on: the pass it runs in, and a test database that can always be dropped."""

from __future__ import annotations

import functools
import gc
import os
import re
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.db import connection

from tests import migrated
from tests.attack.figures import ROW, Figure
from tests.longest import LONGEST

TESTS = Path(__file__).parent
# Objects, beside those of twelve thousand collected tests, which are not looked through again.
COLLECT_AFTER = 10_000
PASSES = {
    "postgresql": "needs PostgreSQL",
    "sqlite": "needs SQLite",
    "redis": "needs Redis",
    "embedded": "needs a process without Redis",
    "once": "has nothing to do with the store",
}
SECOND = "WEIR_TEST_SECOND_PASS"  # set where PostgreSQL's pass went before
OF_SEVERAL = "WEIR_TEST_PASS"  # set where all passes are made: what this one does not run is not even read
MARKED = re.compile(r"^pytestmark = (?:\[[^\]]*\]|.*)", re.MULTILINE)
MARK = re.compile(r"\bmark\.(\w+)")
# They ask the store through services and selectors that others try on both: PostgreSQL's pass is enough.
CONTROL = (
    "accounts admin_ adoption alerts catalog_ clients config every_page fallbacks keyrings keys oidc peppers policies"
    " selfservice sign_in tenants totp vault"
)
# Tokens that are refused, and issuers that are away: those that are let in are tried on both.
TOKENS = ("gateway/test_jwt_attacks.py", "gateway/test_jwt_outages.py")
ASKED_ONCE = ("portal/", "api/", *(f"control/test_{name}" for name in CONTROL.split()), *TOKENS)
OPENED_TWICE = ("portal/test_who_may.py", "control/test_admin_pages.py", "control/test_admin_scale.py")


@functools.cache
def _present() -> dict[str, bool]:
    postgresql = connection.vendor == "postgresql"
    redis = bool(settings.REDIS_URL)
    return {
        "postgresql": postgresql,
        "sqlite": not postgresql,
        "redis": redis,
        "embedded": not redis,
        "once": not postgresql,
    }


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden snapshots anew; read the diff")


def _asks_alike(path: Path) -> bool:
    place = path.relative_to(TESTS).as_posix() if path.is_relative_to(TESTS) else ""
    return place.startswith(ASKED_ONCE) and place not in OPENED_TWICE


def _asked_once(item: pytest.Item) -> bool:
    return _asks_alike(item.path) and not any(item.get_closest_marker(name) for name in PASSES)


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """A file of which no test runs in this pass: reading and collecting them takes each worker half a minute."""
    if not (os.environ.get(OF_SEVERAL) and re.fullmatch(r"test_\w+\.py", collection_path.name)):
        return None
    return True if is_left_out(collection_path, _present(), is_second=bool(os.environ.get(SECOND))) else None


def is_left_out(path: Path, present: dict[str, bool], *, is_second: bool) -> bool:
    text = path.read_text(encoding="utf-8")
    whole = MARKED.search(text)
    if any(not present.get(name, True) for name in MARK.findall(whole[0] if whole else "")):
        return True
    return is_second and _asks_alike(path) and not PASSES.keys() & set(MARK.findall(text))


@pytest.hookimpl(trylast=True)  # the order is made last
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    present = _present()
    for item in items:
        item.user_properties += [(ROW, row) for mark in item.iter_markers("attack") for row in mark.args]
        for marker, reason in PASSES.items():
            if item.get_closest_marker(marker) and not present[marker]:
                item.add_marker(pytest.mark.skip(reason=reason))
        if os.environ.get(SECOND) and _asked_once(item):
            item.add_marker(pytest.mark.skip(reason="asks any store alike"))
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER)
    ranks = {TESTS / name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path, len(ranks)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """What a test has logged may hold half a character, which no worker could hand over."""
    report = yield
    report.sections = [(name, text.encode(errors="backslashreplace").decode()) for name, text in report.sections]
    return report


@pytest.fixture(scope="session")
def django_db_keepdb(django_db_modify_db_settings) -> bool:
    """Whether it is there already: SQLite's is a copy, as PostgreSQL's is of its template."""
    if connection.vendor == "postgresql":
        return False
    place = Path(connection.settings_dict["TEST"]["NAME"])
    for old in place.parent.glob(f"{place.name}*"):
        old.unlink()
    shutil.copy(migrated.sqlite(), place)
    return True


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup, django_db_blocker) -> Iterator[None]:
    """Async tests leave their threads' connections behind; PostgreSQL would refuse to drop the database."""
    from tests import flush

    flush.allow()
    yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


@pytest.fixture(scope="session")
def _redis() -> Iterator[Any]:
    """One client for all tests, or None."""
    if not settings.REDIS_URL:
        yield None
        return
    import redis

    with redis.Redis.from_url(settings.REDIS_URL) as client:
        yield client


@pytest.fixture(autouse=True)
def _empty_redis(_redis: Any) -> None:
    """Counters are keyed by row ids, and ids repeat from test to test."""
    if _redis is not None:
        _redis.flushdb()


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Notes what a test has measured, as a `Figure`'s arguments: `make attack` judges it and shows it in its table.

    Whatever may differ with the machine's speed is judged there alone, not in the test.
    """

    def note(*given: Any, **named: Any) -> None:
        record_property(Figure.PROPERTY, Figure(*given, **named).encoded())

    return note
