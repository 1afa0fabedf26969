"""The second wall between tenants, where the database is PostgreSQL: what a thread asks on behalf of a member is asked
in a role to which the rows of others do not exist.

Which rows those are, the database knows by its policies (`tenants.row_security`). Here is only who stands behind the
wall: the role, and the person and the tenants that it is told of. Both belong to the thread's connection, so that a
connection that is opened anew stands where the one before stood. See docs/decisions/0053.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.db.backends.signals import connection_created
from psycopg.pq import TransactionStatus

log = structlog.get_logger(__name__)

TENANTS, PERSON = "weir.tenants", "weir.person"
# Of the owner of Weir's tables, so that two installations in one cluster have two.
ROLE = "left(pg_get_userbyid(relowner), 56) || '_member'"
OWNED = "'tenants_tenant'::regclass"
# No row, and nothing is raised, where there is no such role, it has been given no rights, this login may not take it,
# or another answers than the driver has connected to: what a pooler is told, its next client may be asked by. The first
# two are what is given back. `"$user"` of the search path is a schema that the role would look for by its own name.
_RAISE = f"""SELECT coalesce(nullif(current_setting('role'), rolname), 'none'), current_setting('search_path'),
    set_config('search_path', (SELECT string_agg(quote_ident(name), ', ') FROM unnest(current_schemas(false)) AS name),
        false),
    set_config('role', rolname, false), set_config('{TENANTS}', %s, false), set_config('{PERSON}', %s, false)
    FROM pg_class JOIN pg_roles ON rolname = {ROLE}
    WHERE pg_class.oid = {OWNED} AND pg_has_role(session_user, pg_roles.oid, %s)
        AND has_table_privilege(pg_roles.oid, pg_class.oid, 'SELECT') AND (%s OR pg_backend_pid() = %s)"""  # noqa: S608
_LOWER = f"""SELECT set_config('role', %s, false), set_config('search_path', %s, false),
    set_config('{TENANTS}', '', false), set_config('{PERSON}', '', false)"""
_TOLD_SECONDS = 60.0
Piece = TypeVar("Piece")


class Wall(NamedTuple):
    """Whose rows are seen: of tenants, and what is a person's own. Neither: none at all."""

    person: int | None = None
    tenants: frozenset[int] = frozenset()


class _Behind(NamedTuple):
    """The driver's connection that is in the role now, and what it was before."""

    driver: Any
    role: str
    path: str


class _Here(threading.local):
    """`behind` None: the wall is not up, which it cannot be where there is no such role."""

    wall: Wall | None = None
    behind: _Behind | None = None


_here = _Here()
_told_at = float("-inf")


def current() -> Wall | None:
    """None: this thread asks for the installation."""
    return _here.wall


def may_be(version: int) -> str:
    """What PostgreSQL of that version calls it that one may take a role."""
    return "SET" if version >= 160_000 else "MEMBER"


def is_up() -> bool:
    return _here.behind is not None


def is_pooled(driver: Any) -> bool:
    """Whether somebody stands between this connection of the driver's and PostgreSQL: poolers name themselves to be
    reached when a statement is to be cancelled, or nobody."""
    return bool(driver.execute("SELECT pg_backend_pid()").fetchone()[0] != driver.info.backend_pid)


def stand(*, person: int | None = None, tenants: Iterable[int] = ()) -> None:
    """Behind the wall, until `leave`, which must come."""
    database = connections[DEFAULT_DB_ALIAS]
    if database.vendor != "postgresql" or not settings.WEIR_SECOND_WALL:
        return
    _here.wall = Wall(person, frozenset(tenants))
    if database.connection is not None and not database.in_atomic_block:
        database.close_if_health_check_failed()
    _raise()


def leave() -> None:
    """Whatever has become of the connection: one that cannot be told is closed."""
    _here.wall = None
    try:
        _lower()
    except Error:
        connections[DEFAULT_DB_ALIAS].close()


def remembered(pieces: Iterator[Piece]) -> Iterator[Piece]:
    """Each of them is made where this thread stands now, whenever and in whichever thread it is asked for: an answer
    that is sent piece by piece outlives its request."""
    wall = _here.wall
    return pieces if wall is None else _behind(wall, pieces)


def _behind(wall: Wall, pieces: Iterator[Piece]) -> Iterator[Piece]:
    while True:
        before = _here.wall
        stand(person=wall.person, tenants=wall.tenants)
        try:
            piece = next(pieces)
        except StopIteration:
            return
        finally:
            if before is None:
                leave()
            else:
                stand(person=before.person, tenants=before.tenants)
        yield piece


@contextlib.contextmanager
def as_installation() -> Iterator[None]:
    """The way out, for what serves a member and has to see more than a member: `tests/architecture` has a list of all
    that take it, with the reason of each. Nothing that a member has written may decide what is asked inside."""
    wall = _here.wall
    if wall is None:
        yield
        return
    database = connections[DEFAULT_DB_ALIAS]
    before, was_behind = database.connection, _here.behind
    _here.wall = None
    try:
        _lower()
    except Error:
        _here.wall = wall
        if before.info.transaction_status == TransactionStatus.INERROR:
            _here.behind = was_behind
        else:
            database.close()
        raise
    try:
        yield
    finally:
        _here.wall = wall
        driver = database.connection
        if driver is not None and driver.info.transaction_status == TransactionStatus.INERROR:
            # It will be rolled back to where it began, and that was behind the wall.
            _here.behind = was_behind
        elif was_behind is not None or driver is not before:
            _raise()


def _raise() -> None:
    """Closes the connection where that cannot be done: nothing is asked on this side."""
    wall = _here.wall
    database = connections[DEFAULT_DB_ALIAS]
    driver = database.connection
    was, _here.behind = _here.behind, None
    if wall is None or driver is None:
        return
    tenants = "{" + ",".join(map(str, sorted(wall.tenants))) + "}"
    told = [tenants, "" if wall.person is None else str(wall.person), may_be(driver.info.server_version)]
    try:
        with database.wrap_database_errors:
            found = driver.execute(
                _RAISE, [*told, settings.WEIR_WALL_BEHIND_POOLER, driver.info.backend_pid]
            ).fetchone()
            is_again = was is not None and was.driver is driver
            if found is not None:
                _here.behind = was if is_again else _Behind(driver, *found[:2])
                return
            if was is not None and is_again:
                driver.execute(_LOWER, was[1:])
            _tell(driver)
    except Error:
        database.close()
        raise


def _lower() -> None:
    database = connections[DEFAULT_DB_ALIAS]
    if _here.behind is None:
        return
    behind, _here.behind = _here.behind, None
    if behind.driver is database.connection:
        with database.wrap_database_errors:
            behind.driver.execute(_LOWER, behind[1:])


def _tell(driver: Any) -> None:
    """Now and then: members are served all the same, behind the first wall."""
    global _told_at
    if time.monotonic() - _told_at >= _TOLD_SECONDS:
        _told_at = time.monotonic()
        log.warning("tenants.no_second_wall", reason="pooler" if is_pooled(driver) else "role")


def _opened(connection: Any, **_: Any) -> None:
    if connection.alias == DEFAULT_DB_ALIAS and connection.vendor == "postgresql":
        _raise()


connection_created.connect(_opened, dispatch_uid="weir.walls")
