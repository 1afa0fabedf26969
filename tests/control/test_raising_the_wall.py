"""How the second wall comes up: after a migrate, for logins that may much or little, and what the doctor says of it."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import NotSupportedError, connection, transaction

from apps.runtime import walls
from apps.runtime.lowered import Lower
from apps.status.doctor import database as doctor
from apps.tenants import row_security, second_wall

pytestmark = [pytest.mark.attack("F27"), pytest.mark.postgresql]
OWNED = """DO $$ DECLARE name text; BEGIN FOR name IN SELECT oid::regclass FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') LOOP
    EXECUTE format('ALTER TABLE %s OWNER TO plain', name); END LOOP; END $$"""


@pytest.fixture
def plain(db: None) -> Iterator[None]:
    """This connection's login owns Weir's tables, and may make no role; undone with the test's transaction."""
    run("CREATE ROLE plain", OWNED, "SET SESSION AUTHORIZATION plain")
    yield
    run("RESET SESSION AUTHORIZATION")


def run(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


@contextlib.contextmanager
def as_superuser() -> Iterator[None]:
    run("RESET SESSION AUTHORIZATION")
    yield
    run("SET SESSION AUTHORIZATION plain")


def another() -> psycopg.Connection[Any]:
    parameters = {**connection.get_connection_params(), "cursor_factory": psycopg.Cursor}
    parameters.pop("context", None)
    return psycopg.connect(**parameters, autocommit=True)


def told() -> Any:
    (finding,) = doctor.second_wall()
    return finding


def test_after_a_migrate_it_stands(db, figure):
    assert second_wall.lacking() == ([], 0)
    assert told().level == "ok"
    figure("F27", "tables behind PostgreSQL's own wall", len(row_security.policies()), least=45)
    figure("F27", "tables that members read whole", len(row_security.OPEN))
    figure("F27", "tables that to members do not exist", len(row_security.SHUT))


def test_what_somebody_has_changed_is_put_right(db):
    run("ALTER TABLE keys_key DISABLE ROW LEVEL SECURITY", "GRANT DELETE ON usage_entry TO weir_member")
    run("CREATE POLICY weir_old ON tenants_project USING (true)", "GRANT SELECT ON events_sink TO weir_member")
    assert second_wall.lacking().unmended > 0
    assert told().level == "warning"
    second_wall.put_right()
    assert second_wall.lacking() == ([], 0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_policies WHERE policyname = 'weir_old'")
        assert cursor.fetchone() == (0,)


def test_a_login_that_may_make_no_roles_migrates_and_hears_what_to_do(plain):
    second_wall.put_right()
    found = second_wall.lacking()
    assert found.for_who_may == ['CREATE ROLE "plain_member" NOLOGIN', 'GRANT "plain_member" TO "plain"']
    assert 'CREATE ROLE "plain_member" NOLOGIN' in told().cure
    walls.stand(tenants=[1])
    assert not walls.is_up()
    walls.leave()
    with as_superuser():
        run(*found.for_who_may)
    walls.stand(tenants=[1])
    assert not walls.is_up()  # the role has no rights yet: members' pages would fail
    walls.leave()
    second_wall.put_right()
    assert second_wall.lacking() == ([], 0)
    walls.stand(tenants=[1])
    assert walls.is_up()
    walls.leave()


def test_who_may_become_the_owner_of_the_tables_needs_nothing_more(plain):
    """Such as logins that are made for a day each: whoever migrates gives the role to the owner, not only to itself."""
    with as_superuser():
        second_wall.put_right()
        run("CREATE ROLE visitor NOINHERIT IN ROLE plain", "SET SESSION AUTHORIZATION visitor")
        assert second_wall.lacking() == ([], 0)
        walls.stand(tenants=[1])
        assert walls.is_up()
        walls.leave()


def test_who_may_not_become_the_owner_is_told_what_it_needs_itself(plain):
    with as_superuser():
        second_wall.put_right()
        run("CREATE ROLE guest", "GRANT SELECT ON tenants_tenant TO guest", "SET SESSION AUTHORIZATION guest")
        assert second_wall.lacking().for_who_may == ['GRANT "plain_member" TO "guest"']


def test_a_table_that_somebody_reads_for_long_is_come_back_to(transactional_db, monkeypatch):
    """After the others, and gateways have it in between."""
    first, second, *_ = (policy.table for policy in row_security.policies().values())
    run(f"ALTER TABLE {first} DISABLE ROW LEVEL SECURITY", f"ALTER TABLE {second} DISABLE ROW LEVEL SECURITY")
    with another() as reader:
        reader.execute(f"BEGIN; SELECT 1 FROM {first}")
        pauses = []

        def pause() -> None:
            with another() as gateway:
                gateway.execute(f"SET lock_timeout = '10s'; SELECT 1 FROM {first}")  # nobody waits before it
            pauses.append(second_wall.lacking().unmended)
            if len(pauses) == 3:
                reader.execute("COMMIT")

        monkeypatch.setattr(second_wall, "_pause", pause)
        second_wall.put_right()
    assert pauses == [2, 1, 1]
    assert second_wall.lacking() == ([], 0)


def test_one_that_is_read_on_and_on_is_left_to_the_next_migrate(transactional_db, monkeypatch):
    (table, *_) = (policy.table for policy in row_security.policies().values())
    run(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY", "REVOKE SELECT ON tenants_tenant FROM weir_member")
    pauses, told = [], []
    monkeypatch.setattr(second_wall, "_pause", lambda: pauses.append(1))
    monkeypatch.setattr(second_wall, "_PATIENCE", "SET LOCAL lock_timeout = '1ms'")
    monkeypatch.setattr(second_wall.log, "warning", lambda event, **fields: told.append((event, fields["count"])))
    with another() as reader:
        reader.execute(f"BEGIN; SELECT 1 FROM {table}")
        second_wall.put_right()
        assert told == [("tenants.no_second_wall", 1)]
        assert len(pauses) == second_wall._TRIES - 1
        assert second_wall.lacking() == ([], 1)  # and the rest is done
    second_wall.put_right()
    assert second_wall.lacking() == ([], 0)


def test_pauses_are_long_beside_what_others_wait(monkeypatch):
    slept = []
    monkeypatch.setattr(second_wall.time, "sleep", slept.append)
    for _ in range(50):
        second_wall._pause()
    assert 1.0 <= min(slept) < max(slept) <= 3.0
    assert second_wall._PATIENCE == "SET LOCAL lock_timeout = '150ms'"


def test_other_rights_are_given_without_waiting_for_the_table(db):
    policy = row_security.policies()["keys.Key"]
    assert row_security.name_of(policy._replace(granted="SELECT"), "r") == row_security.name_of(policy, "r")
    assert row_security.name_of(policy._replace(kept="false"), "r") != row_security.name_of(policy, "r")


def test_other_schemas_of_the_search_path_are_left_alone(db):
    """One of the login's own goes before the one that has Weir's tables, and somebody has given the role rights there,
    and policies like Weir's."""
    run("CREATE SCHEMA before", "CREATE TABLE before.report (id int)", "CREATE ROLE somebody")
    run("CREATE TABLE before.keys_key (id int)", "GRANT SELECT ON before.report TO weir_member")
    run("CREATE POLICY weir_theirs ON before.keys_key USING (true)", "SET search_path TO before, public")
    run("ALTER TABLE before.report OWNER TO somebody")
    try:
        assert second_wall.lacking() == ([], 0)
        run("ALTER TABLE public.keys_key DISABLE ROW LEVEL SECURITY", "GRANT DELETE ON usage_entry TO weir_member")
        second_wall.put_right()
        run("SET search_path TO before, public")  # it was set for a transaction, and this is one
        assert second_wall.lacking() == ([], 0)
        with connection.cursor() as cursor:
            cursor.execute("SELECT polrelid::regclass::text FROM pg_policy WHERE polname = 'weir_theirs'")
            assert cursor.fetchall() == [("keys_key",)]
            cursor.execute("SELECT has_table_privilege('weir_member', 'before.report', 'SELECT')")
            assert cursor.fetchone() == (True,)
    finally:
        run("RESET search_path")


def test_a_schema_may_be_called_as_it_likes(db):
    run('ALTER SCHEMA public RENAME TO "we-ir"', 'SET search_path TO "we-ir"')
    assert second_wall.lacking() == ([], 0)
    run('REVOKE USAGE ON SCHEMA "we-ir" FROM PUBLIC', 'REVOKE USAGE ON SCHEMA "we-ir" FROM weir_member')
    second_wall.put_right()
    assert second_wall.lacking() == ([], 0)


@pytest.mark.parametrize(("table", "column"), [("keys_key", "tenant_id"), ("tenants_project", "id")])
def test_a_migration_changes_a_column_that_policies_name(db, table, column):
    """The second one's is named by policies of other tables."""
    change = f"ALTER TABLE {table} ALTER COLUMN {column} TYPE bigint USING {column} + 0"
    with pytest.raises(NotSupportedError, match="policy"), transaction.atomic():
        run(change)
    before = second_wall.lacking()
    with connection.schema_editor() as editor:
        Lower(table).database_forwards("keys", editor, None, None)
    run(change)
    with connection.cursor() as cursor:
        cursor.execute("""SELECT relname::text FROM pg_class
            WHERE relrowsecurity AND NOT EXISTS (SELECT 1 FROM pg_policy WHERE polrelid = pg_class.oid)""")
        assert cursor.fetchall() == []  # what has the wall and no policy is shut to logins that do not own it
    assert second_wall.lacking().unmended > 0
    second_wall.put_right()
    assert second_wall.lacking() == before == ([], 0)


def test_two_databases_of_one_server_make_the_role_at_once(transactional_db, monkeypatch):
    """The other's is not committed yet: whoever is second waits, and takes what is there."""
    failed: list[str] = []
    monkeypatch.setattr(second_wall.log, "warning", lambda event, **_: failed.append(event))
    with another() as other:
        other.execute("BEGIN")
        other.execute("CREATE ROLE race_member NOLOGIN")
        thread = threading.Thread(target=_make_race)
        thread.start()
        while other.execute("SELECT 1 FROM pg_locks WHERE NOT granted").fetchone() is None:
            assert thread.is_alive()
        other.execute("COMMIT")
        thread.join()
    assert failed == []
    run("DROP ROLE race_member")


def _make_race() -> None:
    try:
        second_wall._tried(connection, second_wall._made, "race_member")
    finally:
        connection.close()


def test_what_it_costs_a_request(transactional_db, figure):
    """Up as the request begins, again when its tenant is known, and down."""
    run("SELECT 1")
    times = []
    for _ in range(200):
        started = time.perf_counter()
        walls.stand(person=1)
        walls.stand(person=1, tenants=[1])
        walls.leave()
        times.append((time.perf_counter() - started) * 1000)
    figure("F27", "what that costs a member's page", round(statistics.median(times), 2), "ms", most=5.0)
