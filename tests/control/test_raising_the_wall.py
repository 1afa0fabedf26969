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
from django.db import connection

from apps.runtime import walls
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


def told() -> Any:
    (finding,) = doctor._second_wall()
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


def test_two_databases_of_one_server_make_the_role_at_once(transactional_db, monkeypatch):
    """The other's is not committed yet: whoever is second waits, and takes what is there."""
    parameters = {**connection.get_connection_params(), "cursor_factory": psycopg.Cursor}
    parameters.pop("context", None)
    failed: list[str] = []
    monkeypatch.setattr(second_wall.log, "warning", lambda event, **_: failed.append(event))
    with psycopg.connect(**parameters, autocommit=True) as other:
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
