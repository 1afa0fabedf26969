"""The second wall as it stands in the database: raised after each `migrate`, and looked at by the doctor.

Each step is one that may be done again. The role belongs to the cluster, and two databases of it may make it at once.
"""

from __future__ import annotations

import collections
import random
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import structlog
from django.db import DEFAULT_DB_ALIAS, DatabaseError, OperationalError, ProgrammingError, connections, transaction

from apps.runtime.walls import OWNED, ROLE, may_be
from apps.tenants import row_security
from apps.tenants.row_security import Policy

log = structlog.get_logger(__name__)

_TRIES = 30
_TRIES_OF_ROLE = 5
# A statement that waits for a table lets nobody else at it, gateways neither: it gives way to a long one soon, and they
# have the table for much longer than it before it tries again.
_PATIENCE = "SET LOCAL lock_timeout = '150ms'"
_PAUSE_SECONDS = (1.0, 3.0)


def put_right(*, using: str = DEFAULT_DB_ALIAS, **_: Any) -> None:
    """After `migrate`, as its signal calls it. Where the role cannot be made the rest is, and the doctor tells."""
    connection = connections[using]
    if connection.vendor != "postgresql" or not _has_tables(connection):
        return
    role = role_of(connection)
    _raise(connection, role)
    # What this login may do of it; a member's request takes the role when it has been given its rights.
    for step in (_made, _grants, _taken):
        _tried(connection, step, role)


def _tried(connection: Any, step: Callable[[Any, str], Iterator[str]], role: str) -> None:
    """Another database of the cluster may be at the same role just now."""
    for attempt in range(_TRIES_OF_ROLE):
        try:
            with transaction.atomic(using=connection.alias):
                _run(connection, list(step(connection, role)))
            return
        except DatabaseError as error:
            if attempt == _TRIES_OF_ROLE - 1:
                log.warning("tenants.no_second_wall", error=str(error).splitlines()[0])


class Lacking(NamedTuple):
    """`for_who_may`: statements for a login that may make roles. `unmended`: how much the next `migrate` then does."""

    for_who_may: list[str]
    unmended: int


def lacking(*, using: str = DEFAULT_DB_ALIAS) -> Lacking:
    """What is not as it must be; nothing where this database has no second wall to raise."""
    connection = connections[using]
    if connection.vendor != "postgresql" or not _has_tables(connection):
        return Lacking([], 0)
    role = role_of(connection)
    wanting = len(_wanting(connection, role))
    may_take = _asked(connection, _MAY_TAKE, [connection.ops.quote_name(role), may_be(connection.pg_version)])[0][0]
    for_who_may = [*_made(connection, role), *(() if may_take else _taken(connection, role))]
    return Lacking(for_who_may, wanting + len(list(_grants(connection, role))))


def role_of(connection: Any) -> str:
    return str(_asked(connection, f"SELECT {ROLE} FROM pg_class WHERE oid = {OWNED}")[0][0])  # noqa: S608


def _has_tables(connection: Any) -> bool:
    return _asked(connection, "SELECT to_regclass('tenants_tenant')")[0][0] is not None


def _wanting(connection: Any, role: str) -> list[Policy]:
    """Those of tables that are there, and do not stand so."""
    on = dict(_asked(connection, _PRESENT))
    standing = dict(_asked(connection, _STANDING))
    return [
        policy
        for policy in row_security.policies().values()
        if policy.table in on and not (on[policy.table] and standing.get(policy.table) == _names(policy, role))
    ]


def _names(policy: Policy, role: str) -> list[str]:
    """In order."""
    name = row_security.name_of(policy, role)
    return [name] if policy.seen == policy.changed else [name, f"{name}_seen"]


def _statements(policy: Policy, role: str) -> Iterator[str]:
    """Others of Weir's at the table go. To all other roles than a member's the table is as it was."""
    table, name = policy.table, row_security.name_of(policy, role)
    everybody = "(SELECT current_user) <> '{}'".format(role.replace("'", "''"))
    yield _OLD_GO.format(table=table)
    yield (
        f"CREATE POLICY {name} ON {table} USING ({everybody} OR {policy.changed})"
        f" WITH CHECK ({everybody} OR ({policy.kept}))"
    )
    if policy.seen != policy.changed:
        yield f"CREATE POLICY {name}_seen ON {table} FOR SELECT USING ({everybody} OR {policy.seen})"
    yield f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"


def _is_there(connection: Any, role: str) -> bool:
    return bool(_asked(connection, "SELECT 1 FROM pg_roles WHERE rolname = %s", [role]))


def _made(connection: Any, role: str) -> Iterator[str]:
    if not _is_there(connection, role):
        yield f"CREATE ROLE {connection.ops.quote_name(role)} NOLOGIN"


