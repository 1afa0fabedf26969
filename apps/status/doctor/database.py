"""The database: whether it answers, what it is, and what it will run out of."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.recorder import MigrationRecorder

from apps.runtime import walls
from apps.runtime.redact import redact
from apps.status.doctor.findings import Finding, fine, problem, warning
from apps.tenants import second_wall as wall
from apps.usage import partitions

LEAST_VERSION = 14  # of PostgreSQL
SKEW_SECONDS, GRAVE_SKEW_SECONDS = 2.0, 30.0
SLOW_MS = 20.0
FULL_PERCENT = 80
OLD_TRANSACTIONS = 1_000_000_000  # of two thousand million, after which PostgreSQL stops
NEEDED_CONNECTIONS = 12  # of one gateway process: threads, and a page or two
_PATIENCE = "SET LOCAL statement_timeout = '8s'"  # a pooler hands the connection on
_NO_WALL = "no second wall stands between tenants"
_AGAIN = "Then manage.py migrate, which does the rest (docs/security.md)."
_POOLED = (
    "If it keeps a connection for a session (pool_mode = session), WEIR_SECOND_WALL=1 for every process"
    " (docs/configuration.md, PostgreSQL)."
)
_MIGRATE = "manage.py migrate, once for an installation, before processes of this version."
_WORDS = {
    "password authentication failed": "The user or password in DATABASE_URL is wrong.",
    "does not exist": "Make that database or role, or name another in DATABASE_URL.",
    "connection refused": "Nobody listens there: is PostgreSQL up, and are host and port in DATABASE_URL right?",
    "too many": "Its connections are used up: raise max_connections, or put a pooler before it.",
    "certificate": "sslrootcert and the host's name in DATABASE_URL must fit its certificate.",
    "unable to open database file": "The folder of the file must be there, and be this user's.",
}


def reached() -> Iterator[Finding]:
    """Whether it answers at all, and has ever been made ready."""
    started = time.perf_counter()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, InterfaceError) as error:
        told = redact(" ".join(str(error).split()))[:300]
        cure = next((cure for words, cure in _WORDS.items() if words in told.lower()), "Look at its log.")
        yield problem("database", f"does not answer: {told}", cure)
        return
    took = (time.perf_counter() - started) * 1000
    if MigrationRecorder(connection).has_table():
        yield fine("database", f"{_name()} answers ({took:.0f} ms with connecting)")
    else:
        yield problem("database", f"{_name()} answers, and holds no tables of Weir's yet", _MIGRATE)


def examine() -> Iterator[Finding]:
    yield from _migrations()
    if connection.vendor != "postgresql":
        yield from _file()
        yield from second_wall()
        return
    for look in (_version, _speed, _clock, _connections, _months, _age, second_wall):
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute(_PATIENCE)
            found = [*look()]
        yield from found


def _name() -> str:
    version = connection.get_database_version()
    return f"{connection.display_name} {'.'.join(map(str, version))}"


def _migrations() -> Iterator[Finding]:
    executor = MigrationExecutor(connection)
    ahead = [f"{one.app_label}.{one.name}" for one, _ in executor.migration_plan(executor.loader.graph.leaf_nodes())]
    known = executor.loader.disk_migrations
    newer = sorted(".".join(one) for one in executor.loader.applied_migrations if one not in known)
    own = [name for name in newer if name.split(".")[0] in {label for label, _ in known}]
    if ahead:
        told = f"{len(ahead)} migrations are not applied, {ahead[0]} the first"
        yield problem("database", told, _MIGRATE)
    elif own:
        told = f"it was migrated by a newer version ({own[-1]})"
        yield warning("database", told, "Fine while versions change; else start processes of that version.")
    else:
        yield fine("database", "every migration is applied")


def _file() -> Iterator[Finding]:
    free = shutil.disk_usage(Path(settings.DATABASES["default"]["NAME"]).parent).free
    if free < 1 << 28:
        yield warning("database", f"{free >> 20} MB are free beside its file", "Make room.")


def _version() -> Iterator[Finding]:
    version = connection.get_database_version()[0]
    if version < LEAST_VERSION:
        yield problem("database", f"PostgreSQL {version} is too old", f"Weir needs {LEAST_VERSION} or newer.")


def second_wall() -> Iterator[Finding]:
    if connection.vendor != "postgresql":
        yield fine("database", "between tenants stands what Weir asks, and no second wall: only PostgreSQL has one")
        return
    if not settings.WEIR_SECOND_WALL:
        yield warning("database", f"{_NO_WALL}: WEIR_SECOND_WALL is off", "See docs/security.md.")
        return
    connection.ensure_connection()
    if not settings.WEIR_WALL_BEHIND_POOLER and walls.is_pooled(connection.connection):
        yield warning("database", f"{_NO_WALL}: a pooler stands before PostgreSQL", _POOLED)
        return
    lacking = wall.lacking()
    if lacking.for_who_may:
        statements = "; ".join(lacking.for_who_may)
        yield warning("database", f"{_NO_WALL}: this login lacks the role", f"As a superuser: {statements}. {_AGAIN}")
    elif lacking.unmended:
        yield warning("database", f"{_NO_WALL}: {lacking.unmended} tables are not as they must be", _AGAIN)
    else:
        yield fine("database", "a second wall stands between tenants")


def _speed() -> Iterator[Finding]:
    times = []
    for _ in range(5):
        started = time.perf_counter()
        _asked("SELECT 1")
        times.append((time.perf_counter() - started) * 1000)
    if min(times) > SLOW_MS:
        yield warning("database", f"a round trip takes {min(times):.0f} ms", "Put it nearer, or look at its load.")
    else:
        yield fine("database", f"a round trip takes {min(times):.1f} ms")


def _clock() -> Iterator[Finding]:
    before = time.time()
    theirs = float(_asked("SELECT extract(epoch FROM clock_timestamp())"))
    apart = (before + time.time()) / 2 - theirs
    told = f"this machine's clock is {apart:+.1f} s from the database's, which is believed where money is counted"
    cure = "Let chrony or systemd-timesyncd keep both."
    if abs(apart) >= GRAVE_SKEW_SECONDS:
        yield problem("clock", told, cure)
    elif abs(apart) >= SKEW_SECONDS:
        yield warning("clock", told, cure)
    else:
        yield fine("clock", "this machine's clock and the database's agree")


def _connections() -> Iterator[Finding]:
    most = int(_asked("SHOW max_connections"))
    kept = int(_asked("SHOW superuser_reserved_connections"))
    used = int(_asked("SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"))
    left = most - kept - used
    told = f"{used} of {most - kept} connections are in use"
    cure = "Raise max_connections, or put a pooler before it (docs/configuration.md, PostgreSQL)."
    if left < NEEDED_CONNECTIONS:
        needs = f"a gateway process needs up to {NEEDED_CONNECTIONS}"
        yield problem("database", f"{told}; {needs}", cure)
    elif 100 * used > FULL_PERCENT * (most - kept):
        yield warning("database", told, cure)
    else:
        yield fine("database", told)


def _months() -> Iterator[Finding]:
    now = datetime.now(UTC)
    here = partitions.month_of(now)
    wanted = [partitions.name_of(here), partitions.name_of(partitions.after(here))]
    missing = [name for name in wanted if name not in partitions.names()]
    if not missing:
        yield fine("database", "the ledger has a partition for this month and the next")
        return
    make = problem if wanted[0] in missing else warning
    yield make("database", f"the ledger lacks {', '.join(missing)}", "The worker makes it once a day: does that run?")


def _age() -> Iterator[Finding]:
    if _asked("SHOW autovacuum") != "on":
        yield problem(
            "database", "autovacuum is off", "Turn it on: tables grow without it, and one day nothing is written."
        )
    age = int(_asked("SELECT max(age(datfrozenxid)) FROM pg_database"))
    if age > OLD_TRANSACTIONS:
        told = f"its oldest transaction is {age:,} back, of 2,000,000,000"
        yield problem("database", told, "VACUUM (FREEZE), and see why autovacuum does not get there.")
    else:
        yield fine("database", "autovacuum keeps up")


def _asked(question: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(question)
        return str(cursor.fetchone()[0])