def _taken(connection: Any, role: str) -> Iterator[str]:
    """That the owner of the tables may take it, and with it every login that may become the owner; and this login."""
    quoted = connection.ops.quote_name(role)
    for (name,) in _asked(connection, _MAY_NOT_TAKE, {"role": quoted, "take": may_be(connection.pg_version)}):
        yield f"GRANT {quoted} TO {connection.ops.quote_name(name)}"


def _grants(connection: Any, role: str) -> Iterator[str]:
    """What the role may do: what of that is not so."""
    quoted = connection.ops.quote_name(role)
    if not _is_there(connection, role):
        return
    schema, may_enter = _asked(connection, _SCHEMA, [role])[0]
    if not may_enter:
        yield f"GRANT USAGE ON SCHEMA {schema} TO {quoted}"
    given = dict(_asked(connection, _GIVEN, [role]))
    present = {table for (table, _) in _asked(connection, _PRESENT)}
    wanted = row_security.tables()
    for table in sorted(given.keys() | (wanted.keys() & present)):
        if given.get(table) != wanted.get(table):
            yield f"REVOKE ALL ON {table} FROM {quoted}"
            if table in wanted:
                yield f"GRANT {wanted[table]} ON {table} TO {quoted}"


# Another schema of the search path may have tables of these names, and the role rights that are somebody else's.
_WEIRS = f"relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = {OWNED})"  # noqa: S608
_HERE = f"""SELECT set_config('search_path', relnamespace::regnamespace::text, true)
    FROM pg_class WHERE oid = {OWNED}"""  # noqa: S608
_SCHEMA = f"""SELECT relnamespace::regnamespace::text, has_schema_privilege(%s::name, relnamespace, 'USAGE')
    FROM pg_class WHERE oid = {OWNED}"""  # noqa: S608
_STANDING = f"""SELECT relname::text, array_agg(polname::text ORDER BY polname) FROM pg_policy
    JOIN pg_class ON pg_class.oid = polrelid WHERE {_WEIRS} AND starts_with(polname, 'weir_') GROUP BY relname"""  # noqa: S608
_OLD_GO = """DO $$ DECLARE old text; BEGIN
    FOR old IN SELECT policyname FROM pg_policies
        WHERE schemaname = current_schema() AND tablename = '{table}' AND starts_with(policyname, 'weir_') LOOP
        EXECUTE format('DROP POLICY %I ON {table}', old);
    END LOOP; END $$"""
_PRESENT = f"SELECT relname::text, relrowsecurity FROM pg_class WHERE {_WEIRS}"  # noqa: S608
_GIVEN = f"""SELECT relname::text, string_agg(privilege_type, ', ' ORDER BY
        array_position(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE'], privilege_type))
    FROM pg_class, aclexplode(relacl)
    WHERE {_WEIRS} AND grantee = to_regrole(quote_ident(%s)) GROUP BY relname"""  # noqa: S608
_MAY_TAKE = """SELECT rolsuper OR coalesce(pg_has_role(session_user, to_regrole(%s), %s), false)
    FROM pg_roles WHERE rolname = session_user"""
_MAY_NOT_TAKE = f"""SELECT rolname FROM pg_roles JOIN pg_class ON pg_class.oid = {OWNED}
    WHERE (pg_roles.oid = relowner
            OR rolname = session_user AND NOT pg_has_role(session_user, relowner, %(take)s))
        AND NOT (rolsuper OR coalesce(pg_has_role(pg_roles.oid, to_regrole(%(role)s), %(take)s), false))
    ORDER BY pg_roles.oid <> relowner"""  # noqa: S608


def _raise(connection: Any, role: str) -> None:
    """A table that somebody reads for long waits for its turn behind the others. One that is read on and on stays as it
    is, and the next `migrate` comes to it."""
    waiting, tries = collections.deque(_wanting(connection, role)), 0
    while waiting:
        try:
            with transaction.atomic(using=connection.alias):
                _run(connection, [_PATIENCE, *_statements(waiting[0], role)])
            waiting.popleft()
        except OperationalError as error:
            tries += 1
            if tries == _TRIES:
                log.warning("tenants.no_second_wall", error=str(error).splitlines()[0], count=len(waiting))
                return
            waiting.rotate(-1)
            _pause()
        except ProgrammingError as error:  # tables of another version, until the migrations that follow
            log.warning("tenants.no_second_wall", error=str(error).splitlines()[0])
            waiting.popleft()


def _pause() -> None:
    time.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311  # spreads load


def _run(connection: Any, statements: list[str]) -> None:
    with connection.cursor() as cursor:
        for statement in [_HERE, *statements]:
            cursor.execute(statement)


def _asked(
    connection: Any, question: str, parameters: list[Any] | dict[str, Any] | None = None
) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(question, parameters)
        return list(cursor.fetchall())
